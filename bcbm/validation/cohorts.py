"""A cohort as a frozen model meets it: its predictions beside its labels."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from bcbm.cohort.patient_labels import patient_labels
from bcbm.cohort.patients import in_common
from bcbm.config.schema import Config
from bcbm.errors import InputError, Note, Problem
from bcbm.prediction.model import TrainedModel
from bcbm.prediction.overlap import trained_on
from bcbm.prediction.predict import lacking_inputs, predicted, prediction_rows, prepared
from bcbm.preparation.lesions import Lesions
from bcbm.statistics.metrics import patient_level
from bcbm.system.words import counted, listed

SHOWN = 3  # patients that a refusal names


@dataclass(frozen=True)
class FrozenCohort:
    """A cohort and what a model says of it, that was trained on none of its patients.

    Attributes:
        name: what it is called.
        config: the model's, with the cohort in it.
        lesions: prepared as the model's own were.
        predictions: as a run writes them, a row a lesion and target; one fold, one repeat.
        labels: of patients, a column a target, 1, 0 or NaN.
        sets: by target the conformal set of every patient, by id; none where the model makes no sets.
        training: what the lesions were like that the model was trained on, see `described`.
        ranges: of these, see `ranges_of`.
        lacking: columns that the model reads and some lesions have not, in words.
    """

    name: str
    config: Config
    lesions: Lesions
    predictions: pd.DataFrame
    labels: pd.DataFrame
    sets: Mapping[str, pd.Series]
    training: Mapping[str, Any]
    ranges: Mapping[str, np.ndarray]
    lacking: Sequence[str]

    @cached_property
    def patients(self) -> pd.DataFrame:
        """The predictions of patients, see `patient_level`."""
        return patient_level(self.predictions)


def frozen_cohort(model: TrainedModel, config: Config, name: str, console: Console) -> FrozenCohort:
    """Prepare a cohort for a model and let it predict.

    Raises:
        InputError: the cohort cannot be prepared so, or the model was trained on some of it.
    """
    config, lesions = prepared(model, config, console, labels="known")
    known = trained_on(model, lesions)
    _require_strangers(lesions, known, name)
    entering, targets = lesions.entering, list(model.targets)
    labels = patient_labels(entering[targets], entering["patient_id"])
    members = predicted(model, config, lesions, console)
    table = prediction_rows(model, lesions, members, known, config.predict.coverage)
    patients = table[table["level"] == "patient"]
    sets = {
        target: patients.loc[patients["target"] == target].set_index("patient_id")["set"]
        for target in targets
    }
    predictions = _as_of_a_run(table, lesions, targets)
    lacking = lacking_inputs(model, config, lesions)
    return FrozenCohort(
        name, config, lesions, predictions, labels, sets, model.training, model.ranges, lacking
    )


def _as_of_a_run(table: pd.DataFrame, lesions: Lesions, targets: Sequence[str]) -> pd.DataFrame:
    """The predictions of lesions, see `prediction_rows`, with every column of a run's table."""
    rows = table[table["reason"] == ""]
    patients = rows[rows["level"] == "patient"].set_index(["target", "patient_id"])
    rows = rows[rows["level"] == "lesion"]
    owners = pd.MultiIndex.from_frame(rows[["target", "patient_id"]])
    own = lesions.entering.set_index("lesion_id")[list(targets)].stack(future_stack=True)
    keys = pd.MultiIndex.from_frame(rows[["lesion_id", "target"]])
    return pd.DataFrame(
        {
            "lesion_id": rows["lesion_id"].to_numpy(),
            "patient_id": rows["patient_id"].to_numpy(),
            "fold": 0,
            "repeat": 0,
            "target": rows["target"].to_numpy(),
            "probability": rows["probability"].to_numpy(),
            "patient_probability": patients["probability"].loc[owners].to_numpy(),
            "threshold": rows["threshold"].to_numpy(),
            "label": own.loc[keys].to_numpy(float),
            "split_hash": lesions.cohort,  # none was divided: all are of the cohort of this content
        }
    )


def require_apart(cohorts: Sequence[FrozenCohort]) -> None:
    """Refuse cohorts that hold the same lesions: they are no two samples.

    Raises:
        InputError: naming the cohorts and how many lesions.

    Warns:
        Note: of cohorts that have ids of patients in common, who may be the same people at another time.
    """
    problems = []
    for first, second in combinations(cohorts, 2):
        one, other = (cohort.lesions.entering for cohort in (first, second))
        if shared := one.loc[one["content"].isin(other["content"]), "patient_id"].nunique():
            found = f"hold the same lesions of {counted(shared, 'patient')}, by their content"
            remedy = "give each patient once, or leave them out of one by cohort.exclude"
            problems.append(Problem(f"{first.name} and {second.name}", found, remedy))
        if not shared and (common := in_common(one["patient_id"], other["patient_id"])):
            text = f"{first.name} and {second.name} have ids in common, of {counted(len(common), 'patient')}"
            text += f", such as {common[0]}: they count as others at each; if these are the same"
            warnings.warn(f"{text} people, leave them out of one by cohort.exclude", Note, stacklevel=2)
    if problems:
        raise InputError(*problems)


def _require_strangers(lesions: Lesions, known: pd.Series, name: str) -> None:
    """Refuse a cohort that the model was trained on, also in part: its figures would be too good."""
    seen = known != ""
    patients = lesions.entering.loc[seen, "patient_id"].drop_duplicates().astype(str).tolist()
    if patients:
        near = int((known == "near copy").sum())
        found = f"the model was trained on {counted(int(seen.sum()), 'lesion')} of "
        found += f"{counted(len(patients), 'patient')} of it, by their content"
        found += f" ({near} but for rounding or noise in their radiomics)" if near else ""
        found += f": {listed(patients, SHOWN)}"
        remedy = "test on other patients, or leave these out with cohort.exclude=FILE (patient, reason)"
        raise InputError(Problem(name, found, remedy))
