"""Maps as pictures."""

import numpy as np
import pytest

from icm_jax.evaluate.pictures import ERROR_LIMIT, HEAT, bit_picture, error_picture, heat


def _rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def test_heat_runs_from_the_first_colour_to_the_last_and_gets_lighter() -> None:
    assert heat(np.array([-1.0, 0.0]))[1].tolist() == heat(np.array([-1.0]))[0].tolist() == _rgb(HEAT[0])
    assert heat(np.array(7.0)).tolist() == heat(np.array(1.0)).tolist() == _rgb(HEAT[-1])
    lightness = heat(np.linspace(0, 1, 50)) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) > 0).all()


@pytest.mark.parametrize("shape", [(32, 48), (33, 47), (1, 1)])
def test_bit_picture_has_the_size_of_the_photo_and_shows_the_blocks(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 128, np.uint8)
    bit_map = np.zeros((-(-shape[0] // 16), -(-shape[1] // 16)), np.float32)
    bit_map[-1, -1] = 40
    picture, limit = bit_picture(image, bit_map)
    assert picture.shape == image.shape and picture.dtype == np.uint8
    assert 0 < limit <= 40
    if bit_map.size > 1:
        assert picture[-1, -1].sum() > picture[0, 0].sum()
        assert (picture[:16, :16] == picture[0, 0]).all()


def test_bit_picture_of_no_bits_at_all() -> None:
    picture, limit = bit_picture(np.zeros((16, 16, 3), np.uint8), np.zeros((1, 1), np.float32))
    assert np.isfinite(limit) and picture.shape == (16, 16, 3)


def test_error_picture_saturates_at_the_limit() -> None:
    image = np.full((2, 3, 3), 100, np.uint8)
    decoded = image.copy()
    decoded[0, 0] += int(ERROR_LIMIT)
    decoded[0, 1] -= int(2 * ERROR_LIMIT)
    picture = error_picture(image, decoded)
    assert picture[0, 0].tolist() == picture[0, 1].tolist() == _rgb(HEAT[-1])
    assert picture[1, 2].tolist() == _rgb(HEAT[0])
