"""The ledger against PyTorch: what is equal passes, what is not is found."""

import json
from pathlib import Path

import numpy as np
import pytest

from icm_jax.cli import main
from weights_convert.live.cases import CASES
from weights_convert.live.run import compare_live

pytestmark = pytest.mark.parity
QUICK = ("swin", "dora-linear", "sfma", "transtic")
# One of every kind; the rest by command.
WHOLE = ("tic", "tic-original", "resnet50", "mobilenet-v2", "swin-t", "mtlora", "vgg19", "eva02", "evc")
WHOLE += ("mask-rcnn", "mbt2018")


@pytest.mark.parametrize("name", QUICK)
def test_both_sides_agree(name: str):
    single, double = compare_live(name, seed=1, steps=3)
    assert single.passed and double.passed
    assert len(single.stages) == len(single.reference_error) and single.stages[-1].name == "loss"
    assert all(row.cosine > 1 - 1e-9 for row in (*single.gradients, *double.gradients))
    assert list(double.adam) == ["polynomial", "milestones"]
    for steps in double.adam.values():
        assert [step.step for step in steps] == [0, 1, 2]
        assert all(step.parameters < 1e-9 for step in steps)
        assert steps[0].ours != steps[-1].ours
        assert steps[-1].ours == pytest.approx(steps[-1].theirs, rel=1e-8)  # no leaf was forgotten
    assert all(row.relative > 1e-3 for row in double.departures)


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_whole_networks_agree(name: str):
    assert all(found.passed for found in compare_live(name, steps=2))


def test_another_formula_is_found(monkeypatch: pytest.MonkeyPatch):
    """The limit of float64 tells a wrong epsilon, which float32 hardly shows."""
    from torch import nn

    case = CASES["swin"]

    def with_other_epsilon():
        model = case.reference()
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-6
        return model

    monkeypatch.setitem(CASES, "swin", case._replace(reference=with_other_epsilon))
    single, double = compare_live("swin", steps=1)
    assert single.passed and not double.passed


def test_the_command_writes_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["parity", "--live", "dora-linear", "--steps", "2", "-o", str(tmp_path)]) == 0
    assert "float64   stages within 1e-10: pass" in capsys.readouterr().out
    record = json.loads((tmp_path / "dora-linear.json").read_text())
    assert {found["precision"] for found in record["comparisons"]} == {"float32", "float64"}
    assert np.isfinite(record["comparisons"][0]["stages"][-1]["ours"])
    assert (tmp_path / "dora-linear.html").is_file()
