"""Small codecs with random weights, built once a session: real enough to code with, fast enough for every test."""

from functools import cache

import jax
import jax.numpy as jnp

from icm_jax.codec import Codec
from icm_jax.models.registry import build
from icm_jax.models.tic import TICSpec
from icm_jax.train.export import make_codec

BOTTLENECK = TICSpec(
    N=8,
    M=8,
    widths=(8, 8, 8),
    depths=(1, 1, 1, 1),
    hyper_depths=(1, 1),
    block="bottleneck",
    latent_gain=8.0,
    init="lecun",
)
SWIN = TICSpec(N=8, M=8, depths=(1, 2, 1, 2), hyper_depths=(2, 1), heads=(2, 2, 2, 2), hyper_heads=(2, 2))

SHALLOW_SWIN = TICSpec(
    N=8,
    M=8,
    depths=(1, 1, 1, 1),
    hyper_depths=(1, 1),
    heads=(1, 1, 1, 1),
    hyper_heads=(1, 1),
    latent_gain=8.0,
    init="lecun",
    drop_path=0.0,
)


@cache
def tiny_codec(spec: TICSpec = BOTTLENECK, seed: int = 0, name: str = "tiny") -> Codec:
    """A codec of random weights."""
    params = jax.jit(build(spec).init)(jax.random.key(seed, impl="rbg"), jnp.zeros((1, 64, 64, 3)))["params"]
    return Codec(make_codec(name, 1, 0.01, spec, params, {}))
