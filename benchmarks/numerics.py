"""What each convention is worth: the figures of docs/numerics.md.

    python benchmarks/numerics.py [ROW ...]

Rows are measured against PyTorch: how far this project is from it, and how far the other convention would be. The last
two are measured against float64, for both.
Needs torch.
"""

import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from flax import linen as nn
from jax.scipy.special import erfc
from torch import Tensor

from icm_jax.layers.batch_norm import BatchNorm
from icm_jax.layers.bicubic import bicubic
from icm_jax.layers.conv import conv2d
from icm_jax.layers.dense import gelu
from icm_jax.layers.resize import bilinear, bilinear_corners


class Row(NamedTuple):
    """Largest absolute differences from PyTorch, on values of about 1.

    Attributes:
        ours: of what this project does.
        other: of the convention that is easily taken for it.
    """

    ours: float
    other: float
    note: str


def image(*shape: int) -> np.ndarray:
    """Normal values, the same in every row."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def nchw(x: np.ndarray) -> Tensor:
    """[b, h, w, c] as PyTorch wants it."""
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def nhwc(x: Tensor) -> np.ndarray:
    """Back."""
    return x.detach().permute(0, 2, 3, 1).numpy()


def apart(ours: jax.Array | np.ndarray, theirs: jax.Array | np.ndarray | Tensor) -> float:
    """Largest absolute difference."""
    return float(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)).max())


def bicubic_plain() -> Row:
    """Interpolation with a = -0.75."""
    x = image(1, 24, 24, 3)
    theirs = nhwc(F.interpolate(nchw(x), (37, 37), mode="bicubic", align_corners=False))
    other = jax.image.resize(x, (1, 37, 37, 3), "bicubic")
    return Row(apart(bicubic(x, (37, 37)), theirs), apart(other, theirs), "jax.image.resize has a = -0.5")


def bicubic_antialias() -> Row:
    """Interpolation with a = -0.5, shrinking."""
    x = image(1, 37, 37, 3)
    theirs = nhwc(F.interpolate(nchw(x), (24, 24), mode="bicubic", align_corners=False, antialias=True))
    return Row(
        apart(bicubic(x, (24, 24), antialias=True), theirs),
        apart(bicubic(x, (24, 24)), theirs),
        "antialias=False has a = -0.75 and four taps",
    )


def corners() -> Row:
    """Bilinear interpolation, align_corners=True."""
    x = image(1, 16, 16, 3)
    theirs = nhwc(F.interpolate(nchw(x), (40, 40), mode="bilinear", align_corners=True))
    return Row(
        apart(bilinear_corners(x, (40, 40)), theirs), apart(bilinear(x, (40, 40)), theirs), "False instead"
    )


def gelu_erf() -> Row:
    """GELU through erf."""
    x = np.linspace(-6, 6, 100_001, dtype=np.float32)
    theirs = F.gelu(torch.from_numpy(x))
    return Row(
        apart(gelu(jnp.asarray(x)), theirs),
        apart(nn.gelu(x, approximate=True), theirs),
        "tanh, Flax's default",
    )


def batch_variance() -> Row:
    """Running variance after one step of a batch norm, momentum 0.1."""
    x = image(2, 4, 4, 8)
    reference = torch.nn.BatchNorm2d(8).train()
    reference(nchw(x))
    theirs = reference.running_var
    module = BatchNorm()
    variables = module.init(jax.random.key(0), x, True)
    _, state = module.apply(variables, x, True, mutable=["batch_stats"])
    flax = nn.BatchNorm(use_running_average=False, momentum=0.9)
    _, biased = flax.apply(flax.init(jax.random.key(0), x), x, mutable=["batch_stats"])
    leaves = [s["batch_stats"]["var"] for s in (state, biased)]
    return Row(
        apart(leaves[0], theirs), apart(leaves[1], theirs), "Flax keeps the biased one (32 values a channel)"
    )


def layer_norm_eps() -> Row:
    """Layer norm with eps 1e-5 on inputs of standard deviation 0.01."""
    x = 0.01 * image(64, 128)
    theirs = F.layer_norm(torch.from_numpy(x), (128,), eps=1e-5)
    made = [nn.LayerNorm(epsilon=eps) for eps in (1e-5, 1e-6)]
    outputs = [layer.apply(layer.init(jax.random.key(0), x), x) for layer in made]
    return Row(apart(outputs[0], theirs), apart(outputs[1], theirs), "1e-6, Flax's default")


def rounding() -> Row:
    """Rounding of halves."""
    x = np.arange(-8, 8, dtype=np.float32) + 0.5
    theirs = torch.round(torch.from_numpy(x))
    return Row(
        apart(jnp.round(x), theirs), apart(np.floor(x + 0.5), theirs), "half up; every second half differs"
    )


def padding() -> Row:
    """A 3×3 convolution of stride 2 on an even size."""
    x, kernel = image(1, 16, 16, 4), 0.2 * image(3, 3, 4, 8)
    weight = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
    theirs = nhwc(F.conv2d(nchw(x), weight, stride=2, padding=1))
    same = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return Row(
        apart(conv2d(jnp.asarray(x), jnp.asarray(kernel), 2), theirs),
        apart(same, theirs),
        "'SAME' pads (0, 1)",
    )


def tensorfloat() -> Row:
    """Products of 256 terms, as this project asks for them in comparisons, and with operands of 10 bits."""
    a, b = image(64, 256) / 16, image(256, 64)
    theirs = torch.from_numpy(a) @ torch.from_numpy(b)
    ours = jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
    return Row(
        apart(ours, theirs),
        apart(jnp.matmul(tf32(a), tf32(b), precision=jax.lax.Precision.HIGHEST), theirs),
        "TF32, XLA's default on recent NVIDIA GPUs; here its rounding of operands on any device",
    )


def tf32(x: np.ndarray) -> np.ndarray:
    """float32 rounded to the nearest number with 10 bits behind the leading one, halves to even."""
    bits = x.view(np.uint32)
    return ((bits + 0xFFF + (bits >> 13 & 1)) & np.uint32(0xFFFFE000)).view(np.float32)


def complementary_error() -> Row:
    """Relative error of erfc in float32, in the range of a likelihood; `other` is PyTorch's."""
    t = np.random.default_rng(0).uniform(-3, 4, 1 << 16).astype(np.float32)
    exact = torch.erfc(torch.from_numpy(t).double()).numpy()
    ours, theirs = np.asarray(jax.jit(erfc)(t)), torch.erfc(torch.from_numpy(t)).numpy()
    return Row(apart(ours / exact, 1), apart(theirs / exact, 1), "PyTorch; both against float64")


def sums() -> Row:
    """Relative error of a float32 sum of 3072 logarithms; `other` is PyTorch's."""
    x = np.log2(np.random.default_rng(0).uniform(1e-3, 1, 3072)).astype(np.float32)
    exact = math.fsum(x.tolist())
    ours, theirs = float(jax.jit(jnp.sum)(x)), float(torch.from_numpy(x).sum())
    return Row(
        abs(ours / exact - 1), abs(theirs / exact - 1), "PyTorch; both against float64, each in its own order"
    )


ROWS: dict[str, Callable[[], Row]] = {
    "bicubic": bicubic_plain,
    "bicubic-antialias": bicubic_antialias,
    "align-corners": corners,
    "gelu": gelu_erf,
    "batch-variance": batch_variance,
    "layer-norm-eps": layer_norm_eps,
    "rounding": rounding,
    "padding": padding,
    "tf32": tensorfloat,
    "erfc": complementary_error,
    "sums": sums,
}


def main() -> None:
    """Prints the rows named, or all."""
    names = sys.argv[1:] or list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        sys.exit(f"no row is called {unknown[0]!r}; choose from {', '.join(ROWS)}")
    with jax.default_matmul_precision("highest"):
        print(f"{'row':<18} {'ours':>9} {'other':>9}  other convention")
        for name in names:
            row = ROWS[name]()
            print(f"{name:<18} {row.ours:>9.1e} {row.other:>9.1e}  {row.note}")


if __name__ == "__main__":
    main()
