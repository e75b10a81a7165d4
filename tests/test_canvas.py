"""Canvas: every size has a place, few sizes of canvas, tiles that cover once, seams that do not show."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icm_jax import canvas as canvas_module
from icm_jax.bitstream.errors import StreamError
from icm_jax.canvas import CORE, LADDER, TILE, Alignment, from_header, pad, plan, tiles
from icm_jax.errors import IcmError
from tests.test_codec import photo
from tests.tiny import tiny_codec


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_every_size_fits_its_canvas(height, width) -> None:
    canvas = plan(height, width)
    assert canvas.padded_height >= height and canvas.padded_width >= width
    assert canvas.padded_height % 64 == 0 and canvas.padded_width % 64 == 0
    assert from_header(*canvas) == canvas
    rows, cols = canvas.coded_grid(16)
    assert (rows - 1) * 16 < height <= rows * 16 and (cols - 1) * 16 < width <= cols * 16


def test_a_folder_of_many_sizes_needs_few_programs() -> None:
    sizes = {plan(h, w)[2:4] for h in range(1, 1025, 7) for w in range(1, 1025, 7)}
    assert len(sizes) == len(LADDER) ** 2


@pytest.mark.parametrize("size", [(1025, 1), (1080, 1920), (2160, 3840), (4000, 700)])
def test_tiles_cover_a_large_canvas_exactly_once(size) -> None:
    canvas = plan(*size)
    count = np.zeros(canvas.grid(16), int)
    for tile in tiles(canvas):
        count[tile.kept(16)] += 1
        rows, cols = tile.window(1)
        assert rows.start >= 0 and rows.stop <= canvas.padded_height and rows.stop - rows.start == TILE
        assert cols.start >= 0 and cols.stop <= canvas.padded_width
        inside = tile.kept_inside(1)
        assert inside[0].start >= 0 and inside[1].stop <= TILE
        assert rows.start + inside[0].start == tile.kept(1)[0].start
    assert (count == 1).all()
    assert canvas.padded_height % CORE == 0


def test_padding_repeats_the_border() -> None:
    image = photo(10, 12)
    padded = pad(image, plan(10, 12))
    assert padded.shape == (64, 64, 3)
    np.testing.assert_array_equal(padded[40, 50], image[-1, -1])


def test_impossible_canvases_of_a_stream_are_refused() -> None:
    for sizes in [
        (10, 10, 64, 63),
        (100, 10, 64, 64),
        (10, 10, 1088, 64),
        (3000, 10, 3072, 512),
        (1, 1, 16384, 16384),
    ]:
        with pytest.raises(StreamError):
            from_header(*sizes, Alignment.GRID)


def test_nothing_to_code_is_an_error() -> None:
    with pytest.raises(IcmError, match="at least 1"):
        plan(0, 5)


def test_tiles_leave_no_seam(monkeypatch) -> None:
    """The same image in one piece and in tiles; convolutions reach less far than the tiles overlap."""
    codec, image = tiny_codec(), photo(200, 1000)
    monkeypatch.setattr(canvas_module, "LADDER", (1024,))
    whole = codec.decompress(codec.compress(image))
    monkeypatch.setattr(canvas_module, "LADDER", (64, 128))
    assert plan(*image.shape[:2]).tiled
    tiled = codec.decompress(codec.compress(image))
    difference = np.abs(whole.astype(int) - tiled.astype(int))
    assert (difference > 2).mean() < 1e-3  # rounding flips aside, the same picture
