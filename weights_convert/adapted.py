"""Checkpoints that hold a base codec and an adapter on it: two trees, `base/…` and `adapter/…`, of one file."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from icm_jax.models.hooks import AdapterSpec
from icm_jax.models.tic import TIC, TICSpec
from weights_convert import transtic
from weights_convert.keymap import Rule, beneath
from weights_convert.network_map import NetworkMap, Shapes, StateDict


class Adapted(NamedTuple):
    """What is trained and what it was trained on."""

    base: TICSpec
    spec: AdapterSpec


class ConvertedAdapter(NamedTuple):
    """An adapter and the base it was trained on, as read from one checkpoint."""

    base: TICSpec
    base_params: dict[str, Any]
    spec: Any
    variables: dict[str, Any]


def adapted_map(
    infer: Callable[[TICSpec, Shapes], Adapted],
    is_own: Callable[[str], bool],
    rules: Sequence[Rule],
) -> NetworkMap[Adapted]:
    """The map of a method.

    Args:
        infer: base and adapter, from the base that the other shapes are of and the adapter's own shapes.
        is_own: whether a name is one of the adapter's.
        rules: paths of the adapter's variables begin with the collection.
    """

    def infer_both(shapes: Shapes) -> Adapted:
        base = transtic.infer_spec({name: shape for name, shape in shapes.items() if not is_own(name)})
        return infer(base, {name: shape for name, shape in shapes.items() if is_own(name)})

    return NetworkMap(
        infer=infer_both,
        rules=lambda network: (*beneath("adapter/", rules), *beneath("base/", transtic.RULES)),
        expected=lambda network: {
            "base": transtic.expected_params(network.base),
            "adapter": expected_variables(network),
        },
    )


def from_state_dict(network_map: NetworkMap[Adapted], state_dict: StateDict) -> ConvertedAdapter:
    """Base and adapter of a checkpoint.

    Raises:
        ConversionError: the arrays are not those of one.
    """
    (base, spec), trees = network_map.convert(state_dict)
    return ConvertedAdapter(base, trees["base"], spec, trees["adapter"])


def expected_variables(network: Adapted) -> Mapping[str, Any]:
    """Shapes of an adapter's variables by collection."""
    base, spec = network
    model = TIC(base, spec.build(base))
    image = jax.ShapeDtypeStruct((1, base.z_stride, base.z_stride, 3), np.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    return {kind: tree["adapter"] for kind, tree in variables.items() if "adapter" in tree}
