"""The report as one HTML page: style, plots and pictures inside, nothing from the network."""

import base64
import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from icm_jax.evaluate.per_image import Shown
from icm_jax.evaluate.table_files import TextTable

if TYPE_CHECKING:
    from icm_jax.evaluate.report import Section

MEDIA = {".svg": "image/svg+xml", ".png": "image/png"}


def render(sections: "Sequence[Section]", tables: Sequence[TextTable]) -> str:
    """The whole page as text."""
    style = (resources.files("icm_jax.evaluate") / "report_page.css").read_text(encoding="utf-8")
    body = "".join([*map(_table, tables), *map(_section, sections)])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rate and accuracy</title>
<style>
{style}</style>
</head>
<body>
<h1>Rate and accuracy</h1>
<p>Rates are bytes of whole files, header included; pictures were decoded from those files.</p>
{body}
</body>
</html>
"""


def _section(section: "Section") -> str:
    plots = "".join(
        f'<img class="plot" alt="{escape(plot.stem)}" src="{_data(plot)}">' for plot in section.plots
    )
    pictures = "".join(_pictures(row) for row in section.pictures)
    return f"""<section>
<h2>{escape(section.title)}</h2>
{plots}
{"".join(map(_table, section.tables))}
{pictures}
{_provenance(section)}
</section>
"""


def _pictures(row: Sequence[Shown]) -> str:
    figures = "".join(
        f'<figure><img alt="{escape(shown.caption)}" src="{_data(shown.path)}">'
        f"<figcaption>{escape(shown.caption)}</figcaption></figure>"
        for shown in row
    )
    return f'<div class="pictures">{figures}</div>\n'


def _table(table: TextTable) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in table.rows)
    return (
        f'<div class="table"><table><caption>{escape(table.title)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
    )


def _provenance(section: "Section") -> str:
    """Where the numbers come from, by curve, folded away."""
    items = {result.curve: dict(result.provenance) for result in section.results}
    text = escape(json.dumps(items, indent=1))
    return f"<details><summary>Commands, versions, machine</summary><pre>{text}</pre></details>"


def _data(file: Path) -> str:
    return f"data:{MEDIA[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"
