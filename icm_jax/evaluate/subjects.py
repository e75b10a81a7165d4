"""What is measured: codecs at their qualities, named in one line of text each.

    [CURVE[/POINT]=]NAME[+ADAPTER[#PICTURE]][:QUALITY,…][@BPP,…]

NAME is an included codec, a classical codec (`icm_jax.evaluate.anchors`), an exported codec's folder, or a folder of
such folders q1, q2, …. ADAPTER is a file of an adapter on it, PICTURE one of the pictures that this adapter decodes
to. For a codec of a task's features (DoRA-ICM) its backbone stands in the place of the adapter. Without qualities all
that there are, or a classical codec's sweep. With BPP a classical codec searches, for every image, the largest file
that is not above that rate. Texts of one CURVE make one curve; where its points have no qualities of their own, such
as several adapters on one codec, POINT numbers them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from icm_jax import pretrained
from icm_jax.codec import Codec, Estimate
from icm_jax.errors import IcmError
from icm_jax.evaluate.anchors import ANCHORS, AT_RATE, AnchorAt, AnchorAtRate, get_anchor
from icm_jax.evaluate.measure import ImageCodec
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.pretrained import store
from icm_jax.pretrained.dora_icm import read_backbone
from icm_jax.pretrained.store import StoredCodec
from icm_jax.task_codec import TaskCodec

SYNTAX = re.compile(
    r"(?:(?P<curve>[^=/]+)(?:/(?P<point>\d+))?=)?(?P<name>.+?)(?:\+(?P<adapter>[^#]+?)(?:#(?P<picture>[\w-]+))?)?"
    r"(?::(?P<qualities>\d+(?:,\d+)*))?(?:@(?P<rates>[\d.]+(?:,[\d.]+)*))?"
)

# What adapters of several tasks call the picture of a task, where its name is another.
PICTURES = {"saliency": "sal", "semseg-nyud": "semseg", "boundary": "edge", "boundary-nyud": "edge"}


class Subject(NamedTuple):
    """A codec at one point of its curve; `quality` orders the points: a quality, a QP, or a rate in bpp."""

    curve: str
    quality: float
    codec: ImageCodec


@dataclass(frozen=True)
class AdaptedCodec:
    """A codec with an adapter, decoding to one of the adapter's pictures."""

    codec: Codec
    picture: str

    @property
    def name(self) -> str:
        return f"{self.codec.name}+{self.codec.adapter.name}" if self.codec.adapter else self.codec.name

    @property
    def quality(self) -> int:
        return self.codec.quality

    @property
    def hash(self) -> str:
        adapter = f"+{self.codec.adapter.hash}#{self.picture}" if self.codec.adapter else ""
        return f"{self.codec.hash}{adapter}"

    def compress(self, image: np.ndarray) -> bytes:
        return self.codec.compress(image)

    def decompress(self, data: bytes) -> np.ndarray:
        return self.codec.decompress_pictures(data)[self.picture]

    def estimated_bits(self, image: np.ndarray) -> Estimate:
        return self.codec.estimated_bits(image)


@dataclass(frozen=True)
class PredictionCodec:
    """A codec of a task's features, which decodes to the task's prediction, float32 [h, w, outputs]."""

    codec: TaskCodec

    @property
    def name(self) -> str:
        return self.codec.stored.name

    @property
    def quality(self) -> int:
        return self.codec.stored.quality

    @property
    def hash(self) -> str:
        return self.codec.stored.hash

    def compress(self, image: np.ndarray) -> bytes:
        return self.codec.compress(image)

    def decompress(self, data: bytes) -> np.ndarray:
        return self.codec.decompress(data)

    def estimated_bits(self, image: np.ndarray) -> Estimate:
        bits = self.codec.estimated_bits(image)
        return Estimate(bits, bits / (image.shape[0] * image.shape[1]), np.zeros((0, 0), np.float32))


def load_subjects(texts: Sequence[str], task: str = "") -> list[Subject]:
    """The codecs behind the texts, at every quality, in order.

    Args:
        task: of an adapter with a picture for every task, the picture that is taken when none is named.

    Raises:
        IcmError: a text that is not understood, a codec that is not there, or a curve with the same point twice.
    """
    subjects = [subject for text in texts for subject in _numbered(text, list(_load(text, task)))]
    points = [subject[:2] for subject in subjects]
    for curve, quality in points:
        if points.count((curve, quality)) > 1:
            raise IcmError(
                f"curve {curve!r} has quality {quality:g} twice; "
                f"give them other names ({curve}-2=CODEC), or number the points ({curve}/1=CODEC {curve}/2=CODEC)"
            )
    return subjects


def file_extension(codec: ImageCodec) -> str:
    """Of the codec's files, without the dot."""
    return codec.anchor.extension if isinstance(codec, (AnchorAt, AnchorAtRate)) else "icm"


def _numbered(text: str, subjects: list[Subject]) -> list[Subject]:
    """The subjects of a text, with the number it gives them."""
    match = SYNTAX.fullmatch(text)
    if match is None or match["point"] is None:
        return subjects
    if len(subjects) > 1:
        raise IcmError(
            f"{text!r} numbers one point, {len(subjects)} stand behind it; name one quality behind a colon"
        )
    return [subject._replace(quality=int(match["point"])) for subject in subjects]


def _load(text: str, task: str) -> Iterator[Subject]:
    match = SYNTAX.fullmatch(text)
    if match is None:
        raise IcmError(
            f"codec {text!r} is not understood; write [CURVE[/POINT]=]NAME[+ADAPTER][:QUALITIES][@BPP]"
        )
    name, curve = match["name"], match["curve"]
    qualities = [int(number) for number in (match["qualities"] or "").split(",") if number]
    rates = [_rate(text, number) for number in (match["rates"] or "").split(",") if number]
    if name in ANCHORS:
        yield from _anchor_points(name, curve, qualities, rates)
        return
    if rates:
        raise IcmError(
            f"{text!r}: a rate can be searched for a classical codec ({', '.join(ANCHORS)}) only; "
            "give qualities behind a colon"
        )
    for stored in _stored(name, qualities):
        if isinstance(stored.spec, DoraICMSpec):
            if not match["adapter"]:
                raise IcmError(f"{text!r} codes features of a backbone; write {text}+BACKBONE.safetensors")
            backbone = read_backbone(Path(match["adapter"]))
            yield Subject(curve or stored.name, stored.quality, PredictionCodec(TaskCodec(stored, backbone)))
            continue
        codec = Codec(stored)
        subject: ImageCodec = codec
        if match["adapter"]:
            adapted = codec.with_adapter(match["adapter"])
            subject = AdaptedCodec(adapted, chosen_picture(text, adapted, match["picture"], task))
        yield Subject(curve or subject.name, codec.quality, subject)


def _anchor_points(
    name: str, curve: str | None, qualities: list[int], rates: list[float]
) -> Iterator[Subject]:
    anchor = get_anchor(name)
    for quality in qualities or ([] if rates else anchor.sweep):
        if quality not in anchor.qualities:
            least, most = min(anchor.qualities), max(anchor.qualities)
            raise IcmError(f"{name} has no quality {quality}; choose from {least} to {most}")
        yield Subject(curve or name, quality, anchor.at(quality))
    for rate in rates:
        yield Subject(curve or f"{name}{AT_RATE}", rate, AnchorAtRate(anchor, rate))


def _stored(name: str, qualities: list[int]) -> list[StoredCodec]:
    folder = Path(name)
    if not folder.is_dir():
        pretrained.folder(name)  # refuses a name that is not included
        members = [pretrained.folder(name, quality) for quality in qualities or pretrained.qualities(name)]
        return [store.load(member) for member in members]
    files = sorted(folder.glob("q*/codec.json"), key=lambda path: (len(path.parent.name), path.parent.name))
    loaded = [store.load(file.parent) for file in files] or [store.load(folder)]
    found = [stored.quality for stored in loaded]
    missing = [quality for quality in qualities if quality not in found]
    if missing:
        raise IcmError(f"{name} has no quality {missing[0]}; choose from {', '.join(map(str, found))}")
    return [stored for stored in loaded if not qualities or stored.quality in qualities]


def chosen_picture(text: str, codec: Codec, named: str | None, task: str) -> str:
    """The picture named, else the task's own, else the only or shared one."""
    if not codec.pictures:
        raise IcmError(f"{text!r} decodes to features, not to an image; evaluate a codec of images")
    if named is not None and named not in codec.pictures:
        raise IcmError(f"{text!r} has no picture {named!r}; choose one of {', '.join(codec.pictures)}")
    own = PICTURES.get(task, task)
    return named or (own if own in codec.pictures else codec.pictures[0])


def _rate(text: str, number: str) -> float:
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if rate <= 0:
        raise IcmError(
            f"{text!r}: rate {number} is not a number of bits a pixel above 0; write such as @0.25"
        )
    return rate
