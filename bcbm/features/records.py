"""What is worked out of a study's files is kept under their content, so nothing is done twice or half."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from bcbm.features.geometry import Form
from bcbm.system.content import file_key
from bcbm.system.files import write_whole


class Study(NamedTuple):
    """The files of one study: its image, a mask by lesion id, further images by sequence, and which form of
    their headers to believe where the two disagree."""

    image: Path
    masks: dict[str, Path]
    others: dict[str, Path] = {}
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
    (joblib's Dask or Ray backend) need nothing but the same folder.

    Args:
        work: makes a record, JSON's types only, of a study; larger results it writes to files whose names
            begin with the path it is given, and lists their endings as the record's `files`: a record counts
            as kept while all of them are there. A record with `again` true is not kept. Called in another
            process.
        folder: where records are kept.
        settings: everything else that the record depends on, code versions included.
        jobs: processes, as joblib counts them; where they run is `joblib.parallel_config`'s choice.
        progress: called with the number of masks each study has, as it is done.

    Yields:
        The study, the path that its other files begin with, its record.

    Raises:
        OSError: the folder cannot be written or the disk is full; what was finished stays.
    """
    from joblib import Parallel, delayed  # a quarter of a second that a report does without

    folder.mkdir(parents=True, exist_ok=True)
    for partial in folder.glob(".*.partial"):
        with suppress(FileNotFoundError):  # its writer has just finished
            if partial.stat().st_mtime < time.time() - _ABANDONED:
                partial.unlink()
    missing = []
    for study in studies:
        path = folder / _address(study, settings)
        if (stored := _stored_record(path)) is None:
            missing.append((study, path))
            continue
        if progress:
            progress(len(study.masks))
        yield study, path, stored
    missing.sort(key=lambda item: -len(item[0].masks))  # a giant that starts last would keep all waiting
    workers = Parallel(n_jobs=jobs, return_as="generator_unordered")
    for study, path, record in workers(delayed(_make_record)(work, *item) for item in missing):
        if progress:
            progress(len(study.masks))
        yield study, path, record


def _stored_record(path: Path) -> Record | None:
    """The record at `path`, unless it or a file that belongs with it is not there."""
    if not (file := Path(f"{path}.json")).is_file():
        return None
    try:
        record: Record = json.loads(file.read_text())
    except ValueError:  # damaged since: it is worked out again
        return None
    files = [(Path(f"{path}{ending}"), size) for ending, size in record.get("sizes", {}).items()]
    return record if all(file.is_file() and file.stat().st_size == size for file, size in files) else None


def _make_record(work: Work, study: Study, path: Path) -> tuple[Study, Path, Record]:
    record = work(study, path)
    endings = record.get("files", ())
    record["sizes"] = {ending: Path(f"{path}{ending}").stat().st_size for ending in endings}
    if not record.get("again"):
        write_whole(Path(f"{path}.json"), json.dumps(record))
    return study, path, record


def _address(study: Study, settings: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    if study.form != "agree":
        digest.update(study.form.encode())
    others = [(f"image {sequence}", path) for sequence, path in study.others.items()]
    for name, path in [("", study.image), *study.masks.items(), *others]:
        digest.update(name.encode() + b"\0" + file_key(path))
    return digest.hexdigest()[:16]
