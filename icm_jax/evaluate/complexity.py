"""Parameters and multiply–accumulates of a codec, in two ways of counting.

    true       what the program multiplies; a transposed convolution has k² taps an input position
    paper      a transposed convolution as if its kernel ran at output size (4 × true), plus one multiply for
               every output of a norm and of a convolution's bias; prompts that windows share, once a window

The papers on TIC print the second: 142.54 / 188.52 kMAC a pixel (Kao et al., ICCV 2023). They do not state the
rule; it was inferred from the numbers.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from icm_jax.evaluate.macs import count_in_jaxpr
from icm_jax.layers.batch_norm import BatchNorm
from icm_jax.layers.conv import Conv, Deconv
from icm_jax.layers.depthwise import DepthwiseConv
from icm_jax.layers.prompts import Prompts
from icm_jax.layers.window_attention import WindowAttention
from icm_jax.models.hooks import AdapterSpec
from icm_jax.models.registry import ModelSpec, build

IMAGE_SIZE = 256  # pixels a side; the figures a pixel are those of the papers' 256×256 images

ENCODER_PARTS = ("g_a", "h_a", "z_prior")
DECODER_PARTS = ("g_s", "h_s")


class Macs(NamedTuple):
    """Multiply–accumulates of one run, by each way of counting."""

    true: int
    paper: int


class Complexity(NamedTuple):
    """Parameters, and thousands of multiply–accumulates a pixel of the image.

    The encoder is g_a and h_a, with the factorised prior among its parameters; the decoder is g_s and h_s. Each with
    what an adapter adds to it; `adapter_params` are those alone. A decoder that makes features has no g_s.
    """

    enc_params: int
    dec_params: int
    enc_kmacs: float
    dec_kmacs: float
    enc_kmacs_paper: float
    dec_kmacs_paper: float
    adapter_params: int = 0


def complexity(spec: ModelSpec, adapter: AdapterSpec | None = None) -> Complexity:
    """Complexity of a codec at 256×256. Nothing is computed: shapes are enough."""
    model = build(spec, adapter)
    image = _square_map(IMAGE_SIZE, adapter.input_channels if adapter else 3)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    y = _square_map(IMAGE_SIZE // spec.y_stride, spec.M)
    z = _square_map(IMAGE_SIZE // spec.z_stride, spec.N)
    encoder = _add(measure(model, variables, "analyse", image), measure(model, variables, "hyper_analyse", y))
    decoder = _add(
        measure(model, variables, "synthesise", y), measure(model, variables, "hyper_synthesise", z)
    )
    per_pixel = 1e-3 / IMAGE_SIZE**2
    params = variables["params"]
    added = params.get("adapter", {})

    def count(parts: tuple[str, ...]) -> int:
        return sum(parameter_count(tree.get(part, {})) for part in parts for tree in (params, added))

    return Complexity(
        enc_params=count(ENCODER_PARTS),
        dec_params=count(DECODER_PARTS),
        enc_kmacs=encoder.true * per_pixel,
        dec_kmacs=decoder.true * per_pixel,
        enc_kmacs_paper=encoder.paper * per_pixel,
        dec_kmacs_paper=decoder.paper * per_pixel,
        adapter_params=parameter_count(added),
    )


def measure(model: nn.Module, variables: Any, method: str, *args: Any) -> Macs:
    """Counts one method of a Flax module; variables and arguments may be `jax.ShapeDtypeStruct`."""
    extra: list[Macs] = []

    def record(call: Any, inputs: Any, options: Any, context: Any) -> Any:
        output = call(*inputs, **options)
        extra.append(_beyond_products(context.module, context.method_name, inputs, output))
        return output

    with nn.intercept_methods(record):
        program = jax.make_jaxpr(lambda *traced: model.apply(traced[0], *traced[1:], method=method))
        products = count_in_jaxpr(program(variables, *args).jaxpr)
    true, paper = (products + sum(counts) for counts in zip(*extra, strict=True))
    return Macs(true, paper)


def _beyond_products(module: nn.Module, method: str, inputs: Any, output: Any) -> Macs:
    """What one call counts beyond the matrix products and convolutions in its program."""
    if isinstance(module, WindowAttention) and method == "with_prompts":
        return Macs(0, _repeated_prompts(module, *inputs))
    if method != "__call__":
        return Macs(0, 0)
    size = math.prod(output.shape) if isinstance(module, (Conv, DepthwiseConv, Deconv, nn.LayerNorm)) else 0
    if isinstance(module, DepthwiseConv):  # runs as sums of shifted products
        return Macs(size * module.kernel_size**2, size * module.kernel_size**2 + size)
    if isinstance(module, Deconv):
        return Macs(0, size + 3 * math.prod(inputs[0].shape) * module.kernel_size**2 * module.features)
    if isinstance(module, BatchNorm):  # two, and one for the ReLU that follows each
        return Macs(0, 3 * math.prod(output.shape))
    return Macs(0, size)


def _repeated_prompts(attention: WindowAttention, x: Any, prompts: Prompts) -> int:
    """The papers project prompts that all windows share anew in each; here they are projected once."""
    if prompts.tokens.ndim == 4:
        return 0
    windows = x.shape[0] * -(-x.shape[1] // attention.window) * -(-x.shape[2] // attention.window)
    batch, count, width = prompts.tokens.shape
    return (windows - batch) * count * 3 * width**2


def parameter_count(params: Any) -> int:
    """Numbers in a parameter tree."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def format_table(codecs: Mapping[str, Complexity]) -> str:
    """One line a codec for the terminal; kMAC a pixel: true and, in brackets, by the papers' rule."""
    width = max([len(name) for name in codecs] + [len("codec")])
    header = f"{'codec':<{width}}  {'encoder':>9}  {'decoder':>9}  {'enc kMAC/px':>17}  {'dec kMAC/px':>17}"
    lines = [header]
    for name, c in codecs.items():
        encoder = f"{c.enc_kmacs:.2f} ({c.enc_kmacs_paper:.2f})"
        decoder = f"{c.dec_kmacs:.2f} ({c.dec_kmacs_paper:.2f})"
        sizes = f"{_millions(c.enc_params):>9}  {_millions(c.dec_params):>9}"
        lines.append(f"{name:<{width}}  {sizes}  {encoder:>17}  {decoder:>17}")
    return "\n".join(lines)


def _square_map(side: int, channels: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)


def _millions(count: int) -> str:
    return f"{count / 1e6:.3f} M"


def _add(a: Macs, b: Macs) -> Macs:
    return Macs(*(left + right for left, right in zip(a, b, strict=True)))
