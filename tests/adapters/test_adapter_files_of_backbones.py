"""DoRA layers of a backbone as a file of their own: small, tied to their backbone, no adapter for a codec."""

from pathlib import Path

import jax
import numpy as np
import pytest

from icm_jax.adapters import low_rank, store
from icm_jax.adapters.low_rank import LowRankSpec
from icm_jax.codec import Codec
from icm_jax.errors import IcmError
from icm_jax.models.eva02 import EVA02, EVA02Spec, eva02_spec
from icm_jax.pretrained.dora_icm import Backbone, backbone_hash

SMALL = EVA02Spec(width=16, depth=2, heads=2, sub_ln=True, patch=4, grid=(2, 3))


def shapes(spec: EVA02Spec) -> dict:
    height, width = (side * spec.patch for side in spec.grid)
    return jax.eval_shape(
        EVA02(spec).init, jax.random.key(0), jax.ShapeDtypeStruct((1, height, width, 3), np.float32)
    )["params"]


def adapter_of(spec: EVA02Spec) -> dict:
    tree = jax.eval_shape(lambda base: low_rank.init(jax.random.key(0), LowRankSpec(), base), shapes(spec))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), tree)


def test_size_for_the_large_backbone(tmp_path: Path) -> None:
    """Rank 8 on q, k, v of 24 blocks of 1024 channels: 1,253,376 numbers, at most 5.1 MB in float32."""
    adapter = adapter_of(eva02_spec("large"))
    assert low_rank.count(adapter) == 1_253_376
    made = store.make_adapter("dora-l", "semseg", LowRankSpec(), {"params": adapter}, Backbone("0" * 64))
    store.save(made, tmp_path / "dora-l.safetensors")
    assert 4 * 1_253_376 < (tmp_path / "dora-l.safetensors").stat().st_size <= 5.1e6


def test_read_back_and_tied_to_its_backbone(tmp_path: Path) -> None:
    adapter = adapter_of(SMALL)
    weights = jax.tree.map(lambda leaf: np.ones(leaf.shape), shapes(SMALL))
    others = jax.tree.map(lambda leaf: 0.5 * leaf, weights)
    backbones = [Backbone(backbone_hash(tree)) for tree in (weights, others)]
    made = store.make_adapter("dora", "depth", LowRankSpec(alpha=4), {"params": adapter}, backbones[0])
    store.save(made, tmp_path / "dora.safetensors")
    read = store.load(tmp_path / "dora.safetensors")
    assert (read.spec, read.task, read.hash) == (LowRankSpec(alpha=4), "depth", made.hash)
    jax.tree.map(np.testing.assert_array_equal, read.variables["params"], adapter)
    read.refuse_other_base(backbones[0])
    with pytest.raises(
        IcmError, match=f"{backbones[0].hash[:16]}, this is backbone {backbones[1].hash[:16]}"
    ):
        read.refuse_other_base(backbones[1])
    with pytest.raises(IcmError, match=f"{backbones[0].hash[:16]}, this is tic-lite q3"):
        Codec.load("tic-lite", 3, adapter=read)
