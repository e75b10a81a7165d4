"""Measured curves in the layout of a paper's table, with the printed numbers beside them."""

import math
from collections.abc import Mapping, Sequence

from icm_jax.evaluate.bd_table import MISSING, bd_rows
from icm_jax.evaluate.paper_tables import Pair, PaperColumn, PaperTable
from icm_jax.evaluate.result import Result
from icm_jax.evaluate.table_files import TextTable, joined
from icm_jax.metrics import delta_m


def fill(layout: PaperTable, results: Sequence[Result]) -> TextTable:
    """The printed rows, and behind each what was measured under the same name; then curves that the paper lacks.

    A curve stands for a method by its name (`icm eval --codecs 'TransTIC=…'`), whatever its case. Deltas are cubic,
    as papers report them. Where the paper compares with single-task models, the last column is Δm, computed from the
    BD accuracies of the row and of those models.
    """
    head = ["method", "numbers"]
    for column in layout.columns:
        head += [f"{column.title} BD-rate (%)", f"{column.title} BD-{column.metric}"]
    head += ["Δm"] if layout.single else []
    measured = {
        result.curve: tuple(_measured(layout, column, results, result.curve) for column in layout.columns)
        for result in results
        if result.curve.casefold() != layout.anchor.casefold()
    }
    rows = []
    for method, pairs in layout.rows.items():
        rows.append(_row(layout, (method, "printed"), pairs, layout.rows))
        same = [curve for curve in measured if curve.casefold() == method.casefold()]
        rows += [_row(layout, (curve, "measured"), measured[curve], measured) for curve in same]
    names = {name.casefold() for name in layout.rows}
    others = [curve for curve in measured if curve.casefold() not in names]
    rows += [_row(layout, (curve, "measured"), measured[curve], measured) for curve in others]
    return joined(head, rows, f"{layout.title}. Printed: {layout.source}.")


def _row(
    layout: PaperTable, name: tuple[str, str], pairs: Sequence[Pair], all_rows: Mapping[str, Sequence[Pair]]
) -> list[str]:
    """A row of the table; `all_rows`: those that its single-task models are looked up in."""
    cells = [*name, *(text for pair in pairs for text in _texts(pair))]
    if not layout.single:
        return cells
    single = next((row for key, row in all_rows.items() if key.casefold() == layout.single.casefold()), None)
    return [*cells, _gain(pairs, single) if single else MISSING]


def _gain(pairs: Sequence[Pair], single: Sequence[Pair]) -> str:
    """Δm; missing where a task of either row is, or where a single-task model gains nothing over the anchor."""
    multi, alone = ([accuracy for _, accuracy in row] for row in (pairs, single))
    if any(math.isnan(value) for value in multi) or not all(value > 0 for value in alone):
        return MISSING
    return f"{delta_m(multi, alone, [False] * len(multi)):+.2f}"


def _measured(layout: PaperTable, column: PaperColumn, results: Sequence[Result], curve: str) -> Pair:
    """BD rate and accuracy of a curve, NaN where there is none."""
    here = {result.curve.casefold(): result for result in results if result.task == column.task}
    anchor, result = here.get(layout.anchor.casefold()), here.get(curve.casefold())
    if anchor is None or result is None:
        return math.nan, math.nan
    (row,) = bd_rows(anchor, [result], (column.metric,), ("cubic",))
    accuracy = row.accuracy.value if row.accuracy else math.nan
    return row.rate.value if row.rate else math.nan, -accuracy if column.is_error else accuracy


def _texts(pair: Pair) -> tuple[str, str]:
    rate, accuracy = pair
    return (
        MISSING if math.isnan(rate) else f"{rate:+.2f}",
        MISSING if math.isnan(accuracy) else f"{accuracy:+.2f}",
    )
