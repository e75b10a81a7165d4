"""Reading and writing image files as uint8 RGB arrays.

Rules, the same everywhere: EXIF orientation is applied; grey becomes three equal channels; transparency is laid on
white; palettes are expanded; more than 8 bits a sample is refused unless the caller allows the conversion: grey is
then rounded, colour keeps its upper eight bits, which is all that Pillow reads of it.
"""

import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from icm_jax.errors import IcmError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")
DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def read_image(path: str | Path, convert_16bit: bool = False) -> np.ndarray:
    """Decodes an image file to uint8 [h, w, 3].

    Raises:
        IcmError: not a readable image, truncated, or 16-bit without `convert_16bit`.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IcmError(
            f"{path}: can not be read ({error.strerror}); check the path and its permissions"
        ) from None
    return decode_image(data, path, convert_16bit)


def decode_image(data: bytes, name: str | Path, convert_16bit: bool = False) -> np.ndarray:
    """Decodes the bytes of an image file to uint8 [h, w, 3]; `name` is what errors call it.

    Raises:
        IcmError: as `read_image`.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if _is_deep(image) and not convert_16bit:
                raise IcmError(
                    f"{name}: 16-bit image ({image.mode}); pass --convert-16bit to reduce it to 8 bits"
                )
            image.load()
            return _to_rgb(image)
    except UnidentifiedImageError:
        raise IcmError(f"{name}: not an image this program reads; use {', '.join(EXTENSIONS)}") from None
    except Image.DecompressionBombError as error:
        raise IcmError(f"{name}: image too large ({error}); cut it into parts") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise IcmError(f"{name}: damaged or truncated image ({error}); replace the file") from None


def _is_deep(image: Image.Image) -> bool:
    """More than 8 bits a sample, by the mode or, in colour, only by how the undecoded file stores it (RGB;16B)."""
    return image.mode in DEEP_MODES or any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode in DEEP_MODES:
        samples = np.asarray(image, np.float64)
        image = Image.fromarray(np.clip(np.round(samples / 257.0), 0, 255).astype(np.uint8))
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(canvas, rgba)
    return np.asarray(image.convert("RGB"))


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Writes uint8 [h, w, 3], or grey [h, w], in the format of the extension, whole or not at all."""
    path = Path(path)
    buffer = io.BytesIO()
    options: dict[str, dict[str, Any]] = {
        ".jpg": {"quality": 95},
        ".jpeg": {"quality": 95},
        ".webp": {"lossless": True},
    }
    if path.suffix.lower() not in EXTENSIONS:
        raise IcmError(
            f"{path}: can not write {path.suffix or 'a file without extension'}; use {', '.join(EXTENSIONS)}"
        )
    kind = Image.registered_extensions()[path.suffix.lower()]
    Image.fromarray(image).save(buffer, kind, **options.get(path.suffix.lower(), {}))
    write_bytes(path, buffer.getvalue())


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes a file through a temporary one in the same folder and a rename, so that no half file can be left."""
    path = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise IcmError(
            f"{path}: can not be written ({error.strerror}); choose another output with -o"
        ) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files private; the result is an ordinary file
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise IcmError(
            f"{path}: can not be written ({error.strerror}); choose another output with -o"
        ) from None


def make_folder(folder: Path) -> None:
    """Makes a folder for outputs, with those above it, unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IcmError(
            f"{folder}: can not be made a folder ({error.strerror}); choose another for the output"
        ) from None


def list_images(folder: str | Path) -> list[Path]:
    """All image files of a folder, sorted by name.

    Raises:
        IcmError: the folder does not exist or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise IcmError(f"{folder}: no such folder; give a folder of {', '.join(EXTENSIONS)} files")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    if not paths:
        raise IcmError(f"{folder}: holds no image ({', '.join(EXTENSIONS)})")
    return paths
