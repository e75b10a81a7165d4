"""Speed of a training step of TIC beside the same step in eager PyTorch, float32, on a CPU.

    python benchmarks/training_step.py [--threads N] [--default-malloc] [--small]

Forward, backward and Adam on one 256×256 crop with the full codec (N 128, M 192; `--small`: N 32, M 48). Ours is
the step of `icm_jax.train`, which also clips gradients, averages weights, trains the prior's quantiles and checks
that everything is finite; PyTorch's does the bare minimum. Needs the extra `parity`.
"""

from turns import compare, random_params, settle

OPTIONS = settle(__doc__)

import jax  # noqa: E402
import ml_collections  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from flax import traverse_util  # noqa: E402
from tic_torch import TIC as TorchTIC  # noqa: E402
from tic_torch import load  # noqa: E402

from icm_jax.models.registry import model_spec  # noqa: E402
from icm_jax.train.optimizer import optimizer  # noqa: E402
from icm_jax.train.registry import parse  # noqa: E402
from icm_jax.train.state import initial_state  # noqa: E402
from icm_jax.train.step import make_train_step  # noqa: E402

LMBDA = 0.0067


def main() -> None:
    """Prints times and ratio."""
    model = {"name": "tic"} | ({"N": 32, "M": 48} if OPTIONS.small else {})
    config, objective = parse(ml_collections.ConfigDict({"model": model, "rate": {"lmbda": (LMBDA,)}}))
    pixels = np.random.default_rng(1).integers(0, 256, (1, 256, 256, 3), np.uint8)
    batch = {"image": pixels, "id": np.zeros(1, np.int32)}
    spec = model_spec(model)
    flat = random_params(spec)

    tx = optimizer(config.optim)
    step, key = jax.jit(make_train_step(objective, config, tx), donate_argnums=0), jax.random.key(0)
    state = initial_state(jax.device_put(traverse_util.unflatten_dict(flat, sep="/")), {}, {}, tx)

    def ours() -> None:
        nonlocal state
        state, metrics = jax.block_until_ready(step(state, batch, key))
        assert metrics["finite"]

    opponent = TorchTIC(spec).train()
    opponent.to(memory_format=torch.channels_last)
    load(opponent, flat)
    adam = torch.optim.Adam(opponent.parameters(), config.optim.learning_rate)

    def theirs() -> None:
        adam.zero_grad()
        opponent.loss(torch.from_numpy(pixels).float() / 255, LMBDA).backward()
        adam.step()

    title = f"TIC training step, 256×256, batch 1, float32, {OPTIONS.threads} thread(s)"
    compare(title, {"icm_jax": ours, "pytorch": theirs}, 3 if OPTIONS.small else OPTIONS.rounds)


if __name__ == "__main__":
    main()
