"""A frozen TIC and what is trained on it: an adapter, or without one the codec itself."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from icm_jax import paths
from icm_jax.adapters import all_in_one
from icm_jax.adapters import store as adapter_store
from icm_jax.adapters.all_in_one import AllInOneSpec
from icm_jax.adapters.registry import adapted, adapter_spec, adapter_values, initial_variables
from icm_jax.codec import Codec
from icm_jax.errors import IcmError
from icm_jax.models.hooks import AdapterSpec
from icm_jax.models.latent_codec import Latents
from icm_jax.models.registry import build, model_name
from icm_jax.models.tic import TIC, TICSpec
from icm_jax.pretrained import store
from icm_jax.train.export import make_codec
from icm_jax.train.objective import Params


def read_adapter(values: Mapping[str, Any]) -> AdapterSpec | None:
    """The section `adapter`: a name and its fields; an empty one trains the codec itself.

    Raises:
        IcmError: several adapters, an unknown one, or an impossible field.
    """
    name = values.get("name")
    if isinstance(name, (list, tuple)):
        raise IcmError(
            f"adapter.name={tuple(name)} names {len(name)} adapters, a run trains one; start a run for each"
        )
    return adapter_spec(values) if values else None


@dataclass(frozen=True)
class Steered:
    """Parameters stand under "base" and "adapter" in the tree of an objective.

    Attributes:
        base: the frozen codec as it is stored.
        spec: its architecture in training: stochastic depth on, as published, or off.
        adapter: what steers it; None trains the codec itself.
        model: the codec with the adapter's hooks.
        start: {path: variable} that the adapter starts from; others are drawn.
    """

    base: store.StoredCodec
    spec: TICSpec
    adapter: AdapterSpec | None
    model: TIC
    start: Mapping[str, Any] = field(default_factory=dict)

    def fresh(self, key: Array) -> dict[str, Any]:
        """Parameters of the base as they are stored, and of a new adapter, or of the one to start from."""
        tree: dict[str, Any] = {"base": jax.tree.map(jnp.asarray, dict(self.base.params))}
        if self.adapter is not None:
            drawn = paths.flatten(initial_variables(self.adapter, self.spec, key))
            known = {path: jnp.asarray(leaf) for path, leaf in self.start.items()}
            tree["adapter"] = paths.unflatten(drawn | known)
        return tree

    @property
    def trainable(self) -> tuple[str, ...]:
        """Patterns: the adapter, or the whole codec but for its prior's quantiles, which are solved for at export."""
        return ("base/(?!.*quantiles).*",) if self.adapter is None else ("adapter/params/.*",)

    @property
    def statistics(self) -> tuple[str, ...]:
        """Patterns of the adapter's running statistics; none where it has none."""
        if self.adapter is None:
            return ()
        kinds = jax.eval_shape(partial(initial_variables, self.adapter, self.spec), jax.random.key(0))
        return ("adapter/batch_stats/.*",) if "batch_stats" in kinds else ()

    def latents(
        self, params: Params, x: Array, key: Array, rounded: bool = False
    ) -> tuple[Latents, dict[str, Any]]:
        """Latents and pictures in training, and what the adapter's statistics became.

        With `rounded` the decoder sees rounded latents, with a straight-through gradient; the rate never does.
        """
        latents, changed = self.model.apply(
            adapted(params["base"], params.get("adapter", {})),
            x,
            train=True,
            rounded=rounded,
            rngs=dict(zip(("noise", "drop_path", "gate"), jax.random.split(key, 3), strict=True)),
            mutable=["batch_stats"],
        )
        return latents, {"adapter": {"batch_stats": changed["batch_stats"]["adapter"]}} if changed else {}

    def decoded(self, params: Params, x: Array) -> Latents:
        """The same of rounded latents, as files give them."""
        return self.model.apply(adapted(params["base"], params.get("adapter", {})), x)

    def export(
        self,
        name: str,
        task: str,
        params: Params,
        facts: Mapping[str, Any],
        folder: Path,
        extends: tuple[str, ...] = (),
    ) -> list[Path]:
        """The adapter's file, or the folder of the trained codec."""
        base = self.base
        if self.adapter is None:
            codec = make_codec(name, base.quality, base.lmbda, base.spec, params["base"], facts)
            store.save(codec, folder / f"q{base.quality}")
            return [folder / f"q{base.quality}"]
        made = adapter_store.make_adapter(
            name, task, self.adapter, params["adapter"], base, {"training": facts}, extends
        )
        adapter_store.save(made, folder / f"{name}.safetensors")
        return [folder / f"{name}.safetensors"]


def steered(
    section: str, base: str, quality: int, adapter: AdapterSpec | None, drop_path: bool, init_from: str = ""
) -> Steered:
    """A stored codec, by folder or name and quality, with an adapter on it, new or from a file.

    Raises:
        IcmError: no such codec, or none that adapters fit, named as the key `base` of the config's `section`; or the
            adapter file `init_from` is of another kind or size.
    """
    stored = Codec.load(base, None if Path(base).is_dir() else quality).stored
    if not isinstance(stored.spec, TICSpec):
        raise IcmError(
            f"{section}.base={base} is a {model_name(stored.spec)!r}; only 'tic' codecs can be steered"
        )
    spec = stored.spec if drop_path else dataclasses.replace(stored.spec, drop_path=0.0)
    start = _start(init_from, adapter, stored.spec) if adapter is not None and init_from else {}
    return Steered(stored, spec, adapter, build(spec, adapter), start)


def _start(file: str, adapter: AdapterSpec, base: TICSpec) -> Mapping[str, Any]:
    """{path: variable} of an adapter file, which may be of another rate of the codec, or of another task."""
    found = adapter_store.load(file)
    several = adapter if isinstance(adapter, AllInOneSpec) else None
    if several and not all_in_one.takes_sfmas(several, found.spec):
        several = None
    if several is None and found.spec != adapter:
        raise IcmError(
            f"init_from={file} holds an adapter {adapter_values(found.spec)}, the config asks for "
            f"{adapter_values(adapter)}; make the section adapter the same, or leave init_from out"
        )
    known = all_in_one.from_sfmas(several, found.variables) if several else paths.flatten(found.variables)
    wanted = paths.flatten(jax.eval_shape(partial(initial_variables, adapter, base), jax.random.key(0)))
    part = {path: leaf for path, leaf in wanted.items() if path in known} if several else wanted
    if jax.tree.map(jnp.shape, known) != jax.tree.map(jnp.shape, part):
        raise IcmError(
            f"init_from={file} was made for {found.base_name}, whose layers have other sizes than this base's; "
            "name an adapter of a base of this size, or leave init_from out"
        )
    return known
