"""What a person has judged and left out: patients, studies and lesions with a reason each."""

import re
import warnings
from pathlib import Path

import pandas as pd

from bcbm.cohort.cells import identifier
from bcbm.cohort.formats.tables import read_list
from bcbm.cohort.table import exclude
from bcbm.config.checks import nearest
from bcbm.errors import InputError, Note, Problem
from bcbm.system.words import counted, listed

COLUMNS = {"patient": "patient_id", "study": "study_id", "lesion": "lesion_id"}  # and those of the table
# Headings of a column that says so of studies, and words that say it in a column of any other.
_MARKS = (
    *("exclude", "excluded", "include", "included", "einschluss", "ausschluss", "eingeschlossen"),
    *("qc", "consent", "eligible", "usable", "use", "keep", "withdrawn"),
)
_MARKING = ("exclude", "excluded", "ausgeschlossen", "ausschluss", "exclu", "exclue", "escluso", "excluido")
# What says it among other words of a remark.
_REMARK = re.compile(
    r"\b(excluded?|exclusion|ausgeschlossen|ausschlie(?:ß|ss)en|ausschluss|withdrawn|withdrew|widerrufen|widerruf"
    r"|not (?:usable|evaluable)|nicht (?:auswertbar|verwertbar)|do not use|exclure|exclue?)\b"
)
_BY_HAND = "by hand: "  # how the reason of what a person has left out begins
SHOWN = 3  # words of a column that a message names


def marks(table: pd.DataFrame) -> dict[str, pd.Series]:
    """How often each word stands in the columns of a table that mark some of its rows as left out."""
    counts = {
        str(name): table[name].fillna("").astype(str).value_counts()
        for name in table
        if str(name).casefold() in _MARKS or table[name].astype(str).str.casefold().isin(_MARKING).any()
    }
    return {name: words for name, words in counts.items() if len(words) > 1}


def marking_remarks(table: pd.DataFrame) -> dict[str, pd.Series]:
    """How often each word that may leave a row out stands among others in a column that `marks` does not
    have, by column."""
    others = table.drop(columns=list(marks(table)))
    words = {
        str(name): others[name].astype(str).str.casefold().str.extract(_REMARK, expand=False).dropna()
        for name in others.select_dtypes(["object", "string"])
    }
    return {name: found.value_counts() for name, found in words.items() if len(found)}


def unread_marks(studies: pd.DataFrame, clinical: str) -> list[Problem]:
    """Columns of a download's studies that mark some of them as left out, which nothing reads.

    Args:
        studies: of the download.
        clinical: their table, for messages.
    """
    problems = []
    for name, words in (marks(studies) | marking_remarks(studies)).items():
        said = [f"'{word}' of {counted(count, 'study', 'studies')}" for word, count in words.items()]
        text = f"its column '{name}' is not read: {listed(said, SHOWN)}"
        remedy = "name what is left out in a table, cohort.exclude=FILE"
        problems.append(Problem(clinical, text, remedy, "marks of exclusion"))
    return problems


def read_exclusions(path: Path) -> pd.DataFrame:
    """The rows of a table with the column reason and any of patient, study and lesion, one of them filled.

    Returns:
        Columns kind (a key of COLUMNS), id and reason, the index the row of a spreadsheet.

    Raises:
        InputError: all that is wrong with it, row by row.

    Warns:
        Note: of a column that may say that a row leaves nothing out.
    """
    table = read_list(path).rename(columns=str.lower)
    for name, counts in marks(table.drop(columns="reason", errors="ignore")).items():
        text = f"{path.name}: its column '{name}' is not read ({listed(list(counts.index), SHOWN)})"
        text += ": every row leaves out what it names; take out the rows that do not"
        warnings.warn(text, Note, stacklevel=2)
    kinds = [kind for kind in COLUMNS if kind in table]
    if not kinds or "reason" not in table:
        found = f"has the columns {', '.join(table.columns) or 'none'}"
        raise InputError(Problem(str(path), found, "it needs reason and any of patient, study, lesion"))
    problems, rows = [], {}
    for row, cells in table.map(identifier).iterrows():
        filled = {kind: cells[kind] for kind in kinds if cells[kind]}
        where = f"{path.name} row {row}"
        if len(filled) != 1:
            found = f"names {' and '.join(filled) or 'nothing'}"
            problems.append(Problem(where, found, "name one of patient, study, lesion in each row"))
        elif not cells["reason"]:
            found = f"no reason for {next(iter(filled.values()))}"
            problems.append(Problem(where, found, "write why it is left out"))
        else:
            ((kind, name),) = filled.items()
            rows[row] = (kind, name, cells["reason"])
    if problems:
        raise InputError(*problems)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["kind", "id", "reason"])


def apply_exclusions(table: pd.DataFrame, exclusions: pd.DataFrame, path: Path) -> list[Problem]:
    """Exclude, in place, what a person has left out; a problem for every id that the table has not.

    Args:
        table: the lesion table.
        exclusions: of `read_exclusions`.
        path: their file, for messages.
    """
    problems = []
    for row, kind, name, reason in exclusions.itertuples():
        ids = table[COLUMNS[kind]].astype(str)
        chosen = (ids == name) | (table["part_of"] == name)  # a mask that was split goes with its parts
        if not chosen.any():
            known = sorted(set(ids))
            found = f"there is no {kind} {name}; {nearest(name, known, listed(known, SHOWN))}"
            remedy = "correct or remove the row; nothing is excluded by it"
            problems.append(Problem(f"{path.name} row {row}", found, remedy, "exclusion of nothing"))
        exclude(table, chosen, f"{_BY_HAND}{reason}")
    return problems


def stand_ins(table: pd.DataFrame) -> list[Problem]:
    """Lesions that a person has left out, and that enter under another name: as a copy, or a mask over them.

    Args:
        table: the lesion table, settled.
    """
    entering = set(table.loc[~table["excluded"], "lesion_id"])
    left_out = table[table["reason"].str.startswith(_BY_HAND) & table["duplicate_of"].isin(entering)]
    remedy = "if the lesion is meant and not its mask, leave that out too"
    return [
        Problem(
            lesion, f"is left out by hand, and {other}, the same lesion, enters", remedy, "left out in part"
        )
        for lesion, other in zip(left_out["lesion_id"], left_out["duplicate_of"], strict=True)
    ]
