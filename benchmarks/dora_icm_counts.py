"""Parameters of DoRA-ICM, part by part, and of the adapters of its ablations. No weights are made.

python benchmarks/dora_icm_counts.py
"""

from functools import partial

import jax

from icm_jax.adapters import low_rank
from icm_jax.adapters.low_rank import LowRankSpec
from icm_jax.evaluate.task_complexity import dora_icm_params
from icm_jax.models.dora_icm.decoder import FULL_WIDTHS
from icm_jax.models.dora_icm.model import initial
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.tasks.dense import TASKS

PARTS = ("adapter", "preliminary", "codec", "decoder")
ADAPTERS = {
    "DoRA qkv r8": LowRankSpec(),
    "DoRA qkv r16": LowRankSpec(rank=16),
    "LoRA qv r16": LowRankSpec(rank=16, magnitude=False, targets=(r".*/(q_proj|v_proj)/kernel",)),
    "DoRA qkv, up, down r8": LowRankSpec(targets=low_rank.QKV_UP_DOWN),
    "DoRA qkv, up, down r16": LowRankSpec(rank=16, targets=low_rank.QKV_UP_DOWN),
    "DoRA qkv, gate, up, down r8": LowRankSpec(targets=low_rank.QKV_MLP),
    "DoRA qkv, gate, up, down r16": LowRankSpec(rank=16, targets=low_rank.QKV_MLP),
}


def row(name: str, spec: DoraICMSpec) -> str:
    """Counts of the parts and, in millions, of what is trained and of full fine-tuning."""
    counts = dora_icm_params(spec)
    own = sum(counts.get(part, 0) for part in PARTS)
    full = own - counts["adapter"] + counts["backbone"]
    columns = "".join(f"{counts.get(part, 0):>13,}" for part in PARTS)
    return f"{name:<28}{columns}{own / 1e6:>10.2f}{full / 1e6:>10.2f}"


def main() -> None:
    """Prints both tables."""
    print(f"{'task':<28}{''.join(f'{part:>13}' for part in PARTS)}{'own M':>10}{'full FT M':>10}")
    for dataset, tasks in TASKS.items():
        for name, task in tasks.items():
            print(row(f"{dataset} {name} ({task.outputs})", DoraICMSpec(outputs=task.outputs)))
    print(row("nyud semseg, no codec", DoraICMSpec(compress=False)))
    print(row("nyud semseg, full decoder", DoraICMSpec(decoder_widths=FULL_WIDTHS)))
    backbone = jax.eval_shape(lambda: initial(jax.random.key(0), DoraICMSpec())[0])["backbone"]
    total = low_rank.count(backbone)
    print(f"\n{'adapters of the backbone':<32}{'parameters':>12}{'of ' + format(total, ','):>18}")
    for name, spec in ADAPTERS.items():
        adapters = jax.eval_shape(partial(low_rank.init, jax.random.key(0), spec), backbone)
        count = low_rank.count(adapters)
        print(f"{name:<32}{count:>12,}{count / total:>18.3%}")


if __name__ == "__main__":
    main()
