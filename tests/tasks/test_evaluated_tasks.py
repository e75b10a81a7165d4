"""The tasks that decoded pictures are judged by: labels, counts, agreement, and one line for every bad label."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from icm_jax.errors import IcmError
from icm_jax.evaluate.judge import Judge, load_judge
from icm_jax.layers.resize import bilinear
from icm_jax.recognizers.detection.inference import Instances
from icm_jax.recognizers.preprocessing import Preprocessing, Squash
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.tasks.answers import BATCH, network_outputs
from icm_jax.tasks.dense_answers import resized_plane
from icm_jax.tasks.registry import TASKS, get_task
from icm_jax.tasks.task import merged

SIZE = (24, 32)
OUTPUTS = {
    "semseg": 21,
    "semseg-nyud": 40,
    "human_parts": 7,
    "saliency": 1,
    "depth": 1,
    "normals": 3,
    "boundary": 1,
    "boundary-nyud": 1,
}


class TinyDense(nn.Module):
    """One convolution: a map of outputs at a quarter of the input's size."""

    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        return {"map": nn.Conv(self.outputs, (4, 4), strides=(4, 4), name="conv")(x)}


def tiny_network(outputs: int) -> Recognizer:
    network = TinyDense(outputs)
    params = network.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]
    return Recognizer(
        params=params,
        name="tiny",
        network=network,
        preprocessing=Preprocessing(Squash(16)),
        taps=(),
        output="map",
    )


@pytest.fixture
def pictures() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), np.uint8))


def label_file(folder: Path, task: str) -> Path:
    """A label that the task can read."""
    generator = np.random.default_rng(1)
    if task == "depth":
        values = generator.uniform(0, 5, SIZE).astype(np.float32)
        np.save(folder / "a.npy", np.where(values < 1, 0, values))
        return folder / "a.npy"
    if task == "normals":
        np.save(folder / "a.npy", generator.normal(size=(*SIZE, 3)))
        return folder / "a.npy"
    high = {"saliency": 256, "boundary": 2, "boundary-nyud": 2}.get(task, OUTPUTS[task])
    Image.fromarray(generator.integers(0, high, SIZE).astype(np.uint8)).save(folder / "a.png")
    return folder / "a.png"


@pytest.mark.parametrize("name", OUTPUTS)
def test_dense_tasks_from_file_to_score(name: str, tmp_path: Path, pictures) -> None:
    task = get_task(name)
    label_file(tmp_path, name)
    labels = task.open_labels(tmp_path)
    image = Path("photos/a.jpg")
    labels.check([image])
    label = labels.of(image, SIZE)
    answers = task.answers(tiny_network(OUTPUTS[name]), pictures)
    scores = task.scores(task.count(answers[0], label), labels)
    assert set(scores) == {metric.name for metric in task.metrics}
    for metric in task.metrics:
        assert metric.low <= scores[metric.name] <= metric.high
    counted = [task.count(answer, label) for answer in answers]
    assert task.scores(merged([task.empty(), *counted]), labels) == task.scores(merged(counted), labels)


@pytest.mark.parametrize("name", [name for name in OUTPUTS if "boundary" not in name])
def test_an_answer_agrees_with_itself(name: str, pictures) -> None:
    task = get_task(name)
    assert task.as_label is not None
    answer, other = task.answers(tiny_network(OUTPUTS[name]), pictures)[:2]
    same, different = (task.scores(task.count(one, task.as_label(answer)), None) for one in (answer, other))
    for metric in task.agreement_metrics:
        best = 0 if metric.lower_is_better else 100
        assert same[metric.name] == pytest.approx(best, abs=2e-5)
        assert abs(different[metric.name] - best) > 1e-3


def test_answers_do_not_depend_on_what_else_is_asked(pictures) -> None:
    network = tiny_network(5)
    alone = network_outputs(network, pictures[1:2])[0]
    crowd = network_outputs(network, pictures * BATCH)
    assert len(crowd) == 3 * BATCH
    for start in range(1, len(crowd), 3):
        np.testing.assert_array_equal(crowd[start], alone)


def test_resizing_on_the_host_is_that_of_the_layers() -> None:
    plane = np.random.default_rng(0).normal(size=(12, 10, 3)).astype(np.float32)
    for size in ((12, 10), (25, 31), (5, 40), (7, 4)):
        expected = np.asarray(bilinear(jnp.asarray(plane)[None], size)[0])
        np.testing.assert_allclose(resized_plane(plane, size), expected, atol=1e-6)


def test_people_free_images_count_nowhere(tmp_path: Path) -> None:
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "a.png")
    assert (get_task("human_parts").open_labels(tmp_path).of(Path("a.jpg"), SIZE) == 255).all()
    assert (get_task("semseg").open_labels(tmp_path).of(Path("a.jpg"), SIZE) == 0).all()


def test_normals_of_png_and_zero_vectors(tmp_path: Path) -> None:
    values = np.full((*SIZE, 3), 127, np.uint8)  # the nearest to zero
    values[0, 0] = (255, 127, 127)
    Image.fromarray(values).save(tmp_path / "a.png")
    label = get_task("normals").open_labels(tmp_path).of(Path("a.jpg"), SIZE)
    assert label[0, 0, 0] == pytest.approx(1, abs=1e-4) and (label[1:] == 255).all()


def bad_label(folder: Path, kind: str) -> str:
    """Writes a bad label and names its task."""
    if kind == "other size":
        Image.fromarray(np.zeros((5, 6), np.uint8)).save(folder / "a.png")
        return "semseg"
    if kind == "class out of range":
        Image.fromarray(np.full(SIZE, 21, np.uint8)).save(folder / "a.png")
        return "semseg"
    if kind == "colour":
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(folder / "a.png")
        return "saliency"
    if kind == "16 bit":
        Image.fromarray(np.zeros(SIZE, np.uint16)).save(folder / "a.png")
        return "semseg"
    if kind == "torn":
        (folder / "a.npy").write_bytes(b"\x93NUMPY")
        return "depth"
    if kind == "NaN":
        np.save(folder / "a.npy", np.full(SIZE, np.nan))
        return "depth"
    return "semseg"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("other size", r"a\.png: label is 6×5, its image a\.jpg is 32×24"),
        ("class out of range", r"a\.png: label has class 21, the limits are 0 to 20"),
        ("colour", r"a\.png: label is in colour"),
        ("16 bit", r"a\.png: label has mode I;16"),
        ("torn", r"a\.npy: not a readable label"),
        ("NaN", r"a\.npy: label of shape .* has to be finite metres"),
        ("absent", r"a: no label \(\.png\) for a\.jpg"),
    ],
)
def test_bad_labels_are_named(kind: str, message: str, tmp_path: Path) -> None:
    labels = get_task(bad_label(tmp_path, kind)).open_labels(tmp_path)
    with pytest.raises(IcmError, match=message):
        labels.of(Path("a.jpg"), SIZE)


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    box = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [4, 4, 12, 8], "area": 96, "iscrowd": 0}
    box["segmentation"] = [[4, 4, 16, 4, 16, 12, 4, 12]]
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 32, "height": 24}],
        "annotations": [box],
        "categories": [{"id": 3, "name": "car"}],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return path


def one_instance(shift: float = 0.0) -> Instances:
    mask = np.zeros(SIZE, bool)
    mask[4:12, 4 + int(shift) : 16 + int(shift)] = True
    box = np.array([[4 + shift, 4, 16 + shift, 12]], np.float32)
    return Instances(box, np.array([0.9], np.float32), np.array([3]), mask[None])


@pytest.mark.parametrize("name", ["detection", "instances"])
def test_objects_of_coco(name: str, annotations: Path) -> None:
    pytest.importorskip("pycocotools")
    task = get_task(name)
    labels = task.open_labels(annotations)
    label = labels.of(Path("x/a.jpg"), SIZE)
    score = lambda answer: task.scores(task.count(answer, label), labels)  # noqa: E731
    assert score(one_instance()) == pytest.approx({"ap": 100, "ap50": 100, "ap75": 100})
    moved = score(one_instance(3))  # IoU 9 / 15
    assert moved["ap50"] == pytest.approx(100) and moved["ap75"] == 0 and moved["ap"] == pytest.approx(30)
    with pytest.raises(IcmError, match=r"instances\.json: a\.jpg is 32×24, the file is 8×8"):
        labels.of(Path("a.jpg"), (8, 8))
    with pytest.raises(IcmError, match=r"none of its 1 images is b\.jpg"):
        labels.check([Path("b.jpg")])


def test_masks_need_a_network_that_finds_them(annotations: Path) -> None:
    task = get_task("instances")
    label = task.open_labels(annotations).of(Path("a.jpg"), SIZE)
    with pytest.raises(IcmError, match="use a Mask R-CNN"):
        task.count(one_instance()._replace(masks=None), label)


def test_objects_of_open_images(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("LabelName,CategoryID\n/m/car,3\n/m/cat,17\n")
    (tmp_path / "boxes.csv").write_text(
        "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n"
        f"a,/m/car,{4 / 32},{16 / 32},{4 / 24},{12 / 24},0\na,/m/other,0,1,0,1,0\n"
    )
    (tmp_path / "labels.csv").write_text("ImageID,LabelName,Confidence\na,/m/car,1\na,/m/cat,0\n")
    task = get_task("open-images")
    labels = task.open_labels(tmp_path)
    labels.check([Path("a.jpg")])
    label = labels.of(Path("a.jpg"), SIZE)
    assert task.scores(task.count(one_instance(), label), labels) == {"ap50": 100}
    assert task.scores(task.count(one_instance(8), label), labels) == {"ap50": 0}
    with pytest.raises(IcmError, match="no row for image b"):
        labels.check([Path("b.jpg")])
    (tmp_path / "boxes.csv").write_text("ImageID,Label\na,x\n")
    with pytest.raises(IcmError, match=r"boxes\.csv: has no column LabelName"):
        task.open_labels(tmp_path).of(Path("a.jpg"), SIZE)


def test_names(tmp_path: Path) -> None:
    assert all(task.name == name for name, task in TASKS.items())
    with pytest.raises(IcmError, match="task 'pose' is unknown; choose one of classification"):
        load_judge("pose")
    with pytest.raises(
        IcmError, match="semseg is not answered by network 'u2netp'; networks that do: espnet-v2"
    ):
        load_judge("semseg", "u2netp")
    with pytest.raises(
        IcmError, match="depth is not answered by network ''; networks that do: none is included"
    ):
        load_judge("depth")
    with pytest.raises(IcmError, match="detection counts against labels only"):
        load_judge("detection")
    with pytest.raises(IcmError, match="no weights at"):
        load_judge("saliency", weights=str(tmp_path))


def test_a_judge_reports_what_it_can(pictures) -> None:
    task, network = get_task("depth"), tiny_network(1)
    judge = Judge(task, lambda shown: task.answers(network, shown), None, {"name": "t", "weights_sha256": ""})
    assert [metric.name for metric in judge.metrics] == ["rmse_agreement"]
    own, counted = judge.count(Path("a.png"), pictures[0], pictures[:2], None)
    assert own == counted[0] != counted[1]
    assert judge.scores(counted[0]) == {"rmse_agreement": pytest.approx(0, abs=1e-6)}


def test_a_judge_without_a_network_reads_predictions(tmp_path: Path, pictures) -> None:
    label_file(tmp_path, "depth")
    judge = load_judge("depth", labels=str(tmp_path))
    label = judge.label(Path("a.png"), SIZE)
    prediction = np.where(label > 0, label + 0.5, 3).astype(np.float32)[..., None]
    own, (counted,) = judge.count(Path("a.png"), pictures[0], [prediction], label)
    assert own is None and judge.scores(counted)["rmse"] == pytest.approx(0.5)
    assert [metric.name for metric in judge.metrics] == ["rmse", "abs_rel"]
    with pytest.raises(IcmError, match="depth is answered by no network that is included"):
        judge.count(Path("a.png"), pictures[0], pictures[:1], label)
