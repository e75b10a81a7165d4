"""Rate and top-1 accuracy of MobileNetV2 behind codecs.

    icm eval PHOTOS --labels labels.csv --config=configs/evaluate/classification.py -o results/imagenet

PHOTOS of 256×256 pixels, or of any size: what is coded is the file as it is. Options on the command line go before
those here.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    """Options of `icm eval`."""
    return {
        "task": "classification",
        "recognizer": "mobilenet-v2",  # weights: $ICM_WEIGHTS, or --weights
        "codecs": ["tic-lite", "jpeg:5,10,20,40,60", "webp:1,10,30,60,80", "avif:8,20,35,50,60"],
        "pictures": 4,  # shown by `icm report`
    }
