"""The trained parts of DoRA-ICM under PyTorch names: preliminary decoder, low-complexity decoder.

No weights of the authors are known; the names are those of the oracle in the golden files. Paths begin with the
collection, "params" or "batch_stats".
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.models.dora_icm.decoder import Decoder
from icm_jax.models.dora_icm.preliminary import PreliminaryDecoder
from weights_convert.keymap import CONV, DENSE, ConversionError, Rule, convert
from weights_convert.tic_original import POINTWISE


def norm_rules(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A batch norm: its parameters and its running statistics."""
    return (
        Rule(rf"{theirs}\.weight", f"params/{ours}/scale"),
        Rule(rf"{theirs}\.bias", f"params/{ours}/bias"),
        Rule(rf"{theirs}\.running_mean", f"batch_stats/{ours}/mean"),
        Rule(rf"{theirs}\.running_var", f"batch_stats/{ours}/var"),
        Rule(rf"{theirs}\.num_batches_tracked", None, reason="the momentum does not depend on it"),
    )


PRELIMINARY_RULES = (
    Rule(r"u(\d)\.0\.weight", r"params/unit\1/conv/kernel", CONV),
    *norm_rules(r"u(\d)\.1", r"unit\1/norm"),
    Rule(r"pred\.weight", "params/prediction/kernel", CONV),
    Rule(r"pred\.bias", "params/prediction/bias"),
)

BLOCK = r"stages\.(\d)\.(\d+)\."
OURS = r"params/stage\1/block\2"
DECODER_RULES = (
    Rule(r"alpha", "params/alpha"),
    Rule(r"in_proj\.(\d+)\.weight", r"params/in_proj\1/kernel", POINTWISE),
    Rule(r"in_proj\.(\d+)\.bias", r"params/in_proj\1/bias"),
    Rule(BLOCK + r"(norm[12])\.weight", OURS + r"/\3/scale"),
    Rule(BLOCK + r"(norm[12])\.bias", OURS + r"/\3/bias"),
    Rule(BLOCK + r"(dw_[qkv])\.weight", OURS + r"/attn/\3/kernel", CONV),
    Rule(BLOCK + r"([qkv]_proj|proj)\.weight", OURS + r"/attn/\3/kernel", DENSE),
    Rule(BLOCK + r"([qv]_proj|proj)\.bias", OURS + r"/attn/\3/bias"),
    Rule(BLOCK + r"mlp\.norm\.weight", OURS + r"/mlp/norm/scale"),
    Rule(BLOCK + r"mlp\.norm\.bias", OURS + r"/mlp/norm/bias"),
    Rule(BLOCK + r"mlp\.(fc1_g|fc1_x|fc2)\.weight", OURS + r"/mlp/\3/kernel", DENSE),
    Rule(BLOCK + r"mlp\.(fc1_g|fc1_x|fc2)\.bias", OURS + r"/mlp/\3/bias"),
    Rule(r"down\.(\d)\.weight", r"params/down\1/kernel", DENSE),
    Rule(r"down\.(\d)\.bias", r"params/down\1/bias"),
    Rule(r"head_norm\.(\d+)\.weight", r"params/head\1/input_norm/scale"),
    Rule(r"head_norm\.(\d+)\.bias", r"params/head\1/input_norm/bias"),
    Rule(r"head_conv\.(\d+)\.weight", r"params/head\1/conv/kernel", CONV),
    *norm_rules(r"head_bn\.(\d+)", r"head\1/norm"),
    Rule(r"head_pred\.(\d+)\.weight", r"params/head\1/prediction/kernel", POINTWISE),
    Rule(r"head_pred\.(\d+)\.bias", r"params/head\1/prediction/bias"),
)


def preliminary_from_state_dict(
    state_dict: Mapping[str, np.ndarray],
) -> tuple[PreliminaryDecoder, dict[str, Any]]:
    """The preliminary decoder of these shapes and its variables.

    Raises:
        ConversionError: the arrays are not those of one.
    """
    shapes = {name: np.shape(array) for name, array in state_dict.items()}
    widths = _listed(shapes, "u{}.0.weight")
    outputs = shapes.get("pred.weight", (1,))[0]
    model = PreliminaryDecoder(outputs, tuple(shape[0] for shape in widths))
    example = jnp.zeros((1, 4, 4, widths[0][1]))
    return model, convert(state_dict, PRELIMINARY_RULES, _variables(model, example))


def decoder_from_state_dict(
    state_dict: Mapping[str, np.ndarray], heads: int = 2
) -> tuple[Decoder, dict[str, Any]]:
    """The decoder of these shapes, of one task or several, and its variables.

    Raises:
        ConversionError: the arrays are not those of one.
    """
    shapes = {name: np.shape(array) for name, array in state_dict.items()}
    inputs = _listed(shapes, "in_proj.{}.weight")
    model = Decoder(
        outputs=tuple(shape[0] for shape in _listed(shapes, "head_pred.{}.weight")),
        widths=tuple(shape[0] for shape in _listed(shapes, "stages.{}.0.norm1.weight")),
        blocks=len(_listed(shapes, "stages.0.{}.norm1.weight")),
        heads=heads,
    )
    examples = [jnp.zeros((1, 4, 4, shape[1])) for shape in inputs]
    return model, convert(state_dict, DECODER_RULES, _variables(model, examples, (64, 64)))


def _listed(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> list[tuple[int, ...]]:
    """Shapes of the arrays whose names count up from 0."""
    found: list[tuple[int, ...]] = []
    while (name := pattern.format(len(found))) in shapes:
        found.append(shapes[name])
    if not found:
        raise ConversionError(f"{pattern.format(0)} is missing: this is another network")
    return found


def _variables(model: Any, *args: Any) -> Any:
    arrays, *static = args
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, *static), arrays)
