"""Path rules: first match wins, every rule must decide something, trees come apart and together again."""

import pytest

from icm_jax import paths
from icm_jax.errors import IcmError

TREE = {"g_a": {"conv0": {"kernel": 1, "bias": 2}}, "g_s": {"deconv1": {"kernel": 3, "bias": 4}}}


def test_first_rule_decides() -> None:
    values = paths.assign(TREE, [("g_a/.*", "a"), (".*/bias", "b")], "rest")
    assert paths.flatten(values) == {
        "g_a/conv0/kernel": "a",
        "g_a/conv0/bias": "a",
        "g_s/deconv1/kernel": "rest",
        "g_s/deconv1/bias": "b",
    }


def test_select_and_merge_are_inverse() -> None:
    chosen, rest = paths.select(TREE, [".*/kernel"])
    assert paths.flatten(chosen) == {"g_a/conv0/kernel": 1, "g_s/deconv1/kernel": 3}
    assert paths.merge(chosen, rest) == TREE
    with pytest.raises(IcmError, match=r"g_a/conv0/kernel is in two of the trees"):
        paths.merge(TREE, chosen)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([("h_a/.*", 1)], r"'h_a/\.\*' fits none of the 4 parameter paths, such as 'g_a/"),
        ([("kernel", 1)], "must fit the whole path"),
        ([(".*", 1), ("g_a/.*", 2)], r"taken by '\.\*'; put it before"),
        ([("g_a/(", 1)], "is no regular expression"),
    ],
)
def test_rules_that_decide_nothing_are_refused(rules, message) -> None:
    with pytest.raises(IcmError, match=f"frozen: .*{message}"):
        paths.assign(TREE, rules, 0, "frozen")
