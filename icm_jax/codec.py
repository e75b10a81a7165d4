"""`Codec`: images to `.icm` bytes and back. What a user imports.

>>> from icm_jax import Codec
>>> codec = Codec.load("tic-lite")
>>> data = codec.compress(image)          # uint8 [h, w, 3] -> bytes
>>> image_hat = codec.decompress(data)    # bytes -> uint8 [h, w, 3]
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from icm_jax import pretrained
from icm_jax.adapters import store as adapter_store
from icm_jax.adapters.registry import adapted
from icm_jax.adapters.store import StoredAdapter
from icm_jax.bitstream import container
from icm_jax.bitstream.container import Alignment, Header, Section, Stream
from icm_jax.bitstream.errors import WrongAdapter, WrongCodec
from icm_jax.bitstream.header import HASH_BYTES, NO_HASH
from icm_jax.canvas import LADDER, Canvas, from_header, pad, plan
from icm_jax.coding import coding_of
from icm_jax.coding.latents import Quantised
from icm_jax.errors import IcmError
from icm_jax.models import programs
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.pretrained import store
from icm_jax.pretrained.store import StoredCodec

Precision = Literal["float64", "float32"]  # of the path that chooses tables

DEFAULT_CODEC = "tic-lite"
BATCH_PIXELS = LADDER[-1] ** 2  # images of one canvas size run together up to this many pixels


class Estimate(NamedTuple):
    """What the model says an image costs, before any coding. `map` holds bits a latent position (16×16 pixels)."""

    bits: float
    bpp: float
    map: Float[np.ndarray, "hy wy"]


class Inspection(NamedTuple):
    """What a stream holds. Sizes in bytes; `channel_bits` in bits for every channel of y."""

    header: Header
    total_bytes: int
    section_bytes: list[tuple[str, int]]
    bpp: float
    guard_bytes: int
    channel_bits: Float[np.ndarray, "m"]
    z_bits: float


class Codec:
    """A trained codec: compresses and decompresses images of any size, with nothing to prepare or to remember.

    With an adapter it codes for a machine's task. Without one it is the codec for people, bit for bit.
    """

    def __init__(self, stored: StoredCodec, adapter: StoredAdapter | None = None) -> None:
        if isinstance(stored.spec, DoraICMSpec):
            raise IcmError(f"{stored.name} codes features for a task; use icm_jax.task_codec.TaskCodec")
        self._stored = stored if stored.hash else store.with_hash(stored)
        self._coding = coding_of(stored.spec)
        self._adapter = adapter
        variables: Mapping[str, Any] = {"params": self._stored.params}
        if adapter is not None:
            adapter.refuse_other_base(self._stored)
            variables = adapted(self._stored.params, adapter.variables)
        self._network = programs.Network(stored.spec, variables, adapter.codec_spec if adapter else None)

    @classmethod
    def load(
        cls,
        name_or_folder: str | Path,
        quality: int | None = None,
        adapter: str | Path | StoredAdapter | None = None,
    ) -> "Codec":
        """Loads an included codec by name ("tic-lite", optionally a quality) or any codec folder.

        Args:
            adapter: an adapter to put on it: a file, or the name of one that comes with an included codec.

        Raises:
            IcmError: no such codec or quality, missing or damaged files, weights that do not match their hash, or
                an adapter of another base.
        """
        if not _is_folder(name_or_folder):
            return cls(store.load(pretrained.folder(str(name_or_folder), quality))).with_adapter(adapter)
        if quality is not None:
            raise IcmError(
                f"{name_or_folder} is one codec; quality={quality} applies to included codecs only"
            )
        return cls(store.load(name_or_folder)).with_adapter(adapter)

    @classmethod
    def for_stream(
        cls,
        data: bytes,
        name_or_folder: str | Path | None = None,
        adapter: str | Path | StoredAdapter | None = None,
    ) -> "Codec":
        """The codec a stream names, at the stream's quality, or a given one; with its adapter, if that is included too.

        Raises:
            IcmError: the stream names a codec that is not included and none is given.
        """
        if name_or_folder is not None and _is_folder(name_or_folder):
            return cls.load(name_or_folder, adapter=adapter)
        header = container.read_header(data)
        codec = cls.load(name_or_folder or header.codec_id, header.quality)
        included = pretrained.adapters(codec.name, codec.quality).get(header.adapter_id)
        return codec.with_adapter(adapter or included)

    def with_adapter(self, adapter: str | Path | StoredAdapter | None) -> "Codec":
        """The same base, shared in memory, with another adapter or none.

        Compiled programs are shared by adapters of one specification.

        Raises:
            IcmError: a missing or damaged file, no such included adapter, or an adapter of another base.
        """
        if isinstance(adapter, (str, Path)):
            adapter = adapter_store.load(self._adapter_file(adapter))
        return Codec(self._stored, adapter)

    def _adapter_file(self, name_or_file: str | Path) -> Path:
        if Path(name_or_file).exists():
            return Path(name_or_file)
        included = pretrained.adapters(self.name, self.quality)
        if str(name_or_file) not in included:
            raise IcmError(
                f"{name_or_file}: no such adapter file, and none of that name comes with {self._stored.label} "
                f"(included: {', '.join(included) or 'none'}); check the path, or take another quality"
            )
        return included[str(name_or_file)]

    def save(self, folder: str | Path) -> None:
        """Writes the codec as a folder: JSON specification, safetensors weights, integer tables, hash."""
        store.save(self._stored, folder)

    @property
    def name(self) -> str:
        """Name that streams carry."""
        return self._stored.name

    @property
    def quality(self) -> int:
        """Position on the codec's ladder of rates, low to high."""
        return self._stored.quality

    @property
    def lmbda(self) -> float:
        """Rate–distortion weight it was trained for."""
        return self._stored.lmbda

    @property
    def hash(self) -> str:
        """SHA-256 of specification, weights and tables, hexadecimal."""
        return self._stored.hash

    @property
    def stored(self) -> StoredCodec:
        """Specification, weights and tables."""
        return self._stored

    @property
    def adapter(self) -> StoredAdapter | None:
        """What steers the codec, if anything."""
        return self._adapter

    @property
    def pictures(self) -> tuple[str, ...]:
        """Names of the pictures that a stream decodes to; empty for an adapter that decodes to features."""
        return self._adapter.codec_spec.pictures if self._adapter else ("image",)

    @cached_property
    def _params64(self) -> Any:
        return programs.double_precision(
            {name: self._stored.params[name] for name in self._coding.SCALE_PATH}
        )

    def compress(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        alignment: str = "grid",
        metadata: Mapping[str, Any] | None = None,
        scale_precision: Precision = "float64",
    ) -> bytes:
        """Compresses one image of any size from 1×1 up.

        Args:
            image: RGB, and a fourth channel for an adapter that takes a map beside the image.
            alignment: "grid", or the published codecs' "pad256" and "resize256".
            metadata: stored with the stream as JSON.
            scale_precision: "float32" guards the stream for decoders without float64, at a few per cent of bytes.

        Returns:
            The bytes of an `.icm` file.
        """
        return next(self._compress_all([image], alignment, metadata, scale_precision))

    def compress_batch(
        self,
        images: Sequence[UInt8[np.ndarray, "h w 3"]],
        alignment: str = "grid",
        threads: int | None = None,
    ) -> list[bytes]:
        """Compresses many images. Same bytes as one by one; neighbours of one size share a device call.

        The networks of the next images run while earlier ones are entropy coded on `threads` threads.
        """
        return list(self._compress_all(images, alignment, None, "float64", threads))

    def decompress(
        self, data: bytes, picture: str | None = None, max_pixels: int = container.MAX_PIXELS
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes a stream to the image.

        Args:
            picture: which one, where an adapter makes several; default: the first, which is for all purposes.
            max_pixels: a stream that claims more is refused before memory is taken.

        Raises:
            StreamError: damaged, truncated, of another codec or adapter, or symbols that differ from the encoder's.
            IcmError: there is no such picture.
        """
        if picture is not None and picture not in self.pictures:
            maker = f"adapter {self._adapter.name}" if self._adapter else f"codec {self.name}"
            raise IcmError(
                f"there is no picture for task {picture!r}; {maker} has {', '.join(self.pictures) or 'none'}"
            )
        pictures = self.decompress_pictures(data, max_pixels)
        return pictures[picture or self.pictures[0]]

    def decompress_pictures(
        self, data: bytes, max_pixels: int = container.MAX_PIXELS
    ) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
        """Decodes a stream, once, to all its pictures by name; see `pictures`."""
        if not self.pictures:
            raise IcmError(
                f"adapter {self._adapter_label()} decodes to features, not to an image; use `features`"
            )
        decoded, canvas = self._decode(data, max_pixels)
        parts = np.split(self._crop(decoded, canvas), len(self.pictures), axis=-1)
        return dict(zip(self.pictures, parts, strict=True))

    def features(self, data: bytes, max_pixels: int = container.MAX_PIXELS) -> Float[np.ndarray, "h w c"]:
        """Decodes a stream to the features of a recognition network, those that cover the image.

        Raises:
            IcmError: the codec has no adapter that makes any.
        """
        if self.pictures:
            raise IcmError(f"adapter {self._adapter_label()} decodes to an image; use `decompress`")
        decoded, canvas = self._decode(data, max_pixels)
        rows, cols = canvas.coded_grid(canvas.padded_height // len(decoded))
        return decoded[:rows, :cols]

    def decompress_batch(
        self, streams: Sequence[bytes], threads: int | None = None
    ) -> list[UInt8[np.ndarray, "h w 3"]]:
        """Decodes many streams; parsing and entropy decoding overlap on `threads` threads."""
        with ThreadPoolExecutor(threads or _default_threads()) as pool:
            return list(pool.map(self.decompress, streams))

    def estimated_bits(self, image: UInt8[np.ndarray, "h w 3"], alignment: str = "grid") -> Estimate:
        """−log2 of the model's likelihoods of the coded latents, and where in the image they fall."""
        canvas = _plan(image, alignment, self._adapter.codec_spec.input_channels if self._adapter else 3)
        latents = self._quantise([image], [canvas])
        spec = self._stored.spec
        y_bits, z_bits = programs.programs(spec).bits(
            {"params": self._stored.params},
            latents.y_hat,
            latents.z_hat,
            latents.scales.astype(np.float32),
            latents.means,
        )
        hy, wy = canvas.coded_grid(spec.y_stride)
        hz, wz = canvas.coded_grid(spec.z_stride)
        bit_map = np.asarray(y_bits)[0, :hy, :wy].sum(-1, dtype=np.float64)
        z_map = np.asarray(z_bits)[0, :hz, :wz].sum(-1, dtype=np.float64)
        ratio = spec.z_stride // spec.y_stride
        share = np.repeat(np.repeat(z_map, ratio, 0), ratio, 1)[:hy, :wy]
        bits = float(bit_map.sum() + z_map.sum())
        # The outermost z may cover fewer y positions: shares are scaled so that the map sums to the total.
        bit_map += share * (z_map.sum() / max(share.sum(), 1e-12))
        return Estimate(bits, bits / (canvas.height * canvas.width), bit_map.astype(np.float32))

    def inspect(self, data: bytes, max_pixels: int = container.MAX_PIXELS) -> Inspection:
        """Header, bytes of every section, bits of every channel and the cost of the guard.

        Symbols say nothing of pictures, so any adapter's stream can be inspected.
        """
        stream, canvas = self._open(data, max_pixels)
        symbols = self._read(stream, canvas).symbols[0]
        return inspection(data, stream, canvas, *self._coding.symbol_bits(self._stored, symbols))

    def _compress_all(
        self,
        images: Sequence[np.ndarray],
        alignment: str,
        metadata: Mapping[str, Any] | None,
        precision: Precision,
        threads: int | None = None,
    ) -> Iterator[bytes]:
        channels = self._adapter.codec_spec.input_channels if self._adapter else 3
        canvases = [_plan(image, alignment, channels) for image in images]
        extra = [_metadata_section(metadata)] if metadata else []
        with ThreadPoolExecutor(threads or _default_threads()) as pool:
            pending: list[Future[bytes]] = []
            for group in _batches(canvases):
                latents = self._quantise([images[i] for i in group], [canvases[i] for i in group])
                for i, symbols in zip(group, latents.symbols, strict=True):
                    pending.append(pool.submit(self._pack, symbols, canvases[i], extra, precision))
            for future in pending:
                yield future.result()

    def _quantise(self, images: Sequence[np.ndarray], canvases: Sequence[Canvas]) -> Quantised:
        stored, canvas = self._stored, canvases[0]
        pixels = np.stack([_place(image, own) for image, own in zip(images, canvases, strict=True)])
        y = programs.analyse(self._network, pixels, canvas)
        z = programs.hyper_analyse(self._network, y)
        return self._coding.quantise(stored, self._params64, y, z, canvases)

    def _pack(self, symbols: Any, canvas: Canvas, extra: list[Section], precision: Precision) -> bytes:
        sections, symbol_hash = self._coding.write(self._stored, symbols, precision)
        header = Header(
            codec_id=self.name,
            codec_hash=_short(self.hash),
            adapter_id=self._adapter.name if self._adapter else "",
            adapter_hash=_short(self._adapter.hash) if self._adapter else NO_HASH,
            width=canvas.width,
            height=canvas.height,
            padded_width=canvas.padded_width,
            padded_height=canvas.padded_height,
            quality=self.quality,
            alignment=canvas.alignment,
            scale_precision=precision,
            symbol_hash=symbol_hash,
        )
        return container.pack(header, [*sections, *extra])

    def _open(self, data: bytes, max_pixels: int = container.MAX_PIXELS) -> tuple[Stream, Canvas]:
        stream = container.unpack(data, max_pixels=max_pixels)
        header = stream.header
        own = _short(self.hash)
        if header.codec_hash != own:
            raise WrongCodec(f"{header.codec_id} {header.codec_hash.hex()}", f"{self.name} {own.hex()}")
        sizes = (header.height, header.width, header.padded_height, header.padded_width)
        return stream, from_header(*sizes, header.alignment)

    def _decode(self, data: bytes, max_pixels: int) -> tuple[np.ndarray, Canvas]:
        """What the networks make of a stream, on its whole canvas."""
        stream, canvas = self._open(data, max_pixels)
        self.refuse_other_adapter(stream.header)
        y_hat = self._read(stream, canvas).y_hat
        return programs.synthesise(self._network, y_hat, canvas)[0], canvas

    def refuse_other_adapter(self, header: Header) -> None:
        """Raises WrongAdapter unless the stream was made with this adapter, or with one that it only adds tasks to."""
        own = self._adapter
        readable = (NO_HASH,) if own is None else tuple(map(_short, (own.hash, *own.extends)))
        if header.adapter_hash not in readable:
            needed = f"{header.adapter_id} {header.adapter_hash.hex()}" if header.adapter_id else "none"
            raise WrongAdapter(needed, self._adapter_label())

    def _adapter_label(self) -> str:
        return f"{self._adapter.name} {_short(self._adapter.hash).hex()}" if self._adapter else "none"

    def _read(self, stream: Stream, canvas: Canvas) -> Quantised:
        header = stream.header
        return self._coding.read(
            self._stored, self._params64, stream.sections, canvas, header.symbol_hash, header.scale_precision
        )

    def _crop(self, pixels: np.ndarray, canvas: Canvas) -> np.ndarray:
        if canvas.alignment is Alignment.RESIZE256:
            return programs.resize(pixels, (canvas.height, canvas.width))
        return pixels[: canvas.height, : canvas.width]


def inspection(
    data: bytes,
    stream: Stream,
    canvas: Canvas,
    z_bits: Float[np.ndarray, "hz wz n"],
    y_bits: Float[np.ndarray, "hy wy m"],
) -> Inspection:
    """What is said of a stream whose symbols cost these bits."""
    return Inspection(
        header=stream.header,
        total_bytes=len(data),
        section_bytes=[(section.type.name, len(section.payload)) for section in stream.sections],
        bpp=8 * len(data) / (canvas.height * canvas.width),
        guard_bytes=sum(map(len, stream.payloads(container.SectionType.GUARD))),
        channel_bits=y_bits.sum((0, 1)),
        z_bits=float(z_bits.sum()),
    )


def _plan(image: np.ndarray, alignment: str, channels: int) -> Canvas:
    height, width, _ = _checked(image, channels).shape
    return plan(height, width, alignment)


def _short(digest: str) -> bytes:
    """What streams carry of a hash."""
    return bytes.fromhex(digest)[:HASH_BYTES]


def _place(image: np.ndarray, canvas: Canvas) -> np.ndarray:
    if canvas.alignment is Alignment.RESIZE256:
        return programs.resize(image, (canvas.padded_height, canvas.padded_width))
    return pad(image, canvas)


def _checked(image: np.ndarray, channels: int) -> np.ndarray:
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[-1] != channels
    ):
        found = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
        raise IcmError(
            f"image is {found}, expected uint8 [height, width, {channels}]; read files with icm_jax.data.image_io"
        )
    return image


def _batches(canvases: Sequence[Canvas]) -> Iterator[list[int]]:
    """Indexes of consecutive images on canvases of one size, as many together as `BATCH_PIXELS` allows."""
    size = lambda i: (canvases[i].padded_height, canvases[i].padded_width)  # noqa: E731
    for (height, width), group in groupby(range(len(canvases)), key=size):
        members = list(group)
        count = max(1, BATCH_PIXELS // (height * width))
        yield from (members[i : i + count] for i in range(0, len(members), count))


def _is_folder(name_or_folder: str | Path) -> bool:
    """Whether a codec is meant by its place rather than by its name."""
    return (
        isinstance(name_or_folder, Path)
        or os.sep in name_or_folder
        or Path(name_or_folder, "codec.json").exists()
    )


def _default_threads() -> int:
    return max(1, min(8, os.cpu_count() or 1))


def _metadata_section(values: Mapping[str, Any]) -> Section:
    return Section(container.SectionType.METADATA, json.dumps(values, separators=(",", ":")).encode())
