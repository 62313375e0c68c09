"""The reference says what is there: made pages are fresh, all columns and files of a run are named."""

import re
import runpy
from pathlib import Path

import pandas as pd
import pytest

from bcbm import compose, fit

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def run(table_cohort, tmp_path_factory):
    place = tmp_path_factory.mktemp("reference")
    words = ["task.modalities=[radiomics,position]", "split.folds=2", "trainer.max_epochs=1", "bootstrap=20"]
    words += [f"cohort.root={table_cohort}", f"prepared.root={place / 'prepared'}", f"run.root={place}"]
    return fit(compose([*words, "tracking=csv", "prepared.jobs=1"]))


def named(page, heading=None):
    """What stands in backticks in the first cells of a page's tables, or of the table under a heading."""
    text = (DOCS / "reference" / page).read_text()
    if heading:
        text = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_pages_that_are_made_are_what_the_schema_and_the_commands_say():
    for name, page in runpy.run_path(str(DOCS / "make.py"))["PAGES"].items():
        assert (DOCS / "reference" / name).read_text() == page(), f"{name}: run python docs/make.py"


def test_sixty_kinds_of_damage_are_in_the_reference():
    text = (DOCS / "reference" / "damage.md").read_text()
    rows = re.findall(r"^\| (?!kind )(.+?) \| \w+ \| ", text, re.MULTILINE)
    assert len(set(rows)) == len(rows) >= 60


def test_every_key_is_in_the_reference():
    assert {"task.targets", "cohort.root", "seed"} <= named("keys.md")


def test_the_columns_of_both_tables_are_those_of_a_run(run):
    masks = {
        "voxels",
        "drawn",
        "outside",
        "grey_levels",
        "brain_share",
        "doubts",
        "image_<sequence>",
        *("HER2_low", "primary_<target>", "ER_low", "PR_low"),
    }  # there only where images are read, or labels tell
    assert named("tables.md", "Lesion table") - masks == set(run.lesions.columns) - masks
    assert named("tables.md", "Prediction table") == set(run.predictions.columns)
    prepared = pd.read_parquet(run.folder.parents[1] / "prepared" / "lesions.parquet")
    assert named("tables.md", "Lesion table") - masks == set(prepared.columns) - masks


def test_every_file_of_a_run_is_in_the_reference(run):
    known = named("files.md", "A run")
    files = [path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()]
    files = {re.sub(r"fold=\d+", "fold=K", name) for name in files}
    assert {name for name in files if name not in known and f"{name.split('/')[0]}/" not in known} == set()
    assert known & files >= {"results.json", "fold=K/metrics.csv", "fold=K/predictions.parquet"}
