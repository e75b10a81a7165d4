"""Arguments and actions of `icm eval`, `icm bd`, `icm report`, `icm calibrate` and `icm complexity`.

Light to import, so that `icm --help` stays quick.
"""

import argparse
import dataclasses
import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from icm_jax.errors import IcmError

DONE = 0


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds the commands; `add(name, run, what, example)` makes one's parser."""
    _add_eval(
        add(
            "eval",
            _eval,
            "what codecs cost in bytes, and what networks make of their pictures",
            "icm eval photos/ --codecs tic-lite jpeg webp --task classification --labels labels.csv -o results",
        )
    )
    _add_figure(
        add(
            "figure",
            _figure,
            "codecs side by side on photos: pictures, predictions, bit maps",
            "icm figure photo.png --codecs tic-base SFMA=tic-base+cls.safetensors --task classification -o figures",
        )
    )
    _add_bd(
        add(
            "bd",
            _bd,
            "Bjøntegaard deltas of curves against an anchor",
            "icm bd results/jpeg.json results/tic-lite.json --plot bd.png",
        )
    )
    _add_report(
        add(
            "report",
            _report,
            "plots, tables and a page of results",
            "icm report results/*.json -o report --layout transtic-table1",
        )
    )
    _add_calibrate(
        add(
            "calibrate",
            _calibrate,
            "measure what an adapter's tasks lose at which rate, for icm inspect --tasks",
            "icm calibrate photos/ -c tic-base -a aio.safetensors -o results/calibration",
        )
    )
    _add_complexity(
        add("complexity", _complexity, "parameters and kMACs a pixel", "icm complexity --layout aio-table5")
    )


def _add_eval(parser: argparse.ArgumentParser) -> None:
    unset = argparse.SUPPRESS  # what is not given comes from the config, or from the plan's defaults
    parser.add_argument("images", nargs="*", default=unset, help="image files or folders of them")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for records and results")
    parser.add_argument("--config", type=Path, help="Python file whose get_config() gives the options below")
    parser.add_argument(
        "--codecs",
        nargs="+",
        default=unset,
        metavar="CODEC",
        help="[CURVE[/POINT]=]NAME[+ADAPTER[#PICTURE]][:QUALITY,…][@BPP,…], such as tic-lite:1,3 jpeg webp@0.25,0.5",
    )
    parser.add_argument("--task", default=unset, help="what a network is asked; without: PSNR and MS-SSIM")
    parser.add_argument("--recognizer", default=unset, help="network, by default the task's first")
    parser.add_argument("--weights", default=unset, help="its file, or the folder of it ($ICM_WEIGHTS)")
    parser.add_argument("--labels", default=unset, help="labels of the task; without: agreement only")
    parser.add_argument(
        "--protocol",
        default=unset,
        choices=("own", "published", "published-pad"),
        help="what codecs get: the file (own), or as in TransTIC's paper the photo at its network's size (published)",
    )
    parser.add_argument("--limit", type=int, default=unset, help="only the first so many images")
    parser.add_argument("--jobs", type=int, default=unset, help="processes (1)")
    parser.add_argument("--keep", action="store_true", default=unset, help="keep the coded files")
    parser.add_argument(
        "--pictures", type=int, default=unset, metavar="N", help="write the first N images as decoded"
    )


def _add_figure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", type=Path, help="image files or folders of them")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for a PNG a photo")
    parser.add_argument(
        "--codecs", nargs="+", required=True, metavar="CODEC", help="a column each; as icm eval"
    )
    parser.add_argument("--task", default="", help="whose network's answers are drawn")
    parser.add_argument("--recognizer", default="", help="network, by default the task's first")
    parser.add_argument("--weights", default="", help="its file, or the folder of it ($ICM_WEIGHTS)")


def _add_bd(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "anchor", type=Path, metavar="ANCHOR.json", help="result that the others are measured by"
    )
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="TEST.json", help="results of the same images"
    )
    parser.add_argument("--metric", action="append", help="repeatable (default: the task's first)")
    parser.add_argument(
        "--method", action="append", choices=("cubic", "pchip", "akima"), help="repeatable (cubic, pchip)"
    )
    parser.add_argument(
        "--min-overlap",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="least shared part of the curves, 0 to 1",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="the first two curves as PNG and SVG")
    parser.add_argument(
        "--at", type=_rates, default=(), metavar="BPP,…", help="also the plain differences at these rates"
    )
    parser.add_argument("--json", action="store_true", help="print rows as JSON instead of a table")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULT.json", help="results, or folders of them"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the page and its parts")
    parser.add_argument("--anchor", default="", help="curve that BD deltas are measured by")
    parser.add_argument(
        "--layout",
        default="",
        help="a paper's table: transtic-table1, aio-table2, aio-table3, aio-table4, dora-table3, dora-table4",
    )


def _add_calibrate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", type=Path, help="image files or folders of them")
    parser.add_argument("-c", "--codec", required=True, help="included codec or codec folder")
    parser.add_argument("-q", "--quality", type=int, help="rate of an included codec")
    parser.add_argument(
        "-a",
        "--adapter",
        type=Path,
        required=True,
        metavar="FILE",
        help="its file; the curves are added to it",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for records")
    parser.add_argument("--groups", type=int, default=8, help="points of a curve (%(default)s)")
    for name, what in (
        ("weights", "of a task's network ($ICM_WEIGHTS)"),
        ("labels", "labels; without: agreement with the photo"),
    ):
        parser.add_argument(
            f"--{name}",
            type=_of_task,
            action="append",
            default=[],
            metavar="TASK=PATH",
            help=f"{what}, repeatable",
        )


def _of_task(text: str) -> tuple[str, str]:
    task, equals, path = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not TASK=PATH")
    return task, path


def _add_complexity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "codec",
        nargs="?",
        metavar="CODEC",
        help="included codec, codec folder, or published: tic, tic-original, dora-icm, eva02-large (tiny, small, "
        "base), CompressAI's (bmshj2018-hyperprior, mbt2018-mean, cheng2020-attn, …), and on tic: transtic, sfma, "
        "all-in-one, sft, channel-selection, roi",
    )
    parser.add_argument("-a", "--adapter", type=Path, metavar="FILE", help="adapter to put on the codec")
    parser.add_argument(
        "--layout",
        help="instead a paper's table, beside what is counted here: transtic, transtic-a1, aio-table5, dora, "
        "dora-storage",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="with --layout: also DIR/LAYOUT.md, .tex and .csv"
    )
    parser.add_argument("--json", action="store_true", help="print a record, or rows, instead of a table")


def _eval(options: argparse.Namespace) -> int:
    from icm_jax.evaluate.curves import markdown_table
    from icm_jax.evaluate.evaluation import Plan, evaluate
    from icm_jax.plain_values import to_spec

    values = _config_values(options.config) if options.config else {}
    names = {field.name for field in dataclasses.fields(Plan)}
    values |= {name: value for name, value in vars(options).items() if name in names}
    if isinstance(values.get("images"), str):
        values["images"] = [values["images"]]
    plan = to_spec({**values, "name": "eval"}, {"eval": Plan}, "eval")
    print(markdown_table(evaluate(plan, options.output)))
    return DONE


def _figure(options: argparse.Namespace) -> int:
    from icm_jax.evaluate.evaluation import find_images
    from icm_jax.evaluate.figure import write_figures
    from icm_jax.evaluate.judge import load_judge
    from icm_jax.evaluate.subjects import load_subjects

    names = (options.task, options.recognizer, options.weights)
    judge = load_judge(*names, labels=None) if options.task else None
    subjects = load_subjects(options.codecs, options.task)
    for file in write_figures(find_images(options.images), subjects, judge, options.output):
        print(file)
    return DONE


def _rates(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _bd(options: argparse.Namespace) -> int:
    from icm_jax.evaluate import bd_table
    from icm_jax.evaluate.curves import gain_table
    from icm_jax.evaluate.plots import plot_pair
    from icm_jax.evaluate.result import read_result

    anchor, results = read_result(options.anchor), [read_result(path) for path in options.results]
    methods = options.method or bd_table.METHODS
    rows = bd_table.bd_rows(anchor, results, options.metric or (), methods, options.min_overlap)
    if options.json:
        print(json.dumps([dict(zip(bd_table.HEAD, row.cells(), strict=True)) for row in rows], indent=1))
    else:
        print(bd_table.markdown(rows))
        for result in results if options.at else ():
            metric = options.metric[0] if options.metric else anchor.metrics[0].name
            print("\n" + gain_table([result, anchor], result.curve, options.at, metric))
    if options.plot:
        plot_pair(anchor, results[0], rows[0].metric, options.plot)
    return DONE


def _report(options: argparse.Namespace) -> int:
    from icm_jax.evaluate.report import write_report
    from icm_jax.evaluate.result import read_results

    results = read_results(options.results)
    print(f"open {write_report(results, options.output, options.anchor, options.layout)}")
    return DONE


def _calibrate(options: argparse.Namespace) -> int:
    from icm_jax.codec import Codec
    from icm_jax.evaluate.calibration import CALIBRATION, calibrate
    from icm_jax.evaluate.evaluation import find_images

    codec = Codec.load(options.codec, options.quality)
    paths = (options.adapter, find_images(options.images), options.output)
    made = calibrate(codec, *paths, options.groups, dict(options.weights), dict(options.labels))
    for task, curve in made.metrics[CALIBRATION].items():
        print(f"{task}: loss of {curve['metric']}, {curve['images']} images")
        print(
            "".join(
                f"  {bpp:8.4f} bpp  {loss:8.3f}\n"
                for bpp, loss in zip(curve["bpp"], curve["loss"], strict=True)
            )
        )
    return DONE


def _complexity(options: argparse.Namespace) -> int:
    from icm_jax.evaluate.complexity_tables import complexity_table
    from icm_jax.evaluate.named_complexity import named_complexity

    if bool(options.codec) == bool(options.layout):
        raise IcmError("name either a codec or a --layout; for example: icm complexity tic-lite")
    if options.codec:
        record, text = named_complexity(options.codec, options.adapter)
        print(json.dumps(record, indent=2) if options.json else text)
        return DONE
    filled = complexity_table(options.layout)
    if options.output:
        filled.write(options.output, options.layout)
    print(json.dumps(filled.records(), indent=1, ensure_ascii=False) if options.json else filled.markdown())
    return DONE


def _config_values(path: Path) -> dict[str, Any]:
    """What the config file's `get_config` returns: a mapping or a ConfigDict."""
    spec = importlib.util.spec_from_file_location("icm_eval_config", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise IcmError(f"{path}: no such config; give a Python file with a function get_config()")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise IcmError(f"{path}: has no function get_config(); add one that returns the options")
    config: Mapping[str, Any] = module.get_config()
    return dict(config.to_dict() if hasattr(config, "to_dict") else config)
