"""Exported models: where they are made, how they are held against their run, and changed copies of them."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bcbm.config.compose import compose
from bcbm.prediction.bundle import METADATA, SUMS
from bcbm.prediction.predict import prepared
from bcbm.prediction.request import base_settings
from bcbm.runs.predictions import ensemble

QUIET = Console(quiet=True)
SMALL = ["split.folds=2", "trainer.max_epochs=1", "data.workers=0", "prepared.jobs=1", "tracking.to=[]"]
SMALL += ["bootstrap=20", "trainer.accelerator=cpu", "trainer.devices=1", "data.batch_size=4"]


def with_sums(folder: Path) -> Path:
    """Write the sums of a model anew."""
    names = [line.split("  ", 1)[1] for line in (folder / SUMS).read_text().splitlines()]
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines))
    return folder


def with_metadata(model: Path, folder: Path, **own: Any) -> Path:
    """A copy that says something else of itself under `bcbm`."""
    shutil.copytree(model, folder)
    metadata = json.loads((folder / METADATA).read_text())
    metadata["bcbm"] |= own
    (folder / METADATA).write_text(json.dumps(metadata))
    return with_sums(folder)


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """A folder to work in, the cache of all that is prepared meanwhile; runs get no report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BCBM_CACHE", str(folder / "cache"))
        patch.setattr("bcbm.crossvalidation.results.page", lambda *run: folder)  # a report that none reads
        patch.chdir(folder)
        yield folder


def predicted_alone(trained, root, run, number, place):
    """What the networks of a fold say of its test lesions, prepared anew from the files, without a label."""
    rows = run.predictions[run.predictions["fold"] == number]
    others = sorted(set(run.lesions["lesion_id"]) - set(rows["lesion_id"]))
    pd.DataFrame({"lesion": others, "reason": "not of this test"}).to_csv(place / "out.csv", index=False)
    words = [*base_settings(trained.folder), "prepared.jobs=1"]
    config = compose([*words, f"cohort.root={root}", f"cohort.exclude={place / 'out.csv'}"])
    config, lesions = prepared(trained, config, QUIET)
    assert lesions.entering[list(trained.targets)].isna().all(axis=None)
    members = [network.predict(lesions, config) for network in trained.networks if network.fold == number]
    assert len(members) == run.config["seeds"]
    by_lesion, by_patient = (
        ensemble([getattr(member, name) for member in members]) for name in ("lesions", "patients")
    )
    return lesions.entering["lesion_id"].tolist(), by_lesion, by_patient, rows


def assert_same(ids, by_lesion, by_patient, rows):
    """To the last bit."""
    for target, own in rows.groupby("target"):
        assert ids == own["lesion_id"].tolist()
        assert np.array_equal(by_lesion[target], own["probability"])
        assert np.array_equal(by_patient.loc[own["patient_id"], target], own["patient_probability"])
