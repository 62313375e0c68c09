"""How far the inputs of a cohort lie from those that a model was trained on, and from another cohort's."""

from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from bcbm.baselines.columns import table_columns
from bcbm.baselines.models import fit_model, training_weights
from bcbm.cohort.near import signed_log
from bcbm.cohort.splits import stratified_folds
from bcbm.config.schema.training import Baseline
from bcbm.features.radiomics import FEATURES
from bcbm.modalities import MODALITIES
from bcbm.modalities.tables import AbsentColumns
from bcbm.statistics.area import contrast, cross_validated_area
from bcbm.statistics.shift import kinds_apart, outside_range, standardised_differences
from bcbm.validation.cohorts import FrozenCohort

FOLDS = 5
MIDDLE = slice(0, None, 4)  # of the model's quantiles, the 5th and the 95th of a hundred


class Shift(TypedDict):
    """A cohort against what is told of the training lesions of its model.

    Of radiomics, the most shifted first: `feature`, standardised `difference` of signed logs, and the share
    of lesions `outside` the middle 90 % of the training's. `volume`: median of both and that share.
    `kinds`: patients of each kind in training and here, and how far `apart` they are.
    """

    radiomics: list[dict[str, Any]]
    volume: dict[str, float]
    kinds: list[dict[str, Any]]


def training_shift(cohort: FrozenCohort) -> Shift:
    """The shift of every input that there is a summary of in training; lesions weigh the same, as there."""
    entering, training = cohort.lesions.entering, cohort.training
    low, high = training["volume"][MIDDLE]
    volume = entering["volume"].dropna().to_numpy()
    kinds = []
    for column, counts in training["acquisition"].items():
        own = entering.get(column, pd.Series("", entering.index)).groupby(entering["patient_id"]).first()
        here = {str(kind): int(count) for kind, count in own.astype(str).value_counts().items()}
        known = [{kind: n for kind, n in side.items() if kind not in ("", "nan")} for side in (counts, here)]
        kinds.append(
            {
                "column": column,
                "training": known[0],
                "here": known[1],
                "apart": kinds_apart(known[0], known[1]),
            }
        )
    rows: list[dict[str, Any]] = []
    ranges = cohort.ranges
    if "mean" in ranges and "radiomics" in cohort.lesions.values:
        logs = signed_log(cohort.lesions.values["radiomics"])
        logs = logs[np.isfinite(logs).all(axis=1)]
    else:
        logs = np.empty((0, len(FEATURES)))
    if len(logs) > 1:
        difference = standardised_differences(
            ranges["mean"], np.diag(ranges["covariance"]), logs.mean(axis=0), logs.var(axis=0, ddof=1)
        )
        beyond = outside_range(logs, *ranges["quantiles"][MIDDLE])
        table = pd.DataFrame({"feature": FEATURES, "difference": difference, "outside": beyond})
        order = table["difference"].abs().sort_values(ascending=False, kind="stable").index
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.loc[order].to_numpy(object)]
    return {
        "radiomics": rows,
        "volume": {
            "training": float(training["volume"][len(training["volume"]) // 2]),
            "here": float(np.median(volume)) if len(volume) else float("nan"),
            "outside": float(outside_range(volume[:, None], low, high)[0]) if len(volume) else float("nan"),
        },
        "kinds": kinds,
    }


def cohorts_told_apart(cohorts: list[FrozenCohort]) -> list[dict[str, Any]]:
    """The AUROC over patients of a classifier that tells each two cohorts apart by the tables of the model.

    Logistic regression, cross-validated over patients; 0.5: nothing tells them apart, 1: whatever a model
    learnt of one, it meets other lesions in the other.

    Returns:
        `first`, `second`, AUROC with its interval; none where the model reads no table.
    """
    results = []
    for first, second in combinations(cohorts, 2):
        columns = pd.concat([_columns(first), _columns(second)], ignore_index=True)
        if not columns.shape[1]:
            continue
        counts = [len(cohort.lesions.entering) for cohort in (first, second)]
        patients = pd.concat(
            [
                f"{number} " + cohort.lesions.entering["patient_id"]
                for number, cohort in enumerate((first, second))
            ],
            ignore_index=True,
        )
        label = np.repeat([0.0, 1.0], counts)
        fold = stratified_folds(patients, label, FOLDS, np.random.default_rng(0))
        rows = pd.DataFrame({"patient_id": patients, "label": label, "fold": fold, "repeat": 0})
        for number in range(FOLDS):
            train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            weights = training_weights(label, patients, train, even=False, class_weights=True)
            fitted, _ = fit_model("logistic_l2", Baseline(), columns, label, weights, patients, 0)
            rows.loc[test, "probability"] = fitted.predict(columns.iloc[test])
        by_patient = rows.groupby(["repeat", "fold", "patient_id"], as_index=False).mean()
        area = contrast([cross_validated_area(by_patient)], [1.0], 0.5)
        ends = {"auroc": area.estimate, "auroc_low": area.low, "auroc_high": area.high}
        results.append({"first": first.name, "second": second.name, **ends})
    return results


def _columns(cohort: FrozenCohort) -> pd.DataFrame:
    """The tables that a model reads of a cohort, N rows, but those that it has not; images are none."""
    task = cohort.config.task
    columns = [pd.DataFrame(index=range(len(cohort.lesions.entering)))]
    for name in (name for name in task.modalities if MODALITIES[name].tabular):
        config = replace(cohort.config, task=replace(task, modalities=[name]))
        with suppress(AbsentColumns):
            columns.append(table_columns(cohort.lesions.data(config)).reset_index(drop=True))
    return pd.concat(columns, axis=1)
