"""A Swin TIC that starts from a trained tic-lite: its convolutions and its priors, fresh Swin stacks between them.

    tic-lite   conv ─► bottlenecks(x)
    TIC        conv/2 ─► x + layers(x)       fresh layers are about the identity, so the stack doubles its input

A codec of convolutions alone decodes blurred but recognisable pictures, so the stacks learn what is missing
instead of everything.
"""

import re
from typing import Any

from jax import Array

from icm_jax import paths
from icm_jax.errors import IcmError

BEFORE_A_STACK = re.compile(r"(own/|shared/)?[gh]_a/conv\d/(kernel|bias)")
AFTER_A_STACK = re.compile(r"(own/|shared/)?[gh]_s/deconv\d/kernel")


def transplant(trained: Any, fresh: Any) -> dict[str, Any]:
    """`fresh` parameters of a TIC with Swin stacks, with everything else from a `trained` one with bottlenecks.

    Both are parameter trees of one TIC, or rate families of the same number of rates.

    Raises:
        IcmError: a convolution or a prior of another size.
    """
    old, new = paths.flatten(dict(trained)), paths.flatten(dict(fresh))
    for path in new.keys() & old.keys():
        if new[path].shape != old[path].shape:
            raise IcmError(
                f"{path}: {old[path].shape} there, {new[path].shape} here; take equal N, M and widths"
            )
    return paths.unflatten({path: _halved(path, old[path]) if path in old else new[path] for path in new})


def has_swin_stacks(params: Any) -> bool:
    """Whether the parameters are those of a TIC with Swin stacks; bottlenecks have no attention."""
    return any("/attn/" in path for path in paths.flatten(dict(params)))


def _halved(path: str, leaf: Array) -> Array:
    return leaf * 0.5 if BEFORE_A_STACK.fullmatch(path) or AFTER_A_STACK.fullmatch(path) else leaf
