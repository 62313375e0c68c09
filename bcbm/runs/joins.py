"""A run's tables joined to those that own what they say: labels, patients, folds, the split and its hash.

Nothing is believed that another table owns: whatever disagrees is a problem, and all are collected.
"""

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bcbm.cohort.patient_labels import OWNERS, Owner, both_labels
from bcbm.cohort.splits import Split, unit_ids
from bcbm.config.reading import read_yaml
from bcbm.errors import InputError, Note, Problem, readable
from bcbm.runs.identity import settings_sum
from bcbm.runs.predictions import COLUMNS, KEY, read_predictions
from bcbm.runs.tables import REMEDY, RUN, sum_of
from bcbm.system.files import read_json
from bcbm.system.words import listed

ANEW = "fit the experiment again in another run folder"
CHECKSUMS = "checksums"  # key of environment.json: the run has a sum beside every table
TEXTS = ("lesion_id", "patient_id", "target", "split_hash")  # columns of a prediction table
SETTINGS = "settings"  # key of environment.json: the sum of what config.yaml holds


@dataclass(frozen=True)
class RunTables:
    """What a run whose folds are all there holds, checked.

    Attributes:
        environment: versions, commit, seed and hashes.
        split: the folds; `split_content` is their file as it stands.
        lesions: the whole lesion table, excluded ones too.
        predictions: the prediction tables of all folds, one after the other.
    """

    environment: dict[str, Any]
    split: Split
    split_content: dict[str, Any]
    lesions: pd.DataFrame
    predictions: pd.DataFrame


def read_tables(folder: Path, targets: Sequence[str], owner: Owner = "patient") -> RunTables:
    """Read a run's split, lesions and folds, each checked against those that own what it says.

    A run of before there were sums is read with a note; what its tables say of others is checked as well.

    Args:
        folder: of the run.
        targets: those of the run.
        owner: whose a label is (`cohort.labels`), and who therefore has one of each target.

    Raises:
        InputError: folds are missing, or a table says what its owner does not; every problem there is.
    """
    check = _Check.of_folder(folder)
    numbers, place = check.finished, folder / "lesions.parquet"
    if missing := sorted(set(range(len(check.split.folds))) - set(numbers)):
        found = f"lacks folds {missing} of {len(check.split.folds)}"
        check.problems.append(Problem(str(folder), found, "run the same fit command again, without fold="))
    tables, lesions = check.tables(numbers), check.table(place)
    beside = [folder / "permutations.parquet", *(check.path(k).with_name("seeds.parquet") for k in numbers)]
    for path in filter(Path.is_file, beside):
        check.table(path)
    if lesions is not None:
        bad = lesion_problems(place, lesions, check.split, targets, owner)
        check.problems += bad
        if not bad:
            check.join(tables, lesions, targets)
    check.end()
    assert lesions is not None
    if check.unsummed:
        author = check.environment.get("versions", {}).get("bcbm", "of before")
        text = f"{folder}: bcbm {author} wrote no sums beside its tables; labels, patients and folds are "
        warnings.warn(f"{text}checked, probabilities are read as they stand", Note, stacklevel=2)
    predictions = pd.concat(tables.values(), ignore_index=True)
    return RunTables(check.environment, check.split, check.split_content, lesions, predictions)


def finished_folds(folder: Path, lesions: pd.DataFrame, split: Split, targets: Sequence[str]) -> list[int]:
    """The numbers of a run's folds that are there, each checked against the cohort and the split as they are.

    Raises:
        InputError: the split file or a table says what its owner does not; every problem there is.
    """
    check = _Check.of_folder(folder)
    if check.split.hash != split.hash:
        found = f"its folds have hash {check.split.hash}, those of this configuration {split.hash}"
        check.problems.append(Problem(str(folder / "split.json"), found, ANEW))
    check.join(check.tables(check.finished), lesions, targets)
    check.end()
    return check.finished


def lesion_problems(
    path: Path, lesions: pd.DataFrame, split: Split, targets: Sequence[str], owner: Owner
) -> list[Problem]:
    """What a run's lesion table cannot be: an id twice, a label that is none, a lesion that no fold knows."""

    def problem(found: str) -> Problem:
        return Problem(str(path), found, "run the same fit command again, which writes it anew")

    columns = ["lesion_id", "patient_id", f"{split.unit}_id", OWNERS[owner], "content", "excluded", *targets]
    if absent := [name for name in dict.fromkeys(columns) if name not in lesions]:
        return [problem(f"has no column {listed(absent)}")]
    problems = []
    entering = lesions[~lesions["excluded"].astype(bool)]
    if repeated := int(lesions["lesion_id"].duplicated().sum()):
        problems.append(problem(f"holds {repeated} of its lesions twice"))
    for target in targets:
        if (strange := entering[target].dropna()).isin([0, 1]).all():
            both = both_labels(entering[target], entering[OWNERS[owner]])
            problems += [problem(f"gives {name} two labels of {target}") for name in both.index[both]]
        else:
            problems.append(
                problem(f"has labels of {target} that are neither 0 nor 1, such as {strange.max()}")
            )
    known = {unit for fold in split.folds for unit in (*fold.train, *fold.validation, *fold.test)}
    strangers = entering[~unit_ids(entering, split.unit).isin(known)]
    given = any(fold.name for fold in split.folds)  # folds that a user gives may leave patients out
    if len(strangers) and not given:
        first = strangers["lesion_id"].iloc[0]
        problems.append(
            problem(f"has {len(strangers)} lesions that enter and are in no fold, such as {first}")
        )
    return problems


class _Owners:
    """What owns the labels and patients of predictions, read once for all folds.

    Attributes:
        entering: the lesions that enter, in the table's order.
        labels: of each target, shape (lesions, targets); NaN where it is not known.
    """

    def __init__(self, lesions: pd.DataFrame, split: Split, targets: Sequence[str]) -> None:
        self.split, self.targets = split, targets
        self.entering = lesions[~lesions["excluded"].astype(bool)].reset_index(drop=True)
        self.labels = self.entering[list(targets)].to_numpy(dtype=float, na_value=np.nan)
        texts = self.entering["lesion_id"], unit_ids(self.entering, split.unit), self.entering["patient_id"]
        self._lesions, self._units, self._patients = (pd.Index(text, dtype=object) for text in texts)

    def fold_problems(self, path: Path, table: pd.DataFrame, number: int) -> list[Problem]:
        """What a fold's prediction table says that is not so, or cannot be.

        Args:
            path: of the table, for the messages.
            table: as read.
            number: of the fold.
        """
        if absent := [name for name in COLUMNS if name not in table]:
            return [Problem(str(path), f"has no column {listed(absent)}", REMEDY)]
        table = table.astype(dict.fromkeys(TEXTS, object))  # compared often: Arrow's texts take far longer
        fold = self.split.folds[number]
        found = []
        claims = {"fold": number, "repeat": fold.repeat, "split_hash": self.split.hash}
        for column, value in claims.items():
            if others := sorted(map(str, set(table[column].unique()) - {value})):
                found.append(f"says {column} {listed(others, 3)} in place of {value}")
        lesion = self._lesions.get_indexer(pd.Index(table["lesion_id"], dtype=object))
        target = pd.Index(self.targets).get_indexer(pd.Index(table["target"]))
        tested = self._units.isin(fold.test)
        own = (lesion >= 0) & (target >= 0) & tested[lesion]
        times = np.zeros_like(self.labels, dtype=int)
        np.add.at(times, (lesion[own], target[own]), 1)
        if not own.all():
            rows = table[~own]
            found.append(
                f"holds {len(rows)} predictions that this fold does not test, such as {_first(rows)}"
            )
        if len(lacking := np.argwhere(tested[:, None] & (times == 0))):
            first = f"{self.entering['lesion_id'].iloc[lacking[0, 0]]}, {self.targets[lacking[0, 1]]}"
            found.append(f"lacks {len(lacking)} predictions of this fold, such as {first}")
        if repeated := int(table.duplicated(KEY).sum()):
            found.append(f"holds {repeated} predictions twice")
        shared, lesion, target = table[own], lesion[own], target[own]
        label, patient = self.labels[lesion, target], self._patients.to_numpy()[lesion]
        claimed = shared["label"].to_numpy(dtype=float, na_value=np.nan)
        for column, noun, owned, same in (
            ("label", "labels", label, (claimed == label) | (np.isnan(claimed) & np.isnan(label))),
            ("patient_id", "patients", patient, shared["patient_id"].to_numpy() == patient),
        ):
            if not same.all():
                rows = shared[~same]
                example = f"{_first(rows)}: {rows[column].iloc[0]} in place of {owned[~same][0]}"
                words = f"of its {noun} are not those of lesions.parquet, such as {example}"
                found.append(f"{len(rows)} {words}")
        for column in ("probability", "patient_probability", "threshold"):
            possible = table[column].between(0, 1)
            rows = table[~possible if column != "threshold" else ~possible & table[column].notna()]
            if len(rows):
                example = f"{rows[column].iloc[0]} of {_first(rows)}"
                found.append(f"{len(rows)} values of {column} are not from 0 to 1, such as {example}")
        for column, owner in (("patient_probability", ["patient_id", "target"]), ("threshold", ["target"])):
            if table.duplicated([*owner, column]).sum() < table.duplicated(owner).sum():
                found.append(f"has more than one {column} for a {owner[0].removesuffix('_id')}")
        return [Problem(str(path), each, REMEDY) for each in found]


def _first(rows: pd.DataFrame) -> str:
    return f"{rows['lesion_id'].iloc[0]}, {rows['target'].iloc[0]}"


def _require_surroundings(environment: Mapping[str, Any]) -> None:
    """KeyError or ValueError for what no run writes about itself."""
    if absent := {"commit", "cohort", "identity"} - set(environment):
        raise KeyError(min(absent))
    if not isinstance(environment["versions"], dict):
        raise ValueError("its versions are no names with values")
    best = environment.get("best") or {}
    known = [value for value in best.values() if value is not None]
    if not all(isinstance(value, int | float) and 0 <= value <= 1 for value in known):
        raise ValueError("what the best model can reach is no AUROC")


@dataclass
class _Check:
    """A run folder while its tables are read: what its records say, and every problem so far."""

    folder: Path
    environment: dict[str, Any]
    split: Split
    split_content: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)
    unsummed: list[Path] = field(default_factory=list)

    @classmethod
    def of_folder(cls, folder: Path) -> "_Check":
        place = folder / "split.json"
        content = read_json(place, ANEW)
        with readable(place, ANEW):
            split = Split.from_json(json.dumps(content))
        environment = read_json(folder / "environment.json", ANEW)
        with readable(folder / "environment.json", ANEW):
            known = environment["split"]
            if CHECKSUMS in environment:
                _require_surroundings(environment)
            check = cls(folder, environment, split, content)
            for owner, value in (("the file itself", content["hash"]), ("environment.json", known)):
                if value != split.hash:
                    found = f"its folds have hash {split.hash}, and {owner} says {value}: they were changed"
                    check.problems.append(Problem(str(place), found, ANEW))
        settings = folder / "config.yaml"
        if SETTINGS in environment and settings_sum(read_yaml(settings)) != environment[SETTINGS]:
            found = "was changed since this run was begun with it"
            check.problems.append(Problem(str(settings), found, f"put it back as it was, or {ANEW}"))
        return check

    @property
    def finished(self) -> list[int]:
        """The folds whose table is there."""
        return [number for number in range(len(self.split.folds)) if self.path(number).is_file()]

    def path(self, number: int) -> Path:
        """Where the table of a fold lies, or will."""
        return self.folder / f"fold={number}" / "predictions.parquet"

    def tables(self, numbers: Iterable[int]) -> dict[int, pd.DataFrame]:
        """The tables of folds by their numbers, without those that cannot be believed."""
        tables = {number: self.table(self.path(number)) for number in numbers}
        return {number: table for number, table in tables.items() if table is not None}

    def table(self, path: Path) -> pd.DataFrame | None:
        """A table of the run; None where it cannot be read or is not what was written."""
        try:
            table = read_predictions(path)
        except InputError as error:
            self.problems += error.problems
            return None
        if not sum_of(path).is_file():
            self.unsummed.append(path)
            if CHECKSUMS in self.environment:
                self.problems.append(Problem(str(path), f"has no {sum_of(path).name} beside it", REMEDY))
        run, author = self.environment["identity"], table.attrs.get(RUN)
        if author != run and (author or CHECKSUMS in self.environment):
            found = f"is of {f'run {author}' if author else 'no run that is known'}, and this is run {run}"
            self.problems.append(Problem(str(path), found, REMEDY))
        return table

    def join(self, tables: Mapping[int, pd.DataFrame], lesions: pd.DataFrame, targets: Sequence[str]) -> None:
        """Hold the tables of folds against the lesions and the split."""
        owners = _Owners(lesions, self.split, targets)
        for number, table in tables.items():
            with readable(self.path(number), REMEDY):
                self.problems += owners.fold_problems(self.path(number), table, number)

    def end(self) -> None:
        """Raise all problems, if there are any."""
        if self.problems:
            raise InputError(*self.problems)
