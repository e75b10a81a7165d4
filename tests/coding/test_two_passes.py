"""Streams of features: two passes that decode to what was coded, on machines that differ in the last bits too."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.bitstream import DamagedSection, SectionType, StreamError, SymbolMismatch
from icm_jax.canvas import Canvas
from icm_jax.coding import coding_of, dual_spatial
from icm_jax.coding.latents import Quantised
from icm_jax.entropy.bit_estimator import estimator_tables
from icm_jax.entropy.dual_spatial import first_pass, gaussian_bits
from icm_jax.entropy.tables import centred_scale_table, gaussian_tables
from icm_jax.errors import IcmError
from icm_jax.models import programs
from icm_jax.models.dora_icm.feature_codec import feature_codec
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.pretrained import store
from icm_jax.pretrained.store import StoredCodec

SPEC = DoraICMSpec(outputs=1, preliminary=(3,), N=8, width=8, depth=1, heads=1)
SCALES = np.geomspace(0.3, 6, SPEC.N)
CANVAS = Canvas(490, 730, 512, 768)  # 32×48 positions of y, of which 31×46 cover the image


@cache
def codec() -> StoredCodec:
    """Random weights, shaped so that scales are about `SCALES` in both passes and steps about 1."""
    x = jnp.zeros((1, 4, 4, SPEC.coded))
    shapes = jax.eval_shape(lambda: feature_codec(SPEC).init(jax.random.key(0), x, method="code"))["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: (0.1 * rng.normal(size=leaf.shape)).astype(np.float32), shapes)
    fused, halves = params["fusion"]["layers_1"]["depth"]["conv2"], SPEC.N // 2
    fused["bias"][: SPEC.N], fused["bias"][SPEC.N : 2 * SPEC.N] = 1, SCALES
    second = params["spatial"]["layers_2"]["depth"]["conv2"]["bias"]
    second[:halves], second[2 * halves : 3 * halves] = SCALES[:halves], SCALES[halves:]
    return StoredCodec(
        "tiny",
        1,
        0.1,
        SPEC,
        params,
        estimator_tables(params["z_prior"]),
        gaussian_tables(centred_scale_table()),
    )


@cache
def params64() -> dict:
    return programs.double_precision({name: codec().params[name] for name in dual_spatial.SCALE_PATH})


@cache
def encoded() -> Quantised:
    rng = np.random.default_rng(1)
    y = (rng.normal(size=(1, *CANVAS.grid(16), SPEC.N)) * SCALES).astype(np.float32)
    z = rng.normal(size=(1, *CANVAS.grid(64), SPEC.N)).astype(np.float32)
    return dual_spatial.quantise(codec(), params64(), y, z, [CANVAS])


def decoded(sections: list, digest: int, precision: str = "float64") -> Quantised:
    return dual_spatial.read(codec(), params64(), sections, CANVAS, digest, precision)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_decoder_finds_the_encoders_latents(precision: str) -> None:
    written = encoded()
    found = decoded(*dual_spatial.write(codec(), written.symbols[0], precision), precision)
    np.testing.assert_array_equal(found.y_hat, written.y_hat)
    np.testing.assert_array_equal(found.z_hat, written.z_hat)
    for ours, theirs in zip(found.symbols[0], written.symbols[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(np.unique(written.symbols[0].y)) > 10
    hy, wy = CANVAS.coded_grid(16)
    assert written.symbols[0].y.shape == (hy, wy, SPEC.N)


def test_decoded_latents_are_near_those_coded() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=(1, *CANVAS.grid(16), SPEC.N)) * SCALES
    hy, wy = CANVAS.coded_grid(16)
    error = np.abs(encoded().y_hat - y)
    assert error[:, :hy, :wy].max() < 1.5  # with these weights no step is larger than 3
    assert error[:, hy:].max() > 5  # not coded


def test_size_is_that_of_the_estimate() -> None:
    symbols = encoded().symbols[0]
    sections, _ = dual_spatial.write(codec(), symbols)
    strings = [section.payload for section in sections if section.type != SectionType.GUARD]
    y_bits = gaussian_bits(jnp.asarray(symbols.y, jnp.float32), jnp.asarray(symbols.scales, jnp.float32))
    z = jnp.asarray(symbols.z, jnp.float32)
    z_bits = feature_codec(SPEC).apply({"params": codec().params}, z, method="z_bits")
    estimated_bytes = (float(y_bits.sum()) + float(z_bits.sum())) / 8
    assert len(strings) == 3
    np.testing.assert_allclose(sum(map(len, strings)), estimated_bytes, rtol=0.01)
    z_cost, y_cost = dual_spatial.symbol_bits(codec(), symbols)
    np.testing.assert_allclose(z_cost.sum() + y_cost.sum(), 8 * estimated_bytes, rtol=0.01)


def test_deviations_of_another_machine_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    sections, digest = dual_spatial.write(codec(), encoded().symbols[0])
    checked, rng = dual_spatial._checked, np.random.default_rng(0)

    def deviating(outputs: list) -> list[np.ndarray]:
        return [array * (1 + rng.uniform(-1e-11, 1e-11, array.shape)) for array in checked(outputs)]

    monkeypatch.setattr(dual_spatial, "_checked", deviating)
    np.testing.assert_allclose(decoded(sections, digest).y_hat, encoded().y_hat, rtol=1e-6)


def test_scales_on_a_level_are_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder's scales all lie on a level of the tables, and the decoder's fall on either side."""
    checked, rng = dual_spatial._checked, np.random.default_rng(0)
    levels = np.geomspace(0.11, 256, 64)

    def on_levels(outputs: list) -> list[np.ndarray]:
        arrays = checked(outputs)
        place = 1 if len(arrays) == 3 else 0  # q, scales, means; or scales, means
        nearest = levels[
            np.abs(np.log(np.maximum(arrays[place], 0.11))[..., None] - np.log(levels)).argmin(-1)
        ]
        arrays[place] = nearest * (1 + rng.uniform(-1e-11, 1e-11, nearest.shape))
        return arrays

    monkeypatch.setattr(dual_spatial, "_checked", on_levels)
    rng_y = np.random.default_rng(1)
    y = (rng_y.normal(size=(1, *CANVAS.grid(16), SPEC.N)) * SCALES).astype(np.float32)
    written = dual_spatial.quantise(
        codec(), params64(), y, np.zeros((1, *CANVAS.grid(64), SPEC.N), np.float32), [CANVAS]
    )
    sections, digest = dual_spatial.write(codec(), written.symbols[0])
    listed = [len(section.payload) for section in sections if section.type == SectionType.GUARD]
    assert min(listed) > 1000
    np.testing.assert_allclose(decoded(sections, digest).y_hat, written.y_hat, rtol=1e-6)


def test_a_machine_that_deviates_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sections, digest = dual_spatial.write(codec(), encoded().symbols[0])
    checked = dual_spatial._checked
    monkeypatch.setattr(dual_spatial, "_checked", lambda outputs: [1.01 * a for a in checked(outputs)])
    with pytest.raises(StreamError):
        decoded(sections, digest)


@pytest.mark.parametrize("missing", [SectionType.Z, SectionType.Y, SectionType.GUARD])
def test_missing_sections(missing: SectionType) -> None:
    sections, digest = dual_spatial.write(codec(), encoded().symbols[0])
    del sections[next(i for i, section in enumerate(sections) if section.type == missing)]
    with pytest.raises(DamagedSection, match=missing.name):
        decoded(sections, digest)
    with pytest.raises(SymbolMismatch):
        decoded(dual_spatial.write(codec(), encoded().symbols[0])[0], digest ^ 1)


def test_weights_that_diverged_are_refused() -> None:
    broken = dict(params64()) | {"spatial": jax.tree.map(lambda leaf: leaf * np.nan, params64()["spatial"])}
    with pytest.raises(IcmError, match="not finite"):
        dual_spatial.quantise(
            codec(),
            broken,
            np.zeros((1, *CANVAS.grid(16), SPEC.N)),
            np.zeros((1, *CANVAS.grid(64), SPEC.N)),
            [CANVAS],
        )


def test_passes_have_half_the_elements_each() -> None:
    own, others = dual_spatial._pass_masks((3, 5, 4))
    np.testing.assert_array_equal(own, first_pass(3, 5, 4))
    values = np.arange(60).reshape(3, 5, 4)
    parts = [dual_spatial._of_pass(values, mask) for mask in (own, others)]
    back = sum(dual_spatial._spread(part, mask) for part, mask in zip(parts, (own, others), strict=True))
    np.testing.assert_array_equal(back, values)


def test_coding_and_store_know_the_model(tmp_path) -> None:
    assert coding_of(SPEC) is dual_spatial
    saved = store.with_hash(codec())
    store.save(saved, tmp_path / "codec")
    loaded = store.load(tmp_path / "codec")
    assert loaded.spec == dataclasses.replace(SPEC)
    assert loaded.hash == saved.hash
