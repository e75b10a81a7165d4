"""Intra coding of one image by a video encoder inside the ffmpeg binary of imageio-ffmpeg, run as a process.

4:2:0, 10 bits, BT.709 full range, fixed QP, perceptual tuning off (it costs PSNR). They are libvvenc and libx265, not
the reference encoders VTM and HM, hence their labels; for those see `icm_jax.evaluate.reference_software`.

    image --pad to even--> ffmpeg --> [parity byte if padded] + Annex B stream
"""

import importlib
import io
import subprocess
from dataclasses import dataclass

import numpy as np
from PIL import Image

from icm_jax.errors import IcmError

COLOUR = "in_range=full:out_range=full"


@dataclass(frozen=True)
class FfmpegIntra:
    """One encoder; `options` are ffmpeg's, where {qp} stands for the quantisation parameter."""

    name: str
    stream: str  # ffmpeg's name of the raw stream
    options: tuple[str, ...]

    def encode(self, image: np.ndarray, qp: int) -> bytes:
        """One intra picture from a uint8 [H, W, 3] image at a quantisation parameter (0 is the best).

        4:2:0 chroma exists for even sizes only. An odd image is padded by repeating its edge, and one byte
        (bit 0: odd height, bit 1: odd width) goes before the stream, which itself always begins with a zero byte.
        Raises IcmError when the encoder refuses the image.
        """
        odd_height, odd_width = image.shape[0] % 2, image.shape[1] % 2
        padded = np.pad(image, ((0, odd_height), (0, odd_width), (0, 0)), mode="edge")
        height, width = padded.shape[:2]
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", "-"]
        colour = ["-vf", f"scale={COLOUR}:out_color_matrix=bt709", "-pix_fmt", "yuv420p10le"]
        encoder = ["-frames:v", "1", *(option.format(qp=qp) for option in self.options)]
        arguments = [*source, *colour, *encoder, "-f", self.stream, "-"]
        stream = self._run(arguments, padded.tobytes(), f"encode {width}x{height}")
        parity = odd_height | odd_width << 1
        return (bytes([parity]) if parity else b"") + stream

    def decode(self, data: bytes) -> np.ndarray:
        """The uint8 [H, W, 3] image of a file that `encode` made; raises IcmError when it cannot be read."""
        parity = data[0] if data and data[0] in (1, 2, 3) else 0
        stream = data[1:] if parity else data
        colour = ["-vf", f"scale={COLOUR}:in_color_matrix=bt709"]
        sink = ["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]
        ppm = self._run(["-f", self.stream, "-i", "-", *colour, *sink], stream, f"decode {len(data)} bytes")
        image = np.asarray(Image.open(io.BytesIO(ppm)))
        return image[: image.shape[0] - (parity & 1), : image.shape[1] - (parity >> 1)]

    def require(self) -> None:
        """Raises IcmError, with the way to get it, where there is no ffmpeg."""
        self._ffmpeg()

    def _ffmpeg(self) -> str:
        try:
            return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
        except (ImportError, RuntimeError) as error:
            hint = "pip install 'icm-jax[anchors]'"
            raise IcmError(f"anchor {self.name!r} needs imageio-ffmpeg ({error}); {hint}") from error

    def _run(self, arguments: list[str], data: bytes, what: str) -> bytes:
        command = [self._ffmpeg(), "-v", "error", *arguments]
        result = subprocess.run(command, input=data, capture_output=True, check=False)
        if result.returncode or not result.stdout:
            reason = next(iter(result.stderr.decode(errors="replace").strip().splitlines()), "no output")
            raise IcmError(f"{self.name} could not {what}: {reason}; leave out {self.name!r} for such images")
        return result.stdout


VVC = FfmpegIntra("vvc", "vvc", ("-c:v", "libvvenc", "-preset", "medium", "-qp", "{qp}", "-qpa", "0"))
# x265 would write its settings into the stream, and code intra pictures at a QP of its own.
X265_PARAMETERS = "qp={qp}:ipratio=1:keyint=1:info=0:log-level=error"
HEVC = FfmpegIntra(
    "hevc",
    "hevc",
    ("-c:v", "libx265", "-preset", "slow", "-tune", "psnr", "-x265-params", X265_PARAMETERS),
)
