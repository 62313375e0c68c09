"""Every setting with its type, its default and its line in `--help`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, get_type_hints

from bcbm.system.lazy import imported

INVENTED = ("t1c", "flair")  # the sequences that the embedded cohort can have
DRAWS = ("network", "forest", "boosting")  # kinds of model that another seed makes another model


def key(
    default: Any,
    meaning: str,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    among: str = "",
    empty: bool = False,
) -> Any:
    """A settable key: its default value, its line in `--help`, and what it may be.

    Args:
        default: its value where nothing else is written.
        meaning: in a few words, with the unit.
        least: the smallest number that it may be, and `most` the largest; `above` and `below` shut them out.
        among: address `module:name` of a registry whose names are the values to choose from.
        empty: whether a list among a registry may name none.
    """
    bounds = {"least": least, "most": most, "above": above, "below": below}
    metadata = {
        "help": meaning,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
        "among": among,
        "empty": empty,
    }
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


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
        ["t1c"], "images of a study: t1c, or also an invented flair", among="bcbm.config.schema:INVENTED"
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
class Task:
    """What is predicted and from what."""

    targets: list[str] = key(["ER", "PR", "HER2"], "targets to predict, any of ER PR HER2 and cohort.targets")
    modalities: list[str] = key(
        ["image", "radiomics", "position"],
        "modalities to fuse, any of image radiomics position deep_features (of features.encoder); "
        "traditional models read no image, but also clinical (age, sex), acquisition (year, pixel spacing, "
        "manufacturer, field strength), burden (number and volume of the lesions) and primary (the target in "
        "the primary tumour)",
        among="bcbm.modalities:MODALITIES",
    )
    sequences: list[str] = key(
        ["t1c"],
        "channels of the image: the post-contrast T1, then others that lie beside it as "
        "<study>_image_<sequence>*.nii.gz in the same space, such as [t1c, flair]",
    )
    missing: Literal["exclude", "keep"] = key(
        "exclude", "a lesion that lacks a modality: exclude it with its reason, or keep what it has"
    )
    aggregate: Literal["mean", "max", "noisy_or", "largest", "attention"] = key(
        "mean", "how lesions become a patient; attention is trained on bags of a patient's lesions"
    )
    random_labels: int | None = key(
        None,
        "seed by which the labels are dealt out anew among the patients that enter, a control that nothing "
        "can predict; empty: labels as they are",
        least=0,
    )


@dataclass
class Split:
    """How patients are divided."""

    unit: Literal["patient", "study", "lesion"] = key(
        "patient", "what is kept whole; study and lesion exist to show the leak and are marked LEAKY"
    )
    folds: int = key(5, "cross-validation folds", least=2)
    repeats: int = key(1, "times the cross-validation is repeated with other folds", least=1)
    validation: float = key(
        0.2, "part of a fold's training patients held back for early stopping", above=0, below=1
    )
    seed: int = key(0, "seed of the folds", least=0)
    inner: int = key(3, "folds inside a fold's training patients, where `tune` chooses")
    holdout: str | None = key(
        None,
        "acquisition column of which each value is held out once, in place of folds that are drawn: year, "
        "field_strength, manufacturer, ...",
    )
    later: float | None = key(
        None, "with split.holdout of numbers: one fold, tested on this value and more, trained on less"
    )
    file: str | None = key(
        None, "CSV of your own folds: patient and fold, or patient and part (train, validation, test)"
    )


@dataclass
class Data:
    """How lesions become batches."""

    batch_size: int = key(16, "lesions a batch, summed over devices", least=1)
    workers: int = key(0, "processes that load and augment, of each device", least=0)
    sampling: Literal["patient", "even"] = key(
        "patient", "draw a lesion with weight 1 / lesions of its patient, or every lesion alike"
    )
    bag: int = key(4, "lesions drawn of a patient at once (task.aggregate=attention)", least=1)


@dataclass
class Augment:
    """Augmentation of the training crops."""

    where: Literal["worker", "device"] = key(
        "worker", "crop by crop with TorchIO where they are loaded, or in batches where the network is (fast)"
    )
    flip: float = key(0.5, "chance of a left-right flip; the hemisphere follows", least=0, most=1)
    affine: float = key(0.5, "chance of a random rotation, scaling and shift", least=0, most=1)
    degrees: float = key(15.0, "largest rotation, degrees", least=0)
    scale: float = key(0.1, "largest relative scaling", least=0, most=0.9)
    shift: float = key(2.0, "largest shift, mm", least=0)
    noise: float = key(0.3, "chance of Gaussian noise (up to 0.2 brain standard deviations)", least=0, most=1)
    gamma: float = key(0.3, "chance of a random gamma (log gamma up to 0.2)", least=0, most=1)
    bias: float = key(
        0.0, "chance of a bias field (polynomial of order 3, coefficients up to 0.5)", least=0, most=1
    )
    motion: float = key(
        0.0, "chance of two movements during the scan (up to 5 degrees and 4 mm)", least=0, most=1
    )


@dataclass
class Model:
    """The model; all but its kind is the network's."""

    kind: Literal[
        "network",
        "logistic_l1",
        "logistic_l2",
        "svm",
        "forest",
        "boosting",
        "hist_boosting",
        "prevalence",
        "no_conversion",
    ] = key(
        "network",
        "network, or a traditional model on the tables; hist_boosting takes missing numbers as they are; "
        "no_conversion: as the primary tumour was (task.modalities=[primary])",
    )
    encoder: str = key("resnet10", "3D network that encodes the crops", among="bcbm.model.encoders:ENCODERS")
    widen: float = key(0.25, "factor on a ResNet's channels")
    stem: int = key(3, "kernel of a ResNet's first convolution, voxels", least=1)
    stem_stride: int = key(2, "stride of a ResNet's first convolution", least=1)
    max_pool: bool = key(False, "max pooling behind the first convolution; it destroys small lesions")
    mask_channel: bool = key(False, "give the lesion's mask to the encoder as a second channel")
    shell_channels: bool = key(
        False, "give the shells of features.shells to the encoder as channels behind the mask's"
    )
    image_features: int = key(32, "image features that enter the fusion", least=1)
    radiomics_hidden: int = key(32, "hidden units of the radiomics MLP", least=1)
    radiomics_features: int = key(16, "radiomics features that enter the fusion", least=1)
    radiomics_dropout: float = key(0.2, "dropout in the radiomics MLP", least=0, most=0.99)
    weights: str | None = key(
        None,
        "MedicalNet .pth or .safetensors to start a ResNet from (github.com/Tencent/MedicalNet, MIT licence)",
    )
    encoder_training: Literal["full", "partial", "frozen"] = key(
        "full", "what of an image encoder with weights is trained: all, its last stage, or its projection"
    )
    fusion: Literal["concat", "gated", "attention", "bilinear", "late"] = key(
        "concat", "how modalities are fused"
    )
    fusion_features: int = key(32, "width of the fused vector; concat and late have their own", least=1)
    fusion_rank: int = key(4, "products that bilinear fusion sums", least=1)
    modality_dropout: float = key(
        0.0, "chance of dropping a modality of a lesion in training; one stays", least=0, below=1
    )
    trunk: int = key(32, "units of the shared trunk", least=1)
    dropout: float = key(0.3, "dropout before and behind the trunk", least=0, most=0.99)


@dataclass
class Baseline:
    """A traditional model on the tables (model.kind)."""

    strength: float = key(1.0, "C of logistic regression and SVM: smaller is more regular", above=0)
    selected: int = key(
        20, "columns kept, chosen among the training patients of each fold; 0 keeps all", least=0
    )
    trees: int = key(300, "trees of forest and boosting", least=1)
    leaf: float = key(
        0.03,
        "least share of the weight in a leaf of a tree (hist_boosting: of the lesions); 0 grows trees whole",
        least=0,
        below=0.5,
    )


@dataclass
class Loss:
    """The loss."""

    kind: Literal["bce", "focal", "class_balanced"] = key(
        "bce", "cross-entropy, focal, or weighed by the effective number of patients of each class"
    )
    focal_gamma: float = key(2.0, "how much focal loss turns from lesions that are right already", least=0)
    balanced_beta: float = key(
        0.99, "class_balanced: 0 weighs classes alike, towards 1 by their counts", least=0, below=1
    )
    class_weights: bool = key(
        True, "weigh positives by negatives / positives among the training patients (bce, focal)"
    )
    uncertainty: bool = key(False, "learn the targets' weights from their uncertainty (Kendall 2018)")
    target_weights: dict[str, float] = key(
        {"ER": 1.0, "PR": 1.0, "HER2": 1.0}, "weight of each target in the loss; 1 for one that is not named"
    )


@dataclass
class Trainer:
    """How long and on what."""

    max_epochs: int = key(24, "most epochs a fold", least=1)
    min_epochs: int | None = key(
        None,
        "epochs before one is kept or a fold stops; empty: three quarters of max_epochs; as many: the last",
        least=1,
    )
    smoothing: int = key(5, "epochs whose mean validation AUROC chooses the one that is kept", least=1)
    patience: int = key(8, "epochs without a better smoothed AUROC before a fold stops", least=1)
    learning_rate: float = key(2e-3, "peak learning rate of AdamW (one-cycle)", least=0)
    weight_decay: float = key(0.05, "weight decay of AdamW", least=0)
    accumulate: int = key(1, "batches whose gradients are summed before a step", least=1)
    clip: float = key(0.0, "largest norm of the gradient; 0 leaves it as it is", least=0)
    ema: float = key(
        0.0,
        "decay of the moving average of the weights that is validated and kept; 0: none",
        least=0,
        most=0.9999,
    )
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = key(
        "auto", "what trains: auto takes a GPU where there is one"
    )
    devices: int | None = key(
        None,
        "devices a node; empty: one GPU or, without one, the CPU, folds side by side as they fit",
        least=1,
    )
    num_nodes: int = key(1, "nodes", least=1)
    parallel: Literal["batches", "folds"] = key(
        "batches", "what several devices share: the batches of a fold (DDP), or the folds, one a device"
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = key(
        "32-true", "numbers of training; the mixed ones are for GPUs"
    )
    channels_last: bool = key(False, "store the channels of a voxel side by side (often faster on a GPU)")
    compile: bool = key(False, "compile the image encoder with torch.compile: minutes first, then faster")
    profile: bool = key(False, "write a trace of a few steps of each fold, for chrome://tracing or Perfetto")

    @property
    def first_kept(self) -> int:
        """The number, counted from 1, of the first epoch that may be kept."""
        first = math.ceil(0.75 * self.max_epochs) if self.min_epochs is None else self.min_epochs
        return min(first, self.max_epochs)

    @property
    def ranks(self) -> int:
        """Processes that share the batches of a fold."""
        return 1 if self.parallel == "folds" else (self.devices or 1) * self.num_nodes


@dataclass
class Tracking:
    """What follows a run on top of its folder."""

    to: list[str] = key(
        ["wandb"],
        "trackers on top of the run folder, which is csv and is there in any case; [] for none",
        among="bcbm.tracking:TRACKERS",
        empty=True,
    )
    mode: Literal["auto", "online", "offline", "off"] = key(
        "auto", "W&B; auto: online with a key and a network, else offline; never asks"
    )
    project: str = key("bcbm", "W&B project, MLflow experiment")
    entity: str | None = key(None, "W&B team or user")
    checkpoints: bool = key(False, "send each fold's checkpoint as an artifact (only when online)")


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


@dataclass
class Export:
    """A model made of a run (`bcbm export`)."""

    out: str | None = key(
        None,
        "folder of the model, which is made; empty: the run's and -model; `out=DIR` for short",
    )
    leaky: bool = key(
        False, "export a LEAKY run too, whose model then says so wherever it is used; `leaky=true` for short"
    )
    refit: Literal["none", "all"] = key(
        "none",
        "what is exported: the trainings of the folds, which predict together, or one that is made now, on "
        "all patients of the run; `refit=all` for short",
    )


@dataclass
class Predict:
    """A model used on patients (`bcbm predict`)."""

    out: str = key("predictions", "folder of the tables and the page; `out=DIR` for short")
    coverage: float = key(
        0.9, "how often the set of a patient is to hold its status, of each class", above=0.5, below=1
    )


@dataclass
class Validate:
    """A model held against the labels of other cohorts (`bcbm validate`)."""

    out: str = key("validation", "folder of the page and `validation.json`; `out=DIR` for short")


@dataclass
class Figures:
    """How a run's figures are drawn."""

    style: Literal["page", "paper"] = key(
        "page",
        "for the page alone, or also for an article: PNG and SVG 84 and 174 mm wide, with their data as CSV",
    )


@dataclass
class Run:
    """Where a run is written."""

    root: str = key("runs", "folder of all runs")
    folder: str | None = key(
        None,
        "folder of this run; empty: the unfinished or finished run of the same configuration, else a new one",
    )


@dataclass
class Config:
    """Everything that can be set."""

    experiment: str = key("demo", "a file in experiments/, or a path; A+B puts B on top of A")
    experiments: str | None = key(None, "folder of your own experiments, looked into before ours")
    fold: str = key("all", "one fold to train (0, 1, ...), or all")
    seed: int = key(0, "seed of training", least=0)
    seeds: int = key(
        1, "times that each fold is trained, with other seeds; their mean is the prediction", least=1
    )
    calibration: Literal["prior", "logistic", "isotonic", "none"] = key(
        "logistic",
        "how scores become probabilities: prior undoes the class weights; logistic and isotonic also fit a "
        "curve on the validation patients of the fold; none leaves them",
    )
    bootstrap: int = key(2000, "bootstrap resamples of patients, for the intervals beside the AUROC", least=0)
    permutations: int = key(
        0, "label permutations of the whole pipeline, patient by patient; traditional models only", least=0
    )
    tune: dict[str, list[Any]] = key(
        {}, "values to choose from a key, in each fold by its inner folds: {model.dropout: [0.1, 0.5]}"
    )
    chosen_by: str | None = key(
        None,
        "the search that chose these settings; its page says how choosing fares on patients it never saw",
    )
    cohort: Cohort = key(Cohort, "")
    prepared: Prepared = key(Prepared, "")
    features: Features = key(Features, "")
    task: Task = key(Task, "")
    split: Split = key(Split, "")
    data: Data = key(Data, "")
    augment: Augment = key(Augment, "")
    model: Model = key(Model, "")
    baseline: Baseline = key(Baseline, "")
    loss: Loss = key(Loss, "")
    trainer: Trainer = key(Trainer, "")
    tracking: Tracking = key(Tracking, "")
    figures: Figures = key(Figures, "")
    run: Run = key(Run, "")
    ingest: Ingest = key(Ingest, "")
    export: Export = key(Export, "")
    predict: Predict = key(Predict, "")
    validate: Validate = key(Validate, "")

    @property
    def members(self) -> int:
        """Trainings of a fold whose mean is its prediction: `seeds`, or one where nothing is drawn."""
        return self.seeds if self.model.kind in DRAWS else 1

    @property
    def class_patients(self) -> int:
        """Training patients of each class that the model needs; an SVM's probabilities take two."""
        return 2 if self.model.kind == "svm" else 1


def described_keys(schema: type = Config, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield (key, type, default, meaning) for every settable key, in the schema's order."""
    hints = get_type_hints(schema)
    default = schema()
    for item in fields(schema):
        hint = hints[item.name]
        if is_dataclass(hint):
            yield from described_keys(hint, f"{prefix}{item.name}.")  # type: ignore[arg-type]
        else:
            plain_type = isinstance(hint, type) and not getattr(hint, "__args__", None)
            name = getattr(hint, "__name__", "") if plain_type else str(hint).replace("typing.", "")
            if "Literal" in name:
                name = name.replace("Literal", "").replace(" | None", "").strip("[]")
            if item.metadata["among"]:
                name = ", ".join(imported(item.metadata["among"]))
            value = str(getattr(default, item.name))
            yield f"{prefix}{item.name}", name.replace("'", ""), value, item.metadata["help"]
