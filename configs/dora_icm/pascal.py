"""DoRA-ICM on PASCAL-Context, as published: one model for every task and λ, on a frozen EVA-02-L.

    python -m icm_jax.main --config=configs/dora_icm/pascal.py:semseg --config.dense.lmbda=0.5 \
        --config.dense.backbone=backbone.safetensors --workdir=runs/pascal/semseg

Printed (supplement, Table 4), beside VVC with the fully fine-tuned baseline:

    semseg  BD-rate −85.59 %, BD-mIoU +26.04         human_parts  BD-rate −92.19 %, BD-mIoU +23.64
    sal     BD-rate −92.07 %, BD-maxF +32.58         normals      BD-rate −93.24 %, BD-mErr −8.82
    edge    BD-rate −82.46 %, BD-odsF +24.01

Nobody has run this recipe to its end here. λ is not printed; the grid to start from is {0.05, 0.1, 0.25, 0.5, 1, 2, 4}:

    python -m launch.sweep --config=configs/dora_icm/pascal.py:semseg --root=runs/pascal/semseg \
        --grid 'dense.lmbda=0.05,0.1,0.25,0.5,1,2,4' -- --config.dense.backbone=backbone.safetensors

The data: `icm data build pascal_mt --manual-dir DOWNLOADS`. `backbone.safetensors` is timm's
eva02_large_patch14_448.mim_m38m_ft_in22k with patches of 16:

    python -c "from pathlib import Path; from weights_convert.timm_eva02 import load_eva02; \
        from icm_jax.pretrained.dora_icm import write_backbone; \
        write_backbone(Path('backbone.safetensors'), load_eva02(Path('CHECKPOINT'), 16, (32, 32))[1], {})"

Tasks: semseg, human_parts, sal, normals, edge. `:smoke` takes two steps on rendered scenes.
The ablation and the baselines of the paper go by their names behind the task, `:semseg,lora`; all of them:
configs/dora_icm/methods.py.
"""

import ml_collections

from configs.dora_icm.published import published


def get_config(variant: str = "semseg") -> ml_collections.ConfigDict:
    """The published recipe of a task, or TASK,METHOD."""
    return published("pascal", variant)
