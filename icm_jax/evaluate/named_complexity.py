"""Complexity of what a name stands for: a codec with or without an adapter, a network for tasks, or its parts."""

from pathlib import Path
from typing import Any

from icm_jax import pretrained
from icm_jax.adapters import store as adapter_store
from icm_jax.adapters.registry import ADAPTERS
from icm_jax.evaluate.complexity import complexity, format_table
from icm_jax.evaluate.task_complexity import EVA02_NAMES, Part, dora_icm_parts, eva02_parts, format_parts
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.models.registry import MODELS, ModelSpec
from icm_jax.pretrained import store


def named_complexity(name: str, adapter_file: Path | None = None) -> tuple[dict[str, Any], str]:
    """A record for JSON, and the same as a table.

    Args:
        name: an included codec, a folder of one, a model or adapter of the registries, or an EVA-02.

    Raises:
        IcmError: no such codec or adapter, or one that can not be put on it.
    """
    if name in EVA02_NAMES:
        return _of_parts(name, eva02_parts(EVA02_NAMES[name]))
    adapter = adapter_store.load(adapter_file).codec_spec if adapter_file else None
    if name in ADAPTERS and adapter is None:
        spec, adapter = MODELS["tic"].spec(), ADAPTERS[name]()
    else:
        spec = _spec(name)
    if isinstance(spec, DoraICMSpec):
        return _of_parts(name, dora_icm_parts(spec))
    found = complexity(spec, adapter)
    return found._asdict(), format_table({name: found})


def _spec(name: str) -> ModelSpec:
    if name in MODELS and not Path(name).exists():
        spec: ModelSpec = MODELS[name].spec()
        return spec
    return store.load(name if Path(name).is_dir() else pretrained.folder(name, None)).spec


def _of_parts(name: str, parts: dict[str, Part]) -> tuple[dict[str, Any], str]:
    return {part: counts._asdict() for part, counts in parts.items()}, format_parts(name, parts)
