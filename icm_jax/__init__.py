"""icm-jax: image coding for machines in JAX and Flax."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Codec", "__version__"]

if TYPE_CHECKING:
    from icm_jax.codec import Codec


def __getattr__(name: str) -> Any:
    # Importing JAX takes a second: `icm --help` and the stream tools do without it.
    if name == "Codec":
        from icm_jax.codec import Codec

        return Codec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
