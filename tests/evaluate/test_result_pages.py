"""The pages of results: their numbers are those of the records beside them, and no record names this machine."""

from pathlib import Path

import pytest

from icm_jax.evaluate.report import points_table
from icm_jax.evaluate.result import read_results

RESULTS = Path(__file__).parents[2] / "docs" / "results"
RECORDS = RESULTS / "records"
FOLDERS = sorted(RECORDS.iterdir())
CLASSICAL, OF_COCO = (
    tuple(f"{folder}/{codec}.json" for codec in ("avif", "jpeg", "vvc", "webp"))
    for folder in ("imagenet", "coco")
)
# Single-task adapters of the other page that stand beside All-in-One.
STEERED = tuple(f"transtic_classification/{codec}.json" for codec in ("Full", "TransTIC"))


# What each table of points is made of, with the page it stands on.
TABLES = [
    ("rate_accuracy", ("imagenet",)),
    ("rate_accuracy", ("coco",)),
    ("rate_accuracy", ("kodak",)),
    ("transtic", (*CLASSICAL, "transtic_classification")),
    ("transtic", (*OF_COCO, "transtic_segmentation")),
    ("transtic", ("transtic_saliency",)),
    ("all_in_one", ("all_in_one_classification", *STEERED)),
    *[("all_in_one", (f"all_in_one_{task}",)) for task in ("saliency", "segmentation")],
    *[("all_in_one", (f"all_in_one_scenes_{task}",)) for task in ("semseg", "depth", "normals")],
    *[("dora_icm", (f"dora_icm_{part}",)) for part in ("scenes", "depth", "photos")],
]


@pytest.mark.parametrize(
    ("page", "records"), TABLES, ids=lambda value: value if isinstance(value, str) else value[-1]
)
def test_points_on_a_page_are_those_of_its_records(page: str, records: tuple[str, ...]) -> None:
    recorded = read_results([RECORDS / name for name in records])
    assert points_table(recorded).markdown() in (RESULTS / page / "index.md").read_text()


def test_every_record_stands_on_a_page() -> None:
    assert {name for _, records in TABLES for name in records if "/" not in name} == {f.name for f in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_records_are_of_one_set_of_images_and_name_relative_paths(folder: Path) -> None:
    recorded = read_results([folder])
    assert len({result.dataset["sha256"] for result in recorded}) == 1
    for result in recorded:
        assert [word for word in result.provenance["command"] if word.startswith("/")] == []
