"""A decoder of several tasks on disk, beside the codecs whose streams it reads (DoRA-ICM, supplement 1.6).

DIR/decoder.safetensors     its weights in float32; tasks, hashes of their codecs and training in its header
DIR/TASK/codec.json …       the codec of every task, as it was trained alone
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icm_jax.errors import IcmError
from icm_jax.models.dora_icm.decoder import Decoder
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.pretrained import store
from icm_jax.pretrained.store import StoredCodec
from icm_jax.pretrained.tree_file import read_tree, write_tree

DECODER_FILE = "decoder.safetensors"


@dataclass(frozen=True)
class JointSpec:
    """Shape of the decoder; see `models.dora_icm.decoder.Decoder`. By default as wide as the decoder of one task."""

    widths: tuple[int, ...] = DoraICMSpec().decoder_widths
    blocks: int = 2
    heads: int = 2

    def decoder(self, codecs: Mapping[str, StoredCodec]) -> Decoder:
        """For the predictions of these codecs."""
        outputs = tuple(spec_of(codec).outputs for codec in codecs.values())
        return Decoder(outputs, tuple(self.widths), self.blocks, self.heads)


@dataclass(frozen=True)
class StoredJointDecoder:
    """Content of a folder; `codecs` by task, in the order of the decoder's inputs.

    `digest` is the SHA-256 of the decoder's file, which names its codecs.
    """

    spec: JointSpec
    codecs: Mapping[str, StoredCodec]
    params: Mapping[str, Any]
    batch_stats: Mapping[str, Any]
    training: Mapping[str, Any]
    digest: str = ""


def spec_of(codec: StoredCodec) -> DoraICMSpec:
    """The specification of a codec of features.

    Raises:
        IcmError: a codec of images.
    """
    if not isinstance(codec.spec, DoraICMSpec):
        raise IcmError(f"{codec.label} is a codec of images; a joint decoder reads codecs of features")
    return codec.spec


def refuse_strangers(codecs: Mapping[str, StoredCodec]) -> None:
    """Raises IcmError for codecs that do not share a backbone."""
    (first, *others) = codecs.items()
    for task, codec in others:
        if spec_of(codec).base_hash != spec_of(first[1]).base_hash:
            raise IcmError(
                f"{task} and {first[0]} have different backbones; take codecs that were trained on one"
            )


def save(stored: StoredJointDecoder, folder: Path) -> None:
    """Writes the folder, the decoder last: without it the folder is none."""
    for task, codec in stored.codecs.items():
        store.save(codec, folder / task)
    header = {
        "spec": json.dumps(
            {"widths": stored.spec.widths, "blocks": stored.spec.blocks, "heads": stored.spec.heads}
        ),
        "codecs": json.dumps({task: codec.hash for task, codec in stored.codecs.items()}),
        "training": json.dumps(dict(stored.training), default=str),
    }
    tree = {"params": stored.params, "batch_stats": stored.batch_stats}
    write_tree(folder / DECODER_FILE, tree, header)


def load(folder: Path) -> StoredJointDecoder:
    """Inverse of `save`.

    Raises:
        IcmError: a missing or damaged file, or another codec than the decoder was trained on.
    """
    what = "decoder of several tasks; give the folder that a run exported"
    tree, header = read_tree(folder / DECODER_FILE, what, ("spec", "codecs", "training"))
    hashes: dict[str, str] = json.loads(header["codecs"])
    codecs = {task: store.load(folder / task) for task in hashes}
    for task, codec in codecs.items():
        if codec.hash != hashes[task]:
            raise IcmError(
                f"{folder}: the decoder was trained on {task} {hashes[task][:16]}, there is {codec.hash[:16]}; "
                "copy the folder again"
            )
    values = json.loads(header["spec"])
    spec = JointSpec(tuple(values["widths"]), values["blocks"], values["heads"])
    digest = hashlib.sha256((folder / DECODER_FILE).read_bytes()).hexdigest()
    training = json.loads(header["training"])
    return StoredJointDecoder(spec, codecs, tree["params"], tree["batch_stats"], training, digest)
