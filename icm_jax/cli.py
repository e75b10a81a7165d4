"""The `icm` command: one thin function a subcommand. Heavy imports wait until a subcommand needs them.

Exit codes: 0 all done; 1 some inputs failed, the others are written; 2 nothing was done (bad usage or input).
"""

import argparse
import functools
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from icm_jax import __version__
from icm_jax.data.commands import add_commands as add_data_commands
from icm_jax.errors import IcmError
from icm_jax.evaluate.commands import add_commands
from weights_convert.commands import add_commands as add_convert_commands
from weights_convert.commands import add_live

DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2

EXAMPLES = """examples:
  icm demo --out demo                        compress the included photos, write demo/index.html
  icm compress photo.jpg                     photo.jpg -> photo.icm, with the included codec
  icm compress photos/ -o coded -q 2         a folder, at a lower rate
  icm decompress coded -o decoded            every .icm file of a folder -> PNG
  icm inspect photo.icm                      header, sections, where the bits went
  icm eval photos/ -o results                what codecs cost and keep, counted in files
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit code."""
    options = _parser().parse_args(argv)
    _use_compilation_cache()
    try:
        return options.run(options)
    except IcmError as error:
        print(f"icm: {error}", file=sys.stderr)
        return NOTHING_DONE
    except KeyboardInterrupt:
        print("icm: interrupted; files already written are whole", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="icm",
        description="Image coding for machines: compress, decompress and inspect .icm files.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"icm-jax {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    compress = _command(
        commands, "compress", _compress, "images -> .icm files", "icm compress photos/ -o coded -q 4"
    )
    compress.add_argument(
        "inputs", nargs="+", metavar="IN", help="image files, folders or globs (PNG, JPEG, WebP)"
    )
    _add_output(compress, "one .icm file for one input, else a folder (default: beside each input)")
    _add_codec(compress)
    _add_adapter(compress)
    compress.add_argument(
        "-t",
        "--task",
        metavar="NAME",
        help="what CODEC, a codec of a task's features, is for, or which of those in the folder CODEC",
    )
    compress.add_argument(
        "--backbone", type=Path, metavar="FILE", help="of a task's codec (default: beside or above it)"
    )
    compress.add_argument("-q", "--quality", type=int, help="rate of an included codec, 1 = smallest files")
    compress.add_argument(
        "--alignment",
        default="grid",
        choices=("grid", "pad256", "resize256"),
        help="how sizes off the codec's grid are handled; the last two are the published codecs' ways",
    )
    compress.add_argument(
        "--maps",
        type=Path,
        metavar="DIR",
        help="quality maps for a region-of-interest adapter, grey PNG files named like the images "
        "(default: made by the adapter's network, weights in $ICM_WEIGHTS)",
    )
    compress.add_argument("--convert-16bit", action="store_true", help="reduce 16-bit images to 8 bits")

    decompress = _command(
        commands, "decompress", _decompress, ".icm files -> images", "icm decompress coded -o decoded"
    )
    decompress.add_argument("inputs", nargs="+", metavar="IN", help=".icm files, folders or globs")
    _add_output(
        decompress, "one image file for one input, else a folder (default: beside each input, as PNG)"
    )
    _add_codec(decompress)
    _add_adapter(decompress)
    decompress.add_argument(
        "-t",
        "--task",
        metavar="NAME",
        help="which of the adapter's pictures; 'all': each in a file of its own; 'human': the image for people, "
        "of streams without adapter (default: the adapter's first picture, or that image); or which of the codecs "
        "of features in the folder CODEC",
    )
    _add_limit(decompress)

    inspect = _command(commands, "inspect", _inspect, "what a file holds", "icm inspect photo.icm --json")
    inspect.add_argument("inputs", nargs="+", metavar="IN", help=".icm files, folders or globs")
    inspect.add_argument("--json", action="store_true", help="print records instead of text")
    inspect.add_argument(
        "--tasks",
        type=Path,
        metavar="ADAPTER",
        help="also what each task of this adapter, with which the stream was made, is expected to lose",
    )
    _add_codec(inspect)
    _add_limit(inspect)

    demo = _command(
        commands, "demo", _demo, "the included photos, coded and compared, as a page", "icm demo --out demo"
    )
    demo.add_argument(
        "--out", type=Path, default=Path("icm-demo"), help="folder for files and index.html (%(default)s)"
    )
    _add_codec(demo)

    parity = _command(
        commands,
        "parity",
        _parity,
        "compare with arrays of the PyTorch references",
        "icm parity golden/tic/tic_*.npz",
    )
    parity.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="golden files (.npz) or folders of them"
    )
    add_live(parity)
    parity.add_argument("--json", action="store_true", help="print rows as JSON")

    add_commands(functools.partial(_command, commands))
    add_convert_commands(functools.partial(_command, commands))
    add_data_commands(functools.partial(_command, commands))

    runs = _command(commands, "runs", _runs, "training runs side by side", "icm runs runs/* --plot runs.png")
    runs.add_argument("workdirs", nargs="+", metavar="WORKDIR", type=Path, help="workdirs of trainings")
    runs.add_argument("--plot", type=Path, metavar="FILE", help="curves of all runs as PNG or SVG")
    runs.add_argument(
        "--curve", action="append", metavar="NAME", help="what to plot, repeatable (default: train/loss)"
    )
    runs.add_argument("--json", action="store_true", help="print records instead of a table")
    return parser


def _command(
    commands: argparse._SubParsersAction, name: str, run: object, what: str, example: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + ".", epilog=f"example: {example}"
    )
    parser.set_defaults(run=run)
    return parser


def _add_output(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help=what)
    parser.add_argument("-f", "--force", action="store_true", help="replace existing outputs")
    parser.add_argument("--json", action="store_true", help="print a record a file instead of text")


def _add_codec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--codec",
        default=None,
        help="included codec or codec folder (default: tic-lite, or what a file names)",
    )


def _add_adapter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-a",
        "--adapter",
        type=Path,
        metavar="ADAPTER",
        help="adapter to put on the codec: a file, or the name of one that is included with it",
    )


def _add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-pixels", type=int, metavar="N", help="refuse files that claim more pixels (default: 2^28)"
    )


def _use_compilation_cache() -> None:
    """Compiled programs are kept between runs; JAX_COMPILATION_CACHE_DIR overrides the place, empty turns it off."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "icm-jax" / "xla"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _compress(options: argparse.Namespace) -> int:
    from icm_jax.batch import compress_files
    from icm_jax.codec import DEFAULT_CODEC, Codec
    from icm_jax.task_files import compress_task_files, find_task_codec, load_task_codec

    if folder := find_task_codec(options.codec, options.task):
        _refuse_picture_options(options, ("adapter", "quality"))
        task_codec, _ = load_task_codec(folder, options.task, options.backbone, encodes=True)
        arguments = (options.inputs, options.output, options.force, options.convert_16bit)
        return _finish(compress_task_files(task_codec, *arguments), options.json)
    if options.task:
        raise IcmError(
            f"no codec of the features of {options.task!r}; give --codec the folder of one, or a folder that holds "
            f"{options.task}/"
        )
    codec = Codec.load(options.codec or DEFAULT_CODEC, options.quality, options.adapter)
    how = (options.alignment, options.convert_16bit, options.maps)
    outcome = compress_files(codec, options.inputs, options.output, options.force, *how)
    return _finish(outcome, options.json)


def _decompress(options: argparse.Namespace) -> int:
    from icm_jax.batch import decompress_files
    from icm_jax.bitstream.container import MAX_PIXELS
    from icm_jax.joint_decoder import JointDecoder
    from icm_jax.pretrained.joint_decoder import load
    from icm_jax.task_files import (
        decompress_joint_files,
        decompress_task_files,
        find_joint_decoder,
        find_task_codec,
        load_task_codec,
    )

    if folder := find_joint_decoder(options.codec, options.task):
        if len(options.inputs) > 1:
            raise IcmError(
                "streams of several tasks are read from one folder, CODED/TASK/NAME.icm; give that"
            )
        joint = JointDecoder(load(folder))
        coded = Path(options.inputs[0])
        return _finish(decompress_joint_files(joint, coded, options.output, options.force), options.json)
    if folder := find_task_codec(options.codec, options.task):
        _refuse_picture_options(options, ("adapter", "max_pixels"))
        task_codec, task = load_task_codec(folder, options.task, None, encodes=False)
        arguments = (options.inputs, options.output, options.force)
        return _finish(decompress_task_files(task_codec, task, *arguments), options.json)
    choices = (options.adapter, options.task, options.max_pixels or MAX_PIXELS)
    outcome = decompress_files(options.codec, options.inputs, options.output, options.force, *choices)
    return _finish(outcome, options.json)


def _refuse_picture_options(options: argparse.Namespace, names: Sequence[str]) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise IcmError(
                f"{options.codec} codes features for a task; --{name.replace('_', '-')} is for codecs of pictures"
            )


def _finish(outcome: "tuple[list, list[str]]", as_json: bool) -> int:
    records, failures = outcome
    if as_json:
        print(json.dumps([record._asdict() for record in records], indent=2, default=str))
    else:
        for record in records:
            print(record)
    return _exit_code(bool(records), failures)


def _exit_code(any_done: bool, failures: Sequence[str]) -> int:
    """Prints a line for every failure."""
    for failure in failures:
        print(f"icm: {failure}", file=sys.stderr)
    if not failures:
        return DONE
    return SOME_FAILED if any_done else NOTHING_DONE


def _inspect(options: argparse.Namespace) -> int:
    from icm_jax.batch import find_inputs, reporting
    from icm_jax.bitstream.container import MAX_PIXELS
    from icm_jax.inspection import describe, report

    reports: list[dict[str, Any]] = []
    failures: list[str] = []
    for path in find_inputs(options.inputs, (".icm",)):
        with reporting(failures, f"{path}: "):
            reports.append(report(path, options.codec, options.tasks, options.max_pixels or MAX_PIXELS))
    if options.json:
        print(json.dumps(reports, indent=2))
    elif reports:
        print("\n\n".join(map(describe, reports)))
    return _exit_code(bool(reports), failures)


def _demo(options: argparse.Namespace) -> int:
    from icm_jax.codec import DEFAULT_CODEC
    from icm_jax.evaluate.demo import run_demo

    print(run_demo(options.out, codec_name=options.codec or DEFAULT_CODEC))
    return DONE


def _parity(options: argparse.Namespace) -> int:
    if options.live:
        from weights_convert.live.run import run_live

        return run_live(options.live, options.seed, options.steps, options.output, options.json)
    if not options.paths:
        raise IcmError("nothing to compare; give golden files, or networks with --live")
    from weights_convert.golden import run_parity

    return run_parity(options.paths, as_json=options.json)


def _runs(options: argparse.Namespace) -> int:
    import dataclasses

    from icm_jax.train import runs

    summaries = [runs.read_run(workdir) for workdir in options.workdirs]
    if options.json:
        print(json.dumps([dataclasses.asdict(summary) for summary in summaries]))
    else:
        print(runs.table(summaries))
    if options.plot is not None:
        runs.plot(summaries, options.curve or ["train/loss"], options.plot)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
