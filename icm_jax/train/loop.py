"""The training loop of a base codec.

    config ─► data, model, optimiser ─► (resume) ─► steps ─► export ─► evaluation through real files

Running the same command again continues a run; a finished run is exported and evaluated again.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from icm_jax.data.crops import crop_batches
from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError
from icm_jax.models import rate_family
from icm_jax.models.widen import widen
from icm_jax.pretrained import store
from icm_jax.train.checkpoint import Checkpoints, averaged_params
from icm_jax.train.config import TrainConfig, parse
from icm_jax.train.evaluation import evaluate
from icm_jax.train.export import export
from icm_jax.train.optimizer import optimizer
from icm_jax.train.progress import Progress
from icm_jax.train.state import TrainState, initial_params, initial_state
from icm_jax.train.step import Metrics, make_train_step


def train(raw_config: ml_collections.ConfigDict, workdir: str | Path) -> TrainState:
    """Runs a config in `workdir` to its end: trains, exports a codec a rate, evaluates.

    Raises:
        IcmError: an impossible config, another run's workdir, a loss that is not finite.
    """
    # --- Config -------------------------------------------------------------------------------------------------
    config, workdir = parse(raw_config), Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    _remember_config(raw_config, workdir)

    # --- Data, parameters, optimiser ----------------------------------------------------------------------------
    batches = crop_batches(
        config.data.folder, config.data.crop, config.data.batch_size, config.seed, config.data.threads
    )
    key = jax.random.key(config.seed, impl="rbg")  # threefry takes three times as long to compile
    tx = optimizer(config.optim)
    params = initial_params(config, key)
    if config.init_from:
        params = _read_params(Path(config.init_from), config, params)
    state = initial_state(params, tx)
    print(f"{_count(params):,} parameters, {len(config.rate.lmbda)} rate(s), {jax.device_count()} device(s)")

    # --- Resume -------------------------------------------------------------------------------------------------
    checkpoints = Checkpoints(workdir, config.checkpoint)
    if checkpoints.latest() is not None:
        state, data_state = checkpoints.restore(state)
        batches.set_state(data_state)
        print(f"continuing from step {int(state.step)}")

    # --- Steps --------------------------------------------------------------------------------------------------
    step_fn = make_train_step(config, tx)
    progress = Progress(workdir, config.optim.total_steps, config.data.batch_size)
    first = step = int(state.step)
    pending: Metrics | None = None
    while step < config.optim.total_steps:
        batch = next(batches)
        state, metrics = step_fn(state, batch, key)
        step += 1
        if pending is not None:  # the previous step's, so that the device never waits for this check
            _stop_if_not_finite(pending, step - 1, workdir)
        pending = metrics
        if step == first + 1:
            jax.block_until_ready(state)
            progress.start(step)
        if step % config.log.every_steps == 0:
            progress.report(step, _scalars(metrics))
        if step % config.checkpoint.every_steps == 0 or step == config.optim.total_steps:
            _stop_if_not_finite(metrics, step, workdir)
            checkpoints.save(step, state, batches.get_state())
    progress.close()
    checkpoints.close()

    # --- Export, evaluation -------------------------------------------------------------------------------------
    averaged = state.average if config.optim.ema_decay else state.params
    folders = export(config, averaged, step, workdir / "codecs")
    if config.eval.folder:
        evaluate(folders, config.eval, workdir / "results")
    return state


def _remember_config(raw_config: ml_collections.ConfigDict, workdir: Path) -> None:
    text = json.dumps(raw_config.to_dict(), indent=2, sort_keys=True, default=list) + "\n"
    path = workdir / "config.json"
    if path.exists():
        before, now = _flat(json.loads(path.read_text())), _flat(json.loads(text))
        keys = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
        # A longer run, other logging or another evaluation continue the same training.
        fixed = [
            key
            for key in keys
            if key.split(".")[0] not in ("eval", "log", "checkpoint") and key != "optim.total_steps"
        ]
        if fixed:
            changes = ", ".join(f"{key}: {before.get(key)} -> {now.get(key)}" for key in fixed[:10])
            raise IcmError(f"{workdir} belongs to another config ({changes}); use another --workdir")
    write_bytes(path, text.encode())


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _read_params(source: Path, config: TrainConfig, fresh: Any) -> Any:
    """Parameters to start from: a codec folder's, or the averaged ones of another run; narrower ones are widened."""
    if (source / "codec.json").exists():
        rates = len(config.rate.lmbda)
        trained = store.load(source).params
        trained = trained if rates == 1 else rate_family.expand(trained, rates)
    else:
        trained = averaged_params(source)
    return widen(trained, fresh)


def _scalars(metrics: Metrics) -> dict[str, float]:
    values = {name: float(value) for name, value in metrics.items() if name not in ("finite", "rate")}
    return values | {"psnr": float(-10 * np.log10(max(values["mse"], 1e-12)))}


def _stop_if_not_finite(metrics: Metrics, step: int, workdir: Path) -> None:
    if bool(metrics["finite"]):
        return
    dump = {name: float(jnp.asarray(value)) for name, value in metrics.items()} | {"step": step}
    write_bytes(workdir / "not_finite.json", (json.dumps(dump, indent=2) + "\n").encode())
    raise IcmError(
        f"loss or gradient is not finite at step {step} (see {workdir / 'not_finite.json'}); the last checkpoint is "
        "good: lower optim.learning_rate and continue"
    )


def _count(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))
