"""What a live comparison found, apart from how it was run."""

from typing import NamedTuple

from weights_convert.live.difference import Difference

GRADIENT_FACTOR = 10.0  # gradients may differ this much more than stages


class AdamStep(NamedTuple):
    """The loss before a step on both sides, and how far the parameters are apart after it.

    Attributes:
        parameters: largest difference over all leaves, in units of the learning rate.
    """

    step: int
    ours: float
    theirs: float
    parameters: float


class Comparison(NamedTuple):
    """A case in one precision.

    Attributes:
        reference_error: relative distance of PyTorch's own stages from its float64 ones; empty in float64.
        limit: relative difference that stages may have.
    """

    precision: str
    stages: list[Difference]
    gradients: list[Difference]
    adam: list[AdamStep]
    reference_error: dict[str, float]
    limit: float

    @property
    def passed(self) -> bool:
        """Whether all stages and gradients are within their limits."""
        stages = all(row.relative <= self.limit for row in self.stages)
        return stages and all(row.relative <= GRADIENT_FACTOR * self.limit for row in self.gradients)
