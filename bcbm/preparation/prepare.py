"""From files to lesion table, radiomics and crops."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape

from bcbm.cohort.acquisition import NAMED, patient_groups, require_column, several_names
from bcbm.cohort.exclusions import stand_ins
from bcbm.cohort.findings import (
    borrowed_images,
    borrowed_masks,
    doubtful_crops,
    doubtful_masks,
    doubtful_studies,
    doubtful_volumes,
    lone_studies,
    surroundings,
    with_margins,
)
from bcbm.cohort.near import near_features
from bcbm.cohort.overrides import unsure_names
from bcbm.cohort.patient_labels import contradicted, converted, permute_labels
from bcbm.cohort.splits import Split
from bcbm.cohort.table import exclude, flow, link_near, portable, require_modalities, settle
from bcbm.cohort.targets import known_targets
from bcbm.config.checks import misspelt
from bcbm.config.schema import Config
from bcbm.errors import InputError, Note, Problem
from bcbm.features.appearance import APPEARANCE, measure_appearance
from bcbm.features.cards import Card
from bcbm.features.contradictions import contradictions
from bcbm.features.crops import CropStore, prepare_crops
from bcbm.features.fingerprints import fingerprints, near_fingerprints
from bcbm.features.identities import identity_problems
from bcbm.features.perturbation import DRAWS, perturbed_features
from bcbm.features.radiomics import (
    AGREEING,
    FEATURES,
    compare_radiomics,
    differing_lesions,
    extract_cohort,
    provenance,
)
from bcbm.features.records import Study
from bcbm.modalities import MODALITIES
from bcbm.modalities.base import LesionData
from bcbm.modalities.image import IMAGE
from bcbm.preparation.columns import telling_problems, tellings
from bcbm.preparation.deep_features import deep_features, usable_card
from bcbm.preparation.lesions import Lesions
from bcbm.preparation.lists import write_list
from bcbm.preparation.reading import Labels, SurveyedCohort, disk_errors, read_cohort
from bcbm.preparation.shells import measured_shells
from bcbm.preparation.studies import count_masks, crop_settings, studies_of
from bcbm.runs.finished import FinishedRun
from bcbm.runs.joins import finished_folds
from bcbm.system.files import write_whole
from bcbm.system.spreadsheet import spreadsheet_csv
from bcbm.system.words import counted, listed
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import print_line, say

EMPTY_NAMED = 5  # features or lesions with empty cells that a message names
MOSTLY = 0.5  # of a lesion's features, beyond which that they are empty is said of it
NAMES = 32  # columns in which steps of the flow stand, so that their counts do on a terminal of 80


def prepare(
    config: Config, console: Console, labels: Labels = "required", appearance: bool = False
) -> Lesions:
    """Read the cohort, make what is missing, say what is wrong and what enters.

    Args:
        config: the experiment.
        console: gets problems, and what enters.
        labels: as of `read_cohort`; those that are not read are missing.
        appearance: say in numbers what the images look like, where they are read, see `measure_appearance`.

    Raises:
        InputError: nothing can be done with this input, or `cohort.strict` and there is any problem.
    """
    with disk_errors(config):
        return _prepare(config, console, labels, appearance)


def prepare_as_fitted(run: FinishedRun, config: Config, appearance: bool = False) -> tuple[Lesions, Split]:
    """The lesions of a finished run, prepared again without a word, and its folds.

    Args:
        run: the run.
        config: as its folder holds it.
        appearance: as of `prepare`.

    Raises:
        InputError: its cohort has changed since, or a table of it says what the cohort does not.
    """
    lesions = prepare(config, Console(quiet=True), appearance=appearance)
    if lesions.cohort != run.environment["cohort"]:
        problem = "the cohort has changed since it was fitted"
        raise InputError(Problem(str(run.folder), problem, "fit the experiment again, and take that run"))
    split = Split.from_json(json.dumps(run.split))
    finished_folds(run.folder, lesions.table, split, config.task.targets)
    return lesions, split


def _prepare(config: Config, console: Console, labels: Labels, appearance: bool) -> Lesions:
    modalities = {name: MODALITIES[name] for name in MODALITIES if name in config.task.modalities}
    needs = {need for modality in modalities.values() for need in modality.needs}
    images, radiomics = "crops" in needs, "radiomics" in needs
    card = usable_card(config) if "deep_features" in needs else None
    asked = config.features.radiomics == "extract"
    perturb = config.features.stable > 0 and radiomics
    shells = bool(config.features.shells) and radiomics
    unread = bool(config.features.shells) and not (images and config.model.shell_channels)
    if not radiomics and (config.features.stable or config.features.harmonise or unread):
        text = (
            "features.stable, features.harmonise and features.shells are of radiomics, and task.modalities "
        )
        warnings.warn(f"{text}has none", Note, stacklevel=3)
    if "burden" in config.task.modalities and config.cohort.policy == "largest":
        text = "task.modalities names burden, which counts lesions that enter: with cohort.policy=largest one"
        warnings.warn(text, Note, stacklevel=3)
    if config.features.encoder and not card:
        text = "features.encoder makes deep_features, and task.modalities does not name them"
        warnings.warn(text, Note, stacklevel=3)
    register = config.cohort.position == "image" and any(
        modality.registered for modality in modalities.values()
    )
    volumes = images or asked or register or perturb or shells
    following = [
        *(["radiomics"] if radiomics else []),
        *(["shells"] if shells else []),
        *(["appearance"] if appearance else []),
        *(["crops"] if images else []),
    ]
    cohort = read_cohort(
        config,
        console,
        volumes=volumes,
        register=register,
        radiomics=radiomics,
        labels=labels,
        following=following,
    )
    table, problems, extract = cohort.table, cohort.problems, cohort.extract
    for target in config.task.targets if labels != "required" else []:
        if labels == "none" or target not in table:
            table[target] = np.nan
    for key, column in (
        ("split.holdout", config.split.holdout),
        ("features.harmonise", config.features.harmonise if radiomics else None),
    ):
        if column and labels == "required":
            require_column(key, column, cohort.download)
        elif column and column not in table:
            table[column] = ""
    for column in NAMED if labels == "required" else []:
        if column in cohort.download.studies:
            problems += several_names(cohort.download.studies[column], cohort.download.clinical)
    if cohort.survey is None and (images or extract):
        cropped = [name for name, modality in modalities.items() if "crops" in modality.needs]
        setting = f"task.modalities holds {', '.join(cropped)}" if images else "features.radiomics=extract"
        remedy = "set task.modalities=[radiomics,position] and features.radiomics=workbook, "
        remedy += "or unpack the images"
        if labels != "required":
            remedy = "unpack the images, which the model needs"
        raise InputError(
            Problem(str(cohort.download.root), f"has no images, but {setting}", remedy), *problems
        )
    if cohort.survey is None and perturb:
        text = f"has no images, but features.stable={config.features.stable:g} perturbs their masks"
        raise InputError(
            Problem(str(cohort.download.root), text, "set features.stable=0, or unpack the images")
        )
    if cohort.survey is None and shells:
        text = (
            f"has no images, but features.shells={config.features.shells} measures what lies around lesions"
        )
        raise InputError(
            Problem(str(cohort.download.root), text, "set features.shells=[], or unpack the images")
        )
    if cohort.survey is None and config.features.coordinates:
        remedy = "set features.coordinates=false, or unpack the images"
        raise InputError(Problem(str(cohort.download.root), "has no images, so no coordinates", remedy))
    values: dict[str, Any] = {}
    if radiomics:
        values["radiomics"] = _radiomics(config, cohort, console).to_numpy()
    if shells:
        values["shells"] = measured_shells(config, cohort, console)
    data = LesionData(table, values, config, cohort.download.clinical)
    if "primary" in modalities:  # what it lacks is said before anything is made
        modalities["primary"].columns(data)
    absent = {name: modality.absent(data) for name, modality in modalities.items()}
    problems += require_modalities(table, absent.values(), config.task.missing == "keep")
    studies = _crop_studies(config, cohort) if images else []
    where = _crops(config, cohort, studies, console) if images else {}
    cut = table["lesion_id"].isin(list(where))
    present = np.column_stack(
        [
            (absent[name] == "") & (cut if "crops" in MODALITIES[name].needs else True)
            for name in config.task.modalities
        ]
    )
    exclude(table, pd.Series(~present.any(axis=1)), "no modality is there")
    if "radiomics" in values and (extract or cohort.changed.any()):
        link_near(table, near_features(values["radiomics"]))
    if images:
        places = [where.get(lesion) for lesion in table["lesion_id"]]
        values["crops"] = CropStore(places, config.features.crop_size, len(config.task.sequences) + 1)
        link_near(table, near_fingerprints(fingerprints(values["crops"])))
    if card:
        values["deep_features"] = deep_features(config, cohort, card, studies, where, console)
        cohort.notes += [problem] if (problem := _seen_before(card)) else []
    problems += [*settle(table, config.cohort.policy, cohort.survey), *stand_ins(table)]
    problems += [*doubtful_masks(table), *borrowed_masks(table, cohort.keys), *doubtful_studies(table)]
    sized = "burden" in config.task.modalities or "largest" in (config.cohort.policy, config.task.aggregate)
    problems += [*surroundings(table), *with_margins(table), *doubtful_volumes(table, sized)]
    if images:
        problems += doubtful_crops(table, config.features.crop_size, config.features.crop_spacing)
    problems += borrowed_images(table, cohort.keys)
    if cohort.survey is not None and not extract:  # else all that is extracted is compared
        problems += contradictions(table, cohort.workbook, cohort.survey.masks)
    if radiomics and not extract and config.cohort.root:  # those of the embedded cohort may be drawn
        problems += identity_problems(cohort.workbook)
    problems += contradicted(table, cohort.download.targets)
    if config.split.holdout:  # of whole patients, so that what stands for a lesion goes with it
        known = patient_groups(table[~table["excluded"]], config.split.holdout)
        nowhere = table["patient_id"].isin(known.index[known == ""])
        exclude(table, nowhere, f"no {config.split.holdout} to hold out")
    cohort.require_same_files()
    files, table = table, portable(table, cohort.download.root)
    write_whole(cohort.folder / "lesions.parquet", table.to_parquet())
    if config.cohort.strict and problems:
        raise InputError(*problems)
    report(table, problems, console)
    notes = [*cohort.notes, *converted(table, config.task.targets, config.cohort.labels)]
    notes += lone_studies(cohort.download, table)
    _print("note", notes, console)
    _list_unsure(table, config, cohort, console)
    enters = ~table["excluded"].to_numpy()
    if labels and config.task.random_labels is not None:
        targets = [target for target in known_targets(config.cohort.targets) if target in table]
        seed, owner = [config.task.random_labels], config.cohort.labels
        table.loc[enters, targets] = permute_labels(table[enters], targets, seed, owner)[targets]
    entering = table[enters].reset_index(drop=True)
    if entering.empty:
        raise InputError(
            Problem(str(cohort.download.root), "no lesion is left to analyse", "see the reasons above")
        )
    values = {name: value[enters] for name, value in values.items()}
    if perturb:
        values["perturbed"] = _perturbed(config, cohort, files[enters], console)
    if appearance and cohort.survey is not None:
        values["appearance"] = _appearance(config, cohort, files[enters], console)
    clinical = cohort.download.clinical
    lesions = Lesions(
        table, entering, values, present[enters], cohort.content, cohort.folder, clinical, cohort.ledger
    )
    own = cohort.download.citation if config.cohort.root else ""  # the embedded cohort only looks like one
    lesions.citation = config.cohort.citation or own
    lesions.root = cohort.download.root
    lesions.card = card.described() if card else None
    if labels == "required":
        lesions.tellings = tellings(lesions.data(config), config.task.modalities, config.task.targets)
        _print("note", telling_problems(lesions.tellings), console)
    return lesions


def _seen_before(card: Card) -> Problem | None:
    """That weights may have been trained on patients who are tested here, as their card says."""
    if card.test_patients == "no":
        return None
    text = f"by its card ({card.test_patients}), patients who are tested here may be among those it was "
    remedy = "figures with deep_features may be too good; take weights that have seen none of them"
    return Problem(f"features.encoder={card.weights}", f"{text}trained on", remedy)


def _list_unsure(table: pd.DataFrame, config: Config, cohort: SurveyedCohort, console: Console) -> None:
    """Write the names that are read with doubt to a file that a person can correct, for cohort.names."""
    path, unsure = cohort.folder / "names-unsure.csv", unsure_names(table)
    corrections = Path(config.cohort.names).expanduser() if config.cohort.names else None
    if corrections and corrections.resolve() == path.resolve():  # corrected in place: it is the person's now
        return
    write_list(path, spreadsheet_csv(unsure), "cohort.names")
    if len(unsure):
        names = "1 name is" if len(unsure) == 1 else f"{len(unsure)} names are"
        text = f"  {names} read with doubt: correct {path} and set cohort.names to it"
        say(console, text)


def report(table: pd.DataFrame, problems: list[Problem], console: Console) -> None:
    """Print every problem, then what enters and why other lesions do not."""
    _print("problem", problems, console)
    steps = flow(table)
    width = min(NAMES, max(len(step.replace("excluded:", "-")) for step, *_ in steps))
    for step, patients, studies, lesions in steps:
        counts = ", ".join(
            [counted(patients, "patient"), counted(studies, "study", "studies"), counted(lesions, "lesion")]
        )
        say(console, f"  {step.replace('excluded:', '-'):<{width}}  {counts}")


def _print(kind: str, problems: list[Problem], console: Console) -> None:
    for problem in problems:
        print_line(console, f"[yellow]{kind}[/] {escape(str(problem))}")


def _incomplete(values: pd.DataFrame, lesions: Sequence[str]) -> list[Problem]:
    """That some cells of a table of radiomics are empty, a line for columns and one for lesions.

    Args:
        values: of it, a row a lesion; a lesion without any, and a feature that none has, are told elsewhere.
        lesions: their names.
    """
    empty = values.isna().set_axis(pd.Index(lesions))
    empty = empty.loc[~empty.all(axis=1), ~empty.all()]
    where, remedy = "table of radiomics", "fill them, or write features.radiomics=extract"
    problems = []
    if counts := {str(name): int(count) for name, count in empty.sum().items() if count}:
        worst = sorted(counts, key=lambda name: -counts[name])
        found = listed([f"{name} of {counts[name]}" for name in worst], EMPTY_NAMED)
        found = f"of {counted(len(empty), 'lesion')} some have no value of {found}; medians stand there"
        problems.append(Problem(where, found, remedy, "features without some values"))
    if few := empty.index[empty.mean(axis=1) > MOSTLY].tolist():
        found = f"{counted(len(few), 'lesion')} without most features: {listed(few, EMPTY_NAMED)}"
        problems.append(Problem(where, found, f"{remedy}; they count", "lesion without most features"))
    return problems


def _radiomics(config: Config, cohort: SurveyedCohort, console: Console) -> pd.DataFrame:
    """The 107 features of every lesion, published or extracted here, kept with where they come from."""
    table, workbook, changed = cohort.table, cohort.workbook, cohort.changed.to_numpy()
    complete = [name for name in FEATURES if name in workbook.columns] == list(FEATURES)
    if not cohort.extract:
        if not complete:
            missing = [name for name in FEATURES if name not in workbook.columns]
            near = list(misspelt(map(str, workbook.columns), FEATURES))
            found = f"no column {listed(missing, EMPTY_NAMED)}"
            found += f"; there is {listed(near, EMPTY_NAMED)}" if near else ""
            remedy = "correct the headings, or set features.radiomics=extract, which measures them here"
            raise InputError(Problem("table of radiomics", found, remedy))
        published = workbook[list(FEATURES)].assign(library="workbook")
        if empty := [name for name in FEATURES if published[name].isna().all()]:
            text, remedy = (
                f"no lesion has a value of {listed(empty, 5)}",
                "fill the column, or extract radiomics",
            )
            problem = Problem("table of radiomics", text, remedy, "feature without any value")
            cohort.problems += [problem] if len(empty) < len(FEATURES) else []
        cohort.problems += _incomplete(published[list(FEATURES)], table["lesion_id"].tolist())
        if changed.any():
            text = "radiomics extracted for parts of masks, of whose whole the workbook's rows are"
            say(console, f"  {text}: {changed.sum()}")
            values = _extracted(config, cohort, set(table.loc[changed, "lesion_id"]), console)
            published = pd.concat([published[~changed], values.assign(**provenance())])
            published = published.reindex(table["lesion_id"])
        write_whole(cohort.folder / "radiomics.parquet", published.to_parquet())
        return published[list(FEATURES)]
    assert cohort.survey is not None
    values = _extracted(config, cohort, set(cohort.survey.masks.index), console)
    write_whole(cohort.folder / "radiomics.parquet", values.assign(**provenance()).to_parquet())
    if complete:
        cohort.problems += _compare(workbook[~changed], values, config, cohort.folder, console)
    return values.reindex(table["lesion_id"])[list(FEATURES)]


def _compare(
    workbook: pd.DataFrame, values: pd.DataFrame, config: Config, folder: Path, console: Console
) -> list[Problem]:
    """Say how extracted radiomics agree with the workbook's, and return a problem a study that differs.

    Where every lesion differs it is one problem: then it is the files that are others, and no study.
    """
    compared, differing = compare_radiomics(workbook, values), differing_lesions(workbook, values)
    write_whole(folder / "radiomics-compared.csv", spreadsheet_csv(compared.reset_index()))
    write_whole(folder / "radiomics-differing.csv", spreadsheet_csv(differing.reset_index()))
    agreeing, count = int((compared["median_difference"] < 1e-6).sum()), int(compared["lesions"].max())
    say(
        console,
        f"  radiomics extracted (features.axes={config.features.axes}) against the workbook: {agreeing} of "
        f"{len(compared)} features agree (median difference below 1e-6), {count - len(differing)} of {count} "
        f"lesions in all of them (each below {AGREEING:.1%}); see {folder / 'radiomics-compared.csv'}",
    )
    problems = []
    studies = np.array([str(lesion).partition("/")[0] for lesion in differing.index], object)
    many = len(set(studies))
    if len(differing) == count and many > 1 and not differing["diameters"].all():
        text = f"all {count} lesions that it knows, of {many} studies, differ from what is extracted"
        remedy = "check that images and masks are those of the workbook, at their resolution; the extracted "
        remedy += f"values count, and {folder / 'radiomics-differing.csv'} lists the lesions"
        return [Problem("radiomics workbook", text, remedy, "radiomics differ from the workbook")]
    for study, lesions in differing.groupby(studies):
        worst, names = lesions.iloc[0], [lesion.partition("/")[2] for lesion in lesions.index]
        text = (
            f"{listed(names, 5)}: up to {lesions['features'].max()} of {len(FEATURES)} features differ from "
        )
        text += f"the workbook, most {worst['feature']} of {names[0]} (by {worst['largest_difference']:.0%})"
        remedy = "check that image and masks are those of the workbook; the extracted values count"
        if lesions["diameters"].all():
            remedy = "features.axes=stored measures these diameters as the workbook has them"
        problems.append(Problem(str(study), text, remedy, "radiomics differ from the workbook"))
    return problems


def _extracted(config: Config, cohort: SurveyedCohort, lesions: set[str], console: Console) -> pd.DataFrame:
    """The 107 features of these lesions by lesion_id; those that fail are excluded with their reason."""
    table, studies = cohort.table, studies_of(cohort.table, lesions, form=config.cohort.form)
    place = cohort.folder / "radiomics"
    with progress_bar(console, "extracting radiomics", count_masks(studies), place) as advance:
        jobs, axes = config.prepared.jobs, config.features.axes
        values, failures = extract_cohort(studies, jobs, advance, folder=place, axes=axes)
    failed = table["lesion_id"].map(failures)
    for lesion, failure in failures.items():
        remedy = "look at the mask; the lesion is excluded, or kept without radiomics (task.missing=keep)"
        cohort.problems.append(Problem(lesion, f"radiomics failed: {failure}", remedy, "radiomics failed"))
    if config.task.missing == "exclude":
        exclude(table, failed.notna(), "radiomics failed: " + failed.astype(str))
    return values


def _perturbed(
    config: Config, cohort: SurveyedCohort, entering: pd.DataFrame, console: Console
) -> np.ndarray:
    """The features of perturbed masks, (N, DRAWS, 107), of the lesions that enter; NaN without a mask."""
    studies = studies_of(entering, set(entering["lesion_id"]), form=config.cohort.form)
    place, words = cohort.folder / "perturbed", "extracting radiomics of perturbed masks"
    with progress_bar(console, words, count_masks(studies), place) as advance:
        jobs, axes = config.prepared.jobs, config.features.axes
        features = perturbed_features(studies, place, jobs, advance, axes=axes)
    missing = np.full((DRAWS, len(FEATURES)), np.nan)
    return np.stack([features.get(lesion, missing) for lesion in entering["lesion_id"]])


def _appearance(
    config: Config, cohort: SurveyedCohort, entering: pd.DataFrame, console: Console
) -> np.ndarray:
    """What the images of the lesions that enter look like, (N, 17); NaN without one."""
    studies, place = cohort.drawn_studies(config.cohort.form), cohort.folder / "appearance"
    with progress_bar(console, "looking at images", count_masks(studies), place) as advance:
        numbers = measure_appearance(studies, place, config.prepared.jobs, advance)
    missing = np.full(len(APPEARANCE), np.nan)
    return np.stack([numbers.get(lesion, missing) for lesion in entering["lesion_id"]])


def _crop_studies(config: Config, cohort: SurveyedCohort) -> list[Study]:
    """The files of the studies with a lesion that could enter and has what a crop is cut from.

    With all of their sound lesions: a study's crops are then the same whatever else says which ones enter.
    """
    assert cohort.survey is not None
    table, sequences = cohort.table, config.task.sequences[1:]
    whole = (IMAGE.absent(LesionData(table, {}, config)) == "") & table["lesion_id"].isin(
        cohort.survey.masks.index
    )
    ready = set(table.loc[whole & ~table["excluded"], "lesion_id"])
    studies = studies_of(table, set(table.loc[whole, "lesion_id"]), sequences, form=config.cohort.form)
    return [study for study in studies if ready & study.masks.keys()]


def _crops(
    config: Config, cohort: SurveyedCohort, studies: list[Study], console: Console
) -> dict[str, tuple[Path, int]]:
    """Where the crop of every lesion of these studies that could enter lies; one without is excluded with its
    reason."""
    table, settings, place = cohort.table, crop_settings(config.features), cohort.folder / "crops"
    with progress_bar(console, "cutting crops", count_masks(studies), place) as advance:
        where, failures = prepare_crops(
            studies,
            place,
            settings,
            jobs=config.prepared.jobs,
            progress=advance,
            doubts=cohort.problems,
        )
    ready = set(table.loc[~table["excluded"], "lesion_id"])
    failures = [problem for problem in failures if problem.where in ready]
    cohort.problems += failures
    if config.task.missing == "exclude":
        reasons = table["lesion_id"].map({problem.where: problem.found for problem in failures})
        exclude(table, reasons.notna(), reasons)
    return {lesion: row for lesion, row in where.items() if lesion in ready}
