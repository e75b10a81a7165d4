"""What tiles cost where they meet: the same photos coded in one piece and in tiles, with real files.

    python benchmarks/seams.py PHOTOS [--codec tic-lite] [--quality 4] [--count 4]

The photos must be wider than one core of a tile (512 pixels) and fit the ladder of canvases. PSNR is that of the
decoded files: on the whole picture; inside, clear of the outer borders, where a picture that fills its canvas has the
zeros around it that the networks were trained with; and there on a band on both sides of the seam.
"""

import argparse
from pathlib import Path

import numpy as np

from icm_jax import Codec, canvas
from icm_jax.data.image_io import list_images, read_image
from icm_jax.evaluate.image_quality import psnr

BAND = 32  # pixels on either side of a seam
BORDER = 64  # pixels at the lower and right border that may know where the canvas ends


def main() -> None:
    """Prints bytes and PSNR, in one piece and in tiles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--codec", default="tic-lite")
    parser.add_argument("--quality", type=int)
    parser.add_argument("--count", type=int, default=4)
    options = parser.parse_args()
    codec = Codec.load(options.codec, options.quality)
    images = [image for path in list_images(options.photos) if fits(image := read_image(path))]
    images = images[: options.count]
    whole = np.array([coded(codec, image) for image in images])
    canvas.LADDER = canvas.LADDER[: canvas.LADDER.index(canvas.CORE) + 1]  # what is wider runs in tiles
    tiled = np.array([coded(codec, image) for image in images])
    print(f"{len(images)} photos, {codec.name} q{codec.quality}, one piece against tiles")
    names = ("bytes", "PSNR", "inside", "at the seam")
    for name, one, many in zip(names, whole.T, tiled.T, strict=True):
        change = many - one
        print(f"{name:<12} {one.mean():12,.3f} {many.mean():12,.3f}", end="   ")
        print(f"change {change.mean():+.4f}, {change.min():+.4f} to {change.max():+.4f}")


def fits(image: np.ndarray) -> bool:
    """Whether the image has a seam when it is tiled, and a canvas when it is not."""
    return (
        canvas.CORE + BAND + BORDER <= image.shape[1] <= canvas.LADDER[-1]
        and image.shape[0] <= canvas.LADDER[-1]
    )


def coded(codec: Codec, image: np.ndarray) -> tuple[float, float, float, float]:
    """Bytes of the file, and PSNR of the picture decoded from it: everywhere, inside, around the first seam."""
    data = codec.compress(image)
    decoded = codec.decompress(data)
    inside = np.s_[:-BORDER, :-BORDER]
    band = np.s_[:-BORDER, canvas.CORE - BAND : canvas.CORE + BAND]
    return (len(data), psnr(image, decoded), *(psnr(image[part], decoded[part]) for part in (inside, band)))


if __name__ == "__main__":
    main()
