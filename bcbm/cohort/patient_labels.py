"""What the labels of a patient's lesions say of the patient, where receptors convert (`cohort.labels`).

A patient is positive if any of its labelled lesions is, and negative if all of them are. Every figure, fold,
threshold and calibration of patients takes its labels from `patient_labels`; the bags of a network, which are
tensors, follow the same rule in `model.attention.any_of_bag`.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

from bcbm.errors import Problem
from bcbm.system.words import counted, listed

Owner = Literal["patient", "study", "lesion"]  # whose a label is (`cohort.labels`)
OWNERS = {"patient": "patient_id", "study": "study_id", "lesion": "lesion_id"}  # columns of the lesion table
NAMED = 5  # patients that a message names
Table = TypeVar("Table", pd.Series, pd.DataFrame)


def patient_labels(labels: Table, owners: Any) -> Table:
    """The label of every patient: 1 if any of its lesions is 1, else 0 if any is 0, else NaN.

    Args:
        labels: of lesions, 1, 0 or NaN: a column, or a column a target, N rows.
        owners: the patient of each lesion, (N,), or several such keys.

    Returns:
        A row a patient, in order.
    """
    return labels.groupby(owners).max()


def both_labels(labels: Table, owners: Any) -> Table:
    """Whether a patient's lesions hold both labels; arguments and rows as of `patient_labels`."""
    return labels.groupby(owners).nunique() > 1


def converted(table: pd.DataFrame, targets: Sequence[str], owner: Owner) -> list[Problem]:
    """How patients count whose lesions hold both labels, a note a target.

    Args:
        table: the settled lesion table.
        targets: its columns of labels.
        owner: whose they are.
    """
    entering = table[~table["excluded"].astype(bool)]
    both = both_labels(entering[list(targets)], entering["patient_id"])
    notes = []
    for target in targets:
        names = list(map(str, both.index[both[target]]))
        if names:
            text = f"{counted(len(names), 'patient')} with both labels ({listed(names, NAMED)})"
            remedy = f"counted as positive, as any of their lesions is (cohort.labels={owner})"
            notes.append(Problem(target, text, remedy, "patients with both labels"))
    return notes


def contradicted(table: pd.DataFrame, targets: Sequence[str]) -> list[Problem]:
    """Lesions that another one stands for and that have another label than it, in the settled table."""
    copies = table[table["duplicate_of"] != ""]
    own, owners = copies[list(targets)], table.set_index("lesion_id")[list(targets)]
    counts = owners.reindex(copies["duplicate_of"]).set_axis(copies.index)
    differ = (own.notna() & counts.notna() & (own != counts)).to_numpy()
    problems = []
    for lesion, other, row in zip(copies["lesion_id"], copies["duplicate_of"], differ, strict=True):
        if names := [target for target, differs in zip(targets, row, strict=True) if differs]:
            text = f"is the same as {other}, and has another label of {', '.join(names)}"
            remedy = f"correct one; that of {other} counts"
            problems.append(Problem(str(lesion), text, remedy, "one lesion with two labels"))
    return problems


def permute_labels(
    table: pd.DataFrame, targets: Sequence[str], seed: list[int], owner: Owner = "patient"
) -> pd.DataFrame:
    """The table with all labels of its patients, (T) at a time, dealt out anew.

    Where studies or lesions have labels of their own, a patient gets the pattern of another: of its studies,
    in a random order, as large a part is positive, negative and of no label. One at least has the label that
    the other patient has, so that labels of patients are dealt out as they are.
    """
    units = table.drop_duplicates(OWNERS[owner])
    labels, rng = units[list(targets)].to_numpy(np.float64), np.random.default_rng(seed)
    patients = [rows for _, rows in sorted(units.groupby("patient_id").indices.items())]
    dealt = np.empty_like(labels)
    for rows, place in zip(patients, rng.permutation(len(patients)), strict=True):
        pattern = -np.sort(-labels[patients[place]], axis=0)  # positive first, then negative, then missing
        dealt[rng.permutation(rows)] = pattern[np.arange(len(rows)) * len(pattern) // len(rows)]
    given = pd.DataFrame(dealt, units[OWNERS[owner]], list(targets)).loc[table[OWNERS[owner]]]
    return table.assign(**{target: given[target].to_numpy() for target in targets})
