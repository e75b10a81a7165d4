"""ResNet, MobileNetV2 and VGG in plain PyTorch under torchvision's names, at inference. Needs torch alone."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icm_jax.recognizers.mobilenet_v2 import BLOCKS, HEAD, STEM
from icm_jax.recognizers.resnet import LAYERS, ResNetSpec
from icm_jax.recognizers.vgg import VGGSpec


class Bottleneck(nn.Module):
    """1×1, 3×3 with the stride, 1×1, and a projected shortcut where sizes change."""

    def __init__(self, c_in: int, mid: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c_in, mid, 1, bias=False), norm(mid)
        self.conv2, self.bn2 = nn.Conv2d(mid, mid, 3, stride, 1, bias=False), norm(mid)
        self.conv3, self.bn3 = nn.Conv2d(mid, out, 1, bias=False), norm(out)
        changes = stride != 1 or c_in != out
        self.downsample = (
            nn.Sequential(nn.Conv2d(c_in, out, 1, stride, bias=False), norm(out))
            if changes
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(nn.Module):
    """Every bottleneck is a stage."""

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, spec.stem, 7, 2, 3, bias=False), norm(spec.stem)
        width = spec.stem
        for layer, blocks, mid, out in zip(LAYERS, spec.blocks, spec.mid, spec.out, strict=True):
            stride = 1 if layer == LAYERS[0] else 2
            widths = [width] + [out] * (blocks - 1)
            rows = [Bottleneck(w, mid, out, 1 if i else stride) for i, w in enumerate(widths)]
            self.add_module(layer, nn.ModuleList(rows))
            width = out
        self.fc = nn.Linear(width, spec.classes)

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        stages = {"stem": x}
        for layer in LAYERS:
            for i, block in enumerate(getattr(self, layer)):
                x = stages[f"{layer}_{i}"] = block(x)
        return scored(stages, self.fc(x.mean((2, 3))), target)


class InvertedResidual(nn.Module):
    """Expansion, depthwise 3×3, projection; the sequence is called `conv`."""

    def __init__(self, c_in: int, expansion: int, out: int, stride: int) -> None:
        super().__init__()
        hidden = expansion * c_in
        layers = [unit(c_in, hidden, 1)] if expansion > 1 else []
        layers += [unit(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, out, 1, bias=False), norm(out)]
        self.conv = nn.Sequential(*layers)
        self.adds = stride == 1 and c_in == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    """Every entry of `features` is a stage."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers, width = [unit(3, STEM, 3, 2)], STEM
        for expansion, out, stride in BLOCKS:
            layers.append(InvertedResidual(width, expansion, out, stride))
            width = out
        self.features = nn.Sequential(*layers, unit(width, HEAD, 1))
        self.classifier = nn.Sequential(nn.Identity(), nn.Linear(HEAD, classes))

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        stages = {}
        for i, layer in enumerate(self.features):
            x = stages[f"features.{i}"] = layer(x)
        return scored(stages, self.classifier(x.mean((2, 3))), target)


class VGG(nn.Module):
    """The convolutions of a VGG: every entry of `features` is a stage by the name it has here."""

    def __init__(self, spec: VGGSpec) -> None:
        super().__init__()
        self.names = [name for name, _ in spec.layers()]
        layers, width = [], 3
        for name, channels in spec.layers():
            kinds = {"conv": nn.Conv2d(width, channels, 3, 1, 1), "relu": nn.ReLU(), "pool": nn.MaxPool2d(2)}
            layers.append(kinds[name[:4]])
            width = channels
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        stages = {}
        for name, layer in zip(self.names, self.features, strict=True):
            x = stages[name] = layer(x)
        return {**stages, "loss": ((x - target) ** 2).mean()}


def scored(stages: Mapping[str, Tensor], logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Stages, logits, and their mean squared distance from a target."""
    return {**stages, "logits": logits, "loss": ((logits - target) ** 2).mean()}


def unit(c_in: int, c_out: int, k: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, norm, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, k, stride, k // 2, groups=groups, bias=False), norm(c_out), nn.ReLU6()
    )


def norm(width: int) -> nn.BatchNorm2d:
    """A norm with statistics as if it had been trained."""
    made = nn.BatchNorm2d(width)
    with torch.no_grad():
        for tensor, low, high in ((made.weight, 0.8, 1.2), (made.running_var, 0.5, 1.5)):
            tensor.uniform_(low, high)
        for tensor in (made.bias, made.running_mean):
            tensor.uniform_(-0.2, 0.2)
    return made
