"""Batches of several tasks: the same wherever a run starts, on however many processes and threads."""

import numpy as np
import pytest

from icm_jax.data.builders.build import build
from icm_jax.data.datasets import open_set
from icm_jax.data.recipes import Resize, ScaleAndCrop, Warp
from icm_jax.data.task_batches import TaskSource, task_batches, task_samples
from icm_jax.errors import IcmError
from tests.data import dummy_archives

TASKS = ("depth", "normals")
TRANSFORMS = {"warp": Warp((24, 24), 20.0, (0.75, 1.25)), "crop": ScaleAndCrop((24, 24))}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    dummy_archives.nyud(root / "nyud")
    dummy_archives.pascal(root / "pascal")
    build("nyud_mt", root / "nyud", root / "out", as_is=True)
    build("pascal_mt", root / "pascal", root / "out", as_is=True)
    return root / "out"


@pytest.fixture(scope="module")
def nyud(data_dir):
    return open_set("nyud_mt", data_dir)


def take(batches, count: int) -> list[dict]:
    return [next(batches) for _ in range(count)]


def assert_same(one: list[dict], other: list[dict]) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def batches_of(built, transform: str = "warp", batch_size: int = 4, seed: int = 3, **options):
    return task_batches(built, "train", TASKS, TRANSFORMS[transform], batch_size, seed, **options)


def test_batches_hold_the_tasks_asked_for(nyud) -> None:
    batch = next(batches_of(nyud))
    assert {name: (value.shape, value.dtype.name) for name, value in batch.items()} == {
        "image": ((4, 24, 24, 3), "uint8"),
        "depth": ((4, 24, 24), "float32"),
        "normals": ((4, 24, 24, 3), "float32"),
        "id": ((4,), "int32"),
    }


@pytest.mark.parametrize("transform", sorted(TRANSFORMS))
def test_batches_do_not_depend_on_where_a_run_starts(transform, nyud) -> None:
    whole = take(batches_of(nyud, transform), 6)
    assert_same(whole[4:], take(batches_of(nyud, transform, first=4), 2))
    other = next(batches_of(nyud, transform, seed=4))
    assert (whole[0]["image"] != other["image"]).any()


def test_batches_do_not_depend_on_the_number_of_threads(nyud) -> None:
    assert_same(take(batches_of(nyud), 5), take(batches_of(nyud, threads=4), 5))


@pytest.mark.parametrize("count", [2, 4])
def test_shares_together_are_the_whole_batch(count, nyud) -> None:
    whole = take(batches_of(nyud), 3)
    shares = [take(batches_of(nyud, share=(i, count)), 3) for i in range(count)]
    joined = [
        {name: np.concatenate([share[n][name] for share in shares]) for name in whole[0]} for n in range(3)
    ]
    assert_same(whole, joined)


def test_every_epoch_shows_every_example_once_in_another_order(nyud) -> None:
    ids = np.concatenate([batch["id"] for batch in take(batches_of(nyud, batch_size=3), 12)]).reshape(12, 3)
    assert (np.sort(ids, axis=1) == np.arange(3)).all() and len({tuple(row) for row in ids.tolist()}) > 1


def test_labels_belong_to_their_images(nyud) -> None:
    """Turned and scaled alike: from the depth of the same photo, warped without colours."""
    samples = TaskSource(nyud, "train", ("depth",))
    for batch in take(task_batches(nyud, "train", ("depth",), Resize((24, 32)), 3, seed=0), 2):
        for i, number in enumerate(batch["id"]):
            np.testing.assert_array_equal(batch["image"][i], samples[number]["image"])
            known = batch["depth"][i] != 255
            np.testing.assert_array_equal(batch["depth"][i][known], samples[number]["depth"][known])


def test_evaluation_shows_every_sample_once_in_order_shared_by_processes(nyud) -> None:
    def ids(**options) -> list[int]:
        return [int(s["id"]) for s in task_samples(nyud, "train", TASKS, Resize((16, 16)), **options)]

    assert ids() == [0, 1, 2] and ids(share=(0, 2)) == [0, 2] and ids(share=(1, 2)) == [1]
    assert ids(threads=3) == [0, 1, 2]


def test_pictures_without_people_are_left_out_of_human_parts_alone(data_dir) -> None:
    pascal = open_set("pascal_mt", data_dir)
    shown = {
        tasks: [int(s["id"]) for s in task_samples(pascal, "train", tasks, Resize((16, 16)))]
        for tasks in (("human_parts",), ("human_parts", "semseg"))
    }
    assert shown == {("human_parts",): [0, 2], ("human_parts", "semseg"): [0, 1, 2]}


def test_crops_read_the_classes_they_are_judged_by_and_give_none_away(nyud) -> None:
    batch = next(batches_of(nyud, "crop"))
    assert "semseg" not in batch and batch["depth"].shape == (4, 24, 24)


def test_what_does_not_fit_is_named(nyud) -> None:
    with pytest.raises(IcmError, match="has no 'human_parts'; choose of"):
        TaskSource(nyud, "train", ("human_parts",))
    with pytest.raises(IcmError, match="no split 'test'; choose one of train, validation"):
        TaskSource(nyud, "test", ("depth",))
    with pytest.raises(IcmError, match="no task is named"):
        TaskSource(nyud, "train", ())
    with pytest.raises(IcmError, match="batch of 4 can not be shared by 3 processes"):
        batches_of(nyud, share=(0, 3))
