"""A model used on patients: any cohort, prepared as the training patients were, to a table of predictions."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape

from bcbm.cohort.acquisition import groups
from bcbm.cohort.cells import READERS
from bcbm.cohort.spelling import folded
from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem, readable
from bcbm.imaging.pictures import StudyPicture, study_pictures
from bcbm.prediction.doubt import MEASURES
from bcbm.prediction.model import ModelRecord, Prediction, TraditionalModel, TrainedModel, read_model
from bcbm.prediction.overlap import trained_on
from bcbm.prediction.sets import apart, less_apart, patient_sets
from bcbm.preparation.lesions import Lesions
from bcbm.preparation.prepare import prepare
from bcbm.preparation.reading import Labels
from bcbm.preparation.steps import steps
from bcbm.report.pages.predictions import write_page
from bcbm.report.words import REFITTED
from bcbm.runs.predictions import ensemble
from bcbm.system.files import free_folder, write_whole
from bcbm.system.spreadsheet import spreadsheet_csv
from bcbm.system.words import counted, listed
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import print_line, say

OUT, TABLE = "predictions", "predictions.parquet"
COLUMNS = ["level", "patient_id", "study_id", "lesion_id", "target", "probability", "spread", "threshold"]
COLUMNS += ["decision", "set", "lesions", "apart", "apart_share", "trained_on", "doubt", "odd", "leaky"]
COLUMNS += ["reason"]
LEVELS = ("patient", "lesion")
DOUBT = ("doubt", "odd")  # columns of it that are the patient's
SHOWN = 20  # patients that the screen lists
NAMED = 5  # patients that a note names


def predict(record: ModelRecord, config: Config, console: Console) -> pd.DataFrame:
    """Predict a cohort and write `predictions.parquet`, `predictions.csv` and `report.html`.

    Args:
        record: of the model that is used on it.
        config: the model's own, with the cohort in it.
        console: gets what is wrong with the cohort, and the predictions of a few patients.

    Returns:
        The table, see `prediction_rows` and `with_doubt`.

    Raises:
        InputError: nothing can be predicted, its radiomics would be others than those of the training, or the
            files of the model do not belong together.
    """
    if record.leaky:
        print_line(console, "[bold red]LEAKY[/] this model was exported from a LEAKY run")
    if record.training["invented"]:
        text = "a program has drawn the patients it was trained on: what it says of others means nothing"
        print_line(console, f"[yellow]note[/] {text}")
    if record.refitted:
        print_line(console, f"[yellow]note[/] {REFITTED}")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, ThreadPoolExecutor(1) as beside:
        reading = beside.submit(read_model, record.folder)  # libraries that take seconds to import
        config, lesions = prepared(record, config, console)
        drawn = study_pictures(lesions, config.cohort.form, Path(folder), config.prepared.jobs)
        model = reading.result()
        members = predicted(model, config, lesions, console)
        lacking = lacking_inputs(model, config, lesions)
        table = prediction_rows(model, lesions, members, trained_on(model, lesions), config.predict.coverage)
        seen = [member.encoded for member in members if member.encoded is not None]
        judged = model.doubt.judged(lesions, seen)
        table = with_doubt(table, judged)
        table.attrs = {"model": model.identity, "cohort": lesions.cohort}
        if config.predict.out:
            out = Path(config.predict.out).expanduser()
        else:
            out = free_folder(Path(OUT), TABLE, partial(_same, table.attrs))
        write_whole(out / TABLE, table.to_parquet())
        write_whole(out / "predictions.csv", spreadsheet_csv(table))
        page = out / "report.html"
        write_page(
            *(page, table, judged.rename(columns=MEASURES), lacking, _with_pages(drawn, out / "scans")),
            *(model.results, model.training, config.predict.coverage),
            refitted=model.refitted,
        )
    _report(table, model, lacking, console)
    say(console, f"report: {page.absolute()}, with {TABLE} and predictions.csv beside it")
    return table


def _same(of: Mapping[Any, str], path: Path) -> bool:
    """Whether a table of predictions is of the same model and cohort."""
    with readable(path, "remove it, or write out=DIR"):
        written = pd.read_parquet(path).attrs
    return bool(written == of)


def _with_pages(drawn: Iterable[StudyPicture], folder: Path) -> list[StudyPicture]:
    """The pictures of studies, with their pages in a folder, in place of older ones."""
    pictures = list(drawn)
    for old in folder.glob("*.html"):
        old.unlink()
    for number, picture in enumerate(pictures):
        if picture.page is not None:
            write_whole(folder / picture.page.name, picture.page.read_bytes())
            pictures[number] = picture._replace(page=folder / picture.page.name)
    return pictures


def prepared(
    model: ModelRecord, config: Config, console: Console, labels: Labels = "none"
) -> tuple[Config, Lesions]:
    """The lesions of a cohort, prepared as those that a model was trained on, and the settings of that.

    Args:
        model: to be used on them.
        config: the model's own, with the cohort in it.
        console: gets what is wrong with the cohort.
        labels: as of `read_cohort`.

    Raises:
        InputError: a step of preparation, or the library of radiomics, has another version than in training.
    """
    extracted = model.radiomics.get("library") not in (None, "workbook")
    if extracted:
        config = replace(config, features=replace(config.features, radiomics="extract"))
    _require_steps(model, config, extracted)
    lesions = prepare(config, console, labels=labels, appearance=True)
    if model.radiomics.get("library") == "workbook":
        made = pd.read_parquet(lesions.folder / "radiomics.parquet", columns=["library"])["library"]
        if own := sorted(set(made) - {"workbook"}):
            text = f"the model was trained on published radiomics, and these are extracted by {listed(own)}"
            print_line(console, f"[yellow]note[/] {text}")
    return config, lesions


def predicted(model: TrainedModel, config: Config, lesions: Lesions, console: Console) -> list[Prediction]:
    """What each network of a model makes of lesions that are `prepared` for it."""
    with progress_bar(console, "predicting", len(model.networks)) as advance:
        members = []
        for network in model.networks:
            members.append(network.predict(lesions, config))
            advance(1)
    return members


def lacking_inputs(model: TrainedModel, config: Config, lesions: Lesions) -> list[str]:
    """What a model reads and some lesions have not, each in words: columns of the clinical table, a kind such
    as a maker that it was trained on, and a group that their radiomics are harmonised by.

    Args:
        model: whose networks are to predict.
        config: as of `prepared`.
        lesions: prepared.
    """
    traditional = [network for network in model.networks if isinstance(network, TraditionalModel)]
    read = set[str]().union(*(network.columns for network in traditional))
    kinds = set[tuple[str, str]]().union(*(network.kinds for network in traditional))
    return [
        *lacking_columns(read, lesions),
        *_unknown_kinds(kinds, lesions),
        *_unharmonised(model, config, lesions),
    ]


def lacking_columns(read: Collection[str], lesions: Lesions) -> list[str]:
    """The columns of the clinical table that a model reads and some lesions have not, each in words."""
    names = [name for name in READERS if name in read]
    table = lesions.entering.reindex(columns=names, fill_value="").fillna("")
    return [
        f"{name}, which the model reads, is empty for {count} of {counted(len(table), 'lesion')}, "
        "and counts as missing"
        for name, count in (table == "").sum().items()
        if count
    ]


def _unknown_kinds(kinds: Collection[tuple[str, str]], lesions: Lesions) -> Iterator[str]:
    """The kinds that lesions have and no network was trained on, of each column of text, in words."""
    for name in sorted({name for name, _ in kinds} & {*lesions.entering}):
        known = sorted(kind for column, kind in kinds if column == name)
        cells = lesions.entering[name].fillna("").astype(str).str.strip()
        other = cells[(cells != "") & ~cells.map(folded).isin([folded(kind) for kind in known])]
        if len(other):
            names = listed(sorted(set(map(repr, other))), NAMED)
            lack = f"{name} of {len(other)} of {counted(len(cells), 'lesion')} is {names}"
            yield f"{lack}, and the model was trained on {listed(known)}: it counts as none of them"


def _unharmonised(model: TrainedModel, config: Config, lesions: Lesions) -> Iterator[str]:
    """The groups of features.harmonise that lesions have and no network has been trained on, in words."""
    column, known = config.features.harmonise, {name for net in model.networks for name in net.harmonised}
    if not column or not known:
        return
    group = groups(lesions.entering[column])
    other = group[~group.isin(list(known))]
    if len(other):
        lack = f"{column} of {len(other)} of {counted(len(group), 'lesion')}"
        names = listed(sorted({repr(name) if name else "unknown" for name in other}), NAMED)
        own = f"shifts and scales of {listed(sorted(known))}"
        yield f"{lack} is {names}, and the model takes {own} out of radiomics: theirs are used as they are"


def prediction_rows(
    model: TrainedModel,
    lesions: Lesions,
    members: Sequence[Prediction],
    known: pd.Series,
    coverage: float,
) -> pd.DataFrame:
    """The table of predictions: patients first, then lesions, a row a target; those without one, last.

    Args:
        model: that predicts.
        lesions: prepared.
        members: what each of its networks makes of them, see `predicted`.
        known: what each lesion is to the model, see `trained_on`.
        coverage: of the sets of patients, see `patient_sets`.

    Returns:
        COLUMNS but DOUBT: `level` (patient or lesion), ids, `target`, `probability` (mean of the networks),
        `spread` (their standard deviation; NaN with one), `threshold` and `decision` by it, `set` of a
        patient, `lesions` behind it, of one with several `apart` (see `sets.apart`) and `apart_share` (see
        `sets.less_apart`), `trained_on` (whether one of them is a training lesion or a near copy of one),
        `leaky`, and in place of a prediction the `reason` why there is none.
    """
    by_lesion, by_patient = (
        [getattr(member, name) for member in members] for name in ("lesions", "patients")
    )
    entering, seen = lesions.entering, known != ""
    patients = pd.DataFrame({"patient_id": by_patient[0].index, "study_id": "", "lesion_id": ""})
    counts = entering.groupby("patient_id")
    patients["lesions"] = counts.size().loc[patients["patient_id"]].to_numpy()
    patients["trained_on"] = seen.groupby(entering["patient_id"]).any().loc[patients["patient_id"]].to_numpy()
    rows = entering[["patient_id", "study_id", "lesion_id"]].assign(lesions=1, trained_on=seen)
    sets = patient_sets(model.out_of_fold, [net.fold for net in model.networks], by_patient, coverage)
    far = apart(ensemble(by_lesion), entering["patient_id"]).loc[patients["patient_id"]]
    table = pd.concat(
        [
            _predicted(model, "patient", patients, by_patient, sets, far),
            _predicted(model, "lesion", rows, by_lesion, None, None),
            _unpredicted(lesions.table, patients["patient_id"]),
        ],
        ignore_index=True,
    )
    texts = dict.fromkeys(["patient_id", "study_id", "lesion_id", "target", "decision", "set", "reason"], str)
    columns = [name for name in COLUMNS if name not in DOUBT]
    return table.assign(leaky=model.leaky)[columns].astype(texts)


def with_doubt(table: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """The table of predictions with `doubt` and `odd` of the patient of each row, see `Doubt.judged`."""
    own = judged.reindex(table["patient_id"])
    doubted = table.assign(doubt=own["doubt"].to_numpy(), odd=own["odd"].fillna("").to_numpy())
    return doubted[COLUMNS].astype({"odd": str})


def _predicted(
    model: TrainedModel,
    level: str,
    rows: pd.DataFrame,
    members: Sequence[pd.DataFrame],
    sets: pd.DataFrame | None,
    far: pd.DataFrame | None,
) -> pd.DataFrame:
    """Rows of one level, target by target."""
    mean = ensemble(members)
    spread = np.std([member.to_numpy(np.float64) for member in members], axis=0)
    if len(members) == 1:
        spread[:] = np.nan
    tables = []
    for column, target in enumerate(model.targets):
        probability, threshold = mean[target].to_numpy(), model.thresholds[target]
        positive = np.where(probability >= threshold, "positive", "negative")
        tables.append(
            rows.assign(
                level=level,
                target=target,
                probability=probability,
                spread=spread[:, column],
                threshold=threshold,
                decision="" if np.isnan(threshold) else positive,
                set="" if sets is None else sets[target].to_numpy(),
                apart=np.nan if far is None else far[target].to_numpy(),
                apart_share=np.nan if far is None else less_apart(model.apart[target], far[target]),
                reason="",
            )
        )
    return pd.concat(tables, ignore_index=True)


def _unpredicted(table: pd.DataFrame, predicted: pd.Series) -> pd.DataFrame:
    """A row a patient, and one a lesion, without a prediction, with the reason."""
    excluded = table[table["excluded"]]
    lesions = excluded[["patient_id", "study_id", "lesion_id", "reason"]].assign(level="lesion", lesions=1)
    alone = excluded[~excluded["patient_id"].isin(predicted)]
    reasons = alone.groupby("patient_id")["reason"].agg(lambda texts: "; ".join(dict.fromkeys(texts)))
    patients = pd.DataFrame({"patient_id": reasons.index, "reason": reasons.to_numpy(), "level": "patient"})
    rows = pd.concat([patients.assign(study_id="", lesion_id="", lesions=0), lesions], ignore_index=True)
    numbers = dict.fromkeys(("probability", "spread", "threshold", "apart", "apart_share"), np.nan)
    return rows.assign(target="", decision="", set="", trained_on=False, **numbers)


def _require_steps(model: ModelRecord, config: Config, extracted: bool) -> None:
    """Refuse to prepare lesions in another way than those that a model was trained on."""
    from bcbm.features.radiomics import provenance

    problems = []
    own = steps(config, extracted)
    for name in sorted({*own, *model.steps}):
        if own.get(name) != model.steps.get(name):
            found = (
                f"was trained on {name} of version {model.steps.get(name)}, and here it is {own.get(name)}"
            )
            remedy = "use the version of bcbm that its model card names, or export its run again"
            problems.append(Problem(str(model.folder), found, remedy))
    for what, made in (("radiomics", model.radiomics if extracted else {}), ("shells", model.shells)):
        if made and (others := {k: v for k, v in provenance().items() if made.get(k) != v}):
            words = listed([f"{name} {made.get(name)}, here {value}" for name, value in others.items()])
            remedy = f"install {made['library']}=={made['version']}"
            problems.append(Problem(str(model.folder), f"reads {what} of {words}", remedy))
    if problems:
        raise InputError(*problems)


def _beside(spread: float) -> str:
    """The spread of an ensemble, for behind its mean."""
    return "" if np.isnan(spread) else f" ± {spread:.2f}"


def _report(table: pd.DataFrame, model: TrainedModel, lacking: Sequence[str], console: Console) -> None:
    """Print what was missing, the patients, if they are few, and what has no prediction."""
    for text in lacking:
        print_line(console, f"[yellow]problem[/] {escape(text)}")
    patients = table[(table["level"] == "patient") & (table["reason"] == "")]
    names = patients["patient_id"].unique()
    for name in names[:SHOWN] if len(names) <= SHOWN else []:
        rows = patients[patients["patient_id"] == name]
        parts = [
            f"{row.target} {row.probability:.2f}{_beside(row.spread)} {row.decision}, set: {row.set}"
            for row in rows.itertuples()
        ]
        say(console, f"  {name}  {'; '.join(parts)}")
    thresholds = {name: value for name, value in model.thresholds.items() if not np.isnan(value)}
    if thresholds and 0 < len(names) <= SHOWN:
        say(
            console,
            f"  positive from {listed([f'{name} {value:.2f}' for name, value in thresholds.items()])} on",
        )
    if seen := sorted(patients.loc[patients["trained_on"], "patient_id"].unique()):
        text = f"the model was trained on lesions, or near copies of lesions, of {listed(seen, NAMED)}"
        print_line(console, f"[yellow]note[/] {escape(text)}: what it says of them shows nothing")
    odd = patients[patients["odd"] != ""].drop_duplicates("patient_id")
    for row in odd.head(SHOWN).itertuples():
        text = f"{row.patient_id}: unlike the patients that the model was trained on; {row.odd}"
        print_line(console, f"[yellow]doubt[/] {escape(text)}")
    failed = table[table["reason"] != ""]
    for row in failed[failed["level"] == "patient"].itertuples():
        print_line(console, f"[yellow]problem[/] {escape(f'{row.patient_id}: not predicted; {row.reason}')}")
    counts = [_counts(rows) for rows in (table[table["reason"] == ""], failed)]
    words = "predicted " + "; not predicted: ".join(filter(None, counts))
    say(console, f"{words}; for research, not for a decision about a patient")


def _counts(rows: pd.DataFrame) -> str:
    """How many patients and lesions rows are of, in words; "" for none."""
    counts = {level: rows.loc[rows["level"] == level, f"{level}_id"].nunique() for level in LEVELS}
    return " and ".join(counted(count, level) for level, count in counts.items() if count)
