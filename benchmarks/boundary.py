"""Time of odsF: thinning and one-to-one matching at 99 thresholds, by BSDS500's photos and drawings.

    python benchmarks/boundary.py BSDS --count 4 --jobs 2

BSDS/images/ID.jpg and BSDS/boundaries/ID.npz (`boundaries`, uint8 [annotators, h, w]; the first one is taken).
Predictions are smoothed gradients of the photos, which fill a picture with weak lines: harder than those of a network.
Prints seconds an image, what 100 images would take, the score, and a digest of the counts that any number of
processes must give.
"""

import argparse
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_gradient_magnitude

from icm_jax.data.image_io import read_image
from icm_jax.metrics import Boundary, merge_all

IMAGES = 100  # of the limit: 5 minutes on 2 cores


def counted(photo: Path) -> tuple[Boundary, float]:
    """Counts of one photo, and the seconds that they took."""
    with np.load(photo.parent.parent / "boundaries" / f"{photo.stem}.npz") as arrays:
        label = (arrays["boundaries"][0] != 0).astype(np.uint8)
    strength = gaussian_gradient_magnitude(read_image(photo).mean(axis=-1), sigma=2.0)
    probability = np.clip(strength / np.percentile(strength, 99), 0.0, 1.0)
    start = time.perf_counter()
    counts = Boundary.empty().update(probability[None], label[None])
    return counts, time.perf_counter() - start


def main() -> None:
    """Measures some photos, in one process or several."""
    parser = argparse.ArgumentParser(description="time of odsF")
    parser.add_argument("folder", type=Path, metavar="BSDS")
    parser.add_argument("--count", type=int, default=4, help="photos (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    options = parser.parse_args()
    photos = sorted((options.folder / "images").glob("*.jpg"))[: options.count]
    start = time.perf_counter()
    with ProcessPoolExecutor(options.jobs) as pool:
        run: Callable[..., Any] = map if options.jobs == 1 else pool.map
        found = list(run(counted, photos))
    wall = time.perf_counter() - start
    total = merge_all([counts for counts, _ in found])
    seconds = float(np.mean([taken for _, taken in found]))
    digest = hashlib.sha256(total.counts.tobytes() + total.best_counts.tobytes()).hexdigest()[:16]
    score = total.compute()
    print(f"{len(photos)} photos, {options.jobs} process(es): {seconds:.2f} s a photo, {wall:.1f} s in all")
    print(f"{IMAGES} photos: {IMAGES * wall / len(photos):.0f} s")
    print(
        f"odsF {100 * score.ods_f:.3f} at {score.ods_threshold:.2f}, oisF {100 * score.ois_f:.3f}, counts {digest}"
    )


if __name__ == "__main__":
    main()
