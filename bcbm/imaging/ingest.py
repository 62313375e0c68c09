"""A folder of an hospital's files made a cohort: pseudonyms, images, masks, a manifest and a page."""

import re
import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from bcbm.cohort.targets import known_targets
from bcbm.config.schema import Config
from bcbm.errors import ConfigError, InputError, Note, Problem
from bcbm.imaging import brain as brains
from bcbm.imaging.choice import Candidate, choose, choose_named, described, doubt, listing
from bcbm.imaging.headers import Drawing, Scan, Series, is_dicom, is_headless, scan
from bcbm.imaging.labels import GivenLabels, read_given_labels
from bcbm.imaging.manifest import (
    FILE,
    GONE,
    UNREAD,
    Written,
    as_corrected,
    may_be_drawn,
    natural_order,
    read_manifest,
    volume_rows,
    with_zeros,
    write_manifest,
)
from bcbm.imaging.pseudonyms import (
    Key,
    ages_apart,
    born_alike,
    dated_alike,
    extend_key,
    is_age_lost,
    key_file,
    one_person,
    read_key,
    write_key,
)
from bcbm.imaging.study import RECORD, Plan, facts_of, ingest_study
from bcbm.report.pages.ingest import write_page
from bcbm.runs.owner import sole_owner
from bcbm.system.files import broken_links, files_below, read_json, write_whole
from bcbm.system.pool import workers
from bcbm.system.spreadsheet import spreadsheet_csv
from bcbm.system.words import counted, listed
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import print_line, say

INSTALL = "pip install 'bcbm[ingest]'"
DISORDERED = (
    "the numbers of the studies do not follow their dates, as an earlier one came later, or a date is "
    "missing or that of another; cohort.policy=one_session takes the lowest number"
)
NAMES_APART = (
    "two of the names in the headers of one PatientID have no word in common: find out whether they are one "
    "patient's, and give several people ids of their own"
)
ONE_PERSON = (
    "bear one name and one date of birth under PatientIDs of their own: if they are one person, who would be "
    f"in training and test, write one of them into the column patient of {FILE}, which stays"
)
BORN_ALIKE = (
    "share one date of birth, as a program writes it that takes names away: their ages are worked out of it "
    f"and wrong; correct the column age of {FILE}, or empty it"
)
AGES_APART = (
    "an age in the header that is more than a year off the dates of birth and study: the age counts; "
    f"correct the column age of {FILE}, or empty it"
)
DATED_ALIKE = (
    "share one date, as a program writes it that takes dates away: days between sessions are 0 and ages by "
    f"dates of birth wrong; correct the columns days, year and age of {FILE}, if they are of several days"
)
NO_AGE = (
    "PatientAge is not of DICOM's form, as 057Y, or it and the dates tell no age that there is: the age is "
    "worked out of the dates, or empty"
)
NO_SEX = "PatientSex is none of F, M and O: the sex is empty"
NO_MORE = f"is drawn no more by that name: what a person has written of it stands in {GONE}"
SHOWN = 5  # lesions that a line lists
HEADLESS = "of DICOM without the 128 bytes and the word DICM that it begins with: not read; export them anew"
FACES = "no brain was extracted (ingest.brain=none): the images show faces, which can be recognised"


def ingest(source: Path, config: Config, console: Console) -> int:
    """Make a cohort of a folder of DICOM files, or a manifest of a folder of NIfTI files.

    Args:
        source: the folder; nothing is written into it but, of NIfTI files without `out`, manifest.csv.
        config: `ingest`, `prepared.jobs`, `cohort.same_patients` and `cohort.targets` of it.
        console: where progress and problems are shown.

    Returns:
        0: done; what was refused is listed.

    Raises:
        ConfigError: a package is missing, or no folder to write into is named.
        InputError: nothing can be done with this folder, or another process works on the one to write into.
    """
    if not source.is_dir():
        raise InputError(Problem(str(source), "is not a folder", "name one of DICOM or NIfTI files"))
    with progress_bar(console, "looking at files"):
        dicom, rest = dicom_files(source)
    if not dicom:
        return _ingest_volumes(source, config, console)
    out = _require(source, config)
    with sole_owner({f"ingest into {out}": key_file(out).with_suffix(".owner")}):
        return _ingest_export(source, out, dicom, rest, config, console)


def _ingest_export(
    source: Path, out: Path, dicom: Sequence[Path], rest: Collection[Path], config: Config, console: Console
) -> int:
    """Make a cohort of an export's DICOM files; `rest` are its others."""
    headers = _headers(dicom, config, console)
    key_path = key_file(out)
    read_manifest(out / FILE)
    key = extend_key(read_key(key_path, out), headers.series, config.cohort.same_patients)
    studies, reasons = _chosen(headers, key, config)
    given = _given_labels(key.patients(), config, private=True)
    write_key(key, key_path)
    write_whole(out / "series.csv", spreadsheet_csv(listing(studies)))
    plans = _plans(studies, headers.drawings, config)
    earlier = {plan.study: facts_of(out / _folder(plan.study)) for plan in plans}
    records = _work(plans, out, config, console)
    refused = _refused(records, reasons, headers, plans) + given.remarks + _of_people(key, headers)
    refused += _unread(source, rest)
    before = read_manifest(out / FILE)  # again, as a person may have written in it meanwhile
    rows, corrected = as_corrected([row for record in records for row in _rows(record)], before, out)
    dates = key.dates(config.ingest.year)
    written = write_manifest(rows, out / FILE, before, list(studies), dates, given.cells, earlier)
    refused += [(lesion, NO_MORE) for lesion in written.gone]
    taken = [record for record in records if record["image"]] + _earlier(out, studies)
    taken = [taken[place] for place in natural_order(record["study"] for record in taken)]
    pictures = {record["study"]: out / _folder(record["study"]) for record in taken}
    faces = FACES if config.ingest.brain == "none" and taken else ""
    series = {study: described(item) for study, items in studies.items() for item in items if item.chosen}
    write_page(out / "ingest.html", taken, refused, pictures, series, faces)
    _say_refused(refused, faces, console)
    patients = counted(len({record["study"].partition("-")[0] for record in taken}), "patient")
    counts = f"{patients}, {counted(len(taken), 'study', 'studies')}, {counted(written.rows, 'lesion')}"
    say(console, f"{counts}: {out / FILE}{_labels_words(given, written, config)}")
    _say_added(written, corrected, console)
    say(console, f"pictures, and what was refused: {out / 'ingest.html'}")
    say(console, f"series as they were chosen, for ingest.series=FILE: {out / 'series.csv'}")
    say(console, f"who is who, for no one else: {key_path}")
    if not any(record["image"] for record in records):
        remedy = f"see {out / 'ingest.html'}; choose series in a copy of series.csv"
        raise InputError(Problem(str(source), "no study can be used, for the reasons above", remedy))
    return 0


def ingest_patient(source: Path, out: Path, config: Config, console: Console) -> None:
    """Make a cohort of one patient's DICOM files for a prediction: nobody is named, and no key is written.

    Args:
        source: the folder; nothing is written into it.
        out: gets a manifest, and the images and masks that it names.
        config: `ingest`, `prepared.jobs` and `cohort.same_patients` of it.
        console: where progress and problems are shown.

    Raises:
        ConfigError: a package is missing.
        InputError: nobody's files, or several patients', or no lesion is drawn on a series that can be used.
    """
    out = _require(source, replace(config, ingest=replace(config.ingest, out=str(out))))
    dicom, rest = dicom_files(source)
    headers = _headers(dicom, config, console)
    key = extend_key(Key({}), headers.series, config.cohort.same_patients)
    if (patients := len(set(key.patients().values()))) != 1:
        found = (
            f"holds DICOM files of {counted(patients, 'patient')}, and a prediction without a key is of one"
        )
        remedy = f"make a cohort of it: bcbm ingest {source} out=DIR, and predict cohort.root=DIR"
        raise InputError(Problem(str(source), found, remedy))
    studies, reasons = _chosen(headers, key, config)
    plans = _plans(studies, headers.drawings, config)
    records = _work(plans, out, config, console)
    rows = [row for record in records for row in _rows(record)]
    before, dates = read_manifest(out / FILE), key.dates(config.ingest.year)
    lesions = write_manifest(rows, out / FILE, before, list(studies), dates).rows
    refused = _refused(records, reasons, headers, plans) + _of_people(key, headers) + _unread(source, rest)
    _say_refused(refused, FACES * (config.ingest.brain == "none"), console)
    if not lesions:
        remedy = "draw its lesions on the series, as a structure set or segmentation, or choose ingest.series"
        raise InputError(Problem(str(source), "no lesion can be used, for the reasons above", remedy))


def _of_people(key: Key, headers: Scan) -> list[tuple[str, str]]:
    """What makes it doubtful that the headers of one patient, or of several, say whose they are."""
    texts = []
    if disordered := key.disordered():
        texts.append((listed(disordered), DISORDERED))
    if several := key.several_names(headers.series):
        texts.append((listed(several), NAMES_APART))
    patients = key.patients()
    if groups := one_person(headers.series):
        names = (" and ".join(sorted({patients[own] for own in group})) for group in groups)
        texts.append((listed(sorted(names), SHOWN), ONE_PERSON))
    if alike := born_alike(headers.series):
        texts.append((counted(alike, "patient"), BORN_ALIKE))
    if alike := dated_alike(headers.series):
        texts.append((counted(alike, "study", "studies"), DATED_ALIKE))
    if apart := ages_apart(headers.series):
        texts.append((counted(apart, "patient"), AGES_APART))
    forms = {
        NO_AGE: lambda item: re.fullmatch(r"(\d+[DWMY])?", item.age.strip()) and not is_age_lost(item),
        NO_SEX: lambda item: re.fullmatch("[FMOfmo]?", item.sex.strip()),
    }
    for text, is_usual in forms.items():
        odd = [item for item in headers.series if not is_usual(item)]
        if studies := {item.study_uid for item in odd}:
            texts.append((counted(len(studies), "study", "studies"), text))
    return texts


def _unread(source: Path, rest: Collection[Path]) -> list[tuple[str, str]]:
    """Files of an export beside its DICOM files that may hold an image or a lesion, and links to nothing."""
    texts = []
    others = [path for path in rest if may_be_drawn(path)]
    headless = {path for path in others if path.suffix.lower() not in UNREAD and is_headless(path)}
    if endings := [path.suffix.lower() or "without an ending" for path in others if path not in headless]:
        text = f"named {listed(sorted(set(endings)), SHOWN)} and no DICOM file: not read"
        texts.append((counted(len(endings), "file"), text))
    if headless:
        texts.append((counted(len(headless), "file"), HEADLESS))
    if links := broken_links(source):
        texts.append((counted(len(links), "link"), "to what is not there: fetch the files, or remove them"))
    return texts


def dicom_files(folder: Path) -> tuple[list[Path], set[Path]]:
    """The DICOM files in a folder and below, and the others."""
    paths = files_below(folder.absolute())
    dicom = [path for path in paths if is_dicom(path)]
    return dicom, set(paths).difference(dicom)


def _headers(files: Sequence[Path], config: Config, console: Console) -> Scan:
    with progress_bar(console, "reading headers", len(files)) as advance:
        return scan(files, config.prepared.jobs, advance)


def _chosen(headers: Scan, key: Key, config: Config) -> tuple[dict[str, list[Candidate]], dict[str, str]]:
    """The series of every study, marked where they are taken; by study why none is, or one is in doubt."""
    studies = _candidates(headers, key)
    if config.ingest.series:
        return studies, choose_named(Path(config.ingest.series).expanduser(), studies)
    return studies, {
        study: reason for study, items in studies.items() if (reason := choose(items) or doubt(items))
    }


def _say_refused(refused: Sequence[tuple[str, str]], faces: str, console: Console) -> None:
    for where, text in refused:
        print_line(console, f"[yellow]problem[/] {escape(f'{where}: {text}')}")
    if faces:
        warnings.warn(faces, Note, stacklevel=3)


def _ingest_volumes(source: Path, config: Config, console: Console) -> int:
    """Write the manifest of a folder of NIfTI files, which stay where they are."""
    out = Path(config.ingest.out).expanduser() if config.ingest.out else source
    rows, problems = volume_rows(source, out)
    if not rows:
        raise InputError(*problems)
    for problem in problems:
        print_line(console, f"[yellow]problem[/] {escape(str(problem))}")
    before = with_zeros(read_manifest(out / FILE), rows)
    rows, corrected = as_corrected(rows, before, out)
    studies = {row["study"] for row in rows}
    names = {row["patient"]: row["patient"] for row in rows}
    given = _given_labels(names, config, private=False)
    for where, text in given.remarks:
        print_line(console, f"[yellow]problem[/] {escape(f'{where}: {text}')}")
    written = write_manifest(rows, out / FILE, before, studies, labels=given.cells)
    patients = counted(len(names), "patient")
    text = f"{patients}, {counted(len(studies), 'study', 'studies')}, {counted(written.rows, 'lesion')}"
    text += f": {out / FILE}; check its column patient{_labels_words(given, written, config)}"
    say(console, text)
    _say_added(written, corrected, console)
    return 0


def _given_labels(patients: Mapping[str, str], config: Config, private: bool) -> GivenLabels:
    """What the table of labels says of the patients, by the hospital's ids; nothing without one."""
    if not config.ingest.labels:
        return GivenLabels({}, [])
    path, targets = Path(config.ingest.labels).expanduser(), known_targets(config.cohort.targets)
    return read_given_labels(path, patients, targets, private)


def _say_added(written: Written, corrected: int, console: Console) -> None:
    """Name the lesions that the manifest did not have: a person may have taken their rows out; and count the
    rows whose patient, study or image is one that it had."""
    if corrected:
        text = f"patient, study or image of {counted(corrected, 'row')}: as {FILE} had it, not as names say"
        say(console, f"{text}; empty the cell to have that")
    if written.added:
        text = f"new in the manifest: {listed(written.added, SHOWN)}; if a row was taken out on purpose, "
        say(console, f"{text}name it in a table, cohort.exclude=FILE: it is written anew each time")


def _labels_words(given: GivenLabels, written: Written, config: Config) -> str:
    """What became of the labels, for the end of a line."""
    if not config.ingest.labels:
        return "; fill in labels that it lacks"
    text = f"; labels of {counted(len(given.cells), 'patient')} from {config.ingest.labels}"
    if written.others:
        text += f", but for {counted(written.others, 'cell')} that the manifest had already, by hand or of "
        text += "an earlier table: empty them to have this one's"
    if written.silent:
        text += f"; {counted(written.silent, 'cell')} of which it says nothing stay as they were"
    return text


def _require(source: Path, config: Config) -> Path:
    """The folder to write into; what is missing is refused before any work."""
    problems = []
    if find_spec("pydicom") is None or find_spec("highdicom") is None:
        problems.append(f"DICOM files are read by pydicom and highdicom: {INSTALL}")
    if config.ingest.brain == "deepbet" and not brains.available():
        text = (
            f"ingest.brain=deepbet: deepbet is not installed: {INSTALL}, or write ingest.brain=mask or none"
        )
        problems.append(text)
    if not config.ingest.out:
        problems.append("out: name the folder to write into, out=DIR")
        raise ConfigError("\n".join(problems))
    out = Path(config.ingest.out).expanduser()
    for folder, inside in ((out, source), (source, out)):
        if folder.resolve().is_relative_to(inside.resolve()):
            problems.append(f"out={out}: one of it and {source} lies in the other; name a folder elsewhere")
            break
    if problems:
        raise ConfigError("\n".join(problems))
    return out


def _candidates(headers: Scan, key: Key) -> dict[str, list[Candidate]]:
    """The series of every study by its pseudonym, in the order of their numbers."""
    studies: dict[str, list[Series]] = {}
    for series in headers.series:
        studies.setdefault(key.study(series), []).append(series)
    return {
        study: [
            Candidate(series, index, sum(_is_drawn_on(drawing, series) for drawing in headers.drawings))
            for index, series in enumerate(sorted(members, key=_place), 1)
        ]
        for study, members in sorted(studies.items(), key=lambda item: _number(item[0]))
    }


def _is_drawn_on(drawing: Drawing, series: Series) -> bool:
    return series.uid in drawing.series and drawing.may_be_of(series)


def _place(series: Series) -> tuple[float, str]:
    return (series.number if series.number == series.number else float("inf"), series.uid)


def _number(study: str) -> tuple[int, int]:
    patient, _, session = study.removeprefix("P").partition("-")
    return int(patient), int(session)


def _folder(study: str) -> Path:
    return Path(study.partition("-")[0]) / study


def _plans(studies: dict[str, list[Candidate]], drawings: Sequence[Drawing], config: Config) -> list[Plan]:
    """The chosen series with what is drawn on it: by its series, or on no series but in its frame."""
    plans = []
    for study, candidates in studies.items():
        for candidate in candidates:
            if not candidate.chosen:
                continue
            plans.append(Plan(study, candidate.series, candidate.index, [], config.ingest.brain))
    for drawing in drawings:
        if len(fit := _plans_of(drawing, plans)) == 1:
            fit[0].drawings.append(drawing)
    return plans


def _plans_of(drawing: Drawing, plans: Sequence[Plan]) -> list[Plan]:
    """The plan of the series that a drawing is of; none, or several, where that is not one."""
    fit = [plan for plan in plans if drawing.names(plan.series) and drawing.may_be_of(plan.series)]
    own = [plan for plan in fit if plan.series.study_uid == drawing.study_uid]
    return own if len(fit) > 1 and len(own) == 1 else fit


def _work(plans: Sequence[Plan], out: Path, config: Config, console: Console) -> list[dict[str, Any]]:
    """The records of all studies in the order of their names; workers may be on other machines."""
    from joblib import delayed

    records = {}
    calls = (delayed(ingest_study)(plan, out.absolute() / _folder(plan.study)) for plan in plans)
    with progress_bar(console, "making studies", len(plans), out if out.is_dir() else None) as advance:
        for record in workers(config.prepared.jobs, "generator_unordered")(calls):
            records[record["study"]] = record
            advance(1)
    return [records[plan.study] for plan in plans]


def _earlier(out: Path, studies: Collection[str]) -> list[dict[str, Any]]:
    """The records of studies that an earlier export had and this one has not."""
    paths = [path for path in out.glob(f"P*/P*/{RECORD}") if path.parent.name not in studies]
    return [read_json(path, "remove its folder, and run ingest on its export again") for path in paths]


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The manifest's rows of a study."""
    study, place = record["study"], _folder(record["study"])
    return [
        {
            "patient": study.partition("-")[0],
            "study": study,
            "image": (place / record["image"]).as_posix(),
            "mask": (place / lesion["mask"]).as_posix(),
            "name": lesion["name"],
            **record["facts"],
        }
        for lesion in record["lesions"]
    ]


def _reason(drawing: Drawing, plans: Sequence[Plan]) -> str:
    """Why a drawing is read with no study."""
    if len(_plans_of(drawing, plans)) > 1:
        return "drawn on series of several studies, and nothing says on which: not read"
    if any(drawing.names(plan.series) for plan in plans):
        return "of another PatientID than the series that it is drawn on: not read"
    return "drawn on no series that was chosen"


def _refused(
    records: Sequence[dict[str, Any]], reasons: dict[str, str], headers: Scan, plans: Sequence[Plan]
) -> list[tuple[str, str]]:
    """What was left out or is in doubt, and why; nothing of it names anyone."""
    rows = list(reasons.items())
    for record in records:
        for where, reason in record["refused"]:
            rows.append((record["study"] if where == "study" else f"{record['study']}, {where}", reason))
        rows += [(record["study"], doubt) for doubt in record["doubts"]]
        if redrawn := record.get("redrawn"):
            text = f"drawn anew under the same name: {listed(redrawn)}; check what {FILE} says of each"
            rows.append((record["study"], text))
        if record["image"] and not record["lesions"]:
            rows.append((record["study"], "no mask of a lesion is drawn on it: the image alone is written"))
    used = {drawing.path for plan in plans for drawing in plan.drawings}
    reasons_of = Counter(_reason(drawing, plans) for drawing in headers.drawings if drawing.path not in used)
    for text, count in reasons_of.items():
        rows.append(
            (counted(count, "structure set or segmentation", "structure sets or segmentations"), text)
        )
    named = (drawing.is_named_as(plan.series) for plan in plans for drawing in plan.drawings)
    if others := sum(not is_named for is_named in named):
        where = counted(others, "structure set or segmentation", "structure sets or segmentations")
        rows.append((where, "read, though of another PatientName than the series of its PatientID"))
    if headers.unreadable:
        rows.append((counted(len(headers.unreadable), "DICOM file"), "damaged: cannot be read"))
    if headers.copies:
        rows.append((counted(len(headers.copies), "DICOM file"), "copies of others, byte by byte: read once"))
    return rows
