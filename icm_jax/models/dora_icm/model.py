"""DoRA-ICM for one task, from image to prediction (Zhang et al., "Low-rank adaptation of pre-trained vision
backbones for energy-efficient image coding for machines").

    image ─► EVA-02 with DoRA ─► preliminary decoder ─► features, prediction ─► codec ─► decoder ─► prediction
             frozen     own       own                                           own      own

Parameters are one tree with the subtrees backbone, adapter, preliminary, codec and decoder. All but the first
belong to the task; several tasks share a backbone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax import paths
from icm_jax.adapters import low_rank
from icm_jax.errors import IcmError
from icm_jax.layers.dense import Dense
from icm_jax.layers.swiglu import layer_norm
from icm_jax.models.dora_icm.decoder import Decoder
from icm_jax.models.dora_icm.feature_codec import Decoded, feature_codec
from icm_jax.models.dora_icm.preliminary import Preliminary, PreliminaryDecoder
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.models.eva02 import EVA02, EVA02Spec, stack_blocks

# Patterns for `icm_jax.paths`: everything of the task; the backbone is frozen.
TRAINED = (r"(adapter|tap_join|preliminary|codec|decoder)/.*",)


class Output(NamedTuple):
    """Prediction of the size of the image, the preliminary one of the grid of the backbone, bits of each image."""

    prediction: Float[Array, "b h w o"]
    preliminary: Float[Array, "b hg wg o"]
    bits: Float[Array, "b"]


class TapJoin(nn.Module):
    """Maps of several blocks, each normed, to one of their width."""

    @nn.compact
    def __call__(self, maps: tuple[Float[Array, "b h w d"], ...]) -> Float[Array, "b h w d"]:
        normed = [layer_norm(one, f"norm{i}") for i, one in enumerate(maps)]
        return Dense(maps[0].shape[-1], name="join")(jnp.concatenate(normed, axis=-1))


class DoraICM(nn.Module):
    """The networks. Images are normalised (`eva02.normalise`), their sides multiples of the patch.

    `run` says how the backbone is run: `spec.backbone(scan=True, …)`.
    """

    spec: DoraICMSpec
    run: EVA02Spec | None = None

    def setup(self) -> None:
        spec = self.spec
        self.backbone = EVA02(self.run or spec.backbone())
        if spec.tap != "last":
            self.tap_join = TapJoin()
        self.preliminary = PreliminaryDecoder(spec.outputs, spec.preliminary)
        if spec.compress:
            self.codec = feature_codec(spec)
        self.decoder = Decoder((spec.outputs,), spec.decoder_widths, spec.decoder_blocks, spec.decoder_heads)

    def encode(self, images: Float[Array, "b h w 3"], train: bool = False) -> Preliminary:
        """Images -> what is coded."""
        maps = self.backbone(images, self.spec.taps, train).maps
        wide = tuple(one.astype(jnp.float32) for one in maps)  # rates and predictions never in 16 bits
        return self.preliminary(wide[0] if self.spec.tap == "last" else self.tap_join(wide), train)

    def analyse(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b hy wy n"]:
        """Images -> y."""
        return self.codec.analyse(self.encode(images).joined())

    def coded(self, images: Float[Array, "b h w 3"]) -> Decoded:
        """Images -> features as the decoder gets them, rounded, and their bits."""
        return self.codec.code(self.encode(images).joined())

    def decode(
        self, features: Float[Array, "b hg wg c"], size: tuple[int, int], train: bool = False
    ) -> Float[Array, "b h w o"]:
        """Features as decoded -> prediction of `size` = (height, width)."""
        return self.decoder([features], size, train)[0]

    def __call__(self, images: Float[Array, "b h w 3"], train: bool = False) -> Output:
        """Whole forward pass. In training the rate is that of noisy latents (rng "noise")."""
        preliminary = self.encode(images, train)
        features, bits = preliminary.joined(), jnp.zeros(len(images))
        if self.spec.compress:
            key = self.make_rng("noise") if train else None
            features, bits = self.codec.code(features, key)
        size = (images.shape[1], images.shape[2])
        return Output(self.decode(features, size, train), preliminary.prediction, bits)


def variables(
    spec: DoraICMSpec,
    params: paths.Tree,
    batch_stats: paths.Tree,
    train: bool = False,
    dropout: float = 0.0,
    scan: bool = False,
) -> dict[str, Any]:
    """The collections for `DoraICM.apply` from the tree of all parameters and the running statistics.

    Args:
        scan: stack the blocks of backbone and adapters, for a model whose `run` loops over them.

    Raises:
        IcmError: adapters of another depth or width than the backbone.
    """
    own = {name: tree for name, tree in params.items() if name != "adapter"}
    layers = stack_blocks if scan else dict
    if "backbone" in own:
        own["backbone"] = layers(own["backbone"])
    collections = {"params": own, "batch_stats": dict(batch_stats)}
    if spec.rank:
        if "backbone" in params:
            low_rank.refuse_misfit(params["adapter"], params["backbone"])
        bound = low_rank.bind(spec.adapter(dropout), layers(params["adapter"]), train)
        collections["adapters"] = {"backbone": bound}
    return collections


def initial(key: Array, spec: DoraICMSpec, backbone: paths.Tree | None = None) -> tuple[Any, Any]:
    """Parameters and running statistics to start from; the backbone's own if none are given.

    Given ones are taken as they are, so that models of several tasks share one tree in memory.

    Raises:
        IcmError: a backbone that is given is of another shape than `spec` says.
    """
    networks, adapter = jax.random.split(key)
    images = jax.ShapeDtypeStruct((1, 4 * spec.patch, 4 * spec.patch, 3), jnp.float32)
    model = DoraICM(spec)

    def rest(key: Array) -> Any:
        made = model.init(key, jnp.zeros(images.shape))
        kept = (
            made["params"]
            if backbone is None
            else {k: v for k, v in made["params"].items() if k != "backbone"}
        )
        return kept, made["batch_stats"]

    if backbone is not None:
        made = jax.eval_shape(model.init, networks, images)["params"]["backbone"]
        _refuse_other_shape(backbone, made)
    params, batch_stats = jax.jit(rest)(networks)  # what is not kept is not even computed
    base = params["backbone"] if backbone is None else backbone
    own = {"adapter": low_rank.init(adapter, spec.adapter(), base)} if spec.rank else {}
    return {**params, **own, "backbone": base}, batch_stats


def _refuse_other_shape(backbone: paths.Tree, expected: paths.Tree) -> None:
    """Raises IcmError, with the first parameter that differs."""
    found, wanted = paths.flatten(backbone), paths.flatten(expected)
    for path in (*wanted, *found):
        shapes = [list(tree[path].shape) if path in tree else "missing" for tree in (found, wanted)]
        if shapes[0] != shapes[1]:
            raise IcmError(
                f"the backbone's {path} is {shapes[0]}, the model's {shapes[1]}; "
                "give the width, depth, heads, sub_ln, patch and grid of the backbone to the model"
            )
