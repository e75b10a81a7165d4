"""CompressAI's own codecs with given noise in place of what they draw. Needs torch and compressai."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from weights_convert.live.torch_libraries import compressai_codecs
from weights_convert.live.torch_tic import BOUND, SCALE_BOUND

LMBDA = 0.01


class ZooCodec(nn.Module):
    """A codec with random weights that spread its latents and scales; it is called `module`, as in parallel training.

    Every layer with parameters of its transforms is a stage, called by transform and number.
    """

    def __init__(self, name: str, *widths: int) -> None:
        super().__init__()
        self.module = compressai_codecs()[name](*widths)
        with torch.no_grad():
            for key, value in self.module.named_parameters():
                if key.startswith("entropy_bottleneck._factor"):
                    value.copy_(0.3 * torch.randn_like(value))
                elif key.endswith((".beta", ".gamma")):
                    value.add_(0.2 * torch.rand_like(value))
            y = self.module.g_a(torch.rand(1, 3, 64, 64))
            last = [layer for layer in self.module.g_a.modules() if isinstance(layer, nn.Conv2d)][-1]
            last.weight.mul_(4 / y.std())

    def forward(self, x: Tensor, **noise: Tensor) -> dict[str, Tensor]:
        stages: dict[str, Tensor] = {}
        network = self.module
        hooks = [
            layer.register_forward_hook(_keeping(stages, name)) for name, layer in _layers(network).items()
        ]
        own = noise["noise_z"] if hasattr(network, "h_a") else noise["noise_y"]
        network.entropy_bottleneck.quantize = lambda v, mode, means=None: v + own.flatten(2).transpose(0, 1)
        if hasattr(network, "gaussian_conditional"):
            network.gaussian_conditional.quantize = lambda v, mode, means=None: v + noise["noise_y"]
        for name, module in network.named_modules():  # bounds that are buffers keep their rounding to float32
            if name.endswith("likelihood_lower_bound"):
                module.bound.fill_(BOUND)
            elif name.endswith("lower_bound_scale"):
                module.bound.fill_(SCALE_BOUND)
        out = network(x)
        for hook in hooks:
            hook.remove()
        likelihoods = {f"{latent}_likelihoods": p for latent, p in out["likelihoods"].items()}
        bits = -sum(torch.log2(p).sum() for p in likelihoods.values())
        bpp, mse = bits / (x.shape[0] * x.shape[2] * x.shape[3]), ((out["x_hat"] - x) ** 2).mean()
        scores = {"bpp": bpp, "mse": mse, "loss": LMBDA * 255**2 * mse + bpp}
        return {**stages, **likelihoods, "x_hat": out["x_hat"], **scores}


def _layers(network: Any) -> dict[str, nn.Module]:
    """Layers of the transforms that have parameters; of one that ends in shuffled pixels its convolution."""
    transforms = {
        name: getattr(network, name) for name in ("g_a", "h_a", "h_s", "g_s") if hasattr(network, name)
    }
    return {
        f"{name}{i}": layer[0] if isinstance(layer, nn.Sequential) else layer
        for name, transform in transforms.items()
        for i, layer in enumerate(transform)
        if any(True for _ in layer.parameters())
    }


def _keeping(stages: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        stages[name] = output.clone()  # the ReLU behind it works in place

    return keep
