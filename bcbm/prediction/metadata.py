"""What a model says of itself to a machine: MONAI's description of a bundle, and ours beside it."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from bcbm.config.schema import Config
from bcbm.features.radiomics import provenance
from bcbm.prediction.bundle import FORMAT
from bcbm.report.words import with_interval
from bcbm.runs.finished import FinishedRun
from bcbm.system.version import __version__
from bcbm.system.words import counted

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
INTENDED_USE = "Research on methods. Not for any decision about a patient."
PACKAGES = ("lightning", "safetensors", "SimpleITK", "pyradiomics-bhklab")


def metadata_of(
    run: FinishedRun,
    config: Config,
    networks: Sequence[str],
    radiomics: Mapping[str, str],
    encoder: Mapping[str, Any] | None,
    taken: Mapping[str, int],
    refit: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The content of `configs/metadata.json`, after MONAI's specification of bundles.

    Args:
        run: that is exported.
        config: its configuration.
        networks: names of its trainings.
        radiomics: what has made the radiomics that they read.
        encoder: the card of the pretrained network that encodes crops, see `Card.described`; None without.
        taken: versions of the steps of preparation.
        refit: of trainings on all patients: the `folds` behind their settings, and their `epochs`.
    """
    environment, targets = run.environment, list(config.task.targets)
    leaky = bool(run.results["leaky"])
    warning = "LEAKY: its figures are no results. " if leaky else ""
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported by bcbm {__version__}"},
        "monai_version": version("monai"),
        "pytorch_version": environment["versions"]["torch"],
        "numpy_version": environment["versions"]["numpy"],
        "required_packages_version": {"bcbm": __version__, **{name: version(name) for name in PACKAGES}},
        "name": f"{run.config['experiment']}: {', '.join(targets)}",
        "task": f"{', '.join(targets)} of brain metastases from {', '.join(config.task.modalities)}",
        "description": f"{warning}{_described(run.config['model']['kind'], len(networks), refit)}",
        "authorship": "those who ran bcbm",
        "copyright": environment.get("citation") or "not stated",
        "data_source": f"cohort of content {environment['cohort']}",
        "data_type": "nibabel",
        "image_classes": "post-contrast T1, skull-stripped, and masks of lesions",
        "label_classes": "one per patient and target: 1 positive, 0 negative",
        "pred_classes": ", ".join(f"{target}: probability of positive" for target in targets),
        "intended_use": INTENDED_USE,
        "eval_metrics": {
            f"{target}_patient_auroc": with_interval(block["patient"])
            for target, block in run.results["receptors"].items()
        },
        "network_data_format": {"inputs": _inputs(config), "outputs": {"pred": _output(targets)}},
        "bcbm": {
            "format": FORMAT,
            "version": __version__,
            "leaky": leaky,
            "refit": refit,
            "networks": list(networks),
            "run": environment["identity"],
            "cohort": environment["cohort"],
            "split": environment["split"],
            "radiomics": dict(radiomics),
            "shells": provenance() if "shells" in taken else {},
            "encoder": encoder,
            "steps": dict(taken),
        },
    }


def _described(kind: str, count: int, refit: Mapping[str, Any] | None) -> str:
    """What a model consists of, in words."""
    if refit is None:
        return f"An ensemble of the {count} models ({kind}) of a cross-validation by bcbm."
    length = ""
    if refit["epochs"]:
        length = f" for {counted(refit['epochs'], 'epoch')}, the median of those of its folds,"
    return (
        f"{counted(count, 'training')} ({kind}) on all patients of a run of bcbm,{length} with calibration "
        f"and thresholds from what the models of its {refit['folds']} folds said of patients they had not "
        "seen. It has no figures of its own: all are those of the models of the folds."
    )


def _inputs(config: Config) -> dict[str, Any]:
    """What the networks read, by modality, as MONAI describes tensors."""
    features = config.features
    inputs: dict[str, dict[str, Any]] = {}
    for name in config.task.modalities:
        if name != "image":
            inputs[name] = {"type": "tuples", "format": "magnitude", "dtype": "float32"}
            inputs[name] |= {"num_channels": 1, "spatial_shape": [], "is_patch_data": False}
            continue
        channels = [*config.task.sequences, *["mask"] * config.model.mask_channel]
        inputs[name] = {
            "type": "image",
            "format": "magnitude",
            "modality": "MR",
            "num_channels": len(channels),
            "spatial_shape": [features.crop_size] * 3,
            "dtype": "float32",
            "value_range": [],
            "is_patch_data": True,
            "channel_def": dict(enumerate(channels)),
        }
    return inputs


def _output(targets: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "probabilities",
        "format": "classes",
        "num_channels": len(targets),
        "spatial_shape": [],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": dict(enumerate(targets)),
    }
