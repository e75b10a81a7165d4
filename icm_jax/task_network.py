"""`TaskNetwork`: pictures to the prediction of a task, by a DoRA-ICM model without a codec.

>>> network = TaskNetwork(read_network(Path("runs/full/codecs/network.safetensors")), backbone)
>>> prediction = network.predict(picture)     # uint8 [h, w, 3] -> float32 [h, w, outputs]
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, UInt8

from icm_jax import paths
from icm_jax.canvas import pad
from icm_jax.errors import IcmError
from icm_jax.models.dora_icm.model import DoraICM, variables
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.models.eva02 import normalise
from icm_jax.pretrained.dora_icm import backbone_hash
from icm_jax.pretrained.task_network import StoredNetwork
from icm_jax.task_codec import task_canvas


class TaskNetwork:
    """A trained network of one task."""

    def __init__(self, stored: StoredNetwork, backbone: paths.Tree) -> None:
        """
        Raises:
            IcmError: another backbone than it was trained on.
        """
        found = backbone_hash(backbone)
        if found != stored.spec.base_hash:
            raise IcmError(
                f"the network needs the backbone {stored.spec.base_hash[:16]}, this one is {found[:16]}; "
                "give the weights it was trained on"
            )
        self.stored, self.spec = stored, stored.spec
        self._variables = variables(self.spec, {**stored.params, "backbone": backbone}, stored.batch_stats)

    def predict(self, picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w o"]:
        """The prediction at every pixel: logits, metres or vectors, as the task has them.

        Raises:
            IcmError: no picture, or one that is too large.
        """
        canvas = task_canvas(picture, self.spec.z_stride)
        prediction = _program(self.spec)(self._variables, pad(picture, canvas)[None])
        return np.asarray(prediction)[0, : canvas.height, : canvas.width]


@lru_cache(maxsize=16)
def _program(spec: DoraICMSpec) -> Any:
    model = DoraICM(spec)

    @jax.jit
    def predict(collections: Any, pixels: UInt8[Array, "b h w 3"]) -> Float[Array, "b h w o"]:
        return model.apply(collections, normalise(pixels.astype(jnp.float32) / 255)).prediction

    return predict
