"""How a step computes: number formats and recomputation, both chosen by path rules; and how hard it is compiled.

Layers multiply in the dtype of a 16-bit kernel, so a rule over parameter paths decides the arithmetic: kernels cast
to bfloat16 give bfloat16 products; norms, softmax and everything that touches a likelihood stay float32. The master
copy of every parameter, and the optimiser, are float32 whatever the rules say.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import jax
from flax import linen as nn

from icm_jax import paths


def cast(params: Mapping[str, Any], rules: Sequence[paths.Rule[str]]) -> Mapping[str, Any]:
    """Parameters in the dtypes that the rules name; the others as they are.

    Raises:
        IcmError: a rule that decides no parameter.
    """
    if not rules:
        return params
    dtypes = paths.flatten(paths.assign(params, rules, "", "compute.dtypes"))
    leaves = paths.flatten(params)
    return paths.unflatten(
        {path: leaf.astype(dtypes[path]) if dtypes[path] else leaf for path, leaf in leaves.items()}
    )


def rematerialised(patterns: Sequence[str]) -> AbstractContextManager[Any]:
    """Inside it, methods of Flax modules whose path fits a pattern keep only their input for the gradient.

    What they compute in between is computed a second time on the way back: memory for time. A module inside one
    that fits is left to it.
    """
    if not patterns:
        return nullcontext()
    regexes = [re.compile(pattern) for pattern in patterns]
    inside: list[str] = []

    def intercept(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        path = "/".join(context.module.path)
        fits = context.method_name != "setup" and any(regex.fullmatch(path) for regex in regexes)
        if not fits or inside:
            return call(*args, **kwargs)
        arrays = [i for i, arg in enumerate(args) if isinstance(arg, jax.Array)]

        def run(module: nn.Module, *values: Any) -> Any:
            full = list(args)
            for i, value in zip(arrays, values, strict=True):
                full[i] = value
            return getattr(module, context.method_name)(*full, **kwargs)

        inside.append(path)  # the call below comes back through here
        try:
            return nn.remat(run)(context.module, *(args[i] for i in arrays))
        finally:
            inside.pop()

    return nn.intercept_methods(intercept)


def compiler_options(patterns: Sequence[str]) -> dict[str, str] | None:
    """What XLA is told about a step that computes again what fits the patterns; None for its defaults.

    By default it orders a program of a processor so that threads have much to do at once: what is computed again
    starts early and lies beside all else, as if it had been kept.
    """
    if not patterns or jax.default_backend() != "cpu":
        return None
    return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}


def matmul_precision(name: str) -> AbstractContextManager[Any]:
    """float32 products in this precision ("tensorfloat32", "float32"); "" leaves the backend's default."""
    return jax.default_matmul_precision(name) if name else nullcontext()


@contextmanager
def compilation(quick: bool) -> Iterator[None]:
    """Inside it, if `quick`, XLA leaves out most optimisations: programs start sooner and run slower."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", before or quick)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
