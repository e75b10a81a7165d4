"""EVA-02 in plain PyTorch under timm's names: separate layers with sub-LN, or fused ones without. Needs torch.

Written from the layers' description: pre-norm with eps 1e-6, rotary positions of "cat" type on q and k of all tokens
but the first, no bias of k, SwiGLU with a norm inside.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icm_jax.models.eva02 import EVA02Spec

EPSILON = 1e-6


class Attention(nn.Module):
    """Self-attention of [b, n, c] whose first token is not turned."""

    def __init__(self, width: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.proj = nn.Linear(width, width)
        if fused:
            self.qkv = nn.Linear(width, 3 * width, bias=False)
            self.q_bias, self.v_bias = (nn.Parameter(0.02 * torch.randn(width)) for _ in range(2))
        else:
            self.q_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
            self.k_proj = nn.Linear(width, width, bias=False)

    def projected(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values [b, n, c]; keys have no bias."""
        if not self.fused:
            return self.q_proj(x), self.k_proj(x), self.v_proj(x)
        q, k, v = self.qkv(x).chunk(3, -1)
        return q + self.q_bias, k, v + self.v_bias

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        b, n, width = x.shape
        q, k, v = (part.reshape(b, n, self.heads, -1).transpose(1, 2) for part in self.projected(x))
        q, k = (turned(part, angles) for part in (q, k))
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, width))


class Block(nn.Module):
    """Attention and gated MLP."""

    def __init__(self, width: int, heads: int, sub_ln: bool) -> None:
        super().__init__()
        hidden = width * 8 // 3
        self.norm1, self.norm2 = nn.LayerNorm(width, EPSILON), nn.LayerNorm(width, EPSILON)
        self.attn, self.sub_ln = Attention(width, heads, fused=not sub_ln), sub_ln
        layers: dict[str, nn.Module] = {"fc2": nn.Linear(hidden, width)}
        if sub_ln:
            layers |= {"fc1_g": nn.Linear(width, hidden), "fc1_x": nn.Linear(width, hidden)}
            layers |= {"norm": nn.LayerNorm(hidden, EPSILON)}
        else:
            layers |= {"fc1": nn.Linear(width, 2 * hidden)}
        self.mlp = nn.ModuleDict(layers)

    def gated(self, h: Tensor) -> Tensor:
        """What the MLP's last layer is given."""
        if not self.sub_ln:
            gate, value = self.mlp["fc1"](h).chunk(2, -1)
            return F.silu(gate) * value
        return self.mlp["norm"](F.silu(self.mlp["fc1_g"](h)) * self.mlp["fc1_x"](h))

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), angles)
        return x + self.mlp["fc2"](self.gated(self.norm2(x)))


class EVA02(nn.Module):
    """Every block is a stage."""

    def __init__(self, spec: EVA02Spec) -> None:
        super().__init__()
        self.spec = spec
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, spec.width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + spec.grid[0] * spec.grid[1], spec.width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, spec.width, spec.patch, spec.patch)})
        self.blocks = nn.ModuleList(Block(spec.width, spec.heads, spec.sub_ln) for _ in range(spec.depth))

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        tokens = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], 1) + self.pos_embed
        stages, table = {}, angles(self.spec.grid, self.spec.head_dim, x.dtype)
        for i, block in enumerate(self.blocks):
            tokens = stages[f"block{i}"] = block(tokens, table)
        return {**stages, "loss": ((tokens - target) ** 2).mean()}


def angles(grid: tuple[int, int], head_dim: int, dtype: torch.dtype) -> Tensor:
    """[rows · columns, head_dim / 2]: rows first, then columns, both in [0, 16)."""
    bands = 1 / 10000.0 ** (torch.arange(head_dim // 4, dtype=dtype) / (head_dim // 4))
    rows, columns = (torch.arange(side, dtype=dtype) / side * 16 for side in grid)
    by_row = (rows[:, None] * bands)[:, None].expand(-1, grid[1], -1)
    by_column = (columns[:, None] * bands)[None].expand(grid[0], -1, -1)
    return torch.cat([by_row, by_column], -1).flatten(0, 1)


def turned(x: Tensor, table: Tensor) -> Tensor:
    """[b, heads, n, d] with every pair of neighbouring channels turned, those of the first token not."""
    first, rest = x[:, :, :1], x[:, :, 1:]
    even, odd = rest[..., ::2], rest[..., 1::2]
    sin, cos = table.sin(), table.cos()
    pairs = torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1)
    return torch.cat([first, pairs.flatten(-2)], 2)
