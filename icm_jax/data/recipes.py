"""Augmentations of papers by name: what training does to a sample, and what evaluation does."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from icm_jax.data.augmentation import (
    Sample,
    Size,
    cropped,
    finished,
    middle,
    mirrored,
    padded,
    prepared,
    resized,
    scaled,
    warped,
)
from icm_jax.errors import IcmError
from icm_jax.metrics.meter import IGNORE

AROUND = (123, 117, 104)  # the mean that EVA-02 subtracts: nearly 0 after normalisation


class Transform(Protocol):
    """From a stored sample to what a network is given."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Labels that are used, whichever are asked for."""
        ...

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The changed sample, of uint8 and float32; see `augmentation.finished`."""
        ...


@dataclass(frozen=True)
class Warp:
    """Mirroring, turning and scaling about the centre, then one size for all.

    Attributes:
        size: (height, width) of the result.
        degrees: the largest angle, either way.
        scales: the two ends of a range, or with `of_these` the values.
        of_these: take one of `scales` instead of anything between.
        legacy_border: fill class maps with 0 where the frame is empty, as the reference does, instead of 255.
    """

    size: Size
    degrees: float
    scales: tuple[float, ...]
    of_these: bool = False
    legacy_border: bool = False
    needs: tuple[str, ...] = ()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        mirror, angle = rng.random() < 0.5, rng.uniform(-self.degrees, self.degrees)
        scale = rng.choice(self.scales) if self.of_these else rng.uniform(self.scales[0], self.scales[-1])
        sample = prepared(sample)
        sample = mirrored(sample) if mirror else sample
        sample = warped(sample, float(angle), float(scale), 0 if self.legacy_border else IGNORE)
        return finished(resized(sample, self.size))


@dataclass(frozen=True)
class ScaleAndCrop:
    """Scaling, a random part that is not all of one class, mirroring; smaller ones are framed."""

    size: Size
    scales: tuple[float, float] = (0.5, 2.0)
    needs: tuple[str, ...] = ("semseg",)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample = scaled(prepared(sample), float(rng.uniform(*self.scales)))
        sample = cropped(sample, self.size, rng)
        sample = mirrored(sample) if rng.random() < 0.5 else sample
        return finished(padded(sample, self.size, AROUND))


@dataclass(frozen=True)
class Middle:
    """The middle of the sample and nothing random; smaller ones are framed."""

    size: Size
    needs: tuple[str, ...] = ()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return finished(padded(middle(prepared(sample), self.size), self.size, AROUND))


@dataclass(frozen=True)
class Resize:
    """One size for all and nothing random."""

    size: Size
    needs: tuple[str, ...] = ()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return finished(resized(prepared(sample), self.size))


@dataclass(frozen=True)
class Pad:
    """The sample in the middle of a frame and nothing random."""

    size: Size
    needs: tuple[str, ...] = ()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return finished(padded(prepared(sample), self.size, AROUND))


class Recipe(NamedTuple):
    """What training and evaluation do."""

    train: Transform
    evaluate: Transform


RECIPES: dict[str, Recipe] = {
    "astmt-pascal": Recipe(Warp((512, 512), 20.0, (0.75, 1.25)), Resize((512, 512))),
    "astmt-nyud": Recipe(Warp((512, 512), 0.0, (1.0, 1.2, 1.5), of_these=True), Resize((512, 512))),
    "invpt-pascal": Recipe(ScaleAndCrop((512, 512)), Pad((512, 512))),
    "invpt-nyud": Recipe(ScaleAndCrop((448, 576)), Pad((448, 576))),
    "invpt-pascal-14": Recipe(ScaleAndCrop((504, 504)), Pad((504, 504))),  # whole patches of 14 pixels, and
    "invpt-nyud-14": Recipe(ScaleAndCrop((448, 560)), Pad((448, 560))),  # a grid of them that divides by 4
}


def get_recipe(name: str) -> Recipe:
    """The recipe of this name; raises IcmError with those there are."""
    if name not in RECIPES:
        raise IcmError(f"augmentation {name!r} is unknown; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]
