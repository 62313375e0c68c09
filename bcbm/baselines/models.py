"""One traditional model for one target: everything it needs is fitted among its training rows."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_numeric_dtype
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.utils import Tags

from bcbm.baselines.conversion import unconverted
from bcbm.baselines.fitted import FittedModel, fitted_model
from bcbm.cohort.near import signed_log
from bcbm.cohort.splits import patient_weight, stratified_folds
from bcbm.config.schema.training import Baseline
from bcbm.errors import InputError, Problem

INNER = 3  # folds of training patients behind the SVM's probabilities
NATIVE = "hist_boosting"  # the kind of model that takes missing numbers as they are


class MostCorrelated(SelectorMixin, BaseEstimator):
    """Keep the `count` columns that correlate most with the label, each row by its weight; 0 keeps all.

    A missing number counts as the mean of its column.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray) -> "MostCorrelated":
        """Choose among standardised columns (N, F) by labels (N,) and weights (N,)."""
        centred = sample_weight * (y - np.average(y, weights=sample_weight))
        order = np.argsort(-np.abs(centred @ np.nan_to_num(X)), kind="stable")
        self.n_features_in_ = X.shape[1]
        self.mask_ = np.zeros(X.shape[1], dtype=bool)
        self.mask_[order[: self.count or None]] = True
        return self

    def _get_support_mask(self) -> np.ndarray:
        return self.mask_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def training_weights(
    labels: npt.ArrayLike, patients: pd.Series, train: np.ndarray, *, even: bool, class_weights: bool
) -> np.ndarray:
    """The weight of every row, (N,), 0 where it is not in training or has no label.

    Args:
        labels: 1, 0 or NaN, (N,).
        patients: of each row, (N,).
        train: the rows of the training part.
        even: every lesion weighs 1; else every patient weighs 1 in sum.
        class_weights: positives weigh negatives / positives of the training patients more.
    """
    labels = np.asarray(labels, dtype=np.float64)
    rows = train[~np.isnan(labels[train])]
    per_patient = patient_weight(patients.iloc[rows])
    weight = np.ones(len(rows)) if even else per_patient.copy()
    if class_weights:
        weight[labels[rows] == 1] *= class_weight(labels, patients, train)
    weights = np.zeros(len(labels))
    weights[rows] = weight
    return weights


def class_weight(labels: npt.ArrayLike, patients: pd.Series, train: np.ndarray) -> float:
    """Negatives over positives among the training patients; arguments as of `training_weights`."""
    labels = np.asarray(labels, dtype=np.float64)
    rows = train[~np.isnan(labels[train])]
    per_patient = patient_weight(patients.iloc[rows])
    positives = float((per_patient * labels[rows]).sum())
    return (float(per_patient.sum()) - positives) / max(positives, 1e-12)


def fit_model(
    kind: str,
    settings: Baseline,
    columns: pd.DataFrame,
    labels: npt.ArrayLike,
    weights: np.ndarray,
    patients: pd.Series,
    seed: int,
) -> tuple[FittedModel, dict[str, Any]]:
    """Fit on the rows that have a weight.

    Signed log, median imputation, one-hot coding, scaling and selection are fitted on the rows with a weight
    and applied to the others. `hist_boosting` imputes nothing: its trees send missing numbers to one side.

    Args:
        kind: a value of `model.kind` but network.
        settings: the group `baseline`.
        columns: what `table_columns` gives, N rows; of no_conversion the target's one.
        labels: 1, 0 or NaN, (N,); read only where there is a weight.
        weights: of the rows to fit on, 0 elsewhere, (N,), from `training_weights`.
        patients: of each row, (N,).
        seed: of whatever is random.

    Returns:
        The model, and in words and plain lists what was fitted.

    Raises:
        InputError: fewer than two classes, or for `svm` fewer than two patients of a class, to fit on.
    """
    rows = np.flatnonzero(weights)
    y, w, owners = np.asarray(labels)[rows].astype(int), weights[rows], patients.iloc[rows].to_numpy()
    smaller = min(len(set(owners[y == value])) for value in (0, 1))
    least = 2 if kind == "svm" else 1
    if smaller < least:
        problem = f"training patients of the rarer class: {smaller}, and {kind} needs {least}"
        remedy = "leave the target out of task.targets, or use fewer folds"
        raise InputError(Problem("labels", problem, remedy))
    if kind == "no_conversion":
        described = unconverted(columns.iloc[:, 0], labels, patients, rows)
        content = {"form": "primary", "column": columns.columns[0], **described}
        return FittedModel(content, {}), described
    inside = columns.iloc[rows]
    fitted = _fit(kind, settings, inside, y, w, seed)
    described = {"patients": len(set(owners)), "lesions": len(rows), **_describe(fitted)}
    read = _read_as(kind, inside)
    if kind != "svm":
        return fitted_model(fitted, read), described
    decisions = np.empty(len(rows))
    fold = stratified_folds(owners, y, min(INNER, smaller), np.random.default_rng(seed))
    for number in np.unique(fold):
        out = fold == number
        inner = _fit(kind, settings, inside[~out], y[~out], w[~out], seed)
        decisions[out] = inner.decision_function(inside[out])
    sigmoid = _sigmoid(decisions, y, w)
    return fitted_model(fitted, read, sigmoid), {**described, "sigmoid": list(sigmoid)}


def _read_as(kind: str, columns: pd.DataFrame) -> dict[str, list[str]]:
    """The columns that are text (`kinds`), numbers that may be missing (`native`), and other numbers."""
    names = [str(name) for name in columns]
    kinds = [name for name in names if not is_numeric_dtype(columns[name])]
    # Native boosting, too, makes nothing of a column without a number.
    native = [name for name in names if kind == NATIVE and columns[name].notna().any() and name not in kinds]
    numbers = [name for name in names if name not in (*kinds, *native)]
    return {"native": native, "numbers": numbers, "kinds": kinds}


def _fit(
    kind: str, settings: Baseline, columns: pd.DataFrame, y: np.ndarray, w: np.ndarray, seed: int
) -> Pipeline:
    read = _read_as(kind, columns)
    logs = FunctionTransformer(signed_log, feature_names_out="one-to-one")
    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    encode = ColumnTransformer(
        [
            ("native", logs, read["native"]),
            ("numbers", make_pipeline(logs, filled), read["numbers"]),
            ("kinds", OneHotEncoder(handle_unknown="ignore", sparse_output=False), read["kinds"]),
        ],
        verbose_feature_names_out=False,
    )
    steps = [("encode", encode), ("scale", StandardScaler()), ("select", MostCorrelated(settings.selected))]
    pipeline = Pipeline([*steps, ("model", _model(kind, settings, len(columns), seed))])
    with np.errstate(invalid="ignore"):  # the weighted variance of a constant can come out just below 0
        return pipeline.fit(
            columns, y, scale__sample_weight=w, select__sample_weight=w, model__sample_weight=w
        )


def _model(kind: str, settings: Baseline, lesions: int, seed: int) -> BaseEstimator:
    """The model of a kind, to be fitted on so many lesions."""
    if kind == "logistic_l1":
        return LogisticRegression(
            C=settings.strength, l1_ratio=1, solver="liblinear", max_iter=1000, random_state=seed
        )
    if kind == "logistic_l2":
        return LogisticRegression(C=settings.strength, max_iter=1000)
    if kind == "svm":
        return SVC(C=settings.strength)
    if kind == "forest":
        return RandomForestClassifier(
            settings.trees, min_weight_fraction_leaf=settings.leaf, random_state=seed
        )
    if kind == "boosting":
        return GradientBoostingClassifier(
            n_estimators=settings.trees,
            learning_rate=0.05,
            subsample=0.5,
            min_weight_fraction_leaf=settings.leaf,
            random_state=seed,
        )
    if kind == NATIVE:
        return HistGradientBoostingClassifier(
            max_iter=settings.trees,
            learning_rate=0.05,
            min_samples_leaf=max(1, round(settings.leaf * lesions)),
            early_stopping=False,  # it would hold lesions back, also of patients that it trains on
        )
    return DummyClassifier(strategy="prior")


def _sigmoid(decisions: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """Slope and intercept from decisions to logits (Platt, 1999); the slope never turns the order round."""
    sigmoid = LogisticRegression(C=1e3).fit(decisions[:, None], y, sample_weight=w)
    return max(float(sigmoid.coef_[0, 0]), 1e-3), float(sigmoid.intercept_[0])


def _describe(fitted: Pipeline) -> dict[str, Any]:
    """The columns kept, their mean and scale after the signed log, the others, and what is made of them."""
    selected, model, scale = fitted["select"].get_support(), fitted["model"], fitted["scale"]
    names = fitted[:-2].get_feature_names_out()
    described = {
        "columns": names[selected].tolist(),
        "left_out": names[~selected].tolist(),
        "mean": scale.mean_[selected].tolist(),
        "scale": scale.scale_[selected].tolist(),
    }
    if isinstance(model, LogisticRegression):
        return {**described, "coefficients": model.coef_[0].tolist(), "intercept": float(model.intercept_[0])}
    if isinstance(model, SVC):
        return {**described, "support_vectors": int(model.n_support_.sum())}
    if isinstance(model, DummyClassifier):
        return {"prevalence": float(model.class_prior_[1])}
    if isinstance(model, HistGradientBoostingClassifier):
        return {**described, "trees": model.n_iter_}
    return {**described, "importances": model.feature_importances_.tolist()}
