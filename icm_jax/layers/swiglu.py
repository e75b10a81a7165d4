"""The gated MLP of EVA-02 (Shazeer, 2020), optionally with a norm inside (sub-LN)."""

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.dense import Dense, Initializer, dense_init

LAYER_NORM_EPSILON = 1e-6


def layer_norm(x: Float[Array, "*b c"], name: str) -> Float[Array, "*b c"]:
    """Layer norm with EVA-02's epsilon, in x's precision; mean and variance are float32 in any case."""
    return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, dtype=x.dtype, name=name)(x)


class SwiGLU(nn.Module):
    """fc2(norm(silu(fc1_g(x)) · fc1_x(x))); hidden is 8/3 of the width, rounded down."""

    sub_ln: bool
    output_init: Initializer = dense_init

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        width = x.shape[-1]
        hidden = width * 8 // 3
        h = nn.silu(Dense(hidden, name="fc1_g")(x)) * Dense(hidden, name="fc1_x")(x)
        if self.sub_ln:
            h = layer_norm(h, "norm")
        return Dense(width, kernel_init=self.output_init, name="fc2")(h)
