"""Which parameters decide what a trial is worth."""

import warnings

import pandas as pd
from optuna import Study
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from bcbm.report.pages.search import LEAST
from bcbm.search.results import SweepResult


def importances(sweep: SweepResult) -> pd.DataFrame:
    """One row a study and parameter: its share of the importance for the first objective.

    A study with few finished trials, or whose trials are all worth the same, has none.
    """
    rows = []
    for name, study in sweep.studies.items():
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) >= LEAST and len({trial.values[0] for trial in complete}) > 1:
            raw = _importances(study)
            total = sum(raw.values())
            rows += [(name, parameter, value / total) for parameter, value in raw.items() if total > 0]
    return pd.DataFrame(rows, columns=["study", "parameter", "share"])


def _importances(study: Study) -> dict[str, float]:
    sign = -1.0 if study.directions[0].name == "MAXIMIZE" else 1.0

    def target(trial: FrozenTrial) -> float:
        return sign * float(trial.values[0])

    with warnings.catch_warnings():  # of few trials, which the page says too, and of the target's direction
        warnings.simplefilter("ignore", UserWarning)
        return PedAnovaImportanceEvaluator().evaluate(study, target=target)
