"""EVA-02, the plain vision transformer that DoRA-ICM adapts (Fang et al., Image and Vision Computing 2024).

    image ─► patches + class token + positions ─► depth × block ─► tokens ─► maps [b, h, w, width]
    block:  x + proj(attention(rotary(q), rotary(k), v)),  then  x + SwiGLU(x), each after a layer norm

There is no norm after the last block: the published weights have an identity there. Queries and values have a
bias, keys have none. Larger models have a norm inside the MLP (sub-LN).
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax import paths
from icm_jax.errors import IcmError
from icm_jax.layers.attention import attend
from icm_jax.layers.dense import Dense, Initializer, dense_init
from icm_jax.layers.drop_path import drop_path
from icm_jax.layers.patch_embed import PatchEmbed, resize_positions
from icm_jax.layers.rotary import RotaryTable, rotary_table, rotate
from icm_jax.layers.swiglu import SwiGLU, layer_norm

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class EVA02Spec:
    """Everything that fixes an EVA-02, and how it is run.

    Attributes:
        width, depth, heads: channels, blocks, attention heads of each.
        sub_ln: whether the MLP has a norm before its last layer (base and large).
        patch: side of a patch in pixels; 14 as published, 16 for the task networks.
        grid: rows and columns of the position embedding; other images get it resized as they come.
        drop_path: stochastic depth of the last block; rates grow linearly from 0.
        scan: run all blocks as one compiled loop over stacked parameters (`stack_blocks`), not unrolled.
        remat: recompute the inside of a block in the backward pass instead of keeping it.
        dtype: precision of activations, "float32" or "bfloat16"; parameters stay float32. "float64", for numerics
            alone, takes parameters of that type and `jax.enable_x64`.
    """

    width: int
    depth: int
    heads: int
    sub_ln: bool
    patch: int = 16
    grid: tuple[int, int] = (28, 36)
    drop_path: float = 0.0
    scan: bool = False
    remat: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.width % (4 * self.heads):
            raise IcmError(
                f"{self.width} channels over {self.heads} heads: a head's share must be a multiple of 4"
            )
        if self.dtype not in ("float32", "bfloat16", "float64"):
            raise IcmError(f"dtype={self.dtype!r} is unknown; choose 'float32', 'bfloat16' or 'float64'")

    @property
    def head_dim(self) -> int:
        """Channels of an attention head."""
        return self.width // self.heads


SIZES: dict[str, EVA02Spec] = {
    "tiny": EVA02Spec(width=192, depth=12, heads=3, sub_ln=False),
    "small": EVA02Spec(width=384, depth=12, heads=6, sub_ln=False),
    "base": EVA02Spec(width=768, depth=12, heads=12, sub_ln=True),
    "large": EVA02Spec(width=1024, depth=24, heads=16, sub_ln=True),
}


def eva02_spec(size: str, **changes: Any) -> EVA02Spec:
    """A published size with changed fields, such as `eva02_spec("large", patch=14, grid=(32, 32))`.

    Raises:
        IcmError: no such size.
    """
    if size not in SIZES:
        raise IcmError(f"EVA-02 of size {size!r} is unknown; choose one of {', '.join(SIZES)}")
    return dataclasses.replace(SIZES[size], **changes)


class Features(NamedTuple):
    """Output of the last block, class token first, and maps of the blocks that were asked for."""

    tokens: Float[Array, "b n1 d"]
    maps: tuple[Float[Array, "b h w d"], ...]


def normalise(images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """RGB in [0, 1] -> what the network was trained on (mean and deviation of CLIP)."""
    mean, std = jnp.asarray(CLIP_MEAN, images.dtype), jnp.asarray(CLIP_STD, images.dtype)
    return (images - mean) / std


def rescaled_init(layer: int | Array) -> Initializer:
    """Initial weights of the layers that write to the residual stream, smaller the deeper: 0.02 / √(2·layer).

    Args:
        layer: counted from 1; may be traced.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return dense_init(key, shape, dtype) / jnp.sqrt(2.0 * jnp.asarray(layer, dtype))

    return init


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions."""

    heads: int
    output_init: Initializer = dense_init

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], table: RotaryTable) -> Float[Array, "b n d"]:
        width = x.shape[-1]

        def split(tokens: Array) -> Float[Array, "b n heads e"]:
            return tokens.reshape(*tokens.shape[:2], self.heads, width // self.heads)

        q = rotate(split(Dense(width, name="q_proj")(x)), table)
        k = rotate(split(Dense(width, use_bias=False, name="k_proj")(x)), table)
        v = split(Dense(width, name="v_proj")(x))
        return Dense(width, kernel_init=self.output_init, name="proj")(attend(q, k, v).reshape(x.shape))


class Block(nn.Module):
    """One transformer block.

    Called with the tokens, their rotary table, the block's number from 1 and its drop-path rate, None to drop
    nothing. Returns the tokens twice if `collect`, for a scan that keeps the output of every block.
    """

    heads: int
    sub_ln: bool
    collect: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n d"], table: RotaryTable, layer: int | Array, rate: float | Array | None
    ) -> tuple[Array, Array | None]:
        def drop(branch: Array) -> Array:
            return branch if rate is None else drop_path(branch, rate, self.make_rng("drop_path"))

        output_init = rescaled_init(layer)
        attention = Attention(self.heads, output_init, name="attn")
        x = x + drop(attention(layer_norm(x, "norm1"), table)).astype(x.dtype)
        x = x + drop(SwiGLU(self.sub_ln, output_init, name="mlp")(layer_norm(x, "norm2"))).astype(x.dtype)
        return x, x if self.collect else None


class EVA02(nn.Module):
    """The backbone. Input: normalised images [b, h, w, 3] whose sides are multiples of the patch."""

    spec: EVA02Spec

    def setup(self) -> None:
        spec = self.spec
        self.patch_embed = PatchEmbed(spec.width, spec.patch)
        self.cls_token = self.param("cls_token", dense_init, (1, 1, spec.width))
        positions = 1 + spec.grid[0] * spec.grid[1]
        self.pos_embed = self.param("pos_embed", dense_init, (1, positions, spec.width))
        block = nn.remat(Block, prevent_cse=not spec.scan) if spec.remat else Block
        if spec.scan:
            loop = nn.scan(
                block,
                variable_axes={"params": 0, "adapters": 0},
                split_rngs={"params": True, "dropout": True, "drop_path": True},
                in_axes=(nn.broadcast, 0, 0),
                length=spec.depth,
            )
            self.blocks = loop(spec.heads, spec.sub_ln, collect=True)
        else:
            self.blocks = [block(spec.heads, spec.sub_ln) for _ in range(spec.depth)]

    def embed(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b n1 d"]:
        """Patches to tokens, class token in front, positions added."""
        grid = self._grid(images)
        tokens = self.patch_embed(images)
        cls = jnp.broadcast_to(self.cls_token, (len(tokens), 1, self.spec.width)).astype(tokens.dtype)
        tokens = jnp.concatenate([cls, tokens], axis=1)
        return tokens + resize_positions(self.pos_embed, self.spec.grid, grid).astype(tokens.dtype)

    def __call__(
        self, images: Float[Array, "b h w 3"], taps: tuple[int, ...] = (), train: bool = False
    ) -> Features:
        """Tokens after the last block, and maps after the blocks `taps`, counted from 0.

        Raises:
            IcmError: a tap that is no block, or sides that are no multiples of the patch.
        """
        spec = self.spec
        for tap in taps:
            if not 0 <= tap < spec.depth:
                raise IcmError(f"tap {tap} is no block; this model has blocks 0 to {spec.depth - 1}")
        grid = self._grid(images)
        table = with_class_token(rotary_table(grid, spec.head_dim, dtype=spec.dtype))
        x = self.embed(images).astype(spec.dtype)
        rates = np.linspace(0, spec.drop_path, spec.depth, dtype=np.float32)
        x, outputs = self._run(x, table, rates if train and spec.drop_path else None)
        tapped = (x if tap == spec.depth - 1 else outputs[tap] for tap in taps)
        return Features(x, tuple(one[:, 1:].reshape(-1, *grid, spec.width) for one in tapped))

    def _run(self, x: Array, table: RotaryTable, rates: np.ndarray | None) -> tuple[Array, Any]:
        """Output of the last block, and those of all, indexed by their number from 0."""
        layers = np.arange(1, self.spec.depth + 1)
        if self.spec.scan:
            # XLA drops the outputs that nothing reads, but only all or none of them: hence the last one apart.
            return self.blocks(x, table, jnp.asarray(layers), None if rates is None else jnp.asarray(rates))
        outputs = []
        for block, layer in zip(self.blocks, layers, strict=True):
            x, _ = block(x, table, layer, None if rates is None else rates[layer - 1])
            outputs.append(x)
        return x, outputs

    def _grid(self, images: Array) -> tuple[int, int]:
        return images.shape[1] // self.spec.patch, images.shape[2] // self.spec.patch


def with_class_token(table: RotaryTable) -> RotaryTable:
    """The table with a first token in front that is not turned."""
    sin, cos = table
    return RotaryTable(
        np.concatenate([np.zeros_like(sin[:1]), sin]), np.concatenate([np.ones_like(cos[:1]), cos])
    )


def stack_blocks(params: paths.Tree) -> dict[str, Any]:
    """Parameters (or adapters) of an unrolled model -> those of one with `scan`: `blocks_3/…` -> `blocks/…`[3]."""
    others: dict[str, Any] = {}
    blocks: dict[str, dict[int, Array]] = {}
    for path, leaf in paths.flatten(params).items():
        head, _, rest = path.partition("/")
        if head.startswith("blocks_"):
            blocks.setdefault(rest, {})[int(head.removeprefix("blocks_"))] = leaf
        else:
            others[path] = leaf
    stacked = {f"blocks/{rest}": jnp.stack([own[i] for i in sorted(own)]) for rest, own in blocks.items()}
    return paths.unflatten(others | stacked)


def unstack_blocks(params: paths.Tree) -> dict[str, Any]:
    """Inverse of `stack_blocks`."""
    leaves: dict[str, Any] = {}
    for path, leaf in paths.flatten(params).items():
        head, _, rest = path.partition("/")
        if head == "blocks":
            leaves |= {f"blocks_{i}/{rest}": part for i, part in enumerate(leaf)}
        else:
            leaves[path] = leaf
    return paths.unflatten(leaves)
