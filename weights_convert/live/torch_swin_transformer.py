"""A Swin transformer for classification in plain PyTorch under Microsoft's names. Needs torch.

Written from the layers' description: after the first norm a map is rolled, then padded with zeros to whole windows;
all tokens of a window see them. Patches merge in the order (even, even), (odd, even), (even, odd), (odd, odd).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icm_jax.recognizers.swin import SwinSpec
from weights_convert.live.torch_recognizers import scored
from weights_convert.live.torch_swin import Layer, cut, joined


class Block(Layer):
    """One layer on [b, h, w, c], of windows no larger than the map."""

    def attend(self, x: Tensor) -> Tensor:
        return self.around(self.attn, x)

    def around(self, inside: Callable[[Tensor, Tensor | None], Tensor], x: Tensor) -> Tensor:
        """Rolled, padded, `inside` on the windows and their mask, and back."""
        _, h, w, _ = x.shape
        below, right = -h % self.window, -w % self.window
        x = F.pad(torch.roll(x, (-self.shift, -self.shift), (1, 2)), (0, 0, 0, right, 0, below))
        mask = self.mask(h + below, w + right, x.dtype) if self.shift else None
        y = joined(inside(cut(x, self.window), mask), h + below, w + right, self.window)[:, :h, :w]
        return torch.roll(y, (self.shift, self.shift), (1, 2))


class PatchMerging(nn.Module):
    """2×2 tokens to one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        cells = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(cells, -1)))


class Stage(nn.Module):
    """Blocks, and the merging after them."""

    def __init__(self, spec: SwinSpec, index: int, block: type[Block]) -> None:
        super().__init__()
        width, window = spec.width << index, spec.windows[index]
        shape = (width, spec.heads[index], window)
        shifts = [window // 2 * (i % 2) for i in range(spec.depths[index])]
        self.blocks = nn.ModuleList(block(*shape, shift, spec.mlp_ratio) for shift in shifts)
        last = index == len(spec.depths) - 1
        self.downsample = nn.Identity() if last else PatchMerging(width)


class Backbone(nn.Module):
    """Patches and stages."""

    def __init__(self, spec: SwinSpec, block: type[Block] = Block) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict(
            {"proj": nn.Conv2d(3, spec.width, spec.patch, spec.patch), "norm": nn.LayerNorm(spec.width)}
        )
        self.layers = nn.ModuleList(Stage(spec, i, block) for i in range(len(spec.depths)))

    def embed(self, x: Tensor) -> Tensor:
        """[b, 3, h, w] -> [b, h/4, w/4, c]."""
        return self.patch_embed["norm"](self.patch_embed["proj"](x).permute(0, 2, 3, 1))


class SwinTransformer(Backbone):
    """Every stage before merging, and logits."""

    def __init__(self, spec: SwinSpec) -> None:
        super().__init__(spec)
        width = spec.width << (len(spec.depths) - 1)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, spec.classes)

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        h = self.embed(x)
        stages = {"patch_embed": h.permute(0, 3, 1, 2)}
        for i, stage in enumerate(self.layers):
            for block in stage.blocks:
                h = block(h)
            stages[f"layer{i}"] = h.permute(0, 3, 1, 2)
            h = stage.downsample(h)
        return scored(stages, self.head(self.norm(h).mean((1, 2))), target)
