"""Arguments and actions of `icm eval`; light to import, so that `icm --help` stays quick."""

import argparse
import dataclasses
import importlib.util
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
        help="[CURVE=]NAME[+ADAPTER[#PICTURE]][:QUALITY,…][@BPP,…], such as tic-lite:1,3 jpeg webp@0.25,0.5",
    )
    parser.add_argument("--task", default=unset, help="what a network is asked; without: PSNR and MS-SSIM")
    parser.add_argument("--recognizer", default=unset, help="network, by default the task's first")
    parser.add_argument("--weights", default=unset, help="its file, or the folder of it ($ICM_WEIGHTS)")
    parser.add_argument("--labels", default=unset, help="labels of the task; without: agreement only")
    parser.add_argument("--limit", type=int, default=unset, help="only the first so many images")
    parser.add_argument("--jobs", type=int, default=unset, help="processes (1)")
    parser.add_argument("--keep", action="store_true", default=unset, help="keep the coded files")
    parser.add_argument(
        "--pictures", type=int, default=unset, metavar="N", help="write the first N images as decoded"
    )


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
