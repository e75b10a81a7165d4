"""Tables of complexity: what is counted stands by the printed numbers, in every form."""

import csv
import json

import pytest

from icm_jax.cli import main
from icm_jax.errors import IcmError
from icm_jax.evaluate.complexity_tables import COMPLEXITY_LAYOUTS, complexity_table
from icm_jax.evaluate.named_complexity import named_complexity
from icm_jax.evaluate.task_complexity import dora_icm_params, dora_icm_parts
from icm_jax.models.dora_icm.spec import DoraICMSpec
from tests.tiny_dora import TINY

RELATIVE = 0.02  # how far what is counted may lie from what is printed
QUICK = ("aio-table5", "dora-storage")


def number(cell: str) -> float:
    """The first number of a cell such as "6.48 (21.4%)" or "0.63×1"."""
    return float(cell.split(" ")[0].split("×")[0].strip("MGBh%≈"))


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in COMPLEXITY_LAYOUTS],
)
def test_printed_rows_are_whole_and_ours_stand_behind_them(name: str) -> None:
    layout = COMPLEXITY_LAYOUTS[name]
    assert {len(cells) for cells in layout.printed.values()} == {len(layout.head)}
    table = complexity_table(name)
    assert {len(row) for row in table.rows} == {len(table.head)}
    printed = {row[0]: row[2:] for row in table.rows if row[1] == "printed"}
    counted = {row[0]: row[2:] for row in table.rows if row[1] == "counted"}
    assert printed == dict(layout.printed)
    both = [method for method in counted if method in printed]
    assert len(both) >= 4
    for method in both:
        for ours, theirs in zip(counted[method], printed[method], strict=True):
            if "n/a" not in (ours, theirs) and not _known_to_differ(name, method, theirs):
                assert number(ours) == pytest.approx(number(theirs), rel=RELATIVE, abs=0.3), (method, theirs)


def _known_to_differ(layout: str, method: str, printed: str) -> bool:
    """The paper divides four codecs' parameters among three tasks; how y_hat makes prompts is a drawing only."""
    return (layout, method, printed) == ("aio-table5", "Full-Finetune", "30.04 (100%)") or (
        method == "Enc IP, Dec IP" and printed in ("276.39", "5.06")
    )


def test_parts_of_a_model_for_a_task_add_up() -> None:
    parts = dora_icm_parts(TINY)
    assert {name: part.params for name, part in parts.items()} == dora_icm_params(TINY)
    pixels = (4 * TINY.patch) ** 2
    unit = 9 * 16 * 6 + 6 * TINY.outputs  # of the preliminary decoder: a convolution 3×3 and one 1×1
    assert parts["preliminary"].kmacs == pytest.approx(unit * 16 / pixels / 1e3)
    assert parts["adapter"].kmacs == 0 and parts["adapter"].params > 0
    assert all(parts[name].kmacs > 0 for name in ("backbone", "codec", "decoder"))
    bare = dora_icm_parts(DoraICMSpec(**{**_values(TINY), "compress": False}))
    assert "codec" not in bare and bare["decoder"] == parts["decoder"]


def _values(spec: DoraICMSpec) -> dict:
    return {name: value for name, value in vars(spec).items() if not name.endswith("_stride")}


def test_published_networks_by_name() -> None:
    record, text = named_complexity("eva02-tiny")
    patches, positions, norm = 192 * 3 * (16**2 - 14**2), 192 * (28 * 36 - 16**2), 2 * 192
    published = 5_502_144  # of patches of 14 on 224×224, with the norm before the classifier
    assert record["backbone"]["params"] == published + patches + positions - norm
    assert text.splitlines()[-1].split()[1] == "backbone"


def test_command_writes_every_form(tmp_path, capsys) -> None:
    assert main(["complexity", "--layout", "dora-storage", "-o", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    ours = next(row for row in rows if (row["method"], row["numbers"]) == ("DoRA FT", "counted"))
    assert ours["Additional task"] == "0.31GB" and ours["Trainable"] == "83.94M"
    with (tmp_path / "dora-storage.csv").open() as file:
        assert list(csv.DictReader(file)) == rows
    assert "0.31GB" in (tmp_path / "dora-storage.md").read_text()
    assert r"\toprule" in (tmp_path / "dora-storage.tex").read_text()


@pytest.mark.parametrize("arguments", [[], ["tic", "--layout", "dora"]])
def test_a_codec_or_a_layout(arguments: list[str], capsys) -> None:
    assert main(["complexity", *arguments]) == 2
    assert "either a codec or a --layout" in capsys.readouterr().err


def test_unknown_layouts_are_named() -> None:
    with pytest.raises(IcmError, match="'tic' is unknown; choose one of transtic, transtic-a1, aio-table5"):
        complexity_table("tic")
