"""`JointDecoder`: the streams of several tasks of one image to the predictions of all of them at once.

>>> decoder = JointDecoder(load(Path("runs/joint/codecs/joint")))
>>> decoder.decompress({"semseg": stream, "depth": other})     # {"semseg": [h, w, 6], "depth": [h, w, 1]}
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax import Array
from jaxtyping import Float

from icm_jax import paths
from icm_jax.errors import IcmError
from icm_jax.models.dora_icm.decoder import Decoder
from icm_jax.pretrained.joint_decoder import StoredJointDecoder
from icm_jax.task_codec import TaskCodec


class JointDecoder:
    """A trained decoder with the codecs of its tasks."""

    def __init__(self, stored: StoredJointDecoder, backbone: paths.Tree | None = None) -> None:
        """
        Args:
            backbone: only `compress` needs it.

        Raises:
            IcmError: another backbone than the codecs were trained on.
        """
        self.stored = stored
        self.codecs = {task: TaskCodec(codec, backbone) for task, codec in stored.codecs.items()}
        self._variables = {"params": stored.params, "batch_stats": stored.batch_stats}

    def compress(self, image: np.ndarray) -> dict[str, bytes]:
        """One stream a task."""
        return {task: codec.compress(image) for task, codec in self.codecs.items()}

    def decompress(self, streams: Mapping[str, bytes]) -> dict[str, Float[np.ndarray, "h w o"]]:
        """The prediction of every task.

        Raises:
            IcmError: the stream of a task is missing, or they are of images of different sizes.
            StreamError: as `TaskCodec.decompress`.
        """
        if missing := [task for task in self.codecs if task not in streams]:
            raise IcmError(f"no stream of {missing[0]}; the decoder reads {', '.join(self.codecs)} together")
        decoded = {task: codec.features(streams[task]) for task, codec in self.codecs.items()}
        canvases = {task: canvas for task, (_, canvas) in decoded.items()}
        first, *others = canvases.items()
        for task, canvas in others:
            if canvas != first[1]:
                sizes = (f"{one.width}×{one.height}" for one in (first[1], canvas))
                raise IcmError(f"the streams of {first[0]} and {task} are of images of {' and '.join(sizes)}")
        canvas = first[1]
        predictions = _program(self.stored.spec.decoder(self.stored.codecs))(
            self._variables,
            [features for features, _ in decoded.values()],
            (canvas.padded_height, canvas.padded_width),
        )
        return {
            task: np.asarray(prediction)[0, : canvas.height, : canvas.width]
            for task, prediction in zip(self.codecs, predictions, strict=True)
        }


@lru_cache(maxsize=8)
def _program(decoder: Decoder) -> Any:
    def run(variables: Any, features: list[Array], size: tuple[int, int]) -> tuple[Array, ...]:
        return decoder.apply(variables, features, size)

    return jax.jit(run, static_argnums=2)
