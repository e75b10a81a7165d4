"""TIC in plain eager PyTorch: the opponent of the speed benchmarks.

Written for speed within eager mode: maps stay [b, h, w, c], so convolutions see channels-last memory and attention
needs no copies of whole maps; inference uses PyTorch's fused attention, training the plain one, whichever is
faster on a CPU. Parameters are named as in the Flax model, so `load` can give both the same ones.
"""

from collections.abc import Mapping
from functools import cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icm_jax.models.tic import TICSpec


def relative_position_index(window: int) -> Tensor:
    """Row of the bias table for every token pair of a window: int [window⁴]."""
    rows, cols = torch.arange(window**2) // window, torch.arange(window**2) % window
    d_row, d_col = (axis[:, None] - axis[None, :] + window - 1 for axis in (rows, cols))
    return (d_row * (2 * window - 1) + d_col).flatten()


@cache
def shift_mask(h: int, w: int, window: int, shift: int) -> Tensor:
    """-100 between tokens that only the roll made neighbours: [windows, 1, window², window²]."""
    rows, cols = (
        (torch.arange(n) >= n - window).int() + (torch.arange(n) >= n - shift).int() for n in (h, w)
    )
    regions = cut(rows[None, :, None, None] * 3 + cols[None, None, :, None], window)[..., 0]
    return torch.where(regions[:, None, :, None] == regions[:, None, None, :], 0.0, -100.0)


def cut(x: Tensor, window: int) -> Tensor:
    """[b, h, w, c] -> [b · windows, window², c]."""
    b, h, w, c = x.shape
    x = x.view(b, h // window, window, w // window, window, c).transpose(2, 3)
    return x.reshape(-1, window * window, c)


class Attention(nn.Module):
    """Shifted-window attention."""

    def __init__(self, features: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.qkv = nn.Linear(features, 3 * features)
        self.proj = nn.Linear(features, features)
        self.relative_position_bias = nn.Parameter(0.02 * torch.randn((2 * window - 1) ** 2, heads))
        self.register_buffer("index", relative_position_index(window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        tokens, window = self.window**2, self.window
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        qkv = self.qkv(cut(x, window)).view(-1, tokens, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias[self.index].view(1, tokens, tokens, -1).permute(0, 3, 1, 2)
        if self.shift:
            bias = bias + shift_mask(h, w, window, self.shift)
            bias = bias.repeat(b, 1, 1, 1) if b > 1 else bias
        if self.training:
            out = (q * (c // self.heads) ** -0.5 @ k.transpose(-2, -1) + bias).softmax(-1) @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out = self.proj(out.transpose(1, 2).reshape(-1, tokens, c))
        out = out.view(b, h // window, w // window, window, window, c).transpose(2, 3).reshape(b, h, w, c)
        return out.roll((self.shift, self.shift), (1, 2)) if self.shift else out


class Layer(nn.Module):
    """One Swin layer."""

    def __init__(self, features: int, heads: int, window: int, shift: int, ratio: int, rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(features)
        self.attn = Attention(features, heads, window, shift)
        self.norm2 = nn.LayerNorm(features)
        hidden = ratio * features
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(features, hidden), "fc2": nn.Linear(hidden, features)})
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x)))))

    def drop_path(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        return x * torch.empty(len(x), 1, 1, 1).bernoulli_(1 - self.rate) / (1 - self.rate)


class Stack(nn.Sequential):
    """Swin layers inside one long skip."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Conv(nn.Conv2d):
    """Strided convolution of a [b, h, w, c] map."""

    def __init__(self, c_in: int, c_out: int, k: int) -> None:
        super().__init__(c_in, c_out, k, stride=2, padding=k // 2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Deconv(nn.ConvTranspose2d):
    """Transposed convolution of a [b, h, w, c] map."""

    def __init__(self, c_in: int, c_out: int, k: int) -> None:
        super().__init__(c_in, c_out, k, stride=2, padding=k // 2, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class TIC(nn.Module):
    """The transforms and, for training, the likelihoods."""

    def __init__(self, spec: TICSpec) -> None:
        super().__init__()
        n, m, widths = spec.N, spec.M, spec.stage_widths
        rates = np.linspace(0, spec.drop_path, sum(spec.depths) + sum(spec.hyper_depths)).tolist()

        def stack(width: int, depth: int, stride: int, heads: int, window: int, rates: list[float]) -> Stack:
            built = 256 // stride
            window, shift = (built, 0) if built <= window else (window, window // 2)
            stack = Stack()
            for i in range(depth):
                layer = Layer(width, heads, window, shift * (i % 2), spec.mlp_ratio, rates.pop(0))
                stack.add_module(f"layer{i}", layer)
            return stack

        self.g_a, self.h_a, self.h_s, self.g_s = (nn.Sequential() for _ in range(4))
        encoder_rates, decoder_rates = list(rates), list(rates)
        for i, (c_in, c_out) in enumerate(zip((3, *widths), widths, strict=False)):
            self.g_a.add_module(f"conv{2 * i}", Conv(c_in, c_out, 3 if i else 5))
            block = stack(c_out, spec.depths[i], 2 << i, spec.heads[i], spec.window, encoder_rates)
            self.g_a.add_module(f"stb{2 * i + 1}", block)
        for i, c_in in enumerate((m, n)):
            self.h_a.add_module(f"conv{2 * i}", Conv(c_in, n, 3))
            sizes = (spec.hyper_depths[i], 32 << i, spec.hyper_heads[i], spec.hyper_window)
            self.h_a.add_module(f"stb{2 * i + 1}", stack(n, *sizes, encoder_rates))
        for i, c_out in enumerate((n, 2 * m)):
            sizes = (spec.hyper_depths[1 - i], 64 >> i, spec.hyper_heads[1 - i], spec.hyper_window)
            self.h_s.add_module(f"stb{2 * i}", stack(n, *sizes, decoder_rates))
            self.h_s.add_module(f"deconv{2 * i + 1}", Deconv(n, c_out, 3))
        for i, (c_in, c_out) in enumerate(zip(widths[::-1], (*widths[-2::-1], 3), strict=True)):
            block = stack(c_in, spec.depths[3 - i], 16 >> i, spec.heads[3 - i], spec.window, decoder_rates)
            self.g_s.add_module(f"stb{2 * i}", block)
            self.g_s.add_module(f"deconv{2 * i + 1}", Deconv(c_in, c_out, 5 if i == 3 else 3))
        filters = (1, 3, 3, 3, 3, 1)
        self.z_prior = nn.ParameterDict()
        for i, (cols, rows) in enumerate(pairwise(filters)):
            start = float(np.log(np.expm1(10**-0.2 / rows)))
            self.z_prior[f"matrix{i}"] = nn.Parameter(torch.full((n, rows, cols), start))
            self.z_prior[f"bias{i}"] = nn.Parameter(torch.rand(n, rows, 1) - 0.5)
            if i < 4:
                self.z_prior[f"factor{i}"] = nn.Parameter(torch.zeros(n, rows, 1))

    def loss(self, x: Tensor, lmbda: float) -> Tensor:
        """lmbda · 255² · MSE + bpp with noise for rounding."""
        y = self.g_a(x)
        z = self.h_a(y)
        z_hat = z + torch.rand_like(z) - 0.5
        scales, means = self.h_s(z_hat).chunk(2, -1)
        y_hat = y + torch.rand_like(y) - 0.5
        bits = -torch.log2(gaussian(y_hat, scales, means)).sum() - torch.log2(self.factorized(z_hat)).sum()
        mse = ((self.g_s(y_hat) - x) ** 2).mean()
        return lmbda * 255**2 * mse + bits / (x.shape[0] * x.shape[1] * x.shape[2])

    def factorized(self, z_hat: Tensor) -> Tensor:
        """Likelihoods of z_hat, channels first."""
        values = z_hat.permute(3, 0, 1, 2).flatten(1)[:, None]
        lower, upper = self.logits(values - 0.5), self.logits(values + 0.5)
        sign = -(lower + upper).sign().detach()
        return (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs().clamp_min(1e-9)

    def logits(self, t: Tensor) -> Tensor:
        for i in range(5):
            t = F.softplus(self.z_prior[f"matrix{i}"]) @ t + self.z_prior[f"bias{i}"]
            if i < 4:
                t = t + torch.tanh(self.z_prior[f"factor{i}"]) * torch.tanh(t)
        return t


def gaussian(y_hat: Tensor, scales: Tensor, means: Tensor) -> Tensor:
    """Likelihoods of y_hat."""
    sigma, distance = scales.clamp_min(0.11), (y_hat - means).abs()
    upper, lower = (0.5 * torch.erfc(-(2**-0.5) * (t - distance) / sigma) for t in (0.5, -0.5))
    return (upper - lower).clamp_min(1e-9)


def load(model: TIC, params: Mapping[str, np.ndarray]) -> None:
    """Copies Flax parameters, flattened to "/"-joined paths, into the model; z's quantiles have no place there."""
    state = {}
    for path, value in params.items():
        name = path.replace("/", ".").replace(".kernel", ".weight").replace(".scale", ".weight")
        if value.ndim == 4:
            value = value.transpose((2, 3, 0, 1) if "deconv" in path else (3, 2, 0, 1))
        elif path.endswith("kernel"):
            value = value.T
        if not path.endswith("quantiles"):
            state[name] = torch.from_numpy(np.array(value))
    model.load_state_dict(state)
