"""Finished runs against one of them: the same patients in the same folds, tested pair by pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from bcbm.cohort.targets import in_order
from bcbm.errors import InputError, Problem
from bcbm.runs.finished import FinishedRun
from bcbm.statistics import beside_auroc
from bcbm.statistics.area import contrast, cross_validated_area
from bcbm.statistics.metrics import patient_level
from bcbm.statistics.paired import benjamini_hochberg, paired_difference
from bcbm.statistics.results import Comparison, ExperimentFigures, PairedTest

OTHER_SPLIT, OTHER_COHORT, OTHER_LABELS = "other split", "other cohort", "other labels"
RANDOM = "RANDOM LABELS"  # behind the name of an experiment whose labels were dealt out anew


@dataclass(frozen=True)
class Row:
    """An experiment of a comparison: its run under a label of its own."""

    label: str
    run: FinishedRun


def distinct_labels(runs: Sequence[FinishedRun]) -> list[str]:
    """The shortest names, from the last word to name and time, under which no two runs are the same."""
    names = [run.config["experiment"] + f" {RANDOM}" * (run.random_labels is not None) for run in runs]
    for label in (
        [name.split("/")[-1].split("+")[-1] for name in names],
        [name.split("+")[-1] for name in names],
        names,
        [f"{name} {run.folder.name}" for name, run in zip(names, runs, strict=True)],
    ):
        if len(set(label)) == len(label):
            return label
    return [f"{text} ({number})" for number, text in enumerate(label, 1)]


def require_distinct(runs: Sequence[FinishedRun]) -> None:
    """Refuse two runs that are one: of one identity, with the same predictions to the last bit.

    Raises:
        InputError: naming both.
    """
    for first, second in combinations(runs, 2):
        same = [first.environment[name] == second.environment[name] for name in ("identity", "cohort")]
        if all(same) and first.predictions.equals(second.predictions):
            found = "are one run, alike in every prediction: a copy, or trained again"
            raise InputError(Problem(f"{first.folder} and {second.folder}", found, "name one of them"))


def split_name(unit: str, random_labels: int | None) -> str:
    """What a split keeps whole, and the labels that its folds are stratified over, if not the cohort's."""
    return unit if random_labels is None else f"{unit} over random labels {random_labels}"


def require_one_split(labels: Sequence[str], splits: Sequence[tuple[str, str]]) -> None:
    """Refuse runs that keep the same unit whole in other folds: neither paired nor a leak to be shown.

    Args:
        labels: of the experiments.
        splits: name and hash of each.

    Raises:
        InputError: naming two experiments and both hashes.
    """
    named = [(label, unit, text) for label, (unit, text) in zip(labels, splits, strict=True)]
    for (first, unit, first_hash), (second, second_unit, second_hash) in combinations(named, 2):
        if unit == second_unit and first_hash != second_hash:
            problem = f"both are split by {unit}, into different folds: hash {first_hash} and {second_hash}"
            remedy = (
                "run both with the same cohort.* and split.* keys and modalities that every patient has, "
                "or compare them separately"
            )
            raise InputError(Problem(f"{first} and {second}", problem, remedy))


def require_one_cohort(labels: Sequence[str], cohorts: Sequence[str], across: bool) -> None:
    """Refuse runs of different cohorts, also where ids of patients agree, unless `across`.

    Args:
        labels: of the experiments.
        cohorts: content hash of each one's.
        across: whether they may differ.

    Raises:
        InputError: naming an experiment of each cohort.
    """
    first = dict(reversed(list(zip(cohorts, labels, strict=True))))
    if len(first) > 1 and not across:
        problem = f"are of different cohorts: content {', '.join(first)}"
        remedy = "compare runs of one cohort, or write across=true, which marks every figure"
        raise InputError(Problem(" and ".join(first.values()), problem, remedy))


def compare_runs(rows: Sequence[Row], reference: str, across: bool = False) -> Comparison:
    """Every experiment's figures, and its differences from the reference.

    Args:
        rows: experiments in order.
        reference: the label they are compared with.
        across: whether they may be of different cohorts.

    Raises:
        InputError: experiments of one unit have other folds, labels differ, or cohorts do.
    """
    cohorts = [row.run.environment["cohort"] for row in rows]
    require_one_cohort([row.label for row in rows], cohorts, across)
    for cohort in dict.fromkeys(cohorts):
        own = [row for row in rows if row.run.environment["cohort"] == cohort]
        splits = [
            (split_name(row.run.split["unit"], row.run.random_labels), row.run.split["hash"]) for row in own
        ]
        require_one_split([row.label for row in own], splits)
    base = next(row for row in rows if row.label == reference)
    targets = in_order(target for row in rows for target in row.run.results["receptors"])
    tests: list[PairedTest] = []
    for row in rows:
        if row is base:
            continue
        for target in targets:
            if all(target in side.run.results["receptors"] for side in (row, base)):
                figures = _test(row.run, base.run, target)
                tests.append({"label": row.label, "target": target, **figures})
    tested = [test for test in tests if "reason" not in test]
    q = benjamini_hochberg([test["p"] for test in tested])
    for test, value in zip(tested, q, strict=True):
        test["q"] = float(value)
    return {
        "receptors": targets,
        "reference": reference,
        "across": len(set(cohorts)) > 1,
        "rows": [_figures(row, targets) for row in rows],
        "tests": tests,
    }


def mean_difference(run: FinishedRun, base: FinishedRun) -> dict[str, float]:
    """Difference of two runs' mean AUROC over targets: difference, low, high, p; see `area.contrast`.

    Both runs have the same targets and patients, as `compare_runs` makes sure of.
    """
    targets = list(base.results["receptors"])
    areas, weights = [], []
    for side, sign in ((run, 1.0), (base, -1.0)):
        patients = patient_level(side.predictions)
        areas += [cross_validated_area(patients[patients["target"] == target]) for target in targets]
        weights += [sign / len(targets)] * len(targets)
    mean = contrast(areas, weights, 0.0)
    return {"difference": mean.estimate, "low": mean.low, "high": mean.high, "p": mean.p}


def _figures(row: Row, targets: list[str]) -> ExperimentFigures:
    run = row.run
    blocks, mean = run.results["receptors"], run.results["mean"]
    names = ["auroc", *beside_auroc("patient")]
    keys = [name + end for name in names for end in ("", "_low", "_high")]
    return {
        "label": row.label,
        "experiment": run.config["experiment"],
        "folder": str(run.folder),
        "modalities": run.config["task"]["modalities"],
        "split": {"unit": run.split["unit"], "hash": run.split["hash"]},
        "leaky": run.results["leaky"],
        "cohort": run.environment["cohort"],
        "chosen_by": run.chosen_by,
        "receptors": {name: _chosen(block["patient"], keys) for name, block in blocks.items()},
        "mean": mean if set(blocks) == set(targets) else None,
        "best": {name: block["best"] for name, block in blocks.items() if "best" in block},
    }


def _chosen(block: Mapping[str, Any], keys: Sequence[str]) -> dict[str, float]:
    """Those of a block's figures that it has: a run older than a statistic lacks it."""
    return {key: float(block[key]) for key in keys if key in block}


def _test(run: FinishedRun, base: FinishedRun, target: str) -> PairedTest:
    """One target of one experiment against the reference."""
    if run.random_labels != base.random_labels:
        return {"reason": OTHER_LABELS}
    if run.split["hash"] != base.split["hash"]:
        return {"reason": OTHER_SPLIT}
    ours, theirs = (
        patient_level(side.predictions[side.predictions["target"] == target]) for side in (run, base)
    )
    try:
        difference = paired_difference(ours, theirs)
    except ValueError as error:
        if run.environment["cohort"] != base.environment["cohort"]:
            return {"reason": OTHER_COHORT}
        remedy = "run both on the same cohort"
        raise InputError(Problem(f"{run.folder} and {base.folder}", f"{target}: {error}", remedy)) from None
    return {
        "difference": difference.estimate,
        "low": difference.low,
        "high": difference.high,
        "p": difference.p,
    }
