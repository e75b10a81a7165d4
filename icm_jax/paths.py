"""Rules over parameter paths: the one language that freezing, learning rates, sharding, dtypes and adapters speak.

    rules = [("g_s/.*/kernel", "a"), (".*/bias", "b")]        pattern (whole path, regular expression) -> value

Paths are `/`-joined dictionary keys, such as `g_a/stb1/layer0/attention/qkv/kernel`. The first rule that fits a leaf
decides it. A rule that decides no leaf is a mistake (a typo, or hidden behind an earlier one) and is refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from flax import traverse_util

from icm_jax.errors import IcmError

T = TypeVar("T")
Tree = Mapping[str, Any]
Rule = tuple[str, T]


def flatten(tree: Tree) -> dict[str, Any]:
    """{path: leaf} of nested dictionaries."""
    return traverse_util.flatten_dict(dict(tree), sep="/")


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of `flatten`."""
    return traverse_util.unflatten_dict(dict(leaves), sep="/")


def assign(tree: Tree, rules: Sequence[Rule[T]], default: T, name: str = "rules") -> dict[str, Any]:
    """A tree of the same structure with the value of the first rule that fits each path, or `default`.

    Args:
        name: what the rules are called in errors, such as the key of a config.

    Raises:
        IcmError: an impossible pattern, or a rule that decides no leaf.
    """
    compiled = [(_compile(pattern, name), value) for pattern, value in rules]
    used: set[int] = set()
    values = {}
    for path in flatten(tree):
        index = next((i for i, (regex, _) in enumerate(compiled) if regex.fullmatch(path)), None)
        values[path] = default if index is None else compiled[index][1]
        used |= {index} if index is not None else set()
    for i, (pattern, _) in enumerate(rules):
        if i not in used:
            _refuse(pattern, compiled, i, flatten(tree), name)
    return unflatten(values)


def select(tree: Tree, patterns: Iterable[str], name: str = "rules") -> tuple[dict[str, Any], dict[str, Any]]:
    """(leaves whose path fits one of the patterns, all others), two trees that `merge` puts together again.

    Raises:
        IcmError: an impossible pattern, or one that decides no leaf.
    """
    chosen = flatten(assign(tree, [(pattern, True) for pattern in patterns], False, name))
    leaves = flatten(tree)
    return (
        unflatten({path: leaf for path, leaf in leaves.items() if chosen[path]}),
        unflatten({path: leaf for path, leaf in leaves.items() if not chosen[path]}),
    )


def merge(*trees: Tree) -> dict[str, Any]:
    """One tree of the leaves of all.

    Raises:
        IcmError: a path in two of them.
    """
    leaves: dict[str, Any] = {}
    for tree in trees:
        new = flatten(tree)
        if twice := sorted(set(leaves) & set(new)):
            raise IcmError(f"{twice[0]} is in two of the trees to merge ({len(twice)} paths are)")
        leaves |= new
    return unflatten(leaves)


def _compile(pattern: str, name: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise IcmError(f"{name}: {pattern!r} is no regular expression ({error})") from None


def _refuse(
    pattern: str,
    compiled: Sequence[tuple[re.Pattern[str], Any]],
    index: int,
    leaves: Mapping[str, Any],
    name: str,
) -> None:
    """Says why a rule decides nothing: hidden behind others, or no such path (with one that is there)."""
    fits = [path for path in leaves if compiled[index][0].fullmatch(path)]
    if fits:
        first = next(regex.pattern for regex, _ in compiled if regex.fullmatch(fits[0]))
        raise IcmError(
            f"{name}: {pattern!r} decides nothing, all it fits is taken by {first!r}; put it before that"
        )
    example = next(iter(leaves), "no parameters at all")
    raise IcmError(
        f"{name}: {pattern!r} fits none of the {len(leaves)} parameter paths, such as {example!r}; patterns must fit "
        "the whole path (add '.*')"
    )
