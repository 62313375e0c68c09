"""What fast trees make of labels, under a split that keeps lesions, studies or patients whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import Parallel, delayed
from rich.console import Console
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import ExtraTreeRegressor

from bcbm.cohort.patient_labels import patient_labels
from bcbm.cohort.splits import joint_folds
from bcbm.config.schema import Config
from bcbm.statistics.metrics import auroc, mean_or_nan
from bcbm.terminal.progress import progress_bar

TREES = 30
PARTS = 20  # of the training units: a share of them is a number of parts


@dataclass(frozen=True)
class Trial:
    """A cross-validation of several label columns, which share folds and trees.

    Attributes:
        kind: what is tried.
        names: of the columns, (K,); those of one name are draws of the same.
        features: (N, F), no NaN.
        labels: 1, 0 or NaN, (N, K).
        units: what a fold keeps whole, (N,).
        patients: ids, (N,).
        seed: of folds and trees.
        share: part of the training units that is trained on.
        linear: logistic regression in place of the trees.
    """

    kind: str
    names: tuple[str, ...]
    features: np.ndarray
    labels: np.ndarray
    units: np.ndarray
    patients: np.ndarray
    seed: int
    share: float = 1
    linear: bool = False


def run_trials(
    trials: Sequence[Trial], config: Config, words: str, console: Console
) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    """By kind and name, by level (lesion, patient): mean, spread, draws and values of the AUROC."""
    work = Parallel(config.prepared.jobs, return_as="generator", prefer="threads")  # trees hold no lock
    tasks = (delayed(_aurocs)(trial, config.split.folds) for trial in trials)
    results: dict[tuple[str, str], list[dict[str, float]]] = {}
    with progress_bar(console, words, len(trials)) as advance:
        for trial, columns in zip(trials, work(tasks), strict=True):
            for name, levels in zip(trial.names, columns, strict=True):
                results.setdefault((trial.kind, name), []).append(levels)
            advance(1)
    return {
        key: {level: _spread([levels[level] for levels in draws]) for level in draws[0]}
        for key, draws in results.items()
    }


def _aurocs(trial: Trial, folds: int) -> list[dict[str, float]]:
    return split_aurocs(
        trial.features,
        trial.labels,
        trial.units,
        trial.patients,
        folds=folds,
        seed=trial.seed,
        share=trial.share,
        linear=trial.linear,
    )


def _spread(values: list[float]) -> dict[str, Any]:
    spread = float(np.std(values, ddof=1))
    return {"mean": float(np.mean(values)), "spread": spread, "draws": len(values), "values": values}


def split_aurocs(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    units: npt.ArrayLike,
    patients: npt.ArrayLike,
    *,
    folds: int,
    seed: int,
    share: float = 1,
    linear: bool = False,
) -> list[dict[str, float]]:
    """AUROC of extremely randomised trees under a cross-validation that keeps `units` whole.

    The trees (Geurts, Ernst and Wehenkel, Machine Learning 63:3-42, 2006) are grown whole, on all columns at
    once: a split lessens the variance summed over them, so that as many trees serve K columns. A label that
    is missing beside others counts as the training mean, and is not tested.

    Computed inside each fold and averaged: scores of different folds, pooled, rank a patient low for being
    positive, as its own label is missing from its training part (Parker, Gunter and Bedo, BMC Bioinformatics
    8:326, 2007). Folds with one class have none and are left out.

    Args:
        features: (N, F), no NaN.
        labels: 0, 1 or NaN, (N, K); rows of NaN alone do not count.
        units: what a fold keeps whole: ids of lesions, studies or patients, (N,).
        patients: ids, (N,).
        folds: how many, stratified over the labels of the units.
        seed: of folds and trees.
        share: part of the training units, stratified likewise, that the trees see, in steps of 1 / PARTS; a
            larger share holds those of a smaller one, and folds are the same.
        linear: logistic regression on standardised features in place of the trees, for each column.

    Returns:
        Of each column, `lesion`: over lesions; `patient`: over patients, by the mean over their lesions in
        the fold. NaN where no fold has both classes.
    """
    table = np.asarray(labels, np.float64)
    labelled = ~np.isnan(table).all(axis=1)
    table, values = table[labelled], np.ascontiguousarray(np.asarray(features)[labelled], np.float32)
    units, patients = np.asarray(units)[labelled], np.asarray(patients)[labelled]
    fold = joint_folds(units, table, folds, np.random.default_rng(seed))
    owners = np.unique(patients, return_inverse=True)[1]
    results: list[dict[str, list[float]]] = [{"lesion": [], "patient": []} for _ in table.T]
    for number in range(folds):
        out = fold == number
        train = np.flatnonzero(~out)
        if share < 1:
            part = joint_folds(units[train], table[train], PARTS, np.random.default_rng(seed))
            train = train[part < round(share * PARTS)]
        tried = [n for n, column in enumerate(table.T) if _both(column[train]) and _both(column[out])]
        if not tried:
            continue
        labels = table[:, tried]
        scores = _linear(values, labels, train, out) if linear else _trees(values, labels, train, out, seed)
        lesions = pd.DataFrame(labels[out]), pd.DataFrame(np.where(np.isnan(labels[out]), np.nan, scores))
        by_patient = patient_labels(lesions[0], owners[out]), lesions[1].groupby(owners[out]).mean()
        for level, (truth, score) in {"lesion": lesions, "patient": by_patient}.items():
            for place, column in enumerate(tried):
                known = truth[place].notna()
                results[column][level].append(auroc(truth[place][known], score[place][known]))
    return [{level: mean_or_nan(values) for level, values in levels.items()} for levels in results]


def _both(labels: np.ndarray) -> bool:
    """Whether both classes are there."""
    return bool((labels == 0).any() and (labels == 1).any())


def _trees(
    values: np.ndarray, labels: np.ndarray, train: np.ndarray, out: np.ndarray, seed: int
) -> np.ndarray:
    """The mean votes of trees, (tested rows, K)."""
    trained, tested, truth = values[train], values[out], labels[train]
    truth = np.where(np.isnan(truth), np.nanmean(truth, axis=0), truth)
    votes, random = np.zeros((len(tested), labels.shape[1])), np.random.RandomState(0)
    with config_context(skip_parameter_validation=True):  # as long as a small tree takes to grow
        for number in range(TREES):
            random.seed(seed * TREES + number)  # a new one is as slow as that
            tree = ExtraTreeRegressor(max_features="log2", random_state=random)
            tree.fit(trained, truth, check_input=False)
            votes += tree.tree_.predict(tested).reshape(votes.shape)
    return votes / TREES


def _linear(values: np.ndarray, labels: np.ndarray, train: np.ndarray, out: np.ndarray) -> np.ndarray:
    """The probabilities of a regression a column, (tested rows, K)."""
    scores = np.empty((int(out.sum()), labels.shape[1]))
    for column, truth in enumerate(labels.T):
        rows = train[~np.isnan(truth[train])]
        model = make_pipeline(StandardScaler(), LogisticRegression())
        scores[:, column] = model.fit(values[rows], truth[rows]).predict_proba(values[out])[:, 1]
    return scores
