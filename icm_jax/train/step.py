"""One training step of a base codec: loss, gradients, both optimisers, averaged weights.

batch uint8 ─► [0, 1] ─► forward with noise ─► lmbda · 255² · MSE + bpp (+ auxiliary loss) ─► update
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float, UInt8

from icm_jax.models import rate_family
from icm_jax.models.registry import build
from icm_jax.models.tic import Latents
from icm_jax.train.config import TrainConfig
from icm_jax.train.state import TrainState

Metrics = dict[str, Array]
TrainStep = Callable[[TrainState, Array, Array], tuple[TrainState, Metrics]]


def rate_distortion(latents: Latents, x: Float[Array, "b h w 3"], lmbda: float | Array) -> Metrics:
    """loss = lmbda · 255² · mse + bpp; mse on the unclamped output, bpp over the pixels of x, both latents."""
    pixels = x.shape[0] * x.shape[1] * x.shape[2]
    bits = -jnp.log2(latents.y_likelihoods).sum() - jnp.log2(latents.z_likelihoods).sum()
    mse = jnp.mean((latents.x_hat - x) ** 2)
    return {"loss": lmbda * 255.0**2 * mse + bits / pixels, "mse": mse, "bpp": bits / pixels}


def make_train_step(config: TrainConfig, tx: optax.GradientTransformation) -> TrainStep:
    """A jitted `step(state, batch, key) -> (state, metrics)`; the state's buffers are donated.

    With several rates, step n trains rate order[n mod len(order)]: one λ a step, so kernels are folded once a batch.
    A step whose loss or gradient is not finite leaves the state as it was and reports `finite` = False.
    """
    model = build(config.model)
    lmbdas = jnp.array(config.rate.lmbda)
    order = jnp.array(config.rate.order or range(len(config.rate.lmbda)))
    rounded = config.rate.decoder == "rounded"

    def loss_fn(params: Any, x: Array, rate: Array, key: Array) -> tuple[Array, Metrics]:
        member = rate_family.fold(params, rate) if len(config.rate.lmbda) > 1 else params
        noise, drop_path = jax.random.split(key)
        rngs = {"noise": noise, "drop_path": drop_path}
        latents = model.apply({"params": member}, x, train=True, rounded=rounded, rngs=rngs)
        metrics = rate_distortion(latents, x, lmbdas[rate])
        metrics["aux_loss"] = model.apply({"params": member}, method="auxiliary_loss")
        return metrics["loss"] + metrics["aux_loss"], metrics

    def step(state: TrainState, batch: UInt8[Array, "b h w 3"], key: Array) -> tuple[TrainState, Metrics]:
        x = batch.astype(jnp.float32) / 255.0
        rate = order[state.step % len(order)]
        grads, metrics = jax.grad(loss_fn, has_aux=True)(
            state.params, x, rate, jax.random.fold_in(key, state.step)
        )
        metrics["grad_norm"] = optax.tree.norm(grads)
        metrics["finite"] = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["grad_norm"])
        metrics["rate"] = rate
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = jnp.minimum(config.optim.ema_decay, (1.0 + state.step) / (10.0 + state.step))
        average = jax.tree.map(lambda a, p: decay * a + (1.0 - decay) * p, state.average, params)
        new = TrainState(step=state.step + 1, params=params, average=average, opt_state=opt_state)
        kept = jax.tree.map(lambda a, b: jnp.where(metrics["finite"], a, b), new, state)
        return kept, metrics

    return jax.jit(step, donate_argnums=0)
