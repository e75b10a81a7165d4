"""An objective of two small dense layers, for tests of the engine alone; run as a script it is a whole training run.

python tests/train/toy.py --config=tests/train/toy_config.py --workdir=W
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from icm_jax.train import registry
from icm_jax.train.objective import Loss, Objective, Pictures, Share

FEATURES = 16


@dataclass(frozen=True)
class ToyConfig:
    """Rows a batch, width of the hidden layer, noise on the input, batches that hold a NaN, seconds a batch takes,
    whether there is a held-out set."""

    batch_size: int = 8
    width: int = 64
    noise: float = 0.01
    poison: tuple[int, ...] = ()
    seconds: float = 0.0
    validated: bool = True


def toy(run: Any, toy: ToyConfig) -> Objective:
    """Learns the cosine of a fixed projection, with noise a row on the input."""

    def initial_params(key: jax.Array) -> dict[str, Any]:
        a, b = jax.random.split(key)
        return {
            "first": {
                "kernel": 0.3 * jax.random.normal(a, (FEATURES, toy.width)),
                "bias": jnp.zeros(toy.width),
            },
            "second": {"kernel": 0.1 * jax.random.normal(b, (toy.width, 4)), "bias": jnp.zeros(4)},
        }

    def loss(params: Any, batch: Any, step: Any, key: Any) -> Loss:
        x = batch["x"] + toy.noise * jax.random.normal(key, batch["x"].shape)
        h = jnp.tanh(
            x.astype(params["first"]["kernel"].dtype) @ params["first"]["kernel"] + params["first"]["bias"]
        )
        out = h @ params["second"]["kernel"] + params["second"]["bias"]
        error = jnp.mean((out.astype(jnp.float32) - jnp.cos(batch["x"][:, :4])) ** 2)
        return Loss(error, {"error": error})

    def batches(seed: int, share: Share, first: int) -> Iterator[dict[str, np.ndarray]]:
        import time

        rows = toy.batch_size // share.count
        for number in range(first, 10**9):
            time.sleep(toy.seconds)
            x = (
                np.random.default_rng((seed, number))
                .normal(size=(toy.batch_size, FEATURES))
                .astype(np.float32)
            )
            if number in toy.poison:
                x[:] = np.nan
            ids = np.arange(toy.batch_size, dtype=np.int32) + number * toy.batch_size
            mine = slice(share.index * rows, (share.index + 1) * rows)
            yield {"x": x[mine], "id": ids[mine]}

    def export(params: Any, facts: Any, folder: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "params.npz", **{jax.tree_util.keystr(p): v for p, v in leaves(params)})
        return [folder / "params.npz"]

    def validate(params: Any) -> dict[str, float]:
        # Falls, then rises: the best checkpoint is not the last.
        return {"size": float(jnp.abs(jnp.abs(params["second"]["bias"]).sum() - 0.05))}

    show = Pictures({"grey": np.full((4, 4, 3), 0.5, np.float32)}, {"weights": np.arange(5.0)})
    return Objective(
        initial_params,
        loss,
        batches,
        toy.batch_size,
        export,
        validate=validate if toy.validated else None,
        show=lambda params: show,
    )


def leaves(tree: Any) -> list[tuple[Any, np.ndarray]]:
    return [(path, np.asarray(leaf)) for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]]


registry.OBJECTIVES["toy"] = registry.Entry({"toy": ToyConfig}, toy)


def toy_config(**sections: Any) -> ml_collections.ConfigDict:
    """A config of 20 steps with the given sections merged in."""
    config = registry.default_config("toy")
    config.update(seed=1, optim={"total_steps": 20, "learning_rate": 0.01, "ema_decay": 0.9})
    config.update(checkpoint={"every_steps": 5}, log={"every_steps": 5})
    with config.ignore_type(), config.unlocked():
        config.update(**sections)
    return config


if __name__ == "__main__":
    from icm_jax import main

    sys.argv[0] = "toy"
    main.run()
