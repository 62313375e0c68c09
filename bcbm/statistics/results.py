"""What `results.json` and `comparison.json` hold; NaN, null in the file, where a figure is undefined."""

from typing import NotRequired, TypedDict


class AurocBlock(TypedDict):
    """An AUROC with its 95 % interval."""

    auroc: float
    auroc_low: float
    auroc_high: float


class MeanBlock(AurocBlock):
    """The mean over targets, and the p of its being 0.5."""

    p: float


class RankingBlock(MeanBlock):
    """How patients or lesions are ranked; each entry of `STATISTICS` stands here by its name."""

    auprc: float
    auprc_low: float
    auprc_high: float
    brier: float
    positives: int
    negatives: int


class LesionBlock(RankingBlock):
    """Of lesions, which are not independent."""

    independent: bool


class CoverageBlock(TypedDict):
    """Simulated cohorts like this one: the share of their intervals that held the true AUROC."""

    covered: float
    patients: int
    prevalence: float
    auroc: float
    repeats: int
    cohorts: int


class CalibrationBlock(TypedDict):
    """Line of the observed against the predicted logits."""

    slope: float
    intercept: float


class ProbabilityBlock(TypedDict):
    """Means of probabilities and labels, and what a model scores that says the training prevalence to all."""

    predicted: float
    observed: float
    prevalence: float
    prevalence_brier: float
    prevalence_log_loss: float


class OperatingBlock(TypedDict):
    """Decisions at the thresholds of the folds."""

    sensitivity: float
    sensitivity_low: float
    sensitivity_high: float
    specificity: float
    specificity_low: float
    specificity_high: float
    f1: float
    f1_low: float
    f1_high: float
    ppv: float
    ppv_low: float
    ppv_high: float
    npv: float
    npv_low: float
    npv_high: float


class FittedBlock(RankingBlock):
    """Of patients, whatever one target alone tells."""

    scaled_brier: float
    log_loss: float
    probabilities: ProbabilityBlock
    smallest_auroc: float
    coverage: CoverageBlock
    calibration: CalibrationBlock
    operating: OperatingBlock


class BothBlock(TypedDict, total=False):
    """Patients whose lesions hold both labels, counted as positive; only where there are any."""

    both: int


class PatientBlock(FittedBlock, BothBlock):
    """Of patients; q is p after Benjamini and Hochberg over targets.

    `pipeline_p` stands where the whole pipeline was refitted under permuted labels.
    """

    q: float
    pipeline_p: NotRequired[float]


class RepeatsBlock(TypedDict):
    """The patient AUROC of each repeat."""

    mean: float
    std: float
    auroc: list[float]


class FoldsBlock(RepeatsBlock):
    """The patient AUROC of each fold, and how many of one class have none."""

    undefined: int
    positives: list[int]
    negatives: list[int]


class TargetResults(TypedDict):
    """All of one target; `best` is what a perfect model reaches, known of a synthetic cohort."""

    patient: PatientBlock
    lesion: LesionBlock
    folds: FoldsBlock
    repeats: RepeatsBlock
    best: NotRequired[float]


class DerivedPatientBlock(RankingBlock):
    """Of patients, a status that follows from several targets."""

    scaled_brier: float
    log_loss: float
    probabilities: ProbabilityBlock
    calibration: CalibrationBlock


class HrBlock(TypedDict):
    """HR status, ER or PR."""

    patient: DerivedPatientBlock


class SubtypeBlock(TypedDict):
    """See `subtype_figures`."""

    classes: list[str]
    auroc: dict[str, float]
    mean_auroc: float
    accuracy: float
    balanced_accuracy: float
    brier: float
    prevalence_brier: float
    confusion: list[list[float]]
    counts: dict[str, int]


class DerivedBlock(TypedDict):
    """What follows from ER, PR and HER2 together."""

    HR: HrBlock
    subtype: SubtypeBlock


class SplitBlock(TypedDict):
    """What the split keeps whole, its hash, what stands in two parts of a fold, and names of given folds."""

    unit: str
    hash: str
    shared_patients: NotRequired[int]
    shared_content: NotRequired[int]
    folds: NotRequired[list[str]]


class SeedBlock(TypedDict):
    """The patient AUROC of each seed alone, and its standard deviation."""

    auroc: list[float]
    std: float


class SeedsBlock(TypedDict):
    """How far the seed of training moves the headline, by target and of the mean over targets."""

    receptors: dict[str, SeedBlock]
    mean: SeedBlock


class LedgerBlock(TypedDict):
    """Which configuration a run is of those that were tested on its cohort, and how many there are."""

    number: int
    configurations: int


class SubgroupLevel(AurocBlock):
    """Patients of one level of a subgroup; NaN where they are too few for a figure."""

    level: str
    positives: int
    negatives: int


class SubgroupTest(TypedDict):
    """A subgroup and target: its levels, patients of unknown level, p and q of a difference."""

    subgroup: str
    target: str
    levels: list[SubgroupLevel]
    unknown: int
    p: float
    q: float


class LargestBlock(TypedDict):
    """The patients with the most lesions, and their share of all lesions."""

    patients: int
    lesions_share: float


class InfluenceOfPatients(TypedDict):
    """The patient AUROC without any one patient, and the lesion AUROC with and without the largest ones."""

    auroc_least: float
    auroc_most: float
    lesion_auroc: float
    lesion_auroc_without_largest: float


class InfluenceBlock(TypedDict):
    """How much hangs on single patients."""

    largest: LargestBlock
    receptors: dict[str, InfluenceOfPatients]


class StabilityBlock(TypedDict):
    """What the folds' models of one target have chosen: `chosen` of the `candidates`, mean over folds.

    `frequency`: columns that any fold has chosen and the share of folds that have, the most chosen first.
    """

    stability: float
    stability_low: float
    stability_high: float
    folds: int
    candidates: int
    chosen: float
    frequency: list[tuple[str, float]]


class Results(TypedDict):
    """The file: every target by its name, and the mean over them."""

    receptors: dict[str, TargetResults]
    mean: MeanBlock
    split: SplitBlock
    leaky: bool
    derived: NotRequired[DerivedBlock]
    seeds: NotRequired[SeedsBlock]
    reached: NotRequired[float]
    ledger: NotRequired[LedgerBlock]
    subgroups: NotRequired[list[SubgroupTest]]
    influence: NotRequired[InfluenceBlock]
    stability: NotRequired[dict[str, StabilityBlock]]  # of models that choose columns


class ExperimentFigures(TypedDict):
    """The figures of an experiment: of a target AUROC and statistics, each with the ends of its interval."""

    label: str
    experiment: str
    folder: str
    modalities: list[str]
    split: SplitBlock
    leaky: bool
    cohort: str
    chosen_by: str | None
    receptors: dict[str, dict[str, float]]
    mean: AurocBlock | None  # None where it lacks a target
    best: dict[str, float]


class PairedTest(TypedDict):
    """An experiment against the reference, of one target: a reason why they cannot be paired, or figures.

    Difference with its interval and p, which hold when models are fitted again, and q over all tests.
    """

    label: NotRequired[str]
    target: NotRequired[str]
    reason: NotRequired[str]
    difference: NotRequired[float]
    low: NotRequired[float]
    high: NotRequired[float]
    p: NotRequired[float]
    q: NotRequired[float]


class Comparison(TypedDict):
    """What `comparison.json` holds; `across`: the runs are of different cohorts."""

    receptors: list[str]
    reference: str
    across: bool
    rows: list[ExperimentFigures]
    tests: list[PairedTest]
