"""Tables for people: no text is a formula in a spreadsheet, and every text is read back as it was."""

import io

import pandas as pd
import pytest

from bcbm.cohort.overrides import read_overrides, unsure_names
from bcbm.system.spreadsheet import guarded, spreadsheet_csv, unguarded

TEXTS = [
    "=HYPERLINK(1)",
    "+1+1",
    "-left",
    "@SUM(1)",
    "\tmet",
    "\r=1",
    "\n=1",
    "\uff1d1",
    "'=1",
    "''-left",
    "-",
    "-1e",
]
PLAIN = ["met", "'met", "", "a=b", "1", "-0.5", "+3", "-1e-05", "'", "L-frontal"]


@pytest.mark.parametrize("text", TEXTS)
def test_what_begins_as_a_formula_is_guarded_and_read_back_without(text):
    assert guarded(text) == f"'{text}" and unguarded(guarded(text)) == text


@pytest.mark.parametrize("text", PLAIN)
def test_other_texts_and_numbers_are_left_alone(text):
    assert guarded(text) == unguarded(text) == text


def test_a_table_keeps_its_numbers_and_missing_cells():
    table = pd.DataFrame({"text": [*TEXTS, None], "number": range(-1, len(TEXTS))})
    read = pd.read_csv(io.StringIO(spreadsheet_csv(table), newline=""))
    assert read["number"].tolist() == table["number"].tolist() and read["text"].isna().iloc[-1]
    assert [unguarded(cell) for cell in read["text"].iloc[:-1]] == TEXTS
    assert not read["text"].iloc[:-1].str.match(r"[=+\-@\t\r\n]").any()


def test_a_list_of_unsure_names_is_safe_to_open_and_gives_the_same_names_back(tmp_path):
    names = [text for text in TEXTS if text.strip()]
    known = {"category": "lesion", "name_hemisphere": "left", "name_region": "deep", "name_confidence": 0.3}
    known["part_of"] = ""
    table = pd.DataFrame({"name": names}).assign(**known)
    path = tmp_path / "names-unsure.csv"
    path.write_text(spreadsheet_csv(unsure_names(table)), newline="")
    assert set(read_overrides(path)) == set(names)
