"""A larger TIC that starts from a smaller trained one: nothing learned is lost, new channels and layers are fresh.

    kernel   [… in, out]     trained │ fresh        rows: inputs, columns: outputs
                             ────────┼──────        new inputs do not reach old outputs, so every old
                              zero   │ fresh        channel still computes what it did

    layer    x + expand(…)                          a new bottleneck at the end of a stack starts with expand = 0

After the widening of Chen et al. (Net2Net, ICLR 2016), with fresh channels instead of copies. Fresh channels of y need
a while of large lmbda to become useful: at the rate they are meant for they are silenced, or rounded to zero, before
the decoder has learned to read them (docs/models.md).
"""

import re
from typing import Any

import jax.numpy as jnp
from jax import Array

from icm_jax import paths
from icm_jax.errors import IcmError
from icm_jax.models import rate_family

IN_A_STACK = re.compile(r".*/stb\d/layer\d+/(reduce|spatial|expand)/(kernel|bias)")


def grow(trained: Any, fresh: Any) -> dict[str, Any]:
    """`fresh` parameters of a wider or deeper model, with those of a smaller `trained` one in its first channels.

    Both are parameter trees of one TIC, or both rate families of the same number of rates. Layers can be added to
    stacks of bottlenecks.

    Raises:
        IcmError: a parameter missing on one side that is not of such a layer, or wider in `trained`.
    """
    old, new = paths.flatten(_parts(trained)), paths.flatten(_parts(fresh))
    odd = set(old) - set(new) or {path for path in set(new) - set(old) if not IN_A_STACK.fullmatch(path)}
    if odd:
        raise IcmError(
            f"the models differ in {len(odd)} parameters, first {min(odd)}; only widths and the depths of stacks "
            "of bottlenecks can grow"
        )
    grown = {
        path: _place(path, old[path], new[path]) if path in old else _idle(path, new[path]) for path in new
    }
    tree = paths.unflatten(grown)
    return tree if rate_family.is_family(fresh) else tree["own"]


def _parts(params: Any) -> dict[str, Any]:
    return dict(params) if rate_family.is_family(params) else {"own": params}


def _idle(path: str, new: Array) -> Array:
    """A fresh layer's array: the layer adds nothing yet."""
    return jnp.zeros_like(new) if "/expand/" in path else new


def _place(path: str, old: Array, new: Array) -> Array:
    """The trained array inside the fresh one."""
    if old.shape == new.shape:
        return old
    if old.ndim != new.ndim or any(a > b for a, b in zip(old.shape, new.shape, strict=True)):
        raise IcmError(f"{path}: {old.shape} does not fit into {new.shape}; a model can only grow")
    if "h_s/deconv3/" in path:  # scales, then means: each half grows by itself
        halves = zip(jnp.split(old, 2, axis=-1), jnp.split(new, 2, axis=-1), strict=True)
        return jnp.concatenate([_corner(*half) for half in halves], axis=-1)
    return _corner(old, new)


def _corner(old: Array, new: Array) -> Array:
    if old.ndim >= 4:  # a kernel: new inputs must not change old outputs
        new = new.at[..., old.shape[-2] :, : old.shape[-1]].set(0.0)
    return new.at[tuple(slice(size) for size in old.shape)].set(old)
