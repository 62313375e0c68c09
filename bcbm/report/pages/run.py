"""A finished run as one page: what it found, on whom, and how sure that is."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from bcbm.cohort.acquisition import other_groups
from bcbm.cohort.findings import doubtful_studies
from bcbm.cohort.table import FLOW, flow, statuses_in_words
from bcbm.errors import InputError, Problem, readable
from bcbm.report.checklists import filled_checklists
from bcbm.report.checklists.facts import preprocessing
from bcbm.report.figures import run as draw
from bcbm.report.figures.cohort import flow_figure
from bcbm.report.figures.errors import errors_figure, most_confident, pseudonyms, with_lesions
from bcbm.report.figures.paper import write_paper_figures
from bcbm.report.figures.points import with_primary
from bcbm.report.figures.subgroups import forest_figure, influence_figure
from bcbm.report.pages.leak_panel import leak_panel
from bcbm.report.pages.page import embedded, write_html
from bcbm.report.pages.subgroups import (
    chosen_content,
    most_influential,
    single_patients,
    subgroup_content,
)
from bcbm.report.pages.views import shown_views
from bcbm.report.tables import write_tables
from bcbm.report.words import RANDOM_WORDS, leak_in_words, ledger_in_words
from bcbm.runs.finished import EXPLANATIONS, SITES_PAGE, FinishedRun, read_run, without_nulls
from bcbm.runs.tables import RUN
from bcbm.runs.views import REMEDY, VIEWS, read_views
from bcbm.statistics import beside_auroc
from bcbm.statistics.results import Results
from bcbm.statistics.summary import above_chance
from bcbm.statistics.telling import Telling
from bcbm.system.files import read_json
from bcbm.system.words import listed

CURVES: dict[str, Callable[[pd.DataFrame, Results, Path], None]] = {
    "roc": draw.roc_figure,
    "precision_recall": draw.precision_recall_figure,
    "reliability": draw.reliability_figure,
    "decision": draw.decision_figure,
    "folds": draw.spread_figure,
}


def write_report(run: Path, leakcheck: Path | None = None, finished: FinishedRun | None = None) -> Path:
    """Write `report.html` of a finished run, its figures into `figures/` and its tables into `tables/`.

    Args:
        run: the run folder.
        leakcheck: the JSON file of `python -m bcbm.leakcheck`, to be shown beside the run's own counts.
        finished: the run, where it is read already.

    Returns:
        The page.

    Raises:
        InputError: the run is not finished.
    """
    finished = finished or read_run(run)
    names = pseudonyms(finished.lesions["patient_id"], finished.environment["cohort"])
    tellings, explanations = _tellings(run), _explanations(run, finished, names)
    leak = leak_panel(finished)
    lesion_rows = with_lesions(finished.predictions, finished.lesions)
    steps = [dict(zip(FLOW, step, strict=True)) for step in flow(finished.lesions)]
    subgroups, influence, drawn = _subgroups(finished, names)
    page = run / "report.html"
    write_html(
        "report.html.j2",
        page,
        run=finished,
        results=finished.results,
        beside=beside_auroc("patient"),
        verdict=verdict(finished.results),
        flow=steps,
        table_one=write_tables(finished),
        leak=leak,
        ledger_words=ledger_in_words(finished.results["ledger"]) if "ledger" in finished.results else "",
        leak_words=leak_in_words(finished.results["split"]),
        random_words=RANDOM_WORDS if finished.random_labels is not None else "",
        leakcheck=_leakcheck(leakcheck),
        tellings=tellings,
        examples=most_confident(lesion_rows, names),
        views=_views(finished, lesion_rows, names),
        explanations=explanations,
        radiomics=fold_radiomics(finished),
        moved=_moved(finished),
        sites=SITES_PAGE if (run / SITES_PAGE).is_file() else "",
        noise=noise(finished.results),
        doubts=doubts(finished.lesions, names),
        subgroups=subgroups,
        influence=influence,
        columns=chosen_content(finished),
        preprocessing=preprocessing(finished.config),
        checklists=filled_checklists(finished, leak["shared_patients"]),
        pictures=_pictures(finished, steps, lesion_rows) | drawn,
    )
    return page


def verdict(results: Results) -> tuple[str, str]:
    """The result in a line, and its kind: good, warn or leaky."""
    if results["leaky"]:
        return f"LEAKY: {leak_in_words(results['split'])}. No figure here is a result.", "leaky"
    others = noise(results)
    above = [name for name in results["receptors"] if name not in others]
    blocks = {name: results["receptors"][name]["patient"] for name in others}
    alone = [name for name, block in blocks.items() if block["auroc_low"] > 0.5]
    others = [name for name in others if name not in alone]
    parts = {
        "Better than chance": above,
        f"Better than chance taken alone, not among {len(results['receptors'])} targets": alone,
        "Not shown to be" if above or alone else "Not shown to be better than chance": others,
    }
    text = ". ".join(f"{words}: {listed(names)}" for words, names in parts.items() if names)
    return text, "good" if above else "warn"


def noise(results: Results) -> list[str]:
    """Targets that are not shown to be better than chance: to explain them is to explain noise."""
    return [name for name, block in results["receptors"].items() if not above_chance(block["patient"])]


def doubts(lesions: pd.DataFrame, names: dict[str, str]) -> list[str]:
    """What is doubtful in images and positions, each with the patients of the studies that it is said of.

    Args:
        lesions: the whole lesion table; one of a version that did not look has no doubts.
        names: pseudonyms of the patients.
    """
    if "doubts" not in lesions:
        return []
    studies = lesions.drop_duplicates("study_id").set_index("study_id")["patient_id"]
    table = lesions[lesions["doubts"] != ""].drop_duplicates("study_id")
    kinds: dict[str, list[str]] = {}
    for patient, words in zip(table["patient_id"], table["doubts"], strict=True):
        for kind in words.split("; "):
            kinds.setdefault(kind, []).append(names[str(patient)])
    for problem in doubtful_studies(lesions):
        kinds.setdefault(problem.kind, []).append(names[str(studies[problem.where])])
    return [f"{kind}: {listed(list(dict.fromkeys(patients)), 5)}" for kind, patients in kinds.items()]


def fold_radiomics(run: FinishedRun) -> dict[str, Any]:
    """What the folds have made of radiomics: features that some left out as unstable, groups of scanners.

    Returns:
        `folds`, how many say so; `unstable` [{feature, folds, icc}], the least stable first, icc the mean
        over folds; `column` that was harmonised and `groups` [{fold, name, train, test, fitted}] of it.
    """
    records = run.fold_radiomics
    agreement = pd.DataFrame({fold: record.get("icc", {}) for fold, record in records.items()}).mean(axis=1)
    left_out = Counter(name for record in records.values() for name in record.get("unstable", []))
    rows = [{"feature": name, "folds": count, "icc": agreement[name]} for name, count in left_out.items()]
    harmonised = {fold: record["harmonised"] for fold, record in records.items() if "harmonised" in record}
    return {
        "folds": len(records),
        "unstable": sorted(rows, key=lambda row: row["icc"]),
        "column": next((content["column"] for content in harmonised.values()), ""),
        "groups": [
            {"fold": fold, "name": name or "unknown", **counts}
            for fold, content in harmonised.items()
            for name, counts in content["groups"].items()
        ],
    }


def _moved(run: FinishedRun) -> tuple[int, int]:
    """With a column held out: patients with several values, and their lesions with another than the first."""
    column = run.config["split"].get("holdout")
    others = run.entering[other_groups(run.entering, column)] if column else run.entering[:0]
    return others["patient_id"].nunique(), len(others)


def _pictures(run: FinishedRun, steps: list[dict[str, Any]], lesion_rows: pd.DataFrame) -> dict[str, str]:
    """Every figure as an address that holds it; the files stay in the run folder."""
    folder = run.folder / "figures"
    folder.mkdir(exist_ok=True)
    predictions = with_primary(run.predictions, run.lesions)
    for name, curve in CURVES.items():
        curve(predictions, run.results, folder / f"{name}.png")
    statuses = statuses_in_words(run.entering, run.config["task"]["targets"])
    flow_figure(steps, folder / "flow.png", statuses)
    errors_figure(lesion_rows, run.results, folder / "errors.png")
    if run.config.get("figures", {}).get("style") == "paper":  # a run of before knows no such key
        write_paper_figures(run, steps, statuses)
    return {name: embedded(folder, f"{name}.png") for name in (*CURVES, "flow", "errors")}


def _views(run: FinishedRun, lesion_rows: pd.DataFrame, names: dict[str, str]) -> list[dict[str, str]]:
    """Lesions worth a look, those whose pictures are in the run folder."""
    views, files = read_views(run.folder)
    folder = run.folder / VIEWS
    there = {lesion: name for lesion, name in files.items() if (folder / name).exists()}
    pictures = {lesion: embedded(folder, name, REMEDY) for lesion, name in there.items()}
    return shown_views(views, pictures, run.lesions, names, lesion_rows)


def _subgroups(
    run: FinishedRun, names: dict[str, str]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None, dict[str, str]]:
    """What the page says of subgroups and of single patients, and its figures; none in results of before."""
    results = run.results
    if "subgroups" not in results or "influence" not in results:
        return None, None, {}
    changes = single_patients(run)
    folder = run.folder / "figures"
    folder.mkdir(exist_ok=True)
    influence_figure(changes, results, folder / "influence.png")
    if results["subgroups"]:
        forest_figure(results, folder / "forest.png")
    drawn = ["influence", *["forest"] * bool(results["subgroups"])]
    content = subgroup_content(results["subgroups"], list(results["receptors"]))
    influence = {**results["influence"], "patients": most_influential(changes, run, names)}
    return content, influence, {name: embedded(folder, f"{name}.png") for name in drawn}


def _leakcheck(path: Path | None) -> dict[str, Any] | None:
    """What leakcheck found, and its picture where one lies beside the file."""
    if path is None:
        return None
    remedy = "remove its folder, or run the same leakcheck command again"
    content: dict[str, Any] = without_nulls(read_json(path, remedy))
    picture = path.with_suffix(".png")
    address = embedded(picture.parent, picture.name, remedy) if picture.exists() else None
    return {**content, "picture": address}


def _tellings(run: Path) -> list[Telling]:
    """How well single columns tell each target; nothing of a run of a version that did not look."""
    path = run / "columns.json"
    remedy = "run the same fit command again, which writes it anew"
    tellings: list[Telling] = read_json(path, remedy, list) if path.is_file() else []
    return tellings


def _explanations(folder: Path, run: FinishedRun, names: dict[str, str]) -> dict[str, Any] | None:
    """Drops of modalities and of the strongest features, and pictures with pseudonyms for patients.

    A picture that is named and not there has None for its address, so that the page can say so.
    """
    path = folder / "explanations.json"
    if not path.is_file():
        return None
    remedy = f"make it anew with: python -m bcbm.explain {folder}"
    content: dict[str, Any] = without_nulls(read_json(path, remedy))
    own = run.environment["identity"]
    if (author := content.get(RUN, own)) != own:
        raise InputError(Problem(str(path), f"is of run {author}, and this is run {own}", remedy))
    patient_of = run.lesions.set_index("lesion_id")["patient_id"]
    saliency = []
    with readable(path, remedy):
        for example in content["saliency"]:
            patient = names[str(patient_of[example["lesion_id"]])]
            picture = folder / EXPLANATIONS / example["file"]
            gone = picture.name == example["file"] and not picture.exists()
            address = None if gone else embedded(folder / EXPLANATIONS, example["file"], remedy)
            saliency.append({**example, "patient": patient, "picture": address})
        return {"modalities": content["modalities"], "radiomics": content["radiomics"], "saliency": saliency}
