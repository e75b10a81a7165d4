"""Everything that fixes a DoRA-ICM model of one task, as flat values that JSON can hold."""

from dataclasses import dataclass
from typing import Any

from icm_jax.adapters.low_rank import QKV, LowRankSpec
from icm_jax.entropy.dual_spatial import Z_DOWN
from icm_jax.errors import IcmError
from icm_jax.models.dora_icm.decoder import WIDTHS as DECODER_WIDTHS
from icm_jax.models.dora_icm.preliminary import WIDTHS as PRELIMINARY_WIDTHS
from icm_jax.models.eva02 import EVA02Spec

TAPS = ("last", "concat4")


@dataclass(frozen=True)
class DoraICMSpec:
    """The published model for one task by default. What the paper does not print is explained in docs/dora_icm.md.

    Attributes:
        outputs: channels of the prediction.
        width, depth, heads, sub_ln, patch, grid: the backbone; see `EVA02Spec`.
        tap: features that leave the backbone: "last", the output of the last block; or "concat4", those of four
            blocks at equal distances, each normed, joined by a linear layer.
        rank, alpha, magnitude, targets: the adapters; see `LowRankSpec`. Rank 0: none.
        preliminary: widths of the preliminary decoder; the last one is coded.
        N: channels of the latents y and z.
        compress: off for the baselines without a codec.
        decoder_widths, decoder_blocks, decoder_heads: see `Decoder`; four widths make the full decoder.
        base_hash: which weights of the backbone the adapters belong to; "" where that is open.
    """

    outputs: int = 40
    width: int = 1024
    depth: int = 24
    heads: int = 16
    sub_ln: bool = True
    patch: int = 16
    grid: tuple[int, int] = (28, 36)
    tap: str = "last"
    rank: int = 8
    alpha: float = 8.0
    magnitude: bool = True
    targets: tuple[str, ...] = QKV
    preliminary: tuple[int, ...] = PRELIMINARY_WIDTHS
    N: int = 448
    compress: bool = True
    decoder_widths: tuple[int, ...] = DECODER_WIDTHS
    decoder_blocks: int = 2
    decoder_heads: int = 2
    base_hash: str = ""

    def __post_init__(self) -> None:
        if self.tap not in TAPS:
            raise IcmError(f"tap={self.tap!r} is unknown; choose one of {', '.join(TAPS)}")
        if self.tap == "concat4" and self.depth % 4:
            raise IcmError(f"tap='concat4' needs a depth that is a multiple of 4, not {self.depth}")
        if self.N % 2:
            raise IcmError(f"N={self.N} is odd; the two passes need equal halves of the channels")
        if narrow := [width for width in self.decoder_widths if width % (4 * self.decoder_heads)]:
            raise IcmError(
                f"decoder_widths: {narrow[0]} channels over {self.decoder_heads} heads; a head's share must be a "
                "multiple of 4"
            )
        if self.patch < 1:
            raise IcmError(f"patch={self.patch}; a patch has at least one pixel, the published ones 14 or 16")

    @property
    def M(self) -> int:
        """Channels of y."""
        return self.N

    @property
    def y_stride(self) -> int:
        """Pixels to a position of y, in each direction: the side of a patch."""
        return self.patch

    @property
    def z_stride(self) -> int:
        """Pixels to a position of z, in each direction; canvases are multiples of it."""
        return Z_DOWN * self.patch

    @property
    def coded(self) -> int:
        """Channels that are coded: features and prediction."""
        return self.preliminary[-1] + self.outputs

    @property
    def taps(self) -> tuple[int, ...]:
        """Blocks whose output is used, from 0."""
        quarter = self.depth // 4
        return (self.depth - 1,) if self.tap == "last" else tuple(quarter * i - 1 for i in range(1, 5))

    def backbone(self, **run: Any) -> EVA02Spec:
        """The backbone, with ways to run it such as `scan=True, remat=True, dtype="bfloat16"`."""
        return EVA02Spec(self.width, self.depth, self.heads, self.sub_ln, self.patch, self.grid, **run)

    def adapter(self, dropout: float = 0.0) -> LowRankSpec:
        """The adapters."""
        return LowRankSpec(self.rank, self.alpha, dropout, self.magnitude, self.targets)
