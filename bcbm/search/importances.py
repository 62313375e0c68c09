"""Which parameters decide what a trial is worth."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from optuna import Study, create_study
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bcbm.report.pages.search import LEAST
from bcbm.search.objective import FINAL
from bcbm.search.results import SweepResult

SAMPLES = 50  # of the bootstrap
UNKNOWN = (math.nan, math.nan)


def importances(sweep: SweepResult) -> pd.DataFrame:
    """One row a study and parameter: its share of the importance for the first objective, and its spread.

    A study with few finished trials, or whose trials are all worth the same, has none.

    Returns:
        Columns study, parameter, share, and low and high: nine in ten bootstrap samples of the final study's
        trials have a share between them. NaN of a fold, beside which the other folds stand.
    """
    rows: list[tuple[str, str, float, float, float]] = []
    for name, study in sweep.studies.items():
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < LEAST:
            continue
        shares = _shares(study)
        spread = _spread(complete, list(study.directions), list(shares)) if name == FINAL and shares else {}
        rows += [(name, key, share, *spread.get(key, UNKNOWN)) for key, share in shares.items()]
    return pd.DataFrame(rows, columns=["study", "parameter", "share", "low", "high"])


def _spread(
    trials: Sequence[FrozenTrial], directions: list[StudyDirection], parameters: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """The 5th and the 95th percentile of each parameter's share over bootstrap samples of the trials."""
    random = np.random.default_rng(0)
    samples = []
    for _ in range(SAMPLES):
        study = create_study(directions=directions)
        study.add_trials([trials[row] for row in random.integers(0, len(trials), len(trials))])
        if shares := _shares(study):
            samples.append([shares.get(name, 0.0) for name in parameters])
    if not samples:
        return {}
    low, high = np.quantile(samples, (0.05, 0.95), axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(parameters, low, high, strict=True)}


def _shares(study: Study) -> dict[str, float]:
    """The importance of each parameter as a share of all; none where all trials are worth the same."""
    if (
        len({trial.values[0] for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))})
        < 2
    ):
        return {}
    sign = -1.0 if study.directions[0].name == "MAXIMIZE" else 1.0

    def target(trial: FrozenTrial) -> float:
        return sign * float(trial.values[0])

    with warnings.catch_warnings():  # of few trials, which the page says too, and of the target's direction
        warnings.simplefilter("ignore", UserWarning)
        raw = PedAnovaImportanceEvaluator().evaluate(study, target=target)
    total = sum(raw.values())
    return {name: value / total for name, value in raw.items()} if total > 0 else {}
