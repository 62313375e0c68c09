"""What a fold fits of radiomics beside their scale: groups that are harmonised, features that are stable."""

from typing import Any

import numpy as np
from rich.console import Console

from bcbm.cohort.acquisition import groups, ordered
from bcbm.features.radiomics import FEATURES
from bcbm.modalities.radiomics import RADIOMICS
from bcbm.preparation.fold_job import FoldJob
from bcbm.runs.finished import RADIOMICS_FILE
from bcbm.system.files import strict_json, write_whole
from bcbm.terminal.words import say


def record_radiomics(job: FoldJob, console: Console) -> None:
    """Write `fold=K/radiomics.json`, and say which lesions are not harmonised and how many features go.

    Nothing is written where neither features.harmonise nor features.stable has a say.

    Raises:
        InputError: no feature is stable enough.
    """
    features, data = job.config.features, job.lesions.data(job.config)
    if "radiomics" not in job.config.task.modalities or not (features.harmonise or features.stable):
        return
    parts = job.parts
    train = parts["train"]
    if job.config.model.kind != "network":  # which is fitted again before it predicts the test patients
        train = np.sort(np.concatenate([train, parts["validation"]]))
    fitted, record = RADIOMICS.fold_fit(data, train), dict[str, Any]()
    if column := features.harmonise:
        group = groups(data.table[column])
        record["harmonised"] = {"column": column, "groups": {}}
        for name in [*ordered(set(group) - {""}), *([""] if (group == "").any() else [])]:
            counts = {
                "train": int((group[train] == name).sum()),
                "test": int((group[parts["test"]] == name).sum()),
            }
            is_fitted = name in fitted["combat"]["groups"]
            record["harmonised"]["groups"][name] = {**counts, "fitted": is_fitted}
            if fitted["combat"]["groups"] and not is_fitted:
                say(
                    console,
                    f"fold {job.number}: {column} {name or 'unknown'} has fewer than two training patients, "
                    f"so its lesions pass through as they are: {counts['train']} of training and "
                    f"{counts['test']} of test",
                )
        if not fitted["combat"]["groups"]:
            text = f"fewer than two groups of {column} have two training patients, so nothing is harmonised"
            say(console, f"fold {job.number}: {text}")
    if features.stable:
        record["icc"] = dict(zip(FEATURES, fitted["icc"], strict=True))
        unstable = [name for name, value in record["icc"].items() if not value >= features.stable]
        record["unstable"] = unstable
        text = (
            f"{len(unstable)} of {len(FEATURES)} features below features.stable={features.stable:g} left out"
        )
        say(console, f"fold {job.number}: {text}")
    write_whole(job.home / RADIOMICS_FILE, strict_json(record))
