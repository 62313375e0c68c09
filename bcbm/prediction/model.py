"""A model as it is used: its networks, thresholds and settings, from its folder."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bcbm.config.reading import read_yaml
from bcbm.config.schema import Config
from bcbm.config.schema.training import Model
from bcbm.errors import readable
from bcbm.prediction.agreement import column_faults, require_agreement, require_sound
from bcbm.prediction.bundle import (
    AGAIN,
    EXPERIMENT,
    METADATA,
    OUT_OF_FOLD,
    RANGES,
    RESULTS,
    TRAINING,
    bundle_sum,
    check_bundle,
    network_files,
    read_part,
)
from bcbm.preparation.lesions import Lesions
from bcbm.runs.finished import without_nulls
from bcbm.runs.predictions import calibrated
from bcbm.statistics.recalibration import Calibrator
from bcbm.statistics.results import Results

if TYPE_CHECKING:
    import torch
    from torch.utils.data import DataLoader

    from bcbm.baselines.trained import TrainedBaseline
    from bcbm.model.module import LesionModule
    from bcbm.prediction.doubt import Doubt


class Prediction(NamedTuple):
    """What one training makes of lesions.

    Attributes:
        lesions: probabilities, a column a target, a row a lesion, in the order of `Lesions.entering`.
        patients: the same, a row a patient, by `patient_id`.
        encoded: what its encoder of images makes of each lesion, (N, F) float64, NaN of one without an
            image; None where it reads no images.
    """

    lesions: pd.DataFrame
    patients: pd.DataFrame
    encoded: np.ndarray | None


@dataclass(frozen=True)
class TrainedNetwork:
    """One training of a fold.

    Attributes:
        module: the network with its calibrators.
        fold: whose training patients it has seen, and `seed`, which of that fold's trainings it is.
        batch_size: lesions that its run gave to it at once, on which the last digits of a figure depend.
        thresholds: from which on a patient is called positive, by target; NaN where there is none.
    """

    module: "LesionModule"
    fold: int
    seed: int
    batch_size: int
    thresholds: Mapping[str, float]

    @property
    def task(self) -> Mapping[str, Any]:
        """What it was trained for, as a configuration says it."""
        return dict(self.module.hparams["task"])

    @property
    def targets(self) -> Sequence[str]:
        """What it predicts."""
        return list(self.task["targets"])

    @property
    def modalities(self) -> Sequence[str]:
        """What it reads."""
        return list(self.task["modalities"])

    @property
    def harmonised(self) -> Sequence[str]:
        """The groups of features.harmonise whose radiomics it takes shifts and scales out of."""
        return _groups(self.module.hparams["fitted"])

    @property
    def calibrated(self) -> Sequence[str]:
        """The targets that it has a calibrator of."""
        return list(self.module.calibrators)

    @property
    def faults(self) -> Iterator[str]:
        """What no export writes."""
        if not all(bool(value.isfinite().all()) for value in self.module.state_dict().values()):
            yield "has weights that are no numbers"
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            yield f"was given {self.batch_size!r} lesions at once"

    def files(self) -> tuple[dict[str, Any], bytes]:
        """How it lies on disk: what it is beside its arrays, plain, and these as safetensors."""
        from safetensors.torch import save

        settings = {"batch_size": self.batch_size, "network": _without_places(self.module.hparams)}
        arrays = {name: value.contiguous() for name, value in self.module.state_dict().items()}
        return {**_place(self), **settings}, bytes(save(arrays))

    @property
    def calibrators(self) -> Mapping[str, Calibrator]:
        """From what it says to probabilities, by target."""
        return self.module.calibrators

    def predict(
        self, lesions: Lesions, config: Config, calibrators: Mapping[str, Calibrator] | None = None
    ) -> Prediction:
        """What the network makes of lesions, as its run worked it out; each is read once.

        Args:
            lesions: all that enter are predicted.
            config: what they were prepared with; its trainer says on what.
            calibrators: in place of its own.
        """
        import torch

        from bcbm.model.trained import predicted_rows
        from bcbm.model.trainer import ctrl_c_is_ctrl_c, make_trainer, quiet

        quiet()
        own, loader = self._loader(lesions, config)
        image, features = self.module.network.image, list[torch.Tensor]()
        with ctrl_c_is_ctrl_c(), _watched(image, features) if image is not None else nullcontext():
            batches: Any = make_trainer(own, [], [], Path()).predict(self.module, loader)
        task = own.task
        rows = predicted_rows(batches or [], task.targets).set_index("row")
        maps = calibrators or self.calibrators
        tables = calibrated(maps, rows, lesions.entering, task.targets, task.aggregate)
        if image is None:
            return Prediction(*tables, None)
        has = lesions.present[:, task.modalities.index("image")] > 0
        return Prediction(*tables, np.where(has[:, None], torch.cat(features).double().numpy(), np.nan))

    def _loader(self, lesions: Lesions, config: Config) -> tuple[Config, "DataLoader[Any]"]:
        """The settings that the network was trained with, and the lesions in batches as its run predicted."""
        import torch

        from bcbm.data.datamodule import LesionDataModule

        torch.set_num_threads(1)  # as in training: the last digits depend on it
        precision = self.module.settings.precision
        if precision == "16-mixed":  # which a CPU has not
            precision = "32-true"
        own = replace(
            config,
            model=Model(**self.module.hparams["model"]),
            data=replace(config.data, batch_size=self.batch_size, workers=0),
            trainer=replace(config.trainer, precision=precision),
        )
        parts = {"test": np.arange(len(lesions.entering))}
        datamodule = LesionDataModule(lesions.data(own), parts, seed=0, present=lesions.present)
        datamodule.setup()
        return own, datamodule.predict_dataloader()[1]


@dataclass(frozen=True)
class TraditionalModel:
    """One training of a fold of a traditional model; attributes as those of `TrainedNetwork`."""

    baseline: "TrainedBaseline"
    fold: int
    seed: int
    thresholds: Mapping[str, float]

    task = None  # which it keeps no record of

    @property
    def targets(self) -> Sequence[str]:
        """What it predicts."""
        return list(self.baseline.models)

    @property
    def modalities(self) -> Sequence[str]:
        """What it reads."""
        return list(self.baseline.columns)

    @property
    def columns(self) -> set[str]:
        """The columns that any of its targets is told by."""
        models = self.baseline.models.values()
        return {str(own["name"]) for model in models for own in model.content.get("columns", ())}

    @property
    def kinds(self) -> set[tuple[str, str]]:
        """The columns of text that any of its targets is told by, each with a kind that it was trained on."""
        read = [own for model in self.baseline.models.values() for own in model.content.get("columns", ())]
        return {(str(own["name"]), str(own["kind"])) for own in read if own["kind"]}

    @property
    def harmonised(self) -> Sequence[str]:
        """As `TrainedNetwork.harmonised`."""
        return _groups(self.baseline.columns)

    @property
    def calibrated(self) -> Sequence[str]:
        """The targets that it has a calibrator of."""
        return list(self.baseline.calibrators)

    @property
    def faults(self) -> Iterator[str]:
        """What no export writes."""
        for model in self.baseline.models.values():
            yield from column_faults(model.content.get("columns", ()))

    def files(self) -> tuple[dict[str, Any], bytes]:
        """As `TrainedNetwork.files`."""
        from safetensors.numpy import save

        return {**_place(self), "baseline": self.baseline.content}, bytes(save(self.baseline.arrays))

    @property
    def calibrators(self) -> Mapping[str, Calibrator]:
        """As `TrainedNetwork.calibrators`."""
        return self.baseline.calibrators

    def predict(
        self, lesions: Lesions, config: Config, calibrators: Mapping[str, Calibrator] | None = None
    ) -> Prediction:
        """As `TrainedNetwork.predict`."""
        baseline = replace(self.baseline, calibrators=calibrators or self.calibrators)
        return Prediction(*baseline.predict(lesions.data(config)), None)


Training = TrainedNetwork | TraditionalModel


@dataclass(frozen=True)
class ModelRecord:
    """What a model's folder says of itself, which is read without what its networks are made with.

    Attributes:
        folder: where it lies; `identity`: a sum of all that is in it.
        targets: that it predicts.
        leaky: its run was.
        refitted: its networks were trained on all patients, and the figures are those of its run's folds.
        radiomics: library, version and settings that made those it was trained on; empty where it reads none.
        shells: the same of what made the radiomics of shells around the lesions.
        steps: versions of the steps of preparation, by name.
        training: what its training lesions were like, see `training_of`; `ranges`: arrays of `ranges_of`.
        out_of_fold: what its networks said of patients that they had not seen, see `sets.out_of_fold`.
        apart: how far the lesions of such patients were apart, see `sets.apart_out_of_fold`.
        results: of its run.
    """

    folder: Path
    identity: str
    targets: tuple[str, ...]
    leaky: bool
    refitted: bool
    radiomics: Mapping[str, str]
    shells: Mapping[str, str]
    steps: Mapping[str, int]
    training: Mapping[str, Any]
    ranges: Mapping[str, np.ndarray]
    out_of_fold: Sequence[Mapping[str, Any]]
    apart: Mapping[str, Sequence[float]]
    results: Results

    @property
    def doubt(self) -> "Doubt":
        """What says how odd a patient is among those of the training."""
        from bcbm.prediction.doubt import doubt_from

        return doubt_from(self.ranges, self.training["scanners"])


@dataclass(frozen=True)
class TrainedModel(ModelRecord):
    """A model as it is used: `networks` is its ensemble, all of one kind."""

    networks: tuple[Training, ...]

    @property
    def thresholds(self) -> dict[str, float]:
        """From which probability on the ensemble calls a patient positive: the mean over its networks."""
        means = {}
        for target in self.targets:
            known = [value for net in self.networks if not math.isnan(value := net.thresholds[target])]
            means[target] = float(np.mean(known)) if known else math.nan
        return means


def read_record(folder: Path) -> ModelRecord:
    """Read a model but for its networks, each file held against its sum.

    Raises:
        InputError: it is not a model, a file is missing or has a byte changed, a newer version wrote it, or
            no export writes what it holds.
    """
    from safetensors.numpy import load_file

    metadata = check_bundle(folder)
    own = metadata["bcbm"]
    with readable(folder, AGAIN):
        unseen = read_part(folder, OUT_OF_FOLD)
        record = ModelRecord(
            folder,
            bundle_sum(folder),
            tuple(metadata["network_data_format"]["outputs"]["pred"]["channel_def"].values()),
            bool(own["leaky"]),
            own.get("refit") is not None,
            own["radiomics"],
            own.get("shells", {}),
            own["steps"],
            read_part(folder, TRAINING),
            load_file(folder / RANGES),
            unseen["blocks"],
            unseen["apart"],
            without_nulls(read_part(folder, RESULTS)),
        )
        require_sound(record)
        return record


def read_model(folder: Path) -> TrainedModel:
    """Read a model.

    Raises:
        InputError: as `read_record`, or its files do not belong together.
    """
    record = read_record(folder)
    with readable(folder, AGAIN):
        names = read_part(folder, METADATA)["bcbm"]["networks"]
        networks = tuple(_member(folder, name) for name in names)
        model = TrainedModel(**vars(record), networks=networks)
        require_agreement(model, names, read_yaml(folder / EXPERIMENT))
        return model


def _groups(fitted: Mapping[str, Any]) -> list[str]:
    """The groups of ComBat in what was fitted, by modality."""
    return list(((fitted.get("radiomics") or {}).get("combat") or {}).get("groups", []))


def _place(training: Training) -> dict[str, Any]:
    """What a training says of itself on disk, whatever its kind."""
    return {"fold": training.fold, "seed": training.seed, "thresholds": dict(training.thresholds)}


def _without_places(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a network, without where its first weights lay."""
    names = ("task", "model", "loss", "trainer", "fitted", "provenance", "calibration")
    content = json.loads(json.dumps({name: hparams[name] for name in names}))
    content["model"] |= {"weights": None, "encoder_training": "full"}
    return dict(content)


@contextmanager
def _watched(encoder: "torch.nn.Module", features: "list[torch.Tensor]") -> Iterator[None]:
    """Add to `features` whatever an encoder gives meanwhile, (B, F) each."""
    hook = encoder.register_forward_hook(lambda _, inputs, output: features.append(output.float().cpu()))
    try:
        yield
    finally:
        hook.remove()


def _member(folder: Path, name: str) -> Training:
    weights, rest = network_files(name)
    content = read_part(folder, rest)
    thresholds = without_nulls(content["thresholds"])
    if "network" in content:
        module = _network(content["network"], folder / weights)
        return TrainedNetwork(module, content["fold"], content["seed"], content["batch_size"], thresholds)
    from safetensors.numpy import load_file

    from bcbm.baselines.trained import from_parts

    baseline = from_parts(content["baseline"], load_file(folder / weights))
    return TraditionalModel(baseline, content["fold"], content["seed"], thresholds)


def _network(settings: Mapping[str, Any], weights: Path) -> "LesionModule":
    from safetensors.torch import load_file

    from bcbm.model.module import LesionModule
    from bcbm.model.trained import lay_out

    module = LesionModule(**settings, loaded="")
    module.load_state_dict(load_file(weights))
    lay_out(module)
    return module
