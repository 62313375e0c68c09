"""`python -m bcbm.prepare [key=value ...]`: from files to lesion table, radiomics, crops; `fit` calls it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bcbm.cohort.overrides import read_overrides, unsure_names
from bcbm.cohort.problems import InputError, Problem
from bcbm.cohort.survey import Survey
from bcbm.cohort.synthetic import GENERATOR, write_cohort
from bcbm.cohort.table import FLOW, build_table, exclude, flow, require_modalities, settle
from bcbm.cohort.tcia import IMAGE_FOLDER, Download, content_hash, read_download
from bcbm.data.lesions import Lesions
from bcbm.features.crops import CropSettings, CropStore, prepare_crops
from bcbm.features.kept import Study, write_whole
from bcbm.features.radiomics import FEATURES, compare_radiomics, extract_cohort, provenance
from bcbm.features.survey import register_cohort, survey_cohort
from bcbm.schema import Config


@dataclass
class Cohort:
    """A cohort as read and surveyed: what audit judges and preparation goes on from.

    Attributes:
        content: hash of the download's files, and of the names that a person corrected.
        folder: where everything made from them is kept.
        table: the lesion table, not yet settled.
        workbook: published radiomics by lesion_id, rows of `table`.
        survey: what the volumes told, or None.
        problems: everything wrong so far.
    """

    download: Download
    content: str
    folder: Path
    table: pd.DataFrame
    workbook: pd.DataFrame
    survey: Survey | None
    problems: list[Problem]


def cache_folder() -> Path:
    """Where prepared cohorts live by default: BCBM_CACHE, else the user's cache folder."""
    base = os.environ.get("BCBM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "bcbm"
    return Path(base).expanduser()


def cohort_root(config: Config, console: Console) -> Path:
    """The download, or the embedded cohort, written once into the cache."""
    if config.cohort.root:
        return Path(config.cohort.root).expanduser()
    wanted = config.cohort.synthetic
    kind = "images" if wanted.images else "table"
    name = f"synthetic-v{GENERATOR}-{wanted.patients}-{wanted.signal:g}-{kind}-{wanted.seed}"
    root = cache_folder() / name
    if not (root / "cohort.json").is_file():
        with _bar(console, "writing the synthetic cohort") as advance:
            write_cohort(
                root,
                patients=wanted.patients,
                signal=wanted.signal,
                images=wanted.images,
                seed=wanted.seed,
                extract=lambda studies: extract_cohort(studies, config.prepared.jobs, None),
                jobs=config.prepared.jobs,
                progress=advance,
            )
    return root


def read_cohort(config: Config, console: Console, *, volumes: bool, register: bool) -> Cohort:
    """Read a cohort into its lesion table.

    Arguments:
        volumes: survey images and masks, where there are any.
        register: register the studies to the template too.

    Raises:
        InputError: nothing can be done with this input.
    """
    root = cohort_root(config, console)
    download = read_download(root)
    names = read_overrides(Path(config.cohort.names).expanduser()) if config.cohort.names else {}
    content = content_hash(root)
    own = config.prepared.root
    folder = Path(own).expanduser() if own else cache_folder() / f"prepared-{content}"
    if folder.resolve().is_relative_to(root.resolve()):
        remedy = "choose a folder elsewhere: the download is never written to"
        raise InputError(Problem(str(folder), "prepared.root lies in cohort.root", remedy))
    survey = None
    if volumes and not download.has_images:
        text = f"  no images in {root / IMAGE_FOLDER}: masks are not looked at, positions come from names"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    if volumes and download.has_images:
        studies = _studies(download.segmentations)
        with _bar(console, "surveying images and masks", _count(studies)) as advance:
            survey = survey_cohort(studies, folder / "survey", config.prepared.jobs, advance)
        if register:
            sound = [study for study in studies if set(study.masks) & set(survey.masks.index)]
            with _bar(console, "registering studies", len(sound)) as advance:
                register_cohort(sound, survey, folder / "registration", config.prepared.jobs, advance)
    table, workbook, problems = build_table(download, names, survey)
    unknown = sorted(set(names) - set(table["name"]))
    for name in unknown:
        remedy = "correct the name, or remove the line"
        problems.append(Problem(str(config.cohort.names), f"no segmentation is named {name}", remedy))
    if names:
        text = content + repr(sorted(names.items()))
        content = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Cohort(download, content, folder, table, workbook, survey, problems)


def prepare(config: Config, console: Console) -> Lesions:
    """Read the cohort, make what is missing, say what is wrong and what enters.

    Raises:
        InputError: nothing can be done with this input, or `cohort.strict` and there is any problem.
    """
    with disk_errors(config):
        return _prepare(config, console)


@contextmanager
def disk_errors(config: Config) -> Iterator[None]:
    """Turn what a disk refuses into an InputError that says where and what to do."""
    try:
        yield
    except OSError as error:
        where = str(error.filename or config.prepared.root or cache_folder())
        remedy = "free space, or set prepared.root to a folder that can be written; what is finished is kept"
        raise InputError(Problem(where, f"cannot be read or written ({error.strerror})", remedy)) from error


def _prepare(config: Config, console: Console) -> Lesions:
    images, extract = "image" in config.task.modalities, config.features.radiomics == "extract"
    register = config.cohort.position == "image" and "position" in config.task.modalities
    cohort = read_cohort(config, console, volumes=images or extract or register, register=register)
    table, problems = cohort.table, cohort.problems
    if cohort.survey is None and (images or extract):
        what = "task.modalities holds image" if images else "features.radiomics=extract"
        remedy = "set task.modalities=[radiomics,position] and features.radiomics=workbook, "
        remedy += "or unpack the images"
        raise InputError(Problem(str(cohort.download.root), f"has no images, and {what}", remedy))
    if cohort.survey is None and config.features.coordinates:
        remedy = "set features.coordinates=false, or unpack the images"
        raise InputError(Problem(str(cohort.download.root), "has no images, so no coordinates", remedy))
    radiomics = cohort.workbook
    if "radiomics" in config.task.modalities:
        radiomics = _radiomics(config, cohort, console)
    problems += require_modalities(table, radiomics, config.task.modalities)
    where = _crops(config, cohort, console) if images else {}
    problems += settle(table, config.cohort.policy, cohort.survey)
    _keep(table, cohort.folder / "lesions.parquet")
    if config.cohort.strict and problems:
        raise InputError(*problems)
    report(table, problems, console)
    _list_unsure(table, config, cohort, console)
    entering = table[~table["excluded"]].reset_index(drop=True)
    if entering.empty:
        raise InputError(
            Problem(str(cohort.download.root), "no lesion is left to analyse", "see the reasons above")
        )
    values = None
    if "radiomics" in config.task.modalities:
        values = radiomics.loc[entering["lesion_id"], list(FEATURES)].to_numpy()
    crops = CropStore([where[lesion] for lesion in entering["lesion_id"]]) if images else None
    return Lesions(table, entering, values, crops, cohort.content, cohort.folder)


def _list_unsure(table: pd.DataFrame, config: Config, cohort: Cohort, console: Console) -> None:
    """Write the names that are read with doubt to a file that a person can correct and give back."""
    path, unsure = cohort.folder / "names-unsure.csv", unsure_names(table)
    given = Path(config.cohort.names).expanduser() if config.cohort.names else None
    if given and given.resolve() == path.resolve():  # corrected in place: it is the person's now
        return
    write_whole(path, unsure.to_csv(index=False).encode())
    if len(unsure):
        text = f"  {len(unsure)} names are read with doubt: correct {path} and give it back as cohort.names"
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def report(table: pd.DataFrame, problems: list[Problem], console: Console) -> None:
    """Print every problem, then what enters and why the rest does not."""
    for problem in problems:
        console.print(f"[yellow]problem[/] {escape(str(problem))}", highlight=False, soft_wrap=True)
    for step, patients, studies, lesions in flow(table):
        counts = f"{patients:>4} patients{studies:>5} studies{lesions:>5} lesions"
        console.print(f"  {step.replace('excluded:', '-'):<39.39}{counts}", highlight=False, markup=False)


def _studies(segmentations: pd.DataFrame, lesions: set[str] | None = None) -> list[Study]:
    """The files of every study with an image, of these lesions or of all."""
    rows = segmentations[(segmentations["mask_path"] != "") & (segmentations["image_path"] != "")]
    rows = rows.assign(lesion_id=rows["study_id"] + "/" + rows["name"])
    if lesions is not None:
        rows = rows[rows["lesion_id"].isin(lesions)]
    return [
        Study(
            Path(str(image)),
            {str(k): Path(str(v)) for k, v in zip(part["lesion_id"], part["mask_path"], strict=True)},
        )
        for image, part in rows.groupby("image_path")
    ]


def _count(studies: list[Study]) -> int:
    return sum(len(study.masks) for study in studies)


def _radiomics(config: Config, cohort: Cohort, console: Console) -> pd.DataFrame:
    """The 107 features of every lesion, published or extracted here, kept with where they come from."""
    table, workbook = cohort.table, cohort.workbook
    complete = [name for name in FEATURES if name in workbook.columns] == list(FEATURES)
    if config.features.radiomics == "workbook":
        if not complete:
            missing = [name for name in FEATURES if name not in workbook.columns]
            remedy = "use the workbook of the download, or features.radiomics=extract"
            raise InputError(Problem("radiomics workbook", f"no column {', '.join(missing)}", remedy))
        _keep(workbook[list(FEATURES)].assign(library="workbook"), cohort.folder / "radiomics.parquet")
        return workbook[list(FEATURES)]
    assert cohort.survey is not None
    studies = _studies(table, set(cohort.survey.masks.index))
    with _bar(console, "extracting radiomics", _count(studies)) as advance:
        values, failures = extract_cohort(
            studies, config.prepared.jobs, advance, folder=cohort.folder / "radiomics"
        )
    failed = table["lesion_id"].map(failures)
    for lesion, failure in failures.items():
        remedy = "look at the mask; the lesion is excluded"
        cohort.problems.append(Problem(lesion, f"radiomics failed: {failure}", remedy, "radiomics failed"))
    exclude(table, failed.notna(), "radiomics failed: " + failed.astype(str))
    _keep(values.assign(**provenance()), cohort.folder / "radiomics.parquet")
    if complete:
        compared = compare_radiomics(workbook, values)
        write_whole(cohort.folder / "radiomics-compared.csv", compared.to_csv().encode())
        agreeing = int((compared["median_difference"] < 1e-6).sum())
        console.print(
            f"  radiomics extracted against the workbook: {agreeing} of {len(compared)} features agree "
            f"(median difference below 1e-6); each in {cohort.folder / 'radiomics-compared.csv'}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    return values.reindex(table["lesion_id"])


def _crops(config: Config, cohort: Cohort, console: Console) -> dict[str, tuple[Path, int]]:
    """Where the crop of every lesion lies that could enter; the others are excluded with their reason."""
    table, wanted = cohort.table, config.features
    studies = _studies(table, set(table.loc[~table["excluded"], "lesion_id"]))
    settings = CropSettings(wanted.crop_size, wanted.crop_spacing, wanted.crop_margin, wanted.crop_intensity)
    with _bar(console, "cutting crops", _count(studies)) as advance:
        where, bad = prepare_crops(
            studies, cohort.folder / "crops", settings, jobs=config.prepared.jobs, progress=advance
        )
    cohort.problems += bad
    reasons = table["lesion_id"].map({problem.where: problem.found for problem in bad})
    exclude(table, reasons.notna(), reasons)
    return where


def _keep(frame: pd.DataFrame, path: Path) -> None:
    write_whole(path, frame.to_parquet())


@contextmanager
def _bar(console: Console, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.update(task, advance=count)


def _prepare_alone(config: Config, console: Console) -> int:
    from bcbm.evaluation.cohort_figures import flow_figure

    lesions = prepare(config, console)
    picture = lesions.folder / "flow.png"
    steps = [dict(zip(FLOW, step, strict=True)) for step in flow(lesions.table)]
    flow_figure(steps, picture)
    console.print(
        f"tables, crops and {picture.name}: {lesions.folder}", highlight=False, markup=False, soft_wrap=True
    )
    return 0


def main() -> int:
    """Prepare a cohort and say what is in it."""
    from bcbm.fit import run_command

    return run_command(__doc__ or "", _prepare_alone, trains=False)


if __name__ == "__main__":
    raise SystemExit(main())
