"""The report as Markdown, its plots as files beside it: for a repository. It shows no photo."""

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from icm_jax.evaluate.table_files import TextTable

if TYPE_CHECKING:
    from icm_jax.evaluate.report import Section


def render(sections: "Sequence[Section]", tables: Sequence[TextTable]) -> str:
    """The whole page as text."""
    head = "# Rate and accuracy\n\nRates are bytes of whole files, header included."
    return (
        "\n\n".join([head, *(table.markdown().strip() for table in tables), *map(_section, sections)]) + "\n"
    )


def _section(section: "Section") -> str:
    plots = [f"![{plot.stem}]({plot.name})" for plot in section.plots]
    tables = [table.markdown().strip() for table in section.tables]
    return "\n\n".join([f"## {section.title}", *plots, *tables, _origin(section)])


def _origin(section: "Section") -> str:
    """The commands that measured it, each once, and what ran them."""
    lines = dict.fromkeys(line for result in section.results for line in _lines(result.provenance))
    return "\n".join(["```", *lines, "```"])


def _lines(provenance: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in provenance.get("versions", {}).items())
    return [shlex.join(provenance.get("command", [])), f"# {versions}"]
