"""What latents beyond the coded ones are worth: photos that end on the grid inside a larger canvas, decoded twice.

    python benchmarks/border.py PHOTOS [--codec tic-lite] [--quality 4] [--height 448] [--width 704] [--count 6]

Photos are cut to the size given. The same file is decoded with copies of the nearest coded latents beyond the picture,
as the codec does it, and with the means that the hyperprior expects there. PSNR of the whole picture and of its last 16
rows and columns.
"""

import argparse
from pathlib import Path
from unittest import mock

import numpy as np

from icm_jax import Codec
from icm_jax.data.image_io import list_images, read_image
from icm_jax.evaluate.image_quality import psnr
from icm_jax.models import programs

BAND = 16
PARTS = {"everywhere": np.s_[:], "last rows": np.s_[-BAND:], "last columns": np.s_[:, -BAND:]}


def main() -> None:
    """Prints PSNR with and without copies, means over the photos."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--codec", default="tic-lite")
    parser.add_argument("--quality", type=int)
    parser.add_argument("--height", type=int, default=448)
    parser.add_argument("--width", type=int, default=704)
    parser.add_argument("--count", type=int, default=6)
    options = parser.parse_args()
    codec = Codec.load(options.codec, options.quality)
    photos = (read_image(path) for path in list_images(options.photos))
    fitting = [one for one in photos if one.shape[0] >= options.height and one.shape[1] >= options.width]
    images = [one[: options.height, : options.width] for one in fitting[: options.count]]
    rows = []
    for image in images:
        data = codec.compress(image)
        with mock.patch.object(programs, "_continued", lambda y_hat, coded: y_hat):
            expected = codec.decompress(data)
        copied = codec.decompress(data)
        rows.append([[psnr(image[part], one[part]) for part in PARTS.values()] for one in (expected, copied)])
    print(f"{len(images)} photos cut to {options.width}×{options.height}, {codec.name} q{codec.quality}, dB")
    for name, expected, copied in zip(PARTS, *np.mean(rows, axis=0), strict=True):
        print(f"{name:<14} means {expected:.3f}   copies {copied:.3f}   {copied - expected:+.3f}")


if __name__ == "__main__":
    main()
