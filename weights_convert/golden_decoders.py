"""Golden checks of DoRA-ICM's decoders: the preliminary one, and the low-complexity one of one task or several."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax.layers.batch_norm import KEPT
from icm_jax.layers.bicubic import bicubic
from icm_jax.models.dora_icm.decoder import Decoder
from weights_convert.dora_icm import (
    DECODER_RULES,
    PRELIMINARY_RULES,
    decoder_from_state_dict,
    preliminary_from_state_dict,
)
from weights_convert.golden_file import EXACT, GoldenFile, Row, Tolerance
from weights_convert.keymap import invert

VALUE = Tolerance(relative=2e-5)
NETWORK = Tolerance(relative=1e-4)
GRADIENT = Tolerance(relative=1e-4)


def check_preliminary(path: Path) -> list[Row]:
    """Both modes of the preliminary decoder and its running statistics after a training step."""
    file = GoldenFile(path)
    model, variables = preliminary_from_state_dict(file.read_group("w/"))
    x = jnp.asarray(file.read_map("x"))
    with jax.default_matmul_precision("highest"):
        train = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]))
        if any(name.endswith("num_batches_tracked") and file.arrays[name] for name in file.arrays):
            variables = _before_the_step(train, variables, x)
        trained, after = train(variables, x)
        evaluated = jax.jit(model.apply)(variables, x)
        enlarged = bicubic(evaluated.prediction, file.arrays["eval_pred_up"].shape[-2:])
    for mode, outputs in (("eval", evaluated), ("train", trained)):
        file.compare_map(f"{mode}_feat", outputs.features, VALUE)
        file.compare_map(f"{mode}_pred", outputs.prediction, VALUE)
    file.compare_map("eval_pred_up", enlarged, VALUE)
    file.ignore(r"after/.*num_batches_tracked", "the momentum does not depend on it")
    names = [match[1] for match in file.matching(r"after/(.+)")]
    for name, array in invert(variables | after, PRELIMINARY_RULES, names).items():
        file.compare(f"after/{name}", array, VALUE if "running" in name else EXACT)
    return file.finish()


def _before_the_step(train: Any, variables: dict[str, Any], x: Array) -> dict[str, Any]:
    """Undoes one update of the running statistics, which the file holds as they were after its training step.

    Whether that is right, and with it our update, the outputs in evaluation mode tell: they are from before it.
    """
    moved = train(variables, x)[1]["batch_stats"]
    return variables | {
        "batch_stats": jax.tree.map(
            lambda stored, updated: (stored - (updated - KEPT * stored)) / KEPT,
            variables["batch_stats"],
            moved,
        )
    }


def check_decoder(path: Path) -> list[Row]:
    """Every stage, its scores, the predictions of all tasks and, where stored, gradients."""
    file = GoldenFile(path)
    model, variables = decoder_from_state_dict(file.read_group("w/"))
    tasks = range(len(model.outputs))
    features = [jnp.asarray(file.read_map(f"f{t}")) for t in tasks]
    size = file.arrays["out0"].shape[-2:]
    with jax.default_matmul_precision("highest"):
        outputs, stages = _run(model, variables, features, size)
        for t in tasks:
            file.compare_map(f"out{t}", outputs[t], NETWORK)
        for s, (x, scores) in enumerate(stages):
            file.compare(f"stage{s}_x", x, NETWORK)
            file.compare(f"stage{s}_score", scores.values, NETWORK)
        if "loss" in file:
            _check_gradients(file, model, variables, features, size)
    return file.finish()


def _run(
    model: Decoder, variables: Any, features: list[Array], size: tuple[int, int]
) -> tuple[Any, list[Any]]:
    outputs, state = jax.jit(
        lambda variables, features: model.apply(
            variables,
            features,
            size,
            capture_intermediates=lambda module, _: (module.name or "").startswith("stage"),
        )
    )(variables, features)
    captured = state["intermediates"]
    return outputs, [captured[f"stage{s}"]["__call__"][0] for s in range(len(model.widths))]


def _check_gradients(
    file: GoldenFile, model: Decoder, variables: Any, features: list[Array], size: tuple[int, int]
) -> None:
    """Of the mean square of the first prediction."""

    def loss(params: Any, features: list[Array]) -> Array:
        outputs = model.apply(variables | {"params": params}, features, size)
        return jnp.mean(outputs[0] ** 2)

    value, (by_params, by_features) = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(
        variables["params"], features
    )
    file.compare("loss", value, VALUE)
    for t, gradient in enumerate(by_features):
        file.compare_map(f"g/f{t}", np.asarray(gradient), GRADIENT)
    names = [match[1] for match in file.matching(r"g/(.+)")]
    for name, gradient in invert({"params": by_params}, DECODER_RULES, names).items():
        file.compare(f"g/{name}", gradient, GRADIENT)
