"""Which columns the models of a run's folds have chosen, from what each fold has written."""

from itertools import repeat
from pathlib import Path
from typing import Any

import pandas as pd

from bcbm.errors import readable
from bcbm.system.files import read_json


def chosen_columns(folder: Path, targets: list[str]) -> dict[str, pd.DataFrame]:
    """Whether the model of each fold that predicted the test patients has each column, by target.

    A column whose coefficient is 0, as L1 leaves many, is not chosen; one that no fold had a choice of, as a
    kind that no training patient is of, is not chosen by that fold.

    Args:
        folder: of the run; its `fold=K/model.json` are read.
        targets: those of the run.

    Returns:
        A table of booleans a target, a row a fold, a column a candidate. Targets whose models choose nothing
        are left out: all of a network, of a model that takes every column or none, and of a run of version
        0.1, which did not write down what was left out.
    """
    paths = folder.glob("fold=*/model.json")
    models = [models_of(path) for path in sorted(paths)]
    tables = {}
    for target in targets:
        fitted = [model[target] for model in models]
        if not fitted or not any(model.get("left_out") for model in fitted):
            continue
        rows = [_chosen(model) for model in fitted]
        tables[target] = pd.DataFrame(rows).fillna(False).astype(bool)
    return tables


def models_of(path: Path) -> dict[str, Any]:
    """The model of each target that predicted the test patients of a fold, from its `model.json`.

    Raises:
        InputError: it is damaged.
    """
    remedy = "remove its fold and run the same fit command again"
    with readable(path, remedy):
        models: dict[str, Any] = read_json(path, remedy)["for_test"]
        return models


def _chosen(model: dict[str, Any]) -> dict[str, bool]:
    coefficients = model.get("coefficients", repeat(1.0))
    inside = {name: weight != 0 for name, weight in zip(model["columns"], coefficients, strict=False)}
    return inside | dict.fromkeys(model["left_out"], False)
