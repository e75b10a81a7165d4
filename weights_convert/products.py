"""What is written beside converted weights: the codec folder or the adapter file that a codec is used with.

codec       codec/                      tables cut from its weights, float16
zoo codec   codec/                      tables and weights as published, float32
adapter     base/  NAME.safetensors     the codec it was trained on, and the adapter bound to it
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from icm_jax.adapters import store as adapter_store
from icm_jax.adapters.prompts import PromptSpec
from icm_jax.pretrained.store import StoredCodec
from icm_jax.pretrained.store import save as save_codec
from icm_jax.train.export import make_codec
from weights_convert.adapted import Adapted
from weights_convert.compressai import stored_codec
from weights_convert.converted import Converted
from weights_convert.sources import ADAPTER, CODEC, ZOO_CODEC

Record = dict[str, Any]


class Label(NamedTuple):
    """What weights do not say about a codec.

    Attributes:
        name: what streams carry; the source's name if empty.
        quality, lmbda: place on the ladder of rates, and the weight of the distortion in training.
        task: what an adapter was trained for.
        encoder_prompts: instance prompts of a window, which strides decide; 0: as many as the decoder's tokens.
    """

    name: str = ""
    quality: int = 1
    lmbda: float = 0.0
    task: str = ""
    encoder_prompts: int = 0


def write_product(converted: Converted, label: Label, folder: Path) -> Record:
    """Writes what the weights make into `folder`; returns its files and hashes for the manifest.

    Raises:
        IcmError: a name that streams can not carry, or weights beyond the precision of a codec folder.
    """
    writer = WRITERS.get(converted.source.makes)
    return {} if writer is None else writer(converted, label, folder)


def _write_codec(converted: Converted, label: Label, folder: Path) -> Record:
    codec = _codec(converted, label.name, label, converted.network, converted.params)
    save_codec(codec, folder / "codec")
    return {"codec": "codec", "codec_hash": codec.hash}


def _write_zoo_codec(converted: Converted, label: Label, folder: Path) -> Record:
    model = converted.manifest["source"]
    codec = stored_codec(
        converted.published, model, label.name or model, label.quality, label.lmbda, _origin(converted)
    )
    save_codec(codec, folder / "codec")
    return {"codec": "codec", "codec_hash": codec.hash}


def _write_adapter(converted: Converted, label: Label, folder: Path) -> Record:
    base_spec, spec = converted.network
    assert isinstance(converted.network, Adapted)
    if label.encoder_prompts and isinstance(spec, PromptSpec):
        spec = dataclasses.replace(spec, encoder_prompts=label.encoder_prompts)
    base = _codec(converted, "tic", label, base_spec, converted.params["base"])
    save_codec(base, folder / "base")
    name = label.name or converted.manifest["source"]
    made = adapter_store.make_adapter(name, label.task, spec, converted.params["adapter"], base)
    adapter_store.save(made, folder / f"{name}.safetensors")
    return {
        "base": "base",
        "base_hash": base.hash,
        "adapter": f"{name}.safetensors",
        "adapter_hash": made.hash,
    }


def _codec(converted: Converted, name: str, label: Label, spec: Any, params: Record) -> StoredCodec:
    name = name or converted.manifest["source"]
    return make_codec(name, label.quality, label.lmbda, spec, params, _origin(converted))


def _origin(converted: Converted) -> Record:
    """What a codec says of where it comes from."""
    file = converted.manifest["file"]
    return {"converted_from": file["name"], "sha256": file["sha256"]}


WRITERS: dict[str, Callable[[Converted, Label, Path], Record]] = {
    CODEC: _write_codec,
    ZOO_CODEC: _write_zoo_codec,
    ADAPTER: _write_adapter,
}
