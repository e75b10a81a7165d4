"""How much of a codec's error is the transforms' and how much is rounding: PSNR without and with quantised y.

    python benchmarks/transform_ceiling.py PHOTOS --codec=tic-lite --quality=6 --every=4

Sides are cut to multiples of 64. A codec whose two figures lie close can not get better by spending more bits. Beside
them what the best linear code with as many channels keeps of the same pictures: principal components of their blocks.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax import Codec
from icm_jax.data.image_io import list_images, read_image
from icm_jax.evaluate.image_quality import psnr
from icm_jax.models.registry import build


def main() -> None:
    """Prints both means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--codec", default="tic-lite")
    parser.add_argument("--quality", type=int)
    parser.add_argument("--every", type=int, default=1, help="take every n-th image")
    options = parser.parse_args()
    stored = Codec.load(options.codec, options.quality).stored
    model = build(stored.spec)

    @jax.jit
    def decode(x):
        y = model.apply({"params": stored.params}, x, method="analyse")
        exact = model.apply({"params": stored.params}, y, method="synthesise")
        return [
            jnp.round(255 * jnp.clip(out[0], 0, 1))
            for out in (exact, model.apply({"params": stored.params}, x).x_hat)
        ]

    scores, images = [], []
    for path in list_images(options.folder)[:: options.every]:
        image = read_image(path)
        image = image[: image.shape[0] // 64 * 64, : image.shape[1] // 64 * 64]
        images.append(image)
        outputs = decode(image[None].astype(np.float32) / 255)
        scores.append([psnr(image, np.asarray(out, np.uint8)) for out in outputs])
    exact, rounded = np.mean(scores, axis=0)
    print(
        f"{stored.name} q{stored.quality}, {len(scores)} images: {exact:.2f} dB without rounding, {rounded:.2f} dB with"
    )
    for channels in (stored.spec.M, 2 * stored.spec.M):
        kept = linear_ceiling(images, stored.spec.y_stride, channels)
        print(f"best linear code of {channels} channels: {kept:.2f} dB, all pixels together")


def linear_ceiling(images: list[np.ndarray], side: int, channels: int) -> float:
    """PSNR of what the first principal components of side×side blocks keep."""
    blocks = np.concatenate(
        [
            image.reshape(image.shape[0] // side, side, -1, side, 3).swapaxes(1, 2).reshape(-1, 3 * side**2)
            for image in images
        ]
    ).astype(np.float64)
    variances = np.linalg.eigvalsh(np.cov(blocks, rowvar=False))
    return float(10 * np.log10(255**2 / (variances[:-channels].sum() / (3 * side**2))))


if __name__ == "__main__":
    main()
