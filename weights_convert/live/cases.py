"""What the ledger can compare: a literal table; see `live.case`."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from icm_jax.adapters import low_rank
from icm_jax.adapters.low_rank import LowRankSpec
from icm_jax.layers.dense import Dense
from icm_jax.layers.swin import SwinStack
from icm_jax.models.registry import build
from icm_jax.models.tic import TICSpec
from icm_jax.models.tic_original import TICOriginalSpec
from icm_jax.recognizers.resnet import ResNetSpec
from weights_convert import torchvision
from weights_convert.keymap import DENSE, Rule
from weights_convert.live.backbone_cases import EVA02_CASE, EVA02_FUSED_CASE, VGG_CASE
from weights_convert.live.case import Case, Stages, captured, departure, normal, scored
from weights_convert.live.codec_cases import EVC_CASE, SFMA_CASE
from weights_convert.live.comparison import Departure
from weights_convert.live.detection_cases import DETECTION_CASES
from weights_convert.live.prompt_cases import TRANSTIC_CASE
from weights_convert.live.swin_cases import MTLORA_CASE, SWIN_T_CASE
from weights_convert.live.zoo_cases import ZOO_CASES
from weights_convert.network_map import NetworkMap
from weights_convert.tic_original import TIC_ORIGINAL
from weights_convert.transtic import RULES as TIC_RULES
from weights_convert.transtic import TIC_MAP
from weights_convert.u2net import U2NETP

LMBDA = 0.01
SMALL_TIC = TICSpec(
    N=32,
    M=48,
    depths=(2, 2, 2, 2),
    hyper_depths=(1, 1),  # a shifted 2×2 map would leave every token alone, and its bias without a gradient
    heads=(4, 4, 4, 4),
    hyper_heads=(4, 4),
    window=4,
    hyper_window=2,
)
SWIN = (48, 4, 6, 8)  # width, depth, heads, window
LINEAR = (64, 96, 8, 2.0)  # in, out, rank, scale


SMALL_TIC_ORIGINAL = TICOriginalSpec(
    N=16,
    M=24,
    depths=(2, 1, 1),
    hyper_depths=(1, 2),
    heads=(4, 4, 4),
    hyper_heads=(4, 4),
    context_heads=4,
    window=4,
    hyper_window=2,
)


def _tic_inputs(rng: np.random.Generator, spec: TICSpec | TICOriginalSpec) -> dict[str, np.ndarray]:
    return {
        "x": rng.uniform(size=(1, 128, 128, 3)),
        "noise_z": rng.uniform(-0.5, 0.5, (1, 2, 2, spec.N)),
        "noise_y": rng.uniform(-0.5, 0.5, (1, 8, 8, spec.M)),
    }


def _tic(spec: TICSpec | TICOriginalSpec, params: Any, inputs: Mapping[str, Array]) -> Stages:
    x = inputs["x"]
    noise = iter([inputs["noise_z"], inputs["noise_y"]])  # z is quantised first, then y

    def quantise(value: Array, centre: Array) -> Array:
        return value + next(noise)

    latents, outputs = captured(build(spec), params, 2, x, quantise, method="forward")

    def modules(transform: str) -> Stages:
        mine = {int(path[-1]): out for path, out in outputs.items() if path.startswith(transform)}
        return {f"{transform}{i}": mine[i] for i in sorted(mine)}

    likelihoods = {"y_likelihoods": latents.y_likelihoods, "z_likelihoods": latents.z_likelihoods}
    bits = -(jnp.log2(latents.y_likelihoods).sum() + jnp.log2(latents.z_likelihoods).sum())
    bpp, mse = bits / (x.shape[0] * x.shape[1] * x.shape[2]), jnp.mean((latents.x_hat - x) ** 2)
    scores = {"bpp": bpp, "mse": mse, "loss": LMBDA * 255**2 * mse + bpp}
    return {**modules("g_a"), **modules("h_a"), **modules("h_s"), **likelihoods, **modules("g_s"), **scores}


def _tic_reference() -> Any:
    from weights_convert.live.torch_tic import TIC as Reference

    return Reference(SMALL_TIC)


def _tic_original_reference() -> Any:
    from weights_convert.live.torch_tic_original import TICOriginal as Reference

    return Reference(SMALL_TIC_ORIGINAL)


def _swin(network: SwinStack, params: Any, inputs: Mapping[str, Array]) -> Stages:
    out, layers = captured(network, params["g_a"]["stb1"], 1, inputs["x"])
    return {**layers, "stack": out, "loss": jnp.mean((out - inputs["target"]) ** 2)}


def _shift_mask(network: SwinStack, params: Any, inputs: Mapping[str, Array]) -> list[Departure]:
    what = (
        "windows that the shift joined do not see each other; in AdaptICMH's code they do, and bases converted from it "
        "keep that (output of the stack)"
    )
    masks = (True, False)
    ours, published = (_swin(network.clone(shift_mask=on), params, inputs)["stack"] for on in masks)
    return [departure(what, ours, published)]


def _swin_reference() -> Any:
    from weights_convert.live.torch_swin import SwinStack as Reference

    return Reference(*SWIN)


def _swin_network(shapes: Any) -> SwinStack:
    width, depth, heads, window = SWIN
    return SwinStack(width, heads, window, window // 2, 2, (0.0,) * depth)


def _swin_shapes(network: SwinStack) -> Any:
    x = jax.ShapeDtypeStruct((1, network.window, network.window, network.features), np.float32)
    return {"g_a": {"stb1": jax.eval_shape(network.init, jax.random.key(0), x)["params"]}}


def _resnet(network: Any, params: Any, inputs: Mapping[str, Array]) -> Stages:
    taps, modules = captured(network, params, 1, inputs["x"])
    blocks = {path: out for path, out in modules.items() if path.startswith("layer")}
    return scored({"stem": taps["stem"], **blocks}, taps["logits"], inputs)


def _mobilenet(network: Any, params: Any, inputs: Mapping[str, Array]) -> Stages:
    taps = network.apply({"params": params}, inputs["x"])
    return scored({k: v for k, v in taps.items() if k.startswith("features")}, taps["logits"], inputs)


def _u2netp(network: Any, params: Any, inputs: Mapping[str, Array]) -> Stages:
    taps = network.apply({"params": params}, inputs["x"])
    return {**taps, "loss": jnp.mean((taps["saliency"] - inputs["target"]) ** 2)}


def _u2netp_reference() -> Any:
    from weights_convert.live.torch_u2netp import U2NetP as Reference

    return Reference()


def _resnet_reference() -> Any:
    from weights_convert.live.torch_recognizers import ResNet as Reference

    return Reference(ResNetSpec())


def _mobilenet_reference() -> Any:
    from weights_convert.live.torch_recognizers import MobileNetV2 as Reference

    return Reference(1000)


LINEAR_RULES = (
    Rule(r"base_layer\.weight", "base/layers_0/kernel", DENSE),
    Rule(r"base_layer\.bias", "base/layers_0/bias"),
    Rule(r"lora_A\.weight", "adapters/layers_0/a", DENSE),
    Rule(r"lora_B\.weight", "adapters/layers_0/b", DENSE),
    Rule(r"lora_magnitude_vector\.weight", "adapters/layers_0/m"),
)


def _linear_spec(shapes: Any) -> LowRankSpec:
    rank, scale = LINEAR[2:]
    return LowRankSpec(rank, scale * rank, targets=("layers_0/kernel",))


def _linear_shapes(spec: LowRankSpec) -> Any:
    c_in, c_out, rank, _ = LINEAR
    return {
        "base": {"layers_0": {"kernel": (c_in, c_out), "bias": (c_out,)}},
        "adapters": {"layers_0": {"a": (c_in, rank), "b": (rank, c_out), "m": (c_out,)}},
    }


def _linear(spec: LowRankSpec, params: Any, inputs: Mapping[str, Array]) -> Stages:
    x, own, kernel = inputs["x"], params["adapters"]["layers_0"], params["base"]["layers_0"]["kernel"]
    layer = nn.Sequential([Dense(len(own["m"]))])
    y = layer.apply({"params": params["base"], "adapters": low_rank.bind(spec, params["adapters"])}, x)
    return {
        "norms": low_rank.column_norms(kernel, own["a"], own["b"], spec.scale),
        "update": spec.scale * (x @ own["a"]) @ own["b"],
        "y": y,
        "loss": jnp.mean((y - inputs["target"]) ** 2),
    }


def _linear_reference() -> Any:
    from weights_convert.live.torch_low_rank import DoraLinear

    return DoraLinear(*LINEAR)


CASES: dict[str, Case] = {
    "tic": Case(
        "TIC, N 32, M 48, two layers a stack, one in hyper transforms; image 128×128, noise for rounding",
        _tic_reference,
        TIC_MAP,
        _tic,
        partial(_tic_inputs, spec=SMALL_TIC),
    ),
    "tic-original": Case(
        "the original TIC with its context model, N 16, M 24; image 128×128, noise for rounding",
        _tic_original_reference,
        TIC_ORIGINAL,
        _tic,
        partial(_tic_inputs, spec=SMALL_TIC_ORIGINAL),
    ),
    "swin": Case(
        "one stack of four Swin layers, 48 channels, 6 heads, windows of 8, map 24×16",
        _swin_reference,
        NetworkMap(_swin_network, lambda network: TIC_RULES, _swin_shapes),
        _swin,
        normal(x=(1, 24, 16, SWIN[0]), target=(1, 24, 16, SWIN[0])),
        departures=_shift_mask,
    ),
    "resnet50": Case(
        "ResNet-50 of torchvision, image 64×64",
        _resnet_reference,
        torchvision.RESNET,
        _resnet,
        normal(x=(1, 64, 64, 3), target=(1, 1000)),
    ),
    "mobilenet-v2": Case(
        "MobileNetV2 of torchvision, image 64×64",
        _mobilenet_reference,
        torchvision.MOBILENET_V2,
        _mobilenet,
        normal(x=(1, 64, 64, 3), target=(1, 1000)),
    ),
    **ZOO_CASES,
    "u2netp": Case(
        "U²-Netp, norms folded into its convolutions; image 35×51",
        _u2netp_reference,
        U2NETP,
        _u2netp,
        normal(x=(1, 35, 51, 3), target=(1, 35, 51, 1)),
    ),
    "swin-t": SWIN_T_CASE,
    "mtlora": MTLORA_CASE,
    "vgg19": VGG_CASE,
    **DETECTION_CASES,
    "eva02": EVA02_CASE,
    "eva02-fused": EVA02_FUSED_CASE,
    "sfma": SFMA_CASE,
    "evc": EVC_CASE,
    "transtic": TRANSTIC_CASE,
    "dora-linear": Case(
        "a dense layer 64 → 96 with DoRA of rank 8",
        _linear_reference,
        NetworkMap(_linear_spec, lambda spec: LINEAR_RULES, _linear_shapes),
        _linear,
        normal(x=(5, LINEAR[0]), target=(5, LINEAR[1])),
    ),
}
