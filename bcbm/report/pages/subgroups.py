"""What the page of a run says of subgroups, of single patients and of chosen columns."""

import math
from typing import Any

import pandas as pd

from bcbm.report.words import number
from bcbm.runs.finished import FinishedRun
from bcbm.statistics.leave_one_out import leave_one_out
from bcbm.statistics.metrics import labelled, patient_level
from bcbm.statistics.results import SubgroupTest
from bcbm.statistics.subgroups import FEWEST, SUBGROUPS
from bcbm.system.words import listed

SURE = 0.05  # false discovery rate under which a subgroup counts as different
SHOWN = 3  # most influential patients a target
COLUMNS = 15  # chosen columns that are listed


def subgroup_content(tests: list[SubgroupTest], targets: list[str]) -> dict[str, Any]:
    """Rows of the table, a line in words, and what could not be looked at.

    Returns:
        words; subgroups: a dictionary each of name, tests (one a target) and levels, the level's name and
            one block a target; absent: subgroups that give no level or one; fewest: see `FEWEST`.
    """
    subgroups = []
    for name in dict.fromkeys(test["subgroup"] for test in tests):
        by_target = {test["target"]: test for test in tests if test["subgroup"] == name}
        rows = zip(*(by_target[target]["levels"] for target in targets), strict=True)
        levels = [{"level": row[0]["level"], "blocks": row} for row in rows]
        subgroups.append({"name": name, "tests": [by_target[target] for target in targets], "levels": levels})
    absent = [name for name in SUBGROUPS if name not in {test["subgroup"] for test in tests}]
    return {"words": _words(tests), "subgroups": subgroups, "absent": absent, "fewest": FEWEST}


def single_patients(run: FinishedRun) -> pd.DataFrame:
    """How the AUROCs change without each patient, a row a target and labelled patient.

    Returns:
        Columns target, patient_id, label, probability (mean over repeats), lesions, patient and lesion: the
        changes of the patient-level and of the lesion-level AUROC.
    """
    patients, lesions = patient_level(run.predictions, by_fold=True), labelled(run.predictions)
    owners = run.entering["patient_id"].value_counts()
    tables = []
    for target in run.results["receptors"]:
        rows = patients[patients["target"] == target]
        table = rows.groupby("patient_id").agg(label=("label", "first"), probability=("probability", "mean"))
        table["lesions"] = owners
        table["patient"] = leave_one_out(rows)
        table["lesion"] = leave_one_out(lesions[lesions["target"] == target])
        tables.append(table.reset_index().assign(target=target))
    return pd.concat(tables, ignore_index=True)


def most_influential(changes: pd.DataFrame, run: FinishedRun, names: dict[str, str]) -> list[dict[str, Any]]:
    """The patients without whom the patient AUROC of a target moves most, and where it goes.

    Args:
        changes: of `single_patients`.
        run: whose AUROCs they change.
        names: pseudonyms by patient id.
    """
    rows = []
    for target, block in run.results["receptors"].items():
        patients = changes[(changes["target"] == target) & changes["patient"].notna()]
        order = patients["patient"].abs().sort_values(ascending=False, kind="stable").index
        for row in patients.loc[order[:SHOWN]].to_dict("records"):
            without = block["patient"]["auroc"] + row["patient"]
            facts = {str(key): value for key, value in row.items()}
            rows.append({**facts, "name": names[str(row["patient_id"])], "without": without})
    return rows


def chosen_content(run: FinishedRun) -> dict[str, Any] | None:
    """Stability by target, and the columns chosen most often with their share of folds a target."""
    blocks = run.results.get("stability")
    if not blocks:
        return None
    shares = {target: dict(block["frequency"]) for target, block in blocks.items()}
    names = dict.fromkeys(name for share in shares.values() for name in share)
    order = sorted(names, key=lambda name: -sum(share.get(name, 0) for share in shares.values()))
    rows = [
        {"name": name, "shares": [share.get(name, 0.0) for share in shares.values()]}
        for name in order[:COLUMNS]
    ]
    return {"blocks": blocks, "rows": rows, "columns": len(order)}


def _words(tests: list[SubgroupTest]) -> str:
    defined = [test for test in tests if not math.isnan(test["q"])]
    different = [f"{test['subgroup']} ({test['target']})" for test in defined if test["q"] < SURE]
    if different:
        return f"The AUROC differs between the levels of {listed(different)}."
    if defined:
        smallest = min(test["q"] for test in defined)
        return (
            f"No difference between subgroups is shown: of {len(defined)} tests the smallest q is "
            f"{number(smallest)}. Small subgroups show large differences only."
        )
    return "No subgroup has two levels that are large enough to be compared."
