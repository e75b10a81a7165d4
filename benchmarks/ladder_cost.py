"""What the ladder of canvas sizes costs in bits, against padding to the next multiple of 64.

    python benchmarks/ladder_cost.py PHOTOS [--quality 4] [--count 24]

Each photo is cut to a random size first, so that sizes fall between the steps of the ladder.
"""

import argparse
from pathlib import Path

import numpy as np

from icm_jax import Codec, canvas
from icm_jax.data.image_io import list_images, read_image


def main() -> None:
    """Prints bytes with and without the ladder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--quality", type=int, default=4)
    parser.add_argument("--count", type=int, default=24)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    codec = Codec.load("tic-lite", options.quality)
    images = []
    for path in list_images(options.photos)[: options.count]:
        image = read_image(path)
        height, width = (int(rng.integers(side // 2, side + 1)) for side in image.shape[:2])
        images.append(image[:height, :width])
    ladder = [len(data) for data in codec.compress_batch(images)]
    canvas.LADDER = tuple(range(64, 4097, 64))
    exact = [len(data) for data in codec.compress_batch(images)]
    change = 100 * (np.array(ladder) / np.array(exact) - 1)
    print(f"{len(images)} photos: {sum(ladder):,} bytes on the ladder, {sum(exact):,} on multiples of 64")
    print(f"change a photo: mean {change.mean():+.2f} %, worst {change.max():+.2f} %")


if __name__ == "__main__":
    main()
