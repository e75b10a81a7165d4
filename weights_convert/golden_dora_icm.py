"""Kinds of golden files of DoRA-ICM: leading words of a file name -> the check."""

from collections.abc import Callable
from pathlib import Path

from weights_convert.golden_decoders import check_decoder, check_preliminary
from weights_convert.golden_dense_tasks import check_dense_tasks
from weights_convert.golden_eva02 import check_eva02, check_large_block
from weights_convert.golden_evc import check_dual_prior, check_tables
from weights_convert.golden_file import Row
from weights_convert.golden_layers import check_interp, check_posresize, check_resample, check_rope
from weights_convert.golden_low_rank import check_eva_adapters, check_linear

DORA_ICM_KINDS: dict[str, Callable[[Path], list[Row]]] = {
    "rope": check_rope,
    "interp": check_interp,
    "eva_resample": check_resample,
    "eva_tiny_posresize": check_posresize,
    "eva_tiny": check_eva02,
    "eva_lstyle": check_eva02,
    "eva_dynamic": check_eva02,
    "eva_large_block": check_large_block,
    "dora_linear": check_linear,
    "dora_eva": check_eva_adapters,
    "evc_dual_prior": check_dual_prior,
    "evc_tables": check_tables,
    "prelim_decoder": check_preliminary,
    "decoder_single": check_decoder,
    "decoder_multitask": check_decoder,
    "losses_metrics": check_dense_tasks,
}
