"""What intervals of a frozen model cover on other patients: `python tests/benchmarks/frozen.py [cohorts]`.

A model stands still: its scores are normal in both classes, its probabilities are too high and its slope is
2/3, so that true AUROC, Brier score, calibration and decisions are known. So many cohorts of 40, 100 and 165
patients are drawn of each prevalence and AUROC, and each candidate says where the true value lies:

- AUROC: score (`bcbm.statistics.area`), DeLong on the plain scale and on the logit, percentile, accelerated.
- average precision, Brier score, scaled Brier score, log loss: percentile and accelerated bootstrap.
- calibration in the large: Wald, score test; slope: Wald, likelihood ratio.
- sensitivity, specificity, PPV, NPV at the frozen threshold: Wilson.
- the difference of two models' AUROC on the same patients: DeLong, score, percentile, accelerated.

Writes `docs/explanation/coverage-frozen.md`; 300 cohorts a cell take about four minutes of one core.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy import special
from scipy.stats import norm

from bcbm.statistics.area import TWO_SIDED, contrast, cross_validated_area, placements
from bcbm.statistics.calibration import calibration
from bcbm.statistics.frozen import (
    accelerated_interval,
    delong_difference,
    intercept_interval,
    mean_under,
    ratio_under,
    slope_interval,
    squares,
    surprises,
)
from bcbm.statistics.metrics import auprc, auroc, brier, weighted_aurocs
from bcbm.statistics.operating import SHARES, operating_point, wilson_intervals
from bcbm.statistics.probabilities import log_loss
from bcbm.statistics.resampling import percentile_interval, resampled_auprcs, resampled_counts

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "coverage-frozen.md"
CELLS = [(n, a, f) for n in (40, 100, 165) for a in (0.5, 0.7, 0.9) for f in (0.3, 0.5)]
RESAMPLES, STEEP, SHIFT, THRESHOLD = 500, 1.5, 0.4, 0.45
CHUNK = 25  # cohorts that a process draws at once
ALIKE = 0.7  # correlation of two models' scores inside a class


def drawn(patients, area, prevalence, rng):
    """Patients of a cohort: label, probability of the model, score of another one, training prevalence."""
    labels = (rng.random(patients) < prevalence).astype(float)
    distance = np.sqrt(2) * norm.ppf(area)
    noise = rng.multivariate_normal([0, 0], [[1, ALIKE], [ALIKE, 1]], patients, method="cholesky")
    score, other = (distance * labels[:, None] + noise).T
    linear = special.logit(prevalence) + (distance or 1.0) * (score - distance / 2)
    probability = special.expit(STEEP * linear + SHIFT)
    names = np.arange(patients)
    rows = pd.DataFrame({"patient_id": names, "label": labels, "probability": probability})
    return rows.assign(other=other, prevalence=0.45, repeat=0, fold=0)


def truths(area, prevalence):
    """The true figures, of so many patients that chance is gone."""
    rows = drawn(2_000_000, area, prevalence, np.random.default_rng(1))
    labels, p = rows["label"], rows["probability"]
    reference = brier(labels, rows["prevalence"])
    slope, intercept = calibration(labels, p)
    return {
        **operating_point(labels, p >= THRESHOLD),
        "AUROC": area,
        "average precision": auprc(labels, p),
        "Brier score": brier(labels, p),
        "scaled Brier score": 1 - brier(labels, p) / reference,
        "log loss": log_loss(labels, p),
        "calibration in the large": intercept,
        "calibration slope": slope,
        "difference of AUROC": 0.0,
    }


def intervals(rows, seed):
    """By figure and method, the ends of each interval."""
    labels, p, count = rows["label"].to_numpy(), rows["probability"].to_numpy(), len(rows)
    counts = resampled_counts(np.random.default_rng(seed), count, RESAMPLES).astype(float)
    own = np.arange(count)
    statistics = {
        "AUROC": lambda w: weighted_aurocs(labels, p, w),
        "average precision": lambda w: resampled_auprcs(labels, p, own, w, np.zeros(count)),
        "Brier score": mean_under(squares(rows)),
        "scaled Brier score": ratio_under(squares(rows), squares(rows, "prevalence")),
        "log loss": mean_under(surprises(rows)),
        "difference of AUROC": lambda w: (
            weighted_aurocs(labels, p, w) - weighted_aurocs(labels, rows["other"], w)
        ),
    }
    ends = {}
    for name, statistic in statistics.items():
        ends[name, "percentile"] = percentile_interval(statistic(counts))
        ends[name, "accelerated"] = accelerated_interval(statistic, count, RESAMPLES, seed)
    area, other = cross_validated_area(rows), cross_validated_area(rows.assign(probability=rows["other"]))
    tested = contrast([area], [1.0], 0.5)
    ends["AUROC", "score"] = tested.low, tested.high
    ends["AUROC", "DeLong"], ends["AUROC", "DeLong, logit"] = delong(labels, p)
    paired = contrast([area, other], [1.0, -1.0], 0.0)
    ends["difference of AUROC", "score"] = paired.low, paired.high
    test = delong_difference(labels, p, rows["other"])
    ends["difference of AUROC", "DeLong"] = test["low"], test["high"]
    slope, intercept = calibration(labels, p)
    ends["calibration in the large", "Wald"] = wald_intercept(p, intercept)
    ends["calibration in the large", "score"] = intercept_interval(labels, p)
    ends["calibration slope", "Wald"] = wald_slope(labels, p, slope)
    ends["calibration slope", "likelihood ratio"] = slope_interval(labels, p)
    wilson = wilson_intervals(labels, p >= THRESHOLD, rows["repeat"])
    return ends | {(name, "Wilson"): wilson[name] for name in SHARES}


def delong(labels, p):
    """The interval of DeLong (1988), plain and on the logit."""
    place, positive = placements(labels, p), labels == 1
    area = auroc(labels, p)
    error = np.sqrt(sum(place[rows].var(ddof=1) / rows.sum() for rows in (positive, ~positive)))
    inside = np.clip(area, 1e-3, 1 - 1e-3)
    half = TWO_SIDED * error / (inside * (1 - inside))
    plain = area - TWO_SIDED * error, area + TWO_SIDED * error
    return plain, tuple(special.expit(special.logit(inside) + np.array([-half, half])))


def wald_intercept(p, intercept):
    """From the information at the estimate."""
    fitted = special.expit(special.logit(p) + intercept)
    half = TWO_SIDED / np.sqrt((fitted * (1 - fitted)).sum())
    return intercept - half, intercept + half


def wald_slope(labels, p, slope):
    """Alike, with the intercept fitted beside it; NaN where a threshold separates the classes."""
    if np.isnan(slope):
        return np.nan, np.nan
    x = special.logit(p)
    _, shift = calibration(labels, special.expit(slope * x))
    fitted = special.expit(slope * x + shift)
    weight = fitted * (1 - fitted)
    half = TWO_SIDED / np.sqrt((weight * (x - np.average(x, weights=weight)) ** 2).sum())
    return slope - half, slope + half


def simulate(cell, seed, number):
    """Where the intervals of so many cohorts end."""
    patients, area, prevalence = cell
    rng, results = np.random.default_rng([patients, round(100 * area), round(100 * prevalence), seed]), []
    while len(results) < number:
        rows = drawn(patients, area, prevalence, rng)
        if 2 <= rows["label"].sum() <= patients - 2:
            results.append(intervals(rows, seed))
    return results


def main(number):
    """Print and write the share of intervals that held the true value."""
    known = {(a, f): truths(a, f) for a in (0.5, 0.7, 0.9) for f in (0.3, 0.5)}
    tables = []
    for cell in CELLS:
        start = time.perf_counter()
        parts = Parallel(n_jobs=-1)(delayed(simulate)(cell, seed, CHUNK) for seed in range(number // CHUNK))
        results, truth = [ends for part in parts for ends in part], known[cell[1:]]
        for figure, method in results[0]:
            ends = np.array([result[figure, method] for result in results])
            inside = (ends[:, 0] <= truth[figure]) & (truth[figure] <= ends[:, 1])
            finite = np.isfinite(ends).all(axis=1)
            names = ("patients", "about", "prevalence", "cohorts", "figure", "method", "covered", "width")
            width = np.median(ends[finite, 1] - ends[finite, 0])
            row = (*cell, len(ends), figure, method, inside[~np.isnan(ends[:, 0])].mean(), width)
            tables.append(dict(zip(names, row, strict=True)))
        print(f"{cell}: {time.perf_counter() - start:.0f} s", flush=True)
    PAGE.write_text(page(pd.DataFrame(tables), number))
    print(PAGE.read_text())


def page(table, number):
    """Least, mean and most covered over the cells, a row a figure and method, and every cell of the AUROC."""
    lines = [
        "# Measured coverage of a frozen model",
        "",
        f"Made by `python tests/benchmarks/frozen.py {number}`: {number} cohorts in each of",
        f"{len(CELLS)} cells of 40, 100 and 165 patients, AUROC 0.5, 0.7 and 0.9, prevalence 0.3 and 0.5.",
        "Share of the 95 % intervals that held the true value, and their median width at 100 patients,",
        "prevalence 0.3, AUROC 0.7.",
        "",
        "| figure | method | least | mean | most | width |",
        "|---|---|---|---|---|---|",
    ]
    middle = table[(table["patients"] == 100) & (table["prevalence"] == 0.3) & (table["about"] == 0.7)]
    widths = middle.set_index(["figure", "method"])["width"]
    for key, cells in table.groupby(["figure", "method"], sort=False):
        shares = " | ".join(f"{100 * value:.1f}" for value in cells["covered"].agg(["min", "mean", "max"]))
        lines.append(f"| {key[0]} | {key[1]} | {shares} | {widths[key]:.2f} |")
    areas = table[table["figure"] == "AUROC"]
    methods = list(areas["method"].unique())
    lines += [
        "",
        f"| patients | AUROC | prevalence | {' | '.join(methods)} |",
        "|---" * (3 + len(methods)) + "|",
    ]
    for cell, rows in areas.groupby(["patients", "about", "prevalence"]):
        shares = (f"{100 * rows.set_index('method')['covered'][method]:.1f}" for method in methods)
        lines.append(f"| {' | '.join(map(str, cell))} | {' | '.join(shares)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 300)
