"""The compiled programs of a codec: one a canvas size and step, shared by every codec of the same specification.

    analyse     uint8 [b, H, W, 3]         ─► y, z                   float32, default device
    hyper       z_hat                      ─► scales f64, means f32   float64, host CPU: decides every table index
    synthesise  y_hat                      ─► uint8 [b, H, W, 3]      float32, default device

Weights are arguments, never constants, so two rates, or two adapters of one specification, run the same program.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, UInt8

from icm_jax.canvas import Canvas, tiles
from icm_jax.layers.resize import bilinear
from icm_jax.models.hooks import AdapterSpec
from icm_jax.models.registry import ModelSpec, build

# A context manager of the public API since JAX 0.8; older releases have it under `experimental`.
enable_x64: Any = getattr(jax if hasattr(jax, "enable_x64") else jax.experimental, "enable_x64")  # noqa: B009


class Network(NamedTuple):
    """A codec's networks with their weights; `variables` holds Flax collections, "params" and those of an adapter."""

    spec: ModelSpec
    variables: Mapping[str, Any]
    adapter: AdapterSpec | None = None


class Programs(NamedTuple):
    """Jitted steps of one specification, each called with the variables first."""

    analyse: Any
    hyper_analyse: Any
    hyper_synthesise: Any
    synthesise: Any
    bits: Any


@lru_cache(maxsize=16)
def programs(spec: ModelSpec, adapter: AdapterSpec | None = None) -> Programs:
    """The jitted steps of a specification; jit itself keeps one executable a canvas size."""
    model = build(spec, adapter)
    features = adapter is not None and not adapter.pictures

    def run(method: str) -> Any:
        return lambda variables, *args: model.apply(variables, *args, method=method)

    def analyse(variables: Any, pixels: UInt8[Array, "b h w c"]) -> Float[Array, "b hy wy m"]:
        return run("analyse")(variables, pixels.astype(jnp.float32) / 255.0)

    def synthesise(variables: Any, y_hat: Float[Array, "b hy wy m"]) -> Array:
        x_hat = run("synthesise")(variables, y_hat)
        return x_hat if features else jnp.round(jnp.clip(x_hat, 0.0, 1.0) * 255.0).astype(jnp.uint8)

    def bits(variables: Any, y_hat: Array, z_hat: Array, scales: Array, means: Array) -> tuple[Array, Array]:
        y_likelihoods = run("y_likelihoods")(variables, y_hat, scales, means)
        return -jnp.log2(y_likelihoods), -jnp.log2(run("z_likelihoods")(variables, z_hat))

    jitted = (analyse, run("hyper_analyse"), run("hyper_synthesise"), synthesise, bits)
    return Programs(*(jax.jit(function) for function in jitted))


def double_precision(params: Any) -> Any:
    """float64 copies of parameters on the host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)


def scales_and_means(spec: ModelSpec, params64: Any, z_hat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales (float64) and means (float32) of y from z_hat, evaluated in float64 on the host CPU.

    Encoder and decoder both call this, so their table indexes agree although machines, batch sizes and compilers
    sum in different orders: in float64 that moves a scale by 1e-14, far inside the guard's tolerance of 1e-9.
    """
    host = jax.devices("cpu")[0]
    with enable_x64(True), jax.default_device(host):
        scales, means = programs(spec).hyper_synthesise({"params": params64}, z_hat.astype(np.float64))
        return np.asarray(scales), np.asarray(means).astype(np.float32)


def analyse(network: Network, pixels: UInt8[np.ndarray, "b h w c"], canvas: Canvas) -> Array:
    """y of a batch of padded images; large canvases tile by tile, with bounded memory."""
    program = programs(network.spec, network.adapter).analyse
    if not canvas.tiled:
        return program(network.variables, pixels)
    stride = network.spec.y_stride
    y = np.empty((len(pixels), *canvas.grid(stride), network.spec.M), np.float32)
    for tile in tiles(canvas):
        part = np.asarray(program(network.variables, pixels[:, *tile.window(1)]))
        y[:, *tile.kept(stride)] = part[:, *tile.kept_inside(stride)]
    return jnp.asarray(y)


def hyper_analyse(network: Network, y: Float[Array, "b hy wy m"]) -> Float[np.ndarray, "b hz wz n"]:
    """z of a batch of latents, never tiled."""
    return np.asarray(programs(network.spec, network.adapter).hyper_analyse(network.variables, y))


def synthesise(network: Network, y_hat: Float[np.ndarray, "b hy wy m"], canvas: Canvas) -> np.ndarray:
    """uint8 pictures [b, H, W, 3·pictures] of a canvas, or float32 features; large canvases tile by tile."""
    program = programs(network.spec, network.adapter).synthesise
    stride, whole = network.spec.y_stride, np.empty(0)
    y_hat = _continued(y_hat, canvas.coded_grid(stride))
    if not canvas.tiled:
        return np.asarray(program(network.variables, y_hat))
    for tile in tiles(canvas):
        latents = y_hat[:, *tile.window(stride)]
        part = np.asarray(program(network.variables, latents))
        out_stride = latents.shape[1] * stride // part.shape[1]  # 1 for pictures
        if not whole.size:
            whole = np.empty((len(y_hat), *canvas.grid(out_stride), part.shape[-1]), part.dtype)
        whole[:, *tile.kept(out_stride)] = part[:, *tile.kept_inside(out_stride)]
    return whole


def _continued(
    y_hat: Float[np.ndarray, "b hy wy m"], coded: tuple[int, int]
) -> Float[np.ndarray, "b hy wy m"]:
    """Latents that no image covers as copies of the nearest coded ones: the padded picture goes on likewise.

    Where a photo ends on the grid its last rows are a decibel better than with the means that the hyperprior expects
    there (`python benchmarks/border.py`).
    """
    rows, cols = coded
    rest = ((0, 0), (0, y_hat.shape[1] - rows), (0, y_hat.shape[2] - cols), (0, 0))
    return np.pad(y_hat[:, :rows, :cols], rest, mode="edge")


@partial(jax.jit, static_argnums=1)
def _resize(pixels: UInt8[Array, "b h w 3"], size: tuple[int, int]) -> UInt8[Array, "b h2 w2 3"]:
    resized = bilinear(pixels.astype(jnp.float32), size)
    return jnp.round(jnp.clip(resized, 0.0, 255.0)).astype(jnp.uint8)


def resize(pixels: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Bilinear resize of one image, as the reference's "resize" alignment does, rounded to 8 bits."""
    return np.asarray(_resize(pixels[None], size))[0]
