"""What tasks are expected to lose at a rate: measured through real files, kept with the adapter, looked up."""

import json

import numpy as np
import pytest

from icm_jax import cli
from icm_jax.adapters import store
from icm_jax.data.image_io import write_image
from icm_jax.errors import IcmError
from icm_jax.evaluate import calibration
from icm_jax.evaluate.calibration import CALIBRATION, expected_losses, judged_tasks, loss_curve
from icm_jax.evaluate.harness import Row
from icm_jax.evaluate.judge import Judge
from icm_jax.evaluate.records import plain_counters
from icm_jax.metrics import Segmentation
from icm_jax.tasks import semseg
from tests.adapters.random_values import random_variables
from tests.adapters.test_adapted_codec import ALL_IN_ONE
from tests.test_codec import photo
from tests.tiny import BOTTLENECK, tiny_codec

CURVE = {"metric": "mIoU (%)", "images": 8, "bpp": [0.1, 0.4, 1.6], "loss": [30.0, 10.0, 2.0]}


def made(metrics: dict | None = None) -> store.StoredAdapter:
    variables = random_variables(ALL_IN_ONE, BOTTLENECK)
    return store.make_adapter("aio", "semseg+sal", ALL_IN_ONE, variables, tiny_codec().stored, metrics)


def test_losses_lie_between_the_measured_ones_over_log_rate() -> None:
    adapter = made({CALIBRATION: {"sal": CURVE}})
    assert expected_losses(adapter, 0.4)["sal"] == ("mIoU (%)", 10.0, False)
    assert expected_losses(adapter, 0.2)["sal"].loss == pytest.approx(20.0)
    assert expected_losses(adapter, 9.0)["sal"] == ("mIoU (%)", 2.0, True)
    with pytest.raises(IcmError, match="adapter aio was not calibrated; run: icm calibrate"):
        expected_losses(made(), 0.4)


def test_images_of_similar_rate_are_scored_together() -> None:
    def record(bpp: float, wrong: int) -> dict:
        label = np.zeros((4, 5), np.uint8)
        answer = label.copy()
        answer.flat[:wrong] = 1
        counters = {"classes": Segmentation.empty(21).update(answer[None], label[None])}
        return {"bpp": bpp, "counts": plain_counters({"own": counters})}

    judge = Judge(semseg.TASK, lambda pictures: [], None, {"name": "", "weights_sha256": ""})
    rows = [Row(record(0, 0), (record(bpp, wrong),)) for bpp, wrong in ((3, 2), (1, 10), (2, 4), (1, 10))]
    curve = loss_curve(judge, rows, 2)
    assert curve["bpp"] == [1.0, 2.5] and curve["images"] == 4
    # Of the two classes that occur, one has half its pixels right in the first group, the other none.
    assert curve["loss"] == pytest.approx([75.0, 100 - 100 * 34 / 40 / 2])


def test_calibrate_and_inspect(tmp_path, capsys, monkeypatch) -> None:
    codec, file, base = tiny_codec(), tmp_path / "aio.safetensors", tmp_path / "base"
    codec.save(base)
    store.save(made(), file)
    (tmp_path / "photos").mkdir()
    for i in range(4):
        write_image(tmp_path / "photos" / f"{i}.png", photo(40, 60, i))
    assert judged_tasks(made()) == {"semseg": "semseg", "sal": "saliency"}

    def brightness(task: str, recognizer: str, weights: str, labels: str) -> Judge:
        """A network that sees two classes, dark and bright."""
        answers = lambda pictures: [(p.mean(-1) > 127).astype(np.uint8) for p in pictures]  # noqa: E731
        return Judge(semseg.TASK, answers, None, {"name": task, "weights_sha256": ""})

    monkeypatch.setattr(calibration, "load_judge", brightness)
    calibrate = [
        "calibrate",
        str(tmp_path / "photos"),
        "-c",
        str(base),
        "-a",
        str(file),
        "-o",
        str(tmp_path / "out"),
    ]
    assert cli.main([*calibrate, "--groups", "1"]) == 0
    assert "semseg: loss of agreement, mIoU of classes that occur (%), 4 images" in capsys.readouterr().out
    calibrated = store.load(file)
    assert calibrated.hash == made().hash and set(calibrated.metrics[CALIBRATION]) == {"semseg", "sal"}
    for name, adapter in (("tasks", file), ("people", None)):
        data = codec.with_adapter(adapter).compress(photo(40, 60))
        (tmp_path / f"{name}.icm").write_bytes(data)

    def inspect(name: str, *more: str) -> int:
        return cli.main(
            ["inspect", str(tmp_path / f"{name}.icm"), "-c", str(base), "--tasks", str(file), *more]
        )

    assert inspect("tasks", "--json") == 0
    (report,) = json.loads(capsys.readouterr().out)
    curve = calibrated.metrics[CALIBRATION]["sal"]
    assert report["tasks"][1] == {
        "task": "sal",
        "metric": curve["metric"],
        "loss": pytest.approx(curve["loss"][0]),
        "outside": True,
    }
    assert inspect("tasks") == 0
    assert "expected to lose" in capsys.readouterr().out
    assert inspect("people") == 2
    assert "needs adapter none" in capsys.readouterr().err
    assert cli.main([*calibrate, "--groups", "2"]) == 2
    assert "4 images for 2 groups; give 4 a group or more" in capsys.readouterr().err
    assert cli.main([*calibrate, "--groups", "1", "--weights", "depth=x"]) == 2
    assert "task 'depth' can not be judged; of this adapter can semseg, sal" in capsys.readouterr().err
