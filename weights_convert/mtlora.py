"""MTLoRA as its repository (scale-lab/MTLoRA) names it: any Swin, ranks, tasks and heads.

Its backbone has Microsoft's names with `.linear` in every layer that has updates; the rules speak of them without.
"""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np

from icm_jax.recognizers.mtlora import MTLoRA, MTLoRASpec
from weights_convert import swin
from weights_convert.keymap import CONV, DENSE, ConversionError, Rule
from weights_convert.network_map import PARALLEL, NetworkMap, Shapes, StateDict
from weights_convert.torchvision import count, expected_params, norm_rules, shape

BACKBONE = r"backbone\."
HEAD = r"decoders\.decoders\.(\w+)\.last_layer\."
UPDATED = re.compile(r"(backbone\.layers\.\d+\.blocks\.\d+\.(?:attn|mlp)\.\w+)\.linear\.(weight|bias)")


def _updates(kind: str, target: str, name: str) -> tuple[Rule, ...]:
    """The rules of both factors of one kind of update."""
    layer = BACKBONE + swin.BLOCK + r"(attn|mlp)\.(\w+)\."
    return tuple(
        Rule(
            rf"{layer}lora_{kind}_{factor}{name}", rf"{target}/layer\1_block\2/\3/\4/{factor.lower()}", DENSE
        )
        for factor in "AB"
    )


RULES = (
    *(
        replace(rule, pattern=BACKBONE + rule.pattern, target=rule.target and f"backbone/{rule.target}")
        for rule in swin.RULES
    ),
    *_updates("shared", "lora_shared", ""),
    *_updates("tasks", r"lora_tasks/\5", r"\.(\w+)"),
    Rule(r"downsampler\.(\w+)\.downsample_(\d+)\.weight", r"head_\1/reduce\2/kernel", CONV),
    Rule(HEAD + r"0\.weight", r"head_\1/conv/kernel", CONV),
    Rule(HEAD + r"0\.bias", r"head_\1/conv/bias"),
    *norm_rules(HEAD + "1", r"head_\1/norm"),
    Rule(HEAD + r"3\.weight", r"head_\1/predict/kernel", CONV),
    Rule(HEAD + r"3\.bias", r"head_\1/predict/bias"),
)


def mtlora_from_state_dict(state_dict: StateDict) -> tuple[MTLoRA, dict[str, Any]]:
    """An MTLoRA of any sizes and tasks, and its parameters.

    Raises:
        ConversionError: the arrays are not those of one.
    """
    return MTLORA.convert(state_dict)


def mtlora_spec(shapes: Shapes) -> MTLoRASpec:
    """The MTLoRA that has these shapes; tasks in the order of their names.

    Raises:
        ConversionError: a name that every one has is missing.
    """
    found = {match[1] for name in shapes if (match := re.fullmatch(HEAD + r"3\.weight", name))}
    if not found:
        raise ConversionError(
            "no decoders.decoders.TASK.last_layer.3.weight: this is no checkpoint of MTLoRA"
        )
    tasks = tuple(sorted(found))
    backbone = {
        name.removeprefix("backbone."): s for name, s in shapes.items() if name.startswith("backbone.")
    }
    network = swin.swin_spec(backbone)
    end = f"backbone.layers.0.blocks.{network.depths[0] - 1}.attn.proj"
    reduced = f"downsampler.{tasks[0]}.downsample_{{}}.weight"
    head = f"decoders.decoders.{tasks[0]}.last_layer.0.weight"
    return MTLoRASpec(
        tasks=tasks,
        outputs=tuple(shape(shapes, f"decoders.decoders.{task}.last_layer.3.weight")[0] for task in tasks),
        swin=network,
        shared_rank=shape(shapes, f"{end}.lora_shared_A")[0],
        task_ranks=tuple(shape(shapes, f"{end}.lora_tasks_A.{task}")[0] for task in tasks),
        channels=tuple(shape(shapes, reduced.format(i))[0] for i in range(count(shapes, reduced))),
        hidden=shape(shapes, head)[0],
        size_mode=_size_mode(shapes, network.patch * network.windows[0]),
    )


def published_names(spec: MTLoRASpec) -> list[str]:
    """The repository's names of all arrays that the network uses."""
    layers = [(i, j) for i, depth in enumerate(spec.swin.depths) for j in range(depth)]
    backbone = [f"backbone.{name}" for name in swin.published_names(spec.swin)]
    names = [re.sub(r"((?:attn|mlp)\.\w+)\.(weight|bias)$", r"\1.linear.\2", name) for name in backbone]
    for i, j in layers:
        block = f"backbone.layers.{i}.blocks.{j}."
        names += [f"{block}{one}.lora_shared_{factor}" for one in swin.LINEAR for factor in "AB"]
        if j == spec.swin.depths[i] - 1:
            own = [f"{block}{one}.lora_tasks_{factor}." for one in swin.LINEAR[1:] for factor in "AB"]
            names += [name + task for name in own for task in spec.tasks]
    for task in spec.tasks:
        head = f"decoders.decoders.{task}.last_layer."
        names += [f"downsampler.{task}.downsample_{i}.weight" for i in range(len(spec.channels))]
        names += [f"{head}{i}.{part}" for i in (0, 1, 3) for part in ("weight", "bias")]
        names += [f"{head}1.running_{part}" for part in ("mean", "var")]
    return names


def _size_mode(shapes: Shapes, cell: int) -> str:
    """A checkpoint of the repository holds masks for images of the one size that it takes; ours hold none."""
    mask = shapes.get("backbone.layers.0.blocks.1.attn_mask")
    return "pad" if mask is None else f"resize{cell * math.isqrt(mask[0])}"


def _plain(name: str) -> str:
    return UPDATED.sub(r"\1.\2", name.removeprefix(PARALLEL))


def _prepare(state_dict: StateDict) -> dict[str, np.ndarray]:
    return {_plain(name): array for name, array in state_dict.items()}


def _restore(arrays: StateDict, published: Shapes) -> dict[str, np.ndarray]:
    return {name: arrays[own] for name in published if (own := _plain(name)) in arrays}


MTLORA = NetworkMap(
    infer=lambda shapes: MTLoRA(mtlora_spec(shapes)),
    rules=lambda network: RULES,
    expected=lambda network: expected_params(network, 8 * network.spec.swin.patch),
    prepare=_prepare,
    restore=_restore,
    names=lambda network: published_names(network.spec),
)
