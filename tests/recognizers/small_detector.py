"""A detector small enough to compile in seconds, with the names its two publishers would give its weights."""

import numpy as np

from icm_jax.recognizers.detection.spec import DETECTRON2, Conventions, DetectorSpec
from icm_jax.recognizers.resnet import ResNetSpec


def small_spec(conventions: Conventions = DETECTRON2, mask_channels: int = 6) -> DetectorSpec:
    """Four stages of one bottleneck, pyramids of 8 channels, three classes."""
    stride_first = conventions is DETECTRON2
    body = ResNetSpec((1, 1, 1, 1), 4, (2, 2, 2, 2), (8, 16, 24, 32), 0, stride_first)
    return DetectorSpec(
        body=body,
        conventions=conventions,
        channels=8,
        hidden=16,
        classes=3,
        mask_channels=mask_channels,
        per_level=20,
        proposals=12,
        score=0.2,
        detections=5,
    )


def detectron2_shapes(spec: DetectorSpec) -> dict[str, tuple[int, ...]]:
    """Names and shapes as in a file of detectron2's zoo."""
    shapes = _body(
        spec, "backbone.bottom_up.", "stem.conv1", "res{}.0.", 2, "conv{}", "conv{}.norm", "shortcut"
    )
    fpn = ("backbone.fpn_lateral{}", "backbone.fpn_output{}", 2)
    rpn = ("proposal_generator.rpn_head.", "conv", "objectness_logits", "anchor_deltas")
    mask = ["mask_head.mask_fcn1", "mask_head.mask_fcn2", "mask_head.mask_fcn3", "mask_head.mask_fcn4"]
    return shapes | _heads(spec, fpn, rpn, ("fc1", "fc2"), [*mask, "mask_head.deconv", "mask_head.predictor"])


def torchvision_shapes(spec: DetectorSpec, old: bool = False) -> dict[str, tuple[int, ...]]:
    """Names and shapes as in a file of torchvision, of today or of before 2022."""
    shapes = _body(spec, "backbone.body.", "conv1", "layer{}.0.", 1, "conv{}", "bn{}", "downsample.0")
    shapes = {name.replace("conv1.norm", "bn1"): shape for name, shape in shapes.items()}
    shapes = {name.replace("downsample.0.norm", "downsample.1"): shape for name, shape in shapes.items()}
    tail = "" if old else ".0"
    fpn = (f"backbone.fpn.inner_blocks.{{}}{tail}", f"backbone.fpn.layer_blocks.{{}}{tail}", 0)
    rpn = ("rpn.head.", "conv" if old else "conv.0.0", "cls_logits", "bbox_pred")
    mask = [f"mask_head.mask_fcn{i + 1}" if old else f"mask_head.{i}.0" for i in range(4)]
    last = ["mask_predictor.conv5_mask", "mask_predictor.mask_fcn_logits"]
    return shapes | _heads(spec, fpn, rpn, ("fc6", "fc7"), [*mask, *last])


def random_state(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Weights that let signals through: kernels of unit gain, variances of one."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, shape in sorted(shapes.items()):
        spread = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
        state[name] = (rng.normal(size=shape) * spread).astype(np.float32)
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            state[name] += 1
    return state


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}


def _body(
    spec: DetectorSpec, prefix: str, stem: str, block: str, first: int, conv: str, norm: str, shortcut: str
) -> dict[str, tuple[int, ...]]:
    body, before = spec.body, spec.body.stem
    shapes = {f"{prefix}{stem}.weight": (before, 3, 7, 7), **_norm(f"{prefix}{stem}.norm", before)}
    for stage, (mid, out) in enumerate(zip(body.mid, body.out, strict=True), first):
        here = prefix + block.format(stage)
        for i, shape in enumerate([(mid, before, 1, 1), (mid, mid, 3, 3), (out, mid, 1, 1)], 1):
            shapes[f"{here}{conv.format(i)}.weight"] = shape
            shapes |= _norm(here + norm.format(i), shape[0])
        shapes[f"{here}{shortcut}.weight"] = (out, before, 1, 1)
        shapes |= _norm(f"{here}{shortcut}.norm", out)
        before = out
    return shapes


def _heads(
    spec: DetectorSpec,
    fpn: tuple[str, str, int],
    rpn: tuple[str, str, str, str],
    dense: tuple[str, str],
    masks: list[str],
) -> dict[str, tuple[int, ...]]:
    width, hidden, inner = spec.channels, spec.hidden, spec.mask_channels
    kernels: dict[str, tuple[int, ...]] = {}
    for i, out in enumerate(spec.body.out):
        kernels[fpn[0].format(i + fpn[2])] = (width, out, 1, 1)
        kernels[fpn[1].format(i + fpn[2])] = (width, width, 3, 3)
    for name, shape in zip(rpn[1:], ((width, width, 3, 3), (3, width, 1, 1), (12, width, 1, 1)), strict=True):
        kernels[rpn[0] + name] = shape
    kernels[f"roi_heads.box_head.{dense[0]}"] = (hidden, width * 49)
    kernels[f"roi_heads.box_head.{dense[1]}"] = (hidden, hidden)
    kernels["roi_heads.box_predictor.cls_score"] = (spec.classes + 1, hidden)
    kernels["roi_heads.box_predictor.bbox_pred"] = (4 * spec.columns, hidden)
    shapes = {f"{name}.weight": shape for name, shape in kernels.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in kernels.items()}
    if not inner:
        return shapes
    convs = [(inner, width if i == 0 else inner, 3, 3) for i in range(4)]
    for name, shape in zip(masks, [*convs, (inner, inner, 2, 2), (spec.columns, inner, 1, 1)], strict=True):
        shapes |= {f"roi_heads.{name}.weight": shape, f"roi_heads.{name}.bias": shape[:1]}
    return shapes
