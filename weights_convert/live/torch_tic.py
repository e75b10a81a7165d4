"""TIC in plain PyTorch, transforms, priors and loss, under the names of TransTIC's state dicts. Needs torch."""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icm_jax.models.tic import TICSpec
from weights_convert.live.torch_swin import Stack

BOUND, SCALE_BOUND = 1e-9, 0.11


class LowerBound(torch.autograd.Function):
    """max(x, bound), whose gradient also passes where it would push x up."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp_min(bound)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * ((x >= ctx.bound) | (gradient < 0)), None


class FactorizedPrior(nn.Module):
    """Likelihoods of z_hat [b, c, h, w]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for i, (inputs, outputs) in enumerate(pairwise((1, 3, 3, 3, 3, 1))):
            start = float(np.log(np.expm1(10**-0.2 / outputs)))
            matrix = start + 0.1 * torch.randn(channels, outputs, inputs)
            setattr(self, f"_matrix{i}", nn.Parameter(matrix))
            setattr(self, f"_bias{i}", nn.Parameter(torch.rand(channels, outputs, 1) - 0.5))
            if i < 4:
                setattr(self, f"_factor{i}", nn.Parameter(0.1 * torch.randn(channels, outputs, 1)))
        self.quantiles = nn.Parameter(torch.tensor([-10.0, 0.0, 10.0]).repeat(channels, 1, 1))

    def logits(self, t: Tensor) -> Tensor:
        for i in range(5):
            t = F.softplus(getattr(self, f"_matrix{i}")) @ t + getattr(self, f"_bias{i}")
            if i < 4:
                t = t + torch.tanh(getattr(self, f"_factor{i}")) * torch.tanh(t)
        return t

    def forward(self, z_hat: Tensor) -> Tensor:
        values = z_hat.transpose(0, 1).flatten(1)[:, None]
        lower, upper = self.logits(values - 0.5), self.logits(values + 0.5)
        sign = -(lower + upper).sign().detach()
        mass = (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs()
        b, c, h, w = z_hat.shape
        return LowerBound.apply(mass, BOUND).reshape(c, b, h, w).transpose(0, 1)


class TIC(nn.Module):
    """The codec of a specification whose windows fit every map; see `stages` for what it gives."""

    def __init__(self, spec: TICSpec) -> None:
        super().__init__()
        n, m, widths = spec.N, spec.M, spec.stage_widths
        self.chains: dict[str, list[str]] = {"g_a": [], "h_a": [], "h_s": [], "g_s": []}
        sides = ((3, *widths), (m, n, n))
        for i, (c_in, c_out) in enumerate(pairwise(sides[0])):
            self._add("g_a", conv(c_in, c_out, 3 if i else 5), stack(spec, c_out, i))
        for i, (c_in, c_out) in enumerate(pairwise(sides[1])):
            self._add("h_a", conv(c_in, c_out, 3), stack(spec, c_out, 4 + i))
        for i, (c_in, c_out) in enumerate(((n, n), (n, 2 * m))):
            self._add("h_s", stack(spec, c_in, 5 - i), deconv(c_in, c_out, 3))
        for i, (c_in, c_out) in enumerate(pairwise((*widths[::-1], 3))):
            self._add("g_s", stack(spec, c_in, 3 - i), deconv(c_in, c_out, 5 if i == 3 else 3))
        self.entropy_bottleneck = FactorizedPrior(n)

    def _add(self, transform: str, *modules: nn.Module) -> None:
        for module in modules:
            name = f"{transform}{len(self.chains[transform])}"
            self.add_module(name, module)
            self.chains[transform].append(name)

    def run(self, transform: str, x: Tensor, stages: dict[str, Tensor]) -> Tensor:
        """A transform; its modules' outputs go to `stages`."""
        for name in self.chains[transform]:
            x = stages[name] = getattr(self, name)(x)
        return x

    def forward(self, x: Tensor, noise_z: Tensor, noise_y: Tensor, lmbda: float = 0.01) -> dict[str, Tensor]:
        """Noise takes the place of rounding. Stages in the order of the data, then bpp, mse and loss."""
        stages: dict[str, Tensor] = {}
        y = self.run("g_a", x, stages)
        z_hat = self.run("h_a", y, stages) + noise_z
        scales, means = self.run("h_s", z_hat, stages).chunk(2, 1)
        y_hat = y + noise_y
        stages["y_likelihoods"] = likelihoods(y_hat, scales, means)
        stages["z_likelihoods"] = self.entropy_bottleneck(z_hat)
        return scored(stages, x, self.run("g_s", y_hat, stages), lmbda)


def likelihoods(y_hat: Tensor, scales: Tensor, means: Tensor) -> Tensor:
    """Mass of a normal distribution within half a step of every value."""
    sigma, distance = LowerBound.apply(scales, SCALE_BOUND), (y_hat - means).abs()
    upper, lower = (0.5 * torch.erfc(-(2**-0.5) * (t - distance) / sigma) for t in (0.5, -0.5))
    bounded: Tensor = LowerBound.apply(upper - lower, BOUND)
    return bounded


def scored(stages: dict[str, Tensor], x: Tensor, x_hat: Tensor, lmbda: float) -> dict[str, Tensor]:
    """Stages, bits a pixel by their likelihoods, error and loss."""
    bits = -sum(torch.log2(stages[f"{latent}_likelihoods"]).sum() for latent in "yz")
    bpp, mse = bits / (x.shape[0] * x.shape[2] * x.shape[3]), ((x_hat - x) ** 2).mean()
    return {**stages, "bpp": bpp, "mse": mse, "loss": lmbda * 255**2 * mse + bpp}


def conv(c_in: int, c_out: int, k: int) -> nn.Conv2d:
    """Halves the size."""
    return nn.Conv2d(c_in, c_out, k, stride=2, padding=k // 2)


def deconv(c_in: int, c_out: int, k: int) -> nn.ConvTranspose2d:
    """Doubles the size."""
    return nn.ConvTranspose2d(c_in, c_out, k, stride=2, padding=k // 2, output_padding=1)


def stack(spec: TICSpec, width: int, index: int) -> Stack:
    """The stack at scale `index`: 0 … 3 of the image transforms, 4 and 5 of the hyper transforms."""
    depth, heads = (*spec.depths, *spec.hyper_depths)[index], (*spec.heads, *spec.hyper_heads)[index]
    window = spec.window if index < 4 else spec.hyper_window
    built = 256 >> (
        index + 1
    )  # the published model was built for 256×256: a map no larger than a window has no shift
    shift = 0 if built <= window else window // 2
    return Stack(width, depth, heads, min(window, built), shift, spec.mlp_ratio)
