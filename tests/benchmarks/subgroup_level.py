"""How often the test of a difference between subgroups errs where there is none, with models fitted anew.

python tests/benchmarks/subgroup_level.py [COHORTS]

Cohorts of one lesion a patient, five folds, logistic regression on 8 of 20 columns chosen in the fold; the
subgroup has nothing to do with column or label. Prints the share of cohorts with p below 0.05.
"""

import sys

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from bcbm.statistics.subgroups import subgroup_tests

CELLS = [  # patients, shares of the levels, signal of 4 columns, prevalence
    (100, (0.5, 0.5), 0.0, 0.4),
    (100, (0.5, 0.5), 0.4, 0.4),
    (100, (0.25, 0.75), 0.4, 0.4),
    (165, (0.2, 0.2, 0.6), 0.4, 0.3),
    (60, (0.5, 0.5), 0.4, 0.5),
    (100, (0.5, 0.5), 0.8, 0.4),
]


def p_of_a_cohort(rng, patients, shares, signal, prevalence):
    """One simulated cross-validation."""
    label = (rng.random(patients) < prevalence).astype(float)
    columns = rng.normal(size=(patients, 20))
    columns[:, :4] += signal * label[:, None]
    fold = np.empty(patients, dtype=int)
    for value in (0, 1):
        members = rng.permutation(np.flatnonzero(label == value))
        fold[members] = np.arange(len(members)) % 5
    score = np.empty(patients)
    for number in range(5):
        test, train = fold == number, fold != number
        chosen = np.argsort(-np.abs((label[train] - label[train].mean()) @ columns[train]))[:8]
        model = LogisticRegression().fit(columns[train][:, chosen], label[train])
        score[test] = model.decision_function(columns[test][:, chosen])
    names = [f"{number:04d}" for number in range(patients)]
    rows = pd.DataFrame({"patient_id": names, "fold": fold, "probability": score, "label": label})
    level = pd.Series(rng.choice(list("abc")[: len(shares)], patients, p=shares), names, dtype="category")
    (test,) = subgroup_tests(rows.assign(repeat=0, target="ER"), level.to_frame("level"), ["ER"])
    return test["p"]


def main(cohorts):
    """Print a line a cell."""
    for cell in CELLS:
        rng = np.random.default_rng(0)
        p = np.array([p_of_a_cohort(rng, *cell) for _ in range(cohorts)])
        print(f"{cell}: {np.nanmean(p < 0.05):.3f} of {np.isfinite(p).sum()}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
