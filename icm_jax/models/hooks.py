"""Where an adapter reaches into a TIC: around its transforms, and at named places inside them.

    x ─► adapter.analyse(g_a, …) ─► y ─► adapter.hyper_analyse(h_a, …) ─► z
    y_hat ─► adapter.synthesise(g_s, …) ─► x_hat

An adapter calls the frozen transform it is given with `Hooks`, and may change what goes in and what comes out. h_s
and the priors have no hooks: an adapted stream is read with the tables of the base.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.prompts import StackPrompts


def _unchanged(name: str, x: Array) -> Array:
    return x


class Hooks(NamedTuple):
    """What happens inside a transform; nothing by default.

    Attributes:
        prompts: prompts of a stack by its name in the parameter tree, such as "stb1"; Swin stacks only.
        after: (module's name, its output) -> what the next module gets; called after every convolution and stack.
    """

    prompts: Mapping[str, StackPrompts] = {}
    after: Callable[[str, Array], Array] = _unchanged

    def through_stack(self, name: str, stack: nn.Module, x: Array, train: bool) -> Array:
        """Runs a stack with its prompts."""
        prompted = {"prompts": self.prompts[name]} if name in self.prompts else {}
        return self.after(name, stack(x, train, **prompted))


NO_HOOKS = Hooks()


class Transform(Protocol):
    """g_a, h_a or g_s."""

    def __call__(self, x: Array, train: bool = False, hooks: Hooks = NO_HOOKS) -> Array:
        """Runs it."""


class Adapter(nn.Module):
    """The adapter that does nothing. Submodules of the others are called g_a, h_a or g_s by what they belong to."""

    def analyse(self, g_a: Transform, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b hy wy m"]:
        """x -> y. Channels of x after the third are the adapter's own inputs."""
        return g_a(x, train)

    def hyper_analyse(
        self, h_a: Transform, y: Float[Array, "b hy wy m"], train: bool
    ) -> Float[Array, "b hz wz n"]:
        """y -> z."""
        return h_a(y, train)

    def synthesise(
        self, g_s: Transform, y_hat: Float[Array, "b hy wy m"], train: bool
    ) -> Float[Array, "b h w d"]:
        """y_hat -> pictures (three channels each, not clamped), or features of a recognition network."""
        return g_s(y_hat, train)


class AdapterSpec(Protocol):
    """Everything that fixes an adapter's architecture; its implementations are in `icm_jax.adapters`."""

    @property
    def input_channels(self) -> int:
        """Channels of x: 3, and one a map that the encoder gets beside the image."""

    @property
    def pictures(self) -> tuple[str, ...]:
        """Names of the decoded pictures, the one for all purposes first; none: features are decoded instead."""

    def __hash__(self) -> int:
        """Specifications are frozen; programs are kept by them."""

    def build(self, base: Any) -> Adapter:
        """The Flax module for a base of this specification.

        Raises:
            IcmError: the adapter can not be put on this base.
        """
