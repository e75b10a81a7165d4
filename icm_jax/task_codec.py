"""`TaskCodec`: images to `.icm` bytes, and bytes to the prediction of a task, by a DoRA-ICM model.

>>> codec = TaskCodec(store.load("runs/semseg/codec"), backbone)
>>> data = codec.compress(image)              # uint8 [h, w, 3] -> bytes; needs the backbone
>>> prediction = codec.decompress(data)       # bytes -> float32 [h, w, outputs]; does not
"""

from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, UInt8

from icm_jax import paths
from icm_jax.bitstream import container
from icm_jax.bitstream.container import Header, Stream
from icm_jax.bitstream.errors import WrongCodec
from icm_jax.bitstream.header import HASH_BYTES
from icm_jax.canvas import LADDER, Canvas, from_header, pad
from icm_jax.codec import Inspection, inspection
from icm_jax.coding import dual_spatial
from icm_jax.coding.latents import Quantised
from icm_jax.errors import IcmError
from icm_jax.models import programs
from icm_jax.models.dora_icm.feature_codec import feature_codec
from icm_jax.models.dora_icm.model import DoraICM
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.models.eva02 import normalise
from icm_jax.pretrained import dora_icm
from icm_jax.pretrained.store import StoredCodec


class TaskCodec:
    """A trained model of one task. Several of them may share one backbone in memory."""

    def __init__(self, stored: StoredCodec, backbone: paths.Tree | None = None) -> None:
        """
        Args:
            stored: from `pretrained.store.load` or `pretrained.dora_icm.to_stored`.
            backbone: parameters of the backbone; only `compress` needs them.

        Raises:
            IcmError: a stored codec of another model, or another backbone than it was trained on.
        """
        if not isinstance(stored.spec, DoraICMSpec):
            raise IcmError(f"{stored.name} is a codec of images; use icm_jax.Codec")
        self.stored, self.spec = stored, stored.spec
        self._variables = dora_icm.variables(stored, backbone)

    @cached_property
    def _params64(self) -> Any:
        return programs.double_precision({name: self.stored.params[name] for name in dual_spatial.SCALE_PATH})

    def compress(self, image: UInt8[np.ndarray, "h w 3"]) -> bytes:
        """Compresses what the task needs of an image.

        Raises:
            IcmError: no backbone was given, or the image has no or too many pixels.
        """
        if "backbone" not in self._variables["params"]:
            raise IcmError(
                f"{self.stored.name} was loaded without a backbone, which makes what is coded; give one"
            )
        canvas = task_canvas(image, self.spec.z_stride)
        y, z = _programs(self.spec).analyse(self._variables, pad(image, canvas)[None])
        quantised = dual_spatial.quantise(self.stored, self._params64, np.asarray(y), np.asarray(z), [canvas])
        sections, symbol_hash = dual_spatial.write(self.stored, quantised.symbols[0])
        header = Header(
            codec_id=self.stored.name,
            codec_hash=self._hash(),
            width=canvas.width,
            height=canvas.height,
            padded_width=canvas.padded_width,
            padded_height=canvas.padded_height,
            quality=self.stored.quality,
            symbol_hash=symbol_hash,
        )
        return container.pack(header, sections)

    def decompress(self, data: bytes) -> Float[np.ndarray, "h w o"]:
        """The prediction at every pixel: logits, metres or vectors, as the task has them.

        Raises:
            StreamError: damaged, truncated, of another codec, or symbols that differ from the encoder's.
        """
        features, canvas = self.features(data)
        size = (canvas.padded_height, canvas.padded_width)
        prediction = _programs(self.spec).decode(self._variables, features, size)
        return np.asarray(prediction)[0, : canvas.height, : canvas.width]

    def features(self, data: bytes) -> tuple[Float[Array, "1 hy wy c"], Canvas]:
        """What the decoder is given, on the whole canvas of the image.

        Raises:
            StreamError: as `decompress`.
        """
        stream, canvas = self._open(data)
        y_hat = self._read(stream, canvas).y_hat
        return _programs(self.spec).synthesise(self._variables, y_hat), canvas

    def estimated_bits(self, image: UInt8[np.ndarray, "h w 3"]) -> float:
        """Bits of an image by the model's own estimate, before any coding."""
        canvas = task_canvas(image, self.spec.z_stride)
        return float(_programs(self.spec).bits(self._variables, pad(image, canvas)[None])[0])

    def inspect(self, data: bytes) -> Inspection:
        """Header, bytes of every section, bits of every channel and the cost of the guards."""
        stream, canvas = self._open(data)
        symbols = self._read(stream, canvas).symbols[0]
        return inspection(data, stream, canvas, *dual_spatial.symbol_bits(self.stored, symbols))

    def _open(self, data: bytes) -> tuple[Stream, Canvas]:
        stream = container.unpack(data)
        header = stream.header
        if header.codec_hash != self._hash():
            found = f"{header.codec_id} {header.codec_hash.hex()}"
            raise WrongCodec(found, f"{self.stored.name} {self._hash().hex()}")
        sizes = (header.height, header.width, header.padded_height, header.padded_width)
        return stream, from_header(*sizes, header.alignment, self.spec.z_stride)

    def _read(self, stream: Stream, canvas: Canvas) -> Quantised:
        header = stream.header
        return dual_spatial.read(
            self.stored, self._params64, stream.sections, canvas, header.symbol_hash, header.scale_precision
        )

    def _hash(self) -> bytes:
        return bytes.fromhex(self.stored.hash)[:HASH_BYTES]


class _Programs(NamedTuple):
    """Jitted steps of one specification, each called with the variables first."""

    analyse: Any
    synthesise: Any
    decode: Any
    bits: Any


@lru_cache(maxsize=16)
def _programs(spec: DoraICMSpec) -> _Programs:
    model, codec = DoraICM(spec), feature_codec(spec)

    def images(pixels: UInt8[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        return normalise(pixels.astype(jnp.float32) / 255)

    def analyse(variables: Any, pixels: Array) -> tuple[Array, Array]:
        y = model.apply(variables, images(pixels), method="analyse")
        return y, codec.apply({"params": variables["params"]["codec"]}, y, method="hyper_analyse")

    def synthesise(variables: Any, y_hat: Array) -> Float[Array, "b h w c"]:
        return jnp.asarray(codec.apply({"params": variables["params"]["codec"]}, y_hat, method="synthesise"))

    def decode(variables: Any, features: Array, size: tuple[int, int]) -> Float[Array, "b h w o"]:
        return jnp.asarray(model.apply(variables, features, size, method="decode"))

    def bits(variables: Any, pixels: Array) -> Array:
        return model.apply(variables, images(pixels)).bits

    return _Programs(jax.jit(analyse), jax.jit(synthesise), jax.jit(decode, static_argnums=2), jax.jit(bits))


def task_canvas(image: np.ndarray, unit: int) -> Canvas:
    """The image with its sides brought to multiples of `unit`, the stride of z, and no further.

    Raises:
        IcmError: something else than uint8 [h, w, 3], or a side that is too long.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (3,):
        found = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
        raise IcmError(f"image is {found}, expected uint8 [height, width, 3]")
    height, width, _ = image.shape
    if not 1 <= min(height, width) <= max(height, width) <= LADDER[-1]:
        raise IcmError(f"image of {width}×{height} pixels; both sides must be in 1..{LADDER[-1]}, resize it")
    return Canvas(height, width, *(-(-side // unit) * unit for side in (height, width)))
