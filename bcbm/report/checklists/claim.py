"""CLAIM, 2024 update (Tejani et al., Radiology: Artificial Intelligence 6:e240300, 2024)."""

from typing import Any

from bcbm.report.checklists import facts
from bcbm.report.checklists.facts import MEASURED, UNCERTAINTY, UNDEFINED, Answer, Answers, either
from bcbm.runs.finished import FinishedRun

UNMEASURED = "no image and no radiomics enter"


def answers(run: FinishedRun, shared_patients: int) -> Answers:
    """Of every item that the run knows anything of; whatever is missing here is not reported."""
    config = run.config
    modalities, is_network = config["task"]["modalities"], config["model"]["kind"] == "network"
    measured, repeats = bool(MEASURED & set(modalities)), config["split"]["repeats"]
    has_figures, division = facts.has_figures(run), facts.division(run, shared_patients)
    figures = "LEAKY: no figure is a result" if shared_patients else UNDEFINED
    stands = has_figures and not shared_patients
    acquisition = facts.acquisition(run)
    known = {
        "6": Answer("yes", "research on methods: a model is developed and cross-validated", "card_use"),
        "8": Answer("yes", f"cohort.policy {config['cohort']['policy']}; {facts.flow(run)}", "flow"),
        "9": _preprocessed(config),
        "10": Answer("yes", "every lesion that does not enter has its reason", "flow"),
        "12": Answer("yes", facts.missing_data(run), "flow"),
        "13": Answer("not reported", acquisition) if measured else Answer("n/a", UNMEASURED),
        "19": Answer("yes", division, "leak"),
        "20": either(not shared_patients, "patients", "leak", division),
        "21": Answer("not reported", facts.rarer_class(run)),
        "22": Answer("yes", facts.model(config), "card_training"),
        "23": Answer("yes", facts.code(run), "card_training"),
        "24": Answer("yes", _start(run), "card_training")
        if is_network
        else Answer("n/a", "nothing starts from drawn weights"),
        "25": Answer("yes", f"settings and seed; {facts.tuning(run)}", "card_training"),
        "26": Answer("yes", f"one model a fold; {facts.tuning(run)}", "card_training"),
        "27": Answer("yes", f"the mean of {seeds} seeds predicts", "results")
        if (seeds := config.get("seeds", 1)) > 1
        else Answer("n/a", "one model predicts each patient"),
        "28": Answer(
            "yes", "AUROC, average precision, Brier score, calibration, operating points", "results"
        ),
        "29": either(has_figures, UNCERTAINTY, "results", UNDEFINED),
        "30": either(
            "influence" in run.results,
            f"single patients left out, subgroups, {repeats} {'repeats' if repeats > 1 else 'repeat'}",
            "influence",
            "evaluate the run again with this version",
        ),
        "31": _explained(run),
        "32": _tested(run, stands, figures),
        "33": Answer("no", "nothing was tested on patients from elsewhere"),
        "35": Answer("yes", facts.flow(run), "flow"),
        "36": Answer("no", f"not by fold; {facts.characteristics(run)}"),
        "37": either(stands, f"AUROC with intervals; {facts.events(run)}", "results", figures),
        "38": either(stands, "sensitivity, specificity, PPV and NPV", "operating", figures),
        "39": Answer("yes", "errors by size and place, and the surest wrong answers", "errors"),
        "40": Answer("yes", "limits that every run of this kind has", "card_limits"),
        "41": Answer("yes", "not for any decision about a patient", "card_use"),
        "43": Answer("not reported", facts.code(run)),
    }
    if facts.is_synthetic(run):
        invented = "the embedded cohort: invented patients and labels"
        known |= dict.fromkeys(("5", "11", "13", "15", "16", "17", "18", "34"), Answer("n/a", invented))
        known |= dict.fromkeys(("7", "14"), Answer("yes", invented, "card_data"))
    return known


def _preprocessed(config: dict[str, Any]) -> Answer:
    if not MEASURED & set(config["task"]["modalities"]):
        return Answer("n/a", UNMEASURED)
    ours = facts.reads_crops(config["task"]["modalities"]) or config["features"]["radiomics"] == "extract"
    text = facts.preprocessing(config)
    return Answer("yes", text, "card_training") if ours else Answer("not reported", text)


def _tested(run: FinishedRun, stands: bool, figures: str) -> Answer:
    if run.chosen_by:
        return Answer("no", "a search chose the settings on the tested patients too")
    return either(stands, f"{facts.folds(run)}; every figure is out of fold", "results", figures)


def _start(run: FinishedRun) -> str:
    weights = "pretrained weights" if run.config["model"]["weights"] else "drawn at random"
    return f"{weights}, seed {run.environment['seed']}"


def _explained(run: FinishedRun) -> Answer:
    if run.config["model"]["kind"] == "network":
        explained = (run.folder / "explanations.json").is_file()
        return either(explained, "what the network looks at", "explanations", "python -m bcbm.explain")
    chosen = "stability" in run.results
    return either(chosen, "the columns that the folds have chosen", "columns", "columns are not on this page")
