"""Bootstrap over patients against a loop over scikit-learn: `python tests/benchmarks/bootstrap.py`.

2,000 resamples of 110 patients who own 2,800 lesions, a few of them most, for three targets, with tied
scores: the average precisions of all resamples at once, and `average_precision_score` on the drawn rows of
one resample after the other. The loop takes every 20th resample and its time is multiplied by 20; the ways
take turns and the medians of the rounds are compared, in seconds of CPU. Drawing counts is part of our time,
not of the loop's. Both ways must give the same numbers.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from statistics import median

import numpy as np
from sklearn.metrics import average_precision_score

from bcbm.statistics.resampling import resampled_auprcs, resampled_counts

ROUNDS, RESAMPLES, SHARE, RECEPTORS, PATIENTS, LESIONS = 7, 2000, 20, 3, 110, 2800

rng = np.random.default_rng(0)
share = rng.dirichlet(np.full(PATIENTS, 0.2))
owner = np.r_[np.arange(PATIENTS), rng.choice(PATIENTS, LESIONS - PATIENTS, p=share)]
labels = [rng.permutation(np.arange(PATIENTS) % 3 == 0)[owner].astype(float) for _ in range(RECEPTORS)]
scores = [(0.5 + 0.1 * label + rng.normal(0, 0.2, LESIONS)).clip(0, 1).round(3) for label in labels]
pairs = list(zip(labels, scores, strict=True))
ours, loops, apart = [], [], []
for turn in range(ROUNDS):
    start = time.process_time()
    counts = resampled_counts(np.random.default_rng(turn), PATIENTS, RESAMPLES)
    at_once = np.array([resampled_auprcs(*pair, owner, counts, np.zeros(LESIONS)) for pair in pairs])
    ours.append(time.process_time() - start)

    start = time.process_time()
    expected = np.empty((RECEPTORS, RESAMPLES // SHARE))
    for target, (label, score) in enumerate(pairs):
        for number, drawn in enumerate(counts[::SHARE]):
            rows = np.repeat(np.arange(LESIONS), drawn[owner])
            expected[target, number] = average_precision_score(label[rows], score[rows])
    loops.append((time.process_time() - start) * SHARE)
    apart.append(np.abs(at_once[:, ::SHARE] - expected).max())
ratio = median(loops) / median(ours)
print(f"AUPRC: at once {median(ours):.3f} s, loop {median(loops):.1f} s, {ratio:.0f} times as fast")
assert max(apart) < 1e-12
