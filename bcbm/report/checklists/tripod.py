"""TRIPOD+AI (Collins et al., BMJ 385:e078378, 2024)."""

from bcbm.report.checklists import facts
from bcbm.report.checklists.facts import Answer, Answers
from bcbm.runs.finished import FinishedRun


def answers(run: FinishedRun, shared_patients: int) -> Answers:
    """Of every item that the run knows anything of; an empty text leaves it blank."""
    config = run.config
    task, loss, is_network = config["task"], config["loss"], config["model"]["kind"] == "network"
    subgroups = facts.has_subgroups(run)
    weights = f"class weights {'on' if loss['class_weights'] else 'off'}"
    weights += f", calibration {config.get('calibration', 'none')}"
    groups = "AUROC of subgroups with intervals" if subgroups else "Brier score by size and region of lesions"
    statements = {
        "4": Answer(
            "stated", "a model is developed and cross-validated; none is evaluated elsewhere", "card"
        ),
        "6b": Answer("partly", f"cohort.policy {config['cohort']['policy']}; {facts.flow(run)}", "flow"),
        "7": Answer("partly", facts.preprocessing(config), "card_training"),
        "9b": Answer("partly", f"modalities: {', '.join(task['modalities'])}", "card_training"),
        "11": Answer("stated", facts.missing_data(run), "flow"),
        "12a": Answer("stated", facts.division(run, shared_patients), "leak"),
        "12c": Answer("stated", f"{facts.model(config)}; {facts.tuning(run)}", "card_training"),
        "12e": Answer(
            "stated",
            "AUROC, average precision, Brier score, calibration, decision curve, operating points",
            "curves",
        ),
        "12f": Answer("n/a", "nothing was updated"),
        "12g": Answer("stated", f"lesions become a patient by: {task['aggregate']}", "card_training"),
        "13": Answer("stated", f"loss {loss['kind']}, {weights}" if is_network else weights, "card_training"),
        "15": Answer(
            "stated",
            "a probability a target; thresholds from the validation patients of the fold",
            "operating",
        ),
        "16": Answer("stated", "none: training and evaluation patients are folds of one cohort", "leak"),
        "18f": Answer("partly", f"{facts.code(run)}; where it is published is the authors' to say", "card"),
        "20a": Answer("stated", facts.flow(run), "flow"),
        "20b": Answer("partly", facts.characteristics(run), "table1"),
        "21": Answer("stated", facts.events(run), "results"),
        "22": Answer("partly", facts.fitted_models(run), "explanations"),
        "23a": Answer(
            "stated" if subgroups else "partly",
            f"results with intervals; {groups}",
            "subgroups" if subgroups else "errors",
        ),
        "23b": Answer("partly", _clusters(run), "subgroups"),
        "24": Answer("n/a", "nothing was updated"),
        "26": Answer("partly", "limits that every run of this kind has", "card_limits"),
    }
    if facts.is_synthetic(run):
        statements |= {
            "5a": Answer("stated", "the embedded cohort: invented patients", "card_data"),
            "8a": Answer("stated", "invented labels", "card_data"),
            "18e": Answer("stated", "the program writes the embedded cohort", "card_data"),
        }
    return {number: answer for number, answer in statements.items() if answer.text}


def _clusters(run: FinishedRun) -> str:
    """Which kinds of scanner the page compares; empty where there is one or none is known."""
    tested = {test["subgroup"] for test in run.results.get("subgroups", [])}
    names = [name for name in ("manufacturer", "field strength") if name in tested]
    return f"AUROC by {' and '.join(names)}" if names else ""
