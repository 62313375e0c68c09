"""How far the figures of a run fall when something is taken away."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bcbm.config.schema import Config
from bcbm.modalities import MODALITIES
from bcbm.statistics.area import Area, contrast, cross_validated_area, holding_models_fixed

DRAWS = 5  # random orders of a radiomics feature
SHOWN = 10  # features a target that keep an interval, those of the largest drop


def changed(lesions: Any, config: Config, number: int) -> list[pd.DataFrame]:
    """Patients' probabilities of a fold as they are, without a modality, and with features shuffled."""
    tables = [lesions.patients().assign(kind="unchanged", name="", draw=0)]
    if len(config.task.modalities) > 1:
        tables += [
            lesions.without(name).assign(kind="modality", name=name, draw=0)
            for name in config.task.modalities
        ]
    for modality in config.task.modalities:
        if blocks := MODALITIES[modality].blocks(config):
            tables += [
                table.assign(kind="feature", name=name, draw=draw)
                for name, draw, table in lesions.shuffled(modality, blocks, DRAWS, config.seed + number)
            ]
    return tables


def patients_of(tables: pd.DataFrame) -> pd.DataFrame:
    """One row a patient, fold and change: the mean over seeds."""
    key = ["kind", "name", "draw", "repeat", "fold", "target", "patient_id"]
    return tables.groupby(key, as_index=False).agg(
        probability=("probability", "mean"), label=("label", "first")
    )


def drops(patients: pd.DataFrame, kind: str, targets: Sequence[str]) -> list[dict[str, Any]]:
    """How far the patient-level AUROC of these very models falls with each change; the largest first."""
    rows: list[dict[str, Any]] = []
    for target in targets:
        of_target = patients[patients["target"] == target]
        before = _area(of_target[of_target["kind"] == "unchanged"])
        changes = of_target[of_target["kind"] == kind].groupby("name", sort=False)
        drops_of = {name: contrast([before, _area(after)], [1.0, -1.0], 0.0) for name, after in changes}
        ordered = sorted(drops_of.items(), key=lambda item: -item[1].estimate)
        rows += [
            {kind: name, "target": target, "drop": drop.estimate, "low": drop.low, "high": drop.high}
            for name, drop in ordered
            if not np.isnan(drop.estimate)
        ][:SHOWN]
    return rows


def _area(rows: pd.DataFrame) -> Area:
    """The area of one change, every draw a repeat of its own."""
    draws = rows.assign(
        repeat=rows["repeat"] * DRAWS + rows["draw"], fold=rows["fold"] * DRAWS + rows["draw"]
    )
    return holding_models_fixed(cross_validated_area(draws))
