"""From latents to the sections of a stream and back: one module a kind of entropy model."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from icm_jax.bitstream.container import Section
from icm_jax.canvas import Canvas
from icm_jax.coding import context, dual_spatial, factorized, hyperprior
from icm_jax.coding.latents import Quantised
from icm_jax.models.registry import ModelSpec, model_name
from icm_jax.pretrained.store import StoredCodec


class Coding(Protocol):
    """What a module of this package offers; see `hyperprior` for the contracts."""

    SCALE_PATH: tuple[str, ...]

    def quantise(
        self, codec: StoredCodec, params64: dict, y: Any, z: np.ndarray, canvases: Sequence[Canvas]
    ) -> Quantised:
        """Latents of a batch -> symbols."""

    def write(
        self, codec: StoredCodec, symbols: Any, precision: str = "float64"
    ) -> tuple[list[Section], int]:
        """Symbols of an image -> sections."""

    def read(
        self,
        codec: StoredCodec,
        params64: dict,
        sections: Sequence[Section],
        canvas: Canvas,
        expected_hash: int,
        precision: str = "float64",
    ) -> Quantised:
        """Sections of an image -> latents."""

    def symbol_bits(self, codec: StoredCodec, symbols: Any) -> tuple[np.ndarray, np.ndarray]:
        """Bits of every z and y symbol."""


CODINGS: dict[str, Coding] = {
    "tic": hyperprior,
    "tic-original": context,
    "dora-icm": dual_spatial,
    "bmshj2018-factorized": factorized,
    "bmshj2018-factorized-relu": factorized,
    "bmshj2018-hyperprior": hyperprior,
    "mbt2018-mean": hyperprior,
    "mbt2018": context,
    "cheng2020-anchor": context,
    "cheng2020-attn": context,
}


def coding_of(spec: ModelSpec) -> Coding:
    """How the latents of a model are coded."""
    return CODINGS[model_name(spec)]
