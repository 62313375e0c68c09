"""How often conformal sets hold the status of new patients, of each class, when everything is fitted anew.

    python tests/benchmarks/conformal.py [cohorts]

Cohorts of 120 patients are drawn and cross-validated by logistic regression, 5 folds; the models of the folds
then see 2,000 new patients, as `bcbm predict` has it; so does, in their place, one model of all patients, as
`bcbm export RUN refit=all` makes it. A row a prevalence and signal, and which of both: coverage of positive
and of negative patients (mean over cohorts, and the standard deviation), and the share of sets with one
status.
"""

import sys
from itertools import product

import numpy as np
from sklearn.linear_model import LogisticRegression

from bcbm.cohort.splits import stratified_folds
from bcbm.statistics.conformal import conformal_p, label_sets

PATIENTS, COLUMNS, FOLDS, NEW = 120, 12, 5, 2000
HOLDS = {1: ("positive", "undecided"), 0: ("negative", "undecided")}


def drawn(count, prevalence, signal, rng):
    """Columns and labels of patients; the first column tells the label."""
    labels = (rng.random(count) < prevalence).astype(int)
    columns = rng.normal(size=(count, COLUMNS))
    columns[:, 0] += signal * labels
    return columns, labels


def covered(prevalence, signal, coverage, refit, seed):
    """Shares of new positive and negative patients whose set holds their status; of sets with one status."""
    rng = np.random.default_rng(seed)
    columns, labels = drawn(PATIENTS, prevalence, signal, rng)
    fresh, truth = drawn(NEW, prevalence, signal, rng)
    folds = stratified_folds(np.arange(PATIENTS), labels, FOLDS, rng)
    of_all = LogisticRegression().fit(columns, labels)
    own, new = {1: [], 0: []}, {1: [], 0: []}
    for fold in range(FOLDS):
        inside = folds != fold
        fitted = LogisticRegression().fit(columns[inside], labels[inside])
        for label in (1, 0):
            tested = ~inside & (labels == label)
            own[label].append(1 - fitted.predict_proba(columns[tested])[:, label])
            new[label].append(1 - (of_all if refit else fitted).predict_proba(fresh)[:, label])
    p = {label: conformal_p(own[label], new[label]) for label in (1, 0)}
    sets = np.array(label_sets(p[1], p[0], coverage))
    shares = [np.isin(sets[truth == label], HOLDS[label]).mean() for label in (1, 0)]
    return [*shares, np.isin(sets, ["positive", "negative"]).mean()]


def main():
    """Print the table."""
    cohorts = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"{cohorts} cohorts of {PATIENTS} patients, {FOLDS} folds")
    print("asked  prevalence  signal  model     positive       negative       one status")
    settings = ((0.5, 0.0), (0.5, 1.5), (0.25, 1.5), (0.25, 3.0))
    for coverage, (prevalence, signal), refit in product((0.8, 0.9), settings, (False, True)):
        rows = np.array([covered(prevalence, signal, coverage, refit, seed) for seed in range(cohorts)])
        (plus, minus, single), spread = rows.mean(axis=0), rows.std(axis=0)
        model = "of all" if refit else "of folds"
        text = f"{coverage:<6} {prevalence:<11} {signal:<7} {model:<9} {plus:.3f} ± {spread[0]:.3f}  "
        print(f"{text}{minus:.3f} ± {spread[1]:.3f}  {single:.2f}")


if __name__ == "__main__":
    main()
