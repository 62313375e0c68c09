"""`python -m bcbm.explain RUN ...`: what finished runs look at; beside their tables and in their report."""

import json
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from bcbm.cohort.problems import InputError, Problem
from bcbm.cohort.splits import Split
from bcbm.config import load
from bcbm.evaluate import page
from bcbm.evaluation.finished import EXPLANATIONS
from bcbm.evaluation.paired import paired_bootstrap
from bcbm.features.radiomics import FEATURES
from bcbm.reading import progress_bar
from bcbm.schema import Config
from bcbm.tracking import RunFolder
from bcbm.tuning import kept_choice

DRAWS = 5  # random orders of a radiomics feature
RESAMPLES = 500
SHOWN = 10  # features a receptor that keep an interval, those of the largest drop


def explain(folder: RunFolder, console: Console) -> None:
    """Write `explanations.json` and `explanations/*.png` of a finished run, then its report again.

    Raises:
        InputError: the run is not finished or a traditional model's, or its cohort has changed since.
    """
    from bcbm.model.crossvalidation import fold_data
    from bcbm.model.explain import HeldLesions
    from bcbm.model.module import LesionModule
    from bcbm.prepare import prepare

    config = load(folder.path / "config.yaml")
    _check(folder, config)
    lesions = prepare(config, Console(quiet=True))
    if lesions.cohort != json.loads((folder.path / "environment.json").read_text())["cohort"]:
        found = "its cohort has changed since"
        raise InputError(Problem(str(folder.path), found, "fit the experiment again, then explain that run"))
    split = Split.from_json((folder.path / "split.json").read_text())
    examples = _examples(folder, config)
    tables: list[pd.DataFrame] = []
    pictures: list[dict[str, Any]] = []
    with progress_bar(console, "explaining folds", len(split.folds)) as advance:
        for number, fold in enumerate(split.folds):
            module = LesionModule.load_from_checkpoint(
                folder.fold(number) / "checkpoints" / "best.ckpt", weights_only=True, map_location="cpu"
            )
            datamodule = fold_data(kept_choice(config, number, folder) or config, lesions, split, number)
            datamodule.setup()
            if "image" in config.task.modalities:
                shown = examples[examples["fold"] == number]
                pictures += _draw(folder, module.eval().network, datamodule, shown, config.task.receptors)
            held = HeldLesions(module, datamodule)
            tables += [table.assign(repeat=fold.repeat) for table in _changed(held, config, number)]
            advance(1)
    patients = _patients(pd.concat(tables, ignore_index=True))
    content = {
        "modalities": _drops(patients, "modality", config, console),
        "radiomics": _drops(patients, "feature", config, console),
        "saliency": pictures,
    }
    folder.write("explanations.json", json.dumps(content, indent=1))
    report = page(folder)
    console.print(f"report: {report}", highlight=False, markup=False, soft_wrap=True)


def _check(folder: RunFolder, config: Config) -> None:
    if config.model.kind != "network":
        found = f"is a run of model.kind={config.model.kind}"
        raise InputError(Problem(str(folder.path), found, "its fold=K/model.json says what it uses"))
    if not (folder.path / "results.json").is_file():
        raise InputError(Problem(str(folder.path), "is not finished", "give the same fit command again"))


def _changed(held: Any, config: Config, number: int) -> list[pd.DataFrame]:
    """Patients' probabilities of a fold as they are, without a modality, and with radiomics shuffled."""
    tables = [held.patients().assign(kind="whole", name="", draw=0)]
    if len(config.task.modalities) > 1:
        tables += [
            held.without(name).assign(kind="modality", name=name, draw=0) for name in config.task.modalities
        ]
    if "radiomics" in config.task.modalities:
        tables += [
            table.assign(kind="feature", name=name, draw=draw)
            for name, draw, table in held.shuffled(_blocks(), DRAWS, config.seed + number)
        ]
    return tables


def _blocks() -> dict[str, list[int]]:
    """Every radiomics column by its name, and each class: columns of a class stand in for each other."""
    names = [feature.removeprefix("original_") for feature in FEATURES]
    blocks = {name: [place] for place, name in enumerate(names)}
    for place, name in enumerate(names):
        blocks.setdefault(f"all {name.split('_')[0]}", []).append(place)
    return blocks


def _patients(tables: pd.DataFrame) -> pd.DataFrame:
    """One row a patient, repeat and change; a leaky split spreads a patient over folds."""
    key = ["kind", "name", "draw", "repeat", "receptor", "patient_id"]
    return tables.groupby(key, as_index=False).agg(
        probability=("probability", "mean"), label=("label", "first")
    )


def _drops(patients: pd.DataFrame, kind: str, config: Config, console: Console) -> list[dict[str, Any]]:
    """How far the patient-level AUROC falls with each change, over patients; the largest first."""
    changed = patients[patients["kind"] == kind]
    found: list[dict[str, Any]] = []
    names = changed["name"].unique()
    with progress_bar(console, f"bootstrapping each {kind}", len(names)) as advance:
        for name in names:
            rows = changed[changed["name"] == name]
            for receptor in config.task.receptors:
                of = rows[rows["receptor"] == receptor]
                whole = patients[(patients["kind"] == "whole") & (patients["receptor"] == receptor)]
                draws = pd.concat([whole.assign(draw=draw) for draw in of["draw"].unique()])
                a, b = (table.assign(repeat=table["repeat"] * DRAWS + table["draw"]) for table in (draws, of))
                drop = paired_bootstrap(a, b, min(config.bootstrap, RESAMPLES), config.seed)
                found.append(
                    {kind: name, "receptor": receptor}
                    | {"drop": drop.difference, "low": drop.low, "high": drop.high}
                )
            advance(1)
    found = [one for one in found if not np.isnan(one["drop"])]
    found.sort(key=lambda one: (config.task.receptors.index(one["receptor"]), -one["drop"]))
    return [
        one
        for receptor in config.task.receptors
        for one in [row for row in found if row["receptor"] == receptor][:SHOWN]
    ]


def _examples(folder: RunFolder, config: Config) -> pd.DataFrame:
    """The lesions to look into: of each receptor and label the surest right and the surest wrong one."""
    table = pd.read_parquet(folder.path / "predictions.parquet")
    table = table[(table["repeat"] == 0) & table["label"].notna()].sort_values(["probability", "lesion_id"])
    groups = [
        rows.iloc[sorted({0, len(rows) - 1})]
        for receptor in config.task.receptors
        for _, rows in table[table["receptor"] == receptor].groupby("label")
    ]
    return pd.concat(groups, ignore_index=True).assign(number=lambda rows: range(1, len(rows) + 1))


def _draw(
    folder: RunFolder, network: Any, datamodule: Any, examples: pd.DataFrame, receptors: list[str]
) -> list[dict[str, Any]]:
    """A picture a lesion: the crop's middle slice, Grad-CAM and occlusion over it."""
    from torch.utils.data import default_collate

    from bcbm.evaluation.saliency_figure import saliency_figure
    from bcbm.model.saliency import grad_cam, occlusion

    dataset = datamodule.datasets["test"]
    places = {datamodule.lesions["lesion_id"].iloc[row]: place for place, row in enumerate(dataset.rows)}
    drawn = []
    for row in examples.itertuples():
        lesion = default_collate([dataset[places[row.lesion_id]]])
        head = receptors.index(str(row.receptor))
        mask = np.asarray(datamodule.crops[int(dataset.rows[places[row.lesion_id]])][1], np.float32)
        name = f"{row.receptor}-{row.number}.png"
        path = folder.path / EXPLANATIONS / name
        path.parent.mkdir(exist_ok=True)
        maps = {
            "Grad-CAM": grad_cam(network, lesion, head).numpy(),
            "occlusion": occlusion(network, lesion, head).numpy(),
        }
        saliency_figure(lesion["image"][0, 0].numpy(), mask, maps, path)
        drawn.append(
            {"file": name, "receptor": row.receptor, "lesion_id": row.lesion_id}
            | {"method": "Grad-CAM and occlusion", "probability": row.probability, "label": row.label}
        )
    return drawn


def main() -> int:
    """Explain run folders."""
    from bcbm.command import over_runs

    return over_runs(__doc__ or "", explain)


if __name__ == "__main__":
    raise SystemExit(main())
