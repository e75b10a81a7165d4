"""Measured curves in the layout of a paper's table, with the printed numbers beside them."""

import math
from collections.abc import Sequence

from icm_jax.evaluate.bd_table import MISSING, bd_rows
from icm_jax.evaluate.paper_tables import PaperColumn, PaperTable
from icm_jax.evaluate.result import Result
from icm_jax.evaluate.table_files import TextTable, joined


def fill(layout: PaperTable, results: Sequence[Result]) -> TextTable:
    """The printed rows, and behind each what was measured under the same name; then curves that the paper lacks.

    A curve stands for a method by its name (`icm eval --codecs 'TransTIC=…'`), whatever its case. Deltas are cubic,
    as papers report them.
    """
    head = ["method", "numbers"]
    for column in layout.columns:
        head += [f"{column.title} BD-rate (%)", f"{column.title} BD-{column.metric}"]
    names = {name.casefold(): name for name in layout.rows}
    measured = dict.fromkeys(
        result.curve for result in results if result.curve.casefold() != layout.anchor.casefold()
    )
    rows = []
    for method, pairs in layout.rows.items():
        rows.append([method, "printed", *(text for pair in pairs for text in _texts(pair))])
        rows += [
            _measured_row(layout, results, curve)
            for curve in measured
            if curve.casefold() == method.casefold()
        ]
    rows += [_measured_row(layout, results, curve) for curve in measured if curve.casefold() not in names]
    return joined(head, rows, f"{layout.title}. Printed: {layout.source}.")


def _measured_row(layout: PaperTable, results: Sequence[Result], curve: str) -> list[str]:
    cells = [text for column in layout.columns for text in _measured(layout, column, results, curve)]
    return [curve, "measured", *cells]


def _measured(
    layout: PaperTable, column: PaperColumn, results: Sequence[Result], curve: str
) -> tuple[str, str]:
    here = {result.curve.casefold(): result for result in results if result.task == column.task}
    anchor, result = here.get(layout.anchor.casefold()), here.get(curve.casefold())
    if anchor is None or result is None:
        return MISSING, MISSING
    (row,) = bd_rows(anchor, [result], (column.metric,), ("cubic",))
    accuracy = row.accuracy.value if row.accuracy else math.nan
    return _texts((row.rate.value if row.rate else math.nan, -accuracy if column.is_error else accuracy))


def _texts(pair: tuple[float, float]) -> tuple[str, str]:
    rate, accuracy = pair
    return (
        MISSING if math.isnan(rate) else f"{rate:+.2f}",
        MISSING if math.isnan(accuracy) else f"{accuracy:+.2f}",
    )
