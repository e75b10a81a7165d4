"""The dual spatial prior of EVC in plain PyTorch under the names of the DCVC repository. Needs torch.

Written from the layers' description; in training z_hat and y_hat are rounded straight-through, and rates are of values
plus noise.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DepthConv(nn.Module):
    """1×1, leaky ReLU, depthwise 3×3, 1×1, and a shortcut, projected where widths differ."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(c_in, c_in, 1), nn.LeakyReLU(0.01))
        self.depth_conv = nn.Conv2d(c_in, c_in, 3, padding=1, groups=c_in)
        self.conv2 = nn.Conv2d(c_in, c_out, 1)
        self.adaptor = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.depth_conv(self.conv1(x))) + self.adaptor(x)


class ConvFFN(nn.Module):
    """Two 1×1 convolutions, each with a leaky ReLU, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(min(4 * width, 1024), 2 * width)
        layers = (
            nn.Conv2d(width, hidden, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(hidden, width, 1),
            nn.LeakyReLU(0.1),
        )
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class DepthConvBlock(nn.Module):
    """Both, and optionally twice the size."""

    def __init__(self, c_in: int, c_out: int, up: bool = False) -> None:
        super().__init__()
        enlarge = [nn.Conv2d(c_out, 4 * c_out, 1), nn.PixelShuffle(2)] if up else []
        self.block = nn.Sequential(DepthConv(c_in, c_out), ConvFFN(c_out), *enlarge)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class Step(nn.Module):
    """One step of the cumulative function of z; the last has no `a`."""

    def __init__(self, channels: int, last: bool) -> None:
        super().__init__()
        for name in "hb" if last else "hba":
            self.register_parameter(name, nn.Parameter(0.3 * torch.randn(1, channels, 1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = x * F.softplus(self.h) + self.b
        return x + x.tanh() * self.a.tanh() if hasattr(self, "a") else x


class DualSpatialPrior(nn.Module):
    """Both passes on y [b, n, h, w]; the loss is the bits of an element and the distance of y_hat from y."""

    def __init__(self, n: int) -> None:
        super().__init__()
        down = [nn.Conv2d(n, n, 3, 2, 1) for _ in range(2)]
        self.hyper_enc = nn.Sequential(DepthConvBlock(n, n), down[0], nn.LeakyReLU(0.01), down[1])
        self.hyper_dec = nn.Sequential(*(DepthConvBlock(n, n, up) for up in (True, True, False)))
        self.y_prior_fusion = nn.Sequential(DepthConvBlock(n, 2 * n), DepthConvBlock(2 * n, 3 * n))
        widths = [(4 * n, 3 * n), (3 * n, 2 * n), (2 * n, 2 * n)]
        self.y_spatial_prior = nn.Sequential(*(DepthConvBlock(*pair) for pair in widths))
        steps = {f"f{i}": Step(n, last=i == 4) for i in range(1, 5)}
        self.bit_estimator_z = nn.ModuleDict(steps)

    def cumulative(self, x: Tensor) -> Tensor:
        """Probability of values of z up to x."""
        for step in self.bit_estimator_z.values():
            x = step(x)
        return x.sigmoid()

    def forward(self, y: Tensor, noise_y: Tensor, noise_z: Tensor) -> dict[str, Tensor]:
        z = self.hyper_enc(y)
        q, scales, means = self.y_prior_fusion(self.hyper_dec(rounded(z))).chunk(3, 1)
        q = q.clamp_min(0.5)
        first, scaled = self.first_pass(y), y / q
        decoded = torch.where(first, rounded(scaled, means), 0)
        of_second = self.y_spatial_prior(torch.cat([decoded, means, scales, q], 1)).chunk(4, 1)
        scales = torch.where(first, scales, torch.cat(of_second[::2], 1))
        means = torch.where(first, means, torch.cat(of_second[1::2], 1))
        y_hat, residual = rounded(scaled, means) * q, scaled - means
        sigma, noisy = scales.clamp(0.11, 1e10), residual + noise_y
        y_bits = bits(normal_cdf((noisy + 0.5) / sigma) - normal_cdf((noisy - 0.5) / sigma))
        noisy = z + noise_z
        z_bits = bits(self.cumulative(noisy + 0.5) - self.cumulative(noisy - 0.5))
        stages = {"z": z, "scales": scales, "residual": residual, "y_hat": y_hat}
        loss = y_bits.mean() + z_bits.mean() + ((y_hat - y) ** 2).mean()
        return {**stages, "y_bits": y_bits, "z_bits": z_bits, "loss": loss}

    @staticmethod
    def first_pass(y: Tensor) -> Tensor:
        """Even squares for the first half of the channels, odd ones for the second."""
        _, n, h, w = y.shape
        even = (torch.arange(h)[:, None] + torch.arange(w)) % 2 == 0
        return torch.stack([even, ~even]).repeat_interleave(n // 2, 0)


def rounded(x: Tensor, centre: Tensor | float = 0.0) -> Tensor:
    """To whole steps from a centre, with the gradient of the identity."""
    return x + ((x - centre).round() + centre - x).detach()


def normal_cdf(t: Tensor) -> Tensor:
    """Φ."""
    return 0.5 * (1 + torch.erf(t * 0.5**0.5))


def bits(probability: Tensor) -> Tensor:
    """At least 0."""
    return (-torch.log2(probability + 1e-5)).clamp_min(0)
