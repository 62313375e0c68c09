"""The tables of an article, in words and in the run folder."""

import math
from collections.abc import Sequence

import pandas as pd

from bcbm.report.text_table import TextTable, booktabs, write_text_table
from bcbm.report.words import RANDOM_WORDS, interval, leak_in_words, number, share, signed, thousands
from bcbm.runs.finished import FinishedRun
from bcbm.statistics import beside_auroc
from bcbm.statistics.results import Results
from bcbm.statistics.table_one import Row, TableOne, table_one
from bcbm.system.files import write_whole
from bcbm.system.spreadsheet import spreadsheet_csv

TABLES = "tables"  # folder of a run that holds them
DASH = "\N{EN DASH}"  # where there is nothing to say
COHORT_NOTES = (
    "Number (share of those known), mean (standard deviation) or median [quartiles]. SMD: standardised mean "
    "difference, positive less negative, in units of the root of their mean variance (Austin 2009, doi "
    "10.1002/sim.3697); of logarithms where medians stand. A patient's age, sex and scanner are those of the "
    "first study that enters.",
    "† Of lesions, each with its own label: lesions of one patient are not independent.",
)
RESULTS_NOTES = (
    "Of patients, out of fold. AUROC: mean over folds; its interval and p, of 0.5, count that models would "
    "be fitted anew; q: p after Benjamini and Hochberg. Other intervals hold the fitted models fixed.",
    "† Of lesions, which are not independent.",
)


def cohort_in_words(table: TableOne) -> TextTable:
    """The first table of an article: who enters, by target, with standardised differences."""
    headings, groups = [("", "")], table["groups"]
    for place, group in enumerate(groups):
        headings.append((group["target"], group["status"]))
        is_last = place + 1 == len(groups) or groups[place + 1]["target"] != group["target"]
        if group["target"] and is_last:
            headings.append((group["target"], "SMD"))
    return TextTable(headings, [_cells(row, headings) for row in table["rows"]], COHORT_NOTES)


def results_in_words(results: Results) -> TextTable:
    """The table of results of an article, a row a target and the mean."""
    beside = beside_auroc("patient")
    headings = ["", "AUROC [95 % CI]", "p", "q"]
    headings += [entry.label + " [95 % CI]" * bool(entry.interval) for entry in beside.values()]
    headings += ["slope", "intercept", "positive / negative", "lesion AUROC †"]
    rows = []
    for target, block in results["receptors"].items():
        patient = block["patient"]
        cells = [target, interval(patient), number(patient["p"], 3), number(patient["q"], 3)]
        cells += [interval(patient, name, entry.digits) for name, entry in beside.items()]
        cells += [number(patient["calibration"][name]) for name in ("slope", "intercept")]
        cells += [f"{patient['positives']} / {patient['negatives']}", interval(block["lesion"])]
        rows.append(cells)
    if len(rows) > 1:
        mean = ["mean", interval(results["mean"]), number(results["mean"]["p"], 3)]
        rows.append(mean + [""] * (len(headings) - len(mean)))
    return TextTable([("", heading) for heading in headings], rows, RESULTS_NOTES)


def results_as_numbers(results: Results) -> pd.DataFrame:
    """The figures of `results.json` in columns of the same names, a row a target and level; the mean last."""
    rows = []
    for target, block in results["receptors"].items():
        for level, figures in (("patient", block["patient"]), ("lesion", block["lesion"])):
            shown = {name: value for name, value in figures.items() if name != "coverage"}
            folds = {f"folds_{name}": block["folds"][name] for name in ("mean", "std")}  # of patients
            rows.append({"target": target, "level": level, **shown, **(folds if level == "patient" else {})})
    rows.append({"target": "mean", "level": "patient", **results["mean"]})
    return pd.json_normalize(rows, sep="_").assign(leaky=results["leaky"])


def write_tables(run: FinishedRun) -> TextTable:
    """Write the tables of a run's article into `tables/`; returns the first of them."""
    cohort = cohort_in_words(table_one(run.entering, run.config["task"]["targets"]))
    folder, alarm = run.folder / TABLES, ""
    if run.results["leaky"]:
        alarm = f"LEAKY: {leak_in_words(run.results['split'])}; no figure is a result"
    elif run.random_labels is not None:
        alarm = f"RANDOM LABELS, {RANDOM_WORDS}; no figure is a result"
    numbers = results_as_numbers(run.results).assign(random_labels=run.random_labels)
    write_text_table(cohort, folder / "table1")
    write_whole(folder / "results.csv", spreadsheet_csv(numbers))
    write_whole(folder / "results.tex", booktabs(results_in_words(run.results), alarm))
    return cohort


def _cells(row: Row, headings: Sequence[tuple[str, str]]) -> list[str]:
    mark = " †" if row["lesions"] and not row["level"] else ""
    label = ("\N{EM SPACE}" if row["level"] else "") + row["label"] + mark
    if row["kind"] == "heading":
        return [label]
    values, differences = iter(row["cells"]), iter(row["differences"])
    texts = [
        _difference(next(differences)) if heading == "SMD" else _value(row["kind"], next(values))
        for _, heading in headings[1:]
    ]
    return [label, *texts]


def _value(kind: str, numbers: Sequence[float]) -> str:
    first, *others = numbers
    if kind == "count":
        return thousands(int(first))
    if kind == "share":
        return DASH if math.isnan(others[0]) else f"{int(first):,} ({share(others[0])})"
    if math.isnan(first):
        return DASH
    if kind == "mean":
        return f"{first:.1f}" + ("" if math.isnan(others[0]) else f" ({others[0]:.1f})")
    return f"{first:,.0f} [{others[0]:,.0f}, {others[1]:,.0f}]"


def _difference(value: float) -> str:
    return DASH if math.isnan(value) else signed(value)
