"""How often the band of the ROC curve holds the whole curve: `python tests/benchmarks/roc_band.py [cohorts]`.

Cohorts of patients with normal scores, dealt to folds of which each ranks its own; the true curve is that of
the two normal distributions (binormal). Printed: the share of cohorts of which the whole curve, and of which
no more than each point, lies in the band, and the mean width of it.
"""

import sys

import numpy as np
import pandas as pd
from scipy.stats import norm

from bcbm.statistics.curves import roc_band

CELLS = [  # patients, share of positive ones, AUROC, folds
    (100, 0.4, 0.6, 5),
    (165, 0.3, 0.7, 5),
    (60, 0.4, 0.75, 5),
    (100, 0.4, 0.8, 5),
    (100, 0.4, 0.7, 1),
    (100, 0.4, 0.8, 1),
    (40, 0.3, 0.9, 1),
]
GRID, DRAWS = np.linspace(0, 1, 201), 500


def cohort(rng: np.random.Generator, patients: int, share: float, auroc: float, folds: int) -> pd.DataFrame:
    """Rows as `roc_band` takes them."""
    label = (np.arange(patients) < round(share * patients)).astype(float)
    score = rng.normal(np.sqrt(2) * norm.ppf(auroc) * label, 1)
    columns = {"fold": np.arange(patients) % folds, "label": label, "probability": score}
    return pd.DataFrame({"patient_id": np.arange(patients), **columns})


def main(cohorts: int) -> None:
    """A line a cell."""
    for cell in CELLS:
        rng, population = np.random.default_rng(0), norm.cdf(np.sqrt(2) * norm.ppf(cell[2]) + norm.ppf(GRID))
        bands = [roc_band(cohort(rng, *cell), GRID, DRAWS, seed)[1:] for seed in range(cohorts)]
        inside = np.array([(low <= population) & (population <= high) for low, high in bands])
        whole, width = inside.all(axis=1).mean(), np.mean([high - low for low, high in bands])
        print(f"{cell}: whole curve {whole:.3f}, point {inside.mean():.3f}, width {width:.2f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
