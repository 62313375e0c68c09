"""What is worked out of a study's files is kept under their content, so nothing is done twice or half."""

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from bcbm.errors import InputError, Note, Problem
from bcbm.features.files import Files
from bcbm.features.geometry import Form
from bcbm.features.masks import MaskPart
from bcbm.system.content import file_key, file_sum
from bcbm.system.files import write_whole
from bcbm.system.pool import workers


class Study(NamedTuple):
    """The files of one study: its image, a mask by lesion id, and further images by sequence.

    `parts` says what of its mask is a lesion, where that is not all of it; `form` which form of their headers
    to believe where the two disagree.
    """

    image: Path
    masks: dict[str, Path]
    others: dict[str, Path] = {}
    parts: dict[str, MaskPart] = {}
    form: Form = "agree"


Record = dict[str, Any]
_ABANDONED = 3600.0  # seconds: no writer rests that long, so whoever left a partial file was killed


class Step(NamedTuple):
    """What is worked out of studies, and where it is kept.

    Attributes:
        work: makes a record, JSON's types only, of a study, whose files it opens through what it is given;
            larger results it writes to files whose names begin with the path it is given, and lists their
            endings as the record's `files`: a record counts as kept while all of them are as they were
            written. A record with `again` true is not kept. Called in another process.
        folder: where records are kept.
        settings: everything else that the record depends on, code versions included.
    """

    work: Callable[[Study, Path, Files], Record]
    folder: Path
    settings: dict[str, Any]


class Following(NamedTuple):
    """A step behind a first one: what it works on, by that one's record; None where it has nothing to do."""

    step: Step
    study: Callable[[Record], Study | None]


def read_once(
    studies: Iterable[tuple[Study, Sequence[Following]]],
    first: Step,
    *,
    jobs: int,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Make the records that studies lack of several steps; each file is read and unpacked once for all.

    `each_study` then finds them, and makes what is damaged again.

    Args:
        studies: each with the steps that follow the first one.
        jobs: processes, as `each_study` has them.
        progress: called with the number of masks each study has, as it is done.

    Raises:
        OSError: a folder cannot be written or the disk is full; what was finished stays.
    """
    from joblib import delayed  # a quarter of a second that a report does without

    lacking = []
    for study, following in studies:
        for folder in (first.folder, *(step.folder for step, _ in following)):
            folder.mkdir(parents=True, exist_ok=True)
        if _lacks(study, first, following):
            lacking.append((study, first, following))
        elif progress:
            progress(len(study.masks))
    lacking.sort(key=lambda item: -len(item[0].masks))  # a giant that starts last would keep all waiting
    work_on = workers(jobs, return_as="generator_unordered")
    for study, whole in work_on(delayed(_complete)(*item) for item in lacking):
        if not whole:
            raise _replaced(study)
        if progress:
            progress(len(study.masks))


def each_study(
    studies: Iterable[Study],
    step: Step,
    *,
    jobs: int,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[Study, Path, Record]]:
    """The record of every study, in any order: read where it was kept before, else worked out and kept.

    A record is named by the step's settings and the content of the study's files and written whole by the
    worker that made it, so a killed run goes on with the studies that are missing, and workers on other
    machines (joblib's Dask or Ray backend) need nothing but the same folder. It holds the SHA-256 of its name
    and itself, and of its files: what has been damaged since, or lies under another record's name, is made
    again.

    Args:
        step: what is worked out.
        jobs: processes, as joblib counts them; where they run is `joblib.parallel_config`'s choice.
        progress: called with the number of masks each study has, as it is done.

    Yields:
        The study, the path that its other files begin with, its record.

    Raises:
        InputError: a file has changed while it was read; what was finished stays.
        OSError: the folder cannot be written or the disk is full; what was finished stays.

    Warns:
        Note: how many records are made again.
    """
    from joblib import delayed  # a quarter of a second that a report does without

    step.folder.mkdir(parents=True, exist_ok=True)
    for partial in step.folder.glob(".*.partial"):
        with suppress(FileNotFoundError):  # its writer has just finished
            if partial.stat().st_mtime < time.time() - _ABANDONED:
                partial.unlink()
    missing, damaged = [], 0
    for study in studies:
        path = _place(study, step)
        if (stored := _stored_record(path)) is None:
            missing.append((study, path))
            damaged += _file(path).is_file()
            continue
        if progress:
            progress(len(study.masks))
        yield study, path, stored
    if damaged:
        records = "1 record is" if damaged == 1 else f"{damaged} records are"
        text = f"{records} damaged, of an earlier version or of other files, by SHA-256; made again"
        warnings.warn(f"{step.folder}: {text}", Note, stacklevel=2)
    missing.sort(key=lambda item: -len(item[0].masks))  # as in `read_once`
    work_on = workers(jobs, return_as="generator_unordered")
    for study, path, record in work_on(delayed(_make_record)(step, *item) for item in missing):
        if record is None:
            raise _replaced(study)
        if progress:
            progress(len(study.masks))
        yield study, path, record


def _file(path: Path) -> Path:
    return Path(f"{path}.json")


def _stored_record(path: Path) -> Record | None:
    """The record at `path`, unless it or a file that belongs with it is missing or not what was written."""
    try:
        stored = json.loads(_file(path).read_text(encoding="utf-8"))
        record: Record = stored["record"]
        whole = stored["sha256"] == _sum(record, path.name) and all(
            file_sum(Path(f"{path}{ending}")) == digest for ending, digest in record["sums"].items()
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return record if whole else None


def _lacks(study: Study, first: Step, following: Sequence[Following]) -> bool:
    """Whether a record is not there; one that is damaged is, `each_study` says so."""
    path = _place(study, first)
    if not _file(path).is_file():
        return True
    if (record := _stored_record(path)) is None:
        return False
    parts = [(part, step) for step, choose in following if (part := choose(record))]
    return not all(_file(_place(part, step)).is_file() for part, step in parts)


def _complete(study: Study, first: Step, following: Sequence[Following]) -> tuple[Study, bool]:
    """Make what a study lacks; false where a file of it was replaced meanwhile."""
    files, path = Files(study.form), _place(study, first)
    record = _stored_record(path) or _make_record(first, study, path, files)[2]
    if record is None:
        return study, False
    for step, choose in following:
        part = choose(record)
        if part is None or _file(place := _place(part, step)).is_file():
            continue
        replaced = _place(study, first) != path  # what was read before belongs under no new address
        if replaced or _make_record(step, part, place, files)[2] is None:
            return study, False
    return study, True


def _replaced(study: Study) -> InputError:
    text = "it or a mask has changed while it was read"
    remedy = "start again when nothing writes to them any more"
    return InputError(Problem(str(study.image), text, remedy))


def _make_record(
    step: Step, study: Study, path: Path, files: Files | None = None
) -> tuple[Study, Path, Record | None]:
    """A record, kept; None where it is of other files than its address: one was replaced meanwhile."""
    record = step.work(study, path, files or Files(study.form))
    if _place(study, step) != path:
        return study, path, None
    endings = record.get("files", ())
    record["sums"] = {ending: file_sum(Path(f"{path}{ending}")) for ending in endings}
    if not record.get("again"):
        write_whole(_file(path), json.dumps({"sha256": _sum(record, path.name), "record": record}))
    return study, path, record


def _sum(record: Record, address: str) -> str:
    """Of a record at an address, whose kind and study it thereby belongs to."""
    return hashlib.sha256((address + json.dumps(record)).encode()).hexdigest()


def _place(study: Study, step: Step) -> Path:
    """The path of a study's record, without its ending."""
    digest = hashlib.sha256(json.dumps(step.settings, sort_keys=True).encode())
    if study.form != "agree":
        digest.update(study.form.encode())
    others = [(f"image {sequence}", path) for sequence, path in study.others.items()]
    for name, path in [("", study.image), *study.masks.items(), *others]:
        digest.update(name.encode() + b"\0" + file_key(path))
    digest.update("".join(f"{lesion} {part}" for lesion, part in study.parts.items()).encode())
    return step.folder / digest.hexdigest()[:16]
