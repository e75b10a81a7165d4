"""Swin stacks in plain PyTorch, under the names that TransTIC's state dicts have. Needs torch.

Written from the layer's description: pre-norm, window attention with a bias by relative position, a shift by half a
window in every second layer whose mask of -100 parts what only the roll made neighbours, one skip around the stack.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WindowAttention(nn.Module):
    """Attention inside windows: [windows, tokens, c]."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(0.02 * torch.randn((2 * window - 1) ** 2, heads))

    def bias(self) -> Tensor:
        """[heads, tokens, tokens]."""
        place = torch.cartesian_prod(torch.arange(self.window), torch.arange(self.window))
        offset = place[:, None] - place[None, :] + self.window - 1
        return self.relative_position_bias_table[
            offset[..., 0] * (2 * self.window - 1) + offset[..., 1]
        ].permute(2, 0, 1)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.proj(self.gather(x, mask))

    def gather(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Everything but the output projection."""
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        logits = (q * (width // self.heads) ** -0.5) @ k.transpose(-2, -1) + self.bias()
        if mask is not None:
            logits = logits + mask.repeat(n // len(mask), 1, 1)[:, None]
        return (logits.softmax(-1) @ v).transpose(1, 2).reshape(n, tokens, width)


class Layer(nn.Module):
    """One Swin layer on [b, h, w, c]."""

    def __init__(self, width: int, heads: int, window: int, shift: int, ratio: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, ratio * width), "fc2": nn.Linear(ratio * width, width)}
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))

    def attend(self, x: Tensor) -> Tensor:
        _, h, w, _ = x.shape
        x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        y = self.attn(cut(x, self.window), self.mask(h, w, x.dtype) if self.shift else None)
        return torch.roll(joined(y, h, w, self.window), (self.shift, self.shift), (1, 2))

    def mask(self, h: int, w: int, dtype: torch.dtype) -> Tensor:
        """[windows, tokens, tokens]: -100 between the nine regions that the roll brought together."""
        painted = torch.zeros(1, h, w, 1)
        cuts = (slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None))
        for number, (rows, columns) in enumerate((r, c) for r in cuts for c in cuts):
            painted[:, rows, columns] = number
        region = cut(painted, self.window)[..., 0]
        return torch.where(region[:, :, None] == region[:, None, :], 0.0, -100.0).to(dtype)


class Stack(nn.Module):
    """STB on [b, c, h, w]; `stages` gets every layer's output."""

    def __init__(self, width: int, depth: int, heads: int, window: int, shift: int, ratio: int) -> None:
        super().__init__()
        layers = (Layer(width, heads, window, shift * (i % 2), ratio) for i in range(depth))
        self.residual_group = nn.ModuleDict({"blocks": nn.ModuleList(layers)})

    def forward(self, x: Tensor, stages: dict[str, Tensor] | None = None) -> Tensor:
        h = x.permute(0, 2, 3, 1)
        for i, layer in enumerate(self.residual_group["blocks"]):
            h = layer(h)
            if stages is not None:
                stages[f"layer{i}"] = h.permute(0, 3, 1, 2)
        return x + h.permute(0, 3, 1, 2)


def cut(x: Tensor, window: int) -> Tensor:
    """[b, h, w, c] -> [b·windows, window², c]."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // window, window, w // window, window, c).transpose(2, 3)
    return x.reshape(-1, window * window, c)


def joined(x: Tensor, h: int, w: int, window: int) -> Tensor:
    """Undoes `cut`."""
    x = x.reshape(-1, h // window, w // window, window, window, x.shape[-1]).transpose(2, 3)
    return x.reshape(-1, h, w, x.shape[-1])


class SwinStack(nn.Module):
    """A stack alone, with a loss: the mean squared distance of its output from a target."""

    def __init__(self, width: int, depth: int, heads: int, window: int) -> None:
        super().__init__()
        self.g_a1 = Stack(width, depth, heads, window, window // 2, 2)

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        stages: dict[str, Tensor] = {}
        stages["stack"] = self.g_a1(x, stages)
        return {**stages, "loss": ((stages["stack"] - target) ** 2).mean()}
