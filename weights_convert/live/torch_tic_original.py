"""The original TIC with its context model in plain PyTorch, under the names of lumingzzz/TIC. Needs torch.

Written from the layers' description: every position attends to the decoded half of the 5×5 square around it; the rest
of the square, and what lies outside the map, are zeros that take part. All tokens of the square are summed.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icm_jax.models.tic_original import TICOriginalSpec
from weights_convert.live.torch_swin import Stack, WindowAttention
from weights_convert.live.torch_tic import TIC, FactorizedPrior, conv, deconv, likelihoods, scored


class Context(WindowAttention):
    """2m features for every position of y_hat [b, m, h, w] from the positions before it."""

    def __init__(self, width: int, heads: int, window: int, ratio: int) -> None:
        super().__init__(width, heads, window)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.proj = nn.Linear(width, 2 * width)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, ratio * width), "fc2": nn.Linear(ratio * width, width)}
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        b, width, h, w = x.shape
        squares = F.unfold(x, self.window, padding=self.window // 2)
        tokens = squares.reshape(b, width, -1, h * w).permute(0, 3, 2, 1).flatten(0, 1)
        before = torch.arange(self.window**2) < self.window**2 // 2
        tokens = tokens * before[:, None].to(x.dtype)
        summed = (tokens + self.gather(self.norm1(tokens), mask)).sum(1)
        summed = summed + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(summed))))
        return self.proj(summed).reshape(b, h, w, -1).permute(0, 3, 1, 2)


class TICOriginal(TIC):
    """The codec of a specification whose windows fit every map."""

    def __init__(self, spec: TICOriginalSpec) -> None:
        nn.Module.__init__(self)
        n, m = spec.N, spec.M
        self.chains = {"g_a": [], "h_a": [], "h_s": [], "g_s": []}
        stages = list(zip(spec.depths, spec.heads, strict=True))
        hyper = list(zip(spec.hyper_depths, spec.hyper_heads, strict=True))

        def stack(depth: int, heads: int, window: int) -> Stack:
            return Stack(n, depth, heads, window, window // 2, spec.mlp_ratio)

        for i, shape in enumerate(stages):
            self._add("g_a", conv(n if i else 3, n, 3 if i else 5), stack(*shape, spec.window))
        self._add("g_a", conv(n, m, 3))
        for i, shape in enumerate(hyper):
            layer = conv(n, n, 3) if i else nn.Conv2d(m, n, 3, padding=1)
            self._add("h_a", layer, stack(*shape, spec.hyper_window))
        self._add("h_a", conv(n, n, 3))
        for shape in hyper[::-1]:
            self._add("h_s", deconv(n, n, 3), stack(*shape, spec.hyper_window))
        self._add("h_s", nn.Conv2d(n, 2 * m, 3, padding=1))
        for i, shape in enumerate(stages[::-1]):
            self._add("g_s", deconv(n if i else m, n, 3), stack(*shape, spec.window))
        self._add("g_s", deconv(n, 3, 5))
        self.entropy_bottleneck = FactorizedPrior(n)
        self.context_prediction = Context(m, spec.context_heads, spec.context_window, spec.mlp_ratio)
        widths = (4 * m, 10 * m // 3, 8 * m // 3, 2 * m)
        layers = [nn.Conv2d(*pair, 1) for pair in pairwise(widths)]
        self.entropy_parameters = nn.Sequential(layers[0], nn.GELU(), layers[1], nn.GELU(), layers[2])

    def forward(self, x: Tensor, noise_z: Tensor, noise_y: Tensor, lmbda: float = 0.01) -> dict[str, Tensor]:
        """See `TIC`."""
        stages: dict[str, Tensor] = {}
        y = self.run("g_a", x, stages)
        z_hat = self.run("h_a", y, stages) + noise_z
        y_hat = y + noise_y
        known = torch.cat([self.run("h_s", z_hat, stages), self.context_prediction(y_hat)], 1)
        scales, means = self.entropy_parameters(known).chunk(2, 1)
        stages["y_likelihoods"] = likelihoods(y_hat, scales, means)
        stages["z_likelihoods"] = self.entropy_bottleneck(z_hat)
        return scored(stages, x, self.run("g_s", y_hat, stages), lmbda)
