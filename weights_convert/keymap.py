"""The small language in which a checkpoint of another framework is mapped onto a parameter tree.

    reference name ──► first Rule whose pattern matches the whole name ──► path in the tree + layout
                                                                       └─► or dropped, with a reason

A source of weights is one file with a list of rules. Nothing is guessed: a name without a rule, a path filled
twice or not at all, and a shape that does not fit are all errors.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flax import traverse_util

from icm_jax.errors import IcmError

SHOWN_DIFFERENCES = 10

Transform = Callable[[np.ndarray], np.ndarray]


class ConversionError(IcmError):
    """The checkpoint and the model do not describe the same parameters."""


@dataclass(frozen=True)
class Layout:
    """How an array is stored there (`forward`: theirs to ours) and back."""

    name: str
    forward: Transform
    inverse: Transform


IDENTITY = Layout("identity", lambda a: a, lambda a: a)
DENSE = Layout("dense", lambda a: a.transpose(1, 0), lambda a: a.transpose(1, 0))  # (out, in) -> (in, out)
CONV = Layout("conv", lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1))  # OIHW -> HWIO
# (in, out, k, k) -> (k, k, in, out); the taps stay in place: `layers.conv.deconv2d` reads them thus
DECONV = Layout("deconv", lambda a: a.transpose(2, 3, 0, 1), lambda a: a.transpose(2, 3, 0, 1))


@dataclass(frozen=True)
class Rule:
    """Maps the names that `pattern` matches whole.

    Attributes:
        pattern: regular expression over reference names.
        target: path in the parameter tree, `\\1` … standing for groups of the pattern; None drops the array.
        layout: how the array is rearranged.
        reason: why it is dropped; must be given where target is None.
    """

    pattern: str
    target: str | None
    layout: Layout = IDENTITY
    reason: str = ""

    def __post_init__(self) -> None:
        if self.target is None and not self.reason:
            raise IcmError(f"rule {self.pattern!r} drops arrays without a reason; give one")


def find_rule(name: str, rules: Sequence[Rule]) -> tuple[Rule, str | None] | None:
    """The first rule that matches `name` and the path it maps to (None: dropped); None if none matches."""
    for rule in rules:
        if match := re.fullmatch(rule.pattern, name):
            return rule, None if rule.target is None else match.expand(rule.target)
    return None


def convert(
    state_dict: Mapping[str, np.ndarray], rules: Sequence[Rule], target: Mapping[str, Any]
) -> dict[str, Any]:
    """Parameters of the model as a nested dict of float32 arrays.

    Args:
        state_dict: arrays by reference name.
        rules: the key map; the first matching rule counts.
        target: what the model expects: a nested dict whose leaves have a shape, or are one.

    Raises:
        ConversionError: see `match`.
    """
    places = match({name: tuple(np.shape(array)) for name, array in state_dict.items()}, rules, target)
    filled = {
        path: np.ascontiguousarray(layout.forward(np.asarray(state_dict[name])), np.float32)
        for name, (path, layout) in places.items()
    }
    return traverse_util.unflatten_dict(filled, sep="/")


def match(
    shapes: Mapping[str, tuple[int, ...]], rules: Sequence[Rule], target: Mapping[str, Any]
) -> dict[str, tuple[str, Layout]]:
    """Where every array that is not dropped goes, and how: {reference name: (path, layout)}.

    Args:
        shapes: shapes by reference name.
        rules, target: see `convert`.

    Raises:
        ConversionError: a name has no rule, or a path is unknown, filled twice or not, or of another shape.
    """
    expected = {
        path: tuple(getattr(leaf, "shape", leaf))
        for path, leaf in traverse_util.flatten_dict(target, sep="/").items()
    }
    places: dict[str, tuple[str, Layout]] = {}
    sources: dict[str, str] = {}
    differences: list[str] = []
    for name, shape in shapes.items():
        found = find_rule(name, rules)
        if found is None:
            differences.append(f"no rule for {name} {list(shape)}")
            continue
        rule, path = found
        if path is None:
            continue
        if problem := _misfit(name, shape, rule.layout, path, expected, sources):
            differences.append(problem)
        else:
            places[name] = path, rule.layout
        sources.setdefault(path, name)
    differences += [
        f"nothing fills {path} {list(expected[path])}" for path in expected.keys() - sources.keys()
    ]
    _raise_if_any(sorted(differences))
    return places


def beneath(prefix: str, rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The same rules for a tree that lies at `prefix` of another."""
    return tuple(r if r.target is None else replace(r, target=prefix + r.target) for r in rules)


def invert(params: Mapping[str, Any], rules: Sequence[Rule], names: Iterable[str]) -> dict[str, np.ndarray]:
    """The reference's arrays for those of `names` that the rules keep; `convert` undone.

    Raises:
        ConversionError: a name has no rule, or its path is not in `params`.
    """
    leaves = traverse_util.flatten_dict(params, sep="/")
    arrays: dict[str, np.ndarray] = {}
    differences: list[str] = []
    for name in names:
        found = find_rule(name, rules)
        if found is None:
            differences.append(f"no rule for {name}")
            continue
        rule, path = found
        if path is None:
            continue
        if path in leaves:
            arrays[name] = np.ascontiguousarray(rule.layout.inverse(np.asarray(leaves[path])))
        else:
            differences.append(f"{name} -> {path}, which the parameters do not have")
    _raise_if_any(sorted(differences))
    return arrays


def placeholder(shape: tuple[int, ...]) -> np.ndarray:
    """An array of this shape that takes no memory."""
    return np.broadcast_to(np.float32(1), shape)


def _misfit(
    name: str,
    shape: tuple[int, ...],
    layout: Layout,
    path: str,
    expected: Mapping[str, tuple[int, ...]],
    sources: Mapping[str, str],
) -> str | None:
    """What is wrong with putting this array at this path, if anything."""
    if path not in expected:
        return f"{name} -> {path}, which the model does not have"
    if path in sources:
        return f"{name} and {sources[path]} both fill {path}"
    try:
        given = layout.forward(placeholder(shape)).shape
    except (ValueError, IndexError):
        return f"{name} {list(shape)} does not have the axes of a {layout.name} kernel"
    if given != expected[path]:
        return f"{name} gives {list(given)}, {path} expects {list(expected[path])}"
    return None


def _raise_if_any(differences: Sequence[str]) -> None:
    if not differences:
        return
    shown = "; ".join(differences[:SHOWN_DIFFERENCES])
    rest = len(differences) - SHOWN_DIFFERENCES
    more = f"; and {rest} more" if rest > 0 else ""
    raise ConversionError(
        f"checkpoint and model differ in {len(differences)} place(s): {shown}{more}; "
        "check that the checkpoint belongs to this architecture"
    )
