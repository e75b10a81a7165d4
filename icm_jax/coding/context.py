"""Coding latents whose Gaussians depend on the latents decoded before them (`models.context_codec`).

    z_hat ─► h_s ─► params ─┐
    decoded neighbours ─────┴─► gaussian_at (float64) ─► scales ─► indexes ─► [Y], near a boundary: [GUARD]
            ▲                                       └──► means on the grid of 1/64 ──┐
            └──────────────────────── y_hat = symbol + mean ◄────────────────────────┘

The published evaluation takes context and image from round(y) but the rate from round(y - mean) + mean, two
latents at once. A stream has one: symbol = round(y - mean), y_hat = symbol + mean, and y_hat is what the
context sees, the image is made of and the rate is paid for. The other consistent choice is round(y)
throughout. It would let the encoder evaluate all positions at once, but where scales are small it pays for
every mean that is not an integer: 1 to 2 % more bits at 0.15 to 0.4 bits a pixel with the same tables (on
latents of a small hyperprior codec), and a larger error. Evaluating the context is not what takes the time,
see below.

Means re-enter the network, so a difference between machines in a mean's last bit would grow from position to
position. The means are therefore rounded to multiples of 1/64 (far below the rounding of y) under the same
guard as the table indexes: y_hat is exact on every machine and nothing accumulates.

A position needs the two rows above and the columns to its left, so all positions with equal column + 3·row
are independent and one step handles such a wave: columns + 3·(rows - 1) steps, 141 for 768×512, instead of
one step a position. Two seconds of one core for such an image, in the encoder as in the decoder, a third of
what g_s takes.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax import Array
from jaxtyping import Float, Float64, Int32
from numpy.typing import NDArray

from icm_jax.bitstream import rans
from icm_jax.bitstream.cell_guard import CellGuardReader, CellGuardWriter
from icm_jax.bitstream.container import Section, SectionType, symbol_hash
from icm_jax.bitstream.errors import SymbolMismatch
from icm_jax.bitstream.guard import LEVELS, LOG_STEP, SCALE_MIN
from icm_jax.canvas import Canvas
from icm_jax.coding import latents
from icm_jax.coding.latents import Quantised
from icm_jax.errors import IcmError
from icm_jax.layers.causal_attention import causal_offsets
from icm_jax.models import programs
from icm_jax.models.cheng2020 import Cheng2020AnchorSpec, Cheng2020AttentionSpec
from icm_jax.models.mbt2018 import JointSpec
from icm_jax.models.registry import build
from icm_jax.models.tic_original import TICOriginalSpec
from icm_jax.pretrained.store import StoredCodec

ContextSpec = TICOriginalSpec | JointSpec | Cheng2020AnchorSpec | Cheng2020AttentionSpec
SCALE_PATH: tuple[str, ...] = ("h_s", "context", "entropy_parameters")  # what runs in float64
MEAN_STEPS = 64  # cells of the mean's grid in 1


class Symbols(NamedTuple):
    """The integers of one image: symbols, table of every y symbol, guard list of the whole canvas."""

    z: Int32[np.ndarray, "hz wz n"]
    y: Int32[np.ndarray, "hy wy m"]
    indexes: Int32[np.ndarray, "hy wy m"]
    guard: bytes


class Wave(NamedTuple):
    """Positions of one step, and the table indexes and means there, [b, positions, m]."""

    rows: np.ndarray
    cols: np.ndarray
    indexes: Int32[np.ndarray, "b p m"]
    means: Float64[np.ndarray, "b p m"]


class Walked(NamedTuple):
    """All positions of the canvas after the last step."""

    y_hat: Float64[np.ndarray, "b hy wy m"]
    scales: Float64[np.ndarray, "b hy wy m"]
    means: Float64[np.ndarray, "b hy wy m"]
    indexes: Int32[np.ndarray, "b hy wy m"]


class CellGuard(Protocol):
    """Either side of `bitstream.cell_guard`."""

    def cells(self, coordinates: NDArray[np.float64]) -> NDArray[np.int64]:
        """Cells that encoder and decoder agree on."""


def quantise(
    codec: StoredCodec,
    params64: dict,
    y: Float[Array, "b hy wy m"],
    z: Float[np.ndarray, "b hz wz n"],
    canvases: Sequence[Canvas],
) -> Quantised:
    """Rounds the latents of a batch of images that share the size of their canvas, wave after wave.

    Latents outside an image's coded part take the most likely value, symbol 0, here as in the decoder.
    """
    spec = _spec(codec)
    z_symbols, z_hat = latents.quantise_z(codec, z, canvases)
    values = np.asarray(y, np.float64)
    y_symbols = np.zeros(y.shape, np.int32)
    coded = latents.only_coded(np.ones((*y.shape[:3], 1), np.int32), canvases, spec.y_stride)
    guards = [CellGuardWriter() for _ in canvases]

    def choose(wave: Wave) -> Int32[np.ndarray, "b p m"]:
        at = np.s_[:, wave.rows, wave.cols]
        y_symbols[at] = latents.rounded(values[at] - wave.means) * coded[at]
        return y_symbols[at]

    walked = _walk(spec, params64, z_hat, guards, choose)
    symbols = []
    for i, canvas in enumerate(canvases):
        hz, wz = canvas.coded_grid(spec.z_stride)
        hy, wy = canvas.coded_grid(spec.y_stride)
        arrays = z_symbols[i, :hz, :wz], y_symbols[i, :hy, :wy], walked.indexes[i, :hy, :wy]
        symbols.append(Symbols(*arrays, guards[i].list_bytes()))
    return _quantised(walked, z_hat, symbols)


def write(codec: StoredCodec, symbols: Symbols, precision: str = "float64") -> tuple[list[Section], int]:
    """Sections of one image and the hash of its symbols. Touches no device: safe on any thread."""
    _refuse_float32(precision)
    height, width = symbols.y.shape[:2]
    steps = waves(height, width, _spec(codec).context_window)
    rows, cols = (np.concatenate(axis) for axis in zip(*steps, strict=True))
    y = symbols.y[rows, cols].ravel()
    sections = [
        latents.write_z(codec, symbols.z),
        Section(SectionType.Y, rans.encode(y, symbols.indexes[rows, cols].ravel(), codec.y_tables)),
        Section(SectionType.GUARD, symbols.guard),
    ]
    return sections, symbol_hash([latents.channel_major(symbols.z), y])


def read(
    codec: StoredCodec,
    params64: dict,
    sections: Sequence[Section],
    canvas: Canvas,
    expected_hash: int,
    precision: str = "float64",
) -> Quantised:
    """Latents of one image from its sections, one step a wave of positions.

    Raises:
        StreamError: a section is damaged, or the symbols differ from what the encoder wrote.
    """
    _refuse_float32(precision)
    spec = _spec(codec)
    z_bytes, y_bytes, guard_bytes = latents.required(
        sections, SectionType.Z, SectionType.Y, SectionType.GUARD
    )
    z_symbols, z_hat = latents.read_z(codec, z_bytes, canvas)
    grid, (hy, wy) = canvas.grid(spec.y_stride), canvas.coded_grid(spec.y_stride)
    guard = CellGuardReader(guard_bytes, size=2 * grid[0] * grid[1] * spec.M)
    decoder = rans.Decoder(y_bytes, codec.y_tables, section="Y")
    y_symbols = np.zeros((*grid, spec.M), np.int32)
    in_order: list[np.ndarray] = []

    def choose(wave: Wave) -> Int32[np.ndarray, "1 p m"]:
        coded = (wave.rows < hy) & (wave.cols < wy)
        in_order.append(decoder.decode(wave.indexes[0, coded].ravel()))
        y_symbols[wave.rows[coded], wave.cols[coded]] = in_order[-1].reshape(-1, spec.M)
        return y_symbols[None, wave.rows, wave.cols]

    walked = _walk(spec, params64, z_hat, [guard], choose)
    decoder.finish()
    if symbol_hash([latents.channel_major(z_symbols), np.concatenate(in_order)]) != expected_hash:
        raise SymbolMismatch("their hashes differ although no section is damaged")
    symbols = Symbols(z_symbols, y_symbols[:hy, :wy], walked.indexes[0, :hy, :wy], guard_bytes)
    return _quantised(walked, z_hat, [symbols])


def symbol_bits(codec: StoredCodec, symbols: Symbols) -> tuple[np.ndarray, np.ndarray]:
    """Bits of every z and y symbol of an image, [hz, wz, n] and [hy, wy, m], from the integer tables."""
    return latents.z_bits(codec, symbols.z), latents.table_bits(symbols.y, symbols.indexes, codec.y_tables)


def waves(height: int, width: int, window: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns of every wave of a map, in coding order: a wave depends on those before it alone.

    Those of a part of the map that begins in the same corner come in the same order.
    """
    rows, cols = np.indices((height, width)).reshape(2, -1)
    # The furthest a position looks to the right is `window // 2` columns, one row up.
    time = cols + (window // 2 + 1) * rows
    order = np.lexsort((rows, time))
    starts = np.flatnonzero(np.diff(time[order])) + 1
    return list(zip(np.split(rows[order], starts), np.split(cols[order], starts), strict=True))


def _walk(
    spec: ContextSpec,
    params64: dict,
    z_hat: np.ndarray,
    guards: Sequence[CellGuard],
    choose: Callable[[Wave], Int32[np.ndarray, "b p m"]],
) -> Walked:
    """Evaluates the canvas wave by wave; `choose` gives the symbols of each from its indexes and means.

    This is all of the arithmetic that has to agree, and both sides run it. float64 on the host CPU.
    """
    reach = spec.context_window // 2
    offsets = causal_offsets(spec.context_window) + reach
    host = jax.devices("cpu")[0]
    with programs.enable_x64(True), jax.default_device(host):
        params64 = jax.device_put(params64, host)
        params = np.asarray(
            programs.programs(spec).hyper_synthesise({"params": params64}, z_hat.astype(np.float64))
        )
        batch, height, width = params.shape[:3]
        shape = (batch, height, width, spec.M)
        out = Walked(*(np.zeros(shape, dtype) for dtype in (np.float64, np.float64, np.float64, np.int32)))
        context = np.zeros(
            (batch, height + reach, width + 2 * reach, spec.M)
        )  # zeros at the top and the sides
        steps = waves(height, width, spec.context_window)
        lanes = _power_of_two(batch * max(len(rows) for rows, _ in steps))
        for rows, cols in steps:
            at = np.s_[:, rows, cols]
            neighbours = context[:, rows[:, None] + offsets[:, 0], cols[:, None] + offsets[:, 1]]
            scales, means = _evaluate(spec, params64, params[at], neighbours, lanes)
            out.scales[at] = scales
            out.indexes[at], out.means[at] = _agreed(guards, scales, means)
            out.y_hat[at] = choose(Wave(rows, cols, out.indexes[at], out.means[at])) + out.means[at]
            context[:, rows + reach, cols + reach] = out.y_hat[at]
    return out


def _evaluate(
    spec: ContextSpec, params64: Any, params: np.ndarray, neighbours: np.ndarray, lanes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scales and means of one wave, run on a fixed number of lanes so that nothing is compiled twice."""
    batch, positions = params.shape[:2]
    used = batch * positions

    def spread(values: np.ndarray) -> np.ndarray:
        flat = np.zeros((lanes, *values.shape[2:]))
        flat[:used] = values.reshape(used, *values.shape[2:])
        return flat

    outputs = _gaussian_at(spec)(params64, spread(params), spread(neighbours))
    scales, means = (np.asarray(values)[:used].reshape(batch, positions, -1) for values in outputs)
    if not (np.isfinite(scales).all() and np.isfinite(means).all()):
        raise IcmError(
            "the entropy model gave values that are not finite; the weights are damaged or diverged"
        )
    return scales, means


def _agreed(
    guards: Sequence[CellGuard], scales: Float64[np.ndarray, "b p m"], means: Float64[np.ndarray, "b p m"]
) -> tuple[np.ndarray, np.ndarray]:
    """Table indexes and means on their grid, the same on both sides; a wave's scales are guarded first."""
    steps = np.log(np.maximum(scales, np.finfo(np.float64).tiny) / SCALE_MIN) / LOG_STEP
    # The first and the last cell have no further boundary: half a cell keeps what lies there away from all.
    coordinates = np.stack([np.clip(steps, -0.5, LEVELS - 1.5), MEAN_STEPS * means - 0.5], axis=1)
    cells = np.stack([guard.cells(own.ravel()) for guard, own in zip(guards, coordinates, strict=True)])
    indexes, mean_cells = np.moveaxis(cells.reshape(coordinates.shape), 1, 0)
    return indexes.astype(np.int32), mean_cells / MEAN_STEPS


def _quantised(walked: Walked, z_hat: np.ndarray, symbols: list[Symbols]) -> Quantised:
    y_hat, means = walked.y_hat.astype(np.float32), walked.means.astype(np.float32)
    return Quantised(y_hat, z_hat, walked.scales, means, symbols)


@lru_cache(maxsize=16)
def _gaussian_at(spec: ContextSpec) -> Any:
    """The jitted evaluation of single positions."""
    model = build(spec)

    def gaussian_at(params64: Any, params: Array, neighbours: Array) -> tuple[Array, Array]:
        return model.apply({"params": params64}, params, neighbours, method="gaussian_at")

    return jax.jit(gaussian_at)


def _spec(codec: StoredCodec) -> ContextSpec:
    assert isinstance(codec.spec, ContextSpec)  # `icm_jax.coding` sends no other codec here
    return codec.spec


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


def _refuse_float32(precision: str) -> None:
    if precision != "float64":
        raise IcmError(
            f"scale_precision={precision!r}: a context model feeds its own output back and needs float64; leave it out"
        )
