"""What is worked out of a study's files is kept under their content, so nothing is done twice or half."""

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from bcbm.errors import InputError, Note, Problem
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
Work = Callable[[Study, Path], Record]
_ABANDONED = 3600.0  # seconds: no writer rests that long, so whoever left a partial file was killed


def each_study(
    studies: Iterable[Study],
    work: Work,
    folder: Path,
    settings: dict[str, Any],
    *,
    jobs: int,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[Study, Path, Record]]:
    """The record of every study, in any order: read where it was kept before, else worked out and kept.

    A record is named by `settings` and the content of the study's files and written by the worker that made
    it, in one step, so a killed run goes on with the studies that are missing, and workers on other machines
    (joblib's Dask or Ray backend) need nothing but the same folder. It holds the SHA-256 of its name and
    itself, and of its files: what has been damaged since, or lies under another record's name, is made again.

    Args:
        work: makes a record, JSON's types only, of a study; larger results it writes to files whose names
            begin with the path it is given, and lists their endings as the record's `files`: a record counts
            as kept while all of them are as they were written. A record with `again` true is not kept.
            Called in another process.
        folder: where records are kept.
        settings: everything else that the record depends on, code versions included.
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

    folder.mkdir(parents=True, exist_ok=True)
    for partial in folder.glob(".*.partial"):
        with suppress(FileNotFoundError):  # its writer has just finished
            if partial.stat().st_mtime < time.time() - _ABANDONED:
                partial.unlink()
    missing, damaged = [], 0
    for study in studies:
        path = folder / _address(study, settings)
        if (stored := _stored_record(path)) is None:
            missing.append((study, path))
            damaged += _file(path).is_file()
            continue
        if progress:
            progress(len(study.masks))
        yield study, path, stored
    if damaged:
        records = "1 record is" if damaged == 1 else f"{damaged} records are"
        text = f"{folder}: {records} damaged, of an earlier version or of other files, by SHA-256; made again"
        warnings.warn(text, Note, stacklevel=2)
    missing.sort(key=lambda item: -len(item[0].masks))  # a giant that starts last would keep all waiting
    work_on = workers(jobs, return_as="generator_unordered")
    for study, path, record in work_on(delayed(_make_record)(work, settings, *item) for item in missing):
        if record is None:
            text = "it or a mask has changed while it was read"
            remedy = "start again when nothing writes to them any more"
            raise InputError(Problem(str(study.image), text, remedy))
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


def _make_record(
    work: Work, settings: dict[str, Any], study: Study, path: Path
) -> tuple[Study, Path, Record | None]:
    """A record, kept; None where it is of other files than its address: one was replaced meanwhile."""
    record = work(study, path)
    if _address(study, settings) != path.name:
        return study, path, None
    endings = record.get("files", ())
    record["sums"] = {ending: file_sum(Path(f"{path}{ending}")) for ending in endings}
    if not record.get("again"):
        write_whole(_file(path), json.dumps({"sha256": _sum(record, path.name), "record": record}))
    return study, path, record


def _sum(record: Record, address: str) -> str:
    """Of a record at an address, whose kind and study it thereby belongs to."""
    return hashlib.sha256((address + json.dumps(record)).encode()).hexdigest()


def _address(study: Study, settings: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    if study.form != "agree":
        digest.update(study.form.encode())
    others = [(f"image {sequence}", path) for sequence, path in study.others.items()]
    for name, path in [("", study.image), *study.masks.items(), *others]:
        digest.update(name.encode() + b"\0" + file_key(path))
    digest.update("".join(f"{lesion} {part}" for lesion, part in study.parts.items()).encode())
    return digest.hexdigest()[:16]
