"""A converted codec as the golden checks see it: compiled methods, activations by the reference's names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jax import Array
from numpy.typing import ArrayLike

from icm_jax.models.tic import TIC
from icm_jax.models.tic_original import TICOriginal


@dataclass(frozen=True)
class Codec:
    """A TIC with the reference's weights; `state` holds its collections other than the parameters."""

    model: TIC | TICOriginal
    params: dict[str, Any]
    state: dict[str, Any] = field(default_factory=dict)

    def run(self, method: str, *args: Any) -> Any:
        """One of the model's methods."""
        return _apply(self.model, method, (), self._variables(), *args)[0]

    def run_and_capture(
        self, method: str, modules: tuple[str, ...], *args: Any
    ) -> tuple[Any, dict[str, Array]]:
        """The same, with the outputs of modules by path (`g_a/stb1`)."""
        out, captured = _apply(self.model, method, modules, self._variables(), *args)
        return out, captured

    def _variables(self) -> dict[str, Any]:
        return {"params": self.params, **self.state}

    def module_path(self, name: str) -> str | None:
        """Path of the module the reference calls `name`: g_a3 -> g_a/stb3; None if there is none."""
        transform, index = name[:3], name[3:]
        children = self.params.get(transform, {}) if index.isdigit() else {}
        return next((f"{transform}/{c}" for c in children if re.fullmatch(rf"[a-z]+{index}", c)), None)

    def medians(self) -> np.ndarray:
        """What z is rounded around, [n]."""
        return np.asarray(self.params["z_prior"]["quantiles"])[:, 0, 1]


@partial(jax.jit, static_argnums=(0, 1, 2))
def _apply(
    model: TIC | TICOriginal, method: str, modules: tuple[str, ...], variables: Mapping[str, Any], *args: Any
) -> tuple[Any, dict[str, Array]]:
    out, state = model.apply(
        variables,
        *args,
        method=method,
        mutable=["intermediates"],
        capture_intermediates=lambda module, name: name == "__call__" and "/".join(module.path) in modules,
    )
    captured = traverse_util.flatten_dict(state.get("intermediates", {}), sep="/")
    return out, {path.removesuffix("/__call__"): outputs[0] for path, outputs in captured.items()}


def bits(likelihoods: ArrayLike) -> float:
    """-Σ log2 of the likelihoods, summed in float64."""
    return float(-np.log2(np.asarray(likelihoods, np.float64)).sum())
