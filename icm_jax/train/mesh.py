"""Devices as a (data, fsdp) mesh, and where every array of a run lives on it.

    batch        rows over data × fsdp: every device works on its own examples
    parameters   one axis over fsdp, chosen by path rules; whole along data
    optimiser    as the parameters they belong to, so state per device falls as 1/fsdp

XLA places the collectives (GSPMD): nothing in a model or a loss knows about devices.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from icm_jax import paths
from icm_jax.errors import IcmError
from icm_jax.train.config import MeshConfig

AXES = ("data", "fsdp")


def make_mesh(config: MeshConfig) -> Mesh:
    """A mesh over all devices of all processes, `config.fsdp` wide.

    Raises:
        IcmError: a width that does not divide the number of devices.
    """
    count = jax.device_count()
    if config.fsdp < 1 or count % config.fsdp:
        raise IcmError(
            f"mesh.fsdp={config.fsdp} does not divide the {count} device(s) of this run; choose one of "
            f"{[n for n in range(1, count + 1) if count % n == 0]}"
        )
    return jax.make_mesh((count // config.fsdp, config.fsdp), AXES, (AxisType.Auto,) * 2)


def replicated(mesh: Mesh) -> NamedSharding:
    """One copy a device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Leading axis over all devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def param_shardings(params: Mapping[str, Any], mesh: Mesh, config: MeshConfig) -> dict[str, NamedSharding]:
    """{path: sharding} of parameters (arrays or shapes) by `config.rules`; "largest" is what no rule decides.

    Raises:
        IcmError: a rule that decides nothing or an axis that can not be split.
    """
    placed = paths.flatten(paths.assign(params, config.rules, "largest", "mesh.rules"))
    explicit = paths.flatten(paths.assign(params, [(pattern, True) for pattern, _ in config.rules], False))
    return {
        path: NamedSharding(mesh, _spec(path, leaf.shape, placed[path], explicit[path], config))
        for path, leaf in paths.flatten(params).items()
    }


def _spec(path: str, shape: tuple[int, ...], axis: str, explicit: bool, config: MeshConfig) -> PartitionSpec:
    if axis == "replicated" or config.fsdp == 1:
        return PartitionSpec()
    if axis == "largest":
        fits = [i for i, size in enumerate(shape) if size % config.fsdp == 0]
        if not fits or (not explicit and int(np.prod(shape)) < config.min_size):
            return PartitionSpec()
        index = max(fits, key=lambda i: (shape[i], i))
    else:
        index = len(shape) - {"columns": 1, "rows": 2}[axis]
        if index < 0 or shape[index] % config.fsdp:
            raise IcmError(
                f"mesh.rules: the {axis} of {path} {shape} can not be split over {config.fsdp} devices"
            )
    return PartitionSpec(*(AXES[1] if i == index else None for i in range(len(shape))))


def tree_shardings(tree: Any, by_path: Mapping[str, NamedSharding], mesh: Mesh) -> Any:
    """Shardings of a whole training state: of each leaf that mirrors a parameter, that parameter's; else one copy.

    A leaf mirrors a parameter when its path ends in the parameter's (moments of Adam, averages) and its rank is the
    same.
    """

    def place(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        parts = [_key(part) for part in path]
        suffixes = ("/".join(parts[i:]) for i in range(len(parts)))
        found = next((by_path[suffix] for suffix in suffixes if suffix in by_path), None)
        return found if found is not None and len(found.spec) <= leaf.ndim else replicated(mesh)

    return jax.tree_util.tree_map_with_path(place, tree)


def _key(part: Any) -> str:
    return str(getattr(part, "key", getattr(part, "name", getattr(part, "idx", part))))


def bytes_per_device(tree: Any) -> int:
    """Bytes of a placed tree on the device that holds most of it."""
    sizes: dict[Any, int] = {}
    for leaf in jax.tree.leaves(tree):
        for shard in leaf.addressable_shards:
            sizes[shard.device] = sizes.get(shard.device, 0) + shard.data.nbytes
    return max(sizes.values(), default=0)
