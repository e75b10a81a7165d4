"""The harness: real bytes, resuming, processes, and one line for every bad input."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from icm_jax.adapters import store as adapter_store
from icm_jax.adapters.channel_selection import ChannelSelectionSpec
from icm_jax.bitstream.container import read_header
from icm_jax.data.image_io import read_image
from icm_jax.errors import IcmError
from icm_jax.evaluate import harness
from icm_jax.evaluate.bd_table import bd_rows
from icm_jax.evaluate.evaluation import evaluate_bench
from icm_jax.evaluate.harness import Bench, Options, measure_images
from icm_jax.evaluate.image_quality import ms_ssim_db, psnr
from icm_jax.evaluate.judge import load_judge
from icm_jax.evaluate.protocol import OWN, get_protocol
from icm_jax.evaluate.result import read_results
from icm_jax.evaluate.subjects import Subject, load_subjects
from icm_jax.metrics import Normals
from icm_jax.pretrained import dora_icm, store
from icm_jax.pretrained.dora_icm import write_backbone
from icm_jax.recognizers.preprocessing import Preprocessing, ShortSideCrop
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.tasks.classification import TASK
from icm_jax.tasks.task import Features
from tests.adapters.random_values import random_variables
from tests.evaluate.toy_bench import CLASSES, colour_logits, make_toy, toy_judge
from tests.tiny import BOTTLENECK, tiny_codec
from tests.tiny_dora import TINY, random_model


@pytest.fixture
def images(tmp_path: Path, small_photos) -> list[Path]:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, image in enumerate(small_photos):
        Image.fromarray(image).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text("file,class_index,wnid\n0.png,3,a\n1.png,11,b\n2.png,0,c\n")
    return path


def bench_of(codecs) -> Bench:
    return Bench(tuple(Subject(codec.name, codec.quality, codec) for codec in codecs))


def test_records_hold_the_bytes_of_each_file(images, fake_codecs, small_photos, tmp_path) -> None:
    out = tmp_path / "out"
    _, rows = measure_images(lambda: bench_of(fake_codecs), images, out, Options(keep=True))
    record = rows[2].records[1]
    data = fake_codecs[1].compress(small_photos[2])
    assert (out / "files" / "fake-2" / "2.icm").read_bytes() == data
    assert record["bytes"] == len(data)
    assert record["bpp"] == pytest.approx(8 * len(data) / (97 * 111))
    assert record["psnr"] == psnr(small_photos[2], fake_codecs[1].decompress(data))
    assert record["estimated_bpp"] > 0 and 0.5 < record["ms_ssim"] < 1
    lines = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert lines == [record for row in rows for record in row.records]


def test_pictures_are_what_the_file_decodes_to(images, fake_codecs, small_photos, tmp_path) -> None:
    measure_images(lambda: bench_of(fake_codecs[:1]), images, tmp_path / "out", Options(pictures=1))
    written = sorted((tmp_path / "out" / "pictures").iterdir())
    assert [path.name for path in written] == ["0-fake-1.png", "0.png"]
    expected = fake_codecs[0].decompress(fake_codecs[0].compress(small_photos[0]))
    np.testing.assert_array_equal(np.asarray(Image.open(written[0])), expected)
    assert not (tmp_path / "out" / "files").exists()
    # asked for later, only what is missing is decoded again
    fake_codecs[0].encoded = 0
    measure_images(lambda: bench_of(fake_codecs[:1]), images, tmp_path / "out", Options(pictures=2))
    assert fake_codecs[0].encoded == 2  # warm-up and the second image
    assert len((tmp_path / "out" / "records.jsonl").read_text().splitlines()) == 3


def test_a_second_run_does_only_what_is_new(images, fake_codecs, tmp_path) -> None:
    codec, out = fake_codecs[0], tmp_path / "out"
    _, first = measure_images(lambda: bench_of([codec]), images[:2], out, Options())
    codec.encoded = 0
    assert measure_images(lambda: bench_of([codec]), images[:2], out, Options())[1] == first
    assert codec.encoded == 0
    _, more = measure_images(lambda: bench_of([codec]), images, out, Options())
    assert more[:2] == first and codec.encoded == 2  # warm-up and measurement
    codec.hash = "other weights"
    _, other = measure_images(lambda: bench_of([codec]), images, out, Options())
    assert {row.records[0]["hash"] for row in other} == {"other weights"}


def test_another_label_is_counted_again(images, table, tmp_path) -> None:
    make = make_toy(("jpeg:20",), table)
    _, first = measure_images(make, images, tmp_path / "out", Options())
    table.write_text(table.read_text().replace("1.png,11", "1.png,10"))
    _, second = measure_images(make, images, tmp_path / "out", Options())
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False, True]


def test_a_torn_last_line_is_measured_again(images, fake_codecs, tmp_path) -> None:
    out = tmp_path / "out"
    make = lambda: bench_of(fake_codecs[:1])  # noqa: E731
    _, whole = measure_images(make, images, out, Options())
    path = out / "records.jsonl"
    path.write_text(path.read_text()[:-20])
    _, again = measure_images(make, images, out, Options())
    assert [row.records[0]["bytes"] for row in again] == [row.records[0]["bytes"] for row in whole]
    assert len(path.read_text().splitlines()) == 3
    path.write_text("{broken\n" + path.read_text())
    with pytest.raises(IcmError, match=r"records\.jsonl.*delete"):
        measure_images(make, images, out, Options())
    path.write_text('{"codec": "fake", "quality": 1, "hash": "f00d", "image_sha256": "0"}\n')
    with pytest.raises(IcmError, match=r"line 1: has no label_sha256, so another version wrote it"):
        measure_images(make, images, out, Options())


def test_means_over_the_images(images, fake_codecs, tmp_path) -> None:
    results = evaluate_bench(lambda: bench_of(fake_codecs), images, tmp_path / "out")
    records = [json.loads(line) for line in (tmp_path / "out/records.jsonl").read_text().splitlines()]
    (result,) = read_results([tmp_path / "out"])
    assert result.points == results[0].points and result.dataset["images"] == ["0.png", "1.png", "2.png"]
    mine = [record for record in records if record["quality"] == 1]
    point = next(point for point in result.points if point.quality == 1)
    assert point.bpp == pytest.approx(np.mean([r["bpp"] for r in mine]))
    pixels = sum(r["height"] * r["width"] for r in mine)
    assert point.bpp_pixels == pytest.approx(8 * sum(r["bytes"] for r in mine) / pixels)
    assert point.scores["psnr"] == pytest.approx(np.mean([r["psnr"] for r in mine]))
    assert point.scores["ms_ssim_db"] == pytest.approx(np.mean([ms_ssim_db(r["ms_ssim"]) for r in mine]))
    rates = [point.bpp for point in result.points]
    assert rates == sorted(rates) and len(rates) == 3
    assert "| fake  |       1 |" in (tmp_path / "out" / "table.md").read_text()


def test_lossless_points_are_null_in_json(images, fake_codecs, tmp_path, monkeypatch) -> None:
    kind = type(fake_codecs[0])
    monkeypatch.setattr(kind, "compress", lambda self, image: image.tobytes())
    decode = lambda self, data: np.frombuffer(data, np.uint8).reshape(128, 160, 3)  # noqa: E731
    monkeypatch.setattr(kind, "decompress", decode)
    evaluate_bench(lambda: bench_of(fake_codecs[:1]), images[:1], tmp_path / "out")
    text = (tmp_path / "out" / "fake.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["points"][0]["scores"]["psnr"] is None


def test_accuracy_and_agreement_are_those_of_the_judge(images, table, small_photos, tmp_path) -> None:
    (result,) = evaluate_bench(make_toy(("jpeg:5,60",), table), images, tmp_path / "out")
    judge = toy_judge(table)
    own = [int(np.argmax(logits)) for logits in judge.answers(small_photos)]
    for point in result.points:
        subject = make_toy((f"jpeg:{point.quality:g}",), table)().subjects[0]
        decoded = [subject.codec.decompress(subject.codec.compress(image)) for image in small_photos]
        seen = [int(np.argmax(logits)) for logits in judge.answers(decoded)]
        hits = np.mean([a == b for a, b in zip(seen, [3, 11, 0], strict=True)])
        agreeing = np.mean([a == b for a, b in zip(seen, own, strict=True)])
        assert point.scores["top1"] == pytest.approx(100 * hits)
        assert point.scores["top1_agreement"] == pytest.approx(100 * agreeing)
    assert result.uncompressed["top1_agreement"] == 100
    # without labels only agreement is left
    (bare,) = evaluate_bench(make_toy(("jpeg:5,60",), None), images, tmp_path / "bare")
    assert [metric.name for metric in bare.metrics] == ["top1_agreement", "psnr"]


def test_two_processes_give_the_same_bits_as_one(images, table, tmp_path) -> None:
    codecs = ("jpeg:5,20,60", "webp:10")
    one = evaluate_bench(make_toy(codecs, table), images, tmp_path / "one")
    two = evaluate_bench(make_toy(codecs, table), images, tmp_path / "two", Options(jobs=2))
    for a, b in zip(one, two, strict=True):
        assert [point.scores for point in a.points] == [point.scores for point in b.points]
        assert [point.bpp for point in a.points] == [point.bpp for point in b.points]
        assert a.uncompressed == b.uncompressed
    assert np.isfinite(one[0].points[0].scores["cross_entropy"])


def test_an_error_in_a_process_names_the_file(images, table, tmp_path) -> None:
    images[1].write_bytes(b"not an image")
    with pytest.raises(IcmError, match=r"1\.png: not an image this program reads"):
        evaluate_bench(make_toy(("jpeg:20",), table), images, tmp_path / "out", Options(jobs=2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0.png,3\n", "expected the columns file and class_index"),
        ("file,class_index\n0.png,3\n", r"no row for 1\.png among 1"),
        ("file,class_index\n0.png,three\n", "line 2: class_index 'three'"),
        (f"file,class_index\n0.png,{CLASSES}\n1.png,1\n2.png,1\n", r"0\.png: labels run from 12 to 12"),
    ],
)
def test_bad_labels_are_named(content, message, images, table, tmp_path) -> None:
    table.write_text(content)
    with pytest.raises(IcmError, match=message):
        evaluate_bench(make_toy(("jpeg:20",), table), images, tmp_path / "out")


def test_answers_that_are_not_numbers_are_refused(images, table, tmp_path, monkeypatch) -> None:
    bench = make_toy(("jpeg:20",), table)()
    silent = Bench(
        bench.subjects,
        type(bench.judge)(
            bench.judge.task,
            lambda pictures: [np.full(CLASSES, np.nan) for _ in pictures],
            bench.judge.labels,
            bench.judge.network,
        ),
    )
    with pytest.raises(IcmError, match=r"0\.png: the network toy answers with NaN"):
        measure_images(lambda: silent, images, tmp_path / "out", Options())


def test_a_codec_that_changes_the_size_is_refused(images, fake_codecs, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(type(fake_codecs[0]), "decompress", lambda self, data: np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(IcmError, match=r"0\.png: fake-1 decodes to \[2, 2, 3\], expected \[128, 160, 3\]"):
        measure_images(lambda: bench_of(fake_codecs[:1]), images, tmp_path / "out", Options())


def test_predictions_are_judged_as_they_are_decoded(images, tmp_path) -> None:
    params, batch_stats = random_model()
    stored = dora_icm.to_stored("tiny-normals", 2, 0.1, TINY, params, batch_stats)
    store.save(stored, tmp_path / "codec")
    write_backbone(tmp_path / "backbone.safetensors", params["backbone"], {})
    labels = tmp_path / "normals"
    labels.mkdir()
    for image in images[:2]:
        np.save(labels / f"{image.stem}.npy", np.random.default_rng(0).normal(size=(128, 160, 3)))
    (subject,) = load_subjects([f"{tmp_path / 'codec'}+{tmp_path / 'backbone.safetensors'}"])
    bench = Bench((subject,), load_judge("normals", labels=str(labels)))
    (result,) = evaluate_bench(lambda: bench, images[:2], tmp_path / "out", Options(pictures=1))
    counter = Normals.empty()
    for image in images[:2]:
        file = subject.codec.compress(read_image(image))
        label = bench.judge.label(image, (128, 160))
        counter = counter.update(subject.codec.decompress(file)[None], label[None])
    assert result.points[0].scores["mean"] == pytest.approx(counter.compute().mean)
    assert "psnr" not in result.points[0].scores and result.uncompressed == {}
    assert result.points[0].estimated_bpp > 0
    with pytest.raises(IcmError, match=r"codes features of a backbone; write .*BACKBONE.safetensors"):
        load_subjects([str(tmp_path / "codec")])
    with pytest.raises(IcmError, match="decodes to no pictures; name its --task"):
        measure_images(lambda: Bench((subject,)), images[:1], tmp_path / "o", Options())


def test_equal_names_are_refused(images, fake_codecs, tmp_path) -> None:
    with pytest.raises(IcmError, match="have one name"):
        measure_images(lambda: bench_of(fake_codecs[:1]), [*images, images[0]], tmp_path / "o", Options())


def test_a_process_that_dies_is_explained(images, table, tmp_path, monkeypatch) -> None:
    class Broken:
        def __init__(self, *_) -> None: ...

        def submit(self, *_):
            raise harness.BrokenProcessPool

        def shutdown(self, **_) -> None: ...

    monkeypatch.setattr(harness, "ProcessPoolExecutor", Broken)
    with pytest.raises(IcmError, match="run the same command again to go on, with fewer --jobs"):
        evaluate_bench(make_toy(("jpeg:20",), table), images, tmp_path / "out", Options(jobs=2))


def test_the_network_goes_on_from_decoded_features(images, tmp_path) -> None:
    selection = ChannelSelectionSpec(widths=(4, 4), features=CLASSES, tap="layer1")
    variables = random_variables(selection, BOTTLENECK)
    made = adapter_store.make_adapter("cls", "toy", selection, variables, tiny_codec().stored)
    adapter_store.save(made, tmp_path / "cls.safetensors")
    tiny_codec().save(tmp_path / "base")
    subjects = tuple(load_subjects([f"{tmp_path / 'base'}+{tmp_path / 'cls.safetensors'}"]))
    seen = []

    def continued(features: Features, picture: tuple[int, int], photo: tuple[int, int]) -> np.ndarray:
        seen.append((features.tap, features.map.shape, picture, photo))
        return features.map.mean((0, 1))

    judge = replace(toy_judge(None), continued=continued)
    _, rows = measure_images(
        lambda: Bench(subjects, judge), images[:1], tmp_path / "out", Options(pictures=1)
    )
    height, width = read_image(images[0]).shape[:2]
    assert seen == [("layer1", (-(-height // 4), -(-width // 4), CLASSES), *[(height, width)] * 2)]
    assert "top1_agreement" in rows[0].records[0]["scores"] and "psnr" not in rows[0].records[0]
    assert [path.name for path in (tmp_path / "out" / "pictures").iterdir()] == ["0.png"]
    with pytest.raises(IcmError, match=r"0\.png: classification is judged by pictures, .* to features"):
        measure_images(lambda: Bench(subjects, toy_judge(None)), images[:1], tmp_path / "other", Options())
    with pytest.raises(IcmError, match="decodes to no pictures; name its --task"):
        measure_images(lambda: Bench(subjects), images[:1], tmp_path / "other", Options())


def test_classifiers_want_features_of_their_own_scale() -> None:
    network = Recognizer({}, "net", None, Preprocessing(ShortSideCrop(256, 224)), (), "logits")
    with pytest.raises(IcmError, match="features of a picture of 300×200, net wants a short side of 256"):
        TASK.continued(network, Features("layer1", np.zeros((50, 75, 4), np.float32)), (200, 300), (200, 300))


class Halved(NamedTuple):
    """Pictures of half the size, as a published protocol."""

    name: str = "published"
    alignment: str = "pad256"
    published: bool = True

    def prepare(self, photo: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(photo[::2, ::2])


def test_a_published_protocol_counts_over_what_is_coded(images, small_photos, tmp_path) -> None:
    """The codec and the rate see the resized picture, labels and answers the size of the photo."""
    seen = []

    def answers(pictures, photo):
        seen.append(([picture.shape for picture in pictures], photo))
        return colour_logits(pictures)

    judge = replace(toy_judge(None), published=answers)
    bench = Bench(tuple(load_subjects(["jpeg:30"])), judge, Halved())
    (result,) = evaluate_bench(lambda: bench, images[:1], tmp_path / "out")
    height, width = small_photos[0].shape[:2]
    half = (-(-height // 2), -(-width // 2), 3)
    assert seen == [([half, half], (height, width))]
    record = json.loads((tmp_path / "out" / "records.jsonl").read_text().splitlines()[1])
    assert (record["height"], record["width"]) == half[:2] and record["judge"].endswith(" published")
    assert record["bpp"] == 8 * record["bytes"] / (half[0] * half[1])
    assert result.dataset["protocol"] == "published"
    own = evaluate_bench(
        lambda: bench._replace(protocol=OWN, judge=toy_judge(None)), images[:1], tmp_path / "own"
    )
    with pytest.raises(IcmError, match=r"differ in protocol \(own and published\)"):
        bd_rows(own[0], [result], (), ("pchip",), 0.0)


def test_protocols_by_name() -> None:
    protocol = get_protocol("published", "detection")
    assert protocol.prepare(np.zeros((400, 500, 3), np.uint8)).shape == (800, 1000, 3)
    assert (
        protocol.alignment == "resize256" and get_protocol("published-pad", "instances").alignment == "pad256"
    )
    assert get_protocol("published", "classification").prepare(np.zeros((300, 600, 3), np.uint8)).shape == (
        256,
        256,
        3,
    )
    assert get_protocol("own", "") is OWN
    for name, task, message in (
        ("paper", "detection", "choose one of own, published, published-pad"),
        ("published", "semseg", "for classification, detection and instances, the task is semseg"),
        ("published", "", "the task is none"),
    ):
        with pytest.raises(IcmError, match=message):
            get_protocol(name, task)


def test_learned_codecs_align_as_the_protocol_says(tmp_path, small_photos) -> None:
    tiny_codec().save(tmp_path / "base")
    (subject,) = load_subjects([str(tmp_path / "base")], alignment="pad256")
    header = read_header(subject.codec.compress(small_photos[0][:60, :60]))
    assert (header.padded_height, header.padded_width) == (256, 256)
    assert subject.codec.hash == tiny_codec().hash
