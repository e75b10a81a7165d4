"""ESPNetv2 for segmentation of sacmehta/EdgeNets: names and shapes of its state dict."""

from typing import Any

from icm_jax.recognizers.espnet_v2 import ESPNetV2
from weights_convert.keymap import CONV, Rule
from weights_convert.network_map import NetworkMap, StateDict
from weights_convert.torchvision import expected_params, norm_rules, shape

ENCODER, DECODER = ("conv", "bn", "act"), ("0", "1", "2")  # how the two halves call convolution, norm, PReLU


def unit_rules(prefix: str, target: str, names: tuple[str, str, str] = ENCODER) -> tuple[Rule, ...]:
    """Convolution, norm and PReLU."""
    conv, norm, act = names
    return (
        Rule(rf"{prefix}\.{conv}\.weight", f"{target}/unit/conv/kernel", CONV),
        *norm_rules(rf"{prefix}\.{norm}", f"{target}/unit/norm"),
        Rule(rf"{prefix}\.{act}\.weight", f"{target}/act/alpha"),
    )


def norm_act_rules(prefix: str, target: str, names: tuple[str, str]) -> tuple[Rule, ...]:
    """Norm and PReLU."""
    norm, act = names
    return (
        *norm_rules(rf"{prefix}\.{norm}", f"{target}/norm"),
        Rule(rf"{prefix}\.{act}\.weight", f"{target}/act/alpha"),
    )


def eesp_rules(prefix: str, target: str, depthwise: str) -> tuple[Rule, ...]:
    """The encoder's unit; `depthwise` is the group of the pattern that numbers its dilated filters."""
    return (
        *unit_rules(prefix + "proj_1x1", target + "proj_1x1"),
        Rule(prefix + r"spp_dw\.(\d)\.conv\.weight", f"{target}spp_dw{depthwise}/kernel", CONV),
        *norm_act_rules(prefix + "br_after_cat", target + "br_after_cat", ("bn", "act")),
        Rule(prefix + r"conv_1x1_exp\.conv\.weight", target + "conv_1x1_exp/conv/kernel", CONV),
        *norm_rules(prefix + r"conv_1x1_exp\.bn", target + "conv_1x1_exp/norm"),
    )


DOWN, BLOCK = r"base_net\.(level\d_0)\.", r"base_net\.(level\d)\.(\d+)\."
POOL, MERGE = r"(bu_dec_l\d)\.", r"(merge_enc_dec_l\d)\."
RULES = (
    *unit_rules(r"base_net\.(level1)", r"\1"),
    *eesp_rules(DOWN + r"eesp\.", r"\1/eesp/", r"\2"),
    Rule(DOWN + r"eesp\.module_act\.weight", None, reason="unused: the sum with the image has its own"),
    *unit_rules(DOWN + r"inp_reinf\.0", r"\1/inp_reinf0"),
    Rule(DOWN + r"inp_reinf\.1\.conv\.weight", r"\1/inp_reinf1/conv/kernel", CONV),
    *norm_rules(DOWN + r"inp_reinf\.1\.bn", r"\1/inp_reinf1/norm"),
    Rule(DOWN + r"act\.weight", r"\1/act/alpha"),
    *eesp_rules(BLOCK, r"\1_block\2/", r"\3"),
    Rule(BLOCK + r"module_act\.weight", r"\1_block\2/module_act/alpha"),
    *unit_rules(POOL + r"projection_layer\.cbr", r"\1/projection_layer", DECODER),
    Rule(POOL + r"stages\.(\d)\.weight", r"\1/stages\2/kernel", CONV),
    *norm_act_rules(POOL + r"merge_layer\.0\.br", r"\1/merge_layer0", ("0", "1")),
    *unit_rules(POOL + r"merge_layer\.2\.cbr", r"\1/merge_layer2", DECODER),
    Rule(POOL + r"merge_layer\.3\.weight", r"\1/merge_layer3/kernel", CONV),
    Rule(POOL + r"merge_layer\.3\.bias", r"\1/merge_layer3/bias"),
    *norm_act_rules(POOL + r"br\.br", r"\1/br", ("0", "1")),
    *norm_act_rules(r"(bu_br_l\d)", r"\1", ("0", "1")),
    Rule(MERGE + r"wt_layer\.1\.weight", r"\1/wt_layer/kernel", CONV),
    *unit_rules(MERGE + r"expansion_layer\.cbr", r"\1/expansion_layer", DECODER),
)


def espnet_v2_from_state_dict(state_dict: StateDict) -> tuple[ESPNetV2, dict[str, Any]]:
    """ESPNetv2 of width 2.0 with any number of classes, and its parameters.

    Raises:
        ConversionError: the arrays are not those of one.
    """
    return ESPNET_V2.convert(state_dict)


ESPNET_V2 = NetworkMap(
    infer=lambda shapes: ESPNetV2(shape(shapes, "bu_dec_l4.merge_layer.3.bias")[0]),
    rules=lambda network: RULES,
    expected=expected_params,
)
