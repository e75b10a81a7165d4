"""Parameters and multiply–accumulates of networks that make predictions: EVA-02, and DoRA-ICM by its parts.

No weights are made. Multiplications are true ones, at the size of image that the backbone's positions are made for.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from icm_jax.evaluate.complexity import measure, parameter_count
from icm_jax.evaluate.curves import table
from icm_jax.models.dora_icm.feature_codec import feature_codec
from icm_jax.models.dora_icm.model import DoraICM, initial
from icm_jax.models.dora_icm.preliminary import PreliminaryDecoder
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.models.eva02 import EVA02, SIZES, EVA02Spec

OWN = ("adapter", "tap_join", "preliminary", "codec", "decoder")  # of every task; the backbone is shared
EVA02_NAMES = {f"eva02-{size}": spec for size, spec in SIZES.items()}


class Part(NamedTuple):
    """Parameters, and thousands of multiply–accumulates a pixel of the image."""

    params: int
    kmacs: float


def dora_icm_params(spec: DoraICMSpec) -> dict[str, int]:
    """Parameters of the backbone and of every part of the task."""
    return {name: parameter_count(tree) for name, tree in _shapes(spec)[0].items()}


def dora_icm_parts(spec: DoraICMSpec) -> dict[str, Part]:
    """The backbone and the parts of the task, in the order of the image's way through them.

    Adapters multiply nothing here: who runs a model of one task merges them into the backbone.
    """
    params, batch_stats = _shapes(spec)
    image, (rows, columns) = _image(spec.backbone()), spec.grid
    own = {name: tree for name, tree in params.items() if name != "adapter"}
    model, variables = DoraICM(spec), {"params": own, "batch_stats": batch_stats}
    tapped = jax.ShapeDtypeStruct((1, rows, columns, spec.width), jnp.float32)
    coded = jax.ShapeDtypeStruct((1, rows, columns, spec.coded), jnp.float32)

    preliminary = measure(
        PreliminaryDecoder(spec.outputs, spec.preliminary),
        {"params": own["preliminary"], "batch_stats": batch_stats["preliminary"]},
        "__call__",
        tapped,
    ).true
    codec = measure(feature_codec(spec), {"params": own["codec"]}, "code", coded).true if spec.compress else 0
    encoded = measure(model, variables, "encode", image).true
    whole = measure(model, variables, "__call__", image).true
    macs = {
        "backbone": encoded - preliminary,
        "preliminary": preliminary,
        "codec": codec,
        "decoder": whole - encoded - codec,
    }
    per_pixel = 1e-3 / (image.shape[1] * image.shape[2])
    names = [name for name in ("backbone", *OWN) if name in params]
    return {name: Part(parameter_count(params[name]), macs.get(name, 0) * per_pixel) for name in names}


def eva02_parts(spec: EVA02Spec) -> dict[str, Part]:
    """The network without a classifier, as the one part there is."""
    image, model = _image(spec), EVA02(spec)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    macs = measure(model, variables, "__call__", image).true
    params = parameter_count(variables["params"])
    return {"backbone": Part(params, macs * 1e-3 / (image.shape[1] * image.shape[2]))}


def format_parts(name: str, parts: dict[str, Part]) -> str:
    """One line a part for the terminal, and their sum."""
    total = Part(sum(part.params for part in parts.values()), sum(part.kmacs for part in parts.values()))
    shown = parts if len(parts) == 1 else {**parts, "all": total}
    rows = [[part, f"{counts.params:,}", f"{counts.kmacs:.2f}"] for part, counts in shown.items()]
    return table([name, "parameters", "kMAC/px"], rows)


def _shapes(spec: DoraICMSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    shapes: tuple[dict[str, Any], dict[str, Any]] = jax.eval_shape(lambda: initial(jax.random.key(0), spec))
    return shapes


def _image(spec: EVA02Spec) -> jax.ShapeDtypeStruct:
    rows, columns = spec.grid
    return jax.ShapeDtypeStruct((1, rows * spec.patch, columns * spec.patch, 3), jnp.float32)
