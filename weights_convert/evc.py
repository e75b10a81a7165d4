"""The entropy model of EVC as the DCVC repository names it."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.entropy.dual_spatial import DualSpatialPrior
from weights_convert.keymap import CONV, Layout, Rule, convert

# One number a channel: (1, n, 1, 1) -> (n,)
CHANNELS = Layout("channels", lambda a: a[0, :, 0, 0], lambda a: a[None, :, None, None])

STACKS = (
    (r"hyper_enc\.(0)", r"h_a/block\1"),
    (r"hyper_dec\.(\d)", r"h_s/layers_\1"),
    (r"y_prior_fusion\.(\d)", r"fusion/layers_\1"),
    (r"y_spatial_prior\.(\d)", r"spatial/layers_\1"),
)


def _block_rules(theirs: str, ours: str) -> tuple[Rule, ...]:
    parts = (
        (r"\.block\.0\.conv1\.0", "depth/conv1"),
        (r"\.block\.0\.depth_conv", "depth/depth_conv"),
        (r"\.block\.0\.conv2", "depth/conv2"),
        (r"\.block\.0\.adaptor", "depth/adaptor"),
        (r"\.block\.1\.conv\.0", "ffn/expand"),
        (r"\.block\.1\.conv\.2", "ffn/reduce"),
        (r"\.block\.2", "up"),
    )
    return tuple(
        rule
        for name, path in parts
        for rule in (
            Rule(rf"{theirs}{name}\.weight", f"{ours}/{path}/kernel", CONV),
            Rule(rf"{theirs}{name}\.bias", f"{ours}/{path}/bias"),
        )
    )


RULES = (
    *(rule for stack in STACKS for rule in _block_rules(*stack)),
    Rule(r"hyper_enc\.1\.weight", "h_a/conv1/kernel", CONV),
    Rule(r"hyper_enc\.1\.bias", "h_a/conv1/bias"),
    Rule(r"hyper_enc\.3\.weight", "h_a/conv2/kernel", CONV),
    Rule(r"hyper_enc\.3\.bias", "h_a/conv2/bias"),
    *(Rule(rf"bit_estimator_z\.f{i + 1}\.([hba])", rf"z_prior/\g<1>{i}", CHANNELS) for i in range(4)),
)


def prior_from_state_dict(state_dict: Mapping[str, np.ndarray]) -> tuple[DualSpatialPrior, dict[str, Any]]:
    """The model and its parameters; the number of channels is read from the shapes.

    Raises:
        ConversionError: the arrays are not those of EVC's dual spatial prior.
    """
    channels = np.shape(state_dict.get("bit_estimator_z.f1.h", np.zeros((1, 2))))[1]
    model = DualSpatialPrior(channels)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 4, 4, channels)))["params"]
    return model, convert(state_dict, RULES, shapes)
