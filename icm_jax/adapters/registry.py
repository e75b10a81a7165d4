"""The adapters by name: a literal table from a method's name to its specification."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from icm_jax import plain_values
from icm_jax.adapters.all_in_one import AllInOneSpec
from icm_jax.adapters.channel_selection import ChannelSelectionSpec
from icm_jax.adapters.low_rank import LowRankSpec
from icm_jax.adapters.prompts import PromptSpec
from icm_jax.adapters.roi import RoiSpec
from icm_jax.adapters.sfma import SfmaSpec
from icm_jax.adapters.sft import SftSpec
from icm_jax.models.hooks import AdapterSpec
from icm_jax.models.registry import build
from icm_jax.models.tic import TICSpec

ADAPTERS: dict[str, type[Any]] = {
    "transtic": PromptSpec,
    "sfma": SfmaSpec,
    "all-in-one": AllInOneSpec,
    "sft": SftSpec,
    "channel-selection": ChannelSelectionSpec,
    "roi": RoiSpec,
}
# What adapter files may hold: those, and low-rank updates of any network's linear layers.
STORED: dict[str, type[Any]] = {**ADAPTERS, "low-rank": LowRankSpec}


def adapter_spec(values: Mapping[str, Any]) -> AdapterSpec:
    """Specification from plain values with a `name`, as configs and adapter files hold them.

    Raises:
        IcmError: unknown adapter or field, with the nearest valid one, or an impossible value.
    """
    spec: AdapterSpec = plain_values.to_spec(values, ADAPTERS, "adapter")
    return spec


def stored_spec(values: Mapping[str, Any]) -> AdapterSpec | LowRankSpec:
    """`adapter_spec` for adapter files, which may also hold a low-rank adapter of a network that is no codec."""
    spec: AdapterSpec | LowRankSpec = plain_values.to_spec(values, STORED, "adapter")
    return spec


def adapter_values(spec: AdapterSpec | LowRankSpec) -> dict[str, Any]:
    """Inverse of `adapter_spec` and `stored_spec`."""
    return plain_values.to_values(spec, next(name for name, kind in STORED.items() if type(spec) is kind))


def initial_variables(spec: AdapterSpec, base: TICSpec, key: Array) -> dict[str, Any]:
    """Fresh variables of an adapter alone: {"params": …} and, if it keeps statistics, {"batch_stats": …}.

    Raises:
        IcmError: the adapter can not be put on this base.
    """
    model = build(base, spec)
    image = jnp.zeros((1, base.z_stride, base.z_stride, spec.input_channels))
    # The default generator is compiled anew for every parameter: minutes on a CPU where this one takes seconds.
    fast_key = jax.random.wrap_key_data(jax.random.bits(key, (4,), jnp.uint32), impl="rbg")

    def own(key: Array) -> dict[str, Any]:
        return {kind: tree["adapter"] for kind, tree in model.init(key, image).items() if "adapter" in tree}

    made: dict[str, Any] = jax.jit(own)(fast_key)  # of the base, nothing is drawn
    return made


def adapted(base_params: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of an adapted TIC: the base's parameters, and the adapter's collections under "adapter".

    No array is copied: any number of adapted models share one base.
    """
    collections = {kind: {"adapter": tree} for kind, tree in variables.items()}
    return {**collections, "params": {**base_params, **collections.get("params", {})}}
