"""Settings of the training: what is predicted from what, how patients are divided, how models are fitted."""

import math
from dataclasses import dataclass
from typing import Literal

from bcbm.config.schema.key import key


@dataclass
class Task:
    """What is predicted and from what."""

    targets: list[str] = key(["ER", "PR", "HER2"], "targets to predict, any of ER PR HER2 and cohort.targets")
    modalities: list[str] = key(
        ["image", "radiomics", "position"],
        "modalities to fuse, any of image radiomics position deep_features (of features.encoder); "
        "traditional models read no image, but also clinical (age, sex), acquisition (year, pixel spacing, "
        "manufacturer, field strength), burden (number and volume of the lesions, over all studies) and "
        "primary (the target in the primary tumour)",
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
    degrees: float = key(15.0, "largest rotation, degrees", least=0, most=180)
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
    widen: float = key(0.25, "factor on a ResNet's channels", least=0.04)
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
    learning_rate: float = key(2e-3, "peak learning rate of AdamW (one-cycle)", above=0)
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
