"""Checksums of arrays that do not depend on how the arrays are spread over devices.

Every element's bits are mixed with its position and added up modulo 2³². Integer sums have no order, so one device
and a hundred give the same number, and nothing is gathered to compute it. Made to notice damage, not tampering.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import UInt32

WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32}
SEEDS = (0x9E3779B1, 0x85EBCA77)
SMALL = 1 << 16  # elements


def digests(tree: Any) -> dict[str, tuple[int, int]]:
    """{path: 64 bits as two words} of every array of a tree; paths as JAX prints them."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    sums = {jax.tree_util.keystr(path): _sums(leaf) for path, leaf in leaves}
    return {path: (int(words[0]), int(words[1])) for path, words in jax.device_get(sums).items()}


def _sums(leaf: Array) -> UInt32[Array | np.ndarray, "2"]:
    """Of a small array on the host: a program for each of a network's many shapes takes longer to compile."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if leaf.size <= SMALL and leaf.is_fully_addressable:
        return _host_digest(np.asarray(leaf))
    return _program(_whole(leaf))(leaf)


def _whole(leaf: Array) -> NamedSharding | None:
    """Where the sums go: to every device, so that every process can read them."""
    sharding = leaf.sharding
    return NamedSharding(sharding.mesh, PartitionSpec()) if isinstance(sharding, NamedSharding) else None


@lru_cache
def _program(sharding: NamedSharding | None) -> Any:
    return jax.jit(_digest, out_shardings=sharding)


def _digest(x: Array) -> UInt32[Array, "2"]:
    if x.dtype == jnp.bool_:
        x = x.astype(jnp.uint8)
    if x.dtype.itemsize == 8:
        words = jax.lax.bitcast_convert_type(x, jnp.uint32)  # a trailing axis of two
    else:
        words = jax.lax.bitcast_convert_type(x, WORDS[x.dtype.itemsize]).astype(jnp.uint32)
    position = jnp.zeros(words.shape, jnp.uint32)
    for axis in range(words.ndim):  # row-major index modulo 2³²
        position = position * jnp.uint32(words.shape[axis] & 0xFFFFFFFF)
        position += jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
    return jnp.stack([_mix(words, position, seed).sum(dtype=jnp.uint32) for seed in SEEDS])


def _host_digest(x: np.ndarray) -> UInt32[np.ndarray, "2"]:
    """`_digest` without a program."""
    flat = np.ascontiguousarray(x).reshape(-1)
    words = flat.view(WORDS[min(x.dtype.itemsize, 4)]).astype(np.uint32)
    position = np.arange(words.size, dtype=np.uint32)
    return np.array([_mix(words, position, seed).sum(dtype=np.uint32) for seed in SEEDS])


def _mix(words: Any, position: Any, seed: int) -> Any:
    """A hash of (bits, position), multiply-and-shift rounds as in MurmurHash3's finaliser."""
    h = words ^ (position * np.uint32(seed) + np.uint32(seed >> 1))
    h = (h ^ (h >> 16)) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
    return h ^ (h >> 16)
