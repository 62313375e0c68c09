"""What a model says of itself to a person."""

from collections.abc import Mapping
from typing import Any

from bcbm.prediction.bundle import ENCODER
from bcbm.report.words import leak_in_words, with_interval
from bcbm.runs.finished import FinishedRun
from bcbm.system.words import counted, listed

# What is known of a lesion's own status, by cohort.labels.
OWN_LABELS: dict[str, str] = {
    "patient": "Lesions of a patient share its label, so a lesion's own status is not known.",
    "study": "Lesions of a study share its label, so a lesion's own status is not known.",
    "lesion": "A lesion had a label of its own where its cohort gave one.",
}

# Of an ensemble, and of a training on all patients: what the figures are not of, where a threshold is from.
ENSEMBLE = "not of this ensemble on another"
REFIT = "not of this training on all\nits patients, which no patient is left to test"
THRESHOLD = "the mean of those of the folds, each chosen on validation patients"
REFIT_THRESHOLD = "chosen on what the models of the folds said of patients they had not seen"
SUPPORT = "- It is an SVM: it holds the standardised values of training lesions, its support vectors."


def _encoder(card: Mapping[str, Any]) -> list[str]:
    """What is known of the pretrained network that it carries."""
    return [
        "## The pretrained network that it carries",
        "",
        f"{card['network']}, the weights of {card['file']} (SHA-256 {card['weights']}), as `{ENCODER}`.",
        f"Source: {card['source']}. Licence: {card['licence']}. Trained on: {card['trained_on']}.",
        f"Whether these hold patients who were tested: {card['test_patients']}.",
        "",
    ]


def model_card(metadata: Mapping[str, Any], training: Mapping[str, Any], run: FinishedRun) -> str:
    """The model card, Markdown (Mitchell et al., FAT* 2019).

    Args:
        metadata: content of `configs/metadata.json`, and `training` that of `training.json`.
        run: the run that was exported.
    """
    own, task = metadata["bcbm"], run.config["task"]
    lines = [f"# {metadata['name']}", ""]
    if own["leaky"]:
        words = leak_in_words(run.results["split"])
        lines += [f"**LEAKY: {words}. No figure here is a result.**", ""]
    if training["invented"]:
        lines += ["**A program has drawn its training patients: what it says of others means nothing.**", ""]
    lines += [
        metadata["description"],
        "",
        "## Intended use",
        "",
        metadata["intended_use"],
        "",
        "## Training",
        "",
        f"{counted(training['lesions'], 'lesion')} of {counted(training['patients'], 'patient')}; cohort "
        f"{own['cohort']}, split {own['split']}, run {own['run']}.",
        f"It reads {listed(task['modalities'])}; lesions become a patient by {task['aggregate']}.",
        "",
        "| target | positive patients | negative patients | patient AUROC of the run [95 % CI] |",
        "|---|---|---|---|",
    ]
    for target, block in run.results["receptors"].items():
        labels = training["labels"][target]
        lines.append(
            f"| {target} | {labels['positive']} | {labels['negative']} | {with_interval(block['patient'])} |"
        )
    lines += [
        "",
        "The AUROC is the mean over folds, each model tested on patients that it had not seen. It is the",
        f"figure of the way to make such a model on this cohort, {REFIT if own['refit'] else ENSEMBLE}.",
        "",
        *(_encoder(own["encoder"]) if own["encoder"] else []),
        "## Limits",
        "",
        "- It was tested on patients of its own cohort only.",
        f"- {OWN_LABELS[run.config['cohort'].get('labels', 'patient')]}",
        *[SUPPORT] * (run.config["model"]["kind"] == "svm"),
        f"- Threshold: {REFIT_THRESHOLD if own['refit'] else THRESHOLD}.",
        "- Sets hold the status as often as they say for patients like those of the training, for no others.",
        "",
        "## Use",
        "",
        "    bcbm predict MODEL image=scan.nii.gz mask=lesion.nii.gz",
        "",
        f"Written by bcbm {own['version']}; `sha256sum --check checksums.txt` tells whether it is whole.",
        "",
        "## Data",
        "",
        f"{run.environment.get('citation') or 'No citation and no licence of the data are stated.'}",
        "",
    ]
    return "\n".join(lines)
