"""Golden checks of metrics. Expected values come from the meters of MTLoRA, pyEdgeEval and pycocotools."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from icm_jax.metrics import Boundary, CocoDetections, Depth, Normals, Saliency, Segmentation, TopK, delta_m
from icm_jax.metrics.boundary import THRESHOLDS, Thinning
from icm_jax.metrics.meter import ratio
from icm_jax.metrics.normals import angles
from icm_jax.metrics.saliency import IMAGE_THRESHOLDS, SET_THRESHOLDS, f_beta03
from icm_jax.metrics.thinning import thin
from weights_convert.golden_file import EXACT, GoldenError, GoldenFile, Row, Tolerance

ROUNDING = Tolerance(relative=1e-12)  # float64 sums in another order
FLOAT32 = Tolerance(relative=1e-6)  # the reference summed in float32
# pyEdgeEval misses a few pairs, as its assignment runs on a graph drawn partly at random: even at a distance
# below one pixel, where pairs are simply the pixels set in both maps. Ours is the largest matching.
MATCHED = Tolerance(absolute=5)
SHARE_OF_MATCHED = Tolerance(absolute=5e-3)
SHARE_OF_MATCHED_IN_SET = Tolerance(absolute=2e-3)

EDGE_SETTINGS: dict[str, tuple[float, Thinning]] = {
    "d0075": (0.0075, "early"),
    "d0111": (0.0111, "early"),
    "d02": (0.02, "early"),
    "d02_nothin": (0.02, "none"),
    "d02_nms": (0.02, "early"),
}


def check_semseg(path: Path) -> list[Row]:
    """Cases of class maps, each with its own number of classes."""
    file = GoldenFile(path)
    for case in sorted({name.partition("/")[0] for name in file.arrays}):
        _compare_segmentation(file, f"{case}/", int(file.read(f"{case}/n_classes")))
    return file.finish()


def check_human_parts(path: Path) -> list[Row]:
    """Class maps of seven classes."""
    file = GoldenFile(path)
    _compare_segmentation(file, "", classes=7)
    return file.finish()


def check_saliency(path: Path) -> list[Row]:
    """Logits; the reference's sigmoid runs in float32, ours too."""
    file = GoldenFile(path)
    logits = file.read("logits")
    probability = 1 / (1 + np.exp(-logits))
    label = file.read("gt")
    images = [Saliency.empty().update(p[None], t[None]) for p, t in zip(probability, label, strict=True)]
    total = Saliency.empty().update(probability, label)
    score = total.compute()
    iou, precision, recall = total.image_sums / total.images
    file.compare("thresholds_img", IMAGE_THRESHOLDS, ROUNDING)
    file.compare("per_image_iou", np.stack([image.image_sums[0] for image in images]), FLOAT32)
    file.compare("mIoUs", iou, FLOAT32)
    file.compare("mPrec", precision, FLOAT32)
    file.compare("mRec", recall, FLOAT32)
    file.compare("F_beta1", 2 * precision * recall / (precision + recall + 1e-12), FLOAT32)
    file.compare("mIoU", score.miou, FLOAT32)
    file.compare("maxF_beta1", score.max_f_beta1, FLOAT32)
    file.compare("thresholds_px", SET_THRESHOLDS, ROUNDING)
    hits, predicted = total.set_counts[:2]
    file.compare("px_tp", hits, EXACT)
    file.compare("px_pp", predicted, EXACT)
    file.compare("px_ap", total.actual, EXACT)
    file.compare("F_beta03_correct", f_beta03(hits, predicted, total.actual), ROUNDING)
    file.compare("maxF_beta03_correct", score.max_f_beta03, ROUNDING)
    file.compare("maxF_beta03_double_sigmoid", score.max_f_beta03_double_sigmoid, FLOAT32)
    return file.finish()


def check_depth(path: Path) -> list[Row]:
    """Metres, 255 where there is no label."""
    file = GoldenFile(path)
    total = Depth.empty().update(file.read("pred"), file.read("gt"))
    score = total.compute()
    file.compare("n_valid", total.pixels, EXACT)
    file.compare("rmse", score.rmse, FLOAT32)
    file.compare("log_rmse", score.log_rmse, FLOAT32)
    file.compare("rmse_image_mean", score.rmse_image_mean, FLOAT32)
    return file.finish()


def check_normals(path: Path) -> list[Row]:
    """Vectors of any length against unit vectors."""
    file = GoldenFile(path)
    prediction, label = file.read_map("raw_output"), file.read_map("gt")
    score = Normals.empty().update(prediction, label).compute()
    tolerance = Tolerance(relative=5e-6)  # the reference's angles are float32
    file.compare("mean", score.mean, tolerance)
    file.compare("mean_atan2", score.mean, tolerance)
    file.compare("pct_11_25", score.share_11_25, ROUNDING)
    file.compare("pct_22_5", score.share_22_5, ROUNDING)
    file.compare("pct_30", score.share_30, ROUNDING)
    file.compare("true_rmse", score.true_rmse, tolerance)
    valid = (label != 255).all(axis=-1)
    ordered = np.sort(angles(prediction[valid], label[valid]))
    lower_median = ordered[(len(ordered) - 1) // 2]
    file.compare("median", lower_median, tolerance, "of the angles: a median can not be merged")
    return file.finish()


def check_edge(path: Path) -> list[Row]:
    """Boundary maps at several distances: thinned as pyEdgeEval does, not thinned, after its suppression."""
    file = GoldenFile(path)
    prediction, label = file.read("pred_u8") / 255, file.read("gt")
    file.compare("thresholds", THRESHOLDS, EXACT)
    file.compare("thin_of_pred_ge_0p3", np.stack([thin(image >= 0.3) for image in prediction]), EXACT)
    for name, (distance, thinning) in EDGE_SETTINGS.items():
        if f"{name}/counts" not in file:
            continue
        suppressed = f"{name}/pred_after_nms"
        maps = file.read(suppressed) if suppressed in file else prediction
        _compare_boundaries(file, name, Boundary.empty(distance, thinning), maps, label)
    return file.finish()


def check_topk(path: Path) -> list[Row]:
    """Logits and class indexes."""
    file = GoldenFile(path)
    score = TopK.empty().update(file.read("logits"), file.read("label")).compute()
    file.compare("top1", score.top1, EXACT)
    file.compare("top5", score.top5, EXACT)
    return file.finish()


def check_delta_m(path: Path) -> list[Row]:
    """One value a task, from a multi-task and from single-task models."""
    file = GoldenFile(path)
    multi, single, lower_is_better = (
        file.read(name).tolist() for name in ("multi", "single", "lower_better")
    )
    file.compare("delta_m", delta_m(multi, single, lower_is_better), ROUNDING)
    return file.finish()


def check_coco(path: Path) -> list[Row]:
    """The twelve figures for boxes and for masks; ground truth and detections lie beside the file."""
    expected, truth, detections = (
        _read_json(path.with_name(f"coco_{part}.json")) for part in ("expected", "gt", "dt")
    )
    total = CocoDetections.empty()
    for image in truth["images"]:
        total = total.update(image["id"], [found for found in detections if found["image_id"] == image["id"]])
    rows = []
    for kind in ("bbox", "segm"):
        ours = total.compute(truth, kind)
        for name, value, theirs in zip(expected["stats_order"], ours, expected[kind], strict=True):
            error = abs(value - theirs)
            rows.append(Row(f"{kind}/{name}", error, error / max(abs(theirs), 1e-12), 1e-12, error <= 1e-12))
    return rows


def check_coco_input(path: Path) -> list[Row]:
    return [Row(path.name, 0.0, 0.0, 0.0, True, "input of coco_expected.json, no check")]


def _compare_segmentation(file: GoldenFile, prefix: str, classes: int) -> None:
    total = Segmentation.empty(classes).update(file.read(f"{prefix}pred"), file.read(f"{prefix}gt"))
    score = total.compute()
    file.compare(f"{prefix}tp", total.true_positives, EXACT)
    file.compare(f"{prefix}fp", total.false_positives, EXACT)
    file.compare(f"{prefix}fn", total.false_negatives, EXACT)
    file.compare(f"{prefix}iou", score.iou / 100, ROUNDING)
    file.compare(f"{prefix}miou", score.miou / 100, ROUNDING)
    file.compare(f"{prefix}miou_present_only", score.miou_present_only / 100, ROUNDING)


def _compare_boundaries(
    file: GoldenFile, name: str, empty: Boundary, prediction: np.ndarray, label: np.ndarray
) -> None:
    shares = [empty.update(p[None], t[None]) for p, t in zip(prediction, label, strict=True)]
    total = shares[0]
    for share in shares[1:]:
        total = total.merge(share)
    score = total.compute()

    counts = file.read(f"{name}/counts")  # image, (matched gt, gt, matched pred, pred), threshold
    ours = np.stack([share.counts for share in shares])
    matched, actual, predicted = np.moveaxis(ours, 1, 0)
    pixels_agree = np.array_equal(counts[:, 1], actual) and np.array_equal(counts[:, 3], predicted)
    file.require(f"{name}/counts", pixels_agree, "pixels of labels and predictions")
    file.require(f"{name}/counts", bool((matched >= counts[:, 0]).all()), "ours matches at least as many")
    file.compare(f"{name}/counts", np.stack([matched, actual, matched, predicted], axis=1), MATCHED)

    matched, actual, predicted = total.counts
    precision, recall = ratio(matched, predicted), ratio(matched, actual)
    file.compare(f"{name}/rec", recall, SHARE_OF_MATCHED)
    file.compare(f"{name}/prec", precision, SHARE_OF_MATCHED)
    file.compare(f"{name}/f", ratio(2 * precision * recall, precision + recall), SHARE_OF_MATCHED)
    file.compare(f"{name}/odsF", score.ods_f, SHARE_OF_MATCHED_IN_SET)
    file.compare(f"{name}/ods_thr", score.ods_threshold, Tolerance(absolute=0.0101), "neighbours nearly tie")
    file.compare(f"{name}/odsF_interp", score.ods_f_interpolated, SHARE_OF_MATCHED_IN_SET)
    file.compare(f"{name}/oisF", score.ois_f, SHARE_OF_MATCHED_IN_SET)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise GoldenError(f"{path} can not be read as JSON: {error}") from None
