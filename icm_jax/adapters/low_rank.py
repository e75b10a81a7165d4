"""LoRA and DoRA on any `layers.dense.Dense`: what is trained is a small tree beside a base that stays as it is.

    LoRA   y = x W + s · (x A) B                                  Hu et al., ICLR 2022;  s = alpha / rank
    DoRA   y = c · (x W + s · (x A) B),   c = m / ‖W + s A B‖      Liu et al., ICML 2024; norms of columns, held fixed

    base      {"blocks_0": {"attn": {"q_proj": {"kernel", "bias"}, …      never written to, never differentiated
    adapters  {"blocks_0": {"attn": {"q_proj": {"a", "b", "m"}, …         paths of the base, chosen by patterns

    model.apply({"params": base, "adapters": bind(spec, adapters)}, x)

Several adapters live beside one base: `stack` puts trees together, `choose` picks one for each example of a batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from icm_jax import paths
from icm_jax.errors import IcmError
from icm_jax.layers.dense import at_least_float32, matmul

NORM_FLOOR = 1e-6  # a column of zeros has no direction; its factor stays finite
QKV = (r".*/(q_proj|k_proj|v_proj)/kernel",)
QKV_UP_DOWN = (r".*/(q_proj|k_proj|v_proj|fc1_x|fc2)/kernel",)
QKV_MLP = (r".*/(q_proj|k_proj|v_proj|fc1_g|fc1_x|fc2)/kernel",)


@dataclass(frozen=True)
class LowRankSpec:
    """Which layers are adapted and how.

    Attributes:
        rank: columns of A.
        alpha: the update is scaled by alpha / rank.
        dropout: share of inputs that the update does not see in training.
        magnitude: DoRA if on, LoRA if off.
        targets: patterns over the paths of kernels.
    """

    rank: int = 8
    alpha: float = 8.0
    dropout: float = 0.0
    magnitude: bool = True
    targets: tuple[str, ...] = QKV

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise IcmError(f"rank={self.rank}; it must be at least 1")
        if not 0 <= self.dropout < 1:
            raise IcmError(f"dropout={self.dropout} is outside 0 ≤ dropout < 1")

    @property
    def scale(self) -> float:
        """s, the factor of the update."""
        return self.alpha / self.rank


@partial(jax.tree_util.register_dataclass, data_fields=("a", "b", "m"), meta_fields=("scale", "dropout"))
@dataclass(frozen=True)
class LowRank:
    """The adapter of one Dense: called in place of its product. Arrays may have a first axis of examples."""

    a: Float[Array, "*b c r"]
    b: Float[Array, "*b r d"]
    m: Float[Array, "*b d"] | None
    scale: float
    dropout: float

    def __call__(
        self, x: Float[Array, "b ... c"], kernel: Float[Array, "c d"], key: Array | None
    ) -> Float[Array, "b ... d"]:
        """x times the adapted kernel, which itself is never formed. `key`: for dropout, else None."""
        weights = kernel.astype(x.dtype)
        seen = x if key is None else _dropped(x, self.dropout, key)
        y, update = matmul(x, weights), self.update(seen)
        if self.m is None:
            return y + update
        norm = jax.lax.stop_gradient(column_norms(kernel, self.a, self.b, self.scale))
        factor = _per_example(self.m / norm, x.ndim).astype(x.dtype)
        if key is None:
            return factor * (y + update)
        # The base sees all inputs, but the change of its magnitude only those the update sees, as in peft.
        return y + (factor - 1) * matmul(seen, weights) + factor * update

    def update(self, x: Float[Array, "b ... c"]) -> Float[Array, "b ... d"]:
        """s · (x A) B."""
        a, b = self.a.astype(x.dtype), self.b.astype(x.dtype)
        if a.ndim == 2:
            return self.scale * matmul(matmul(x, a), b)
        tokens = x.reshape(len(x), -1, x.shape[-1])
        return self.scale * ((tokens @ a) @ b).reshape(*x.shape[:-1], b.shape[-1])


def column_norms(
    kernel: Float[Array, "*l c d"], a: Float[Array, "*b c r"], b: Float[Array, "*b r d"], scale: float
) -> Float[Array, "*b d"]:
    """‖W + s A B‖ of every column in float32 or better, at least NORM_FLOOR, from products no larger than A and B."""
    w, a, b = (at_least_float32(leaf) for leaf in (kernel, a, b))

    def product(equation: str, *leaves: Array) -> Array:
        return jnp.einsum(equation, *leaves, precision=jax.lax.Precision.HIGHEST)

    across = product("...cr,...cd->...rd", a, w)
    inside = product("...rq,...qd->...rd", product("...cr,...cq->...rq", a, a), b)
    squares = jnp.square(w).sum(-2) + (scale * b * (2 * across + scale * inside)).sum(-2)
    return jnp.sqrt(jnp.maximum(squares, NORM_FLOOR**2))


def init(key: Array, spec: LowRankSpec, base: paths.Tree) -> dict[str, Any]:
    """Adapters that change nothing yet: A uniform in ±1/√in, B zero, m the norms of the base.

    Args:
        base: parameters; of models that stack their layers too.

    Raises:
        IcmError: a target that fits no path, or fits something that is no kernel of a Dense.
    """
    leaves = {}
    kernels = _targets(spec, base)
    for own_key, (module, kernel) in zip(jax.random.split(key, len(kernels)), kernels.items(), strict=True):
        *lead, rows, columns = kernel.shape
        bound = rows**-0.5
        a = jax.random.uniform(own_key, (*lead, rows, spec.rank), jnp.float32, -bound, bound)
        leaves[f"{module}/a"] = a
        leaves[f"{module}/b"] = jnp.zeros((*lead, spec.rank, columns))
        if spec.magnitude:
            leaves[f"{module}/m"] = column_norms(kernel, a, leaves[f"{module}/b"], spec.scale)
    return paths.unflatten(leaves)


def bind(spec: LowRankSpec, adapters: paths.Tree, train: bool = False) -> dict[str, Any]:
    """The collection "adapters" for `model.apply`. In training dropout draws from the rng "dropout"."""
    return paths.unflatten(
        {
            f"{module}/adapter": LowRank(
                leaves["a"], leaves["b"], leaves.get("m"), spec.scale, spec.dropout if train else 0.0
            )
            for module, leaves in _modules(adapters).items()
        }
    )


def refuse_misfit(adapters: paths.Tree, base: paths.Tree) -> None:
    """Raises IcmError for adapters of layers that the base does not have, or has in another size.

    Flax itself takes them without a word: what no layer asks for is never looked at.
    """
    kernels = paths.flatten(base)
    for module, own in _modules(adapters).items():
        kernel = kernels.get(f"{module}/kernel")
        if kernel is None:
            raise IcmError(
                f"the adapter has a layer {module}, the base has none; it was made for another depth or model"
            )
        wanted = (own["a"].shape[-2], own["b"].shape[-1])
        if wanted != tuple(kernel.shape[-2:]):
            raise IcmError(
                f"the adapter's {module} is for a kernel {list(wanted)}, the base has {list(kernel.shape[-2:])}; "
                "it was made for another width"
            )


def stack(adapters: Sequence[paths.Tree]) -> dict[str, Any]:
    """Several adapters of one base as one tree, the first axis of every leaf counting them."""
    return dict(jax.tree.map(lambda *leaves: jnp.stack(leaves), *adapters))


def choose(stacked: paths.Tree, ids: Int[Array, "b"] | int) -> dict[str, Any]:
    """From `stack`: the tree of one adapter (an int), or one adapter an example of a batch (an array)."""
    return dict(jax.tree.map(lambda leaf: leaf[ids], stacked))


class Merged(NamedTuple):
    """A base with an adapter in its kernels, and what `unmerge` needs beside the adapter."""

    params: dict[str, Any]
    norms: dict[str, np.ndarray]  # ‖W + s A B‖ by module; empty for LoRA


def merge(spec: LowRankSpec, base: paths.Tree, adapters: paths.Tree) -> Merged:
    """Parameters that do without an adapter what the base does with it. Sums in float64, on the host.

    Raises:
        IcmError: an adapter of another base.
    """
    refuse_misfit(adapters, base)
    leaves, norms = paths.flatten(base), {}
    for module, own in _modules(adapters).items():
        kernel = leaves[f"{module}/kernel"]
        changed = np.asarray(kernel, np.float64) + _update64(spec, own)
        if "m" in own:
            norms[module] = np.maximum(np.sqrt(np.square(changed).sum(-2)), NORM_FLOOR)
            changed *= (np.asarray(own["m"]) / norms[module])[..., None, :]
        leaves[f"{module}/kernel"] = jnp.asarray(changed, kernel.dtype)
    return Merged(paths.unflatten(leaves), norms)


def unmerge(spec: LowRankSpec, merged: Merged, adapters: paths.Tree) -> dict[str, Any]:
    """The base that was merged, up to the rounding of its merged kernels.

    Raises:
        IcmError: a magnitude of zero, after which nothing is left of a column.
    """
    leaves = paths.flatten(merged.params)
    for module, own in _modules(adapters).items():
        kernel = leaves[f"{module}/kernel"]
        changed = np.asarray(kernel, np.float64)
        if "m" in own:
            magnitude = np.asarray(own["m"], np.float64)
            if not magnitude.all():
                raise IcmError(f"{module}: a magnitude is 0, its column can not be unmerged; keep the base")
            changed = changed * (merged.norms[module] / magnitude)[..., None, :]
        leaves[f"{module}/kernel"] = jnp.asarray(changed - _update64(spec, own), kernel.dtype)
    return paths.unflatten(leaves)


def count(tree: paths.Tree) -> int:
    """Parameters of a tree."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _update64(spec: LowRankSpec, own: paths.Tree) -> np.ndarray:
    return spec.scale * (np.asarray(own["a"], np.float64) @ np.asarray(own["b"], np.float64))


def _targets(spec: LowRankSpec, base: paths.Tree) -> dict[str, Any]:
    """{module: kernel} of the layers to adapt; shapes may stand in for arrays."""
    kernels = {}
    for path, leaf in paths.flatten(paths.select(base, spec.targets, "targets")[0]).items():
        module, _, name = path.rpartition("/")
        if name != "kernel" or leaf.ndim not in (2, 3):  # 3: layers stacked for a scan
            raise IcmError(
                f"targets: {path} {list(leaf.shape)} is no kernel of a linear layer; narrow the pattern"
            )
        kernels[module] = leaf
    return kernels


def _modules(adapters: paths.Tree) -> dict[str, dict[str, Any]]:
    """{module: {"a", "b" and perhaps "m"}}."""
    modules: dict[str, dict[str, Any]] = {}
    for path, leaf in paths.flatten(adapters).items():
        module, _, name = path.rpartition("/")
        modules.setdefault(module, {})[name] = leaf
    return modules


def _per_example(factor: Float[Array, "*b d"], ndim: int) -> Array:
    """With axes of length 1 between examples and columns, so that it multiplies an output of `ndim` axes."""
    return factor if factor.ndim == 1 else factor.reshape(len(factor), *(1,) * (ndim - 2), -1)


def _dropped(x: Array, rate: float, key: Array) -> Array:
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)
