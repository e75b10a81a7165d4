"""Intra coding of one image by the reference encoders VTM (VVC) and HM (HEVC), which the user builds.

4:4:4, 8 bits, BT.709 full range, fixed QP, the software's own intra configuration: as papers on learned compression
run them. A file is the size of the image (2 × 2 bytes) and the stream, which does not say it in a form that is easily
read. An environment variable names the folder with `EncoderAppStatic`, `DecoderAppStatic` and the configuration:

    ICM_VTM=vtm/bin  icm eval kodak/ --codecs tic-lite vtm:22,27,32,37,42 -o results/kodak
"""

import hashlib
import os
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icm_jax.errors import IcmError

ENCODER, DECODER = "EncoderAppStatic", "DecoderAppStatic"
SIZE = struct.Struct(">HH")
# Rows: Y, Cb, Cr of BT.709 from R, G, B in 0..1; chroma from -0.5 to 0.5.
RED, BLUE = 0.2126, 0.0722
GREEN = 1 - RED - BLUE
FROM_RGB = np.array(
    [
        [RED, GREEN, BLUE],
        [-RED / (2 * (1 - BLUE)), -GREEN / (2 * (1 - BLUE)), 0.5],
        [0.5, -GREEN / (2 * (1 - RED)), -BLUE / (2 * (1 - RED))],
    ]
)
TO_RGB = np.linalg.inv(FROM_RGB)
MIDDLE = np.array([0.0, 128.0, 128.0])  # of 8-bit samples


@dataclass(frozen=True)
class ReferenceSoftware:
    """One encoder and its decoder; `variable` names the folder, `config` the file in it."""

    name: str
    variable: str
    config: str

    def encode(self, image: np.ndarray, qp: int) -> bytes:
        """One intra picture from a uint8 [H, W, 3] image; raises IcmError when the encoder refuses it."""
        height, width = image.shape[:2]
        with tempfile.TemporaryDirectory() as name:
            source, stream = Path(name, "in.yuv"), Path(name, "out.bin")
            source.write_bytes(to_planes(image).tobytes())
            sizes = ["-wdt", str(width), "-hgt", str(height), "-fr", "30", "-f", "1"]
            format_ = ["--InputBitDepth=8", "--OutputBitDepth=8", "--InputChromaFormat=444"]
            files = ["-i", str(source), "-b", str(stream), "-o", os.devnull]
            config = ["-c", str(self._file(self.config)), "-q", str(qp), "--ConformanceWindowMode=1"]
            self._run([str(self._file(ENCODER)), *config, *files, *sizes, *format_], stream)
            return SIZE.pack(height, width) + stream.read_bytes()

    def decode(self, data: bytes) -> np.ndarray:
        """The uint8 [H, W, 3] image of a file that `encode` made; raises IcmError when it cannot be read."""
        if len(data) <= SIZE.size:
            raise IcmError(f"{self.name}: file of {len(data)} bytes is cut short; encode the image again")
        height, width = SIZE.unpack(data[: SIZE.size])
        with tempfile.TemporaryDirectory() as name:
            stream, target = Path(name, "in.bin"), Path(name, "out.yuv")
            stream.write_bytes(data[SIZE.size :])
            self._run([str(self._file(DECODER)), "-b", str(stream), "-o", str(target), "-d", "8"], target)
            samples = np.frombuffer(target.read_bytes(), np.uint8)
        if samples.size != 3 * height * width:
            raise IcmError(
                f"{self.name}: decoded {samples.size} samples, expected 3×{height}×{width}; encode the image again"
            )
        return to_rgb(samples.reshape(3, height, width))

    def require(self) -> None:
        """Raises IcmError unless the folder is named and holds what is needed."""
        for file in (ENCODER, DECODER, self.config):
            self._file(file)

    def version(self) -> str:
        """Of encoder and configuration, by their content."""
        content = self._file(ENCODER).read_bytes() + self._file(self.config).read_bytes()
        return f"{self.name}-{hashlib.sha256(content).hexdigest()[:16]}"

    def _file(self, name: str) -> Path:
        folder = os.environ.get(self.variable, "")
        if not folder:
            raise IcmError(
                f"anchor {self.name!r} is software that you build; set {self.variable} to the folder with "
                f"{ENCODER}, {DECODER} and {self.config}"
            )
        file = Path(folder, name)
        if not file.is_file():
            raise IcmError(f"{file}: not there; {self.variable} has to name the folder that holds it")
        return file

    def _run(self, command: list[str], output: Path) -> None:
        result = subprocess.run(command, capture_output=True, check=False)
        if result.returncode or not output.is_file():
            text = (result.stderr or result.stdout).decode(errors="replace").strip()
            reason = (text.splitlines() or ["no output"])[-1]
            raise IcmError(f"{self.name}: {Path(command[0]).name} failed ({reason}); try the command by hand")


def to_planes(image: np.ndarray) -> np.ndarray:
    """uint8 RGB [H, W, 3] -> uint8 YCbCr [3, H, W], BT.709 full range."""
    samples = image.astype(np.float64) @ FROM_RGB.T + MIDDLE
    return np.moveaxis(np.clip(np.round(samples), 0, 255).astype(np.uint8), -1, 0)


def to_rgb(planes: np.ndarray) -> np.ndarray:
    """uint8 YCbCr [3, H, W] -> uint8 RGB [H, W, 3]."""
    samples = (np.moveaxis(planes, 0, -1).astype(np.float64) - MIDDLE) @ TO_RGB.T
    return np.clip(np.round(samples), 0, 255).astype(np.uint8)


VTM = ReferenceSoftware("vtm", "ICM_VTM", "encoder_intra_vtm.cfg")
HM = ReferenceSoftware("hm", "ICM_HM", "encoder_intra_main_rext.cfg")
