"""Bootstrap over patients against a loop over scikit-learn: `python tests/benchmarks/bootstrap.py`.

2,000 resamples of 110 patients who own 2,800 lesions, a few of them most, for three targets, with tied
scores: the AUROCs of all resamples at once, and `roc_auc_score` on the drawn rows of one resample after the
other; so too the AUPRC. The loop takes every 20th resample and its time is multiplied by 20; the ways take
turns and the medians of the rounds are compared. Drawing counts is part of our time, not of the loop's. Both
ways must give the same numbers.
"""

import time
from statistics import median

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from bcbm.statistics.resampling import resampled_auprcs, resampled_aurocs, resampled_counts

ROUNDS, RESAMPLES, SHARE, RECEPTORS, PATIENTS, LESIONS = 7, 2000, 20, 3, 110, 2800

rng = np.random.default_rng(0)
share = rng.dirichlet(np.full(PATIENTS, 0.2))
owner = np.r_[np.arange(PATIENTS), rng.choice(PATIENTS, LESIONS - PATIENTS, p=share)]
labels = [rng.permutation(np.arange(PATIENTS) % 3 == 0)[owner].astype(float) for _ in range(RECEPTORS)]
scores = [(0.5 + 0.1 * label + rng.normal(0, 0.2, LESIONS)).clip(0, 1).round(3) for label in labels]
one_repeat = np.zeros(LESIONS)
ways = {"AUROC": (resampled_aurocs, roc_auc_score), "AUPRC": (resampled_auprcs, average_precision_score)}
for name, (at_once, one_by_one) in ways.items():
    ours, loops, apart = [], [], []
    for turn in range(ROUNDS):
        start = time.perf_counter()
        counts = resampled_counts(np.random.default_rng(turn), PATIENTS, RESAMPLES)
        pairs = list(zip(labels, scores, strict=True))
        found = [at_once(*pair, owner, counts, one_repeat) for pair in pairs]
        ours.append(time.perf_counter() - start)

        start = time.perf_counter()
        expected = np.empty((RECEPTORS, RESAMPLES // SHARE))
        for target, (label, score) in enumerate(pairs):
            for number, drawn in enumerate(counts[::SHARE]):
                rows = np.repeat(np.arange(LESIONS), drawn[owner])
                expected[target, number] = one_by_one(label[rows], score[rows])
        loops.append((time.perf_counter() - start) * SHARE)
        apart.append(np.abs(np.array(found)[:, ::SHARE] - expected).max())
    print(f"{name}: at once {median(ours):.3f} s, loop {median(loops):.1f} s", end=", ")
    print(f"{median(loops) / median(ours):.0f} times as fast; largest difference {max(apart):.1e}")
    assert max(apart) < 1e-12
