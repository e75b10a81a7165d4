"""What is measured: codecs at their qualities, named in one line of text each.

    [CURVE[/POINT]=]NAME[+ADAPTER[#PICTURE]][:QUALITY,…][@BPP,…]

NAME is an included codec, a classical codec (`icm_jax.evaluate.anchors`), an exported codec's folder, or a folder of
such folders q1, q2, …. ADAPTER is a file of an adapter on it, PICTURE one of the pictures that this adapter decodes
to. Quality maps, where an adapter takes any, are made by the network it was trained with. For a codec of a task's
features (DoRA-ICM) its backbone stands in the place of the adapter, for a classical codec the file of a pre-processor.
The folder of a decoder of several tasks codes for all of them and decodes the task that is evaluated; its backbone lies
in it. Without qualities all that there are, or a
classical codec's sweep. With BPP a classical codec searches, for every image, the largest file that is not above that
rate. Texts of one CURVE make one curve; where its points have no qualities of their own, such as several adapters on
one codec, POINT numbers them.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from icm_jax import pretrained
from icm_jax.adapters.channel_selection import ChannelSelectionSpec
from icm_jax.codec import Codec, Estimate
from icm_jax.errors import IcmError
from icm_jax.evaluate.anchors import ANCHORS, AT_RATE, AnchorAt, AnchorAtRate, get_anchor
from icm_jax.evaluate.measure import ImageCodec
from icm_jax.joint_decoder import JointDecoder
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.pretrained import store
from icm_jax.pretrained.dora_icm import BACKBONE_FILE, read_backbone
from icm_jax.pretrained.joint_decoder import DECODER_FILE
from icm_jax.pretrained.joint_decoder import load as load_joint_decoder
from icm_jax.pretrained.preprocessor import StoredPreprocessor, read_preprocessor
from icm_jax.pretrained.store import StoredCodec
from icm_jax.recognizers.quality_map import photo_map
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.registry import load_recognizer
from icm_jax.task_codec import TaskCodec

SYNTAX = re.compile(
    r"(?:(?P<curve>[^=/]+)(?:/(?P<point>\d+))?=)?(?P<name>.+?)(?:\+(?P<adapter>[^#]+?)(?:#(?P<picture>[\w-]+))?)?"
    r"(?::(?P<qualities>\d+(?:,\d+)*))?(?:@(?P<rates>[\d.]+(?:,[\d.]+)*))?"
)

# What adapters of several tasks call the picture of a task, where its name is another.
PICTURES = {
    "saliency": "sal",
    "semseg-nyud": "semseg",
    "semseg-scenes": "semseg",
    "boundary": "edge",
    "boundary-nyud": "edge",
}


class Subject(NamedTuple):
    """A codec at one point of its curve; `quality` orders the points: a quality, a QP, or a rate in bpp."""

    curve: str
    quality: float
    codec: ImageCodec


@dataclass(frozen=True)
class _Adapted:
    """A codec with an adapter or none, how it aligns images, and what makes the quality map, if it wants one."""

    codec: Codec
    alignment: str = field(default="grid", kw_only=True)
    mapper: Recognizer | None = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        return f"{self.codec.name}+{self.codec.adapter.name}" if self.codec.adapter else self.codec.name

    @property
    def quality(self) -> int:
        return self.codec.quality

    @property
    def hash(self) -> str:
        return f"{self.codec.hash}+{self.codec.adapter.hash}" if self.codec.adapter else self.codec.hash

    def compress(self, image: np.ndarray) -> bytes:
        return self.codec.compress(self._with_map(image), self.alignment)

    def estimated_bits(self, image: np.ndarray) -> Estimate:
        return self.codec.estimated_bits(self._with_map(image), self.alignment)

    @property
    def quality_map(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """What makes the map of an image, uint8 [h, w], or None for codecs that take none."""
        return partial(photo_map, self.mapper) if self.mapper else None

    def _with_map(self, image: np.ndarray) -> np.ndarray:
        return np.dstack([image, self.quality_map(image)]) if self.quality_map else image


@dataclass(frozen=True)
class AdaptedCodec(_Adapted):
    """An adapted codec that decodes to one of the adapter's pictures."""

    picture: str

    @property
    def hash(self) -> str:
        return f"{super().hash}#{self.picture}" if self.codec.adapter else super().hash

    def decompress(self, data: bytes) -> np.ndarray:
        return self.codec.decompress_pictures(data)[self.picture]


@dataclass(frozen=True)
class FeatureCodec(_Adapted):
    """An adapted codec that decodes to features of a network, float32 [h, w, c], the map of its `tap`."""

    tap: str

    def decompress(self, data: bytes) -> np.ndarray:
        return self.codec.features(data)


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


@dataclass(frozen=True)
class JointCodec:
    """Codecs of several tasks, whose streams are decoded together to the prediction of one of them.

    A file holds the streams of all tasks, four bytes of length before each: what the decoder needs is what counts.
    """

    decoder: JointDecoder
    task: str

    @property
    def name(self) -> str:
        return "+".join(self.decoder.codecs)

    @property
    def quality(self) -> int:
        return self.decoder.codecs[self.task].stored.quality

    @property
    def hash(self) -> str:
        return f"{self.decoder.stored.digest}#{self.task}"

    def compress(self, image: np.ndarray) -> bytes:
        streams = self.decoder.compress(image).values()
        return b"".join(len(stream).to_bytes(4, "little") + stream for stream in streams)

    def decompress(self, data: bytes) -> np.ndarray:
        streams = {}
        for task in self.decoder.codecs:
            size = int.from_bytes(data[:4], "little")
            streams[task], data = data[4 : 4 + size], data[4 + size :]
        return self.decoder.decompress(streams)[self.task]


@dataclass(frozen=True)
class PreprocessedCodec:
    """A classical codec that codes what a pre-processor makes of a picture."""

    preprocessor: StoredPreprocessor
    codec: AnchorAt | AnchorAtRate

    @property
    def name(self) -> str:
        return f"{self.codec.name}+preprocessor"

    @property
    def quality(self) -> int:
        return self.codec.quality

    @property
    def hash(self) -> str:
        return f"{self.codec.hash}+{self.preprocessor.digest}"

    def compress(self, image: np.ndarray) -> bytes:
        return self.codec.compress(self.preprocessor(image))

    def decompress(self, data: bytes) -> np.ndarray:
        return self.codec.decompress(data)


def load_subjects(texts: Sequence[str], task: str = "", alignment: str = "grid") -> list[Subject]:
    """The codecs behind the texts, at every quality, in order.

    Args:
        task: of an adapter with a picture for every task, the picture that is taken when none is named.
        alignment: of learned codecs of pictures; see `Codec.compress`.

    Raises:
        IcmError: a text that is not understood, a codec that is not there, or a curve with the same point twice.
    """
    subjects = [subject for text in texts for subject in _numbered(text, list(_load(text, task, alignment)))]
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
    if isinstance(codec, PreprocessedCodec):
        codec = codec.codec
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


def _load(text: str, task: str, alignment: str) -> Iterator[Subject]:
    match = SYNTAX.fullmatch(text)
    if match is None:
        raise IcmError(
            f"codec {text!r} is not understood; write [CURVE[/POINT]=]NAME[+ADAPTER][:QUALITIES][@BPP]"
        )
    name, curve = match["name"], match["curve"]
    qualities = [int(number) for number in (match["qualities"] or "").split(",") if number]
    rates = [_rate(text, number) for number in (match["rates"] or "").split(",") if number]
    if name in ANCHORS:
        points = _anchor_points(name, curve, qualities, rates)
        yield from _preprocessed(points, curve, Path(match["adapter"])) if match["adapter"] else points
        return
    if rates:
        raise IcmError(
            f"{text!r}: a rate can be searched for a classical codec ({', '.join(ANCHORS)}) only; "
            "give qualities behind a colon"
        )
    if (Path(name) / DECODER_FILE).is_file():
        yield _joint(text, name, curve, match["adapter"], PICTURES.get(task, task))
        return
    for stored in _stored(name, qualities):
        if isinstance(stored.spec, DoraICMSpec):
            if not match["adapter"]:
                raise IcmError(f"{text!r} codes features of a backbone; write {text}+BACKBONE.safetensors")
            backbone = read_backbone(Path(match["adapter"]))
            yield Subject(curve or stored.name, stored.quality, PredictionCodec(TaskCodec(stored, backbone)))
            continue
        codec = Codec(stored).with_adapter(match["adapter"])
        subject = _adapted(text, codec, match["picture"], task, alignment)
        yield Subject(curve or subject.name, codec.quality, subject)


def _adapted(text: str, codec: Codec, picture: str | None, task: str, alignment: str) -> ImageCodec:
    adapter = codec.adapter
    if adapter is None and alignment == "grid":
        return codec
    if adapter and isinstance(adapter.spec, ChannelSelectionSpec):
        # Features of a resized picture are of another scale, and can not be resized back.
        padded = "pad256" if alignment == "resize256" else alignment
        return FeatureCodec(codec, adapter.spec.tap, alignment=padded)
    mapper = load_recognizer(adapter.task) if adapter and adapter.codec_spec.input_channels > 3 else None
    chosen = chosen_picture(text, codec, picture, task)
    return AdaptedCodec(codec, chosen, alignment=alignment, mapper=mapper)


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


def _preprocessed(points: Iterator[Subject], curve: str | None, file: Path) -> Iterator[Subject]:
    preprocessor = read_preprocessor(file)
    for point in points:
        assert isinstance(point.codec, (AnchorAt, AnchorAtRate))
        codec = PreprocessedCodec(preprocessor, point.codec)
        yield Subject(curve or codec.name, point.quality, codec)


def _joint(text: str, name: str, curve: str | None, backbone: str | None, task: str) -> Subject:
    stored = load_joint_decoder(Path(name))
    if task not in stored.codecs:
        raise IcmError(f"{text!r} does not predict {task or 'pictures'}; it reads {', '.join(stored.codecs)}")
    weights = read_backbone(Path(backbone or Path(name) / BACKBONE_FILE))
    codec = JointCodec(JointDecoder(stored, weights), task)
    return Subject(curve or codec.name, codec.quality, codec)


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
