"""Folder evaluation: real bytes, resuming, summaries, the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icm_jax.errors import IcmError
from icm_jax.evaluate import rate_distortion
from icm_jax.evaluate.image_quality import ms_ssim_db
from icm_jax.evaluate.rate_distortion import evaluate_folder, find_images, main, summarise


@pytest.fixture
def folder(tmp_path: Path, small_photos) -> Path:
    path = tmp_path / "photos"
    path.mkdir()
    for index, image in enumerate(small_photos):
        Image.fromarray(image).save(path / f"{index}.png")
    (path / "notes.txt").write_text("not an image")
    return path


def _labelled(fake_codecs) -> dict:
    return {f"fake-{codec.quality}": codec for codec in fake_codecs}


def test_records_hold_the_bytes_of_each_file(folder, fake_codecs, small_photos, tmp_path) -> None:
    records = evaluate_folder(_labelled(fake_codecs), find_images([folder]), ["jpeg"], tmp_path / "out")
    assert len(records) == 3 * (3 + 8)
    first = next(r for r in records if (r["codec"], r["quality"], r["image"]) == ("fake", 2, "2.png"))
    expected = len(fake_codecs[1].compress(small_photos[2]))
    assert first["bytes"] == expected
    assert first["bpp"] == pytest.approx(8 * expected / (97 * 111))
    assert first["estimated_bpp"] > 0 and 20 < first["psnr"] < 60 and 0.5 < first["ms_ssim"] < 1
    lines = (tmp_path / "out/records.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == records


def test_a_second_run_does_only_what_is_new(folder, fake_codecs, tmp_path) -> None:
    images, out = find_images([folder]), tmp_path / "out"
    first = evaluate_folder({"fake-1": fake_codecs[0]}, images[:2], [], out)
    fake_codecs[0].encoded = 0
    assert evaluate_folder({"fake-1": fake_codecs[0]}, images[:2], [], out) == first
    assert fake_codecs[0].encoded == 0
    more = evaluate_folder({"fake-1": fake_codecs[0]}, images, [], out)
    assert more[:2] == first and len(more) == 3 and fake_codecs[0].encoded == 2  # warm-up and measurement
    fake_codecs[0].hash = "other weights"
    assert {r["hash"] for r in evaluate_folder({"fake-1": fake_codecs[0]}, images, [], out)} == {
        "other weights"
    }


def test_a_torn_last_line_is_measured_again(folder, fake_codecs, tmp_path) -> None:
    images, out, codecs = find_images([folder]), tmp_path / "out", {"fake-1": fake_codecs[0]}
    whole = evaluate_folder(codecs, images, [], out)
    path = out / "records.jsonl"
    path.write_text(path.read_text()[:-20])
    again = evaluate_folder(codecs, images, [], out)
    assert [r["bytes"] for r in again] == [r["bytes"] for r in whole]
    assert len(path.read_text().splitlines()) == 3
    path.write_text("{broken\n" + path.read_text())
    with pytest.raises(IcmError, match=r"records\.jsonl.*delete"):
        evaluate_folder(codecs, images, [], out)


def test_summary_means(folder, fake_codecs, tmp_path) -> None:
    records = evaluate_folder(_labelled(fake_codecs), find_images([folder]), ["webp"], tmp_path / "out")
    summary = summarise(records)
    assert summary["images"] == ["0.png", "1.png", "2.png"]
    point = next(p for p in summary["points"] if (p["codec"], p["quality"]) == ("fake", 1))
    mine = [r for r in records if (r["codec"], r["quality"]) == ("fake", 1)]
    assert point["bpp"] == pytest.approx(np.mean([r["bpp"] for r in mine]))
    pixels = sum(r["height"] * r["width"] for r in mine)
    assert point["bpp_pixels"] == pytest.approx(8 * sum(r["bytes"] for r in mine) / pixels)
    assert point["psnr"] == pytest.approx(np.mean([r["psnr"] for r in mine]))
    assert point["ms_ssim_db"] == pytest.approx(np.mean([ms_ssim_db(r["ms_ssim"]) for r in mine]))
    assert next(p for p in summary["points"] if p["codec"] == "webp")["estimated_bpp"] is None
    with pytest.raises(IcmError, match="2 different sets"):
        summarise(records[1:])


def test_lossless_points_are_null_in_json(folder, fake_codecs, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(type(fake_codecs[0]), "compress", lambda self, image: image.tobytes())
    monkeypatch.setattr(
        type(fake_codecs[0]),
        "decompress",
        lambda self, data: np.frombuffer(data, np.uint8).reshape(128, 160, 3),
    )
    records = evaluate_folder({"raw": fake_codecs[0]}, [folder / "0.png"], [], tmp_path / "out")
    assert records[0]["psnr"] is None and records[0]["ms_ssim"] == pytest.approx(1)
    assert summarise(records)["points"][0]["psnr"] is None
    json.loads((tmp_path / "out/records.jsonl").read_text(), parse_constant=pytest.fail)


def test_command(folder, fake_codecs, tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(rate_distortion, "_load_codecs", lambda names, qualities: _labelled(fake_codecs))
    out = tmp_path / "out"
    assert main([str(folder), "--anchors", "webp", "--out", str(out)]) == 0
    files = {file.name for file in out.iterdir()}
    assert files == {"records.jsonl", "summary.json", "table.md", "rd.png", "rd.svg"}
    printed = capsys.readouterr().out
    assert "fake minus WebP" in printed and printed.strip() == (out / "table.md").read_text().strip()
    # the stand-in is WebP behind 8 bytes: never better at equal rate
    gains = [c.strip() for c in printed.splitlines()[-2].strip("|").split("|")[1:]]
    measured = [float(gain) for gain in gains if gain != "n/a"]
    assert measured and all(-1 < gain <= 0.05 for gain in measured)


def test_command_prints_one_line_and_fails(folder, fake_codecs, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(rate_distortion, "_load_codecs", lambda names, qualities: _labelled(fake_codecs))
    assert main([str(folder), "--anchors", "bpg", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: unknown anchor 'bpg'") and error.count("\n") == 1


def test_command_refuses_an_unknown_codec(folder, tmp_path, capsys) -> None:
    assert main([str(folder), "--codecs", "no-such-codec", "--out", str(tmp_path / "out")]) == 2
    assert "'no-such-codec'" in capsys.readouterr().err
