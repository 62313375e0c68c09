"""Models on disk: a folder that a copy, a disk or a person has changed, or that a later version wrote."""

import hashlib
import json
from pathlib import Path

from bcbm.prediction.bundle import ALWAYS, FORMAT, METADATA, SUMS, network_files, write_bundle
from bcbm.system.version import __version__
from damage.kind import kind

MODEL = {"given": "model", "words": (), "command": "predict"}
WEIGHTS = network_files("fold=0")[0]


def write_model(folder: Path) -> None:
    """Files as a model's lie, sums and all; what is damaged is met before any of them is read."""
    own = {"format": FORMAT, "version": __version__, "networks": ["fold=0"]}
    files = dict.fromkeys([*ALWAYS, *network_files("fold=0")], "{}")
    write_bundle(folder, {**files, METADATA: json.dumps({"bcbm": own})})


@kind("a folder that is no model", SUMS, "bcbm export", **MODEL)
def _(model: Path) -> None:
    (model / SUMS).unlink()


@kind("weights of a model with a flipped bit", WEIGHTS, "SHA-256", **MODEL)
def _(model: Path) -> None:
    (model / WEIGHTS).write_text("{ ")


@kind("a model without one of its files", METADATA, "copy the model again", **MODEL)
def _(model: Path) -> None:
    (model / METADATA).unlink()


@kind("sums of a model that were changed", SUMS, "copy the model again", **MODEL)
def _(model: Path) -> None:
    lines = (model / SUMS).read_text().splitlines(keepends=True)
    (model / SUMS).write_text("".join(line for line in lines if WEIGHTS not in line))


def write_format(model: Path, number: int, author: str) -> None:
    """Have a model say that another version has written it, sums and all."""
    text = (model / METADATA).read_text()
    other = text.replace(f'"format": {FORMAT}', f'"format": {number}').replace(__version__, author)
    (model / METADATA).write_text(other)
    sums = (model / SUMS).read_text()
    old, new = (hashlib.sha256(content.encode()).hexdigest() for content in (text, other))
    (model / SUMS).write_text(sums.replace(old, new))


@kind("a model of a newer format", "bcbm 9.9.0", f"format {FORMAT + 1}", **MODEL)
def _(model: Path) -> None:
    write_format(model, FORMAT + 1, "9.9.0")


@kind("a model of an earlier format", f"format {FORMAT - 1}", "export its run again", **MODEL)
def _(model: Path) -> None:
    write_format(model, FORMAT - 1, "0.4.0")


@kind("a model held against one cohort twice", "cohort.root=", **{**MODEL, "command": "validate"})
def _(model: Path) -> list[str]:
    return ["cohort.root=DIR"]


@kind("a model compared with a folder that is none", "2 folders", **{**MODEL, "command": "validate"})
def _(model: Path) -> list[str]:
    return [str(model.parent)]
