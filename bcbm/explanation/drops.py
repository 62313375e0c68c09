"""How far the figures of a run fall when something is taken away."""

from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from bcbm.config.schema import Config
from bcbm.modalities import MODALITIES
from bcbm.statistics.paired import paired_bootstrap
from bcbm.terminal.progress import progress_bar

DRAWS = 5  # random orders of a radiomics feature
RESAMPLES = 500
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
        if blocks := MODALITIES[modality].blocks():
            tables += [
                table.assign(kind="feature", name=name, draw=draw)
                for name, draw, table in lesions.shuffled(modality, blocks, DRAWS, config.seed + number)
            ]
    return tables


def patients_of(tables: pd.DataFrame) -> pd.DataFrame:
    """One row a patient, repeat and change; a leaky split spreads a patient over folds."""
    key = ["kind", "name", "draw", "repeat", "target", "patient_id"]
    return tables.groupby(key, as_index=False).agg(
        probability=("probability", "mean"), label=("label", "first")
    )


def drops(patients: pd.DataFrame, kind: str, config: Config, console: Console) -> list[dict[str, Any]]:
    """How far the patient-level AUROC falls with each change, over patients; the largest first."""
    others = patients[patients["kind"] == kind]
    rows: list[dict[str, Any]] = []
    names = others["name"].unique()
    with progress_bar(console, f"bootstrapping each {kind}", len(names)) as advance:
        for name in names:
            changed_rows = others[others["name"] == name]
            for target in config.task.targets:
                after = changed_rows[changed_rows["target"] == target]
                before = patients[(patients["kind"] == "unchanged") & (patients["target"] == target)]
                draws = pd.concat([before.assign(draw=draw) for draw in after["draw"].unique()])
                a, b = (
                    table.assign(repeat=table["repeat"] * DRAWS + table["draw"]) for table in (draws, after)
                )
                drop = paired_bootstrap(a, b, min(config.bootstrap, RESAMPLES), config.seed)
                rows.append(
                    {kind: name, "target": target}
                    | {"drop": drop.difference, "low": drop.low, "high": drop.high}
                )
            advance(1)
    rows = [row for row in rows if not np.isnan(row["drop"])]
    rows.sort(key=lambda row: (config.task.targets.index(row["target"]), -row["drop"]))
    shown = []
    for target in config.task.targets:
        shown += [row for row in rows if row["target"] == target][:SHOWN]
    return shown
