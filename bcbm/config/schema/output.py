"""Settings of what comes of a run: tracking, figures, its folder, and the model that it becomes."""

from dataclasses import dataclass
from typing import Literal

from bcbm.config.schema.key import key


@dataclass
class Tracking:
    """What follows a run on top of its folder."""

    to: list[str] = key(
        ["wandb"],
        "trackers on top of the run folder, which is csv and is there in any case; [] for none",
        among="bcbm.tracking:TRACKERS",
        empty=True,
    )
    mode: Literal["auto", "online", "offline", "off"] = key(
        "auto", "W&B; auto: online with a key and a network, else offline; never asks"
    )
    project: str = key("bcbm", "W&B project, MLflow experiment")
    entity: str | None = key(None, "W&B team or user")
    checkpoints: bool = key(False, "send each fold's checkpoint as an artifact (only when online)")


@dataclass
class Figures:
    """How a run's figures are drawn."""

    style: Literal["page", "paper"] = key(
        "page",
        "for the page alone, or also for an article: PNG and SVG 84 and 174 mm wide, with their data as CSV",
    )


@dataclass
class Run:
    """Where a run is written."""

    root: str = key("runs", "folder of all runs")
    folder: str | None = key(
        None,
        "folder of this run; empty: the unfinished or finished run of the same configuration, else a new one",
    )


@dataclass
class Export:
    """A model made of a run (`bcbm export`)."""

    out: str | None = key(
        None,
        "folder of the model, which is made; empty: the run's and -model; `out=DIR` for short",
    )
    leaky: bool = key(
        False, "export a LEAKY run too, whose model then says so wherever it is used; `leaky=true` for short"
    )
    refit: Literal["none", "all"] = key(
        "none",
        "what is exported: the trainings of the folds, which predict together, or one that is made now, on "
        "all patients of the run; `refit=all` for short",
    )


@dataclass
class Predict:
    """A model used on patients (`bcbm predict`)."""

    out: str | None = key(
        None,
        "folder of the tables and the page; empty: predictions, with a number behind it where that holds "
        "those of others; `out=DIR` for short",
    )
    coverage: float = key(
        0.9, "how often the set of a patient is to hold its status, of each class", above=0.5, below=1
    )


@dataclass
class Validate:
    """A model held against the labels of other cohorts (`bcbm validate`)."""

    out: str = key("validation", "folder of the page and `validation.json`; `out=DIR` for short")
