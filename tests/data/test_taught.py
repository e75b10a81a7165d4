"""Photos that networks label: each once, label and photo always together, and none that is validated is trained on."""

import numpy as np
import pytest

from icm_jax.data import taught
from icm_jax.data.crops import PhotoSource
from icm_jax.data.dense_sources import TaughtConfig, read_source
from icm_jax.data.image_io import write_image
from icm_jax.data.taught import TaughtSource, Teacher, load_teacher, split_photos
from icm_jax.errors import IcmError

COUNT = 7


@pytest.fixture(autouse=True)
def asked(monkeypatch) -> list[str]:
    """Stands in for the networks: a class that every pixel's brightness says, and a list of who was asked."""
    calls: list[str] = []

    def answer(task: str, divisor: int):
        def label(network, photo):
            calls.append(task)
            return photo[..., 0] // divisor

        return label

    monkeypatch.setitem(taught.ANSWERS, "semseg", answer("semseg", 64))
    monkeypatch.setitem(taught.ANSWERS, "sal", answer("sal", 1))
    monkeypatch.setattr(taught, "frozen_network", lambda name, weights: name)
    return calls


@pytest.fixture
def photos(tmp_path):
    """Photos of three flat tones in blocks of 8 pixels, so that no resampling by nearest pixels makes another."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        tones = rng.choice([20, 100, 220], (5, 6)).astype(np.uint8)
        write_image(folder / f"{i}.png", np.repeat(tones.repeat(8, 0).repeat(8, 1)[..., None], 3, 2))
    return folder


def config(photos, **changes) -> TaughtConfig:
    values = {"folder": str(photos), "crop": 32, "batch_size": 2, "weights": "random", "held_out_count": 3}
    return TaughtConfig(**{**values, **changes})


def test_labels_follow_their_photos_through_scaling_cropping_and_mirroring(photos) -> None:
    batches = config(photos).batches(("semseg", "sal"), seed=1)
    for _ in range(4):
        batch = next(batches)
        assert {name: value.shape for name, value in batch.items()} == {
            "image": (2, 32, 32, 3),
            "semseg": (2, 32, 32),
            "sal": (2, 32, 32),
            "id": (2,),
        }
        known = batch["semseg"] != 255  # photos scaled below the crop are framed
        np.testing.assert_array_equal(batch["sal"][known], batch["semseg"][known] // 2)  # salient above 127
        off_edges = np.isin(batch["image"][..., 0], (20, 100, 220)) & known
        assert off_edges.mean() > 0.3
        same = batch["semseg"][off_edges] == batch["image"][off_edges][..., 0] // 64
        assert same.mean() > 0.97  # a bilinear edge may meet a tone by chance


def test_a_run_goes_on_with_its_batches_and_processes_share_them(photos) -> None:
    source = config(photos, threads=2)
    whole = source.batches(("semseg",), seed=1)
    batches = [next(whole) for _ in range(3)]
    later = next(source.batches(("semseg",), seed=1, first=2))
    shares = [next(source.batches(("semseg",), 1, (i, 2), 2)) for i in range(2)]
    for name, value in batches[2].items():
        np.testing.assert_array_equal(later[name], value)
        np.testing.assert_array_equal(np.concatenate([share[name] for share in shares]), value)
    other = next(source.batches(("semseg",), seed=2))
    assert not np.array_equal(batches[0]["image"], other["image"])


def test_what_is_validated_is_not_trained_on(photos) -> None:
    trained, held_out = split_photos(photos, 3)
    assert [path.stem for path in held_out] == ["1", "3", "5"]
    assert [path.stem for path in trained] == ["0", "2", "4", "6"]
    first, second = ([batch["image"] for batch in config(photos).held_out(("semseg",))] for _ in range(2))
    assert [len(image) for image in first] == [2, 1]
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(second))
    shown = PhotoSource(photos, 1, held_out)[0]["image"]
    np.testing.assert_array_equal(first[0][0], shown[4:36, 8:40])


def test_a_network_is_asked_once_a_photo_and_never_again_with_a_folder(photos, tmp_path, asked) -> None:
    teacher = Teacher("semseg", None, "digest", tmp_path / "labels")
    source = TaughtSource(PhotoSource(photos, 1), [teacher])
    labels = [source[i]["semseg"] for i in (*range(COUNT), *range(COUNT))]
    assert len(asked) == COUNT
    again = TaughtSource(PhotoSource(photos, 1), [teacher])
    for i in range(COUNT):
        np.testing.assert_array_equal(again[i]["semseg"], labels[i])
    assert len(asked) == COUNT and len(list((tmp_path / "labels" / "semseg").iterdir())) == COUNT


def test_other_photos_weights_and_tasks_have_other_labels(photos, tmp_path, asked) -> None:
    photo = PhotoSource(photos, 1)[0]["image"]
    known = ("semseg", None, "digest", tmp_path)
    for teacher, seen in (
        (Teacher(*known), photo),
        (Teacher(*known), photo[:, ::-1]),
        (Teacher("semseg", None, "other", tmp_path), photo),
        (Teacher("sal", None, "digest", tmp_path), photo),
    ):
        teacher.label(np.ascontiguousarray(seen))
    assert asked == ["semseg", "semseg", "semseg", "sal"]


def test_a_damaged_label_is_named(photos, tmp_path) -> None:
    teacher = Teacher("semseg", None, "digest", tmp_path / "labels")
    photo = PhotoSource(photos, 1)[0]["image"]
    teacher.label(photo)
    (file,) = (tmp_path / "labels" / "semseg").iterdir()
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(IcmError, match=f"{file.name}: not a readable label .* delete it"):
        teacher.label(photo)


def test_what_can_not_be_taught_is_refused(photos, tmp_path) -> None:
    with pytest.raises(IcmError, match=r"data\.folder is not set; name a folder of photos"):
        config("").batches(("semseg",), 0)
    with pytest.raises(IcmError, match=r"data\.held_out_count=7, but .*photos holds 7 photos"):
        config(photos, held_out_count=COUNT).batches(("semseg",), 0)
    with pytest.raises(IcmError, match="no network labels photos with 'normals'; choose of semseg, sal"):
        config(photos).batches(("normals",), 0)
    with pytest.raises(IcmError, match=r"espnet-v2: no weights at .*gone\.pth; place espnetv2"):
        load_teacher("semseg", str(tmp_path / "gone.pth"))
    (tmp_path / "one.pth").touch()
    with pytest.raises(IcmError, match=r"one\.pth' is one file, but sal and semseg have a network each"):
        config(photos, weights=str(tmp_path / "one.pth")).batches(("sal",), 0)
    with pytest.raises(IcmError, match=r"data\.crop=0 and data\.batch_size=8 must be at least 1"):
        read_source({"name": "taught", "crop": 0})
    with pytest.raises(IcmError, match=r"data\.scales=\(1\.0, 0\.5\) must rise"):
        read_source({"name": "taught", "scales": (1.0, 0.5)})


def test_photos_are_scaled_before_a_part_is_taken(photos) -> None:
    """Photos of 40×48 at a quarter leave most of a crop of 32×32 empty, and what is empty counts for nothing."""
    batch = next(config(photos, scales=(0.25, 0.25)).batches(("semseg",), 0))
    counted = (batch["semseg"] != 255).mean((1, 2))
    whole = next(config(photos, scales=(2.0, 2.0)).batches(("semseg",), 0))
    assert (counted == 10 * 12 / 32**2).all() and (whole["semseg"] != 255).all()
