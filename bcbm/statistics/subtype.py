"""Answers derived from the receptors: hormone-receptor status and molecular subtype, a patient at a time."""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.cohort.patient_labels import patient_labels
from bcbm.statistics.calibration import EDGE
from bcbm.statistics.metrics import Floats, auroc, mean_or_nan
from bcbm.statistics.results import SubtypeBlock

NEEDED = ["ER", "PR", "HER2"]
SUBTYPES = ["HR+/HER2-", "HR+/HER2+", "HR-/HER2+", "triple negative"]
SIGNS = {"+": 1.0, "-": 0.0, "?": math.nan}  # of a receptor, as `sign_counts` writes them
MOST_ROUNDS = 200  # of proportional fitting, which needs about ten


def derived(predictions: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """Status and probability of HR and of each subtype, one row a repeat and patient, with or without labels.

    HR is positive if ER or PR is, so its label is known if either is positive or both are known; a patient
    whose lesions hold both labels of a receptor is positive, receptor by receptor. Receptors
    lean on one another, so that their product would be wrong: `joint` puts the probabilities of a patient
    together as the labels of the training patients of the fold hang together, and HR and the subtypes are
    sums over its cells. What binds the training labels without the image is taken to bind them given it, too,
    which says a little too much of a model that knows more than they do.

    Args:
        predictions: the prediction table, with ER, PR and HER2.
        training: of `training_labels`.

    Returns:
        Columns repeat, patient_id, fold, label and probability (of HR), prevalence (of HR in training),
        subtype (text, missing where unknown), and of each of SUBTYPES the probability under its name and the
        share in training under `prevalence <name>`.
    """
    patients = predictions.groupby(["repeat", "patient_id", "target"])
    p = patients["patient_probability"].mean().unstack("target").reindex(columns=NEEDED)
    owners = [predictions[name] for name in ("repeat", "patient_id", "target")]
    label = patient_labels(predictions["label"], owners).unstack("target").reindex(columns=NEEDED)
    table = pd.DataFrame(index=p.index)
    table["fold"] = predictions.groupby(["repeat", "patient_id"])["fold"].min()
    table["label"], table["subtype"] = hr_status(label), subtypes(label)
    training = training.reindex(columns=["fold", *NEEDED])
    hr, subtype, labels = hr_status(training), subtypes(training), training[NEEDED].to_numpy(np.float64)
    columns = ["probability", "prevalence", *SUBTYPES, *(f"prevalence {name}" for name in SUBTYPES)]
    probabilities, places = p.to_numpy(), table.groupby("fold").indices
    figures = [np.empty((0, len(columns)))]
    for fold, rows in places.items():
        trained = (training["fold"] == fold).to_numpy()
        cells = joint(probabilities[rows], association(labels[trained]))
        triple_negative, her2_only = cells[:, 0, 0, 0], cells[:, 0, 0, 1]
        her2 = cells[..., 1].sum(axis=(1, 2))
        shares = subtype[trained].value_counts(normalize=True).reindex(SUBTYPES, fill_value=0.0)
        figures.append(
            np.column_stack(
                [
                    *(1 - her2_only - triple_negative, np.full(len(rows), hr[trained].mean())),
                    *(1 - her2 - triple_negative, her2 - her2_only, her2_only, triple_negative),
                    np.tile(shares.to_numpy(), (len(rows), 1)),
                ]
            )
        )
    table = table.iloc[np.concatenate([np.empty(0, int), *places.values()])]
    return pd.concat(
        [table, pd.DataFrame(np.concatenate(figures), table.index, columns)], axis=1
    ).reset_index()


def hr_status(labels: pd.DataFrame) -> pd.Series:
    """1 where ER or PR is, 0 where both are 0, else NaN; columns of 1, 0 and NaN."""
    either = labels[["ER", "PR"]].max(axis=1)
    return either.where((either == 1) | labels[["ER", "PR"]].notna().all(axis=1))


def subtypes(labels: pd.DataFrame) -> pd.Series:
    """One of SUBTYPES, or None where HR or HER2 is not known; columns ER, PR, HER2 of 1, 0 and NaN."""
    hr, her2 = hr_status(labels), labels["HER2"]
    cases = [
        (hr == 1) & (her2 == 0),
        (hr == 1) & (her2 == 1),
        (hr == 0) & (her2 == 1),
        (hr == 0) & (her2 == 0),
    ]
    truth = pd.Series(np.select(cases, SUBTYPES, default=""), labels.index, dtype=object)
    return truth.where(truth != "", None)


def sign_counts(labels: pd.DataFrame) -> dict[str, int]:
    """Patients by their signs of ER, PR and HER2, such as `++-` or, with an unknown HER2, `++?`.

    Args:
        labels: a row a patient, columns NEEDED among them, of 1, 0 and NaN.
    """
    signs = labels[NEEDED].map(lambda value: "?" if math.isnan(value) else "-+"[int(value)])
    return {str(key): int(count) for key, count in signs.agg("".join, axis=1).value_counts().items()}


def labels_of(counts: Mapping[str, int]) -> pd.DataFrame:
    """A row a patient, columns NEEDED, of what `sign_counts` has counted."""
    rows = [[SIGNS[sign] for sign in signs] for signs, count in counts.items() for _ in range(count)]
    return pd.DataFrame(rows, columns=NEEDED, dtype=np.float64)


def association(labels: Floats) -> Floats:
    """How often labels (N, R) stand together: counts of rows without a gap, (2, ..., 2), and half a row each.

    The halves keep every odds ratio finite (Haldane, Ann Hum Genet 20:309, 1956).
    """
    counts = np.full((2,) * labels.shape[1], 0.5)
    np.add.at(counts, tuple(labels[~np.isnan(labels).any(axis=1)].astype(int).T), 1)
    return counts


def joint(probabilities: npt.ArrayLike, counts: npt.ArrayLike) -> Floats:
    """The joint distribution that has given margins and the odds ratios of a table.

    Iterative proportional fitting (Deming and Stephan, Ann Math Stat 11:427, 1940): scaling a table to other
    margins leaves all its odds ratios as they are. For two targets it is Plackett's distribution.

    Args:
        probabilities: of a positive, (N, R), kept within [1e-6, 1 - 1e-6].
        counts: positive numbers, 2 in each of R directions, negative before positive.

    Returns:
        (N, 2, ..., 2), each row in sum 1.

    Example:
        Two targets that mostly go together, the second of which is thought less likely:

        >>> joint([[0.5, 0.2]], [[4, 1], [1, 4]])[0].round(2).tolist()
        [[0.48, 0.02], [0.32, 0.18]]
    """
    p = np.clip(np.asarray(probabilities, dtype=np.float64), EDGE, 1 - EDGE)
    targets = range(1, p.shape[1] + 1)
    cells = np.broadcast_to(np.asarray(counts, dtype=np.float64), (len(p), *(2 for _ in targets)))
    for _ in range(MOST_ROUNDS):
        before = cells
        for target in targets:
            others = tuple(other for other in targets if other != target)
            margin = np.stack([1 - p[:, target - 1], p[:, target - 1]], axis=1)
            shape = [len(p), *(2 if other == target else 1 for other in targets)]
            cells = cells * (margin / cells.sum(axis=others)).reshape(shape)
        if np.allclose(cells, before, rtol=0, atol=1e-12):
            break
    return cells


def subtype_figures(table: pd.DataFrame) -> SubtypeBlock:
    """How well the likeliest subtype is the true one, each figure the mean over repeats.

    Args:
        table: what `derived` made; rows of unknown subtype are ignored.

    Returns:
        classes, their names; auroc, of each class against the rest (NaN where it, or the rest, is absent),
        and mean_auroc, the mean of those defined; accuracy; balanced_accuracy, the mean over the true classes
        of the share that is called right; brier, the squared distance of the four probabilities from the true
        class, in sum (Brier, 1950), and prevalence_brier, that of the shares in training; confusion, patients
        by true class (rows) and likeliest class; counts, patients of each true class.
    """
    table = table[table["subtype"].notna()]
    truth = table["subtype"].map(SUBTYPES.index).to_numpy(int)
    chosen = table[SUBTYPES].to_numpy().argmax(axis=1)
    confusion = np.zeros((len(SUBTYPES), len(SUBTYPES)))
    np.add.at(confusion, (truth, chosen), 1)
    confusion /= max(1, table["repeat"].nunique())
    patients = confusion.sum(axis=1)
    present = patients > 0
    aurocs = {
        name: mean_or_nan(
            [auroc(repeat["subtype"] == name, repeat[name]) for _, repeat in table.groupby("repeat")]
        )
        for name in SUBTYPES
    }
    correct = np.diag(confusion)
    shares = table[[f"prevalence {name}" for name in SUBTYPES]].to_numpy(float)
    distances = [
        ((values - np.eye(len(SUBTYPES))[truth]) ** 2).sum(axis=1)
        for values in (table[SUBTYPES].to_numpy(float), shares)
    ]
    model_brier, prevalence_brier = (float(rows.mean()) if len(rows) else math.nan for rows in distances)
    return {
        "classes": SUBTYPES,
        "auroc": aurocs,
        "mean_auroc": mean_or_nan([area for area in aurocs.values() if not math.isnan(area)]),
        "accuracy": float(correct.sum() / patients.sum()) if len(table) else math.nan,
        "balanced_accuracy": mean_or_nan(list(correct[present] / patients[present])),
        "brier": model_brier,
        "prevalence_brier": prevalence_brier,
        "confusion": confusion.tolist(),
        "counts": dict(zip(SUBTYPES, patients.round().astype(int).tolist(), strict=True)),
    }
