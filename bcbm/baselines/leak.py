"""What a fast forest makes of labels, under a split that keeps lesions, studies or patients whole."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import delayed
from rich.console import Console
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bcbm.cohort.patient_labels import patient_labels
from bcbm.cohort.splits import stratified_folds
from bcbm.config.schema import Config
from bcbm.statistics.leakage import random_labels
from bcbm.statistics.metrics import auroc, mean_or_nan
from bcbm.system.pool import workers
from bcbm.terminal.progress import progress_bar

TREES = 30


@dataclass(frozen=True)
class Trial:
    """Cross-validations of one kind, each with folds of its own.

    Attributes:
        features: (N, F), no NaN.
        labels: 1, 0 or NaN, (N,); None draws one a patient at random, anew each time.
        draws: how many.
        units: what a fold keeps whole, (N,).
        patients: ids, (N,).
        share: part of the training units that is trained on.
        linear: logistic regression in place of the trees.
    """

    features: np.ndarray
    labels: np.ndarray | None
    draws: int
    units: np.ndarray
    patients: np.ndarray
    share: float = 1
    linear: bool = False


Trials = dict[tuple[str, str], Trial]  # by a name, and one for the labels


def run_trials(
    trials: Trials, config: Config, words: str, console: Console
) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    """By trial, by level (lesion, patient): mean, spread, draws and values of the AUROC."""
    runs = [(key, draw) for key, trial in trials.items() for draw in range(trial.draws)]
    work = workers(config.prepared.jobs, return_as="generator")
    tasks = (delayed(_draw)(trials[key], config.split.folds, draw) for key, draw in runs)
    results: dict[tuple[str, str], list[dict[str, float]]] = {}
    with progress_bar(console, words, len(runs)) as advance:
        for (key, _), levels in zip(runs, work(tasks), strict=True):
            results.setdefault(key, []).append(levels)
            advance(1)
    return {
        key: {level: _spread([levels[level] for levels in draws]) for level in draws[0]}
        for key, draws in results.items()
    }


def _draw(trial: Trial, folds: int, draw: int) -> dict[str, float]:
    labels = random_labels(trial.patients, draw) if trial.labels is None else trial.labels
    labelled = ~np.isnan(labels)
    return split_aurocs(
        trial.features[labelled],
        labels[labelled],
        trial.units[labelled],
        trial.patients[labelled],
        folds=folds,
        seed=draw,
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
) -> dict[str, float]:
    """AUROC of extremely randomised trees under a cross-validation that keeps `units` whole.

    Computed inside each fold and averaged: scores of different folds, pooled, rank a patient low for being
    positive, as its own label is missing from its training part (Parker, Gunter and Bedo, BMC Bioinformatics
    8:326, 2007). Folds with one class have none and are left out.

    Args:
        features: (N, F), no NaN.
        labels: 0 or 1, (N,).
        units: what a fold keeps whole: ids of lesions, studies or patients, (N,).
        patients: ids, (N,).
        folds: how many, stratified over the labels of the units.
        seed: of folds and trees.
        share: part of the training units, of either label, that the trees see; a larger share holds those of
            a smaller one, and folds are the same.
        linear: logistic regression on standardised features in place of the trees.

    Returns:
        `lesion`: over lesions; `patient`: over patients, by the mean over their lesions in the fold. NaN
        where no fold has both classes.
    """
    features, labels, patients = np.asarray(features), np.asarray(labels), np.asarray(patients)
    units = np.asarray(units)
    fold = stratified_folds(units, labels, folds, np.random.default_rng(seed))
    aurocs: dict[str, list[float]] = {"lesion": [], "patient": []}
    for number in range(folds):
        out = fold == number
        train = np.flatnonzero(~out)
        if share < 1:
            train = train[_first_units(units[train], labels[train], share, seed)]
        if len(set(labels[out])) < 2 or len(set(labels[train])) < 2:
            continue
        trees = ExtraTreesClassifier(TREES, random_state=seed)
        model = make_pipeline(StandardScaler(), LogisticRegression()) if linear else trees
        scores = model.fit(features[train], labels[train]).predict_proba(features[out])[:, 1]
        aurocs["lesion"].append(auroc(labels[out], scores))
        truth = patient_labels(pd.Series(labels[out]), patients[out])
        aurocs["patient"].append(auroc(truth, pd.Series(scores).groupby(patients[out]).mean()))
    return {level: mean_or_nan(values) for level, values in aurocs.items()}


def _first_units(units: np.ndarray, labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which rows belong to the first units of a random order, the share of either label, one at least."""
    unit_labels = patient_labels(pd.Series(labels), units)
    order = np.random.default_rng(seed).permutation(len(unit_labels))
    chosen = [
        members[: max(1, round(share * len(members)))]
        for label in (0, 1)
        for members in [order[unit_labels.to_numpy()[order] == label]]
    ]
    return np.isin(units, unit_labels.index.to_numpy()[np.concatenate(chosen)])
