"""TransTIC's prompts: the paper's sizes for every ablation, masks, gradients, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax import paths
from icm_jax.adapters.prompts import PromptSpec
from icm_jax.adapters.registry import adapted
from icm_jax.errors import IcmError
from icm_jax.evaluate.complexity import parameter_count
from icm_jax.layers.prompts import Prompts
from icm_jax.layers.window_attention import WindowAttention
from icm_jax.models.registry import build
from icm_jax.models.tic import TICSpec
from tests.adapters.random_values import random_variables
from tests.tiny import BOTTLENECK, SWIN, tiny_codec

FULL = TICSpec()
BASE_ENCODER, BASE_DECODER = 3_648_640, 3_862_083

# Adapter's parameters of encoder and decoder by the paper's tables 2, 3 and A1 (millions, base included).
PAPER = {
    "A": (PromptSpec(), 5.24, 3.89),
    "B": (PromptSpec(encoder="task"), 3.66, 3.89),
    "C": (PromptSpec(decoder="none"), 5.24, 3.86),
    "D": (PromptSpec(encoder="instance-shared"), 5.24, 3.89),
    "shallow": (PromptSpec(shallow=True), 4.65, 3.88),
    "4 prompts": (PromptSpec(encoder_prompts=4, decoder_prompts=4), 5.24, 3.87),
    "64 prompts": (PromptSpec(encoder_prompts=64, decoder_prompts=64), 5.24, 3.98),
    "decoder STB-12": (PromptSpec(decoder_stacks=(1, 2)), 5.24, 3.87),
    "decoder STB-34": (PromptSpec(decoder_stacks=(3, 4)), 5.24, 3.88),
    "decoder only": (PromptSpec(encoder="none"), 3.65, 3.89),
}
RUN = {
    **{name: spec for name, (spec, *_) in PAPER.items()},
    "encoder STB-1": PromptSpec(encoder_stacks=(1,)),
    "encoder STB-34": PromptSpec(encoder_stacks=(3, 4)),
    "encoder STB-1234": PromptSpec(encoder_stacks=(1, 2, 3, 4)),
    "IP decoder": PromptSpec(decoder="instance"),
    "task prompts, shallow": PromptSpec(encoder="task", encoder_stacks=(1, 2, 3, 4), shallow=True),
    "shared, shallow": PromptSpec(encoder="instance-shared", shallow=True, decoder="none"),
}


def shapes(spec: PromptSpec, base: TICSpec = FULL) -> dict:
    size = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    return jax.eval_shape(build(base, spec).init, jax.random.key(0), size)["params"].get("adapter", {})


@pytest.mark.parametrize("name", PAPER)
def test_sizes_are_those_of_the_paper(name: str):
    spec, encoder, decoder = PAPER[name]
    tree = shapes(spec)
    assert round((BASE_ENCODER + parameter_count(tree.get("g_a", {}))) / 1e6, 2) == encoder
    assert round((BASE_DECODER + parameter_count(tree.get("g_s", {}))) / 1e6, 2) == decoder


def test_trainable_parameters():
    assert parameter_count(shapes(PromptSpec())) == 1_619_968


QUICK = ("A", "task prompts, shallow", "IP decoder")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in RUN]
)
def test_every_variant_changes_what_it_prompts_and_nothing_else(name: str):
    """Outputs differ from the base's on the prompted sides, and gradients reach every parameter of the adapter."""
    spec, base_params = RUN[name], tiny_codec(SWIN).stored.params
    variables = random_variables(spec, SWIN, scale=3.0)
    x = jax.random.uniform(jax.random.key(2), (1, 64, 128, 3))
    y_hat = 3 * jax.random.normal(jax.random.key(3), (1, 4, 8, SWIN.M))
    plain, prompted = build(SWIN), build(SWIN, spec)

    @jax.jit
    def gradients(trained: dict) -> tuple:
        def loss(trained: dict) -> tuple:
            own = adapted(base_params, {**variables, "params": trained})
            y = prompted.apply(own, x, method="analyse")
            x_hat = prompted.apply(own, y_hat, method="synthesise")
            return (y * y).sum() + (x_hat * x_hat).sum(), (y, x_hat)

        return jax.grad(loss, has_aux=True)(trained)

    grads, (y, x_hat) = gradients(variables["params"])
    base = {"params": base_params}
    same_y = np.array_equal(y, plain.apply(base, x, method="analyse"))
    assert (spec.encoder == "none") or not same_y
    expected = jax.jit(lambda: plain.apply(base, y_hat, method="synthesise"))()
    assert np.allclose(x_hat, expected, atol=1e-5) == (spec.decoder == "none")
    still = [path for path, leaf in paths.flatten(grads).items() if not np.abs(leaf).max() > 0]
    assert still == []


def test_an_aligned_prompt_stays_in_its_region_and_a_reference_one_does_not():
    """Shifted windows: the prompt over the first features is rolled to the end of the map, away from the others."""
    attention = WindowAttention(8, 2, window=8, shift=4)
    x = jax.random.normal(jax.random.key(0), (1, 16, 16, 8))
    params = attention.init(jax.random.key(1), x)
    params = jax.tree.map(lambda leaf: leaf + 0.5 * jax.random.normal(jax.random.key(2), leaf.shape), params)
    tokens = jax.random.normal(jax.random.key(3), (1, 8, 8, 8))
    run = jax.jit(
        lambda t, reference: attention.apply(params, x, Prompts(t, reference), method="with_prompts")[0],
        static_argnums=1,
    )

    def reach(reference: bool) -> np.ndarray:
        changed = run(tokens.at[0, 0, 0].add(1.0), reference) - run(tokens, reference)
        return np.abs(np.asarray(changed)).max((0, 3)) > 1e-6

    corner = np.zeros((16, 16), bool)
    corner[:4, :4] = True  # a shift of 4 leaves the first four rows and columns as a region of their own
    assert np.array_equal(reach(False), corner)
    assert not np.array_equal(reach(True), corner)


def test_shallow_prompts_are_handed_on():
    attention = WindowAttention(8, 2, window=4, shift=0)
    x, tokens = jnp.ones((2, 8, 8, 8)), jax.random.normal(jax.random.key(0), (1, 4, 8))
    prompts = Prompts(tokens, updated=True).as_map(x.shape, 4)
    assert prompts.tokens.shape == (2, 4, 4, 8)
    assert np.array_equal(prompts.tokens[1, 2:, :2].reshape(4, 8), tokens[0])
    params = attention.init(jax.random.key(1), x)
    _, updated = attention.apply(params, x, prompts, method="with_prompts")
    assert updated.shape == prompts.tokens.shape


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"encoder": "ip"}, "choose one of instance"),
        ({"encoder_prompts": 15}, "square"),
        ({"decoder_stacks": (0, 1)}, "1 \\(nearest the image\\) to 4"),
        ({"mask": "none"}, "aligned"),
    ],
)
def test_impossible_specifications(values: dict, message: str):
    with pytest.raises(IcmError, match=message):
        PromptSpec(**values)


def test_impossible_bases():
    with pytest.raises(IcmError, match="take a Swin base"):
        build(BOTTLENECK, PromptSpec())
    with pytest.raises(IcmError, match=r"9 prompts do not tile windows of 8.*choose 4, 16, 64"):
        build(SWIN, PromptSpec(encoder_prompts=9))
    with pytest.raises(IcmError, match="mask='reference' has no form for 64 prompts"):
        shapes(PromptSpec(encoder_prompts=64, mask="reference"))
