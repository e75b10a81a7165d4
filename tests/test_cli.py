"""The icm command: files and folders, JSON, exit codes, and one line for every bad input."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from icm_jax import cli
from icm_jax.adapters import store
from icm_jax.data.image_io import read_image, write_image
from icm_jax.errors import IcmError
from tests.adapters.random_values import random_variables
from tests.adapters.test_adapted_codec import ALL_IN_ONE
from tests.test_codec import photo
from tests.tiny import BOTTLENECK, tiny_codec


@pytest.fixture
def codec_folder(tmp_path):
    folder = tmp_path / "codec"
    tiny_codec().save(folder)
    return str(folder)


@pytest.fixture
def image_path(tmp_path):
    path = tmp_path / "photo.png"
    write_image(path, photo(40, 60))
    return path


def run(*arguments) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_compress_decompress_inspect(image_path, codec_folder, tmp_path, capsys) -> None:
    assert run("compress", image_path, "-c", codec_folder) == 0
    stream = tmp_path / "photo.icm"
    assert run("decompress", stream, "-o", tmp_path / "out.png", "-c", codec_folder) == 0
    expected = tiny_codec().decompress(tiny_codec().compress(read_image(image_path)))
    np.testing.assert_array_equal(read_image(tmp_path / "out.png"), expected)
    capsys.readouterr()
    assert run("inspect", stream, "--json", "-c", codec_folder) == 0
    record = json.loads(capsys.readouterr().out)[0]
    assert record["size"] == [60, 40] and record["bytes"] == stream.stat().st_size
    assert record["container_bytes"] + sum(s["bytes"] for s in record["sections"]) == record["bytes"]
    assert run("inspect", stream, "-c", codec_folder) == 0
    assert "y channels by bits" in capsys.readouterr().out


def test_tasks_of_one_stream(image_path, codec_folder, tmp_path, capsys) -> None:
    codec, file, out = tiny_codec(), tmp_path / "aio.safetensors", tmp_path / "out"
    made = store.make_adapter("aio", "", ALL_IN_ONE, random_variables(ALL_IN_ONE, BOTTLENECK), codec.stored)
    store.save(made, file)
    assert run("compress", image_path, "-c", codec_folder, "-o", tmp_path / "people.icm") == 0
    assert run("compress", image_path, "-c", codec_folder, "-a", file, "-o", tmp_path / "tasks.icm") == 0
    image = read_image(image_path)
    expected = codec.with_adapter(made).decompress_pictures(codec.with_adapter(made).compress(image))

    def decode(stream: str, task: str, *more) -> int:
        options = ("-c", codec_folder, "-a", file, "-o", out, "--task", task, *more)
        return run("decompress", tmp_path / stream, *options)

    assert decode("tasks.icm", "sal") == 0
    np.testing.assert_array_equal(read_image(out / "tasks.png"), expected["sal"])
    assert decode("tasks.icm", "all") == 0
    for name, picture in expected.items():
        np.testing.assert_array_equal(read_image(out / f"tasks.{name}.png"), picture)
    assert decode("people.icm", "human") == 0
    np.testing.assert_array_equal(read_image(out / "people.png"), codec.decompress(codec.compress(image)))
    capsys.readouterr()
    for stream, task, message in [
        ("tasks.icm", "all", "tasks.shared.png: exists; pass --force"),
        ("tasks.icm", "human", "made with adapter aio, holds no image for people"),
        (
            "people.icm",
            "sal",
            "a stream for people, made without an adapter, holds no picture for task 'sal'",
        ),
        ("people.icm", "all", "holds no picture for task 'all'; decode it with --task human"),
        ("tasks.icm", "depth", "no picture for task 'depth'; adapter aio has shared, semseg, sal"),
    ]:
        more = () if task == "all" else ("--force",)
        assert decode(stream, task, *more) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_folder_with_a_bad_file_writes_the_others(codec_folder, tmp_path, capsys) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for i in range(3):
        write_image(folder / f"{i}.png", photo(30, 30 + i, i))
    (folder / "broken.png").write_bytes(b"not an image")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:100])
    (folder / "notes.txt").write_text("ignored")
    assert run("compress", folder, "-o", out, "-c", codec_folder, "--json") == 1
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 3
    assert "broken.png: not an image" in captured.err and "cut.png: damaged or truncated" in captured.err
    assert sorted(path.name for path in out.iterdir()) == ["0.icm", "1.icm", "2.icm"]
    (out / "1.icm").write_bytes((out / "1.icm").read_bytes()[:-3])
    assert run("inspect", out, "-c", codec_folder, "--json") == 1
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 2 and "1.icm: truncated" in captured.err
    assert run("decompress", out / "0.icm", "-c", codec_folder, "--max-pixels", 800) == 2
    assert "--max-pixels" in capsys.readouterr().err
    assert run("decompress", out / "*.icm", "-o", tmp_path / "decoded", "-c", codec_folder) == 1
    assert "1.icm: truncated" in capsys.readouterr().err
    assert len(list((tmp_path / "decoded").iterdir())) == 2


def test_existing_output_needs_force(image_path, codec_folder, tmp_path, capsys) -> None:
    target = tmp_path / "photo.icm"
    target.write_text("mine")
    assert run("compress", image_path, "-c", codec_folder) == 2
    assert "pass --force" in capsys.readouterr().err and target.read_text() == "mine"
    assert run("compress", image_path, "-c", codec_folder, "--force") == 0
    assert target.read_bytes().startswith(b"ICM1")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["compress", "missing.png"], "no such file, folder or glob"),
        (["compress", "{empty}"], "holds no"),
        (["compress", "{image}", "-o", "/proc/nowhere/x"], "choose another"),
        (["compress", "{image}", "-o", "/proc/nowhere/x.icm"], "choose another"),
        (["decompress", "{image}"], "not an .icm file"),
        (["inspect", "{image}"], "not an .icm file"),
        (["compress", "{image}", "{image2}", "-o", "one.icm"], "give a folder"),
        (["compress", "{image}", "-o", "coded.png"], "use .icm or a folder"),
        (["demo", "--out", "{image}"], "can not be made a folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments, line, image_path, codec_folder, tmp_path, capsys
) -> None:
    (tmp_path / "empty").mkdir()
    write_image(tmp_path / "two.png", photo(20, 20))
    names = {"empty": tmp_path / "empty", "image": image_path, "image2": tmp_path / "two.png"}
    filled = [argument.format(**names) for argument in arguments]
    assert run(*filled, "-c", codec_folder) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1 and "Traceback" not in error
    assert not list(tmp_path.glob("*.icm")) and not list(tmp_path.glob(".*"))


def test_unknown_codec_lists_the_included_ones(image_path, capsys) -> None:
    assert run("compress", image_path, "-c", "tic-huge") == 2
    assert "tic-huge" in capsys.readouterr().err


def test_grey_alpha_palette_and_orientation(tmp_path) -> None:
    grey = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8))
    grey.save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png")[..., 0] == np.asarray(grey)).all()
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()
    Image.new("P", (4, 4)).save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").shape == (4, 4, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90° to show
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6)).save(buffer, "JPEG", exif=exif)
    (tmp_path / "turned.jpg").write_bytes(buffer.getvalue())
    assert read_image(tmp_path / "turned.jpg").shape == (8, 6, 3)


def test_16_bit_is_refused_or_converted(tmp_path, codec_folder, capsys) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((8, 8), 257 * 100, np.uint16)).save(path)
    assert run("compress", path, "-c", codec_folder) == 2
    assert "--convert-16bit" in capsys.readouterr().err
    assert run("compress", path, "-c", codec_folder, "--convert-16bit") == 0
    assert (read_image(path, convert_16bit=True) == 100).all()


def test_16_bit_colour_is_seen_although_pillow_reads_8(tmp_path) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(png(4, 4, bits=16, colour=2, rows=[b"\x64\x00" * 12] * 4))
    with pytest.raises(IcmError, match="--convert-16bit"):
        read_image(path)
    assert (read_image(path, convert_16bit=True) == 100).all()


def png(width: int, height: int, bits: int, colour: int, rows: list[bytes]) -> bytes:
    """The bytes of a PNG file, which Pillow does not write at 16 bits in colour."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_images_beyond_the_limit_are_not_called_damaged(tmp_path) -> None:
    path = tmp_path / "vast.png"
    path.write_bytes(png(20_000, 20_000, bits=8, colour=0, rows=[]))
    with pytest.raises(IcmError, match="too large"):
        read_image(path)


def test_help_shows_examples(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0 and "examples:" in capsys.readouterr().out
