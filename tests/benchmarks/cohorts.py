"""Cohorts drawn from a known population, and cross-validations of them whose true figures are known.

A lesion has 107 columns in correlated groups of ten, normal in both classes; ten of them tell something. The
model is the program's `logistic_l2` (20 columns by correlation, class weights, standardised), all fits of a
cohort at once; `tests/statistics/test_area.py` holds that they are what the program fits. Of a linear score
of normal columns the true AUROC is known exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm
from sklearn.ensemble import RandomForestClassifier

from bcbm.cohort.splits import stratified_folds
from bcbm.statistics.metrics import Floats, auroc
from bcbm.statistics.operating import youden_threshold

COLUMNS, TELLING, SELECTED, GROUP, WITHIN = 107, 10, 20, 10, 0.5
CLUSTERS = np.repeat(  # lesions of the 96 patients of the collection's table who enter
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 25, 28, 61, 136, 270, 694],
    [21, 13, 10, 15, 8, 4, 1, 2, 3, 2, 2, 2, 3, 3, 1, 2, 1, 1, 1, 1],
)
ALIKE = 0.5  # share of a column's variance that lesions of a patient have in common
NEW = 600  # new patients of the population, on whom each fold's model is judged

_group = np.arange(COLUMNS) // GROUP
COVARIANCE = np.where(_group[:, None] == _group, WITHIN, 0.0) + (1 - WITHIN) * np.eye(COLUMNS)
_root = np.linalg.cholesky(COVARIANCE)


@dataclass(frozen=True)
class Cell:
    """A population and how it is cross-validated.

    Args:
        patients: of a cohort.
        auroc: that the fitted models reach in the mean, about.
        prevalence: share of positive patients.
        repeats: of five folds.
        model: logistic, or forest.
        clustered: lesions a patient as in the collection's table, else one.
    """

    patients: int
    auroc: float
    prevalence: float
    repeats: int = 1
    model: str = "logistic"
    clustered: bool = False
    folds: int = 5


@dataclass(frozen=True)
class Validated:
    """A cross-validated cohort.

    Args:
        columns: (N, COLUMNS), and `labels` (N,), `patients` (N,), of the lesions.
        folds: of each lesion, a row a repeat, (R, N).
        rows: patients, as `statistics.metrics.patient_level` gives them; `lesions`, a row a lesion, alike.
        new: the same of new patients, each predicted by every fold's model.
        auroc: true, the mean over the models.
    """

    columns: Floats
    labels: Floats
    patients: np.ndarray
    folds: np.ndarray
    rows: pd.DataFrame
    lesions: pd.DataFrame
    new: pd.DataFrame
    auroc: float


def cohorts(cell: Cell, number: int, seed: int, *, views: int = 1) -> Iterator[list[Validated]]:
    """Cross-validated cohorts of a cell.

    Args:
        cell: the population.
        number: cohorts.
        seed: of them.
        views: sets of columns of the same patients, half of their noise in common, each cross-validated in
            the same folds: as many equally good experiments.
    """
    direction = telling(separation(cell))
    for one in np.random.default_rng([seed, cell.patients, cell.repeats]).spawn(number):
        status = (np.arange(cell.patients) < round(cell.patients * cell.prevalence)).astype(float)
        lesions = one.choice(CLUSTERS, cell.patients) if cell.clustered else np.ones(cell.patients, int)
        patients = np.repeat(np.arange(cell.patients), lesions)
        labels = status[patients]
        folds = np.stack([stratified_folds(patients, labels, cell.folds, one) for _ in range(cell.repeats)])
        shared = drawn_noise(patients, one) if views > 1 else None
        yield [_validated(cell, direction, labels, patients, folds, one, shared) for _ in range(views)]


def telling(distance: float) -> Floats:
    """Distance of the classes in each column."""
    shape = np.r_[np.linspace(1, 0.4, TELLING), np.zeros(COLUMNS - TELLING)]
    return distance * shape / np.linalg.norm(shape)


@cache
def separation(cell: Cell) -> float:
    """The distance of the classes at which the cell's models reach its AUROC in the mean."""
    if cell.auroc == 0.5:
        return 0.0
    draws = np.random.default_rng(0).spawn(60)

    def beyond(distance: float) -> float:
        direction, reached = telling(distance), []
        for one in draws:
            again = np.random.default_rng(one.bit_generator.seed_seq)
            labels = (np.arange(cell.patients) < round(cell.patients * cell.prevalence)).astype(float)
            columns = drawn_noise(np.arange(cell.patients), again) + np.outer(labels - 0.5, direction)
            train = (np.arange(cell.patients) % cell.folds != 0)[None].astype(float)
            weights, _ = fitted(columns, labels, train)
            reached.append(true_auroc(weights, direction)[0])
        return float(np.mean(reached)) - cell.auroc

    return brentq(beyond, 0.1, 12, xtol=0.02)


def drawn_noise(patients: np.ndarray, rng: np.random.Generator) -> Floats:
    """Columns of lesions (N, COLUMNS) that tell nothing; those of a patient are alike in part."""
    common = rng.standard_normal((patients.max() + 1, COLUMNS))[patients]
    own = rng.standard_normal((len(patients), COLUMNS))
    return (np.sqrt(ALIKE) * common + np.sqrt(1 - ALIKE) * own) @ _root.T


def fitted(columns: Floats, labels: Floats, train: Floats) -> tuple[Floats, Floats]:
    """Logistic regressions as `logistic_l2` fits them, all at once.

    Args:
        columns: (N, F), on the scale that the signed log gives.
        labels: (N,).
        train: weight of each row in each fit before class weights, 0 where it is not used, (B, N).

    Returns:
        Coefficients on the columns (B, F) and intercepts (B,).
    """
    used = np.flatnonzero(train.any(axis=0))
    columns, labels, weight = columns[used], labels[used], train[:, used]
    positives = weight @ labels
    weight = weight * np.where(labels == 1, ((weight.sum(1) - positives) / positives)[:, None], 1.0)
    total = weight.sum(1)
    mean = weight @ columns / total[:, None]
    deviation = np.sqrt(weight @ columns**2 / total[:, None] - mean**2)
    centred = weight * (labels - (weight @ labels / total)[:, None])
    association = np.abs((centred @ columns - centred.sum(1)[:, None] * mean) / deviation)
    chosen = np.argpartition(-association, SELECTED, axis=1)[:, :SELECTED]
    taken_mean, taken_deviation = (np.take_along_axis(part, chosen, 1) for part in (mean, deviation))
    design = np.ones((len(train), len(labels), SELECTED + 1))
    design[:, :, :-1] = (columns.T[chosen].swapaxes(1, 2) - taken_mean[:, None]) / taken_deviation[:, None]
    ridge = np.diag(np.r_[np.ones(SELECTED), 0.0])
    solution = np.zeros((len(train), SELECTED + 1))
    for _ in range(25):
        probability = expit((design @ solution[:, :, None])[:, :, 0])
        slope = ((weight * (probability - labels))[:, None] @ design)[:, 0] + solution @ ridge
        bend = weight * probability * (1 - probability)
        curvature = design.swapaxes(1, 2) @ (design * bend[:, :, None]) + ridge
        step = np.linalg.solve(curvature, slope[:, :, None])[:, :, 0]
        solution -= step
        if np.abs(step).max() < 1e-8:
            break
    coefficients = np.zeros((len(train), columns.shape[1]))
    np.put_along_axis(coefficients, chosen, solution[:, :-1] / taken_deviation, 1)
    intercepts = solution[:, -1] - (coefficients * mean).sum(1)
    return coefficients, intercepts


def true_auroc(coefficients: Floats, direction: Floats) -> Floats:
    """Of linear scores (B, F) of single lesions, shape (B,)."""
    spread = np.sqrt(np.einsum("bf,fg,bg->b", coefficients, COVARIANCE, coefficients))
    return norm.cdf(coefficients @ direction / spread / np.sqrt(2))


def in_training(cell: Cell, folds: np.ndarray, patients: np.ndarray) -> Floats:
    """Weight of every lesion in every fit, (R * K, N): a patient's sum to 1, the fold's own are 0."""
    share = 1 / np.bincount(patients)[patients]
    away = folds[:, None, :] != np.arange(cell.folds)[None, :, None]
    return (away * share).reshape(-1, len(patients))


def _validated(
    cell: Cell,
    direction: Floats,
    labels: Floats,
    patients: np.ndarray,
    folds: np.ndarray,
    rng: np.random.Generator,
    shared: Floats | None,
) -> Validated:
    noise = drawn_noise(patients, rng)
    if shared is not None:
        noise = np.sqrt(0.5) * (shared + noise)
    columns = noise + np.outer(labels - 0.5, direction)
    train = in_training(cell, folds, patients)
    new_labels = (np.arange(NEW) < round(NEW * cell.prevalence)).astype(float)
    if cell.model == "forest":
        new_columns = drawn_noise(np.arange(NEW), rng) + np.outer(new_labels - 0.5, direction)
        probability, new_probability = [], []
        for weight in train:
            rows = weight > 0
            forest = RandomForestClassifier(
                100, min_weight_fraction_leaf=0.03, class_weight="balanced", random_state=0
            ).fit(columns[rows], labels[rows])
            probability.append(forest.predict_proba(columns)[:, 1])
            new_probability.append(forest.predict_proba(new_columns)[:, 1])
        by_model, new_by_model = np.array(probability), np.array(new_probability)
        new_patients, threshold = np.arange(NEW), np.full(len(train), np.nan)
    else:
        held_back = _held_back(cell, labels, patients, folds, rng)
        coefficients, intercepts = fitted(columns, labels, train)
        early, early_intercepts = fitted(columns, labels, train * ~held_back)
        by_model = expit(coefficients @ columns.T + intercepts[:, None])
        early_by_model = expit(early @ columns.T + early_intercepts[:, None])
        threshold = np.array(
            [
                youden_threshold(*_patient_means(labels[part], probability[part], patients[part]))
                for part, probability in zip(held_back, early_by_model, strict=True)
            ]
        )
        new_patients = np.repeat(np.arange(NEW), rng.choice(CLUSTERS, NEW) if cell.clustered else 1)
        new_by_model = _new(coefficients, intercepts, direction, new_labels[new_patients], new_patients, rng)
    model_of = (folds + cell.folds * np.arange(cell.repeats)[:, None]).ravel()
    repeat = np.repeat(np.arange(cell.repeats), len(labels))
    lesions = pd.DataFrame(
        {
            "repeat": repeat,
            "fold": model_of,
            "patient_id": np.tile(patients, cell.repeats),
            "label": np.tile(labels, cell.repeats),
            "probability": by_model[model_of, np.tile(np.arange(len(labels)), cell.repeats)],
            "threshold": threshold[model_of],
        }
    )
    models, count = len(train), len(new_patients)
    new = pd.DataFrame(
        {
            "repeat": np.repeat(np.arange(models) // cell.folds, count),
            "fold": np.repeat(np.arange(models), count),
            "patient_id": np.tile(new_patients, models),
            "label": np.tile(new_labels[new_patients], models),
            "probability": new_by_model.ravel(),
            "threshold": np.repeat(threshold, count),
        }
    )
    if cell.model == "logistic" and not cell.clustered:
        rows, true = lesions, float(true_auroc(coefficients, direction).mean())
    else:
        rows = patients_of(lesions)
        judged = patients_of(new)
        by_fold = [auroc(fold["label"], fold["probability"]) for _, fold in judged.groupby("fold")]
        true = float(np.mean(by_fold))
    return Validated(columns, labels, patients, folds, rows, lesions, new, true)


def _new(
    coefficients: Floats,
    intercepts: Floats,
    direction: Floats,
    labels: Floats,
    patients: np.ndarray,
    rng: np.random.Generator,
) -> Floats:
    """Probabilities of new lesions by every model, (B, N); one a patient: at the quantiles of each class."""
    spread = np.sqrt(np.einsum("bf,fg,bg->b", coefficients, COVARIANCE, coefficients))
    shift = (coefficients @ direction)[:, None] * (labels - 0.5)
    if len(patients) == NEW:
        place = np.concatenate([norm.ppf((np.arange(c) + 0.5) / c) for c in np.bincount(labels == 1)[::-1]])
        noise = np.broadcast_to(place, shift.shape)
    else:
        common = rng.standard_normal((len(coefficients), patients.max() + 1))[:, patients]
        noise = np.sqrt(ALIKE) * common + np.sqrt(1 - ALIKE) * rng.standard_normal(shift.shape)
    return expit(intercepts[:, None] + shift + spread[:, None] * noise)


def _held_back(
    cell: Cell, labels: Floats, patients: np.ndarray, folds: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The validation part of every fit, (R * K, N): a fifth of its training patients."""
    parts = np.zeros((cell.repeats * cell.folds, len(labels)), dtype=bool)
    for number, part in enumerate(parts):
        rows = np.flatnonzero(folds[number // cell.folds] != number % cell.folds)
        part[rows[stratified_folds(patients[rows], labels[rows], 5, rng) == 0]] = True
    return parts


def _patient_means(labels: Floats, probability: Floats, patients: np.ndarray) -> tuple[Floats, Floats]:
    _, first, code = np.unique(patients, return_index=True, return_inverse=True)
    return labels[first], np.bincount(code, probability) / np.bincount(code)


def patients_of(lesions: pd.DataFrame) -> pd.DataFrame:
    return lesions.groupby(["repeat", "fold", "patient_id"], as_index=False).agg(
        label=("label", "first"), probability=("probability", "mean"), threshold=("threshold", "first")
    )
