"""Arguments and actions of `icm data`; light to import, so that `icm --help` stays quick."""

import argparse
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

from icm_jax.errors import IcmError

DONE = 0
EXAMPLES = """examples:
  icm data list                                           what can be built, what is
  icm data build nyud_mt --manual-dir downloads/nyud      from an extracted archive
  icm data build kodak --manual-dir photos/kodak
  icm data build image_folder/mine --manual-dir photos    your own photos
  icm data check nyud_mt                                  compare with digests, decode every sample
  icm data show nyud_mt -o nyud.html                      a page of samples with labels drawn
  icm data export nyud_mt -o nyud_files                   photos and labels as files, for icm eval
  icm data scenes -o scenes --count 48 --seed 2           rendered scenes as such files, no download
"""


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds the commands; `add(name, run, what, example)` makes one's parser."""
    parser = add("data", None, "data sets: build, check, show, list", "icm data list")
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    build = _action(
        actions,
        "build",
        _build,
        "a data set from extracted archives, verified; the same command goes on after an interruption",
        "icm data build coco_instances --manual-dir downloads/coco --jobs 8",
    )
    build.add_argument("name", metavar="NAME", help="data set, or NAME/CONFIG to insist on a variant")
    build.add_argument(
        "--manual-dir", type=Path, required=True, metavar="D", help="what was downloaded, extracted"
    )
    build.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="threads that read and encode (%(default)s)"
    )
    build.add_argument(
        "--as-is",
        action="store_true",
        help="build what is there, whatever the published set has; it is marked so",
    )
    build.add_argument("-f", "--force", action="store_true", help="replace a data set that is there")

    check = _action(
        actions,
        "check",
        _check,
        "compare a data set with its digests and decode every sample",
        "icm data check nyud_mt",
    )
    check.add_argument("name", metavar="NAME", help="data set, or NAME/CONFIG")
    check.add_argument("--json", action="store_true", help="print records instead of text")

    show = _action(
        actions,
        "show",
        _show,
        "a page of samples with their labels drawn",
        "icm data show pascal_mt --split validation -o pascal.html",
    )
    show.add_argument("name", metavar="NAME", help="data set, or NAME/CONFIG")
    show.add_argument("-o", "--output", type=Path, metavar="FILE", help="page to write (default: NAME.html)")
    show.add_argument("--split", help="train, validation … (default: the first)")
    show.add_argument(
        "--count", type=int, default=12, metavar="N", help="samples, spread evenly (%(default)s)"
    )

    export = _action(
        actions,
        "export",
        _export,
        "photos and labels of a split as files, as icm eval reads them",
        "icm data export pascal_mt --size 512 512 -o pascal_files",
    )
    export.add_argument("name", metavar="NAME", help="data set, or NAME/CONFIG")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write")
    export.add_argument("--split", default="validation", help="train, validation … (%(default)s)")
    export.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"), help="one size for all (default: their own)"
    )
    export.add_argument("--limit", type=int, default=0, metavar="N", help="only the first so many")

    scenes = _action(
        actions,
        "scenes",
        _scenes,
        "rendered scenes and their labels as files, as icm eval reads them",
        "icm data scenes -o scenes --count 48 --seed 2",
    )
    scenes.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write")
    scenes.add_argument("--count", type=int, default=48, metavar="N", help="scenes (%(default)s)")
    scenes.add_argument("--size", type=int, default=128, help="side in pixels (%(default)s)")
    scenes.add_argument(
        "--seed", type=int, default=2, help="which scenes (%(default)s; training takes those of 1)"
    )

    listing = _action(actions, "list", _list, "what can be built, and what is", "icm data list --json")
    listing.add_argument("--json", action="store_true", help="print records instead of text")
    for action in (build, check, show, export, listing):
        action.add_argument(
            "--data-dir",
            type=Path,
            metavar="DIR",
            help="where data sets are kept (default: $TFDS_DATA_DIR, else ~/tensorflow_datasets)",
        )


def _action(
    actions: argparse._SubParsersAction, name: str, run: object, what: str, example: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + ".", epilog=f"example: {example}"
    )
    parser.set_defaults(run=run)
    return parser


def _build(options: argparse.Namespace) -> int:
    _require_tfds()
    from icm_jax.data.builders.build import build
    from icm_jax.data.datasets import read_set

    folder = build(
        options.name, options.manual_dir, options.data_dir, options.as_is, options.force, options.jobs
    )
    splits = read_set(folder, options.name).splits
    print(f"{folder}: {', '.join(f'{split} {count:,}' for split, count in splits.items())}")
    return DONE


def _check(options: argparse.Namespace) -> int:
    _require_tfds()
    from icm_jax.data.check import as_records, as_table, check_set
    from icm_jax.data.datasets import open_set

    built = open_set(options.name, options.data_dir)
    reports = check_set(built)
    if options.json:
        print(json.dumps(as_records(reports), indent=1))
    else:
        note = " (built as is: not compared with the published set)" if built.record.as_is else ""
        print(f"{built.folder}: whole{note}\n{as_table(reports)}")
    return DONE


def _show(options: argparse.Namespace) -> int:
    _require_tfds()
    from icm_jax.data.contact_sheet import write_contact_sheet
    from icm_jax.data.datasets import open_set

    built = open_set(options.name, options.data_dir)
    path = options.output or Path(f"{built.name.replace('/', '_')}.html")
    write_contact_sheet(built, path, options.split, options.count)
    print(f"open {path}")
    return DONE


def _export(options: argparse.Namespace) -> int:
    _require_tfds()
    from icm_jax.data.datasets import open_set
    from icm_jax.data.export import export_split

    built = open_set(options.name, options.data_dir)
    size = tuple(options.size) if options.size else None
    count = export_split(built, options.split, options.output, size, options.limit)
    print(f"{options.output}: {count:,} pictures of {options.split}")
    return DONE


def _scenes(options: argparse.Namespace) -> int:
    from icm_jax.data.export import export_scenes

    export_scenes(options.count, options.size, options.seed, options.output)
    print(f"{options.output}: {options.count:,} scenes of seed {options.seed}")
    return DONE


def _list(options: argparse.Namespace) -> int:
    _require_tfds()
    from icm_jax.data.builders.registry import BUILDERS
    from icm_jax.data.datasets import default_data_dir, find_sets, read_set

    root = options.data_dir or default_data_dir()
    built = [read_set(folder, str(folder.parent.relative_to(root))) for folder in find_sets(options.data_dir)]
    if options.json:
        known = {
            name: {"title": b.TITLE, "manual_dir": b.MANUAL_DOWNLOAD_INSTRUCTIONS}
            for name, b in BUILDERS.items()
        }
        sets = [
            {"name": s.name, "folder": str(s.folder), "splits": s.splits, "as_is": s.record.as_is}
            for s in built
        ]
        print(json.dumps({"known": known, "built": sets}, indent=1))
        return DONE
    for name, builder in BUILDERS.items():
        print(f"{name:<16} {builder.TITLE}\n{'':<16} --manual-dir: {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}")
    print(f"\nbuilt in {root}:" if built else f"\nnothing is built in {root}")
    for item in built:
        counts = ", ".join(f"{split} {count:,}" for split, count in item.splits.items())
        print(f"{item.name:<24} {counts}{' (as is)' if item.record.as_is else ''}")
    return DONE


def _require_tfds() -> None:
    missing = [
        name for name in ("tensorflow_datasets", "array_record") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise IcmError(f"data sets need {missing[0]}, which is not installed; pip install 'icm-jax[data]'")
