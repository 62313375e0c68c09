"""Patient folds: made once, before anything is fitted, stratified, hashed."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.cohort.given_folds import GivenFold, file_folds, held_out_folds
from bcbm.cohort.targets import TARGETS, known_targets
from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem
from bcbm.system.seeds import derived_seed

UNITS = {"patient": "patients", "study": "studies", "lesion": "lesions"}  # what a split keeps whole, and many


@dataclass(frozen=True)
class Fold:
    """The units (patients, unless the split is LEAKY) of one fold's three parts; a name where it has one."""

    repeat: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True)
class Split:
    """All folds of a cross-validation; `folds[k]` is fold k, counted through the repeats."""

    unit: str
    seed: int
    folds: tuple[Fold, ...]

    @property
    def leaky(self) -> bool:
        """Whether a patient can stand on both sides."""
        return self.unit != "patient"

    @property
    def hash(self) -> str:
        """The identity of the split; checkpoints and prediction tables carry it."""
        return hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()[:16]

    def rows(self, table: pd.DataFrame, fold: int) -> dict[str, np.ndarray]:
        """Row numbers of train, validation and test in a lesion table."""
        units = unit_ids(table, self.unit)
        chosen = self.folds[fold]
        parts = {"train": chosen.train, "validation": chosen.validation, "test": chosen.test}
        return {part: np.flatnonzero(units.isin(names)) for part, names in parts.items()}

    def to_json(self) -> str:
        """The split file."""
        return json.dumps({**self._content(), "leaky": self.leaky, "hash": self.hash}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Split":
        """The split of a split file."""
        content = json.loads(text)
        folds = [
            Fold(
                fold["repeat"],
                tuple(fold["train"]),
                tuple(fold["validation"]),
                tuple(fold["test"]),
                fold.get("name", ""),
            )
            for fold in content["folds"]
        ]
        return cls(content["unit"], content["seed"], tuple(folds))

    def _content(self) -> dict[str, Any]:
        folds = [
            {"repeat": f.repeat, "train": f.train, "validation": f.validation, "test": f.test}
            | ({"name": f.name} if f.name else {})
            for f in self.folds
        ]
        return {"unit": self.unit, "seed": self.seed, "folds": folds}


def unit_ids(table: pd.DataFrame, unit: str) -> pd.Series:
    """The id that a split keeps whole, a row."""
    return table[f"{unit}_id"].astype(str)


def make_split(
    table: pd.DataFrame,
    *,
    unit: str,
    folds: int,
    repeats: int,
    validation: float,
    seed: int,
    targets: Sequence[str],
    known: Iterable[str] = TARGETS,
) -> Split:
    """Divide the patients (or, to show the leak, studies or lesions) into folds.

    Stratified over all `known` targets of the table and their missingness, whichever of them are to be
    predicted (`targets`), so that experiments on one target and on three have the same folds; by iterative
    stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011).

    Raises:
        InputError: one of `targets` has fewer positive or negative units than there are folds.
    """
    present = [target for target in known if target in table]
    labels = table.groupby(unit_ids(table, unit))[present].max()
    problems = []
    for target in targets:
        for sign, value in (("positive", 1.0), ("negative", 0.0)):
            count = int((labels[target] == value).sum())
            if count < folds:
                remedy = f"leave {target} out of task.targets"
                if count > 1:
                    remedy = f"set split.folds to at most {count}"
                noun = unit if count == 1 else UNITS[unit]
                problems.append(Problem(target, f"{count} {sign} {noun} for {folds} folds", remedy))
    if problems:
        raise InputError(*problems)
    states = _states(labels)
    result: list[Fold] = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        test = _stratify(states, folds, rng)
        result += [_fold(labels, repeat, test == fold, validation, rng) for fold in range(folds)]
    return Split(unit, seed, tuple(result))


def split_as(table: pd.DataFrame, config: Config) -> Split:
    """The split of a configuration: folds of a file or of a column's values, else drawn by `make_split`.

    Args:
        table: the lesion table; what is excluded from it is only known by name.
        config: the experiment.

    Raises:
        InputError: see `make_split`, `file_folds` and `held_out_folds`.
    """
    settings, targets = config.split, config.task.targets
    known = known_targets(config.cohort.targets)
    entering = table[~table["excluded"].astype(bool)]
    if settings.file:
        given = file_folds(Path(settings.file).expanduser(), table, targets)
    elif settings.holdout:
        given = held_out_folds(entering, settings.holdout, settings.later, targets)
    else:
        return make_split(
            entering,
            unit=settings.unit,
            folds=settings.folds,
            repeats=settings.repeats,
            validation=settings.validation,
            seed=settings.seed,
            targets=targets,
            known=known,
        )
    return _given_split(entering, given, settings.validation, settings.seed, known)


def _given_split(
    lesions: pd.DataFrame, given: Sequence[GivenFold], validation: float, seed: int, known: Iterable[str]
) -> Split:
    """Folds whose test patients are given; validation is drawn as in `make_split` where it is not."""
    present = [target for target in known if target in lesions]
    labels = lesions.groupby(unit_ids(lesions, "patient"))[present].max()
    rng = np.random.default_rng([seed, 0])
    folds = []
    for fold in given:
        drawn = _fold(labels, 0, labels.index.isin(fold.test), validation, rng)
        if fold.validation:
            train = sorted({*drawn.train, *drawn.validation} - set(fold.validation))
            drawn = replace(drawn, train=tuple(train), validation=fold.validation)
        folds.append(replace(drawn, name=fold.name))
    return Split("patient", seed, tuple(folds))


def _fold(
    labels: pd.DataFrame, repeat: int, test: np.ndarray, validation: float, rng: np.random.Generator
) -> Fold:
    """The fold that tests some units of a table of labels; validation is drawn among the others."""
    names, remaining = labels.index.to_numpy(dtype=str), np.flatnonzero(~test)
    inner = _stratify(_states(labels)[remaining], max(2, round(1 / validation)), rng)
    in_validation = inner == inner.min()  # part 0 stays empty where there are fewer units than parts
    return Fold(
        repeat,
        train=tuple(sorted(names[remaining[~in_validation]])),
        validation=tuple(sorted(names[remaining[in_validation]])),
        test=tuple(sorted(names[test])),
    )


def inner_split(
    split: Split,
    number: int,
    table: pd.DataFrame,
    *,
    folds: int,
    validation: float,
    targets: Sequence[str],
    known: Iterable[str] = TARGETS,
) -> Split:
    """Folds inside the training and validation units of fold `number`: its test units stand in none.

    Raises:
        InputError: as `make_split`, for the units that are left.
    """
    outer = split.rows(table, number)
    inside = table.iloc[np.sort(np.concatenate([outer["train"], outer["validation"]]))]
    seed = derived_seed(split.seed, number)
    try:
        return make_split(
            inside,
            unit=split.unit,
            folds=folds,
            repeats=1,
            validation=validation,
            seed=seed,
            targets=targets,
            known=known,
        )
    except InputError as error:
        inner = [
            replace(problem, where=f"inner folds of fold {number}: {problem.where}")
            for problem in error.problems
        ]
        raise InputError(*inner) from None


def _states(labels: pd.DataFrame) -> np.ndarray:
    """(units, 3 * targets) booleans: positive, negative, missing of each target."""
    columns = [
        state
        for target in labels
        for state in (labels[target] == 1, labels[target] == 0, labels[target].isna())
    ]
    return np.column_stack(columns)


def _stratify(states: np.ndarray, parts: int, rng: np.random.Generator) -> np.ndarray:
    """Assign each unit a part, the rarest state first, to the part that lacks it most."""
    count = len(states)
    assigned = np.full(count, -1)
    room = np.full(parts, count / parts)
    demand = np.tile(states.sum(axis=0) / parts, (parts, 1)).astype(float)
    while (assigned < 0).any():
        left = states[assigned < 0].sum(axis=0)
        if not left.any():
            break
        state = int(np.argmin(np.where(left > 0, left, np.inf)))
        for unit in rng.permutation(np.flatnonzero((assigned < 0) & states[:, state])):
            order = np.lexsort((rng.random(parts), -room, -demand[:, state]))
            part = int(order[0])
            assigned[unit] = part
            room[part] -= 1
            demand[part, states[unit]] -= 1
    return assigned


def stratified_folds(
    units: npt.ArrayLike, labels: npt.ArrayLike, folds: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """The fold of every row, (N,): whole units, dealt out at random, one label after the other."""
    _, first, code = np.unique(np.asarray(units), return_index=True, return_inverse=True)
    unit_labels = np.asarray(labels)[first]
    order = rng.permutation(len(first))
    order = order[np.argsort(unit_labels[order], kind="stable")]
    fold = np.empty(len(first), dtype=np.int64)
    fold[order] = np.arange(len(first)) % folds
    return fold[code]


def patient_weight(patients: pd.Series) -> np.ndarray:
    """1 / lesions of the patient, (N,): every patient weighs the same in sum."""
    _, codes, counts = np.unique(patients.to_numpy(object), return_inverse=True, return_counts=True)
    return 1.0 / counts[codes]
