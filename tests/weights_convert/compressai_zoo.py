"""CompressAI's own codecs, tiny, with random weights that spread latents and scales over many symbols and tables."""

import importlib.util
from typing import Any

import numpy as np
import pytest

N, M = 8, 12


def registered() -> dict[str, Any]:
    """CompressAI's codecs by name; skips the test where it is not installed."""
    pytest.importorskip("torch")
    if importlib.util.find_spec("compressai") is None:
        pytest.skip("compressai is not installed")
    from weights_convert.live.torch_libraries import compressai_codecs

    return compressai_codecs()


def tiny(name: str, seed: int = 0) -> Any:
    """The codec `name` in evaluation mode, tables made."""
    classes = registered()
    import torch

    torch.manual_seed(seed)
    network = classes[name](N) if name.startswith("cheng2020") else classes[name](N, M)
    with torch.no_grad():
        for key, value in network.named_parameters():
            if key.startswith("entropy_bottleneck._factor"):
                value.copy_(torch.randn_like(value) * 0.3)
            elif key.endswith((".beta", ".gamma")):
                value.add_(torch.rand_like(value) * 0.2)
        _spread(network)
    network.eval().update(update_quantiles=True)
    return network


def _spread(network: Any) -> None:
    """Latents of a few units, and scales from below the first table up to the size of the latents."""
    import torch

    y = network.g_a(to_torch(image(0)))
    gain = 4 / y.std()
    _convolutions(network.g_a)[-1].weight.mul_(gain)
    if not hasattr(network, "h_a"):
        return
    _convolutions(network.h_a)[-1].weight.mul_(3 / network.h_a(gain * y).std())
    final = _convolutions(getattr(network, "entropy_parameters", network.h_s))[-1]
    final.weight.mul_(2)
    final.bias[: network.M] = torch.logspace(-1.2, 1.2, network.M)


def _convolutions(module: Any) -> list[Any]:
    import torch

    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    return [child for child in module.modules() if isinstance(child, kinds)]


def image(seed: int, height: int = 64, width: int = 128) -> np.ndarray:
    """uint8 [height, width, 3]: waves with noise."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((height, width))[..., None] * rng.uniform(0.03, 0.5, (2, 1, 1, 3))
    return np.clip(127 + 90 * np.sin(rows + cols) + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(
        np.uint8
    )


def to_torch(pixels: np.ndarray) -> Any:
    """uint8 [h, w, 3] -> float tensor [1, 3, h, w] in [0, 1]."""
    import torch

    planes = pixels.transpose(2, 0, 1)[None] / np.float32(255)
    return torch.from_numpy(
        np.ascontiguousarray(planes)
    )  # with channels last, torch 2.13 breaks in a gradient


def state_dict(network: Any) -> dict[str, np.ndarray]:
    """Arrays by name."""
    return {key: value.detach().numpy().copy() for key, value in network.state_dict().items()}
