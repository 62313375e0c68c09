"""Which lesions of a cohort are worth a look, and their pictures."""

from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.cohort.findings import doubtful_studies
from bcbm.cohort.measurements import UNPLACED
from bcbm.cohort.near import nearest_of_others, standardised
from bcbm.features.geometry import Form
from bcbm.imaging.pictures import lesion_pictures
from bcbm.preparation.lesions import Lesions
from bcbm.report.figures.errors import most_confident, with_lesions
from bcbm.runs.finished import FinishedRun
from bcbm.runs.views import VIEWS, View, write_views

DOUBTS = 4  # studies whose registration is in doubt, the most doubtful first
PAIRS = 4  # pairs of look-alikes of an audit


def error_views(rows: pd.DataFrame, lesions: Lesions) -> list[View]:
    """The surest wrong answer of each target, each followed by what looks most like it.

    Args:
        rows: labelled predictions of lesions, see `with_lesions`.
        lesions: of which they are.
    """
    own = {str(patient): str(patient) for patient in rows["patient_id"]}
    views = []
    for example in most_confident(rows, own, count=1):
        if not example["right"]:
            lesion, target = str(example["lesion_id"]), str(example["target"])
            views.append(View("error", lesion, target))
            views += [View("look-alike", other, target, lesion) for other in _look_alike(lesion, lesions)]
    return views


def doubt_views(table: pd.DataFrame) -> list[View]:
    """The largest lesion of each study whose registration is in doubt, of many the first ones."""
    if not {"mni_overlap", "doubts"} <= set(table):
        return []
    studies = list(dict.fromkeys(problem.where for problem in doubtful_studies(table)))
    failed = table.loc[table["doubts"].str.contains(UNPLACED), "study_id"]
    drawn = ~table["excluded"] & (table["image_path"] != "") & (table["mask_path"] != "")
    lesions = table[drawn].sort_values("volume")
    largest = lesions.groupby("study_id")["lesion_id"].last()
    order = list(dict.fromkeys([*failed, *studies]))
    return [View("doubt", str(largest[study])) for study in order if study in largest.index][:DOUBTS]


def pair_views(entering: pd.DataFrame, values: np.ndarray) -> list[View]:
    """The lesions of different patients that look most alike, a pair a patient.

    Args:
        entering: the lesions, N rows.
        values: their radiomics, (N, F).
    """
    lesions, points, patients = _comparable(entering, values)
    others, distances = nearest_of_others(points, patients, np.arange(len(points)))
    views: list[View] = []
    seen: set[str] = set()
    for row in np.argsort(distances, kind="stable"):
        pair = row, others[row]
        if np.isfinite(distances[row]) and not seen & set(patients[list(pair)]) and len(seen) < 2 * PAIRS:
            seen |= set(patients[list(pair)])
            first, second = (lesions[place] for place in pair)
            views += [View("look-alike", first, like=second), View("look-alike", second, like=first)]
    return views


def drawn_views(
    rows: pd.DataFrame, lesions: Lesions, form: Form, folder: Path
) -> tuple[list[View], dict[str, Path]]:
    """Errors and doubts of lesions whose images were read, and by lesion their pictures; none of others.

    Args:
        rows: labelled predictions of them, see `with_lesions`.
        lesions: prepared.
        form: which form of a header to believe where the two disagree.
        folder: gets the pictures in place of older ones.
    """
    if lesions.root is None or {"crops", "appearance"}.isdisjoint(lesions.values):
        return [], {}
    views = error_views(rows, lesions) + doubt_views(lesions.table)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    names = [view.lesion_id for view in views]
    return views, lesion_pictures(lesions.table, lesions.root, form, names, folder)


def record_views(run: FinishedRun, lesions: Lesions, form: Form) -> None:
    """Draw what is worth a look among the lesions that a run was trained on into its folder."""
    rows = with_lesions(run.predictions, run.lesions)
    views, pictures = drawn_views(rows, lesions, form, run.folder / VIEWS)
    if views:
        write_views(run.folder, views, pictures)


def _look_alike(lesion: str, lesions: Lesions) -> list[str]:
    """The lesion of another patient that looks most like one; none where none can be compared."""
    if "radiomics" not in lesions.values:
        return []
    names, points, patients = _comparable(lesions.entering, lesions.values["radiomics"])
    if lesion not in names:
        return []
    (other,), (distance,) = nearest_of_others(points, patients, np.array([names.index(lesion)]))
    return [names[other]] if np.isfinite(distance) else []


def _comparable(entering: pd.DataFrame, values: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Ids, standardised radiomics and patients of the lesions that have all of them."""
    whole = np.isfinite(values).all(axis=1)
    lesions = entering[whole]
    points = standardised(values[whole]) if whole.any() else values[whole]
    return list(map(str, lesions["lesion_id"])), points, lesions["patient_id"].to_numpy(str)
