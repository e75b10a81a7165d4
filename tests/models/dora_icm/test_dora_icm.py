"""DoRA-ICM as a whole: what is trained, what it counts, what its parts do to shapes and rates."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax import paths
from icm_jax.adapters import low_rank
from icm_jax.errors import IcmError
from icm_jax.models.dora_icm.model import TRAINED, DoraICM, Output, initial, variables
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.tasks.dense import dense_task, rate_task_loss
from tests.tiny_dora import TINY, random_model

TASK = dense_task("nyud", "normals")


@pytest.fixture(scope="module")
def model() -> tuple[dict, dict]:
    return random_model()


@pytest.fixture(scope="module")
def images() -> jax.Array:
    return jax.random.normal(jax.random.key(1), (2, 64, 128, 3))


def test_one_training_step_moves_the_task_and_not_the_backbone(
    model: tuple[dict, dict], images: jax.Array
) -> None:
    params, batch_stats = model
    label = jnp.broadcast_to(jnp.array([0.6, 0.0, 0.8]), (*images.shape[:3], 3))
    trained, frozen = paths.select(params, TRAINED)
    assert set(frozen) == {"backbone"}

    def loss(trained: dict) -> tuple[jax.Array, dict]:
        collections = variables(TINY, paths.merge(trained, frozen), batch_stats, train=True)
        output, updated = DoraICM(TINY).apply(
            collections, images, train=True, rngs={"noise": jax.random.key(2)}, mutable=["batch_stats"]
        )
        value, parts = rate_task_loss(output, label, TASK, 0.1)
        return value, parts | updated

    (value, aux), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(trained)
    expected = aux["estimated_bpp"] + 0.1 * 10 * (aux["final"] + aux["preliminary"])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert jax.tree.structure(gradients) == jax.tree.structure(trained)
    norms = {path: float(jnp.abs(leaf).sum()) for path, leaf in paths.flatten(gradients).items()}
    assert [path for path, norm in norms.items() if not np.isfinite(norm) or norm == 0] == []
    moved = paths.flatten(aux["batch_stats"])
    assert all(not np.array_equal(moved[path], leaf) for path, leaf in paths.flatten(batch_stats).items())


def test_rates_without_noise(model: tuple[dict, dict], images: jax.Array) -> None:
    output = jax.jit(DoraICM(TINY).apply)(variables(TINY, *model), images)
    assert output.prediction.shape == (2, 64, 128, 3)
    assert output.preliminary.shape == (2, 4, 8, 3)
    assert (np.asarray(output.bits) > 0).all()


def test_variants_of_the_ablations(images: jax.Array) -> None:
    """No codec, no adapter, four taps, the full decoder."""
    bare = dataclasses.replace(
        TINY, depth=4, rank=0, compress=False, tap="concat4", decoder_widths=(16, 8, 8, 8)
    )

    def run() -> tuple[dict, Output]:
        params, batch_stats = initial(jax.random.key(0), bare)
        return params, DoraICM(bare).apply(variables(bare, params, batch_stats), images)

    params, output = jax.eval_shape(run)
    assert set(params) == {"backbone", "preliminary", "decoder", "tap_join"}
    assert output.prediction.shape == (2, 64, 128, 3)


@pytest.mark.parametrize(
    ("outputs", "preliminary", "codec", "decoder"),
    [
        (40, 14_179_368, 57_216_040, 11_290_554),
        (21, 14_169_621, 57_062_805, 11_276_855),
        (7, 14_162_439, 56_949_895, 11_266_761),
        (3, 14_160_387, 56_917_635, 11_263_877),
        (1, 14_159_361, 56_901_505, 11_262_435),
    ],
)
def test_counts_of_the_published_table(outputs: int, preliminary: int, codec: int, decoder: int) -> None:
    params, _ = jax.eval_shape(lambda: initial(jax.random.key(0), DoraICMSpec(outputs=outputs)))
    counts = {name: low_rank.count(tree) for name, tree in params.items()}
    assert counts.pop("backbone") == 304_221_120
    assert counts == {
        "adapter": 1_253_376, "preliminary": preliminary, "codec": codec, "decoder": decoder
    }  # fmt: skip
    if outputs == 40:  # the paper's ablation task: 84 M with DoRA and codec, 27 M without the codec
        assert round(sum(counts.values()) / 1e6) == 84
        assert round((sum(counts.values()) - codec) / 1e6) == 27


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tap": "first"}, "tap='first' is unknown"),
        ({"tap": "concat4", "depth": 6}, "multiple of 4, not 6"),
        ({"N": 7}, "N=7 is odd"),
        ({"patch": 0}, "patch=0"),
        ({"decoder_widths": (16, 4)}, "4 channels over 2 heads"),
    ],
)
def test_impossible_specifications(change: dict, message: str) -> None:
    with pytest.raises(IcmError, match=message):
        dataclasses.replace(TINY, **change)


def test_what_does_not_belong_to_the_model_is_named(model: tuple[dict, dict]) -> None:
    params, batch_stats = model
    deeper = dataclasses.replace(TINY, depth=2)
    with pytest.raises(IcmError, match="blocks_1/attn/k_proj/kernel is missing, the model's"):
        initial(jax.random.key(0), deeper, params["backbone"])
    with pytest.raises(IcmError, match=r"is \[\d+.*give the width, depth"):
        initial(jax.random.key(0), dataclasses.replace(TINY, width=32), params["backbone"])
    other = random_model(deeper)[0]
    with pytest.raises(IcmError, match="adapter has a layer blocks_1/attn/k_proj, the base has none"):
        variables(TINY, {**params, "adapter": other["adapter"]}, batch_stats)
    wider = random_model(dataclasses.replace(TINY, width=32))[0]
    with pytest.raises(IcmError, match=r"k_proj is for a kernel \[32, 32\], the base has \[16, 16\]"):
        low_rank.merge(TINY.adapter(), params["backbone"], wider["adapter"])
    output = Output(jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 1, 1, 3)), jnp.zeros(1))
    with pytest.raises(IcmError, match="label of 9×8 for a prediction of 8×8"):
        rate_task_loss(output, jnp.zeros((1, 8, 9, 3)), TASK, 1.0)


def test_streams_of_patches_of_14() -> None:
    spec = dataclasses.replace(TINY, patch=14)
    assert (spec.y_stride, spec.z_stride) == (14, 56)
