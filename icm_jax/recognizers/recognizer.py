"""A frozen network with everything needed to use it."""

from dataclasses import dataclass, field
from typing import Any

import jax
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.errors import IcmError
from icm_jax.recognizers.preprocessing import Preprocessing


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Recognizer:
    """A network, its weights, what it wants of an image and what it gives.

    A pytree whose leaves are the weights: pass it to a jitted function as an argument, and the weights do not become
    constants of the program. Outputs that the function leaves unused are not computed.

    Attributes:
        taps: outputs that a loss on features compares.
        output: the output that is the network's answer; for detectors see `detection.inference.detect`.
    """

    params: Any
    name: str = field(metadata={"static": True})
    network: nn.Module = field(metadata={"static": True})
    preprocessing: Preprocessing = field(metadata={"static": True})
    taps: tuple[str, ...] = field(metadata={"static": True})
    output: str = field(metadata={"static": True})

    def outputs(self, images: Float[Array, "b h w 3"]) -> dict[str, Array]:
        """Everything the network gives for RGB images in 0..1, by name. Differentiable in the images."""
        out: dict[str, Array] = self.network.apply(
            {"params": self.params}, self.preprocessing.normalise(images)
        )
        return out

    def continued(self, tap: str, maps: Float[Array, "b h w c"]) -> dict[str, Array]:
        """What follows one of the network's taps, given maps of it in place of images, and the maps themselves.

        Raises:
            IcmError: the network can not go on from there.
        """
        starts: tuple[str, ...] = getattr(self.network, "starts", ())
        if tap not in starts:
            raise IcmError(
                f"{self.name} can not go on from {tap!r}; "
                + (f"choose one of {', '.join(starts)}" if starts else "take a ResNet, MobileNetV2 or R-CNN")
            )
        out: dict[str, Array] = self.network.apply({"params": self.params}, maps, start=tap)
        return out

    def features(self, images: Float[Array, "b h w 3"]) -> tuple[Array, ...]:
        """The taps, finest first."""
        outputs = self.outputs(images)
        return tuple(outputs[tap] for tap in self.taps)
