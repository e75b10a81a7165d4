"""The pages of results: their numbers are those of the records beside them, and no record names this machine."""

from pathlib import Path

import pytest

from icm_jax.evaluate.report import points_table
from icm_jax.evaluate.result import Result, read_results

RESULTS = Path(__file__).parents[2] / "docs" / "results"
FOLDERS = sorted((RESULTS / "records").iterdir())


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def recorded(request: pytest.FixtureRequest) -> list[Result]:
    return read_results([request.param])


def test_points_on_the_page_are_those_of_the_records(recorded: list[Result]) -> None:
    assert points_table(recorded).markdown() in (RESULTS / "rate_accuracy" / "index.md").read_text()


def test_records_are_of_one_set_of_images_and_name_relative_paths(recorded: list[Result]) -> None:
    assert len({result.dataset["sha256"] for result in recorded}) == 1
    for result in recorded:
        assert [word for word in result.provenance["command"] if word.startswith("/")] == []
