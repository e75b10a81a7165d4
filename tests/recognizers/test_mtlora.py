"""MTLoRA: what tasks share and what they do not, sizes of images, training mode."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax import paths
from icm_jax.errors import IcmError
from icm_jax.recognizers.mtlora import MTLoRA, MTLoRASpec
from icm_jax.recognizers.swin import SwinSpec

SPEC = MTLoRASpec(
    tasks=("depth", "semseg"),
    outputs=(1, 5),
    swin=SwinSpec(width=8, depths=(1, 2), heads=(1, 2), windows=(2, 2), mlp_ratio=2, norm=False, classes=0),
    shared_rank=3,
    task_ranks=(1, 2),
    channels=(4, 6),
    hidden=12,
)


def random_params(network: MTLoRA) -> dict:
    rng, shapes = (
        np.random.default_rng(0),
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3))),
    )
    leaves = paths.flatten(shapes["params"])
    made = {path: jnp.asarray(rng.normal(0, 0.3, leaf.shape), jnp.float32) for path, leaf in leaves.items()}
    return paths.unflatten({p: jnp.abs(a) + 0.5 if p.endswith("norm/var") else a for p, a in made.items()})


@pytest.fixture(scope="module")
def params() -> dict:
    return random_params(MTLoRA(SPEC))


@pytest.fixture(scope="module")
def images() -> jax.Array:
    return jax.random.normal(jax.random.key(1), (2, 18, 16, 3))


@pytest.fixture(scope="module")
def taps(params: dict, images: jax.Array) -> dict[str, jax.Array]:
    return jax.jit(MTLoRA(SPEC).apply)({"params": params}, images)


def test_published_size():
    """Swin-T without norm and head, its updates, and four heads."""
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    params = jax.eval_shape(MTLoRA().init, jax.random.key(0), image)["params"]
    assert jax.eval_shape(MTLoRA().apply, {"params": params}, image)["human_parts"].shape == (1, 64, 64, 7)
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(tree)) for name, tree in params.items()}
    assert counts["backbone"] == 28_288_354 - 2 * 768 - 769 * 1000
    widths, depths = (96, 192, 384, 768), (2, 2, 6, 2)
    inputs_and_outputs = (1 + 3) + (1 + 1) + (1 + 4) + (4 + 1)
    assert counts["lora_shared"] == 64 * inputs_and_outputs * sum(
        w * d for w, d in zip(widths, depths, strict=True)
    )
    assert counts["lora_tasks"] == 4 * 4 * (inputs_and_outputs - 4) * sum(widths)


def test_predictions_have_the_size_of_the_image(taps: dict[str, jax.Array]):
    assert taps["depth"].shape == (2, 18, 16, 1) and taps["semseg"].shape == (2, 18, 16, 5)
    assert taps["head/semseg"].shape == (2, 3, 2, 5)
    assert taps["stage0"].shape == taps["stage0/depth"].shape == (2, 3, 2, 16)
    assert taps["stage1/semseg"].shape == (2, 3, 2, 16)


@pytest.mark.parametrize(
    ("part", "changed", "kept"),
    [
        (
            "lora_tasks/depth",
            {"stage0/depth", "stage1/depth", "depth"},
            {"stage1", "stage1/semseg", "semseg"},
        ),
        ("lora_shared", {"stage1", "stage1/depth", "stage1/semseg", "depth", "semseg"}, set()),
        ("head_semseg", {"semseg"}, {"depth", "stage1/semseg"}),
    ],
)
def test_whom_a_part_concerns(params, images, taps, part: str, changed: set[str], kept: set[str]):
    leaves = paths.flatten(params)
    other = {path: 1.1 * leaf if path.startswith(part) else leaf for path, leaf in leaves.items()}
    found = jax.jit(MTLoRA(SPEC).apply)({"params": paths.unflatten(other)}, images)
    assert all(np.abs(found[name] - taps[name]).max() > 1e-3 for name in changed)
    assert all(np.abs(found[name] - taps[name]).max() == 0 for name in kept)


def test_fresh_updates_change_nothing(images: jax.Array):
    network = MTLoRA(SPEC)
    params = jax.jit(network.init)(jax.random.key(0), images)["params"]
    taps = jax.jit(network.apply)({"params": params}, images)
    for name in ("stage0", "stage1"):
        np.testing.assert_allclose(taps[f"{name}/depth"], taps[name], atol=1e-6)


def test_images_of_their_own(params: dict, taps: dict[str, jax.Array], images: jax.Array):
    """Two images for each task in one batch; a task sees the second half or the first."""
    both = jnp.concatenate([images, images[::-1]])
    own = jax.jit(MTLoRA(SPEC).apply, static_argnums=(2, 3))({"params": params}, both, False, True)
    np.testing.assert_allclose(own["depth"], taps["depth"], atol=1e-5)
    np.testing.assert_allclose(own["semseg"], taps["semseg"][::-1], atol=1e-5)
    with pytest.raises(IcmError, match="3 images for 2 tasks"):
        MTLoRA(SPEC).apply({"params": params}, both[:3], False, True)


def test_images_become_squares_where_asked(params: dict, images: jax.Array):
    network = MTLoRA(replace(SPEC, size_mode="resize24"))
    taps = jax.eval_shape(network.apply, {"params": params}, images)
    assert taps["stage0"].shape == (2, 3, 3, 16) and taps["semseg"].shape == (2, 18, 16, 5)


def test_training_norms_by_the_batch_and_drops(params: dict, images: jax.Array):
    network = MTLoRA(SPEC, frozen=False)
    leaves = paths.flatten(params)
    statistics = {path: leaf for path, leaf in leaves.items() if path.endswith(("norm/mean", "norm/var"))}
    own = paths.unflatten({path: leaf for path, leaf in leaves.items() if path not in statistics})

    @jax.jit
    def run(seed: int):
        key = jax.random.key(seed)
        variables = {"params": own, "batch_stats": paths.unflatten(statistics)}
        rngs = {"dropout": key, "drop_path": key}
        return network.apply(variables, images, True, rngs=rngs, mutable=["batch_stats"])

    (taps, changed), (others, _) = run(0), run(1)
    assert np.abs(taps["depth"] - others["depth"]).max() > 1e-3
    moved = paths.flatten(changed["batch_stats"])
    assert moved.keys() == statistics.keys()
    assert all(np.abs(moved[path] - statistics[path]).max() > 0 for path in moved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ("a", "a")}, "each once"),
        ({"outputs": (1,)}, "2 tasks, 1 outputs and 2 task_ranks"),
        ({"channels": (4,)}, "for 2 stages"),
        ({"size_mode": "crop"}, "size_mode='crop'; choose 'pad' or 'resize448'"),
    ],
)
def test_impossible_values_are_refused(change: dict, message: str):
    with pytest.raises(IcmError, match=message):
        replace(SPEC, **change)
