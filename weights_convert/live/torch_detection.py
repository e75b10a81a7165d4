"""Mask R-CNN on ResNet and pyramid in plain PyTorch, under detectron2's or torchvision's names. Needs torch.

Regions are given, and what is pooled from them passes no gradient to the maps.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icm_jax.recognizers.detection.spec import DetectorSpec
from icm_jax.recognizers.resnet import LAYERS
from weights_convert.live.torch_recognizers import norm

LEVELS, BOX_BINS, MASK_BINS = (2, 3, 4, 5), 7, 14


class Names(NamedTuple):
    """A publisher's names; braces stand for numbers, `{i}` for a level's place from 0.

    Attributes:
        body: patterns of a stem's or a block's convolution and norm: {stage} is 1 to 4.
        heads: of the rest, in the order of `Detector`.
    """

    stem: tuple[str, str]
    conv: tuple[str, str]
    shortcut: tuple[str, str]
    lateral: str
    output: str
    rpn: tuple[str, str, str]
    box: tuple[str, str, str, str]
    mask: tuple[str, str, str]


D2_BLOCK, D2_RPN = "backbone.bottom_up.res{level}.{block}.", "proposal_generator.rpn_head."
TV_BLOCK, TV_HEADS = "backbone.body.layer{stage}.{block}.", "roi_heads."
DETECTRON2_NAMES = Names(
    stem=("backbone.bottom_up.stem.conv1", "backbone.bottom_up.stem.conv1.norm"),
    conv=(D2_BLOCK + "conv{n}", D2_BLOCK + "conv{n}.norm"),
    shortcut=(D2_BLOCK + "shortcut", D2_BLOCK + "shortcut.norm"),
    lateral="backbone.fpn_lateral{level}",
    output="backbone.fpn_output{level}",
    rpn=(D2_RPN + "conv", D2_RPN + "objectness_logits", D2_RPN + "anchor_deltas"),
    box=(
        "roi_heads.box_head.fc1",
        "roi_heads.box_head.fc2",
        "roi_heads.box_predictor.cls_score",
        "roi_heads.box_predictor.bbox_pred",
    ),
    mask=("roi_heads.mask_head.mask_fcn{n}", "roi_heads.mask_head.deconv", "roi_heads.mask_head.predictor"),
)
TORCHVISION_NAMES = Names(
    stem=("backbone.body.conv1", "backbone.body.bn1"),
    conv=(TV_BLOCK + "conv{n}", TV_BLOCK + "bn{n}"),
    shortcut=(TV_BLOCK + "downsample.0", TV_BLOCK + "downsample.1"),
    lateral="backbone.fpn.inner_blocks.{i}.0",
    output="backbone.fpn.layer_blocks.{i}.0",
    rpn=("rpn.head.conv.0.0", "rpn.head.cls_logits", "rpn.head.bbox_pred"),
    box=(
        "roi_heads.box_head.fc6",
        "roi_heads.box_head.fc7",
        "roi_heads.box_predictor.cls_score",
        "roi_heads.box_predictor.bbox_pred",
    ),
    mask=(
        "roi_heads.mask_head.{i}.0",
        "roi_heads.mask_predictor.conv5_mask",
        "roi_heads.mask_predictor.mask_fcn_logits",
    ),
)


class Detector(nn.Module):
    """Every block, the pyramid, the proposals' logits and moves, pooled regions and what the heads make of them."""

    def __init__(self, spec: DetectorSpec, names: Names) -> None:
        super().__init__()
        self.spec, self.names = spec, names
        body, width = spec.body, spec.body.stem
        self._unit(names.stem, nn.Conv2d(3, width, 7, 2, 3, bias=False))
        for i, (blocks, mid, out) in enumerate(zip(body.blocks, body.mid, body.out, strict=True)):
            for block in range(blocks):
                stride = 2 if i and not block else 1
                first, second = (stride, 1) if body.stride_first else (1, stride)
                place = {"level": i + 2, "stage": i + 1, "block": block}
                self._unit(names.conv, nn.Conv2d(width, mid, 1, first, bias=False), n=1, **place)
                self._unit(names.conv, nn.Conv2d(mid, mid, 3, second, 1, bias=False), n=2, **place)
                self._unit(names.conv, nn.Conv2d(mid, out, 1, bias=False), n=3, **place)
                if not block:
                    self._unit(names.shortcut, nn.Conv2d(width, out, 1, stride, bias=False), **place)
                width = out
        c, hidden, inner = spec.channels, spec.hidden, spec.mask_channels
        for i, (level, out) in enumerate(zip(LEVELS, body.out, strict=True)):
            self._add(names.lateral, nn.Conv2d(out, c, 1), i=i, level=level)
            self._add(names.output, nn.Conv2d(c, c, 3, padding=1), i=i, level=level)
        for name, (k, features) in zip(names.rpn, ((3, c), (1, 3), (1, 12)), strict=True):
            self._add(name, nn.Conv2d(c, features, k, padding=k // 2))
        widths = ((c * BOX_BINS**2, hidden), (hidden, hidden), (hidden, spec.classes + 1))
        for name, pair in zip(names.box, (*widths, (hidden, 4 * spec.columns)), strict=True):
            self._add(name, nn.Linear(*pair))
        for i in range(4):
            self._add(names.mask[0], nn.Conv2d(inner if i else c, inner, 3, padding=1), i=i, n=i + 1)
        self._add(names.mask[1], nn.ConvTranspose2d(inner, inner, 2, 2))
        self._add(names.mask[2], nn.Conv2d(inner, spec.columns, 1))

    def _add(self, pattern: str, module: nn.Module, **numbers: int) -> None:
        """Puts a module where its dotted name says."""
        *way, last = pattern.format(**numbers).split(".")
        place: nn.Module = self
        for step in way:
            if step not in dict(place.named_children()):
                place.add_module(step, nn.Module())
            place = place.get_submodule(step)
        place.add_module(last, module)

    def _unit(self, names: tuple[str, str], conv: nn.Conv2d, **numbers: int) -> None:
        self._add(names[0], conv, **numbers)
        self._add(names[1], norm(conv.out_channels), **numbers)

    def at(self, pattern: str, x: Tensor, **numbers: int) -> Tensor:
        """A module's output."""
        out: Tensor = self.get_submodule(pattern.format(**numbers))(x)
        return out

    def unit(self, names: tuple[str, str], x: Tensor, **numbers: int) -> Tensor:
        """A convolution and its norm."""
        conv: Any = self.get_submodule(names[0].format(**numbers))
        return self.at(names[1], F.conv2d(x, conv.weight, None, conv.stride, conv.padding), **numbers)

    def bottleneck(self, x: Tensor, place: Mapping[str, int]) -> Tensor:
        y = F.relu(self.unit(self.names.conv, x, n=1, **place))
        y = F.relu(self.unit(self.names.conv, y, n=2, **place))
        y = self.unit(self.names.conv, y, n=3, **place)
        return F.relu(y + (x if place["block"] else self.unit(self.names.shortcut, x, **place)))

    def forward(self, x: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        names, stages = self.names, {}
        x = stages["stem"] = F.max_pool2d(F.relu(self.unit(names.stem, x)), 3, 2, 1)
        for i, blocks in enumerate(self.spec.body.blocks):
            for block in range(blocks):
                x = self.bottleneck(x, {"level": i + 2, "stage": i + 1, "block": block})
            stages[LAYERS[i]] = x
        total = None
        for i in (3, 2, 1, 0):
            inner = self.at(names.lateral, stages[LAYERS[i]], i=i, level=i + 2)
            total = inner if total is None else inner + F.interpolate(total, inner.shape[-2:], mode="nearest")
            stages[f"p{i + 2}"] = self.at(names.output, total, i=i, level=i + 2)
        stages["p6"] = stages["p5"][:, :, ::2, ::2]
        for level in (*LEVELS, 6):
            h = F.relu(self.at(names.rpn[0], stages[f"p{level}"]))
            stages[f"rpn_logits_p{level}"] = self.at(names.rpn[1], h)
            stages[f"rpn_deltas_p{level}"] = self.at(names.rpn[2], h)
        stages["box_pooled"] = h = self.pooled(stages, boxes, BOX_BINS)
        h = F.relu(self.at(names.box[0], h.flatten(1)))
        h = F.relu(self.at(names.box[1], h))
        stages["box_logits"], stages["box_deltas"] = self.at(names.box[2], h), self.at(names.box[3], h)
        h = self.pooled(stages, boxes, MASK_BINS)
        for i in range(4):
            h = F.relu(self.at(names.mask[0], h, i=i, n=i + 1))
        stages["masks"] = self.at(names.mask[2], F.relu(self.at(names.mask[1], h)))
        parts = [
            (value**2).mean() for name, value in stages.items() if name.startswith(("rpn", "box_", "masks"))
        ]
        return {**stages, "loss": torch.stack(parts).sum()}

    def pooled(self, maps: Mapping[str, Tensor], boxes: Tensor, bins: int) -> Tensor:
        """Bins [n, c, bins, bins] of boxes that lie inside the image: the mean of samples spread evenly over each."""
        sampling, rows = self.spec.conventions.sampling, []
        for box in boxes:
            size = float((box[2:] - box[:2]).prod().sqrt())
            level = min(max(int(4 + torch.tensor(size / self.spec.canonical).log2().floor()), 2), 5)
            corner = box / 2**level - 0.5 * sampling.aligned
            lengths = corner[2:] - corner[:2]
            count = [sampling.per_bin or int((side / bins).ceil()) for side in lengths]
            places = [
                corner[k] + (torch.arange(bins * n).to(box) + 0.5) * lengths[k] / (bins * n)
                for k, n in enumerate(count)
            ]
            values = sampled(maps[f"p{level}"].detach(), *places)
            rows.append(F.avg_pool2d(values, (count[1], count[0])))
        return torch.cat(rows)


def sampled(x: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """[1, c, h, w] between its pixels, bilinear: [1, c, rows, columns]."""
    h, w = x.shape[-2:]
    grid = torch.stack(torch.meshgrid(2 * columns / (w - 1) - 1, 2 * rows / (h - 1) - 1, indexing="xy"), -1)
    return F.grid_sample(x, grid[None], align_corners=True, padding_mode="border")
