"""One SFMA of AdaptICMH in plain PyTorch under its names. Needs torch."""

import torch
from torch import Tensor, nn


class Sfma(nn.Module):
    """A spatial branch and one that gates amplitudes of the spectrum; every convolution is a stage."""

    def __init__(self, width: int, middle: int) -> None:
        super().__init__()
        for name in ("s_down1", "s_down2", "f_down"):
            self.add_module(name, nn.Conv2d(width, middle, 1))
        for name in ("s_up", "f_up"):
            self.add_module(name, nn.Conv2d(middle, width, 1))
        self.s_dw = nn.Conv2d(middle, middle, 5, padding=2, groups=middle)
        self.f_dw = nn.Conv2d(middle, middle, 3, padding=1, groups=middle)
        self.f_inter = nn.Conv2d(middle, middle, 1)

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        stages: dict[str, Tensor] = {}

        def layer(name: str, value: Tensor) -> Tensor:
            stages[name] = getattr(self, name)(value)
            return stages[name]

        spatial = layer("s_dw", layer("s_down1", x)) * layer("s_down2", x)
        spatial = layer("s_up", spatial.relu())
        spectrum = torch.fft.rfft2(layer("f_down", x))
        gate = layer("f_inter", layer("f_dw", spectrum.abs()).relu()).sigmoid()
        frequency = torch.fft.irfft2(gate * spectrum, s=x.shape[2:])
        y = x + spatial + layer("f_up", frequency.relu())
        return {**stages, "y": y, "loss": ((y - target) ** 2).mean()}
