"""Verdicts on a golden file as a table for the terminal."""

from collections.abc import Sequence

from weights_convert.golden_file import Row

COLLAPSED_FAMILIES = ("grad/", "gradnorm/")  # hundreds of arrays: the worst one stands for those that passed
NAME_WIDTH = 44


def format_rows(title: str, rows: Sequence[Row]) -> str:
    """Title, one line an array, and a line that sums up. Failures are never collapsed."""
    lines = [
        title,
        f"  {'array':<{NAME_WIDTH}} {'max abs':>9} {'relative':>9} {'tolerance':>9}  verdict",
        *(_line(row) for row in _collapse(rows)),
    ]
    failed = sum(not row.passed for row in rows)
    summary = f"{len(rows) - failed} of {len(rows)} arrays pass"
    return "\n".join([*lines, f"  {summary}{f', {failed} FAIL' if failed else ''}", ""])


def _line(row: Row) -> str:
    name = row.array if len(row.array) <= NAME_WIDTH else "…" + row.array[1 - NAME_WIDTH :]
    verdict = "pass" if row.passed else "FAIL"
    numbers = f"{row.max_abs:9.1e} {row.relative:9.1e} {row.tolerance:9.1e}"
    return f"  {name:<{NAME_WIDTH}} {numbers}  {verdict}{f'   {row.note}' if row.note else ''}"


def _collapse(rows: Sequence[Row]) -> list[Row]:
    """Replaces the passing rows of each large family by the one nearest to its tolerance."""
    kept = [row for row in rows if not (row.passed and row.array.startswith(COLLAPSED_FAMILIES))]
    for family in COLLAPSED_FAMILIES:
        members = [row for row in rows if row.passed and row.array.startswith(family)]
        if members:
            worst = max(members, key=tolerance_share)
            note = f"worst of {len(members)}: {worst.array.removeprefix(family)}"
            kept.append(worst._replace(array=f"{family}*", note=note))
    return kept


def tolerance_share(row: Row) -> float:
    """How much of its tolerance a row uses up: 1 is the limit."""
    return row.max_abs / row.tolerance if row.tolerance else row.max_abs
