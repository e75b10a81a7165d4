"""Specifications (frozen dataclasses) as plain values with a `name`: what JSON files and configs hold."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from icm_jax.errors import IcmError

# Metadata of a field that older files do not have. It is written only where it differs from its default, so that the
# hashes of what was saved before stay.
ADDED_LATER = {"added_later": True}


def to_spec(values: Mapping[str, Any], specs: Mapping[str, type[Any]], what: str) -> Any:
    """The specification that plain values describe.

    Args:
        specs: the dataclasses by name.
        what: what is specified, for errors: "model", "adapter".

    Raises:
        IcmError: unknown name or field, with the nearest valid one.
    """
    values = dict(values)
    name = values.pop("name", None)
    if name not in specs:
        raise IcmError(f"{what}.name={name!r} is unknown; choose one of {', '.join(specs)}")
    known = [field.name for field in dataclasses.fields(specs[name]) if field.init]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise IcmError(f"{what} has no field {key!r}; did you mean {near!r}? valid: {', '.join(known)}")
    return specs[name](**{key: tuple(v) if isinstance(v, (list, tuple)) else v for key, v in values.items()})


def to_values(spec: Any, name: str) -> dict[str, Any]:
    """Inverse of `to_spec`: plain values that JSON can hold."""
    fields = {
        field.name: getattr(spec, field.name)
        for field in dataclasses.fields(spec)
        if field.init
        and not (field.metadata.get("added_later") and getattr(spec, field.name) == field.default)
    }
    return {"name": name} | {key: list(v) if isinstance(v, tuple) else v for key, v in fields.items()}
