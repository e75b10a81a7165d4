"""A number that is reported, as data: its name, its unit, which way is better."""

from typing import NamedTuple

AGREEMENT = (
    "_agreement"  # behind a metric's name: with a network's answer to the original in place of the label
)


class Metric(NamedTuple):
    """A number that is reported.

    Attributes:
        name: key of the number in results.
        title: for people, with the unit.
        lower_is_better: whether a smaller number is the better one.
        low, high: limits of the number; a fit to a curve keeps to them.
    """

    name: str
    title: str
    lower_is_better: bool = False
    low: float = float("-inf")
    high: float = float("inf")

    @property
    def agreement(self) -> "Metric":
        """The same, with the network's answer to the original in place of the label."""
        return self._replace(name=self.name + AGREEMENT, title=f"agreement, {self.title}")
