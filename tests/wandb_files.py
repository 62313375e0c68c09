"""What an offline W&B run has written: its records, read from the file that would be sent."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as messages

BLOCK = 32 * 1024  # of a LevelDB log; a fragment's header is checksum (4), length (2) and kind (1)
FULL, LAST = 1, 4


@dataclass
class StoredRun:
    """An offline run.

    Attributes:
        about: the record of its start: id, group, job type, tags, ...
        config: as it was started with.
        history: a dictionary a call of `log`.
        summary: the last word on every figure, nested names joined by dots.
        metrics: what `define_metric` said, by name.
        artifacts: those it made.
        sent: the bytes of every file that would be sent.
    """

    about: Any
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    sent: bytes = b""

    def table(self, name: str, folder: Path) -> dict[str, Any]:
        """Columns and data of a table that the summary names."""
        return json.loads((folder / "files" / self.summary[f"{name}.path"]).read_text())


def stored_runs(folder: Path) -> list[StoredRun]:
    """The runs under a run folder, in the order of their start."""
    runs = [stored_run(path) for path in (folder / "wandb").glob("offline-run-*")]
    return sorted(runs, key=lambda run: run.about.start_time.ToNanoseconds())


def stored_run(folder: Path) -> StoredRun:
    """One run, from `wandb/offline-run-<time>-<id>`."""
    (path,) = folder.glob("*.wandb")
    run = StoredRun(None)
    for content in fragments(path.read_bytes()):
        record = messages.Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.about = record.run
            run.config |= items(record.run.config.update)
        elif kind == "history":
            run.history.append(items(record.history.item))
        elif kind == "summary":
            run.summary |= items(record.summary.update)
        elif kind == "metric":
            run.metrics[record.metric.name or record.metric.glob_name] = record.metric
        elif kind == "artifact":
            run.artifacts.append(record.artifact)
    run.sent = b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())
    return run


def items(pairs: Any) -> dict[str, Any]:
    """Names and values of key-value messages."""
    return {".".join(pair.nested_key) or pair.key: json.loads(pair.value_json) for pair in pairs}


def fragments(content: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log behind W&B's file header of 7 bytes, put together from their fragments."""
    record, place = b"", 7
    while place + 7 <= len(content):
        left = BLOCK - place % BLOCK
        if left < 7:  # the rest of a block is too short for a header
            place += left
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (FULL, LAST):
            yield record
            record = b""
