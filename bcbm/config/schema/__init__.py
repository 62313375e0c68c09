"""Every setting with its type, its default and its line in `--help`."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, get_type_hints

from bcbm.config.schema.cohort import Cohort, Features, Ingest, Prepared
from bcbm.config.schema.key import key
from bcbm.config.schema.output import Export, Figures, Predict, Run, Tracking, Validate
from bcbm.config.schema.training import Augment, Baseline, Data, Loss, Model, Split, Task, Trainer
from bcbm.system.lazy import imported

DRAWS = ("network", "forest", "boosting")  # kinds of model that another seed makes another model


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
