"""The codecs by name: a literal table from a model's name to its specification and its Flax module."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from icm_jax.errors import IcmError
from icm_jax.models.tic import TIC, TICSpec
from icm_jax.models.tic_original import TICOriginal, TICOriginalSpec

ModelSpec = TICSpec | TICOriginalSpec


class Model(NamedTuple):
    """How to build a codec's networks from a saved specification."""

    spec: type[Any]
    module: type[Any]


MODELS: dict[str, Model] = {
    "tic": Model(TICSpec, TIC),
    "tic-original": Model(TICOriginalSpec, TICOriginal),
}


def model_name(spec: ModelSpec) -> str:
    """The registry's name of a specification."""
    return next(name for name, model in MODELS.items() if type(spec) is model.spec)


def build(spec: ModelSpec) -> Any:
    """The Flax module of a specification."""
    return MODELS[model_name(spec)].module(spec)


def model_spec(values: Mapping[str, Any]) -> ModelSpec:
    """Specification from plain values with a `name`, as configs and saved codecs hold them.

    Raises:
        IcmError: unknown model or field, with the nearest valid one.
    """
    values = dict(values)
    name = values.pop("name", None)
    if name not in MODELS:
        raise IcmError(f"model.name={name!r} is unknown; choose one of {', '.join(MODELS)}")
    spec = MODELS[name].spec
    known = [field.name for field in dataclasses.fields(spec) if field.init]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise IcmError(f"model has no field {key!r}; did you mean {near!r}? valid: {', '.join(known)}")
    return spec(**{key: tuple(v) if isinstance(v, (list, tuple)) else v for key, v in values.items()})


def spec_values(spec: ModelSpec) -> dict[str, Any]:
    """Inverse of `model_spec`: plain values that JSON can hold."""
    fields = {
        field.name: getattr(spec, field.name)
        for field in dataclasses.fields(spec)
        if field.init
        and not (field.metadata.get("added_later") and getattr(spec, field.name) == field.default)
    }
    return {"name": model_name(spec)} | {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}
