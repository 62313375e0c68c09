"""Patient folds: made once, before anything is fitted, stratified, hashed."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.cohort.given_folds import GivenFold, file_folds, held_out_folds
from bcbm.cohort.patient_labels import patient_labels
from bcbm.cohort.targets import TARGETS, known_targets
from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem
from bcbm.system.seeds import derived_seed
from bcbm.system.words import listed

CLASSES = {"positive": 1.0, "negative": 0.0}
NAMED = 3  # folds that a message names
TRIED = 20  # numbers of folds, when one does not do
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
        units = pd.Index(unit_ids(table, self.unit).to_numpy(object), dtype=object)
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
    least: int = 1,
    key: str = "split.folds",
) -> Split:
    """Divide the patients (or, to show the leak, studies or lesions) into folds.

    Stratified over all `known` targets of the table and their missingness, whichever of them are to be
    predicted (`targets`), so that experiments on one target and on three have the same folds; by iterative
    stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011).

    Args:
        table: lesions that enter.
        unit: what is kept whole.
        folds: a repeat; `repeats` of them.
        validation: part of a fold's training units that is held back.
        seed: of the draw.
        targets: those to predict.
        known: those to stratify over.
        least: training patients of each class that a model needs in every fold, without those of validation.
        key: what sets `folds`, for the messages.

    Raises:
        InputError: one of `targets` has fewer positive or negative units than there are folds, or a fold
            trains on one class of it; with the nearest number of folds that would do for all targets.
    """
    present = [target for target in known if target in table]
    labels = patient_labels(table[present], unit_ids(table, unit))

    def drawn(count: int) -> Split:
        parts = []
        for repeat in range(repeats):
            rng = np.random.default_rng([seed, repeat])
            test = _stratify(states, count, rng)
            parts += [_fold(labels, repeat, test == fold, validation, rng) for fold in range(count)]
        return Split(unit, seed, tuple(parts))

    def problems(count: int) -> list[Problem]:
        return _too_few(labels[list(targets)], count, unit) or untrained(drawn(count), table, targets, least)

    states = _states(labels)
    if found := problems(folds):
        remedy = _remedy(problems, folds, labels[list(targets)], key)
        raise InputError(*(replace(problem, remedy=remedy) for problem in found))
    return drawn(folds)


def _too_few(labels: pd.DataFrame, folds: int, unit: str) -> list[Problem]:
    """The classes that not every fold can test a unit of."""
    counts = [
        (str(target), sign, int((labels[target] == value).sum()))
        for target in labels
        for sign, value in CLASSES.items()
    ]
    return [
        Problem(target, f"{count} {sign} {unit if count == 1 else UNITS[unit]} for {folds} folds", "")
        for target, sign, count in counts
        if count < folds
    ]


def untrained(split: Split, table: pd.DataFrame, targets: Sequence[str], least: int) -> list[Problem]:
    """The classes of which a fold has fewer than `least` training patients, without those of validation."""
    parts = [table.iloc[split.rows(table, number)["train"]] for number in range(len(split.folds))]
    names = [fold.name or str(number) for number, fold in enumerate(split.folds)]
    problems = []
    for target in targets:
        for sign, value in CLASSES.items():
            counts = [part.loc[part[target] == value, "patient_id"].nunique() for part in parts]
            short = [name for name, count in zip(names, counts, strict=True) if count < least]
            if short:
                named = listed(short, NAMED)
                text = f"{len(short)} of {len(parts)} folds ({named}) train on {min(counts)} {sign} "
                problems.append(Problem(target, f"{text}patients, and the model needs {least}", ""))
    return problems


def _remedy(problems: Callable[[int], list[Problem]], folds: int, labels: pd.DataFrame, key: str) -> str:
    """The number of folds nearest to this one that does for all targets, or for as many as can be.

    Args:
        problems: of a number of folds.
        folds: the number that does not do.
        labels: a column a target.
        key: what sets the number.
    """
    rarest = [min(int((labels[target] == value).sum()) for value in CLASSES.values()) for target in labels]
    nearest = sorted({*range(2, max(rarest) + 1)} - {folds}, key=lambda count: abs(count - folds))
    short = {}
    for count in [folds, *nearest[:TRIED]]:
        short[count] = {problem.where for problem in problems(count)}
        if not short[count]:
            return f"set {key} to {count}"
    best = min(short, key=lambda count: len(short[count]))
    left_out = [str(target) for target in labels if target in short[best]]
    if len(left_out) == len(labels.columns):
        return f"no {key} does: use more patients, or other targets"
    return f"leave {', '.join(left_out)} out of task.targets" + f", and set {key} to {best}" * (best != folds)


def split_as(table: pd.DataFrame, config: Config) -> Split:
    """The split of a configuration: folds of a file or of a column's values, else drawn by `make_split`.

    Args:
        table: the lesion table; what is excluded from it is only known by name.
        config: the experiment.

    Raises:
        InputError: see `make_split`, `file_folds` and `held_out_folds`; a fold trains on one class.
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
            least=config.class_patients,
        )
    split = _given_split(entering, given, settings.validation, settings.seed, known)
    if problems := untrained(split, entering, targets, config.class_patients):
        remedy = "divide the patients in another way, or leave {} out of task.targets"
        raise InputError(*(replace(problem, remedy=remedy.format(problem.where)) for problem in problems))
    return split


def _given_split(
    lesions: pd.DataFrame, given: Sequence[GivenFold], validation: float, seed: int, known: Iterable[str]
) -> Split:
    """Folds whose test patients are given; validation is drawn as in `make_split` where it is not."""
    present = [target for target in known if target in lesions]
    labels = patient_labels(lesions[present], unit_ids(lesions, "patient"))
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
    least: int = 1,
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
            least=least,
            key="split.inner",
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
            demand[part] -= states[unit]
    return assigned


def stratified_folds(
    units: npt.ArrayLike, labels: npt.ArrayLike, folds: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """The fold of every row, (N,): whole units, dealt out at random, one label after the other.

    Units of both labels stand between those of one, so that each label is dealt to as many folds as can be.
    """
    _, code, count = np.unique(np.asarray(units), return_inverse=True, return_counts=True)
    positive = np.bincount(code, np.asarray(labels, dtype=np.float64)) / count
    order = rng.permutation(len(count))
    order = order[np.argsort(positive[order], kind="stable")]
    fold = np.empty(len(count), dtype=np.int64)
    fold[order] = np.arange(len(count)) % folds
    return fold[code]


def joint_folds(
    units: npt.ArrayLike, labels: npt.ArrayLike, folds: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """The fold of every row, (N,): whole units, stratified over several label columns at once.

    Args:
        units: ids of what stays whole, (N,).
        labels: 1, 0 or NaN, (N, K).
        folds: how many.
        rng: of the draw.
    """
    _, code = np.unique(np.asarray(units), return_inverse=True)
    table = pd.DataFrame(np.asarray(labels, np.float64))
    states = pd.concat([table == 1, table == 0, table.isna()], axis=1).groupby(code).any()
    return _stratify(states.to_numpy(), folds, rng)[code]


def patient_weight(patients: pd.Series) -> np.ndarray:
    """1 / lesions of the patient, (N,): every patient weighs the same in sum."""
    _, codes, counts = np.unique(patients.to_numpy(object), return_inverse=True, return_counts=True)
    return 1.0 / counts[codes]
