"""A finished run as report and comparison read it: its files, and nothing but its files."""

import json
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bcbm.cohort.leaks import LeakFold, count_leaks
from bcbm.config.compose import known_settings, renamed
from bcbm.config.reading import read_yaml
from bcbm.errors import InputError, Note, Problem, readable
from bcbm.runs.figures import figures_of
from bcbm.runs.folder import TUNING
from bcbm.runs.joins import ANEW, RunTables, read_tables
from bcbm.runs.predictions import read_predictions
from bcbm.runs.tables import RUN, read_with_sum, sum_of
from bcbm.statistics.leakage import is_leaky, split_block
from bcbm.statistics.results import Results
from bcbm.system.files import read_json

RADIOMICS_FILE = "radiomics.json"  # of a fold: what it has harmonised and left out
CARD_FILE = "deep_features.json"  # of a run: the card of the network that made its deep features
SITE = "site"  # the column whose values, held out one by one, have a page of their own,
SITES_PAGE = "validation/report.html"  # which lies here in the folder of a run
FOLD_ANEW = "remove its fold and run the same fit command again"
EXPLANATIONS = "explanations"  # folder of a run that holds the pictures named in explanations.json


@dataclass(frozen=True)
class FinishedRun:
    """What a run folder holds, each table checked against those that own what it says.

    Attributes:
        config: the resolved configuration, plain.
        environment: versions, commit, seed and hashes.
        split: unit, seed, hash and the folds' units.
        lesions: the whole lesion table, excluded ones too.
        predictions: the prediction table.
        results: `results.json`, whether it is leaky counted anew; NaN where a figure is undefined. All of
            it is computed anew where it has no sum beside it.
        leaks: what the parts of each fold share.
    """

    folder: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    split: dict[str, Any]
    lesions: pd.DataFrame
    predictions: pd.DataFrame
    results: Results
    leaks: list[LeakFold]

    @property
    def chosen(self) -> dict[int, dict[str, Any]]:
        """What each fold was trained with instead of the configuration's own values; empty where none was."""
        tunings = self._of_folds(TUNING)
        with readable(self.folder / "fold=K" / TUNING, FOLD_ANEW):
            return {number: dict(content["chosen"]) for number, content in tunings.items()}

    @property
    def fold_radiomics(self) -> dict[int, dict[str, Any]]:
        """What each fold has harmonised of radiomics and left out as unstable; empty where nothing was."""
        return without_nulls(self._of_folds(RADIOMICS_FILE))

    @property
    def card(self) -> dict[str, Any] | None:
        """What is known of the pretrained network of its deep features; None where it has none."""
        path = self.folder / CARD_FILE
        return read_json(path, "run the same fit command again") if path.is_file() else None

    def _of_folds(self, name: str) -> dict[int, dict[str, Any]]:
        """What the file of this name holds in the folder of each fold that has one, in their order."""
        files = {
            int(path.parent.name.removeprefix("fold=")): path for path in self.folder.glob(f"fold=*/{name}")
        }
        return {number: read_json(files[number], FOLD_ANEW) for number in sorted(files)}

    @property
    def random_labels(self) -> int | None:
        """The seed by which its labels were dealt out anew, as of a control; None of any other run."""
        return self.config["task"].get("random_labels")  # a run of before 0.4 knows no such key

    @property
    def chosen_by(self) -> str | None:
        """The search whose choice on a whole cohort this run was trained with; None of any other run."""
        return self.config.get("chosen_by")

    @property
    def entering(self) -> pd.DataFrame:
        """The lesions that were analysed."""
        return self.lesions[~self.lesions["excluded"].astype(bool)]


def read_run(folder: Path, resume: str = "run the command that started it again") -> FinishedRun:
    """Read a run folder.

    Args:
        folder: `<run.root>/<experiment>/<time>`.
        resume: what to do where the run is not finished.

    Raises:
        InputError: it is not a run folder, folds are missing, or a table says what its owner does not.
    """
    if not (folder / "config.yaml").is_file():
        remedy = "give the folder that fit printed"
        raise InputError(Problem(str(folder), "is not a run folder: it holds no config.yaml", remedy))
    with readable(folder, "fit the experiment again in another run folder"):
        return _read(folder, resume)


def _read(folder: Path, resume: str) -> FinishedRun:
    if not (folder / "results.json").is_file():
        total = len(read_json(folder / "split.json", ANEW)["folds"])
        predicted = len(list(folder.glob("fold=*/predictions.parquet")))
        problem = f"is not finished: it holds {predicted} of {total} folds and no results.json"
        raise InputError(Problem(str(folder), problem, resume))
    config = read_config(folder)
    tables = read_tables(folder, config["task"]["targets"], config["cohort"].get("labels", "patient"))
    leaks = count_leaks(tables.lesions, tables.split)
    place = folder / "results.json"
    if sum_of(place).is_file():
        results = read_results(folder, tables.environment["identity"])
    else:
        results = _of_now(folder, config, tables, leaks)
    if results["split"]["hash"] != tables.split.hash:
        found = f"is of split {results['split']['hash']}, and the run's is {tables.split.hash}"
        raise InputError(Problem(str(place), found, anew(folder)))
    merged = folder / "predictions.parquet"
    if not read_predictions(merged, anew(folder)).equals(tables.predictions):
        raise InputError(Problem(str(merged), "is not what the folds' tables hold together", anew(folder)))
    results["split"] = split_block(tables.split, leaks)
    results["leaky"] = is_leaky(results["split"])
    environment, split = tables.environment, tables.split_content
    return FinishedRun(folder, config, environment, split, tables.lesions, tables.predictions, results, leaks)


def read_results(folder: Path, run: str) -> Results:
    """The results of a run as they were written.

    Raises:
        InputError: they were changed, or are of another run.
    """
    place = folder / "results.json"
    with readable(place, anew(folder)):
        content = json.loads(read_with_sum(place, anew(folder)))
        author = content.pop(RUN)
    if author != run:
        raise InputError(Problem(str(place), f"is of run {author}, and this is run {run}", anew(folder)))
    results: Results = without_nulls(content)
    return results


def _of_now(folder: Path, config: dict[str, Any], tables: RunTables, leaks: list[LeakFold]) -> Results:
    """The figures of a run whose results have no sum beside them, as those of before 0.4, anew."""
    author = tables.environment.get("versions", {}).get("bcbm", "of before")
    text = (
        f"{folder}: results.json, of bcbm {author}, has no sum beside it; its figures are computed anew, as "
    )
    warnings.warn(f"{text}the mean of folds, and not written: {anew(folder)}", Note, stacklevel=2)
    return figures_of(folder, tables, leaks, config["task"]["targets"], config["bootstrap"], config["seed"])


def anew(folder: Path) -> str:
    """What to do about what is made from the tables of a run."""
    return f"make it anew with: python -m bcbm.evaluate {folder}"


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run, finished or not; a key unknown to this version is left out, with a note."""
    path = folder / "config.yaml"
    return known_settings(renamed(read_yaml(path)), path)


def without_nulls(value: Any) -> Any:
    """The same nested value with NaN for None, so that a figure is always a number."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return math.nan if value is None else value
