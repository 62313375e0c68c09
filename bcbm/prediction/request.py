"""What the words of `predict` ask for: a model, and the patients that it is used on."""

from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from bcbm.config.compose import compose
from bcbm.config.schema import Config
from bcbm.errors import ConfigError
from bcbm.prediction.bundle import ENCODER, EXPERIMENT, PREPARED, check_bundle
from bcbm.system.files import files_below
from bcbm.system.pool import loading

if TYPE_CHECKING:
    import pandas as pd

FILES = ("image", "mask")  # words of a single study
STUDY = (*FILES, "dicom")
DICOM = ("ingest.brain", "ingest.series")  # of the keys of ingest, what a folder of DICOM files may need
COHORT = ("cohort.root=", "cohort.synthetic.", "cohort=")  # how words begin that name a cohort
FREE = ("cohort.form", "cohort.label_value")  # of a model's settings, what another cohort may need otherwise
GROUPS = ("cohort", "prepared", "predict")
LOADED = (  # by the workers, while this process imports what it needs itself
    "bcbm.preparation.studies",
    "radiomics.featureextractor",
    "bcbm.imaging.pictures",
    "bcbm.report.figures.ingest",
    "bcbm.report.pages.viewer",
)


def answer(words: Sequence[str], console: Console) -> "pd.DataFrame":
    """Do what the words of a command line ask for; returns the table of predictions.

    Raises:
        ConfigError: they do not name one model and what to predict, or a setting that is the model's.
        InputError: the model or the files cannot be used.
    """
    places = [Path(word).expanduser() for word in words if "=" not in word or Path(word).is_dir()]
    settings = [word for word in words if "=" in word and not Path(word).is_dir()]
    keys = [word.partition("=")[0] for word in settings]
    if twice := [key for key in ("cohort.root", *STUDY) if keys.count(key) > 1]:
        remedy = "write all masks into one, mask=FILE,FILE" if twice == ["mask"] else "predict one at a time"
        raise ConfigError(f"predict: {twice[0]}= is written twice, and the last alone would count; {remedy}")
    own = dict(word.split("=", 1) for word in settings if word.partition("=")[0] in STUDY)
    settings = [word for word in settings if word.partition("=")[0] not in own]
    named = any(word.startswith(COHORT) for word in settings)
    if not 1 <= len(places) <= 2:
        raise ConfigError(
            f"predict: {len(places)} folders are named; name a model, and at most a study's folder"
        )
    if bool(own) + (len(places) == 2) + named != 1:
        raise ConfigError(
            "predict: say what to predict: cohort.root=DIR, a study's folder, image= and mask=, or dicom=DIR"
        )
    check_settings("predict", [word for word in settings if word.partition("=")[0] not in DICOM], GROUPS)
    check_bundle(places[0])
    settings = [f"predict.{word}" if word.startswith("out=") else word for word in settings]
    settings = [*base_settings(places[0]), *settings]
    config = compose(settings)
    single = bool(own) or len(places) == 2
    with TemporaryDirectory() as folder, loading(config.prepared.jobs, LOADED, single=single):
        from bcbm.prediction.model import read_record
        from bcbm.prediction.predict import predict

        record = read_record(places[0])
        if single:
            study = _study(Path(folder), own, places[1:], config, console)
            settings.append(f"cohort.root={study}")
        config = compose(settings)
        return predict(record, config, console)


def _study(folder: Path, own: dict[str, str], places: list[Path], config: Config, console: Console) -> Path:
    """The table of a single study, or of a patient's DICOM files."""
    from bcbm.imaging.headers import is_dicom
    from bcbm.prediction.study import holds_volumes, study_files, write_study

    dicom = Path(own["dicom"]).expanduser() if set(own) == {"dicom"} else None
    if places and not holds_volumes(places[0]) and any(map(is_dicom, files_below(places[0]))):
        dicom = places[0]
    if dicom is not None:
        from bcbm.imaging.ingest import ingest_patient  # a second to import

        _require_one_image(config)
        ingest_patient(dicom, folder / "cohort", config, console)
        return folder / "cohort"
    if places:
        image, masks, others = study_files(places[0], config.task.sequences[1:])
        return write_study(folder, places[0].absolute().name, image, masks, others, config.cohort.label_value)
    if set(own) != set(FILES):
        raise ConfigError("predict: image= and mask= go together: image=scan.nii.gz mask=lesion.nii.gz")
    _require_one_image(config)
    image = Path(own["image"]).expanduser()
    masks = [Path(text.strip()).expanduser() for text in own["mask"].split(",") if text.strip()]
    if not masks or not own["image"].strip():
        raise ConfigError("predict: image= or mask= is empty; write image=scan.nii.gz mask=lesion.nii.gz")
    return write_study(folder, image.name.split(".nii")[0], image, masks, {}, config.cohort.label_value)


def _require_one_image(config: Config) -> None:
    """Refuse words that name the post-contrast T1 alone for a model that reads more."""
    if len(config.task.sequences) > 1:
        names = ", ".join(config.task.sequences)
        raise ConfigError(f"predict: the model reads {names}; give the study's folder, or a cohort")


def base_settings(model: Path) -> list[str]:
    """The words that stand before those of a user: the configuration in a model's folder."""
    encoder = [f"features.encoder={model / ENCODER}"] if (model / ENCODER).is_file() else []
    return [f"experiment={model / EXPERIMENT}", "augment.where=device", *encoder]


def check_settings(verb: str, settings: Sequence[str], groups: Collection[str]) -> None:
    """Refuse to change what a model was trained with.

    Args:
        verb: of the command.
        settings: its words with a value.
        groups: of keys that may be set, as far as the model has not set them, and single keys.

    Raises:
        ConfigError: a key that is the model's.
    """
    for word in settings:
        name = word.partition("=")[0].lstrip("-")
        group, _, key = name.partition(".")
        if name in ("out", "trainer.accelerator", *FREE):
            continue
        if group not in groups or key in PREPARED.get(group, ()):
            raise ConfigError(f"{verb}: {name} is the model's, as it was trained; leave it out")
