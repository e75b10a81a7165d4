"""Where an image of any size lies on the grids the networks can run on.

    image h×w ─► canvas H×W (padded at the bottom and right) ─► latents; only those that cover the image are coded

A program is compiled for every canvas size, so sizes are drawn from a short ladder (`LADDER`): a folder of photos
needs a handful of programs however many sizes it holds. The price is computation, hardly bits: padding is not
coded, it only shows up in what the outermost latents see. Images beyond the ladder run through one fixed tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from icm_jax.bitstream.container import Alignment
from icm_jax.bitstream.errors import StreamError
from icm_jax.errors import IcmError

UNIT = 64  # stride of z: canvas sides are multiples of it
LADDER = (64, 128, 256, 384, 512, 768, 1024)
TILE = 768  # side of the square a larger image is processed in ...
MARGIN = (
    128  # ... of which this much on inner sides is overlap: more than convolutions reach, whole Swin windows
)
CORE = TILE - 2 * MARGIN
MAX_PADDING = LADDER[-1]  # a reader's limit; an encoder stays below it
REFERENCE_UNIT = 256  # the published codecs run on multiples of this


class Canvas(NamedTuple):
    """Geometry of one coded image: true size, canvas size and the part of the latents that is coded.

    Alignment GRID is ours: replicate padding, only covering latents coded. PAD256 and RESIZE256 are the published
    codecs' own ways to reach multiples of 256 (replicate padding, bilinear resize), which code every latent.
    """

    height: int
    width: int
    padded_height: int
    padded_width: int
    alignment: Alignment = Alignment.GRID

    @property
    def tiled(self) -> bool:
        """Whether the image transforms run tile by tile; the published alignments never do."""
        return self.alignment is Alignment.GRID and max(self.padded_height, self.padded_width) > LADDER[-1]

    def coded_grid(self, stride: int) -> tuple[int, int]:
        """Rows and columns of a latent of that stride which are written to the stream."""
        if self.alignment is Alignment.GRID:
            return -(-self.height // stride), -(-self.width // stride)
        return self.padded_height // stride, self.padded_width // stride

    def grid(self, stride: int) -> tuple[int, int]:
        """Rows and columns of a latent of that stride on the whole canvas."""
        return self.padded_height // stride, self.padded_width // stride


def _ladder_side(side: int) -> int:
    fitting = [step for step in LADDER if step >= side]
    return fitting[0] if fitting else -(-side // CORE) * CORE


def plan(height: int, width: int, alignment: Alignment | str = Alignment.GRID) -> Canvas:
    """Canvas of an image.

    Raises:
        IcmError: a side is zero or the alignment has no such name.
    """
    if height < 1 or width < 1:
        raise IcmError(f"image of {width}×{height} pixels has nothing to code; both sides must be at least 1")
    if isinstance(alignment, str):
        names = {member.name.lower(): member for member in Alignment}
        if alignment not in names:
            raise IcmError(f"alignment {alignment!r} is unknown; choose {', '.join(names)}")
        alignment = names[alignment]
    if alignment is not Alignment.GRID:
        padded_height, padded_width = (
            -(-side // REFERENCE_UNIT) * REFERENCE_UNIT for side in (height, width)
        )
        return Canvas(height, width, padded_height, padded_width, alignment)
    if max(height, width) <= LADDER[-1]:
        return Canvas(height, width, _ladder_side(height), _ladder_side(width))
    # Tiled: both sides on the grid of tile cores, at least one whole tile.
    padded_height, padded_width = (max(-(-side // CORE) * CORE, 2 * CORE) for side in (height, width))
    return Canvas(height, width, padded_height, padded_width)


def from_header(
    height: int, width: int, padded_height: int, padded_width: int, alignment: int, z_stride: int = UNIT
) -> Canvas:
    """Canvas as a stream states it. Any ladder an encoder may have used is accepted, impossible sizes are not.

    Padding is not coded, so without a bound on it a file of 60 bytes could ask for gigabytes: one pixel on a canvas
    of 2^28.

    Raises:
        StreamError: the padded size is smaller than the image, far larger, or not on the grid.
    """
    canvas = Canvas(height, width, padded_height, padded_width, Alignment(alignment))
    unit = CORE if canvas.tiled else z_stride
    for side, padded in ((height, padded_height), (width, padded_width)):
        if padded < side or padded % unit or (canvas.tiled and padded < TILE):
            raise StreamError(
                f"the stream places {width}×{height} on {padded_width}×{padded_height}, which is not on the grid of "
                f"{unit}; get the file again from its source"
            )
        if padded - side >= MAX_PADDING:
            raise StreamError(
                f"the stream pads {width}×{height} to {padded_width}×{padded_height}; below {MAX_PADDING} pixels are "
                "allowed on a side; get the file again from its source"
            )
    return canvas


def pad(image: np.ndarray, canvas: Canvas) -> np.ndarray:
    """Image [h, w, c] on its canvas, borders repeated."""
    bottom, right = canvas.padded_height - image.shape[0], canvas.padded_width - image.shape[1]
    return np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")


@dataclass(frozen=True)
class Tile:
    """One square of a tiled canvas, in pixels: where it is read, and which part of the result is kept."""

    row: int
    col: int
    keep_rows: tuple[int, int]
    keep_cols: tuple[int, int]

    def window(self, stride: int) -> tuple[slice, slice]:
        """The tile on a grid of that stride."""
        return (
            slice(self.row // stride, (self.row + TILE) // stride),
            slice(self.col // stride, (self.col + TILE) // stride),
        )

    def kept(self, stride: int) -> tuple[slice, slice]:
        """The part of the whole grid this tile decides."""
        return tuple(slice(a // stride, b // stride) for a, b in (self.keep_rows, self.keep_cols))  # type: ignore[return-value]

    def kept_inside(self, stride: int) -> tuple[slice, slice]:
        """The same part, counted from the tile's own corner."""
        (top, bottom), (left, right) = self.keep_rows, self.keep_cols
        rows = slice((top - self.row) // stride, (bottom - self.row) // stride)
        return rows, slice((left - self.col) // stride, (right - self.col) // stride)


def tiles(canvas: Canvas) -> Iterator[Tile]:
    """Tiles in raster order. At the canvas' own border a tile ends there too, so borders look as in one piece."""
    for top, row in _tile_starts(canvas.padded_height):
        for left, col in _tile_starts(canvas.padded_width):
            yield Tile(row, col, (top, top + CORE), (left, left + CORE))


def _tile_starts(side: int) -> list[tuple[int, int]]:
    return [(core, min(max(core - MARGIN, 0), side - TILE)) for core in range(0, side, CORE)]
