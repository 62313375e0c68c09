"""Which sampler is best with few trials: `python tests/benchmarks/samplers.py [seeds=N] [repeats=N] [...]`.

A cohort a seed, tables only: every setting of a grid of traditional models is trained on inner folds of all
patients, once. Samplers then draw from the recorded grid, several times each, first the experiment as it is,
as a sweep does. A line a sampler: how far the best mean AUROC of inner folds after 10, 20 and 40 trials is
below that of the whole grid, the mean of all draws with its standard error over cohorts, and seconds of CPU a
draw. TPE and GP draw their first ten at random. Further words go to the experiment.
"""

import itertools
import math
import sys
import time

import numpy as np
import optuna
import pandas as pd
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from rich.console import Console
from threadpoolctl import threadpool_limits

from bcbm.baselines.columns import table_columns
from bcbm.baselines.folds import predict_targets
from bcbm.cohort.splits import split_as
from bcbm.config.compose import compose, override
from bcbm.preparation.prepare import prepare
from bcbm.search.objective import FINAL, measures
from bcbm.search.plan import Plan
from bcbm.search.space import Parameter, Settings, suggest
from bcbm.statistics.metrics import auroc

BUDGETS = (10, 20, 40)
STRENGTHS = np.geomspace(1e-3, 10, 9)
SELECTED = range(5, 86, 10)
KINDS = ("logistic_l2", "logistic_l1")
SPACE = (
    Parameter("model.kind", CategoricalDistribution(KINDS), {}),
    Parameter("baseline.strength", FloatDistribution(STRENGTHS[0], STRENGTHS[-1], log=True), {}),
    Parameter("baseline.selected", IntDistribution(SELECTED[0], SELECTED[-1], step=10), {}),
)
WORDS = ["task.modalities=[radiomics,position]", "cohort.synthetic.images=false", "tracking=csv"]
Place = tuple[str, int, int]


def recorded(words: list[str]) -> dict[Place, float]:
    """The mean AUROC over inner folds at every place of the grid."""
    config = compose([*WORDS, *words])
    lesions = prepare(config, Console(quiet=True))
    measure = measures(config, lesions, split_as(lesions.table, config), ("auroc",), 1)[FINAL]
    table, data = lesions.entering, lesions.data(config)
    folds = []
    for number in range(len(measure.split.folds)):
        parts = measure.split.rows(table, number)
        train = np.sort(np.concatenate([parts["train"], parts["validation"]]))
        folds.append((number, table_columns(data, train), train, parts["test"]))
    surface = {}
    for kind, strength, selected in itertools.product(KINDS, range(len(STRENGTHS)), SELECTED):
        settings = {"model.kind": kind, "baseline.strength": float(STRENGTHS[strength])}
        tried = override(config, {**settings, "baseline.selected": selected})
        tables = [
            predict_targets(tried, columns, table, train, test, number, 0)[0]
            for number, columns, train, test in folds
        ]
        surface[kind, strength, selected] = _mean_auroc(table, pd.concat(tables), config.task.targets)
    return surface


def _mean_auroc(table: pd.DataFrame, predicted: pd.DataFrame, targets: list[str]) -> float:
    """Over targets, of patients: the mean of their lesions' probabilities against any positive lesion."""
    owners = table.loc[predicted["row"], "patient_id"].to_numpy()
    labels = table.loc[predicted["row"], targets].groupby(owners).max()
    scores = predicted[targets].groupby(owners).mean()
    known = {name: labels[name].notna() for name in targets}
    return float(np.mean([auroc(labels[n][known[n]], scores[n][known[n]]) for n in targets]))


def place(settings: Settings) -> Place:
    """Where settings lie on the grid."""
    nearest = int(np.argmin(np.abs(np.log(STRENGTHS) - math.log(settings["baseline.strength"]))))
    return settings["model.kind"], nearest, settings["baseline.selected"]


def course(kind: str, seed: int, surface: dict[Place, float]) -> list[float]:
    """What each trial of a study finds."""
    plan = Plan("samplers", compose(), SPACE, max(BUDGETS), None, ("auroc",), {"kind": kind, "seed": seed})
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"model.kind": KINDS[0], "baseline.strength": 1.0, "baseline.selected": 25})
    for number in range(max(BUDGETS)):
        trial = study.ask()
        study.sampler = plan.make_sampler(number)
        study.tell(trial, surface[place(suggest(trial, SPACE))])
    return [trial.values[0] for trial in study.get_trials(deepcopy=False)]


def main() -> None:
    """Record once a seed, draw, print."""
    own = {"seeds": 5, "repeats": 4}
    for word in sys.argv[1:]:
        if word.partition("=")[0] in own:
            own[word.partition("=")[0]] = int(word.partition("=")[2])
    words = [word for word in sys.argv[1:] if word.partition("=")[0] not in own]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        surfaces = [recorded([f"cohort.synthetic.seed={seed}", *words]) for seed in range(own["seeds"])]
        best = [max(surface.values()) for surface in surfaces]
        spread = ", ".join(f"{max(s.values()):.3f} ({np.median(list(s.values())):.3f})" for s in surfaces)
        print(f"best (median) of {len(surfaces[0])} settings, a cohort each: {spread}")
        for kind in ("tpe", "gp", "random"):
            began = time.process_time()
            below = np.array(
                [
                    [
                        [max(values[:budget]) - best[number] for budget in BUDGETS]
                        for repeat in range(own["repeats"])
                        if (values := course(kind, 100 * number + repeat, surface))
                    ]
                    for number, surface in enumerate(surfaces)
                ]
            )  # (cohorts, repeats, budgets)
            seconds = (time.process_time() - began) / (below.shape[0] * below.shape[1] * max(BUDGETS))
            cohorts = below.mean(axis=1)
            errors = cohorts.std(axis=0, ddof=1) / math.sqrt(len(cohorts))
            line = ", ".join(
                f"{budget} trials {value:+.4f} ({error:.4f})"
                for budget, value, error in zip(BUDGETS, cohorts.mean(axis=0), errors, strict=True)
            )
            print(f"{kind:<7} {line}; {seconds:.3f} s a draw")


if __name__ == "__main__":
    main()
