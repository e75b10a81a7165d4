"""Streams of the original TIC: decoded wave by wave, on machines that differ in the last bits too."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.bitstream import DamagedSection, SectionType, StreamError, container
from icm_jax.canvas import plan
from icm_jax.codec import Codec
from icm_jax.coding import coding_of, context, hyperprior, latents
from icm_jax.layers.causal_attention import causal_offsets
from icm_jax.models import programs
from icm_jax.models.registry import build
from icm_jax.models.tic import TICSpec
from icm_jax.models.tic_original import TICOriginalSpec
from icm_jax.train.export import make_codec

SPEC = TICOriginalSpec(
    N=8, M=8, depths=(1, 1, 1), hyper_depths=(1, 1), heads=(2, 2, 2), hyper_heads=(2, 2), context_heads=2
)


@cache
def codec() -> Codec:
    """Random weights, shaped so that y spreads over many symbols and the scales fit it."""
    params = jax.jit(build(SPEC).init)(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
    params = jax.tree.map(np.array, params)
    params["g_a"]["conv6"]["kernel"] *= 15
    params["entropy_parameters"]["dense4"]["bias"][: SPEC.M] = np.geomspace(4, 12, SPEC.M)
    params["entropy_parameters"]["dense4"]["kernel"] *= 3
    return Codec(make_codec("tiny-original", 1, 0.01, SPEC, params, {}))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image: np.ndarray) -> tuple[latents.Quantised, dict]:
    canvas = plan(*image.shape[:2])
    stored = codec().stored
    padded = np.pad(
        image,
        ((0, canvas.padded_height - image.shape[0]), (0, canvas.padded_width - image.shape[1]), (0, 0)),
        "edge",
    )
    params64 = programs.double_precision({name: stored.params[name] for name in context.SCALE_PATH})
    network = programs.Network(SPEC, {"params": stored.params})
    y = programs.analyse(network, padded[None], canvas)
    return context.quantise(stored, params64, y, programs.hyper_analyse(network, y), [canvas]), params64


def test_codings_by_model() -> None:
    assert coding_of(SPEC) is context
    assert coding_of(TICSpec()) is hyperprior


def test_decoder_finds_the_encoders_latents() -> None:
    image = picture(70, 90)
    written, params64 = encoded(image)
    sections, digest = context.write(codec().stored, written.symbols[0])
    found = context.read(codec().stored, params64, sections, plan(70, 90), digest)
    for ours, theirs in zip(found.symbols[0], written.symbols[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(found.y_hat, written.y_hat)
    np.testing.assert_array_equal(found.means, written.means)
    np.testing.assert_array_equal(found.z_hat, written.z_hat)
    assert len(np.unique(written.symbols[0].y)) > 10
    assert len(np.unique(written.symbols[0].indexes)) > 8


def test_y_hat_is_what_the_context_was_made_of() -> None:
    """The parallel evaluation on the decoded y_hat gives the means that y was rounded around: one latent."""
    written, params64 = encoded(picture(70, 90))
    with programs.enable_x64(True):
        hyper = programs.programs(SPEC).hyper_synthesise(
            {"params": params64}, written.z_hat.astype(np.float64)
        )
        y_hat = jnp.asarray(written.y_hat, jnp.float64)
        gaussians = jax.jit(partial(build(SPEC).apply, method="gaussians"))
        scales, means = gaussians({"params": params64}, hyper, y_hat)
    np.testing.assert_allclose(scales, written.scales, atol=1e-10)
    np.testing.assert_allclose(means, written.means, atol=0.5 / context.MEAN_STEPS + 1e-9)
    np.testing.assert_array_equal(written.means * context.MEAN_STEPS % 1, 0)


def test_round_trip_and_size() -> None:
    image = picture(70, 90)
    data = codec().compress(image)
    assert codec().decompress(data).shape == image.shape
    estimated_bytes = codec().estimated_bits(image).bits / 8
    overhead = codec().inspect(data).total_bytes - sum(
        size for _, size in codec().inspect(data).section_bytes
    )
    # Two rANS states of up to 8 bytes; the tables round scales up to a level and counts to 16 bits.
    assert abs(len(data) - overhead - estimated_bytes) < 16 + 0.02 * estimated_bytes


@pytest.mark.parametrize("size", [(1, 1), (33, 64), (128, 65), (128, 128)])
def test_any_size(size: tuple[int, int]) -> None:
    image = picture(*size)
    data = codec().compress(image)
    decoded = codec().decompress(data)
    assert decoded.shape == image.shape and decoded.dtype == np.uint8
    assert codec().compress(image) == data


def test_a_batch_is_coded_like_its_images() -> None:
    images = [picture(70, 90, 1), picture(100, 128, 2)]
    assert codec().compress_batch(images) == [codec().compress(image) for image in images]


def test_deviations_of_another_machine_do_not_accumulate(monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec().compress(picture(128, 128))
    expected = codec().decompress(data)
    evaluate, rng = context._evaluate, np.random.default_rng(0)

    def deviating(*args: object) -> tuple[np.ndarray, np.ndarray]:
        return tuple(values * (1 + rng.uniform(-1e-11, 1e-11, values.shape)) for values in evaluate(*args))

    monkeypatch.setattr(context, "_evaluate", deviating)
    np.testing.assert_array_equal(codec().decompress(data), expected)


def test_means_on_a_boundary_are_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every mean of the encoder lies on a boundary of the grid, and the decoder's fall on either side."""
    evaluate, rng = context._evaluate, np.random.default_rng(0)

    def on_boundaries(*args: object) -> tuple[np.ndarray, np.ndarray]:
        scales, means = evaluate(*args)
        middle = (np.round(means * context.MEAN_STEPS) + 0.5) / context.MEAN_STEPS
        return scales, middle + rng.uniform(-1e-11, 1e-11, middle.shape)

    monkeypatch.setattr(context, "_evaluate", on_boundaries)
    image = picture(33, 64)
    data = codec().compress(image)
    assert codec().inspect(data).guard_bytes > 100
    first, second = codec().decompress(data), codec().decompress(data)
    np.testing.assert_array_equal(first, second)


def test_a_machine_that_deviates_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec().compress(picture(128, 128))
    evaluate = context._evaluate
    monkeypatch.setattr(
        context, "_evaluate", lambda *args: tuple(1.01 * values for values in evaluate(*args))
    )
    with pytest.raises(StreamError):
        codec().decompress(data)


@pytest.mark.parametrize("missing", [SectionType.Z, SectionType.Y, SectionType.GUARD])
def test_missing_sections(missing: SectionType) -> None:
    stream = container.unpack(codec().compress(picture(33, 64)))
    kept = [section for section in stream.sections if section.type != missing]
    with pytest.raises(DamagedSection, match=missing.name):
        codec().decompress(container.pack(stream.header, kept))


@pytest.mark.parametrize("window", [3, 5])
@pytest.mark.parametrize("shape", [(1, 1), (4, 9), (7, 3)])
def test_waves_depend_on_earlier_waves_only(shape: tuple[int, int], window: int) -> None:
    step = np.full(shape, -1)
    for number, (rows, cols) in enumerate(context.waves(*shape, window)):
        assert (step[rows, cols] == -1).all()
        step[rows, cols] = number
    assert (step >= 0).all()
    for (row, col), own in np.ndenumerate(step):
        for up, left in causal_offsets(window):
            if row + up >= 0 and 0 <= col + left < shape[1]:
                assert step[row + up, col + left] < own


def test_part_of_a_map_is_coded_in_the_order_of_the_whole() -> None:
    whole = [(r, c) for rows, cols in context.waves(8, 8, 5) for r, c in zip(rows, cols, strict=True)]
    part = [(r, c) for rows, cols in context.waves(5, 6, 5) for r, c in zip(rows, cols, strict=True)]
    assert part == [(r, c) for r, c in whole if r < 5 and c < 6]
