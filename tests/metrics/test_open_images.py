"""Open Images AP50: each rule by an example that can be counted by hand."""

import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.metrics import OpenImages
from icm_jax.metrics.open_images import OpenImagesTruth, average_precision

BOX, FAR, GROUP = [0, 0, 10, 10], [50, 50, 60, 60], [100, 100, 200, 200]


def truth(boxes, categories, groups=None, verified=()) -> OpenImagesTruth:
    return OpenImagesTruth(
        np.array(boxes, float).reshape(-1, 4),
        np.array(categories, int),
        np.array(groups or [False] * len(boxes), bool),
        np.array(verified, int),
    )


def found(boxes, scores, categories, known: OpenImagesTruth) -> OpenImages:
    detections = np.array(boxes, float).reshape(-1, 4)
    return OpenImages.empty().update(detections, np.array(scores, float), np.array(categories, int), known)


def test_found_once_and_found_again() -> None:
    known = truth([BOX, FAR], [1, 1])
    assert found([BOX, FAR], [0.9, 0.8], [1, 1], known).compute().ap50 == 1
    # the second detection of one box is a false alarm between the two hits
    counted = found([BOX, BOX, FAR], [0.9, 0.8, 0.7], [1, 1, 1], known)
    assert counted.hits.tolist() == [1, 0, 1]
    assert counted.compute().ap50 == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_half_an_overlap_is_enough() -> None:
    assert found([[0, 0, 10, 5]], [0.5], [1], truth([BOX], [1])).compute().ap50 == 1
    assert found([[0, 0, 10, 4.9]], [0.5], [1], truth([BOX], [1])).compute().ap50 == 0


def test_a_detection_stands_for_its_best_box_alone() -> None:
    near = [0, 0, 10, 9]
    counted = found([BOX, BOX], [0.9, 0.8], [1, 1], truth([BOX, near], [1, 1]))
    assert counted.hits.tolist() == [1, 0]  # though the second overlaps the other box by 0.9


def test_classes_that_nobody_looked_for_do_not_count() -> None:
    known = truth([BOX], [1], verified=[2])
    counted = found([BOX, BOX, BOX], [0.9, 0.95, 0.99], [1, 2, 3], known)
    assert sorted(counted.categories.tolist()) == [1, 2]  # 2 is known not to be there: a false alarm
    assert counted.compute().by_category == {1: 1.0}


def test_all_detections_inside_a_group_count_once() -> None:
    inside = [[100, 100, 110, 110], [120, 120, 130, 130], [180, 180, 190, 190]]
    known = truth([GROUP, BOX], [1, 1], [True, False])
    counted = found([*inside, BOX, FAR], [0.3, 0.9, 0.5, 0.8, 0.7], [1] * 5, known)
    assert sorted(zip(counted.scores.tolist(), counted.hits.tolist(), strict=True)) == [
        (0.7, 0),
        (0.8, 1),
        (0.9, 1),
    ]
    assert counted.compute().ap50 == 1
    missed = found([BOX], [0.8], [1], known)
    assert missed.compute().ap50 == 0.5


def test_mean_over_classes_that_have_a_box() -> None:
    counted = found([BOX], [0.5], [1], truth([BOX, FAR], [1, 2], verified=[3]))
    assert counted.compute().by_category == {1: 1.0, 2: 0.0} and counted.compute().ap50 == 0.5
    assert np.isnan(OpenImages.empty().compute().ap50)


def test_shares_merge_in_any_order() -> None:
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(6):
        corners = generator.uniform(0, 20, (8, 2))
        boxes = np.concatenate([corners, corners + generator.uniform(5, 15, (8, 2))], 1)
        known = truth(boxes[:4], generator.integers(1, 3, 4), list(generator.random(4) < 0.3), [1, 2])
        scores = generator.integers(1, 4, 8) / 4  # many are equal
        shares.append(
            found(boxes + generator.normal(size=(8, 4)), scores, generator.integers(1, 3, 8), known)
        )
    forward, backward = OpenImages.empty(), OpenImages.empty()
    for share, other in zip(shares, shares[::-1], strict=True):
        forward, backward = forward.merge(share), backward.merge(other)
    assert 0 < forward.compute().ap50 < 1
    assert forward.compute() == backward.compute()


def test_area_below_the_envelope() -> None:
    # precision 1, 1/2, 2/3, 2/4, 3/5 -> envelope 1, 2/3, 2/3, 3/5, 3/5 at the hits 1, 3, 5
    value = average_precision(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([1, 0, 1, 0, 1]), 4)
    assert value == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)


def test_lists_that_do_not_match() -> None:
    with pytest.raises(IcmError, match="1 boxes, 2 scores and 1 classes"):
        found([BOX], [0.5, 0.4], [1], truth([BOX], [1]))
