"""Copies of an exported model that somebody has changed on purpose, sums and all."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from bcbm.prediction.bundle import METADATA, SUMS


def with_sums(folder: Path) -> Path:
    """Write the sums of a model anew."""
    names = [line.split("  ", 1)[1] for line in (folder / SUMS).read_text().splitlines()]
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines))
    return folder


def with_metadata(model: Path, folder: Path, **own: Any) -> Path:
    """A copy that says something else of itself under `bcbm`."""
    shutil.copytree(model, folder)
    metadata = json.loads((folder / METADATA).read_text())
    metadata["bcbm"] |= own
    (folder / METADATA).write_text(json.dumps(metadata))
    return with_sums(folder)
