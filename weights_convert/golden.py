"""The oracle: golden files of published PyTorch models against this project, array by array.

    python -m weights_convert.golden PATH... [--json]

The leading words of a file's name say which model made it. Nothing else is assumed: sizes, widths, seeds and
which arrays there are all come from the file.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from icm_jax.errors import IcmError
from weights_convert.golden_all_in_one import check_all_in_one
from weights_convert.golden_bd import check_bd
from weights_convert.golden_detection import check_d2_resnet_fpn, check_detection_e2e, check_detection_ops
from weights_convert.golden_dora_icm import DORA_ICM_KINDS
from weights_convert.golden_file import GoldenError, Row, failure
from weights_convert.golden_losses import check_losses
from weights_convert.golden_metrics import (
    check_coco,
    check_coco_input,
    check_delta_m,
    check_depth,
    check_edge,
    check_human_parts,
    check_normals,
    check_saliency,
    check_semseg,
    check_topk,
)
from weights_convert.golden_mtlora import check_mtlora
from weights_convert.golden_recognizers import (
    check_espnet_v2,
    check_mobilenet_v2,
    check_tv_resnet,
    check_u2netp,
    check_vgg,
)
from weights_convert.golden_sfma import check_sfma, check_tic_sfma
from weights_convert.golden_swin import check_swin
from weights_convert.golden_tic import check_tic
from weights_convert.golden_tic_original import check_tic_original
from weights_convert.golden_transtic import check_transtic
from weights_convert.parity_table import format_rows

Checker = Callable[[Path], list[Row]]


# Leading words of a file name -> the check; the longest match counts.
METRIC_KINDS: dict[str, Checker] = {
    "semseg": check_semseg,
    "human_parts": check_human_parts,
    "saliency": check_saliency,
    "depth": check_depth,
    "normals": check_normals,
    "edge": check_edge,
    "topk": check_topk,
    "delta_m": check_delta_m,
    "coco_expected": check_coco,
    "coco_gt": check_coco_input,
    "coco_dt": check_coco_input,
    "losses": check_losses,
    "bd": check_bd,
}
RECOGNIZER_KINDS: dict[str, Checker] = {
    "mobilenet_v2": check_mobilenet_v2,
    "tv_resnet": check_tv_resnet,
    "tv_resnet50": check_tv_resnet,
    "vgg19": check_vgg,
    "espnetv2": check_espnet_v2,
    "u2netp": check_u2netp,
    "d2_resnet": check_d2_resnet_fpn,
    "d2_resnet50": check_d2_resnet_fpn,
    "detection_ops": check_detection_ops,
    "detection_e2e": check_detection_e2e,
}
KINDS: dict[str, Checker] = {
    "tic_small": check_tic,
    "tic_full": check_tic,
    "tic_original": check_tic_original,
    "transtic": check_transtic,
    "variant": check_transtic,
    "sfma": check_sfma,
    "tic_sfma": check_tic_sfma,
    "aio_recommended": check_all_in_one,
    "timm_swin": check_swin,
    "mtlora": check_mtlora,
    **METRIC_KINDS,
    **DORA_ICM_KINDS,
    **RECOGNIZER_KINDS,
}
WEIGHTS_SUFFIX = "_weights"


def check_file(path: Path) -> list[Row]:
    """The verdict on every array of a golden file.

    Raises:
        GoldenError: no such file, it can not be read, its kind is unknown, or its weights are missing.
    """
    if not path.is_file():
        raise GoldenError(f"{path} is no file, nor a folder of golden .npz files; give the path of one")
    if path.stem.endswith(WEIGHTS_SUFFIX):
        return [Row(path.name, 0.0, 0.0, 0.0, True, "weights, no check")]
    kinds = [kind for kind in KINDS if f"{path.stem}_".startswith(f"{kind}_")]
    if not kinds:
        raise GoldenError(f"{path.name} is of an unknown kind; known: {', '.join(KINDS)}")
    return KINDS[max(kinds, key=len)](path)


def _files(paths: Sequence[Path]) -> list[Path]:
    """Files as they are given, and the arrays of folders, but not what else lies there."""
    suffixes = (".npz", ".json")
    inside = {path: sorted(file for file in path.glob("*") if file.suffix in suffixes) for path in paths}
    return [file for path in paths for file in (inside[path] or [path])]


def run_parity(paths: Sequence[Path], as_json: bool = False) -> int:
    """Checks files one after another and prints the verdicts. Returns 0 if all arrays passed, 1 otherwise.

    A file that can not be checked counts as a failure and does not keep the others from being checked.
    """
    reports: dict[str, list[Row]] = {}
    for path in _files(paths):
        rows = _rows(path)
        reports[str(path)] = rows
        if not as_json:
            print(format_rows(str(path), rows), flush=True)
    passed = bool(reports) and all(row.passed for rows in reports.values() for row in rows)
    if as_json:
        files = [
            {"path": path, "passed": all(row.passed for row in rows), "rows": [_record(row) for row in rows]}
            for path, rows in reports.items()
        ]
        print(json.dumps({"passed": passed, "files": files}, indent=1, allow_nan=False))
    return 0 if passed else 1


def _rows(path: Path) -> list[Row]:
    """The verdict on a file, in one failing row where it can not be checked at all.

    Arrays come from elsewhere and may have any shape and type: where they do not fit together, NumPy, JAX and Flax
    raise whatever they raise, and that is a verdict on the file.
    """
    try:
        return check_file(path)
    except IcmError as error:
        return [failure(path.name, str(error))]
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        return [failure(path.name, f"its arrays do not fit together ({type(error).__name__}: {first_line})")]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of `python -m weights_convert.golden`."""
    parser = argparse.ArgumentParser(prog="parity", description="Compare golden files with this project.")
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="golden .npz files, or folders of them"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    arguments = parser.parse_args(argv)
    return run_parity(arguments.paths, arguments.json)


def _record(row: Row) -> dict[str, object]:
    """A row as JSON; a difference that is not a number becomes null."""
    return {
        name: None if isinstance(value, float) and value != value else value
        for name, value in row._asdict().items()
    }


if __name__ == "__main__":
    sys.exit(main())
