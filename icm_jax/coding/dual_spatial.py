"""Coding latents in two passes of a checkerboard (EVC's prior, the feature codec of DoRA-ICM).

    z_hat ─► h_s, fusion (float64) ─► q, scales, means ─► first pass   [Y] [GUARD]
                                           │                  │ y_hat of half the elements
                                           └─► spatial (float64) ─► scales, means ─► second pass   [Y] [GUARD]

symbol = round(y/q - mean), y_hat = (symbol + mean) · q. Each pass has a rANS string and a guard list of its own, over
its elements in the order of the channels. The second pass is evaluated from symbols plus float64 means, which
machines make alike up to 1e-14: far inside the tolerance of the guard, and there is no third pass to add to it.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Float64, Int32

from icm_jax.bitstream import guard, rans
from icm_jax.bitstream.container import Section, SectionType, symbol_hash
from icm_jax.bitstream.errors import DamagedSection, SymbolMismatch
from icm_jax.canvas import Canvas
from icm_jax.coding import latents
from icm_jax.coding.latents import Quantised
from icm_jax.entropy.dual_spatial import Hyper, first_pass
from icm_jax.errors import IcmError
from icm_jax.models import programs
from icm_jax.models.registry import build
from icm_jax.pretrained.store import StoredCodec

SCALE_PATH: tuple[str, ...] = ("h_s", "fusion", "spatial")  # what runs in float64
PASSES = 2


class Symbols(NamedTuple):
    """The integers of one image, and the float64 scales of the pass of every element."""

    z: Int32[np.ndarray, "hz wz n"]
    y: Int32[np.ndarray, "hy wy n"]
    scales: Float64[np.ndarray, "hy wy n"]


class Gaussians(NamedTuple):
    """What a pass knows about all elements, its own and, without meaning, the others; on the whole canvas."""

    scales: Float64[np.ndarray, "b hy wy n"]
    means: Float64[np.ndarray, "b hy wy n"]
    q: Float64[np.ndarray, "b hy wy n"]
    own: Bool[np.ndarray, "hy wy n"]


class Passed(NamedTuple):
    """Both passes put together."""

    symbols: Int32[np.ndarray, "b hy wy n"]
    scales: Float64[np.ndarray, "b hy wy n"]
    means: Float64[np.ndarray, "b hy wy n"]
    q: Float64[np.ndarray, "b hy wy n"]


def quantise(
    codec: StoredCodec,
    params64: dict,
    y: Float[np.ndarray, "b hy wy n"],
    z: Float[np.ndarray, "b hz wz n"],
    canvases: Sequence[Canvas],
) -> Quantised:
    """Rounds the latents of a batch of images that share the size of their canvas.

    Latents outside an image's coded part take the most likely value, symbol 0, here as in the decoder. `means` of
    the result are in units of y.
    """
    spec = codec.spec
    z_symbols, z_hat = latents.quantise_z(codec, z, canvases)
    values = np.asarray(y, np.float64)

    def choose(gaussians: Gaussians) -> Int32[np.ndarray, "b hy wy n"]:
        residual = np.where(gaussians.own, values / gaussians.q - gaussians.means, 0)
        return latents.only_coded(latents.rounded(residual), canvases, spec.y_stride)

    passed = _two_passes(codec, params64, z_hat, choose)
    symbols = []
    for i, canvas in enumerate(canvases):
        hz, wz = canvas.coded_grid(spec.z_stride)
        hy, wy = canvas.coded_grid(spec.y_stride)
        symbols.append(
            Symbols(z_symbols[i, :hz, :wz], passed.symbols[i, :hy, :wy], passed.scales[i, :hy, :wy])
        )
    return _quantised(passed, z_hat, symbols)


def write(codec: StoredCodec, symbols: Symbols, precision: str = "float64") -> tuple[list[Section], int]:
    """Sections of one image and the hash of its symbols. Touches no device: safe on any thread.

    With precision "float32" the guard lists every element that a decoder without float64 could misplace.
    """
    sections, hashed = [latents.write_z(codec, symbols.z)], [latents.channel_major(symbols.z)]
    for own in _pass_masks(symbols.y.shape):
        y, scales = _of_pass(symbols.y, own), _of_pass(symbols.scales, own)
        string = rans.encode(y, guard.scale_indexes(scales), codec.y_tables)
        listed = guard.encode_guard(scales, guard.EPSILON[precision])
        sections += [Section(SectionType.Y, string), Section(SectionType.GUARD, listed)]
        hashed.append(y)
    return sections, symbol_hash(hashed)


def read(
    codec: StoredCodec,
    params64: dict,
    sections: Sequence[Section],
    canvas: Canvas,
    expected_hash: int,
    precision: str = "float64",
) -> Quantised:
    """Latents of one image from its sections.

    Raises:
        StreamError: a section is damaged, or the symbols differ from what the encoder wrote.
    """
    spec = codec.spec
    z_bytes = latents.required(sections, SectionType.Z)[0]
    strings = _one_a_pass(sections, SectionType.Y)
    lists = _one_a_pass(sections, SectionType.GUARD)
    z_symbols, z_hat = latents.read_z(codec, z_bytes, canvas)
    hy, wy = canvas.coded_grid(spec.y_stride)
    hashed = [latents.channel_major(z_symbols)]

    def choose(gaussians: Gaussians) -> Int32[np.ndarray, "1 hy wy n"]:
        own = gaussians.own[:hy, :wy]
        step = len(hashed) - 1
        scales = _of_pass(gaussians.scales[0, :hy, :wy], own)
        indexes = guard.decode_guard(lists[step], scales, guard.EPSILON[precision])
        y = rans.decode(strings[step], indexes, codec.y_tables, section="Y")
        hashed.append(y)
        return latents.on_canvas(_spread(y, own), canvas.grid(spec.y_stride))[None]

    passed = _two_passes(codec, params64, z_hat, choose)
    if symbol_hash(hashed) != expected_hash:
        raise SymbolMismatch("their hashes differ although no section is damaged")
    symbols = Symbols(z_symbols, passed.symbols[0, :hy, :wy], passed.scales[0, :hy, :wy])
    return _quantised(passed, z_hat, [symbols])


def symbol_bits(codec: StoredCodec, symbols: Symbols) -> tuple[np.ndarray, np.ndarray]:
    """Bits of every z and y symbol of an image, [hz, wz, n] and [hy, wy, n], from the integer tables."""
    y_bits = latents.table_bits(symbols.y, guard.scale_indexes(symbols.scales), codec.y_tables)
    return latents.z_bits(codec, symbols.z), y_bits


def _two_passes(
    codec: StoredCodec,
    params64: dict,
    z_hat: Float[np.ndarray, "b hz wz n"],
    choose: Callable[[Gaussians], Int32[np.ndarray, "b hy wy n"]],
) -> Passed:
    """Evaluates both passes on the canvas; `choose` gives the symbols of each from what is known then.

    This is all of the arithmetic that has to agree, and both sides run it. float64 on the host CPU.
    """
    host = jax.devices("cpu")[0]
    hyper_synthesise, second_pass = _evaluations(codec.spec)
    with programs.enable_x64(True), jax.default_device(host):
        hyper: Hyper = hyper_synthesise(params64, z_hat.astype(np.float64))
        q, scales, means = _checked(hyper)
        first = first_pass(*q.shape[1:])
        symbols = np.where(first, choose(Gaussians(scales, means, q, first)), 0)
        decoded = np.where(first, symbols + means, 0)
        scales_2, means_2 = _checked(second_pass(params64, decoded, hyper))
    rest = choose(Gaussians(scales_2, means_2, q, ~first))
    return Passed(
        np.where(first, symbols, rest).astype(np.int32),
        np.where(first, scales, scales_2),
        np.where(first, means, means_2),
        q,
    )


@lru_cache(maxsize=16)
def _evaluations(spec: Any) -> tuple[Any, Any]:
    """The jitted networks of the first and of the second pass."""
    model = build(spec)

    def run(method: str) -> Any:
        return jax.jit(lambda params64, *args: model.apply({"params": params64}, *args, method=method))

    return run("hyper_synthesise"), run("second_pass")


def _quantised(passed: Passed, z_hat: np.ndarray, symbols: list[Symbols]) -> Quantised:
    y_hat, means = ((offset + passed.means) * passed.q for offset in (passed.symbols, 0))
    return Quantised(y_hat.astype(np.float32), z_hat, passed.scales, means.astype(np.float32), symbols)


def _pass_masks(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    height, width, channels = shape
    first = first_pass(height, width, channels)
    return first, ~first


def _of_pass(values: np.ndarray, own: Bool[np.ndarray, "h w n"]) -> np.ndarray:
    """The elements of one pass, flat, channel after channel."""
    return latents.channel_major(values)[latents.channel_major(own)]


def _spread(flat: np.ndarray, own: Bool[np.ndarray, "h w n"]) -> np.ndarray:
    """Inverse of `_of_pass`, 0 elsewhere."""
    values = np.zeros(own.size, flat.dtype)
    values[latents.channel_major(own)] = flat
    height, width, channels = own.shape
    return latents.from_channel_major(values, (height, width, channels))


def _one_a_pass(sections: Sequence[Section], wanted: SectionType) -> list[bytes]:
    found = [section.payload for section in sections if section.type == wanted]
    if len(found) != PASSES:
        raise DamagedSection(wanted.name, f"the stream has {len(found)} of them, one a pass makes {PASSES}")
    return found


def _checked(outputs: Sequence[Any]) -> list[np.ndarray]:
    """Outputs of the networks as NumPy arrays, none of them broken."""
    arrays = [np.asarray(output) for output in outputs]
    if not all(np.isfinite(array).all() for array in arrays):
        raise IcmError(
            "the entropy model gave values that are not finite; the weights are damaged or diverged"
        )
    return arrays
