"""Swin stacks with TransTIC's prompts in plain PyTorch under the names of its state dicts. Needs torch.

Written from the layers' description: prompts pass qkv but no norm, stand before the image tokens among keys and
values, and have no bias by position. A map of instance prompts is rolled and cut like the features; over its keys the
shift mask lies as in the published code, whose columns for image tokens come first.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weights_convert.live.torch_swin import Layer, Stack, WindowAttention, cut, joined

DOWN = 2  # features to a prompt of a map, in each direction


class PromptedStacks(nn.Module):
    """A stack with instance prompts from a map, as in the encoder, then one with task prompts, as in the decoder."""

    def __init__(self, width: int, depth: int, heads: int, window: int, tokens: int) -> None:
        super().__init__()
        shape = (width, depth, heads, window, window // 2, 2)
        self.g_a1, self.g_s4 = Stack(*shape), Stack(*shape)
        self.g_a0_prompt_layers = nn.ModuleList(nn.Conv2d(width, width, 3, DOWN, 1) for _ in range(depth))
        embeddings = nn.Parameter(torch.randn(depth, tokens, width))
        self.g_s4.residual_group.register_parameter("prompt_embeddings", embeddings)

    def forward(self, x: Tensor, prompts: Tensor, target: Tensor) -> dict[str, Tensor]:
        stages: dict[str, Tensor] = {}
        maps = [layer(prompts).permute(0, 2, 3, 1) for layer in self.g_a0_prompt_layers]
        tokens = list(self.g_s4.residual_group.prompt_embeddings)
        h = x.permute(0, 2, 3, 1)
        for name, stack, own in (("encoder", self.g_a1, maps), ("decoder", self.g_s4, tokens)):
            start = h
            for i, layer in enumerate(stack.residual_group["blocks"]):
                h = prompted(layer, h, own[i])
                stages[f"{name}{i}"] = h.permute(0, 3, 1, 2)
            h = stages[name] = start + h
        stages |= {name: stages[name].permute(0, 3, 1, 2) for name in ("encoder", "decoder")}
        return {**stages, "loss": ((stages["decoder"] - target) ** 2).mean()}


def prompted(layer: Layer, x: Tensor, prompts: Tensor) -> Tensor:
    """A layer on [b, h, w, c]; prompts are a map [b, h/2, w/2, c] or tokens [p, c] of all windows."""
    _, h, w, _ = x.shape
    shift, window = layer.shift, layer.window
    windows = cut(torch.roll(layer.norm1(x), (-shift, -shift), (1, 2)), window)
    if prompts.ndim == 4:
        rolled = torch.roll(prompts, (-shift // DOWN, -shift // DOWN), (1, 2))
        own = cut(rolled, window // DOWN)
    else:
        own = prompts.expand(len(windows), -1, -1)
    mask = layer.mask(h, w, x.dtype) if shift else None
    if mask is not None:
        mask = misaligned(mask, own.shape[1]) if prompts.ndim == 4 else F.pad(mask, (own.shape[1], 0))
    y = torch.roll(joined(attention(layer.attn, windows, own, mask), h, w, window), (shift, shift), (1, 2))
    x = x + y
    return x + layer.mlp["fc2"](F.gelu(layer.mlp["fc1"](layer.norm2(x))))


def attention(layer: WindowAttention, x: Tensor, prompts: Tensor, mask: Tensor | None) -> Tensor:
    """Image tokens [n, t, c] look at prompts [n, p, c] and at themselves."""
    n, tokens, width = x.shape
    qkv = layer.qkv(torch.cat([prompts, x], 1)).reshape(n, -1, 3, layer.heads, width // layer.heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    logits = q[:, :, -tokens:] * (width // layer.heads) ** -0.5 @ k.transpose(-2, -1)
    logits = logits + F.pad(layer.bias(), (prompts.shape[1], 0))
    if mask is not None:
        logits = logits + mask.repeat(n // len(mask), 1, 1)[:, None]
    return layer.proj((logits.softmax(-1) @ v).transpose(1, 2).reshape(n, tokens, width))


def misaligned(mask: Tensor, prompts: int) -> Tensor:
    """The columns of the image tokens, then as many more as there are prompts, picked evenly from their middle."""
    middle = mask.shape[-1] - 2 * prompts
    picked = [prompts + i * middle // prompts for i in range(prompts)]
    return torch.cat([mask, mask[..., picked]], -1)
