"""The paper's ablation and baselines, as changes to any config of DoRA-ICM: `nyud.py:semseg,lora`, `scenes.py:fixed`.

compressing   dora (as published), dora-r16, dora-mlp, dora-mlp-r16 (up and down of the MLPs too), lora (rank 16 on
              q and v), fixed (backbone as it is), full (backbone trained too), scratch (and from random weights),
              no-intersup (of the preliminary prediction), full-decoder (a fourth stage), concat4 (four blocks
              are tapped), patch14
baselines     full-baseline, dora-baseline: no codec; what pictures behind VVC are shown to
"""

from collections.abc import Mapping
from typing import Any

import ml_collections

from icm_jax.adapters.low_rank import QKV_UP_DOWN
from icm_jax.errors import IcmError

QV = (r".*/(q_proj|v_proj)/kernel",)
ALL = ("model/.*",)
FULL = {"model.rank": 0, "trainable": ALL}
METHODS: dict[str, Mapping[str, Any]] = {
    "dora": {},
    "dora-r16": {"model.rank": 16, "model.alpha": 16.0},
    "dora-mlp": {"model.targets": QKV_UP_DOWN},
    "dora-mlp-r16": {"model.targets": QKV_UP_DOWN, "model.rank": 16, "model.alpha": 16.0},
    "lora": {"model.magnitude": False, "model.targets": QV, "model.rank": 16, "model.alpha": 16.0},
    "fixed": {"model.rank": 0},
    "full": FULL,
    "scratch": FULL,
    "no-intersup": {"dense.supervise_preliminary": False},
    "full-decoder": {},
    "concat4": {"model.tap": "concat4"},
    "patch14": {"model.patch": 14},
    "full-baseline": {**FULL, "model.compress": False},
    "dora-baseline": {"model.compress": False},
}


def change(config: ml_collections.ConfigDict, method: str) -> None:
    """Makes a config of the published method one of another.

    Raises:
        IcmError: no such method.
    """
    if method not in METHODS:
        raise IcmError(f"method {method!r} is unknown; choose one of {', '.join(METHODS)}")
    config.name = f"{config.name}-{method}"
    config.update_from_flattened_dict(METHODS[method])
    if method == "full-decoder":
        widths = config.model.decoder_widths
        config.model.decoder_widths = (*widths, widths[-1] // 2)
    if method == "scratch":
        config.dense.backbone = ""
