"""Tables of a small TIC, and the byte strings that its PyTorch reference wrote with them."""

from pathlib import Path

import numpy as np
import pytest

from icm_jax.bitstream import CdfTables

GOLDEN = Path(__file__).parents[1] / "golden" / "bitstream" / "tic_small.npz"


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """Two images of 48 x 16 x 16 latents y and 32 x 4 x 4 hyper-latents z, coded by CompressAI."""
    with np.load(GOLDEN) as archive:
        return dict(archive)


@pytest.fixture(scope="session")
def gaussian_tables(golden: dict[str, np.ndarray]) -> CdfTables:
    """The first 42 Gaussian tables, for standard deviations from 0.11 to about 16."""
    return _tables(golden, "gc")


@pytest.fixture(scope="session")
def factorized_tables(golden: dict[str, np.ndarray]) -> CdfTables:
    """One table a channel of z."""
    return _tables(golden, "eb")


def _tables(golden: dict[str, np.ndarray], prior: str) -> CdfTables:
    return CdfTables(*(golden[f"{prior}_{name}"] for name in ("quantized_cdf", "cdf_length", "offset")))
