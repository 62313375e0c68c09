"""METRICS and TRIPOD+AI, filled with what a run's files know and blank wherever they do not."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bcbm.features.radiomics import FEATURES
from bcbm.modalities import MODALITIES
from bcbm.modalities.position import COORDINATES, PLACES
from bcbm.runs.finished import FinishedRun

INTENSITIES = {"zscore": "z-score inside the brain", "percentile": "1st to 99th percentile as 0 to 1"}


@dataclass(frozen=True)
class Answer:
    """What is known of an item: yes, partly, no, n/a, or blank for a person; and the facts behind it."""

    status: str = ""
    text: str = ""


BLANK = Answer()
Answers = dict[str, Answer]


def filled_checklists(run: FinishedRun, shared_patients: int) -> list[dict[str, Any]]:
    """Both checklists, each item with its answer.

    Args:
        run: the run.
        shared_patients: patients that stand in two parts of a fold, summed over folds.

    Returns:
        A dictionary a checklist: key, name, source, about, conditions [{number, asks, answer}], items
        [{number, section, asks, answer}] and blank, how many are left to the authors.
    """
    answering: dict[str, Callable[[FinishedRun, int], Answers]] = {"metrics": _metrics, "tripod": _tripod}
    holds = {"metrics": _conditions(run), "tripod": {}}
    checklists = []
    for checklist in yaml.safe_load(Path(__file__).with_name("items.yaml").read_text()):
        answers, conditions = answering[checklist["key"]](run, shared_patients), holds[checklist["key"]]
        items = []
        for item in checklist["items"]:
            unmet = [name for name in item.get("if", []) if conditions[name].status == "no"]
            answer = Answer("n/a", f"condition {unmet[0]} does not hold") if unmet else None
            items.append({**item, "answer": answer or answers.get(item["number"], BLANK)})
        condition_rows = [
            {"number": name, "asks": asks, "answer": conditions[name]}
            for name, asks in checklist["conditions"].items()
        ]
        blank = sum(not item["answer"].status for item in items)
        checklists.append({**checklist, "conditions": condition_rows, "items": items, "blank": blank})
    return checklists


def _conditions(run: FinishedRun) -> Answers:
    modalities = run.config["task"]["modalities"]
    tables = _tables(modalities)
    return {
        "1": Answer("yes", "every lesion is a mask of the cohort"),
        "2": Answer("", "the masks come with the cohort; nothing is segmented here"),
        "3": _either("radiomics" in modalities, f"{len(FEATURES)} radiomics", "radiomics are switched off"),
        "4": _either(bool(tables), " and ".join(tables), "the image alone enters"),
        "5": _either("image" in modalities, "crops enter a 3D network", "the image is switched off"),
    }


def _metrics(run: FinishedRun, shared_patients: int) -> Answers:
    config, modalities = run.config, run.config["task"]["modalities"]
    extracted = config["features"]["radiomics"] == "extract"
    network = config["model"]["kind"] == "network"
    answers = {
        "1": Answer("partly", "this page fills METRICS and TRIPOD+AI as far as the run knows"),
        "2": Answer("partly", f"{_flow(run)}; whom they represent is the authors' to say"),
        "3": _synthetic(run, "no", "labels of the embedded cohort are invented")
        or Answer("", "the cohort's clinical table; how a status was determined is not in it"),
        "6": _acquisition(run),
        "8": Answer("", "masks are taken from the cohort as they are"),
        "11": Answer("yes", _crops(config)) if "image" in modalities else BLANK,
        "18": _division(run, shared_patients),
        "19": Answer("", "python -m bcbm.audit tests acquisition against targets"),
        "20": Answer("yes", "of patients: AUROC, average precision, Brier score, operating points"),
        "21": Answer("yes", _uncertainty(config)),
        "22": Answer("yes", "slope, intercept and reliability plot of patients"),
        "23": Answer("yes", f"of a study is read: {_sequences(config)}") if "image" in modalities else BLANK,
        "24": Answer("", "python -m bcbm.compare puts experiments side by side"),
        "25": Answer("", "python -m bcbm.compare puts experiments side by side"),
        "26": Answer("no", "training and test patients are not apart") if shared_patients else _tested(run),
        "28": _synthetic(run, "yes", "the program writes the embedded cohort") or BLANK,
        "29": Answer("partly", f"{_code(run)}; where it is published is the authors' to say"),
        "30": _checkpoints(run),
    }
    if "radiomics" in modalities:
        values = "values are those of the cohort's workbook; its authors know software and settings"
        software = f"pyradiomics-bhklab {run.environment['versions'].get('pyradiomics-bhklab', '')}"
        settings = "kept with the values in radiomics.parquet, original image, 7 classes"
        answers["12"] = Answer("yes", software) if extracted else Answer("", values)
        answers["13"] = Answer("yes", settings) if extracted else Answer("", values)
    if "radiomics" in modalities and network:
        answers["14"] = answers["15"] = Answer("no", f"all {len(FEATURES)} enter; the network is regularised")
    places = len(PLACES) + (len(COORDINATES) if config["features"]["coordinates"] else 0)
    columns = {"radiomics": len(FEATURES), "position": places}
    parts = [f"{columns[name]} {name}" if name in columns else name for name in _tables(modalities)]
    answers["16"] = Answer("", f"columns: {', '.join(parts)}; {_rarer_class(run)}")
    if config["split"]["repeats"] > 1:
        answers["17"] = Answer("partly", f"cross-validated {config['split']['repeats']} times over")
    return answers


def _tripod(run: FinishedRun, shared_patients: int) -> Answers:
    config = run.config
    task, loss = config["task"], config["loss"]
    tuned = dict.fromkeys([*config["tune"], *(name for chosen in run.chosen.values() for name in chosen)])
    unknown = _unknown_labels(run)
    missing = "does not enter" if task["missing"] == "exclude" else "enters with what it has"
    inside = f"tuned inside each fold: {', '.join(tuned)}" if tuned else ""
    chosen = f"settings chosen on all patients by a search: {run.chosen_by}" if run.chosen_by else ""
    tuning = "; ".join(filter(None, [chosen, inside])) or "not tuned"
    statements = {
        "4": "a model is developed and cross-validated; none is evaluated elsewhere",
        "6b": f"cohort.policy {config['cohort']['policy']}; {_flow(run)}",
        "7": _crops(config) if "image" in task["modalities"] else "",
        "9b": f"modalities: {', '.join(task['modalities'])}",
        "11": f"a lesion that lacks a modality {missing}; {unknown}, left out of that target's figures",
        "12a": _division(run, shared_patients).text,
        "12c": f"{_model(config)}; {tuning}",
        "12e": "AUROC, average precision, Brier score, calibration, decision curve, operating points",
        "12g": f"lesions become a patient by: {task['aggregate']}",
        "13": f"loss {loss['kind']}, class weights {'on' if loss['class_weights'] else 'off'}"
        if config["model"]["kind"] == "network"
        else "",
        "15": "a probability a target; thresholds from the validation patients of the fold",
        "16": "none: training and evaluation patients are folds of one cohort",
        "18f": _code(run),
        "20a": f"{_flow(run)}; flow chart above",
        "20b": unknown,
        "21": _events(run),
        "22": _checkpoints(run).text,
        "23a": "results with 95 % intervals above; Brier score by size and region of lesions",
        "24": "nothing was updated",
        "26": "limits of the model card above",
    }
    if not config["cohort"]["root"]:
        statements |= {"5a": "the embedded cohort: invented patients", "8a": "invented labels"}
        statements |= {"18e": "the program writes the embedded cohort"}
    return {number: Answer("stated", text) for number, text in statements.items() if text}


def _tables(modalities: list[str]) -> list[str]:
    """Those that are columns of numbers, in the order of the registry; what is not installed here counts."""
    order = [*(name for name in MODALITIES if name in modalities), *modalities]
    return [name for name in dict.fromkeys(order) if name not in MODALITIES or MODALITIES[name].tabular]


def _either(holds: bool, yes: str, no: str) -> Answer:
    return Answer("yes", yes) if holds else Answer("no", no)


def _synthetic(run: FinishedRun, status: str, text: str) -> Answer | None:
    return None if run.config["cohort"]["root"] else Answer(status, text)


def _flow(run: FinishedRun) -> str:
    patients = run.entering["patient_id"].nunique()
    return f"{len(run.entering):,} of {len(run.lesions):,} segmentations enter, {patients:,} patients"


def _crops(config: dict[str, Any]) -> str:
    features = config["features"]
    edge = f"{features['crop_size']} voxels of {features['crop_spacing']:g} mm"
    intensity = INTENSITIES.get(features["crop_intensity"], "intensities as stored")
    return f"cubic crops of {_sequences(config)}, {edge}; {intensity}"


def _sequences(config: dict[str, Any]) -> str:
    return " and ".join(config["task"].get("sequences", ["t1c"]))


def _acquisition(run: FinishedRun) -> Answer:
    columns = ("manufacturer", "field_strength", "pixel_spacing")
    cells = run.lesions.reindex(columns=list(columns)).fillna("").astype(str)
    filled = [name for name in columns if cells[name].ne("").any()]
    return (
        Answer("partly", f"lesions.parquet holds {', '.join(filled).replace('_', ' ')}") if filled else BLANK
    )


def _division(run: FinishedRun, shared_patients: int) -> Answer:
    facts = f"{_folds(run)}, split by {run.split['unit']}, hash {run.split['hash']}; patients in two parts: "
    return Answer("no" if shared_patients else "yes", f"{facts}{shared_patients}")


def _tested(run: FinishedRun) -> Answer:
    if run.chosen_by:
        return Answer("partly", f"{_folds(run)}, but a search chose the settings on the tested patients too")
    return Answer("yes", f"{_folds(run)}; every figure is out of fold")


def _folds(run: FinishedRun) -> str:
    if names := run.results["split"].get("folds"):
        return f"{len(names)} given folds ({', '.join(names)})"
    split = run.config["split"]
    return f"{split['repeats']} x {split['folds']} folds"


def _uncertainty(config: dict[str, Any]) -> str:
    return "95 % intervals, p and q that count refitting; their coverage was simulated"


def _code(run: FinishedRun) -> str:
    return f"bcbm {run.environment['versions'].get('bcbm', '')}, commit {run.environment['commit'][:12]}"


def _checkpoints(run: FinishedRun) -> Answer:
    count = len(list(run.folder.glob("fold=*/checkpoints/*")))
    return Answer("partly", f"{count} checkpoints lie in the run folder") if count else BLANK


def _rarer_class(run: FinishedRun) -> str:
    blocks = {name: block["patient"] for name, block in run.results["receptors"].items()}
    fewest = {name: min(block["positives"], block["negatives"]) for name, block in blocks.items()}
    return "patients of the rarer class: " + ", ".join(f"{name} {count}" for name, count in fewest.items())


def _unknown_labels(run: FinishedRun) -> str:
    patients = run.entering.drop_duplicates("patient_id")
    counts = [f"{name} {patients[name].isna().sum()}" for name in run.config["task"]["targets"]]
    return f"patients of unknown label: {', '.join(counts)}"


def _events(run: FinishedRun) -> str:
    blocks = {name: block["patient"] for name, block in run.results["receptors"].items()}
    counts = {name: (block["positives"], block["negatives"]) for name, block in blocks.items()}
    return "positive patients: " + ", ".join(f"{name} {p} of {p + n}" for name, (p, n) in counts.items())


def _model(config: dict[str, Any]) -> str:
    model, modalities = config["model"], config["task"]["modalities"]
    if model["kind"] != "network":
        return str(model["kind"])
    parts = {"image": model["encoder"], "radiomics": "MLP", "position": "one-hot"}
    encoders = [f"{name} by {parts[name]}" for name in modalities if name in parts]
    return f"{', '.join(encoders)}; fusion {model['fusion']}, shared trunk, a head a target"
