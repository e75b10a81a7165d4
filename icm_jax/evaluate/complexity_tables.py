"""Tables of complexity as papers print them, each printed row followed by what is counted here.

`counted` follows the rule of the papers on TIC, `multiplied` says what the program multiplies
(`icm_jax.evaluate.complexity`). Storage is four bytes a parameter, in units of 2^30, as in DoRA-ICM.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from icm_jax.adapters.all_in_one import AllInOneSpec
from icm_jax.adapters.channel_selection import ChannelSelectionSpec
from icm_jax.adapters.prompts import PromptSpec
from icm_jax.adapters.roi import RoiSpec
from icm_jax.adapters.sfma import SfmaSpec
from icm_jax.adapters.sft import SftSpec
from icm_jax.errors import IcmError
from icm_jax.evaluate.bd_table import MISSING
from icm_jax.evaluate.complexity import Complexity, complexity
from icm_jax.evaluate.table_files import TextTable, joined
from icm_jax.evaluate.task_complexity import OWN, dora_icm_params, dora_icm_parts
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.models.hooks import AdapterSpec
from icm_jax.models.tic import TICSpec

Cells = tuple[str, ...]
Counted = Mapping[str, Cells]  # cells by the way of counting


class ComplexityLayout(NamedTuple):
    """A printed table. `counted` gives our rows by method; methods that the paper lacks come last."""

    title: str
    source: str
    head: Cells
    printed: Mapping[str, Cells]
    counted: Callable[[], Mapping[str, Counted]]


def complexity_table(name: str) -> TextTable:
    """The layout of this name, filled; raises IcmError with those there are."""
    if name not in COMPLEXITY_LAYOUTS:
        raise IcmError(f"layout {name!r} is unknown; choose one of {', '.join(COMPLEXITY_LAYOUTS)}")
    layout = COMPLEXITY_LAYOUTS[name]
    counted = layout.counted()
    rows = []
    for method in dict.fromkeys((*layout.printed, *counted)):
        if method in layout.printed:
            rows.append([method, "printed", *layout.printed[method]])
        rows += [[method, way, *cells] for way, cells in counted.get(method, {}).items()]
    return joined(["method", "numbers", *layout.head], rows, f"{layout.title}. Printed: {layout.source}.")


def _on_tic(adapter: AdapterSpec | None) -> Counted:
    c = complexity(TICSpec(), adapter)
    sizes = (f"{c.enc_params / 1e6:.2f}", f"{c.dec_params / 1e6:.2f}")
    return {
        "counted": (f"{c.enc_kmacs_paper:.2f}", f"{c.dec_kmacs_paper:.2f}", *sizes),
        "multiplied": (f"{c.enc_kmacs:.2f}", f"{c.dec_kmacs:.2f}", *sizes),
    }


def _transtic() -> Mapping[str, Counted]:
    """The published ROI codec is no TIC; ours steers a TIC in its way and stands for itself."""
    methods = {
        "TIC": None,
        "TIC+SFT": SftSpec(),
        "TIC+channel selection": ChannelSelectionSpec(),
        "TransTIC": PromptSpec(),
        "TIC+ROI": RoiSpec(),
    }
    return {name: _on_tic(adapter) for name, adapter in methods.items()}


def _transtic_a1() -> Mapping[str, Counted]:
    variants = {
        "TIC": None,
        "Shallow": PromptSpec(shallow=True),
        "Deep, Enc IP, Dec TP, 16 prompts, STB-1234": PromptSpec(),
        "Enc IP, Dec IP": PromptSpec(decoder="instance"),
        "4 prompts": PromptSpec(encoder_prompts=4, decoder_prompts=4),
        "64 prompts": PromptSpec(encoder_prompts=64, decoder_prompts=64),
        "STB-12": PromptSpec(decoder_stacks=(1, 2)),
        "STB-34": PromptSpec(decoder_stacks=(3, 4)),
        "Enc IP, Dec -": PromptSpec(decoder="none"),
        "Enc -, Dec TP": PromptSpec(encoder="none"),
    }
    return {name: _on_tic(adapter) for name, adapter in variants.items()}


def _aio_table5() -> Mapping[str, Counted]:
    """Shares are of as many fine-tuned codecs as tasks; the paper divides by four of them in both columns."""
    base = complexity(TICSpec())
    whole = base.enc_params + base.dec_params

    def row(codec: Complexity, params: str, of_four: int, of_three: int) -> Counted:
        cost = (f"{codec.enc_kmacs_paper:.1f}", f"{codec.dec_kmacs_paper:.1f}")
        return {"counted": (*cost, params, _share(of_four, 4 * whole), _share(of_three, 3 * whole))}

    def one_a_task(codec: Complexity, params: int) -> Counted:
        return row(codec, f"{_millions(params)}×4", 4 * params, 3 * params)

    transtic, sfma = complexity(TICSpec(), PromptSpec()), complexity(TICSpec(), SfmaSpec())
    four = complexity(TICSpec(), AllInOneSpec())
    three = complexity(TICSpec(), AllInOneSpec(tasks=("semseg", "depth", "normals")))
    return {
        "Full-Finetune": one_a_task(base, whole),
        "TransTIC": one_a_task(transtic, transtic.adapter_params),
        "AdaptICMH": one_a_task(sfma, sfma.adapter_params),
        "Ours": row(four, f"{_millions(four.adapter_params)}×1", four.adapter_params, three.adapter_params),
    }


def _dora() -> Mapping[str, Counted]:
    """For semantic segmentation of NYUD-v2, the task of the paper's ablation."""
    counted = {}
    for system, compress in (("VVC + {} Baseline", False), ("{}", True)):
        parts = dora_icm_parts(DoraICMSpec(compress=compress))
        own = sum(part.params for name, part in parts.items() if name in OWN)
        kmacs = sum(part.kmacs for part in parts.values())
        backbone, adapter = parts["backbone"].params, parts["adapter"].params
        for method, trained in (("Full FT", backbone), ("DoRA FT", adapter)):
            total = own - adapter + trained
            counted[system.format(method)] = {
                "counted": (
                    f"{_millions(total)}M",
                    f"{_millions(trained)}M",
                    f"{trained / backbone:.2%}",
                    f"{kmacs:.0f}",
                )
            }
    return counted


def _dora_storage() -> Mapping[str, Counted]:
    """The first task needs the backbone and all that is the task's; another one under DoRA only the latter."""
    counted = {}
    for system, compress in (("VVC + {} Baseline", False), ("{}", True)):
        params = dora_icm_params(DoraICMSpec(compress=compress))
        own = sum(params.get(name, 0) for name in OWN)
        full = own - params["adapter"] + params["backbone"]
        first = {"Full FT": full, "DoRA FT": own + params["backbone"]}
        for method, trained in (("Full FT", full), ("DoRA FT", own)):
            cells = (f"{_millions(trained)}M", MISSING, _storage(first[method]), _storage(trained))
            counted[system.format(method)] = {"counted": (MISSING, *cells)}
    return counted


def _millions(params: int) -> str:
    return f"{params / 1e6:.2f}"


def _share(params: int, whole: int) -> str:
    return f"{_millions(params)} ({params / whole:.1%})"


def _storage(params: int) -> str:
    return f"{4 * params / 2**30:.2f}GB"


ON_TIC = ("Encoder (kMACs/px)", "Decoder (kMACs/px)", "Encoder (M)", "Decoder (M)")
COMPLEXITY_LAYOUTS: dict[str, ComplexityLayout] = {
    "transtic": ComplexityLayout(
        title="Multiply–accumulates and parameters",
        source="Chen et al., TransTIC, ICCV 2023, Table 2",
        head=ON_TIC,
        printed={
            "TIC": ("142.54", "188.52", "3.65", "3.86"),
            "ROI, autoencoder only": ("800.36", "679.80", "21.91", MISSING),
            "ROI, classification": ("882.46", "679.80", "47.47", MISSING),
            "ROI, detection": ("991.13", "679.80", "63.39", MISSING),
            "ROI, segmentation": ("≈997.85", "679.80", "66.03", MISSING),
            "TIC+SFT": ("686.39", "462.23", "12.08", "9.62"),
            "TIC+channel selection": ("142.54", "25.13", "3.76", "1.96"),
            "TransTIC": ("332.03", "202.60", "5.24", "3.89"),
        },
        counted=_transtic,
    ),
    "transtic-a1": ComplexityLayout(
        title="Multiply–accumulates and parameters of prompts",
        source="Chen et al., TransTIC, ICCV 2023, Table A1",
        head=ON_TIC,
        printed={
            "TIC": ("142.54", "188.52", "3.65", "3.86"),
            "Shallow": ("322.80", "209.51", "4.65", "3.88"),
            "Deep, Enc IP, Dec TP, 16 prompts, STB-1234": ("332.03", "202.60", "5.24", "3.89"),
            "Enc IP, Dec IP": ("332.03", "276.39", "5.24", "5.06"),
            "4 prompts": ("302.06", "192.04", "5.24", "3.87"),
            "64 prompts": ("451.91", "244.87", "5.24", "3.98"),
            "STB-12": ("332.03", "200.80", "5.24", "3.87"),
            "STB-34": ("332.03", "190.32", "5.24", "3.88"),
            "Enc IP, Dec -": ("332.03", "188.52", "5.24", "3.86"),
            "Enc -, Dec TP": ("142.54", "202.60", "3.65", "3.89"),
        },
        counted=_transtic_a1,
    ),
    "aio-table5": ComplexityLayout(
        title="Multiply–accumulates, and trainable parameters of four and of three tasks",
        source="Zhao et al., All-in-One, Tables 5, 2 and 3",
        head=(
            "Encoder (kMACs/px)",
            "Decoder (kMACs/px)",
            "Params (M)",
            "PASCAL-Context, 4 tasks (M)",
            "NYUD-v2, 3 tasks (M)",
        ),
        printed={
            "Full-Finetune": ("142.5", "188.5", "7.51×4", "30.04 (100%)", "30.04 (100%)"),
            "TransTIC": ("332.0", "202.6", "1.62×4", "6.48 (21.4%)", "4.86 (16.18%)"),
            "AdaptICMH": ("157.2", "203.2", "0.29×4", "1.15 (3.7%)", "0.86 (2.9%)"),
            "Ours": ("149.7", "236.1", "0.63×1", "0.63 (2.1%)", "0.50 (1.7%)"),
        },
        counted=_aio_table5,
    ),
    "dora": ComplexityLayout(
        title="Parameters that are trained for a task, of 448×576 pictures",
        source="Zhang et al., DoRA-ICM, supplement, Table 3; shares from section 3.2",
        head=("Total trainable", "Backbone trainable", "Share of the backbone", "kMACs/px"),
        printed={
            "VVC + Full FT Baseline": ("330M", "305M", "100%", MISSING),
            "VVC + DoRA FT Baseline": ("27M", "1M", MISSING, MISSING),
            "Pre-processor + Full FT Baseline": ("390M", "305M", "100%", MISSING),
            "Pre-processor + DoRA FT Baseline": ("87M", "1M", MISSING, MISSING),
            "Full FT": ("387M", "305M", "100%", MISSING),
            "DoRA FT": ("84M", "1M", "0.41%", MISSING),
        },
        counted=_dora,
    ),
    "dora-storage": ComplexityLayout(
        title="Training and storage",
        source="Zhang et al., DoRA-ICM, supplement, Table 2; one NVIDIA A40",
        head=("Training time", "Trainable", "GPU memory", "One task", "Additional task"),
        printed={
            "VVC + Full FT Baseline": ("35h", "330M", "21.63GB", "1.23GB", "1.23GB"),
            "VVC + DoRA FT Baseline": ("32h", "27M", "18.76GB", "1.23GB", "0.10GB"),
            "Pre-processor + Full FT Baseline": (
                "44h + 35h",
                "60M + 330M",
                "14.52GB + 21.63GB",
                "0.22GB + 1.23GB",
                "0.22GB + 1.23GB",
            ),
            "Pre-processor + DoRA FT Baseline": (
                "44h + 32h",
                "60M + 27M",
                "14.52GB + 18.76GB",
                "0.22GB + 1.23GB",
                "0.22GB + 0.10GB",
            ),
            "Full FT": ("38h", "387M", "22.55GB", "1.44GB", "1.44GB"),
            "DoRA FT": ("35h", "84M", "19.46GB", "1.44GB", "0.31GB"),
        },
        counted=_dora_storage,
    ),
}
