"""Which calibration wins at such sizes: `python tests/benchmarks/calibration.py [simulations=N]`.

Cross-validations of patients with one lesion, 30 % of them positive, 20 columns of which four know
something: five folds, a fifth of the training patients for validation, class weights, ten columns chosen in
the fold, and a model that is fitted again on train and validation, as `train_baseline` does. A line a model,
cohort size and AUROC of the telling columns together, a column a kind: Brier score, log loss, slope (the
median) and AUROC of the pooled out-of-fold predictions; last the means over all lines. `prevalence` says the
training share of positives to everybody.
"""

import sys
from statistics import median

import numpy as np
import pandas as pd
from scipy.stats import norm

from bcbm.baselines.models import class_weight, fit_model, training_weights
from bcbm.cohort.splits import stratified_folds
from bcbm.config.schema.training import Baseline
from bcbm.errors import InputError
from bcbm.statistics.calibration import calibration
from bcbm.statistics.metrics import Floats, auroc, brier
from bcbm.statistics.probabilities import log_loss
from bcbm.statistics.recalibration import fit_calibrator

SIZES, AUROCS, PREVALENCE, FOLDS, COLUMNS, TELLING = (40, 100, 165), (0.5, 0.7, 0.9), 0.3, 5, 20, 4
KINDS = ("none", "prior", "logistic", "isotonic", "prevalence")
SETTINGS = Baseline(selected=10, trees=60)


def cross_validated(count: int, area: float, model: str, rng: np.random.Generator) -> tuple[Floats, dict]:
    """Labels (N,) and out-of-fold probabilities (N,) of every kind."""
    labels = (rng.random(count) < PREVALENCE).astype(float)
    values = rng.normal(size=(count, COLUMNS))
    values[:, :TELLING] += np.sqrt(2 / TELLING) * norm.ppf(area) * labels[:, None]
    columns = pd.DataFrame(values, columns=[f"column {n}" for n in range(COLUMNS)])
    patients = pd.Series(np.arange(count))

    def predicted(train: np.ndarray, test: np.ndarray) -> tuple[Floats, float]:
        weights = training_weights(labels, patients, train, even=False, class_weights=True)
        fitted, _ = fit_model(model, SETTINGS, columns, labels, weights, patients, 0)
        return fitted.predict(columns.iloc[test]), class_weight(labels, patients, train)

    fold = stratified_folds(patients, labels, FOLDS, rng)
    table = {kind: np.empty(count) for kind in KINDS}
    for number in range(FOLDS):
        test, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        inner = stratified_folds(patients.iloc[rest], labels[rest], 5, rng)
        validation, train = rest[inner == 0], rest[inner != 0]
        outside, weight = predicted(train, validation)
        tested, test_weight = predicted(rest, test)
        for kind in KINDS[:-1]:
            calibrator = fit_calibrator(kind, labels[validation], outside, weight).behind(test_weight)
            table[kind][test] = calibrator(tested)
        table["prevalence"][test] = labels[rest].mean()
    return labels, table


def figures(labels: Floats, p: Floats) -> tuple[float, float, float, float]:
    """Brier score, log loss, slope and AUROC."""
    return brier(labels, p), log_loss(labels, p), calibration(labels, p)[0], auroc(labels, p)


simulations = int(sys.argv[1].partition("=")[2]) if sys.argv[1:] else 20
rng, lines = np.random.default_rng(0), []
print("model n AUROC | " + " | ".join(f"{kind}: Brier, log loss, slope, AUROC" for kind in KINDS))
for model in ("logistic_l2", "forest"):
    for count in SIZES:
        for area in AUROCS:
            runs: dict[str, list] = {kind: [] for kind in KINDS}
            while len(runs["none"]) < simulations:
                try:
                    labels, table = cross_validated(count, area, model, rng)
                except InputError:  # a training part of one class
                    continue
                for kind, probability in table.items():
                    runs[kind].append(figures(labels, probability))
            line = []
            for kind in KINDS:
                scores, losses, slopes, areas = zip(*runs[kind], strict=True)
                defined = [slope for slope in slopes if not np.isnan(slope)]
                line.append((np.mean(scores), np.mean(losses), median(defined), np.mean(areas)))
            lines.append(line)
            cells = " | ".join("{:.3f} {:.3f} {:.2f} {:.2f}".format(*cell) for cell in line)
            print(f"{model} {count} {area} | {cells}", flush=True)
means = np.mean(lines, axis=0)
print("mean | " + " | ".join("{:.3f} {:.3f} {:.2f} {:.3f}".format(*cell) for cell in means))
