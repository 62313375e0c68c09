"""Folds that are not drawn: the values of a column, or what a file says of every patient."""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bcbm.cohort.acquisition import NUMBER, ordered, other_groups, patient_groups
from bcbm.cohort.cells import identifier, number
from bcbm.cohort.formats.tables import read_corrected
from bcbm.cohort.leaks import PARTS
from bcbm.cohort.patient_labels import patient_labels
from bcbm.cohort.patients import bare
from bcbm.config.checks import nearest
from bcbm.errors import InputError, Note, Problem
from bcbm.system.words import counted, listed

FEW = 10  # test patients below which a fold's own figures say little
LISTED = 8  # patients or folds that a message names
PART_WORDS = (*PARTS, "training", "testing", "test set", "val", "valid")  # in a column that is called fold
IN_NONE = ("-1", "na", "n/a", "nan", "none", "-")  # as scikit-learn and tables mark who is in no fold


@dataclass(frozen=True)
class GivenFold:
    """A fold by its test patients; all others train, of whom validation is drawn where none is given."""

    name: str
    test: tuple[str, ...]
    validation: tuple[str, ...] = ()


def held_out_folds(
    lesions: pd.DataFrame, column: str, later: float | None, targets: Sequence[str]
) -> list[GivenFold]:
    """A fold a value of an acquisition column, or one fold of the patients with a later value.

    Patients stay whole: that of the first study that has a value decides, and how many lesions carry another
    value than their patient's is said.

    Args:
        lesions: those that enter, every patient with a value.
        column: an acquisition column.
        later: test patients of this value or more, train on the others; None holds out every value once.
        targets: those to predict.

    Raises:
        InputError: there is one value only, too few patients are left to train on, no fold has both classes
            of a target, or `later` meets words.

    Warns:
        Note: of patients with several values, and of small or one-class folds.
    """
    key = f"split.holdout={column}"
    group = patient_groups(lesions, column)
    names = ordered(set(group))
    if len(names) < 2:
        problem = f"all {len(group)} patients have {', '.join(names)}, so nothing can be held out"
        raise InputError(Problem(key, problem, "name another column"))
    if later is None:
        folds = [GivenFold(f"{column} {name}", _patients(group == name)) for name in names]
    else:
        if words := [name for name in names if not NUMBER.fullmatch(name)]:
            problem = f"split.later={later:g} needs numbers, and there is '{words[0]}'"
            raise InputError(Problem(key, problem, "leave split.later out, or name a column of numbers"))
        folds = [GivenFold(f"{column} >= {later:g}", _patients(group.astype(float) >= later))]
        if not 0 < len(folds[0].test) < len(group):
            problem = f"{len(folds[0].test)} of {len(group)} patients have {later:g} or more"
            remedy = f"write split.later between {names[0]} and {names[-1]}"
            raise InputError(Problem(key, problem, remedy))
    other = other_groups(lesions, column)
    if other.any():
        patients = counted(lesions.loc[other, "patient_id"].nunique(), "patient")
        text = (
            f"{key}: several values in {patients}; the first study decides for all of a patient, and "
            f"{int(other.sum())} of {len(lesions)} lesions carry another value than their patient's"
        )
        warnings.warn(text, Note, stacklevel=2)
    _check_classes(key, folds, _labels(lesions, targets))
    return folds


def file_folds(path: Path, table: pd.DataFrame, targets: Sequence[str]) -> list[GivenFold]:
    """The folds of a CSV file with the columns patient and fold, or patient and part.

    Every patient of a fold is tested in it; `part` (train, validation, test) makes a single fold, whose
    validation patients are drawn where the file names none. Rows of patients that are in the lesion table and
    do not enter are passed over.

    Args:
        path: the file.
        table: the whole lesion table.
        targets: those to predict.

    Raises:
        InputError: with all that is wrong with the file, row by row.
    """
    rows, column = _read(path)
    labels = _labels(table[~table["excluded"]], targets)
    first, problems = _assigned(path, rows, column, sorted(set(table["patient_id"].astype(str))))
    entering = set(labels.index)
    if missing := sorted(entering - set(rows["patient"])):
        text = f"lacks {counted(len(missing), 'patient')} that enter: {_some(missing)}"
        problems.append(Problem(str(path), text, "add a row for each"))
    words = ordered({word for _, word in first.values()})
    problems += _spellings(path, column, words)
    problems += _no_folds(path, words) if column == "fold" else ()
    members = {word: [name for name, (_, other) in first.items() if other == word] for word in words}
    parts = {word: tuple(sorted(entering & set(names))) for word, names in members.items()}
    needed = ["train", "test", *(["validation"] if "validation" in words else [])]
    for word in needed if column == "part" else words:
        if not parts.get(word):
            among = [row for row, other in first.values() if other == word]
            place = f"{path} rows {_some(among)}" if among else str(path)
            text = f"{column} {word} has no patient that enters"
            problems.append(Problem(place, text, "put patients into it, or remove it"))
    if column == "fold" and len(words) == 1:
        text = f"all patients are in fold {words[0]}, so nobody trains"
        problems.append(Problem(str(path), text, "divide them into two folds or more"))
    for word, patients in parts.items():
        problems += _one_class(f"{path}, {column} {word}", labels.loc[list(patients)])
    if column == "part":
        folds = [GivenFold("test", parts.get("test", ()), parts.get("validation", ()))]
    else:
        folds = [GivenFold(f"fold {word}", parts[word]) for word in words]
        problems += [problem for fold in folds for problem in _untrained(str(path), fold, labels)]
    if problems:
        raise InputError(*problems)
    return folds


def _assigned(
    path: Path, rows: pd.DataFrame, column: str, known: Sequence[str]
) -> tuple[dict[str, tuple[int, str]], list[Problem]]:
    """Row and word of every patient of a file, and what is wrong with its rows."""
    first: dict[str, tuple[int, str]] = {}
    problems = []
    for row, patient, word in rows.itertuples():
        where = f"{path} row {row}"
        if not patient or not word:
            empty = "patient" if not patient else column
            problems.append(Problem(where, f"has no {empty}", f"write a {empty}, or remove the row"))
        elif column == "part" and word not in PARTS:
            problems.append(Problem(where, f"part is '{word}'", nearest(word, PARTS)))
        elif patient in first:
            before, other = first[patient]
            text = f"{patient} stands in row {before} already"
            text += f", {column} {other}" if other != word else ""
            problems.append(Problem(where, text, "keep one row a patient"))
        else:
            first[patient] = row, word
            if patient not in known:
                text, remedy = f"the cohort has no patient {patient}", "correct the id, or remove the row; "
                problems.append(Problem(where, text, remedy + nearest(patient, known, listed(known, 3))))
    return first, problems


def _spellings(path: Path, column: str, words: Sequence[str]) -> Iterator[Problem]:
    """Words that are one but for how they are written, as 0 and 0.0, which a spreadsheet makes of it."""
    groups: dict[str, list[str]] = {}
    for word in words:
        value = number(word).value
        groups.setdefault(bare(word) if math.isnan(value) else f"{value:g}", []).append(word)
    for spellings in (group for group in groups.values() if len(group) > 1):
        text = f"{column} is written as {' and '.join(map(repr, spellings))}"
        yield Problem(str(path), text, "write one of them everywhere, or names that differ in more")


def _no_folds(path: Path, words: Sequence[str]) -> Iterator[Problem]:
    """Words of a column of folds that name none, and would be tested as one."""
    if parts := [repr(word) for word in words if word.casefold() in PART_WORDS]:
        text = f"its column fold holds {listed(parts)}, which are parts of one fold"
        yield Problem(str(path), text, f"call it part, and write {listed(PARTS)} there; or number the folds")
    if none := [repr(word) for word in words if word.casefold() in IN_NONE]:
        text = f"its column fold holds {listed(none)}, which elsewhere marks who is in no fold"
        remedy = "put these patients into a fold, or leave them out with cohort.exclude=FILE"
        yield Problem(str(path), text, f"{remedy}; those who only train need a column part")


def _read(path: Path) -> tuple[pd.DataFrame, str]:
    """The file's patients and words, indexed by their row in it, and the column that the words are of."""
    table = read_corrected(path, "split.file")
    columns = [name for name in ("fold", "part") if name in table]
    if "patient" not in table or len(columns) != 1:
        remedy = "set split.file to a table with the columns patient and fold, or patient and part"
        raise InputError(Problem(str(path), f"has the columns {', '.join(table.columns)}", remedy))
    table = table[["patient", columns[0]]].map(identifier)
    return table[(table != "").any(axis=1)], columns[0]


def _labels(lesions: pd.DataFrame, targets: Sequence[str]) -> pd.DataFrame:
    return patient_labels(lesions[list(targets)], lesions["patient_id"].astype(str))


def _patients(chosen: pd.Series) -> tuple[str, ...]:
    return tuple(sorted(chosen.index[chosen]))


def _some(items: Sequence[object]) -> str:
    return ", ".join(map(str, items[:LISTED])) + (", ..." if len(items) > LISTED else "")


def _check_classes(key: str, folds: Sequence[GivenFold], labels: pd.DataFrame) -> None:
    """Refuse folds that nothing can be learned or said of, and say which ones say little."""
    problems = [problem for fold in folds for problem in _untrained(key, fold, labels)]
    inside = [labels.loc[list(fold.test)] for fold in folds]
    for target in labels:
        if all(part[target].nunique() < 2 for part in inside):
            problems.append(
                Problem(
                    key,
                    f"no fold tests both positive and negative patients of {target}",
                    f"leave {target} out of task.targets, or hold out another column",
                )
            )
    if problems:
        raise InputError(*problems)
    doubtful = []
    for fold, part in zip(folds, inside, strict=True):
        single = [str(target) for target in part if part[target].nunique() < 2]
        if len(part) < FEW or single:
            words = f" (one class of {', '.join(single)})" if single else ""
            doubtful.append(f"{fold.name}: {counted(len(part), 'test patient')}{words}")
    if doubtful:
        text = f"{key}: folds too small or of one class to have a figure of their own: {'; '.join(doubtful)}"
        warnings.warn(text, Note, stacklevel=3)


def _untrained(where: str, fold: GivenFold, labels: pd.DataFrame) -> Iterator[Problem]:
    """The classes of which a fold leaves fewer than two patients, one to train and one to validate on."""
    training = labels.drop(index=list(fold.test))
    for target in labels:
        for sign, value in (("positive", 1.0), ("negative", 0.0)):
            count = int((training[target] == value).sum())
            if count < 2:
                yield Problem(
                    f"{where}, {fold.name}",
                    f"leaves {counted(count, f'{sign} patient')} of {target} to train and validate on",
                    f"leave {target} out of task.targets, or divide the patients in another way",
                )


def _one_class(where: str, labels: pd.DataFrame) -> Iterator[Problem]:
    """The targets of which a part has one class only."""
    for target in labels:
        positives, negatives = int((labels[target] == 1).sum()), int((labels[target] == 0).sum())
        if len(labels) and not (positives and negatives):
            text = f"holds {positives} positive and {negatives} negative patients of {target}"
            remedy = f"divide the patients in another way, or leave {target} out of task.targets"
            yield Problem(where, text, remedy)
