"""U²-Netp in plain PyTorch under its repository's names, norms folded into the convolutions. Needs torch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icm_jax.recognizers.u2netp import FLAT, INNER, LEVELS, OUTER


class Unit(nn.Module):
    """3×3 convolution and ReLU."""

    def __init__(self, c_in: int, c_out: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(c_in, c_out, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv_s1(x))


class Stage(nn.Module):
    """A residual U-Net: pooled and enlarged again, or dilated."""

    def __init__(self, c_in: int, levels: int, flat: bool) -> None:
        super().__init__()
        self.levels, self.flat = levels, flat
        self.rebnconvin, self.rebnconv1 = Unit(c_in, OUTER), Unit(OUTER, INNER)
        for k in range(2, levels + 1):
            last = 2 ** (k - 1) if flat else 1 + (k == levels)
            self.add_module(f"rebnconv{k}", Unit(INNER, INNER, last))
        for k in range(1, levels):
            out = INNER if k > 1 else OUTER
            self.add_module(f"rebnconv{k}d", Unit(2 * INNER, out, 2 ** (k - 1) if flat else 1))

    def forward(self, x: Tensor) -> Tensor:
        units, x = dict(self.named_children()), self.rebnconvin(x)
        skips = [units["rebnconv1"](x)]
        for k in range(2, self.levels):
            skips.append(units[f"rebnconv{k}"](skips[-1] if self.flat else halved(skips[-1])))
        y = units[f"rebnconv{self.levels}"](skips[-1])
        for k in range(self.levels - 1, 0, -1):
            y = units[f"rebnconv{k}d"](joined(y, skips[k - 1]))
        return x + y


class U2NetP(nn.Module):
    """Every stage and side is a stage."""

    def __init__(self) -> None:
        super().__init__()
        for n, levels in enumerate(LEVELS, 1):
            self.add_module(f"stage{n}", Stage(OUTER if n > 1 else 3, levels, n in FLAT))
            self.add_module(f"side{n}", nn.Conv2d(OUTER, 1, 3, padding=1))
            if n < len(LEVELS):
                self.add_module(f"stage{n}d", Stage(2 * OUTER, levels, n in FLAT))
        self.outconv = nn.Conv2d(len(LEVELS), 1, 1)

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        modules, stages = dict(self.named_children()), {}
        for n in range(1, 7):
            x = stages[f"stage{n}"] = modules[f"stage{n}"](halved(x) if n > 1 else x)
        outputs = {6: x}
        for n in range(5, 0, -1):
            x = outputs[n] = stages[f"stage{n}d"] = modules[f"stage{n}d"](joined(x, stages[f"stage{n}"]))
        sides = {f"side{n}": modules[f"side{n}"](outputs[n]) for n in range(1, 7)}
        size = sides["side1"].shape[-2:]
        y = self.outconv(torch.cat([enlarged(side, size) for side in sides.values()], 1))
        return {**stages, **sides, "saliency": y, "loss": ((y - target) ** 2).mean()}


def halved(x: Tensor) -> Tensor:
    """2×2 maxima; the last row and column of an odd size stand alone."""
    return F.max_pool2d(x, 2, ceil_mode=True)


def enlarged(x: Tensor, size: torch.Size) -> Tensor:
    """Bilinear, pixel centres."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def joined(deep: Tensor, skip: Tensor) -> Tensor:
    """The deeper map at its partner's size, in front of it."""
    return torch.cat([enlarged(deep, skip.shape[-2:]), skip], 1)
