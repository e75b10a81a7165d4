"""Tables of BD deltas as papers print them, with the printed numbers, to be filled with measured ones.

NaN is a dash in the paper. BD accuracies are printed in the metric's unit; DoRA-ICM prints those of depth and normals
as differences of the error, so that negative is better. It builds on InvPT, so its maxF is taken to be InvPT's, which
passes probabilities through a second sigmoid.
"""

from collections.abc import Mapping
from typing import NamedTuple

from icm_jax.errors import IcmError

DASH = float("nan")
Pair = tuple[float, float]  # BD rate in per cent, BD accuracy


class PaperColumn(NamedTuple):
    """One task of a table. `is_error` says that the printed BD accuracy is a difference of errors."""

    title: str
    task: str
    metric: str
    is_error: bool = False


class PaperTable(NamedTuple):
    """A printed table: for every method a pair a column. `single`: the single-task method that Δm is against."""

    title: str
    source: str
    anchor: str
    columns: tuple[PaperColumn, ...]
    rows: Mapping[str, tuple[Pair, ...]]
    single: str = ""


TRANSTIC_TABLE1 = PaperTable(
    title="BD-rate (%) and BD-accuracy with TIC as anchor",
    source="Chen et al., TransTIC, ICCV 2023, Table 1",
    anchor="TIC",
    columns=(
        PaperColumn("Classification", "classification", "top1"),
        PaperColumn("Detection", "detection", "ap"),
        PaperColumn("Segmentation", "instances", "ap"),
    ),
    rows={
        "full fine-tuning": ((DASH, 16.24), (DASH, 4.11), (DASH, 3.86)),
        "ROI": ((-8.67, 1.14), (2.43, -0.2), (-1.45, 0.04)),
        "TIC+SFT": ((-62.10, 11.07), (-26.56, 1.37), (-26.47, 1.4)),
        "TIC+channel selection": ((-31.13, 5.88), (53.66, -3.8), (54.37, -2.8)),
        "TransTIC": ((-58.77, 10.02), (-46.07, 2.72), (-45.83, 2.66)),
    },
)

AIO_TABLE2 = PaperTable(
    title="PASCAL-Context, with the base codec as anchor",
    source="Zhao et al., All-in-One, Table 2",
    anchor="TIC",
    columns=(
        PaperColumn("Semantic Segmentation", "semseg", "miou"),
        PaperColumn("Human Parsing", "human_parts", "miou"),
        PaperColumn("Saliency Detection", "saliency", "miou"),
        PaperColumn("Normals Estimation", "normals", "mean"),
    ),
    rows={
        "Full Fine-Tuning": ((-74.63, 9.63), (-70.76, 5.23), (-72.12, 3.53), (DASH, 1.09)),
        "TransTIC": ((-39.99, 4.36), (-49.16, 2.74), (-6.00, 0.23), (-56.47, 0.73)),
        "AdaptICMH": ((-67.39, 8.45), (-63.82, 4.78), (-77.62, 2.76), (-77.91, 1.09)),
        "All-in-One": ((-74.89, 9.61), (-78.91, 5.29), (DASH, 4.53), (DASH, 1.20)),
    },
    single="AdaptICMH",
)

AIO_TABLE3 = PaperTable(
    title="NYUD-v2, with the base codec as anchor",
    source="Zhao et al., All-in-One, Table 3",
    anchor="TIC",
    columns=(
        PaperColumn("Semantic Segmentation", "semseg-nyud", "miou"),
        PaperColumn("Depth Estimation", "depth", "rmse"),
        PaperColumn("Normals Estimation", "normals", "mean"),
    ),
    rows={
        "Full Fine-Tuning": ((-67.45, 3.61), (-69.10, 0.16), (-21.80, 0.51)),
        "TransTIC": ((-10.82, 0.57), (-45.00, 0.11), (-25.79, 0.52)),
        "AdaptICMH": ((-60.42, 3.24), (-58.97, 0.16), (18.50, 0.76)),
        "All-in-One": ((-66.06, 4.06), (-79.67, 0.18), (-46.70, 1.11)),
    },
    single="AdaptICMH",
)

AIO_TABLE4 = PaperTable(
    title="PASCAL-Context by number of tasks, with the base codec as anchor",
    source="Zhao et al., All-in-One, Table 4",
    anchor="TIC",
    columns=AIO_TABLE2.columns[:2],
    rows={
        "+Human": ((-69.82, 9.36), (-71.01, 5.04)),
        "+Sal": ((-64.00, 9.33), (DASH, DASH)),
        "+Human/Sal": ((-70.13, 9.39), (-74.85, 5.22)),
        "+Human/Sal/Normal": ((-74.89, 9.61), (-78.91, 5.29)),
    },
)

DORA_TABLE3 = PaperTable(
    title="NYUD-v2, with VVC + Full FT Baseline as anchor",
    source="Zhang et al., DoRA-ICM, supplement, Table 3",
    anchor="VVC + Full FT Baseline",
    columns=(
        PaperColumn("Semseg", "semseg-nyud", "miou"),
        PaperColumn("Depth", "depth", "rmse", is_error=True),
        PaperColumn("Normal", "normals", "mean", is_error=True),
        PaperColumn("Boundary", "boundary-nyud", "ods_f"),
    ),
    rows={
        "VVC + DoRA FT Baseline": ((-27.16, 4.20), (-37.66, -0.06), (7.92, 0.34), (33.64, -3.31)),
        "Pre-processor + Full FT Baseline": (
            (-18.90, 2.65),
            (-19.61, -0.03),
            (-23.85, -1.20),
            (-17.70, 1.90),
        ),
        "Pre-processor + DoRA FT Baseline": (
            (-39.60, 6.27),
            (-50.87, -0.09),
            (-17.57, -0.84),
            (10.78, -1.13),
        ),
        "Full FT": ((-76.68, 19.79), (-87.66, -0.92), (-88.14, -8.68), (-77.74, 13.46)),
        "DoRA FT": ((-80.03, 17.91), (-97.08, -0.71), (-89.39, -8.97), (-67.27, 8.84)),
    },
)

DORA_TABLE4 = PaperTable(
    title="PASCAL-Context, with VVC + Full FT Baseline as anchor",
    source="Zhang et al., DoRA-ICM, supplement, Table 4",
    anchor="VVC + Full FT Baseline",
    columns=(
        PaperColumn("Semseg", "semseg", "miou"),
        PaperColumn("Parsing", "human_parts", "miou"),
        PaperColumn("Saliency", "saliency", "max_f_beta03_double_sigmoid"),
        PaperColumn("Normal", "normals", "mean", is_error=True),
        PaperColumn("Boundary", "boundary", "ods_f"),
    ),
    rows={
        "VVC + DoRA FT Baseline": (
            (-18.61, 3.89),
            (-15.42, 3.13),
            (13.71, -0.98),
            (-19.04, -0.67),
            (-1.83, 0.25),
        ),
        "Pre-processor + Full FT Baseline": (
            (-20.05, 3.66),
            (-21.45, 4.25),
            (-32.47, 2.81),
            (-37.47, -1.54),
            (-22.04, 3.79),
        ),
        "Pre-processor + DoRA FT Baseline": (
            (-33.85, 6.89),
            (-34.78, 6.80),
            (-22.03, 1.85),
            (-52.00, -2.17),
            (-21.27, 3.46),
        ),
        "Full FT": ((-85.57, 29.75), (-91.16, 26.94), (-92.30, 66.44), (-92.96, -8.55), (-86.20, 23.13)),
        "DoRA FT": ((-85.59, 26.04), (-92.19, 23.64), (-92.07, 32.58), (-93.24, -8.82), (-82.46, 24.01)),
    },
)

LAYOUTS: dict[str, PaperTable] = {
    "transtic-table1": TRANSTIC_TABLE1,
    "aio-table2": AIO_TABLE2,
    "aio-table3": AIO_TABLE3,
    "aio-table4": AIO_TABLE4,
    "dora-table3": DORA_TABLE3,
    "dora-table4": DORA_TABLE4,
}


def get_layout(name: str) -> PaperTable:
    """The table of this name; raises IcmError with those there are."""
    if name not in LAYOUTS:
        raise IcmError(f"layout {name!r} is unknown; choose one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]
