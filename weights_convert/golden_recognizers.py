"""Golden checks of recognition networks: every tap of every case.

Two kinds of files. Real weights lie in another file that `weights` names; their cases are pictures in the file
(`CASE_image`) or photos beside the golden folder (`CASE_file`). Else the weights come from a hash and there is one
picture. Taps are stored as [c, h, w] or sampled: every s-th row and column, s = ⌈size / stored size⌉.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax import Array

from icm_jax.data.image_io import read_image
from icm_jax.recognizers import espnet_v2, mobilenet_v2, resnet, u2netp, vgg
from icm_jax.recognizers.preprocessing import Preprocessing
from weights_convert.edgenets import espnet_v2_from_state_dict
from weights_convert.golden_file import EXACT, GoldenError, GoldenFile, Row, Tolerance
from weights_convert.hash_weights import hash_state_dict
from weights_convert.state_dict import read_state_dict
from weights_convert.torchvision import (
    mobilenet_v2_from_state_dict,
    resnet_from_state_dict,
    vgg_from_state_dict,
)
from weights_convert.u2net import u2netp_from_state_dict

TAP = Tolerance(relative=1e-4)
GREY_LEVEL = Tolerance(absolute=1)
OTHER_CLASSES = 1e-4  # share of the pixels
RESNET_NAMES = {"maxpool": "stem", "avgpool": "pooled"}

Taps = Mapping[str, Array]


def check_tv_resnet(path: Path) -> list[Row]:
    """A torchvision ResNet with bottlenecks of any size."""
    file = GoldenFile(path)
    network, params = resnet_from_state_dict(hash_state_dict(file))
    taps = run(network, params, resnet.PREPROCESSING, file.read("image"))
    compare_taps(file, "", {RESNET_NAMES.get(n, n): n for n in file.arrays}, taps)
    return file.finish()


def check_vgg(path: Path) -> list[Row]:
    """The convolutions of a VGG, and the numbers torchvision gives its layers."""
    file = GoldenFile(path)
    network, params = vgg_from_state_dict(hash_state_dict(file))
    taps = run(network, params, vgg.PREPROCESSING, file.read("image"))
    numbers = [f"{name}={index}" for index, (name, _) in enumerate(network.spec.layers())]
    file.require("index_of", file.read("index_of").tolist() == numbers, "layers in torchvision's order")
    compare_taps(file, "", {n: n for n in file.arrays}, taps)
    return file.finish()


def check_mobilenet_v2(path: Path) -> list[Row]:
    """MobileNetV2 with its published weights."""
    file = GoldenFile(path)
    network, params = mobilenet_v2_from_state_dict(read_weights(file))
    for case, image in cases(file):
        image = mobilenet_v2.PREPROCESSING.resize(image)
        taps = run(network, params, mobilenet_v2.PREPROCESSING, image)
        compare_taps(file, case, {n: n for n in taps}, taps)
        best = np.argsort(-np.asarray(taps["logits"][0]))[: len(file.read(f"{case}top5"))]
        file.compare(f"{case}top5", best, EXACT)
    return file.finish()


def check_espnet_v2(path: Path) -> list[Row]:
    """ESPNetv2 with its published weights. A pixel may change class where two logits are as good as equal."""
    file = GoldenFile(path)
    network, params = espnet_v2_from_state_dict(read_weights(file))
    for case, image in cases(file, espnet_v2.PREPROCESSING.resize):
        taps = run(network, params, espnet_v2.PREPROCESSING, image)
        compare_taps(file, case, {n: f"base_net.{n}" if n.startswith("level") else n for n in taps}, taps)
        other = np.mean(np.asarray(taps["logits"][0].argmax(-1)) != file.read(f"{case}argmax"))
        file.require(f"{case}argmax", other <= OTHER_CLASSES, f"{100 * other:.4f} % of pixels differ")
        file.ignore(f"{case}margin_min", "says how near two classes of the reference come")
    return file.finish()


def check_u2netp(path: Path) -> list[Row]:
    """U²-Netp with its published weights."""
    file = GoldenFile(path)
    network, params = u2netp_from_state_dict(read_weights(file))
    for case, image in cases(file, u2netp.PREPROCESSING.resize):
        taps = run(network, params, u2netp.PREPROCESSING, image)
        compare_taps(file, case, {n: n for n in taps}, taps)
        file.compare(f"{case}outconv", taps["saliency"][0, ..., 0], TAP)
        mask = np.round(255 * np.asarray(u2netp.saliency_map(taps["saliency"])[0]))
        file.compare(f"{case}mask_u8", mask, GREY_LEVEL)
    return file.finish()


def cases(
    file: GoldenFile, resize: Callable[[np.ndarray], np.ndarray] | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """(prefix, uint8 picture) of every case; one whose photo is not at hand is set aside.

    Args:
        resize: what photos (not pictures of the file, which have their size) go through.
    """
    for match in list(file.matching(r"(\w+_)image")):
        yield match[1], file.read(match[0])
    for match in list(file.matching(r"(\w+_)file")):
        name = str(file.read(match[0]))
        try:
            photo = read_image(find_beside(file.path, "data", name))
        except GoldenError as error:
            file.ignore(f"{match[1]}.*", str(error))
            continue
        yield match[1], resize(photo) if resize else photo


def read_weights(file: GoldenFile) -> dict[str, np.ndarray]:
    """The state dict that the file names."""
    return read_state_dict(find_beside(file.path, "weights", str(file.read("weights"))))


def find_beside(path: Path, folder: str, name: str) -> Path:
    """`folder/name` in the nearest folder above `path`, or in `shared` beside the repository.

    Raises:
        GoldenError: there is none.
    """
    places = [*path.resolve().parents, Path(__file__).parents[2] / "shared"]
    for place in places:
        if (place / folder / name).is_file():
            return place / folder / name
    raise GoldenError(
        f"{path.name} needs {folder}/{name}, which is in no folder above it; "
        f"put it in {path.resolve().parent / folder}"
    )


def run(
    network: nn.Module, params: Mapping[str, Any], preprocessing: Preprocessing, image: np.ndarray
) -> dict[str, Array]:
    """All taps of a picture [h, w, 3], which keeps its size."""
    with jax.default_matmul_precision("highest"):  # a GPU would else multiply with mantissas of 10 bits
        return _forward(network, preprocessing, params, image[None] / np.float32(255))


@partial(jax.jit, static_argnums=(0, 1))
def _forward(
    network: nn.Module, preprocessing: Preprocessing, params: Mapping[str, Any], image: Array
) -> dict[str, Array]:
    taps: dict[str, Array] = network.apply({"params": params}, preprocessing.normalise(image))
    return taps


def compare_taps(file: GoldenFile, case: str, names: Mapping[str, str], taps: Taps) -> None:
    """Compares the file's arrays `case` + their name with the taps.

    Args:
        names: our name -> theirs.
    """
    for ours, theirs in names.items():
        key = case + theirs
        if ours in taps and key in file:
            tap = np.asarray(taps[ours][0])
            tap = tap.transpose(2, 0, 1) if tap.ndim == 3 else tap
            stored = file.arrays[key]
            file.compare(key, sampled(tap, stored.shape), TAP)


def sampled(tap: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[c, h, w] thinned to the file's size; a vector stored as [c, 1, 1] gets those axes."""
    if tap.ndim < len(shape):
        return tap.reshape(*tap.shape, *(1,) * (len(shape) - tap.ndim))
    if len(shape) < 3:
        return tap
    step = max(-(-size // stored) for size, stored in zip(tap.shape[1:], shape[1:], strict=True))
    return tap[:, ::step, ::step]
