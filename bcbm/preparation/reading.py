"""A cohort as commands need it: where it is, what its files and volumes say, where its records are kept."""

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd
from rich.console import Console

from bcbm.cohort.cells import odd_cells_table
from bcbm.cohort.download import Download
from bcbm.cohort.exclusions import apply_exclusions, read_exclusions, unread_marks
from bcbm.cohort.formats import FORMATS, format_name
from bcbm.cohort.given_radiomics import with_radiomics
from bcbm.cohort.label_findings import unread_primaries
from bcbm.cohort.labels import (
    read_corrections,
    readings_table,
    readings_words,
    unused_corrections,
)
from bcbm.cohort.measurements import Survey
from bcbm.cohort.overrides import read_overrides
from bcbm.cohort.parts import divide
from bcbm.cohort.patients import same_patients, several_people
from bcbm.cohort.pooled import of_site, pooled, site_names, unlabelled
from bcbm.cohort.synthetic import GENERATOR, write_cohort
from bcbm.cohort.table import LESIONS, build_table
from bcbm.cohort.targets import TARGETS, known_targets
from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem, out_of_memory
from bcbm.features.geometry import Form
from bcbm.features.radiomics import extract_cohort
from bcbm.features.records import Study
from bcbm.features.survey import register_cohort, survey_cohort
from bcbm.pathology.receptors import receptor_of
from bcbm.preparation.lists import write_list
from bcbm.preparation.studies import count_masks, read_studies, studies_of
from bcbm.system.content import file_key, file_sum
from bcbm.system.files import write_whole
from bcbm.system.spreadsheet import spreadsheet_csv
from bcbm.system.words import listed
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import say

Labels = Literal["required", "known", "none"]  # of the targets: needed, read where there are any, not read


@dataclass
class SurveyedCohort:
    """A cohort as read and surveyed: audit judges it, preparation continues from it.

    Attributes:
        content: hash of the download's files, of corrected names and labels, of own targets,
            and of what was answered about patients with several spellings and about whose a label is.
        folder: where everything made from them is kept.
        ledger: the folder in it that counts looks at the patients of these very files.
        table: the lesion table, not yet settled.
        workbook: published radiomics by lesion_id, rows of `table`.
        survey: measurements of the volumes, or None.
        problems: everything wrong so far.
        notes: what is decided already, such as patients with several spellings, masks of several lesions, and
            images whose header has two forms.
        extract: whether radiomics are extracted: they have to be, or there is no table of them.
        keys: what each image and mask held when it was first looked at, by path.
    """

    download: Download
    content: str
    folder: Path
    ledger: Path
    table: pd.DataFrame
    workbook: pd.DataFrame
    survey: Survey | None
    problems: list[Problem]
    notes: list[Problem]
    extract: bool
    keys: dict[str, bytes]

    @property
    def changed(self) -> pd.Series:
        """Whether a lesion is less than what its file holds, a part or a label value, a boolean a row.

        The workbook's features are those of the file.
        """
        if self.survey is None:
            return pd.Series(False, index=self.table.index)
        return self.table["voxels"] < self.table["drawn"]

    def drawn_studies(self, form: Form) -> list[Study]:
        """The files of the studies with a sound lesion, with all that they have, whichever of them enter.

        Args:
            form: as of `studies_of`.
        """
        assert self.survey is not None
        table = self.table
        drawn = table["lesion_id"].isin(self.survey.masks.index) & table["category"].isin(LESIONS)
        return studies_of(table, set(table.loc[drawn, "lesion_id"]), form=form)

    def require_same_files(self) -> None:
        """Refuse to go on with files of which one has been replaced, as each step reads them again.

        Raises:
            InputError: it names each.
        """
        changed = [path for path, key in self.keys.items() if file_key(Path(path)) != key]
        remedy = "start again when nothing writes to it any more"
        if changed:
            raise InputError(*(Problem(path, "has changed while it was read", remedy) for path in changed))


def cache_folder() -> Path:
    """Where prepared cohorts live by default: BCBM_CACHE, else the user's cache folder."""
    base = os.environ.get("BCBM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "bcbm"
    return Path(base).expanduser()


def cohort_roots(config: Config, console: Console) -> list[Path]:
    """The folders or tables of `cohort.root`, or the embedded cohort, written once into the cache."""
    if given := config.cohort.root:
        several = given.startswith("[") and given.endswith("]")
        roots = [text.strip(" '\"") for text in given[1:-1].split(",")] if several else [given]
        return [Path(text).expanduser() for text in roots if text]
    return [embedded_root(config, console)]


def embedded_root(config: Config, console: Console) -> Path:
    """The embedded cohort, written once into the cache."""
    synthetic = config.cohort.synthetic
    kind = "images" if synthetic.images else "table"
    name = f"synthetic-v{GENERATOR}-{synthetic.patients}-{synthetic.signal:g}-{kind}-{synthetic.seed}"
    name = "-".join([name, *synthetic.sequences[1:], *([f"site{synthetic.site}"] * (synthetic.site > 1))])
    root = cache_folder() / name
    if not (root / "cohort.json").is_file():
        with progress_bar(console, "writing the synthetic cohort") as advance:
            write_cohort(
                root,
                patients=synthetic.patients,
                signal=synthetic.signal,
                images=synthetic.images,
                sequences=synthetic.sequences,
                seed=synthetic.seed,
                site=synthetic.site,
                extract=lambda studies: extract_cohort(studies, config.prepared.jobs, None),
                jobs=config.prepared.jobs,
                progress=advance,
            )
    return root


def read_cohort(
    config: Config,
    console: Console,
    *,
    volumes: bool,
    register: bool,
    radiomics: bool = True,
    labels: Labels = "required",
    following: Collection[str] = (),
) -> SurveyedCohort:
    """Read a cohort into its lesion table.

    Args:
        volumes: survey images and masks, where there are any.
        radiomics: survey them too where radiomics have to be extracted.
        register: register the studies to the template too.
        labels: required: a cohort that lacks those of `task.targets` is refused, and a lesion without any
            does not enter; known: both pass; none: no label is read.
        following: what else is worked out of the volumes while their files are read, of `radiomics`,
            `shells`, `appearance` and `crops`.

    Raises:
        InputError: nothing can be done with this input.
    """
    roots = cohort_roots(config, console)
    targets = known_targets(config.cohort.targets) if labels != "none" else {}
    targets = {name: replace(target, required=labels == "required") for name, target in targets.items()}
    formats = [format_name(config.cohort.format, root) for root in roots]
    if config.cohort.format == "auto" and config.cohort.root:
        say(console, f"cohort format {' and '.join(dict.fromkeys(formats))}")
    if config.cohort.labels == "lesion":
        _require_lesion_labels(roots, formats)
    corrections = {}
    if config.cohort.readings:
        corrections = read_corrections(Path(config.cohort.readings).expanduser(), targets)
        targets = {name: replace(target, corrections=corrections) for name, target in targets.items()}
    downloads, refused = [], []
    for site, name, root in zip(site_names(roots), formats, roots, strict=True):
        try:
            downloads.append(FORMATS[name].read(root, targets, config.task.sequences[1:]))
        except InputError as error:
            several = len(roots) > 1
            refused += [of_site(site, problem) if several else problem for problem in error.problems]
    if refused:
        raise InputError(*refused)
    contents = [FORMATS[name].content(root) for name, root in zip(formats, roots, strict=True)]
    _require_distinct(roots, contents)
    download, content = downloads[0], contents[0]
    if len(roots) > 1:
        sites = dict(zip(site_names(roots), downloads, strict=True))
        download = pooled(sites)
        download.problems += unlabelled(sites, config.task.targets) if labels != "none" else []
        content = hashlib.sha256(" ".join(contents).encode()).hexdigest()[:16]
    if config.cohort.radiomics:
        value = config.cohort.label_value or 0
        download = with_radiomics(download, Path(config.cohort.radiomics).expanduser(), value)
    columns = {*targets} & {*download.studies}  # not ER_low, nor HER2_low where HER2 has no scores
    download.targets = [target for target in download.targets if target in columns]
    if labels == "required":
        _require_targets(config, download)
    download, notes = same_patients(download, config.cohort.same_patients)
    names = read_overrides(Path(config.cohort.names).expanduser()) if config.cohort.names else {}
    left_out = read_exclusions(Path(config.cohort.exclude).expanduser()) if config.cohort.exclude else None
    prepared_root = config.prepared.root
    folder = Path(prepared_root).expanduser() if prepared_root else cache_folder() / f"prepared-{content}"
    if any(folder.resolve().is_relative_to(part.root.resolve()) for part in downloads):
        remedy = "choose a folder elsewhere: the download is never written to"
        raise InputError(Problem(str(folder), "prepared.root lies in cohort.root", remedy))
    ledger = folder / "ledger" / content
    _list_odd_cells(download, folder / "cells.csv", console)
    _list_labels(download, folder / "labels.csv", config, console)
    survey = None
    extract = config.features.radiomics == "extract"
    if radiomics and not extract and download.has_images and not download.features.shape[1]:
        extract = True
        say(console, "  no table of radiomics: they are extracted from images and masks")
    volumes = volumes or (radiomics and extract)
    files = download.segmentations.filter(regex="^(image_|mask_path)") if volumes else pd.DataFrame()
    keys = {path: file_key(Path(path)) for path in sorted({*files.to_numpy().ravel()}) if path}
    if volumes and not download.has_images:
        text = f"  no images in {download.images}: masks are not checked, positions come from names"
        say(console, text)
    if volumes and download.has_images:
        studies = studies_of(download.segmentations, form=config.cohort.form)
        place, value = folder / "survey", config.cohort.label_value or 0
        steps = set(following) | ({"registration"} if register else set())
        if "radiomics" in steps and not extract:
            steps = steps - {"radiomics"} | {"parts"}
        if steps:
            with progress_bar(console, "reading images and masks", count_masks(studies), folder) as advance:
                read_studies(config, download, names, folder, steps, advance)
        with progress_bar(console, "surveying images and masks", count_masks(studies), place) as advance:
            survey = survey_cohort(studies, place, config.prepared.jobs, advance, value=value)
        download, survey = divide(download, survey, config.cohort.parts, names, value)
        if register:
            studies = studies_of(download.segmentations, form=config.cohort.form)
            sound = [study for study in studies if set(study.masks) & set(survey.masks.index)]
            with progress_bar(console, "registering studies", len(sound)) as advance:
                register_cohort(
                    sound,
                    survey,
                    folder / "registration",
                    config.prepared.jobs,
                    advance,
                    overlap=config.cohort.overlap,
                )
    table, workbook, problems = build_table(
        download, names, survey, config.cohort.labels, labelled=labels == "required"
    )
    problems += several_people(download.studies)
    beside = download.studies if download.further is None else download.further
    if left_out is None:
        problems += unread_marks(beside, download.clinical)
    else:
        problems += apply_exclusions(table, left_out, Path(str(config.cohort.exclude)))
    problems += unread_primaries(beside, download.clinical) if labels != "none" else []
    unknown = sorted(set(names) - set(table["name"]))
    for segmentation in unknown:
        remedy = "correct the name, or remove the line"
        problems.append(Problem(str(config.cohort.names), f"no segmentation is named {segmentation}", remedy))
    if config.cohort.readings:
        path = Path(config.cohort.readings).expanduser()
        problems += unused_corrections(corrections, download.label_readings, path)
    own = [target for target in targets if target not in TARGETS and targets[target].positive]
    defined = [(target, targets[target]) for target in own]
    joined = [note.where for note in notes] if config.cohort.same_patients == "join" else []
    judged = [] if left_out is None else left_out.to_numpy().tolist()
    given = [file_sum(Path(config.cohort.radiomics).expanduser())] if config.cohort.radiomics else []
    corrected = sorted(names.items()), sorted(corrections.items())
    owner = [config.cohort.labels] if config.cohort.labels != "patient" else []
    for changes in (corrected[0], defined, joined, corrected[1], judged, given, owner):
        if changes:
            content = hashlib.sha256((content + repr(changes)).encode()).hexdigest()[:16]
    notes += survey.notes if survey else []
    return SurveyedCohort(
        download, content, folder, ledger, table, workbook, survey, problems, notes, extract, keys
    )


def _list_odd_cells(download: Download, path: Path, console: Console) -> None:
    """Write the cells that are not read as plain values to a file; without any there is none."""
    path.unlink(missing_ok=True)
    if download.odd_cells:
        write_whole(path, spreadsheet_csv(odd_cells_table(download.odd_cells)))
        cells = "1 cell is" if len(download.odd_cells) == 1 else f"{len(download.odd_cells)} cells are"
        say(console, f"  {cells} not read as a plain value: what each counts as stands in {path}")


def _list_labels(download: Download, path: Path, config: Config, console: Console) -> None:
    """Write how every spelling of a label is read to a file, which corrected serves as cohort.readings."""
    corrections = Path(config.cohort.readings).expanduser() if config.cohort.readings else None
    if corrections and corrections.resolve() == path.resolve():  # corrected in place: it is the person's now
        return
    if download.label_readings:
        write_list(path, spreadsheet_csv(readings_table(download.label_readings)), "cohort.readings")
    if text := readings_words(download.label_readings):
        say(console, f"  {text}: correct {path} and set cohort.readings to it")


def _require_distinct(roots: Sequence[Path], contents: Sequence[str]) -> None:
    """Refuse a cohort that is named twice, under any path: its patients would count as those of two sites."""
    first: dict[str, Path] = {}
    for root, content in zip(roots, contents, strict=True):
        if (other := first.setdefault(content, root)) is not root:
            found, remedy = f"holds the same as {other}, file by file", "name each cohort once in cohort.root"
            raise InputError(Problem(str(root), found, remedy))


def _require_lesion_labels(roots: Sequence[Path], formats: Sequence[str]) -> None:
    """Refuse cohorts of a format that has no label by lesion."""
    problems = [
        Problem(
            str(root),
            f"cohort.labels=lesion, and the format {name} has a label a study, none a lesion",
            "write cohort.labels=study, or a manifest with a row a lesion",
        )
        for root, name in zip(roots, formats, strict=True)
        if not FORMATS[name].lesion_labels
    ]
    if problems:
        raise InputError(*problems)


def _require_targets(config: Config, download: Download) -> None:
    """Refuse a download without the labels that are to be predicted."""
    problems = []
    for name in [name for name in config.task.targets if name not in download.targets]:
        remedy = f"leave it out of task.targets; there are {', '.join(download.targets) or 'none'}"
        headings = map(str, download.studies)
        alike = [heading for heading in headings if receptor_of(re.split(r"[\W_]", heading)[0]) == name]
        if alike:
            remedy = f"call the column that holds them {name}; there is {listed(alike)}. Or {remedy}"
        problems.append(Problem(download.clinical, f"no labels of {name}", remedy))
    if problems:
        raise InputError(*problems)


@contextmanager
def disk_errors(config: Config) -> Iterator[None]:
    """Turn what a disk refuses into an InputError that says where and what to do."""
    try:
        yield
    except OSError as error:
        if out_of_memory(error):
            raise
        where = str(error.filename or config.prepared.root or cache_folder())
        key = "prepared.root"
        for name, folder in (("cohort.root", config.cohort.root), ("run.root", config.run.root)):
            if folder and Path(where).absolute().is_relative_to(Path(folder).expanduser().absolute()):
                key = name
        remedy = f"free space, or set {key} to a folder that can be written; finished work is kept"
        if key == "cohort.root":  # which nothing is written to
            remedy = "let this user read it, and all that lies in cohort.root"
        if isinstance(error, IsADirectoryError):
            remedy = "remove the folder of that name, which a file is to have"
        raise InputError(Problem(where, f"cannot be read or written ({error.strerror})", remedy)) from error
