"""Lesions worth a look, in words beside their pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bcbm.report.words import number
from bcbm.runs.views import View

STATUS = {1.0: "positive", 0.0: "negative"}


def shown_views(
    views: Sequence[View],
    pictures: Mapping[str, str],
    table: pd.DataFrame,
    names: Mapping[str, str],
    rows: pd.DataFrame | None = None,
) -> list[dict[str, str]]:
    """Pictures with what they show, those of errors with the probability that a model gave.

    Args:
        views: in order; one whose lesion has no picture, or is not in the table, is left out.
        pictures: addresses by lesion.
        table: the lesion table.
        names: of patients as the page may name them, by id.
        rows: predictions of lesions, see `with_lesions`; None where there are none.

    Returns:
        `picture` and `caption` of each.
    """
    shown_ids = {name for view in views for name in (view.lesion_id, view.like)}
    lesions = table[table["lesion_id"].isin(shown_ids)].set_index("lesion_id").to_dict("index")
    probabilities = rows.set_index(["lesion_id", "target"])["probability"] if rows is not None else None
    shown = []
    for view in views:
        if view.lesion_id not in pictures or not {view.lesion_id, view.like} <= {*lesions, ""}:
            continue
        lesion: Any = lesions[view.lesion_id]
        place = f"{lesion['hemisphere']} {lesion['region']}, {number(lesion['volume'], 0)} mm³"
        text = f"{names[str(lesion['patient_id'])]}, {place}"
        status = STATUS.get(lesion[view.target], "unknown") if view.target else ""
        if view.kind == "error" and probabilities is not None:
            chance = number(float(probabilities[view.lesion_id, view.target]))
            text = f"{view.target}, surest wrong answer: probability {chance}, {status}. {text}"
        elif view.kind == "look-alike":
            owner = names[str(lesions[view.like]["patient_id"])]
            label = f"; {view.target} {status}" if status else ""
            text = f"Looks like the lesion of {owner}: {text}{label}"
        else:
            text = f"Registration in doubt: {text}{_doubts(lesion)}"
        shown.append({"picture": pictures[view.lesion_id], "caption": text})
    return shown


def _doubts(lesion: Any) -> str:
    overlap = f"overlap with the template {number(lesion.get('mni_overlap'))}"
    return "".join(f"; {words}" for words in (overlap, lesion.get("doubts")) if words)
