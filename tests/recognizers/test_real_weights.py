"""Published weights on real photos: the figures measured with the networks' own PyTorch code."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icm_jax.data.image_io import read_image
from icm_jax.metrics import Segmentation
from icm_jax.recognizers.predict import classify, find_salient, segment
from icm_jax.recognizers.registry import load_recognizer

SHARED = Path(__file__).parents[3] / "shared"
LABEL_SIZE = (384, 384)  # the size at which ESPNetv2 was scored

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not part of the repository"),
]


def test_mobilenet_v2_classifies():
    network = load_recognizer("mobilenet-v2", SHARED / "weights" / "mobilenet_v2_imagenet.safetensors")
    folder = SHARED / "data" / "imagenet_eval"
    with (folder / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = [
        classify(network, read_image(folder / row["file"])).argmax() == int(row["class_index"])
        for row in rows
    ]
    assert round(100 * np.mean(right), 1) == 86.4


def test_espnet_v2_segments():
    network = load_recognizer("espnet-v2", SHARED / "weights" / "espnetv2_s2.0_voc384.safetensors")
    folder = SHARED / "data" / "coco_eval"
    total = Segmentation.empty(21)
    labels = sorted((folder / "semantic_voc21").glob("*.png"))
    for path in labels:
        photo = network.preprocessing.resize(read_image(folder / "images" / f"{path.stem}.jpg"))
        with Image.open(path) as label:
            squashed = np.asarray(label.resize(LABEL_SIZE, Image.Resampling.NEAREST))
        total = total.update(segment(network, photo)[None], squashed[None])
    labelled = total.true_positives + total.false_negatives > 0
    assert len(labels) == 50
    assert total.compute().iou[labelled].mean() == pytest.approx(47.7, abs=0.1)


def test_u2netp_finds_what_stands_out():
    network = load_recognizer("u2netp", SHARED / "weights" / "u2netp_saliency.safetensors")
    photo = read_image(SHARED / "data" / "coco_eval" / "images" / "000000000802.jpg")
    saliency = find_salient(network, photo)
    assert saliency.shape == photo.shape[:2]
    assert 0 <= saliency.min() < 0.01
    assert 0.9 < saliency.max() <= 1
