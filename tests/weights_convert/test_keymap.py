import jax
import numpy as np
import pytest

from icm_jax.errors import IcmError
from weights_convert.keymap import (
    CONV,
    DECONV,
    DENSE,
    IDENTITY,
    ConversionError,
    Layout,
    Rule,
    convert,
    invert,
)

RULES = (
    Rule(r"conv(\d)\.weight", r"stage/conv\1/kernel", CONV),
    Rule(r"(fc)\.weight", r"head/\1/kernel", DENSE),
    Rule(r"(fc)\.bias", r"head/\1/bias"),
    Rule(r".*\.num_batches_tracked", None, reason="a counter"),
)


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "conv0.weight": rng.normal(size=(4, 3, 5, 2)).astype(np.float32),
        "fc.weight": rng.normal(size=(7, 4)).astype(np.float32),
        "fc.bias": rng.normal(size=7).astype(np.float32),
        "bn.num_batches_tracked": np.array(3),
    }


def target() -> dict[str, dict[str, dict[str, jax.ShapeDtypeStruct]]]:
    shape = lambda *sizes: jax.ShapeDtypeStruct(sizes, np.float32)  # noqa: E731
    return {
        "stage": {"conv0": {"kernel": shape(5, 2, 3, 4)}},
        "head": {"fc": {"kernel": shape(4, 7), "bias": shape(7)}},
    }


def test_conversion_and_back_is_the_identity():
    source = weights()
    params = convert(source, RULES, target())
    assert params["stage"]["conv0"]["kernel"][4, 1, 2, 3] == source["conv0.weight"][3, 2, 4, 1]
    back = invert(params, RULES, source)
    assert back.keys() == source.keys() - {"bn.num_batches_tracked"}
    assert all(np.array_equal(back[name], source[name]) for name in back)


def test_half_precision_becomes_float32():
    params = convert({"fc.bias": np.ones(7, np.float16)}, RULES, {"head": {"fc": {"bias": (7,)}}})
    assert params["head"]["fc"]["bias"].dtype == np.float32


@pytest.mark.parametrize("layout", [IDENTITY, CONV, DECONV])
def test_layouts_undo_themselves(layout: Layout):
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert np.array_equal(layout.inverse(layout.forward(array)), array)


def test_deconvolution_taps_stay_in_place():
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # (in, out, k, k)
    assert DECONV.forward(array)[3, 4, 1, 2] == array[1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.gain": np.ones(7)}, r"no rule for fc.gain \[7\]"),
        ({"fc.bias": np.ones(8)}, r"fc.bias gives \[8\], head/fc/bias expects \[7\]"),
        ({"fc.weight": np.ones(7)}, r"fc.weight \[7\] does not have the axes of a dense kernel"),
        (
            {"conv1.weight": np.ones((1, 1, 1, 1))},
            r"conv1.weight -> stage/conv1/kernel, which the model does not",
        ),
        ({"fc.bias": None}, r"nothing fills head/fc/bias \[7\]"),
    ],
)
def test_every_difference_is_an_error(change: dict[str, np.ndarray | None], message: str):
    source = {name: array for name, array in (weights() | change).items() if array is not None}
    with pytest.raises(ConversionError, match=message):
        convert(source, RULES, target())


def test_two_arrays_for_one_place_are_an_error():
    rules = (Rule(r"(?:old|new)\.bias", "bias"),)
    with pytest.raises(ConversionError, match=r"new.bias and old.bias both fill bias"):
        convert({"old.bias": np.ones(2), "new.bias": np.ones(2)}, rules, {"bias": (2,)})


def test_error_lists_ten_differences_and_counts_the_rest():
    source = weights() | {f"extra{i:02}": np.ones(1) for i in range(14)}
    with pytest.raises(ConversionError) as error:
        convert(source, RULES, target())
    message = str(error.value)
    assert message.count("no rule for") == 10
    assert "differ in 14 place(s)" in message
    assert "and 4 more" in message


def test_inversion_needs_the_parameters_it_names():
    with pytest.raises(ConversionError, match=r"fc.bias -> head/fc/bias, which the parameters do not have"):
        invert({"head": {}}, RULES, ["fc.bias"])


def test_dropping_needs_a_reason():
    with pytest.raises(IcmError, match="without a reason"):
        Rule("x", None)
