"""The codecs by name: a literal table from a model's name to its specification and its Flax module."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from icm_jax import plain_values
from icm_jax.errors import IcmError
from icm_jax.models.bmshj2018 import (
    Factorized,
    FactorizedReluSpec,
    FactorizedSpec,
    ScaleHyperprior,
    ScaleHyperpriorSpec,
)
from icm_jax.models.cheng2020 import Cheng2020, Cheng2020AnchorSpec, Cheng2020AttentionSpec
from icm_jax.models.dora_icm.feature_codec import feature_codec
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.models.hooks import AdapterSpec
from icm_jax.models.mbt2018 import Joint, JointSpec, MeanScaleHyperprior, MeanScaleHyperpriorSpec
from icm_jax.models.tic import TIC, TICSpec
from icm_jax.models.tic_original import TICOriginal, TICOriginalSpec

ModelSpec = (
    TICSpec
    | TICOriginalSpec
    | DoraICMSpec
    | FactorizedSpec
    | FactorizedReluSpec
    | ScaleHyperpriorSpec
    | MeanScaleHyperpriorSpec
    | JointSpec
    | Cheng2020AnchorSpec
    | Cheng2020AttentionSpec
)


class Model(NamedTuple):
    """How to build a codec's networks from a saved specification."""

    spec: type[Any]
    module: Callable[..., Any]


MODELS: dict[str, Model] = {
    "tic": Model(TICSpec, TIC),
    "tic-original": Model(TICOriginalSpec, TICOriginal),
    "dora-icm": Model(DoraICMSpec, feature_codec),  # what is coded are features; see `icm_jax.task_codec`
    "bmshj2018-factorized": Model(FactorizedSpec, Factorized),
    "bmshj2018-factorized-relu": Model(FactorizedReluSpec, Factorized),
    "bmshj2018-hyperprior": Model(ScaleHyperpriorSpec, ScaleHyperprior),
    "mbt2018-mean": Model(MeanScaleHyperpriorSpec, MeanScaleHyperprior),
    "mbt2018": Model(JointSpec, Joint),
    "cheng2020-anchor": Model(Cheng2020AnchorSpec, Cheng2020),
    "cheng2020-attn": Model(Cheng2020AttentionSpec, Cheng2020),
}


def model_name(spec: ModelSpec) -> str:
    """The registry's name of a specification."""
    return next(name for name, model in MODELS.items() if type(spec) is model.spec)


def build(spec: ModelSpec, adapter: AdapterSpec | None = None) -> Any:
    """The Flax module of a specification, with an adapter on it.

    Raises:
        IcmError: the adapter can not be put on this base.
    """
    module = MODELS[model_name(spec)].module
    if adapter is None:
        return module(spec)
    if not isinstance(spec, TICSpec):
        raise IcmError(
            f"adapters are made for 'tic' models, the base is a {model_name(spec)!r}; load a 'tic' codec"
        )
    return module(spec, adapter.build(spec))


def model_spec(values: Mapping[str, Any]) -> ModelSpec:
    """Specification from plain values with a `name`, as configs and saved codecs hold them.

    Raises:
        IcmError: unknown model or field, with the nearest valid one.
    """
    spec: ModelSpec = plain_values.to_spec(
        values, {name: model.spec for name, model in MODELS.items()}, "model"
    )
    return spec


def spec_values(spec: ModelSpec) -> dict[str, Any]:
    """Inverse of `model_spec`: plain values that JSON can hold."""
    return plain_values.to_values(spec, model_name(spec))
