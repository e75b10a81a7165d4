"""What a live comparison found, apart from how it was run."""

from typing import NamedTuple

from weights_convert.live.difference import Difference

FLOAT32, FLOAT64 = "float32", "float64"
STAGE_LIMITS = {FLOAT32: 1e-4, FLOAT64: 1e-10}
GRADIENT_LIMITS = {FLOAT32: 1e-3, FLOAT64: 1e-9}
PARAMETER_LIMIT = 1e-4


class AdamStep(NamedTuple):
    """The loss before a step on both sides, and how far the parameters are apart after it.

    Attributes:
        parameters: length of the difference of all parameters over their length.
        leaf: largest over the leaves of the largest difference over the leaf's largest entry.
    """

    step: int
    ours: float
    theirs: float
    parameters: float
    leaf: float


class Departure(NamedTuple):
    """Where our default is not what the publisher's code does, on purpose.

    Attributes:
        what: the default, and why.
        relative: largest difference that it makes over the largest entry of what the publisher has.
    """

    what: str
    relative: float


class Comparison(NamedTuple):
    """A case in one precision.

    Attributes:
        adam: steps by schedule.
        reference_error: relative distance of PyTorch's own stages from its float64 ones; empty in float64.
        own_error: of our stages from PyTorch's float64 ones; empty in float64.
        limit: relative difference that stages may have.
        departures: of our defaults; the stages are those of the published behaviour.
    """

    precision: str
    stages: list[Difference]
    gradients: list[Difference]
    adam: dict[str, list[AdamStep]]
    reference_error: dict[str, float]
    own_error: dict[str, float]
    limit: float
    departures: list[Departure]

    @property
    def passed(self) -> bool:
        """Whether stages, gradients and trained parameters are within their limits.

        A stage within the limit of PyTorch's float64 is right, however far PyTorch's float32 is from both.
        """
        return (
            all(
                min(row.relative, self.own_error.get(row.name, row.relative)) <= self.limit
                for row in self.stages
            )
            and all(row.relative <= GRADIENT_LIMITS[self.precision] for row in self.gradients)
            and all(steps[-1].parameters <= PARAMETER_LIMIT for steps in self.adam.values())
        )
