"""What a detector computes on the pyramid: the region proposal network, the box head, the mask head."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Int

from icm_jax.layers.dense import Dense, matmul
from icm_jax.recognizers.detection.boxes import cell_anchors, grid_anchors
from icm_jax.recognizers.detection.roi_align import roi_align
from icm_jax.recognizers.detection.selection import choose, propose, pyramid_level
from icm_jax.recognizers.detection.spec import DetectorSpec
from icm_jax.recognizers.fpn import PYRAMID
from icm_jax.recognizers.layers import Conv, map_size

ANCHOR_SIZES = (32, 64, 128, 256, 512)  # on p2 … p6
ANCHORS = 3  # a position
STRIDES = (4, 8, 16, 32, 64)
POOLED = PYRAMID[:4]  # p6 serves the proposals only
BOX_BINS, MASK_BINS, MASK_CONVS = 7, 14, 4


class RPN(nn.Module):
    """For every anchor of a map, whether something is there and how the anchor has to move."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w 3"], Float[Array, "b h w 12"]]:
        x = nn.relu(Conv(x.shape[-1], 3, use_bias=True, name="conv")(x))
        logits = Conv(ANCHORS, 1, use_bias=True, name="objectness")
        return logits(x), Conv(4 * ANCHORS, 1, use_bias=True, name="deltas")(x)


class BoxHead(nn.Module):
    """Pooled regions [n, 7, 7, c] -> features, logits with the background, four moves for every class."""

    spec: DetectorSpec

    @nn.compact
    def __call__(self, pooled: Float[Array, "n p p c"]) -> tuple[Array, Array, Array]:
        x = pooled.reshape(len(pooled), -1)
        for name in ("fc1", "fc2"):
            x = nn.relu(Dense(self.spec.hidden, name=name)(x))
        deltas = Dense(4 * self.spec.columns, name="deltas")(x)
        return x, Dense(self.spec.classes + 1, name="logits")(x), deltas


class MaskHead(nn.Module):
    """Pooled regions [n, 14, 14, c] -> logits of masks [n, 28, 28, classes]."""

    spec: DetectorSpec

    @nn.compact
    def __call__(self, x: Float[Array, "n p p c"]) -> Float[Array, "n p2 p2 k"]:
        width = self.spec.mask_channels
        for i in range(1, MASK_CONVS + 1):
            x = nn.relu(Conv(width, 3, use_bias=True, name=f"conv{i}")(x))
        x = nn.relu(Double(width, name="double")(x))
        return Conv(self.spec.columns, 1, use_bias=True, name="masks")(x)


class Double(nn.Module):
    """Transposed convolution 2×2, stride 2: every pixel becomes a square of four, none overlap."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 d"]:
        n, h, w, c = x.shape
        kernel = self.param("kernel", nn.initializers.he_normal(), (2, 2, c, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        y = matmul(x, kernel.transpose(2, 0, 1, 3).reshape(c, -1)).reshape(n, h, w, 2, 2, -1)
        return y.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, -1) + bias


class Heads(nn.Module):
    """Everything behind the pyramid."""

    spec: DetectorSpec

    @nn.compact
    def __call__(
        self,
        maps: dict[str, Float[Array, "b h w c"]],
        padded: tuple[int, int],
        sizes: Float[Array, "b 2"],
    ) -> dict[str, Array]:
        """Detections, with all that led to them by name.

        Args:
            maps: p2 … p6 of images that were padded to `padded`.
            sizes: (height, width) of every image without the padding.

        Returns:
            boxes [b, n, 4] in pixels of the padded image, scores [b, n] by falling value (0: no detection), columns
            [b, n] of the classifier, and for a Mask R-CNN masks [b, n, 28, 28]: probabilities inside the box.
        """
        spec, rpn = self.spec, RPN(name="rpn")
        out: dict[str, Array] = {}
        logits, deltas, anchors = [], [], []
        for level, size, stride in zip(PYRAMID, ANCHOR_SIZES, STRIDES, strict=True):
            found, moves = rpn(maps[level])
            logits.append(found.reshape(len(found), -1))
            deltas.append(moves.reshape(len(moves), -1, 4))
            anchors.append(self._anchors(size, stride, map_size(maps[level]), padded))
            out |= {
                f"rpn_logits_{level}": found,
                f"rpn_deltas_{level}": moves,
                f"anchors_{level}": anchors[-1],
            }
        proposals = jax.vmap(lambda found, moves, size: propose(spec, found, moves, anchors, size))(
            logits, deltas, sizes
        )
        pooled = pool_regions(spec, maps, proposals.boxes, BOX_BINS)
        features, classes, moves = BoxHead(spec, name="box_head")(pooled.reshape(-1, *pooled.shape[2:]))
        batch = sizes.shape[0]
        classes = classes.reshape(batch, -1, classes.shape[-1])
        moves = moves.reshape(*classes.shape[:2], -1, 4)
        chosen = jax.vmap(lambda *image: choose(spec, *image))(proposals, classes, moves, sizes)
        out |= {f"proposal_{name}": value for name, value in proposals._asdict().items()}
        out |= {"box_pooled": pooled, "box_features": features, "box_logits": classes, "box_deltas": moves}
        out |= chosen._asdict()
        if spec.mask_channels:
            out["masks"] = self._masks(maps, chosen.boxes, chosen.columns)
        return out

    def _anchors(self, size: int, stride: int, shape: tuple[int, int], padded: tuple[int, int]) -> Array:
        rounded = self.spec.conventions.rounded_anchors
        strides = (padded[0] // shape[0], padded[1] // shape[1]) if rounded else (stride, stride)
        return grid_anchors(cell_anchors(size, rounded), shape, strides)

    def _masks(
        self, maps: dict[str, Array], boxes: Float[Array, "b n 4"], columns: Int[Array, "b n"]
    ) -> Float[Array, "b n 28 28"]:
        """The mask of each box's own class."""
        pooled = pool_regions(self.spec, maps, boxes, MASK_BINS)
        logits = MaskHead(self.spec, name="mask_head")(pooled.reshape(-1, *pooled.shape[2:]))
        return masks_of(logits, columns.reshape(-1)).reshape(*columns.shape, *logits.shape[1:3])


def masks_of(logits: Float[Array, "n p p k"], columns: Int[Array, "n"]) -> Float[Array, "n p p"]:
    """Probabilities of the chosen class of every region."""
    return nn.sigmoid(jnp.take_along_axis(logits, columns.reshape(-1, 1, 1, 1), -1)[..., 0])


def pool_regions(
    spec: DetectorSpec, maps: dict[str, Float[Array, "b h w c"]], boxes: Float[Array, "b n 4"], bins: int
) -> Float[Array, "b n bins bins c"]:
    """Every box pooled from the level that its size asks for."""
    scales = [1 / stride for stride in STRIDES[: len(POOLED)]]

    def pool(levels: Sequence[Array], boxes: Array) -> Array:
        assigned = pyramid_level(spec, boxes)
        return roi_align(levels, boxes, assigned, scales, bins, spec.conventions.sampling)

    return jax.vmap(pool)([maps[level] for level in POOLED], boxes)
