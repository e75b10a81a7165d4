"""A wider TIC that starts from a narrower trained one: nothing learned is lost, the new channels are fresh.

    kernel   [… in, out]     trained │ fresh        rows: inputs, columns: outputs
                             ────────┼──────        new inputs do not reach old outputs, so every old
                              zero   │ fresh        channel still computes what it did

After the widening of Chen et al. (Net2Net, ICLR 2016), with fresh channels instead of copies. New channels of y
start near zero with a small scale, so that they cost almost no bits until they have learned to be useful.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array

from icm_jax import paths
from icm_jax.errors import IcmError
from icm_jax.models import rate_family

QUIET = 0.05  # size of fresh y channels and of their predictions, against ordinary initial values
QUIET_SCALE = 0.2  # predicted standard deviation of fresh y channels: 0.05 bits for a rounded zero


def widen(trained: Any, fresh: Any) -> dict[str, Any]:
    """`fresh` parameters of a wider model, with those of a narrower `trained` one in its first channels.

    Both are parameter trees of one TIC, or both rate families of the same number of rates.

    Raises:
        IcmError: a parameter missing on one side, or wider in `trained`.
    """
    old, new = paths.flatten(_parts(trained)), paths.flatten(_parts(fresh))
    if set(old) != set(new):
        odd = sorted(set(old) ^ set(new))
        raise IcmError(
            f"the models differ in {len(odd)} parameters, first {odd[0]}; only widths can grow, not depths"
        )
    wide = paths.unflatten({path: _place(path, old[path], new[path]) for path in new})
    return wide if rate_family.is_family(fresh) else wide["own"]


def _parts(params: Any) -> dict[str, Any]:
    return dict(params) if rate_family.is_family(params) else {"own": params}


def _place(path: str, old: Array, new: Array) -> Array:
    """The trained array inside the fresh one; scales and means of h_s are two groups of channels side by side."""
    if old.shape == new.shape:
        return old
    if old.ndim != new.ndim or any(a > b for a, b in zip(old.shape, new.shape, strict=True)):
        raise IcmError(f"{path}: {old.shape} does not fit into {new.shape}; a model can only grow")
    if "h_s/deconv3/" in path:
        (old_scales, old_means), (scales, means) = jnp.split(old, 2, -1), jnp.split(new, 2, -1)
        is_bias = path.endswith("bias")
        scales = jnp.full_like(scales, QUIET_SCALE) if is_bias else scales * QUIET
        return jnp.concatenate([_corner(old_scales, scales), _corner(old_means, means * QUIET)], axis=-1)
    if "g_a/conv6/" in path or ("g_a/stb7/" in path and "/expand/" in path):
        new = new if path.startswith("gains/") else new * QUIET
    return _corner(old, new)


def _corner(old: Array, new: Array) -> Array:
    if old.ndim >= 4:  # a kernel: new inputs must not change old outputs
        new = new.at[..., old.shape[-2] :, : old.shape[-1]].set(0.0)
    return new.at[tuple(slice(size) for size in old.shape)].set(old)
