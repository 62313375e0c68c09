"""The traditional models of a fold as they lie on disk: JSON, and arrays in safetensors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bcbm.baselines.columns import columns_as_fitted
from bcbm.baselines.fitted import FittedModel
from bcbm.errors import InputError, Problem, readable
from bcbm.modalities.base import LesionData
from bcbm.preparation.fold_job import FoldJob
from bcbm.runs.predictions import calibrated
from bcbm.statistics.recalibration import Calibrator
from bcbm.system.files import read_json

DESCRIPTION, ARRAYS = "model.json", "model.safetensors"  # of a fold
AGAIN = "remove its fold and run the same fit command again"


@dataclass(frozen=True)
class TrainedBaseline:
    """One training of a fold: a model a target.

    Attributes:
        columns: what was fitted of the columns, by modality.
        models: by target.
        calibrators: by target.
    """

    columns: Mapping[str, Any]
    models: Mapping[str, FittedModel]
    calibrators: Mapping[str, Calibrator]

    @property
    def content(self) -> dict[str, Any]:
        """All but the arrays, plain."""
        models = {target: dict(model.content) for target, model in self.models.items()}
        calibration = {target: asdict(calibrator) for target, calibrator in self.calibrators.items()}
        return {"columns": dict(self.columns), "models": models, "calibration": calibration}

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of all models, under `<target>/<name>`."""
        return {
            f"{target}/{name}": np.ascontiguousarray(array)
            for target, model in self.models.items()
            for name, array in model.arrays.items()
        }

    def predict(self, lesions: LesionData) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Probabilities of lesions, and of their patients, as its run worked them out.

        Returns:
            A column a target each: a row a lesion, in their order; a row a patient, by `patient_id`.
        """
        columns = columns_as_fitted(lesions, self.columns)
        rows = pd.DataFrame({target: model.predict(columns) for target, model in self.models.items()})
        how = lesions.config.task.aggregate
        return calibrated(self.calibrators, rows, lesions.table, list(self.models), how)


def from_parts(content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TrainedBaseline:
    """The training that `content` and `arrays` were taken of."""
    own_arrays: dict[str, dict[str, np.ndarray]] = {target: {} for target in content["models"]}
    for address, array in arrays.items():
        target, _, name = address.rpartition("/")
        own_arrays[target][name] = array
    models = {target: FittedModel(own, own_arrays[target]) for target, own in content["models"].items()}
    calibrators = {target: Calibrator(**own) for target, own in content["calibration"].items()}
    return TrainedBaseline(content["columns"], models, calibrators)


def trained_baseline(job: FoldJob) -> TrainedBaseline:
    """What a training has left, nothing of which is code.

    Raises:
        InputError: it is missing or damaged, or an earlier version has trained it, which left none.
    """
    from safetensors.numpy import load

    path = job.home / ARRAYS
    if not path.is_file():
        found = "is not there: the version of bcbm that trained the fold left no model"
        raise InputError(Problem(str(path), found, AGAIN))
    content = read_json(job.home / DESCRIPTION, AGAIN)
    with readable(job.home, AGAIN):
        fitted = {**content["fitted"], "calibration": content["calibration"]}
        return from_parts(fitted, load(path.read_bytes()))
