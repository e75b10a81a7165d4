"""Answers to a photo of any size: class scores, class map, saliency. Detections: see `detection.inference`."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, UInt8

from icm_jax.layers.resize import bilinear
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.u2netp import saliency_map


def classify(classifier: Recognizer, photo: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "classes"]:
    """Logits of the classes."""
    return np.asarray(_output(classifier, classifier.preprocessing.read(photo))[0])


def segment(segmenter: Recognizer, photo: UInt8[np.ndarray, "h w 3"]) -> Int[np.ndarray, "h w"]:
    """The class of every pixel of the photo."""
    logits = _output(segmenter, segmenter.preprocessing.read(photo))
    height, width = photo.shape[:2]
    return np.asarray(bilinear(logits, (height, width))[0].argmax(-1))


def find_salient(network: Recognizer, photo: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """How much every pixel of the photo stands out, from 0 to 1."""
    saliency = saliency_map(_output(network, network.preprocessing.read(photo)))
    height, width = photo.shape[:2]
    return np.asarray(bilinear(saliency[..., None], (height, width))[0, ..., 0])


@jax.jit
def _output(recognizer: Recognizer, images: Float[Array, "b h w 3"]) -> Array:
    return jnp.asarray(recognizer.outputs(images)[recognizer.output])
