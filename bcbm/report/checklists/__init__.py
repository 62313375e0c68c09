"""Reporting checklists, filled with what a run's files know and left to the authors wherever they do not."""

from pathlib import Path
from typing import Any

import yaml

from bcbm.report.checklists import claim, metrics, tripod
from bcbm.report.checklists.facts import BLANK, Answer
from bcbm.runs.finished import FinishedRun

ANSWERS = {"metrics": metrics.answers, "tripod": tripod.answers, "claim": claim.answers}
OPEN = {"", "not reported"}  # an answer that is the authors' to give


def filled_checklists(run: FinishedRun, shared_patients: int) -> list[dict[str, Any]]:
    """All checklists, each item with its answer.

    Args:
        run: the run.
        shared_patients: patients that stand in two parts of a fold, summed over folds.

    Returns:
        A dictionary a checklist: key, name, source, about, conditions [{number, asks, answer}], items
        [{number, section, asks, answer}] and open, how many are left to the authors.
    """
    holds = {"metrics": metrics.conditions(run)}
    checklists = []
    for checklist in _checklists():
        answers = ANSWERS[checklist["key"]](run, shared_patients)
        conditions = holds.get(checklist["key"], {})
        unknown = Answer("not reported") if checklist["key"] == "claim" else BLANK
        items = []
        for item in checklist["items"]:
            unmet = [name for name in item.get("if", []) if conditions[name].status == "no"]
            answer = Answer("n/a", f"condition {unmet[0]} does not hold") if unmet else None
            items.append({**item, "answer": answer or answers.get(item["number"], unknown)})
        condition_rows = [
            {"number": name, "asks": asks, "answer": conditions[name]}
            for name, asks in checklist["conditions"].items()
        ]
        left = sum(item["answer"].status in OPEN for item in items)
        checklists.append({**checklist, "conditions": condition_rows, "items": items, "open": left})
    return checklists


def checklist(key: str) -> dict[str, Any]:
    """A checklist by its key, nothing answered yet.

    Raises:
        KeyError: there is none of that key.
    """
    return {content["key"]: content for content in _checklists()}[key]


def _checklists() -> list[dict[str, Any]]:
    path = Path(__file__).with_name("items.yaml")
    checklists: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return checklists
