"""TRIPOD+AI's items of an evaluation, filled with what a validation knows and left blank elsewhere."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bcbm.config.compose import plain
from bcbm.report.checklists import checklist
from bcbm.report.checklists.facts import BLANK, Answer, Answers, preprocessing
from bcbm.report.words import number
from bcbm.system.version import __version__
from bcbm.system.words import counted, listed
from bcbm.validation.cohorts import FrozenCohort

if TYPE_CHECKING:
    from bcbm.validation.validate import Validation


def filled_checklist(validation: "Validation", cohorts: Sequence[FrozenCohort]) -> dict[str, Any]:
    """The checklist in the shape of `checklists.filled_checklists`."""
    content, known = checklist("tripod"), _answers(validation, cohorts)
    items = [{**item, "answer": known.get(item["number"], BLANK)} for item in content["items"]]
    about = (
        "27 items in their parts, as far as an evaluation asks them. The text of the article is the authors'."
    )
    return {
        **content,
        "about": about,
        "conditions": [],
        "items": items,
        "open": sum(item["answer"] is BLANK for item in items),
    }


def _answers(validation: "Validation", cohorts: Sequence[FrozenCohort]) -> Answers:
    config, targets = cohorts[0].config, validation["targets"]
    excluded = [cohort.lesions.table["excluded"] for cohort in cohorts]
    flow = listed(
        [
            f"{cohort['name']}: {counted(cohort['patients'], 'patient')}, "
            f"{counted(cohort['lesions'], 'lesion')} ({int(out.sum()):,} excluded, with reasons)"
            for cohort, out in zip(validation["cohorts"], excluded, strict=True)
        ]
    )
    blocks = {
        f"{cohort['name']}, {target}": cohort["results"]["receptors"][target]
        for cohort in validation["cohorts"]
        for target in targets
    }
    events = [f"{name} {b['positives']} of {b['positives'] + b['negatives']}" for name, b in blocks.items()]
    unlabelled = [f"{name} {block['unlabelled']}" for name, block in blocks.items()]
    least = [
        f"{name} {number(block['patient']['smallest_auroc'])}"
        for name, block in blocks.items()
        if "patient" in block
    ]
    thresholds = [
        f"{name} {number(block['patient']['threshold'], 3)}"
        for name, block in blocks.items()
        if "patient" in block
    ]
    missing = "does not enter" if config.task.missing == "exclude" else "enters with what it has"
    contents = [f"{cohort['name']} (content {cohort['content']})" for cohort in validation["cohorts"]]
    several, held_out = len(cohorts) > 1, validation["held_out"]
    trained = "every site is tested by a model of the others" if held_out else "all patients test the model"
    frozen = "a model of the other sites is evaluated" if held_out else "a frozen model is evaluated"
    place = "its run" if held_out else "the model's folder"
    answers = {
        "4": Answer("stated", f"{frozen}, as it is", "results"),
        "5a": Answer("partly", f"evaluated on {listed(contents)}", "results"),
        "6b": Answer("partly", f"cohort.policy {config.cohort.policy}; {flow}", "results"),
        "7": Answer("stated", f"{preprocessing(plain(config))}; steps and settings of the training", "shift"),
        "9b": Answer("partly", f"modalities: {', '.join(config.task.modalities)}"),
        "10": Answer("partly", f"least AUROC to be seen with 80 % power: {listed(least)}", "results"),
        "11": Answer(
            "stated",
            f"a lesion that lacks a modality {missing}; patients without a label: {listed(unlabelled)}",
        ),
        "12a": Answer("stated", f"{trained}; by content, it was trained on none", "results"),
        "12d": Answer("stated", "random effects over cohorts", "results") if several else BLANK,
        "12e": Answer(
            "stated",
            "AUROC, average precision, Brier score, calibration, decision curve, frozen thresholds",
            "calibration",
        ),
        "12f": Answer("stated", "recalibration, cross-validated, beside the frozen figures", "recalibration"),
        "12g": Answer(
            "stated",
            f"mean of {counted(validation['networks'], 'network')}; lesions become a patient by "
            f"{config.task.aggregate}",
        ),
        "15": Answer(
            "stated", f"a probability a target; thresholds as frozen: {listed(thresholds)}", "decisions"
        ),
        "16": Answer("stated", "inputs and prevalence of training and evaluation, side by side", "shift"),
        "18f": Answer("partly", f"bcbm {__version__}; where it is published is the authors' to say"),
        "20a": Answer("stated", flow, "results"),
        "20c": Answer("stated", "standardised differences of every input with a summary", "shift"),
        "21": Answer("stated", f"positive patients: {listed(events)}", "results"),
        "22": Answer("stated", f"{place}, identity {validation['model']}"),
        "23a": Answer("stated", "every figure with its 95 % interval; subgroups", "results"),
        "23b": Answer("stated", "forest plot, heterogeneity and prediction interval", "results")
        if several
        else BLANK,
        "24": Answer("stated", "what recalibration gives on patients it has not seen", "recalibration"),
    }
    return {name: answer for name, answer in answers.items() if answer is not BLANK}
