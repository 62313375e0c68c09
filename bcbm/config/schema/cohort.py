"""Settings of the cohort: where its patients come from and what is measured on them."""

from dataclasses import dataclass
from typing import Any, Literal

from bcbm.config.schema.key import key

INVENTED = ("t1c", "flair")  # the sequences that the embedded cohort can have


@dataclass
class Synthetic:
    """The embedded cohort that stands in for the download."""

    patients: int = key(120, "patients to invent", least=1)
    signal: float = key(1.0, "strength of the planted signal; 0 gives labels that nothing can predict")
    images: bool = key(
        True, "write images and masks; false writes the two workbooks only (fast, large cohorts)"
    )
    seed: int = key(0, "seed of the cohort", least=0)
    sequences: list[str] = key(
        ["t1c"],
        "images of a study: t1c, or also an invented flair",
        among="bcbm.config.schema.cohort:INVENTED",
    )
    site: int = key(
        1,
        "hospital: 2 has other patients, fewer of them positive, fainter contrast and other voxels than 1",
        least=1,
        most=2,
    )


@dataclass
class Cohort:
    """Where the lesions come from."""

    root: str | None = key(
        None,
        "folder of the cohort, or its manifest; several as [A, B], each a site whose patients are its own; "
        "empty: the embedded synthetic one",
    )
    format: str = key(
        "auto",
        "how the cohort is laid out: auto looks at its files; tcia, manifest (a table of one's own), bids, "
        "or a format of an installed package",
        among="bcbm.cohort.formats:FORMATS",
    )
    targets: dict[str, Any] = key(
        {},
        "targets of one's own, by name, from columns of the clinical table: "
        '{ki67: {column: Ki-67, positive: ">= 20"}, origin: {column: primary, positive: [breast]}, '
        "grade: {column: Grade, levels: [low, middle, high]}}; levels gives grade_middle (that or more) and "
        "grade_high",
    )
    labels: Literal["patient", "study", "lesion"] = key(
        "patient",
        "whose a label is: the patient's (where sessions disagree it is missing), or, as receptors convert, "
        "each study's or lesion's own; a patient with both counts as positive",
    )
    strict: bool = key(False, "stop on any problem instead of excluding the lesion with a reason")
    policy: Literal["lesions", "lesions+targets", "largest", "one_session"] = key(
        "lesions+targets",
        "what enters: lesions; also targets that lie over none; of these one a patient, or its first session",
    )
    same_patients: Literal["ask", "join", "keep"] = key(
        "ask",
        "patients whose ids agree up to case, blanks, dashes, leading zeros, look-alike letters and a "
        "misspelt word: stop and list them, make them one, or keep them apart",
    )
    position: Literal["name", "image"] = key(
        "name",
        "where a lesion lies: from its name, or from its mask in MNI space",
    )
    overlap: float = key(
        0.85,
        "overlap (Dice) of a registered brain with the template's below which its lesions have no position "
        "(cohort.position=image)",
        least=0,
        most=1,
    )
    form: Literal["agree", "qform", "sform"] = key(
        "agree",
        "which form of a NIfTI header says where its voxels lie, if the two disagree; agree: such files are "
        "not used",
    )
    parts: Literal["split", "largest", "refuse"] = key(
        "split",
        "parts of a mask that do not touch: each a lesion of its own (NAME/1, NAME/2, ...), the largest "
        "alone, or the mask is excluded; stray voxels go in any case",
    )
    label_value: int | None = key(
        None,
        "the value of a lesion's voxels in its mask; empty: any, and a mask of several values is excluded",
        least=1,
    )
    names: str | None = key(None, "CSV that overrides how names are read: name,category,hemisphere,region")
    exclude: str | None = key(
        None, "table of what a person has left out: patient, study or lesion, and reason, a row each"
    )
    radiomics: str | None = key(
        None,
        "table of radiomics that were extracted elsewhere: PyRadiomics' columns, and study and name, or mask",
    )
    readings: str | None = key(
        None, "CSV that overrides how labels are read: target,cell,label (positive, negative or missing)"
    )
    citation: str | None = key(
        None, "how the cohort is cited and licensed, for the report; empty: as its files say"
    )
    synthetic: Synthetic = key(Synthetic, "the embedded cohort")


@dataclass
class Prepared:
    """What is made from the cohort, kept for the next run."""

    root: str | None = key(
        None, "folder of tables and crops; empty: a cache folder named by the cohort's content"
    )
    jobs: int = key(-1, "processes that prepare images and radiomics; -1: one a core")


@dataclass
class Features:
    """What is measured on a lesion."""

    radiomics: Literal["workbook", "extract"] = key(
        "workbook", "published values of the workbook, or our own PyRadiomics run"
    )
    axes: Literal["patient", "stored"] = key(
        "patient",
        "axes across which an extraction measures the Maximum2DDiameter features: the patient's, or the "
        "file's, as the published workbook has them",
    )
    crop_size: int = key(32, "edge of the cubic crop, voxels", least=8)
    crop_spacing: float = key(1.0, "edge of a crop voxel, mm", above=0)
    crop_margin: float | None = key(
        None, "mm around the lesion that the crop shows; empty: all of the cube", least=0
    )
    crop_intensity: Literal["zscore", "percentile", "none"] = key(
        "zscore", "intensities inside the brain: z-score, 1st to 99th percentile as 0 to 1, or as stored"
    )
    harmonise: str | None = key(
        None,
        "acquisition column, such as field_strength, whose shifts and scales ComBat takes out of radiomics; "
        "fitted on the training patients of each fold",
    )
    stable: float = key(
        0.0,
        "least intraclass correlation of a radiomics feature over perturbed masks (needs images), among the "
        "training lesions of each fold; 0 keeps all",
        least=0,
        below=1,
    )
    shells: list[float] = key(
        [],
        "outer edges, mm, of shells around the lesion whose radiomics are further columns (needs images): "
        "[3, 6] is 0 to 3 and 3 to 6 mm; brain alone, and no other lesion; see model.shell_channels, too",
    )
    encoder: str | None = key(
        None,
        "weights of a pretrained network (.pth, .pt or .safetensors) that encodes the crops once, for "
        "task.modalities=[deep_features]; its card lies beside them, FILE.yaml",
    )
    coordinates: bool = key(False, "add the MNI coordinates to the position one-hots (cohort.position=image)")


@dataclass
class Ingest:
    """A cohort made of a hospital's files (`bcbm ingest`)."""

    out: str | None = key(None, "folder that is written; `out=DIR` for short")
    series: str | None = key(
        None, "CSV that chooses the series of each study: a corrected copy of the series.csv that was written"
    )
    labels: str | None = key(
        None,
        "table of labels by the hospital's ids of patients, a row a patient (CSV, TSV, XLSX, Parquet), for "
        "the manifest; `labels=FILE` for short",
    )
    brain: Literal["deepbet", "mask", "none"] = key(
        "deepbet",
        "how the brain is found in a head: by deepbet, or the region called brain that is drawn on it; none: "
        "whole heads, as scanned and with their faces",
    )
    year: bool = key(
        False, "write the year of each study; days since the patient's first study are in any case"
    )
