"""What intervals cover when cohorts are drawn, models fitted again: `python tests/benchmarks/intervals.py`.

The estimand of an AUROC is the mean, on new patients of the same population, of the models that the folds
have fitted; of every other figure its own value on so many new patients that chance is gone, by the same
models. Each cohort is drawn, divided, fitted and tested as the program does (`cohorts.py`), and each
candidate says where the true value lies. Methods for the AUROC:

- score: `bcbm.statistics.area`, what the program reports.
- bootstrap: of patients over pooled out-of-fold predictions, models held fixed; versions before 0.3.
- corrected t: of the folds' AUROCs on the logit (Nadeau and Bengio, Mach Learn 52:239, 2003).
- influence: of the patients on the mean of folds (LeDell, Petersen and van der Laan, Electron J Stat 9:1583,
  2015), its variance times 1 + K n_test / n_train for refitting.
- nested: nested cross-validation (Bates, Hastie and Tibshirani, arXiv 2104.00673, 2021), with AUROCs of folds
  in place of mean losses, ten times five folds.
- pipeline bootstrap: patients drawn again, folds and fits with them, 50 times; normal on the logit.

The whole grid takes about an hour of two cores and writes `bcbm/statistics/coverage.csv`, which the report
quotes, and `docs/explanation/coverage.md`. `quick` runs two cells in a minute and fails outside 88 to 99 %;
`power` holds the computed power against 2,000 other cohorts of each cell with signal, in three minutes.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from cohorts import Cell, Validated, cohorts, fitted, patients_of
from coverage_page import write_page
from joblib import Parallel, delayed
from scipy.special import expit, logit
from scipy.stats import t as student

from bcbm.cohort.splits import stratified_folds
from bcbm.statistics.area import (
    TWO_SIDED,
    Area,
    contrast,
    cross_validated_area,
    holding_models_fixed,
    newcombe_variance,
    placements,
)
from bcbm.statistics.blocks import operating_block
from bcbm.statistics.calibration import calibration
from bcbm.statistics.metrics import Floats, auprc, auroc, weighted_aurocs
from bcbm.statistics.operating import SHARES, operating_intervals, operating_point
from bcbm.statistics.power import chance_to_show, planned_area
from bcbm.statistics.resampling import average_precision_interval, percentile_interval, resampled_counts

HOME = Path(__file__).resolve().parents[2]
TABLE = HOME / "bcbm" / "statistics" / "coverage.csv"
GRID = [Cell(n, area, share) for n in (40, 100, 165) for area in (0.5, 0.7) for share in (0.3, 0.5)]
SINGLE = [
    *(Cell(100, area, 0.3, repeats=repeats) for repeats in (3, 10) for area in (0.5, 0.7)),
    *(Cell(96, area, 0.5, clustered=True) for area in (0.5, 0.7)),
    *(Cell(100, area, 0.3, model="forest") for area in (0.5, 0.7)),
    *(Cell(n, 0.9, 0.3) for n in (40, 100)),
]
RESAMPLES, CHUNK = 1000, 25
Ends = tuple[float, float]


def auroc_row(one: Validated, cell: Cell, costly: bool) -> dict[str, tuple[float, Ends, float]]:
    """By method: the true AUROC, the interval and p (NaN where the method gives none)."""
    area = cross_validated_area(one.rows)
    found = contrast([area], [1.0], 0.5)
    ways: dict[str, Ends] = {
        "bootstrap": percentile_interval(bootstrapped_aurocs(one.rows)),
        "corrected t": corrected_t(by_fold(one.rows), cell, on_logit=True),
        "influence": influence_interval(one.rows, area, cell),
    }
    if costly:
        ways["nested"] = nested(one, cell)
        ways["pipeline bootstrap"] = pipeline_bootstrap(one, cell, area.auroc)
    result = {method: (one.auroc, ends, np.nan) for method, ends in ways.items()}
    return {"score": (one.auroc, (found.low, found.high), found.p), **result}


def other_rows(one: Validated, cell: Cell) -> dict[tuple[str, str], tuple[float, Ends, float]]:
    """By figure and method, alike: what else the report gives an interval."""
    rows, new = one.rows, patients_of(one.new)
    called, patients = rows["probability"] >= rows["threshold"], rows["patient_id"]
    true = operating_point(new["label"], new["probability"] >= new["threshold"])
    drawn = operating_intervals(rows["label"], called, patients, RESAMPLES, 0, rows["repeat"])
    block = operating_block(rows, RESAMPLES, 0)
    result: dict[tuple[str, str], tuple[float, Ends, float]] = {}
    for name in ("sensitivity", "specificity", "ppv", "npv", "f1"):
        result[name, "bootstrap"] = (true[name], drawn[name], np.nan)
        if name in SHARES:
            ends = block[f"{name}_low"], block[f"{name}_high"]
            result[name, "Wilson"] = (true[name], ends, np.nan)
    precision = float(np.mean([auprc(r["label"], r["probability"]) for _, r in new.groupby("repeat")]))
    ends = average_precision_interval(rows, RESAMPLES, 0)
    centre = float(np.mean([auprc(r["label"], r["probability"]) for _, r in rows.groupby("repeat")]))
    result["AUPRC", "bootstrap"] = (precision, ends, np.nan)
    result["AUPRC", "stretched bootstrap"] = (precision, stretched(rows, centre, ends), np.nan)
    slope, centre = (
        float(np.mean([calibration(r["label"], r["probability"])[0] for _, r in side.groupby("repeat")]))
        for side in (new, rows)
    )
    ends = slope_bootstrap(rows)
    result["calibration slope", "bootstrap"] = (slope, ends, np.nan)
    result["calibration slope", "stretched bootstrap"] = (slope, stretched(rows, centre, ends), np.nan)
    if cell.clustered:
        lesion = float(np.mean([auroc(f["label"], f["probability"]) for _, f in one.new.groupby("fold")]))
        found = contrast([cross_validated_area(one.lesions)], [1.0], 0.5)
        ends = percentile_interval(bootstrapped_aurocs(one.lesions))
        result["lesion AUROC", "score"] = (lesion, (found.low, found.high), found.p)
        result["lesion AUROC", "bootstrap"] = (lesion, ends, np.nan)
    return result


def paired_rows(pair: list[Validated], cell: Cell) -> dict[tuple[str, str], tuple[float, Ends, float]]:
    """The difference of two equally good experiments, and the mean of three."""
    first, second, third = pair
    areas = [cross_validated_area(one.rows) for one in pair]
    true = first.auroc - second.auroc
    difference = contrast(areas[:2], [1.0, -1.0], 0.0)
    mean = contrast(areas, [1 / 3] * 3, 0.5)
    folds = by_fold(first.rows) - by_fold(second.rows)
    return {
        ("difference", "score"): (true, (difference.low, difference.high), difference.p),
        ("difference", "bootstrap"): (
            true,
            percentile_interval(bootstrapped_aurocs(first.rows) - bootstrapped_aurocs(second.rows)),
            np.nan,
        ),
        ("difference", "corrected t"): (true, corrected_t(folds, cell, on_logit=False), np.nan),
        ("mean of three", "score"): (
            (first.auroc + second.auroc + third.auroc) / 3,
            (mean.low, mean.high),
            mean.p,
        ),
    }


def by_fold(rows: pd.DataFrame) -> Floats:
    """AUROC of each fold."""
    return np.array([auroc(fold["label"], fold["probability"]) for _, fold in rows.groupby("fold")])


def corrected_t(values: Floats, cell: Cell, on_logit: bool) -> Ends:
    """Mean of folds with the corrected resampled t."""
    spread = np.sqrt((1 / len(values) + 1 / (cell.folds - 1)) * values.var(ddof=1))
    half = student.ppf(0.975, len(values) - 1) * spread
    return logit_interval(values.mean(), half) if on_logit else (values.mean() - half, values.mean() + half)


def logit_interval(centre: float, half: float) -> Ends:
    """Half a width on the plain scale, carried to the logit."""
    inside = float(np.clip(centre, 0.005, 0.995))
    ends = expit(logit(inside) + np.array([-half, half]) / (inside * (1 - inside)))
    return float(ends[0]), float(ends[1])


def influence_interval(rows: pd.DataFrame, area: Area, cell: Cell) -> Ends:
    """From the mean of squared influences of each repeat, widened for refitting."""
    variance = []
    for _, repeat in rows.groupby("repeat"):
        labels, place = repeat["label"].to_numpy(), np.empty(len(repeat))
        for fold in repeat["fold"].unique():
            part = (repeat["fold"] == fold).to_numpy()
            place[part] = placements(labels[part], repeat["probability"].to_numpy()[part])
        positive = labels == 1
        squares = ((place - area.auroc) ** 2, positive.sum(), (~positive).sum())
        variance.append(squares[0][positive].sum() / squares[1] ** 2)
        variance[-1] += squares[0][~positive].sum() / squares[2] ** 2
    widened = np.mean(variance) * (1 / cell.repeats + cell.folds / (cell.folds - 1))
    half = TWO_SIDED * np.sqrt(widened)
    return area.auroc - half, area.auroc + half


def nested(one: Validated, cell: Cell, times: int = 10) -> Ends:
    """Nested cross-validation of Bates, Hastie and Tibshirani, for one lesion a patient."""
    rng, labels, count = np.random.default_rng(0), one.labels, cell.folds
    outer_error, inner_error, gap, noise = [], [], [], []
    folds = [stratified_folds(one.patients, labels, count, rng) for _ in range(times)]
    away = np.array([[fold != k for k in range(count)] for fold in folds])  # (times, K, N)
    both = np.array(
        [[(fold != k) & (fold != j) for k in range(count) for j in range(count) if j != k] for fold in folds]
    )
    train = np.concatenate([away.reshape(-1, len(labels)), both.reshape(-1, len(labels))]).astype(float)
    scores = np.concatenate(
        [_scores(one.columns, labels, part) for part in np.array_split(train, max(1, len(train) // 100))]
    )
    outer = scores[: times * count].reshape(times, count, -1)
    inner = scores[times * count :].reshape(times, count, count - 1, -1)
    for fold, outer_scores, inner_scores in zip(folds, outer, inner, strict=True):
        for k in range(count):
            out = fold == k
            left = auroc(labels[out], outer_scores[k, out])
            others = [j for j in range(count) if j != k]
            within = np.mean(
                [auroc(labels[fold == j], inner_scores[k, m, fold == j]) for m, j in enumerate(others)]
            )
            outer_error.append(left)
            inner_error.append(within)
            gap.append((within - left) ** 2)
            sizes = labels[out].sum(), (1 - labels[out]).sum()
            noise.append((fold, sizes))
    centre, plain = float(np.mean(inner_error)), float(np.mean(outer_error))
    at = float(np.clip(plain, 0.05, 0.95))
    holdout = float(np.mean([newcombe_variance(at, *sizes) for _, sizes in noise]))
    whole = float(newcombe_variance(at, labels.sum(), (1 - labels).sum()))
    error = np.clip(np.mean(gap) - holdout, whole, count * whole)
    bias = (1 + (count - 2) / count) * (centre - plain)
    half = TWO_SIDED * np.sqrt((count - 1) / count * error)
    return centre - bias - half, centre - bias + half


def pipeline_bootstrap(one: Validated, cell: Cell, centre: float, draws: int = 50) -> Ends:
    """Patients drawn again with everything that is fitted on them, for one lesion a patient."""
    rng, labels, means = np.random.default_rng(0), one.labels, []
    folds, train = [], []
    for _ in range(draws):
        drawn = np.concatenate(
            [rng.choice(rows, len(rows)) for rows in (np.flatnonzero(labels == value) for value in (0, 1))]
        )
        times, fold = np.bincount(drawn, minlength=len(labels)), np.full(len(labels), -1)
        present = np.flatnonzero(times)
        fold[present] = stratified_folds(present, labels[present], cell.folds, rng)
        folds.append((fold, times))
        train += [times * (fold != k) for k in range(cell.folds)]
    scores = _scores(one.columns, labels, np.array(train, dtype=float)).reshape(draws, cell.folds, -1)
    for (fold, times), by_model in zip(folds, scores, strict=True):
        parts = [fold == k for k in range(cell.folds)]
        inside = [
            auroc(labels[part], by_model[k, part], times[part])
            for k, part in enumerate(parts)
            if 0 < labels[part].sum() < part.sum()
        ]
        means.append(np.mean(inside))
    return logit_interval(centre, TWO_SIDED * float(np.std(means, ddof=1)))


def _scores(columns: Floats, labels: Floats, train: Floats) -> Floats:
    coefficients, intercepts = fitted(columns, labels, train)
    return coefficients @ columns.T + intercepts[:, None]


def bootstrapped_aurocs(rows: pd.DataFrame) -> Floats:
    """AUROC, mean over repeats, of draws of patients, (RESAMPLES,); NaN where a class is not drawn."""
    names, owner = np.unique(rows["patient_id"].to_numpy(), return_inverse=True)
    drawn = resampled_counts(np.random.default_rng(0), len(names), RESAMPLES)
    labels, scores, repeats = (rows[name].to_numpy() for name in ("label", "probability", "repeat"))
    parts = [repeats == repeat for repeat in np.unique(repeats)]
    return np.mean(
        [weighted_aurocs(labels[part], scores[part], drawn[:, owner[part]]) for part in parts], axis=0
    )


def stretched(rows: pd.DataFrame, centre: float, ends: Ends) -> Ends:
    """Ends moved away from the estimate as refitting widens the interval of the AUROC."""
    area = cross_validated_area(rows)
    fixed = holding_models_fixed(area).variance(area.auroc)
    factor = np.sqrt(area.variance(area.auroc) / fixed) if fixed > 0 else 1.0
    return centre + factor * (ends[0] - centre), centre + factor * (ends[1] - centre)


def slope_bootstrap(rows: pd.DataFrame, draws: int = 400) -> Ends:
    """Of patients, the calibration slope of the first repeat; all draws by Newton's steps at once."""
    rows, rng = rows[rows["repeat"] == 0], np.random.default_rng(0)
    counts = resampled_counts(rng, len(rows), draws).astype(np.float64)
    labels, linear = rows["label"].to_numpy(), logit(rows["probability"].clip(1e-6, 1 - 1e-6).to_numpy())
    design = np.stack([np.ones(len(rows)), (linear - linear.mean()) / linear.std()], axis=1)
    solution = np.zeros((draws, 2))
    for _ in range(12):
        fit = expit(solution @ design.T)
        gradient = (counts * (labels - fit)) @ design
        curvature = np.einsum("bn,ni,nj->bij", counts * fit * (1 - fit), design, design)
        solution += np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient[:, :, None])[:, :, 0].clip(-2, 2)
    return percentile_interval(solution[:, 1] / linear.std())


def simulate(
    cell: Cell, number: int, seed: int, work: Callable[..., dict], views: int, *more: object
) -> list:
    """What `work` says of each cohort of a cell."""
    return [
        (key, *value)
        for validated in cohorts(cell, number, seed, views=views)
        for key, value in work(validated if views > 1 else validated[0], cell, *more).items()
    ]


def measured(
    cell: Cell, number: int, work: Callable[..., dict], views: int = 1, *more: object, first: int = 0
) -> pd.DataFrame:
    """Coverage, width and share refused of every figure and method, over so many cohorts."""
    seeds = range(first, first + number // CHUNK)
    jobs = (delayed(simulate)(cell, CHUNK, seed, work, views, *more) for seed in seeds)
    results = [row for part in Parallel(n_jobs=-1)(jobs) for row in part]
    table = pd.DataFrame(
        {
            "figure": [key[0] if isinstance(key, tuple) else "AUROC" for key, *_ in results],
            "method": [key[1] if isinstance(key, tuple) else key for key, *_ in results],
            "covered": [ends[0] <= true <= ends[1] for _, true, ends, _ in results],
            "width": [ends[1] - ends[0] for _, _, ends, _ in results],
            "refused": [np.nan if np.isnan(p) else float(p < 0.05) for *_, p in results],
            "true": [true for _, true, *_ in results],
        }
    )
    rows = table.groupby(["figure", "method"], sort=False, as_index=False).mean()
    about = {
        "patients": cell.patients,
        "about": cell.auroc,
        "prevalence": cell.prevalence,
        "folds": cell.folds,
        "repeats": cell.repeats,
        "model": cell.model,
        "clustered": cell.clustered,
        "cohorts": number,
    }
    table = pd.concat([pd.DataFrame([about] * len(rows)), rows], axis=1)
    return table.assign(power=planned_power(table))


def planned_power(table: pd.DataFrame) -> Floats:
    """The computed chance that the test shows a signal, (N,); NaN where there is none or no test."""
    tested = (table["figure"] == "AUROC") & (table["method"] == "score") & (table["about"] > 0.5)
    power = np.full(len(table), np.nan)
    for place in np.flatnonzero(tested):
        row = table.iloc[place]
        positives = round(row["patients"] * row["prevalence"])
        area = planned_area(positives, row["patients"] - positives, row["folds"], row["repeats"])
        power[place] = chance_to_show(area, row["true"])
    return power


def quick() -> int:
    """Two cells of what is reported; 1 where one of them lies outside 88 to 99 %."""
    start, status = time.perf_counter(), 0
    for cell in (Cell(40, 0.5, 0.3), Cell(165, 0.7, 0.3)):
        table = measured(cell, 400, auroc_row, 1, False)
        row = table[table["method"] == "score"].iloc[0]
        held = 0.88 <= row["covered"] <= 0.99
        status |= not held
        print(f"{cell}: {row['covered']:.3f} of 400 intervals hold the true AUROC, width {row['width']:.2f}")
    print(f"{time.perf_counter() - start:.0f} s", "" if not status else "; outside 88 to 99 %")
    return int(status)


def power(number: int = 2000) -> None:
    """How often the test shows the signal of cohorts that no other part of this program draws."""
    cells = [
        *(cell for cell in GRID if cell.auroc > 0.5),
        Cell(100, 0.7, 0.3, repeats=10),
        Cell(40, 0.9, 0.3),
    ]
    for cell in [*cells, Cell(100, 0.7, 0.3, model="forest")]:
        cohorts_here = number // 4 if cell.model == "forest" else number
        table = measured(cell, cohorts_here, auroc_row, 1, False, first=1000)
        row = table[table["method"] == "score"].iloc[0]
        print(
            f"{cell}: {row['refused']:.3f} of {cohorts_here} called, {row['power']:.3f} computed", flush=True
        )


def main(number: int) -> None:
    """The grid, the single cells, what else has an interval, and pairs."""
    tables = []
    for cell in [*GRID, *SINGLE]:
        start = time.perf_counter()
        plain = cell in GRID
        cohorts_here = 2 * number if cell.model == "forest" else number  # the two are all there is of them
        tables.append(measured(cell, cohorts_here, auroc_row, 1, plain))
        if cell.model == "logistic":
            tables.append(measured(cell, number, other_rows))
            if not cell.clustered:
                tables.append(measured(cell, number, paired_rows, 3))
        shown = tables[-1] if cell.model == "forest" else pd.concat(tables[-3:])
        print(
            shown.to_string(columns=["figure", "method", "covered", "width", "refused", "power"], index=False)
        )
        print(f"{cell}: {time.perf_counter() - start:.0f} s", flush=True)
        table = pd.concat(tables, ignore_index=True)
        table.round(4).to_csv(TABLE, index=False)
    write_page(pd.read_csv(TABLE))


if __name__ == "__main__":
    if sys.argv[1:] == ["quick"]:
        sys.exit(quick())
    if sys.argv[1:] == ["power"]:
        sys.exit(power())
    main(int(sys.argv[1]) if sys.argv[1:] else 500)
