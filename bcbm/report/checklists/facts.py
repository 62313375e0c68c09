"""What the files of a run know, in the words of a checklist's answers."""

import math
from dataclasses import dataclass
from typing import Any

from bcbm.cohort.patient_labels import patient_labels
from bcbm.modalities import MODALITIES
from bcbm.modalities.position import COORDINATES, PLACES
from bcbm.modalities.radiomics import column_names
from bcbm.runs.chosen_columns import models_of
from bcbm.runs.finished import FinishedRun
from bcbm.system.words import listed

INTENSITIES = {"zscore": "z-score inside the brain", "percentile": "1st to 99th percentile as 0 to 1"}
UNCERTAINTY = "95 % intervals, p and q that count refitting; their coverage was simulated"
UNDEFINED = "no target has patients of both classes"
MEASURED = {"image", "radiomics", "deep_features"}  # modalities that come from the scan itself


@dataclass(frozen=True)
class Answer:
    """What is known of an item: yes, stated, partly, no, n/a, not reported or blank; and the facts behind.

    `anchor` is the id of the place on the page that shows it; a yes has one.
    """

    status: str = ""
    text: str = ""
    anchor: str = ""


BLANK = Answer()
Answers = dict[str, Answer]


def either(holds: bool, yes: str, anchor: str, no: str) -> Answer:
    """Yes with its place on the page, or no."""
    return Answer("yes", yes, anchor) if holds else Answer("no", no)


def is_synthetic(run: FinishedRun) -> bool:
    """Whether the patients are those of the embedded cohort."""
    return not run.config["cohort"]["root"]


def has_figures(run: FinishedRun) -> bool:
    """Whether any target has both classes, and so an AUROC."""
    return any(not math.isnan(block["patient"]["auroc"]) for block in run.results["receptors"].values())


def has_subgroups(run: FinishedRun) -> bool:
    """Whether the page shows subgroups with figures."""
    levels = [level for test in run.results.get("subgroups", []) for level in test["levels"]]
    return any(not math.isnan(level["auroc"]) for level in levels)


def tables(modalities: list[str]) -> list[str]:
    """Those that are columns of numbers, in the order of the registry; what is not installed here counts."""
    order = [*(name for name in MODALITIES if name in modalities), *modalities]
    return [name for name in dict.fromkeys(order) if name not in MODALITIES or MODALITIES[name].tabular]


def flow(run: FinishedRun) -> str:
    """How much of the download enters."""
    patients = run.entering["patient_id"].nunique()
    return f"{len(run.entering):,} of {len(run.lesions):,} segmentations enter, {patients:,} patients"


def reads_crops(modalities: list[str]) -> bool:
    """Whether crops of the image enter a network, to be trained or trained before."""
    return bool({"image", "deep_features"} & {*modalities})


def preprocessing(config: dict[str, Any]) -> str:
    """What is made of the images, as far as modalities need it; empty where none does."""
    parts = []
    features, modalities = config["features"], config["task"]["modalities"]
    if reads_crops(modalities):
        edge = f"{features['crop_size']} voxels of {features['crop_spacing']:g} mm"
        intensity = INTENSITIES.get(features["crop_intensity"], "intensities as stored")
        parts.append(f"cubic crops of {sequences(config)}, {edge}; {intensity}")
    if "radiomics" in modalities:
        parts.append(f"radiomics: {features['radiomics']}{_shells(features)}")
    if "deep_features" in modalities:
        parts.append("deep features: the crops of the post-contrast T1 through a network trained elsewhere")
    return "; ".join(parts)


def _shells(features: dict[str, Any]) -> str:
    """The shells around the lesion whose radiomics are read, in words; empty where none is."""
    if not (edges := features.get("shells", [])):
        return ""
    from bcbm.features.shells import shell_names

    return f", and of shells {listed(shell_names(edges))} mm around the lesion"


def radiomics_columns(config: dict[str, Any]) -> int:
    """How many columns of radiomics a run has; one of before had no shells."""
    return len(column_names(config["features"].get("shells", [])))


def sequences(config: dict[str, Any]) -> str:
    """The images of a study that are read."""
    return listed(config["task"].get("sequences", ["t1c"]))


def acquisition(run: FinishedRun) -> str:
    """Which acquisition columns are filled; empty where none is."""
    names = ("manufacturer", "field_strength", "pixel_spacing")
    cells = run.lesions.reindex(columns=list(names)).fillna("").astype(str)
    filled = [name for name in names if cells[name].ne("").any()]
    return f"lesions.parquet holds {', '.join(filled).replace('_', ' ')}" if filled else ""


def division(run: FinishedRun, shared_patients: int) -> str:
    """Folds, what they keep whole, and who stands in two parts."""
    unit, digest = run.split["unit"], run.split["hash"]
    return f"{folds(run)}, split by {unit}, hash {digest}; patients in two parts: {shared_patients}"


def folds(run: FinishedRun) -> str:
    """How often and in how many parts the patients are divided."""
    if names := run.results["split"].get("folds"):
        return f"{len(names)} given folds ({', '.join(names)})"
    split = run.config["split"]
    return f"{split['repeats']} x {split['folds']} folds"


def columns(run: FinishedRun) -> str:
    """How many columns there are and how many of them enter a model."""
    if run.config["model"]["kind"] == "network":
        places = len(PLACES) + (len(COORDINATES) if run.config["features"]["coordinates"] else 0)
        counts = {"radiomics": radiomics_columns(run.config), "position": places}
        parts = [
            f"{counts[name]} {name}" if name in counts else name
            for name in tables(run.config["task"]["modalities"])
        ]
        entering = "stable ones enter" if run.config["features"].get("stable") else "all enter"
        return f"columns: {', '.join(parts)}; {entering}" if parts else "no table enters"
    if "stability" in run.results:
        blocks = run.results["stability"]
        chosen = [f"{name} {block['chosen']:.0f} of {block['candidates']}" for name, block in blocks.items()]
        return f"columns that a fold chooses: {', '.join(chosen)}"
    counts = {}
    for path in run.folder.glob("fold=*/model.json"):
        for name, model in models_of(path).items():
            counts[name] = max(counts.get(name, 0), len(model.get("columns", [])))
    entering = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"columns in the model of a fold: {entering}" if entering else ""


def rarer_class(run: FinishedRun) -> str:
    """Patients of the rarer class of each target."""
    blocks = {name: block["patient"] for name, block in run.results["receptors"].items()}
    fewest = {name: min(block["positives"], block["negatives"]) for name, block in blocks.items()}
    return "patients of the rarer class: " + ", ".join(f"{name} {count}" for name, count in fewest.items())


def unknown_labels(run: FinishedRun) -> str:
    """Patients without a label, by target."""
    labels = patient_labels(run.entering[run.config["task"]["targets"]], run.entering["patient_id"])
    counts = [f"{name} {count}" for name, count in labels.isna().sum().items()]
    return f"patients of unknown label: {', '.join(counts)}"


def missing_data(run: FinishedRun) -> str:
    """What becomes of lesions and labels that are missing."""
    fate = "does not enter" if run.config["task"]["missing"] == "exclude" else "enters with what it has"
    return f"a lesion that lacks a modality {fate}; {unknown_labels(run)}, left out of that target's figures"


def characteristics(run: FinishedRun) -> str:
    """Where the page counts the characteristics of the patients."""
    return f"Table 1 has the patients by target; {unknown_labels(run)}"


def code(run: FinishedRun) -> str:
    """Version and commit."""
    return f"bcbm {run.environment['versions'].get('bcbm', '')}, commit {run.environment['commit'][:12]}"


def fitted_models(run: FinishedRun) -> str:
    """What is left of the models of the folds; empty where nothing is."""
    if run.config["model"]["kind"] != "network":
        count = len(list(run.folder.glob("fold=*/model.json")))
        return f"{count} fold=K/model.json say what was fitted; no single model" if count else ""
    checkpoints = [path for path in run.folder.glob("fold=*/checkpoints/*") if path.stem != "last"]
    return f"{len(checkpoints)} checkpoints in the run folder; no single model" if checkpoints else ""


def events(run: FinishedRun) -> str:
    """Positive patients of those with a label, by target."""
    blocks = {name: block["patient"] for name, block in run.results["receptors"].items()}
    counts = {name: (block["positives"], block["negatives"]) for name, block in blocks.items()}
    return "positive patients: " + ", ".join(f"{name} {p} of {p + n}" for name, (p, n) in counts.items())


def model(config: dict[str, Any]) -> str:
    """The kind of model, and its parts or how many columns it takes."""
    settings, modalities = config["model"], config["task"]["modalities"]
    if settings["kind"] != "network":
        selected = config["baseline"]["selected"]
        return (
            f"{settings['kind']}, {f'{selected} columns chosen in the fold' if selected else 'all columns'}"
        )
    parts = {"image": settings["encoder"], "radiomics": "MLP", "position": "one-hot"}
    parts["deep_features"] = "a network trained elsewhere and an MLP"
    encoders = [f"{name} by {parts[name]}" for name in modalities if name in parts]
    return f"{', '.join(encoders)}; fusion {settings['fusion']}, shared trunk, a head a target"


def tuning(run: FinishedRun) -> str:
    """How settings were chosen."""
    config = run.config
    tuned = dict.fromkeys([*config["tune"], *(name for chosen in run.chosen.values() for name in chosen)])
    inside = f"tuned inside each fold: {', '.join(tuned)}" if tuned else ""
    chosen = f"settings chosen on all patients by a search: {run.chosen_by}" if run.chosen_by else ""
    return "; ".join(filter(None, [chosen, inside])) or "not tuned"
