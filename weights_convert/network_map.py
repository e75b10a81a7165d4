"""A published network and ours: the architecture that shapes tell, and the way of every array, there and back.

published names ── prepare ──► names of the rules ── rules ──► parameter tree
                ◄─ restore ──                     ◄─ inverse ─
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from weights_convert.keymap import ConversionError, Rule, convert, find_rule, invert, match, placeholder

Network = TypeVar("Network")
StateDict = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]
PARALLEL = "module."  # what training on several devices puts before every name


def shapes_of(state_dict: StateDict) -> dict[str, tuple[int, ...]]:
    """Shape by name."""
    return {name: tuple(np.shape(array)) for name, array in state_dict.items()}


def without_prefix(state_dict: StateDict) -> dict[str, np.ndarray]:
    """The arrays of a network that was trained on one device or on several."""
    return {name.removeprefix(PARALLEL): array for name, array in state_dict.items()}


def with_prefix(arrays: StateDict, published: Shapes) -> dict[str, np.ndarray]:
    """Undoes `without_prefix`."""
    plain = {name: name.removeprefix(PARALLEL) for name in published}
    return {name: arrays[own] for name, own in plain.items() if own in arrays}


@dataclass(frozen=True)
class NetworkMap(Generic[Network]):
    """How the state dicts of one publisher become networks of one kind.

    Attributes:
        infer: the architecture that has these shapes, by the names of the rules.
        rules: its key map.
        expected: shapes of its parameters as a nested dict.
        prepare: published names and arrays -> those that the rules speak of.
        restore: undoes `prepare` as far as the arrays were kept; gets the published shapes too.
        names: published names of all that a network uses, where networks that were made here are written.
    """

    infer: Callable[[Shapes], Network]
    rules: Callable[[Network], Sequence[Rule]]
    expected: Callable[[Network], Mapping[str, Any]]
    prepare: Callable[[StateDict], dict[str, np.ndarray]] = without_prefix
    restore: Callable[[StateDict, Shapes], dict[str, np.ndarray]] = with_prefix
    names: Callable[[Network], Sequence[str]] | None = None

    def convert(self, state_dict: StateDict) -> tuple[Network, dict[str, Any]]:
        """The network and its parameters (float32, nested).

        Raises:
            ConversionError: the arrays are not those of one.
        """
        arrays = self.prepare(state_dict)
        network = self._infer(shapes_of(arrays))
        return network, convert(arrays, self.rules(network), self.expected(network))

    def network(self, published: Shapes) -> Network:
        """The architecture alone, of arrays that are known to be those of one."""
        return self._infer(self._prepared(published))

    def check(self, published: Shapes) -> None:
        """Raises ConversionError unless arrays of these names and shapes are those of a network."""
        shapes = self._prepared(published)
        network = self._infer(shapes)
        rules = self.rules(network)
        # First the names alone: most foreign files end here, before a network is traced for its shapes.
        if strange := next((name for name in shapes if find_rule(name, rules) is None), None):
            raise ConversionError(f"no rule for {strange}")
        match(shapes, rules, self.expected(network))

    def invert(self, network: Network, params: Mapping[str, Any], published: Shapes) -> dict[str, np.ndarray]:
        """The published arrays that parameters stand for; those that the rules drop are left out."""
        return self.restore(invert(params, self.rules(network), self._prepared(published)), published)

    def publish(self, network: Network, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """All arrays of a network under the publisher's names.

        Raises:
            ConversionError: they are known from published files alone.
        """
        if self.names is None:
            raise ConversionError(
                f"no names are known for {network}; convert a published file and go back from it"
            )
        return self.invert(network, params, dict.fromkeys(self.names(network), ()))

    def _prepared(self, published: Shapes) -> dict[str, tuple[int, ...]]:
        return shapes_of(self.prepare({name: placeholder(tuple(s)) for name, s in published.items()}))

    def _infer(self, shapes: Shapes) -> Network:
        try:
            return self.infer(shapes)
        except (
            LookupError,
            ValueError,
            ArithmeticError,
        ) as error:  # arrays of a name we know, with other axes
            raise ConversionError(f"shapes fit no such network ({error}): the file holds another") from None
