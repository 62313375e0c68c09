"""A cohort as a frozen model meets it: its predictions beside its labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import pandas as pd
from rich.console import Console

from bcbm.cohort.patient_labels import patient_labels
from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem
from bcbm.prediction.model import TrainedModel
from bcbm.prediction.overlap import trained_on
from bcbm.prediction.predict import predicted, prediction_rows, prepared
from bcbm.preparation.lesions import Lesions
from bcbm.statistics.metrics import patient_level
from bcbm.system.words import counted
from bcbm.terminal.words import listed

SHOWN = 3  # patients that a refusal names


@dataclass(frozen=True)
class FrozenCohort:
    """A cohort and what a model says of it.

    Attributes:
        name: what it is called.
        config: the model's, with the cohort in it.
        lesions: prepared as the model's own were.
        table: predictions of patients and of lesions, see `prediction_rows`.
        labels: of patients, a column a target, 1, 0 or NaN.
    """

    name: str
    config: Config
    lesions: Lesions
    table: pd.DataFrame
    labels: pd.DataFrame

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The same as a run writes them: one fold, one repeat, a row a lesion and target."""
        rows = self.table[self.table["reason"] == ""]
        patients = rows[rows["level"] == "patient"].set_index(["target", "patient_id"])
        lesions = rows[rows["level"] == "lesion"]
        owners = pd.MultiIndex.from_frame(lesions[["target", "patient_id"]])
        own = self.lesions.entering.set_index("lesion_id")[list(self.labels)].stack(future_stack=True)
        keys = pd.MultiIndex.from_frame(lesions[["lesion_id", "target"]])
        return pd.DataFrame(
            {
                "lesion_id": lesions["lesion_id"].to_numpy(),
                "patient_id": lesions["patient_id"].to_numpy(),
                "fold": 0,
                "repeat": 0,
                "target": lesions["target"].to_numpy(),
                "probability": lesions["probability"].to_numpy(),
                "patient_probability": patients["probability"].loc[owners].to_numpy(),
                "threshold": lesions["threshold"].to_numpy(),
                "label": own.loc[keys].to_numpy(float),
                "split_hash": self.lesions.cohort,  # none was divided: all are of the cohort of this content
            }
        )

    @cached_property
    def patients(self) -> pd.DataFrame:
        """The same of patients, see `patient_level`."""
        return patient_level(self.predictions)

    def sets(self, target: str) -> pd.Series:
        """The conformal set of every patient, by id."""
        rows = self.table[(self.table["level"] == "patient") & (self.table["target"] == target)]
        return rows.set_index("patient_id")["set"]


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
    return FrozenCohort(name, config, lesions, table, labels)


def require_apart(cohorts: Sequence[FrozenCohort]) -> None:
    """Refuse cohorts that hold the same lesions: they are no two samples.

    Raises:
        InputError: naming the cohorts and how many lesions.
    """
    problems = []
    for first, second in combinations(cohorts, 2):
        one, other = (cohort.lesions.entering for cohort in (first, second))
        if shared := one.loc[one["content"].isin(other["content"]), "patient_id"].nunique():
            found = f"hold the same lesions of {counted(shared, 'patient')}, by their content"
            remedy = "give each patient once, or leave them out of one by cohort.exclude"
            problems.append(Problem(f"{first.name} and {second.name}", found, remedy))
    if problems:
        raise InputError(*problems)


def _require_strangers(lesions: Lesions, known: pd.Series, name: str) -> None:
    """Refuse a cohort that the model was trained on, also in part: its figures would be too good."""
    seen = known != ""
    patients = lesions.entering.loc[seen, "patient_id"].drop_duplicates().astype(str).tolist()
    if patients:
        found = f"the model was trained on {counted(int(seen.sum()), 'lesion')} of "
        found += f"{counted(len(patients), 'patient')} of it, by their content: {listed(patients, SHOWN)}"
        remedy = "test on other patients, or leave these out with cohort.exclude=FILE (patient, reason)"
        raise InputError(Problem(name, found, remedy))
