"""A table of texts as Markdown, LaTeX (booktabs) and CSV."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from icm_jax.data.image_io import write_bytes
from icm_jax.evaluate.curves import table

LATEX_SPECIAL = {"%": r"\%", "&": r"\&", "_": r"\_", "#": r"\#", "$": r"\$", "±": r"$\pm$", "∞": r"$\infty$"}


class TextTable(NamedTuple):
    """Rows of texts under a head; the first column names the row."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        return f"{self.title}\n\n{table(self.head, self.rows)}\n"

    def latex(self) -> str:
        """A tabular for `\\usepackage{booktabs}`."""
        lines = [" & ".join(map(latex_text, row)) + r" \\" for row in (self.head, *self.rows)]
        columns = "l" + "r" * (len(self.head) - 1)
        return "\n".join(
            [
                f"% {self.title}",
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                lines[0],
                r"\midrule",
                *lines[1:],
                r"\bottomrule",
                r"\end{tabular}",
                "",
            ]
        )

    def csv(self) -> str:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([self.head, *self.rows])
        return buffer.getvalue()

    def records(self) -> list[dict[str, str]]:
        """The rows by the names of the head, for JSON."""
        return [dict(zip(self.head, row, strict=True)) for row in self.rows]

    def write(self, folder: Path, name: str) -> None:
        """Writes NAME.md, NAME.tex and NAME.csv."""
        for extension, text in (("md", self.markdown()), ("tex", self.latex()), ("csv", self.csv())):
            write_bytes(folder / f"{name}.{extension}", text.encode())


def latex_text(text: str) -> str:
    """Text with what LaTeX takes for commands escaped, and true minus signs."""
    escaped = "".join(LATEX_SPECIAL.get(character, character) for character in text)
    is_number = text[:1] in "+-" and text[1:2].isdigit()
    return f"${escaped}$" if is_number else escaped


def joined(head: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> TextTable:
    """A table from lists."""
    return TextTable(title, tuple(head), tuple(tuple(row) for row in rows))
