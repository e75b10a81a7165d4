"""The training loop of every objective.

    config ─► objective, mesh, parameters, optimiser ─► (resume) ─► steps ─► export ─► evaluation through real files

Running the same command again continues a run; a finished run is exported and evaluated again.
"""

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import jax
import ml_collections
from jax.sharding import Mesh

from icm_jax import paths
from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError
from icm_jax.evaluate.macs import count_in_jaxpr
from icm_jax.train.checkpoint import Checkpoints, restore_base, save_base
from icm_jax.train.compute import compilation, compiler_options, matmul_precision
from icm_jax.train.config import RunConfig
from icm_jax.train.distributed import is_main, meet
from icm_jax.train.log import RunLog, scalars
from icm_jax.train.mesh import (
    batch_sharding,
    bytes_per_device,
    make_mesh,
    param_shardings,
    replicated,
    tree_shardings,
)
from icm_jax.train.not_finite import NotFinite
from icm_jax.train.objective import Objective, Share
from icm_jax.train.optimizer import optimizer
from icm_jax.train.overview import overview
from icm_jax.train.preemption import Preempted, PreemptionWatch
from icm_jax.train.profile import Trace
from icm_jax.train.registry import parse
from icm_jax.train.runs import read_run
from icm_jax.train.speed import Speed
from icm_jax.train.state import TrainState, initial_state
from icm_jax.train.step import make_train_step
from icm_jax.train.workdir import remember_config


def train(raw_config: ml_collections.ConfigDict, workdir: str | Path) -> TrainState:
    """Runs a config in `workdir` to its end: trains, exports, evaluates.

    Raises:
        IcmError: an impossible config, another run's workdir, a loss that is not finite, a full disk.
        Preempted: SIGTERM arrived; the state is saved.
    """
    # --- Config ----------------------------------------------------------------------------------------------------
    workdir = Path(workdir)
    config, objective = parse(raw_config)
    mesh = make_mesh(config.mesh)
    check_batch(objective.batch_size, config.optim.accumulate)
    check_validation(objective, config)
    share = Share(jax.process_index(), jax.process_count())
    objective.batches(config.seed, share, 0)  # data that is not there is named before minutes of compilation
    if is_main():
        remember_config(raw_config, workdir)

    with compilation(config.compute.quick_compile):
        return _run(config, objective, mesh, share, workdir)


def _run(config: RunConfig, objective: Objective, mesh: Mesh, share: Share, workdir: Path) -> TrainState:
    # --- Parameters, optimiser, and where they live ----------------------------------------------------------------
    key = jax.jit(lambda: jax.random.key(config.seed), out_shardings=replicated(mesh))()
    tx = optimizer(config.optim)
    state, shardings = place_state(objective, config, tx, mesh)
    meet("parameters drawn")
    speed = Speed(objective.batch_size)
    with (
        closing(RunLog(workdir, config.optim.total_steps, speed)) as log,
        closing(Checkpoints(workdir, config.checkpoint)) as checkpoints,
        matmul_precision(config.compute.matmul),
    ):
        log.say(overview(state.params, state.frozen))
        log.say(
            f"{mesh.size} device(s), {jax.process_count()} process(es), {bytes_per_device(state):,} bytes a device"
        )

        # --- Resume ------------------------------------------------------------------------------------------------
        next_batch = 0
        if (restored := checkpoints.restore(state, key)) is not None:
            state, key, next_batch = restored
            log.say(f"continuing from step {int(state.step)}")
        if (base := restore_base(workdir, state.frozen)) is not None:
            state = state.replace(frozen=base)
        save_base(workdir, state.frozen)

        # --- Steps -------------------------------------------------------------------------------------------------
        step_fn = None
        first = step = int(state.step)
        batches = objective.batches(config.seed, share, next_batch)
        to_devices = partial(jax.make_array_from_process_local_data, batch_sharding(mesh))
        guard = NotFinite(workdir, config.optim.skip_not_finite)
        with PreemptionWatch() as preemption, Trace(config.log.profile, workdir / "profile") as trace:
            while step < config.optim.total_steps:
                batch = jax.tree.map(to_devices, next(batches))
                if step_fn is None:
                    step_fn, speed.step_flops = compile_step(
                        objective, config, tx, shardings, (state, batch, key)
                    )
                    meet("step compiled")
                with trace.step(step):
                    state, metrics = step_fn(state, batch, key)
                step += 1
                guard.check(step, metrics, batch)
                if step == first + 1:
                    jax.block_until_ready(state)
                    speed.start(step)
                if step % config.log.every_steps == 0:
                    log.numbers(step, scalars(metrics))
                due = step % config.checkpoint.every_steps == 0 or step == config.optim.total_steps
                stop = preemption.reached(step)
                validation = None
                if due or (config.log.validate_steps and step % config.log.validate_steps == 0):
                    validation = validate(objective, config, state, step, log)
                if due or stop:
                    guard.flush()
                    checkpoints.save(step, state, key, validation)
                if stop:
                    checkpoints.wait()
                    raise Preempted(step)
        guard.flush()
        checkpoints.wait()

        # --- Export, evaluation ------------------------------------------------------------------------------------
        finish(objective, config, state, workdir)
    return state


def check_batch(batch_size: int, accumulate: int) -> None:
    """Raises IcmError for a batch that can not be spread over processes, devices and accumulated parts."""
    pieces = jax.device_count() * accumulate
    if batch_size % pieces:
        nearest = max(pieces, batch_size // pieces * pieces)
        raise IcmError(
            f"data.batch_size={batch_size} can not be divided over {jax.device_count()} device(s) × "
            f"optim.accumulate={accumulate}; take a multiple of {pieces}, such as {nearest}"
        )


def check_validation(objective: Objective, config: RunConfig) -> None:
    """Raises IcmError for settings about a held-out set where the objective has none."""
    settings = {"checkpoint.best": config.checkpoint.best, "log.validate_steps": config.log.validate_steps}
    for key, value in settings.items():
        if value and objective.validate is None:
            raise IcmError(
                f"{key}={value!r} is not used: this config validates nothing; name a held-out set if the objective "
                f"takes one (eval.folder), or leave {key} out"
            )


def place_state(objective: Objective, config: RunConfig, tx: Any, mesh: Any) -> tuple[TrainState, TrainState]:
    """The state before the first step, every array made where it will live, and the tree of those places."""
    everything = objective.initial_params(
        jax.random.key(config.seed, impl="rbg")
    )  # rbg compiles three times as fast
    places = param_shardings(everything, mesh, config.mesh)
    statistics, rest = paths.select(everything, objective.statistics, "statistics")
    params, frozen = paths.select(rest, config.trainable or objective.trainable, "trainable")
    abstract = jax.eval_shape(partial(initial_state, tx=tx), params, frozen, statistics)
    shardings = tree_shardings(abstract, places, mesh)
    state = jax.jit(partial(initial_state, tx=tx), out_shardings=shardings)(params, frozen, statistics)
    return state, shardings


def compile_step(
    objective: Objective, config: RunConfig, tx: Any, shardings: TrainState, arguments: tuple[Any, ...]
) -> Any:
    """The compiled step, and its floating-point operations: two a multiply–accumulate of products and convolutions."""
    mesh = jax.tree.leaves(shardings)[0].mesh
    jitted = jax.jit(
        make_train_step(objective, config, tx),
        in_shardings=(shardings, batch_sharding(mesh), replicated(mesh)),
        out_shardings=(shardings, replicated(mesh)),
        donate_argnums=0,
    )
    traced = jitted.trace(*arguments)
    compiled = traced.lower().compile(compiler_options(config.compute.remat))
    return compiled, 2.0 * count_in_jaxpr(traced.jaxpr.jaxpr)


def validate(
    objective: Objective, config: RunConfig, state: TrainState, step: int, log: RunLog
) -> dict[str, float] | None:
    """Numbers of the held-out set, logged with pictures; None when the objective has none."""
    if objective.validate is None:
        return None
    params = evaluated_params(config, state)
    values = objective.validate(params)
    log.validation(step, values, objective.show(params) if objective.show is not None and is_main() else None)
    if config.checkpoint.best and config.checkpoint.best not in values:
        raise IcmError(
            f"checkpoint.best={config.checkpoint.best!r} is not measured; choose one of {', '.join(values)}"
        )
    return values


def evaluated_params(config: RunConfig, state: TrainState) -> Any:
    """What is evaluated and exported, whole on every process: the average when one is kept, and the frozen rest."""
    trained = state.average if config.optim.ema_decay else state.params
    params = paths.merge(trained, state.frozen, state.statistics)
    if jax.process_count() == 1:
        return params
    mesh = jax.tree.leaves(params)[0].sharding.mesh
    return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(params)


def finish(objective: Objective, config: RunConfig, state: TrainState, workdir: Path) -> None:
    """Exports and evaluates on the main process."""
    params = evaluated_params(config, state)
    if not is_main():
        return
    logged = read_run(workdir)
    facts = {
        "optimizer": config.optim.optimizer,
        "steps": int(state.step),
        "started_from_weights": bool(config.init_from),
        "metrics": {"train": logged.train, "validation": logged.validation},
    }
    exported = objective.export(jax.device_get(params), facts, workdir / "codecs")
    if objective.evaluate is not None:
        objective.evaluate(exported, workdir / "results")
    write_bytes(workdir / "finished", f"{int(state.step)}\n".encode())
