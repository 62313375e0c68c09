"""How a person reads the names that the program is unsure of: an editable table, written and read back."""

import difflib
from pathlib import Path

import pandas as pd

from bcbm.cohort.formats.tables import read_corrected
from bcbm.cohort.names import CATEGORIES, HEMISPHERES, REGIONS, NameReading, read_name
from bcbm.config.checks import misspelt
from bcbm.errors import InputError, Problem
from bcbm.system.spreadsheet import guarded

NEAR = 0.7  # of the letters of two words, from which on one may be meant by the other
SURE = 0.6  # a reading below this is asked about
OWNERS = ("patient", "study", "lesion", "patient_id", "study_id", "lesion_id")  # columns that one may expect
COLUMNS = {"category": CATEGORIES, "hemisphere": HEMISPHERES, "region": REGIONS}


def read_overrides(path: Path) -> dict[str, NameReading]:
    """The readings that a CSV file gives: columns `name` and any of `category, hemisphere, region`.

    An empty cell confirms the program's reading; other columns, as in the list of unsure names, are ignored.
    The apostrophe that keeps a name from being a formula there is no part of it.
    A side or a region given here counts before the coordinates.

    Raises:
        InputError: no such file, no `name`, a word that is not known, a name twice; one problem a line.
    """
    table = read_corrected(path, "cohort.names")
    if wrong := misspelt(map(str, table.columns), ("name", *COLUMNS)):
        texts = {f"has a column '{word}', which is not read": name for word, name in wrong.items()}
        raise InputError(*(Problem(str(path), text, f"call it '{name}'") for text, name in texts.items()))
    if own := [str(name) for name in table if str(name).lower() in OWNERS]:
        text = f"has a column '{own[0]}', which is not read: a line corrects every lesion of its name"
        raise InputError(Problem(str(path), text, "take it out, or give the lesions names of their own"))
    if "name" not in table or not set(COLUMNS) & set(table):
        text = f"has the columns {', '.join(map(str, table.columns))}"
        raise InputError(Problem(str(path), text, "it needs name and any of category, hemisphere, region"))
    readings: dict[str, NameReading] = {}
    problems = []
    for line, row in zip(table.index, table.astype(str).to_dict("records"), strict=True):
        cell = row["name"]
        name = (cell if guarded(cell) != cell else cell.strip()).removeprefix("mask_")
        corrections = {column: str(row.get(column, "")).strip().lower() for column in COLUMNS}
        corrections = {column: word for column, word in corrections.items() if word}
        where = f"{path} line {line} ({name})"
        if name in readings:
            problems.append(Problem(where, "an earlier line has the same name", "keep one line per name"))
        for column, word in corrections.items():
            if word not in COLUMNS[column]:
                near = difflib.get_close_matches(word, COLUMNS[column], n=1, cutoff=NEAR) or COLUMNS[column]
                problems.append(Problem(where, f"{column} is '{word}'", f"write {' or '.join(near)}"))
        corrected = "hemisphere" in corrections or "region" in corrections
        reading = read_name(name)
        category, side, region = (corrections.get(column, getattr(reading, column)) for column in COLUMNS)
        readings[name] = NameReading(category, side, region, confidence=1.0, corrected=corrected)
    if problems:
        raise InputError(*problems)
    return readings


def unsure_names(table: pd.DataFrame) -> pd.DataFrame:
    """The names that hold words about a place, or that they are older, and are read with little confidence,
    the commonest first.

    Returns:
        Columns name, category, hemisphere, region, confidence, lesions: a file for `cohort.names` to edit.
    """
    lesions = table[~table["category"].isin(["structure", "cavity", "other"]) & (table["part_of"] == "")]
    nothing = (lesions["category"] == "target") & (lesions["name_confidence"] == 0)  # a plan's number only
    doubtful = lesions[(lesions["name_confidence"] < SURE) & ~nothing]
    columns = ["name", "category", "name_hemisphere", "name_region", "name_confidence"]
    counts = doubtful.groupby(columns).size().rename("lesions").reset_index()
    counts.columns = counts.columns.str.removeprefix("name_")
    return counts.sort_values(["lesions", "name"], ascending=[False, True], ignore_index=True)
