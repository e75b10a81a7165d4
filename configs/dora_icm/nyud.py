"""DoRA-ICM on NYUD-v2, as published: one model for every task and λ, on a frozen EVA-02-L.

    python -m icm_jax.main --config=configs/dora_icm/nyud.py:semseg --config.dense.lmbda=0.5 \
        --config.dense.backbone=backbone.safetensors --workdir=runs/nyud/semseg

Printed (supplement, Table 3), beside VVC with the fully fine-tuned baseline; 35 h on one A40:

    semseg  BD-rate −80.03 %, BD-mIoU +17.91         depth  BD-rate −97.08 %, BD-RMSE −0.71
    normals BD-rate −89.39 %, BD-mErr −8.97          edge   BD-rate −67.27 %, BD-odsF +8.84

Nobody has run this recipe to its end here. λ is not printed; the grid to start from is {0.05, 0.1, 0.25, 0.5, 1, 2, 4}:

    python -m launch.sweep --config=configs/dora_icm/nyud.py:semseg --root=runs/nyud/semseg \
        --grid 'dense.lmbda=0.05,0.1,0.25,0.5,1,2,4' -- --config.dense.backbone=backbone.safetensors

The data: `icm data build nyud_mt/invpt --manual-dir DOWNLOADS`. `backbone.safetensors` is timm's
eva02_large_patch14_448.mim_m38m_ft_in22k with patches of 16:

    python -c "from pathlib import Path; from weights_convert.timm_eva02 import load_eva02; \
        from icm_jax.pretrained.dora_icm import write_backbone; \
        write_backbone(Path('backbone.safetensors'), load_eva02(Path('CHECKPOINT'), 16, (28, 36))[1], {})"

Tasks: semseg, depth, normals, edge. `:smoke` takes two steps on rendered scenes.
The ablation and the baselines of the paper go by their names behind the task, `:semseg,lora`; all of them:
configs/dora_icm/methods.py.
"""

import ml_collections

from configs.dora_icm.published import published


def get_config(variant: str = "semseg") -> ml_collections.ConfigDict:
    """The published recipe of a task, or TASK,METHOD."""
    return published("nyud", variant)
