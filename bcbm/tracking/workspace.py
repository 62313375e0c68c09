"""A W&B workspace that lays the runs of compared experiments beside each other."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as panels
import wandb_workspaces.workspaces as ws

from bcbm.config.schema.output import Tracking
from bcbm.statistics.results import Comparison
from bcbm.system.files import write_whole
from bcbm.tracking import LONGEST, group_name
from bcbm.tracking.wandb import wandb_mode

FILE = "wandb-workspace.json"
GROUP = "Group"
TRAINING = ("learning_rate", "grad_norm", "lesions_per_second")


def write_workspace(workspace: ws.Workspace, tracking: Tracking, folder: Path) -> str:
    """Write the definition into the comparison's folder; online, save it with W&B too.

    Args:
        workspace: of `comparison_workspace` or `sweeps_workspace`.
        tracking: whose project, and whether online.
        folder: of the comparison.

    Returns:
        Where it is.
    """
    path = folder / FILE
    write_whole(path, definition(workspace))
    if wandb_mode(tracking.mode) != "online":
        return f"{path} (not online: not saved with W&B)"
    try:
        workspace.entity = workspace.entity or wandb.Api().default_entity or ""
        return str(workspace.save().url)
    except Exception as error:  # whatever the service says: the comparison is done, the definition is kept
        return f"{path} (W&B did not take it: {' '.join(str(error).split())})"


def comparison_workspace(comparison: Comparison, name: str, tracking: Tracking) -> ws.Workspace:
    """AUROCs with their intervals, and curves over epochs, a line or bar an experiment.

    Only runs of the compared run folders are in it, grouped by folder: the mean of its folds, and the range
    from the lowest to the highest.
    """
    targets = comparison["receptors"]
    groups = [group_name(row["experiment"], Path(row["folder"])) for row in comparison["rows"]]
    headline = [f"{target}/patient" for target in targets] + ["mean"]
    return _workspace(
        name,
        tracking,
        [
            ws.Section(
                name="AUROC of patients, with 95 % interval",
                panels=[_interval(place, place.removesuffix("/patient")) for place in headline],
                is_open=True,
            ),
            ws.Section(
                name="Calibration of patients",
                panels=[
                    _bars(f"{target}: {title}", f"{target}/patient/{place}")
                    for title, place in (("slope, 1 is right", "calibration/slope"), ("Brier", "brier"))
                    for target in targets
                ],
            ),
            ws.Section(
                name="AUROC over folds, mean and standard deviation",
                panels=[_bars(target, f"{target}/folds/mean", f"{target}/folds/std") for target in targets],
            ),
            ws.Section(
                name="Losses",
                panels=[_over_epochs(f"loss of {r}", f"train/loss_{r}", f"val/loss_{r}") for r in targets],
                is_open=True,
            ),
            ws.Section(
                name="AUROC in validation, monitoring only",
                panels=[_over_epochs(f"AUROC of {r}", f"val/auroc_{r}") for r in targets],
            ),
            ws.Section(
                name="Training",
                panels=[_over_epochs(key.replace("_", " "), f"train/{key}") for key in TRAINING],
            ),
        ],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=max(10, len(groups))),
        runset_settings=ws.RunsetSettings(
            filters=_of_groups(groups),
            groupby=[ws.Metric(GROUP)],
            pinned_columns=["run:displayName", "run:tags", *(f"summary:{place}/auroc" for place in headline)],
        ),
    )


def sweeps_workspace(
    groups: Sequence[str], keys: Sequence[str], objective: str, name: str, tracking: Tracking
) -> ws.Workspace:
    """Trials as parallel coordinates over what was searched, and W&B's own importances of it.

    Args:
        groups: of the trials, one a study.
        keys: of the configuration that any of the searches varies.
        objective: what the trials are judged by.
        name: of the comparison.
        tracking: whose project.
    """
    columns = [
        *(panels.ParallelCoordinatesPlotColumn(metric=panels.Config(key)) for key in keys),
        panels.ParallelCoordinatesPlotColumn(metric=panels.SummaryMetric(objective)),
    ]
    trials = ws.Section(
        name="Trials",
        panels=[
            panels.ParallelCoordinatesPlot(title=f"{objective} of inner folds", columns=columns),
            panels.ParameterImportancePlot(with_respect_to=objective),
        ],
        is_open=True,
    )
    runs = ws.RunsetSettings(filters=_of_groups([group[-LONGEST:] for group in groups]))
    return _workspace(name, tracking, [trials], runset_settings=runs)


def _workspace(name: str, tracking: Tracking, sections: list[ws.Section], **settings: Any) -> ws.Workspace:
    return ws.Workspace(
        name=re.sub(r"[^\w .-]", " ", name),  # W&B takes no symbol here, not even +
        entity=tracking.entity or "",
        project=tracking.project,
        auto_generate_panels=False,
        sections=sections,
        **settings,
    )


def _of_groups(groups: Sequence[str]) -> str:
    """The runs of some groups, as the package's own language has it.

    It takes = for == and < for <= inside a text too, so that these are written by their numbers.
    """
    texts = [re.sub("[=<>]", lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(group)) for group in groups]
    return f"{GROUP} in [{', '.join(texts)}]"


def definition(workspace: ws.Workspace) -> str:
    """The workspace as W&B is given it: JSON of its name, project and specification."""
    return str(workspace._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=1))


def _interval(place: str, title: str) -> panels.BarPlot:
    """Lower end, AUROC and upper end; W&B draws no whiskers of a run's own."""
    plot = _bars(title, *(f"{place}/{key}" for key in ("auroc_low", "auroc", "auroc_high")))
    plot.range_x = (0, 1)
    return plot


def _bars(title: str, *figures: str) -> panels.BarPlot:
    return panels.BarPlot(
        title=title,
        metrics=[panels.SummaryMetric(figure) for figure in figures],
        groupby=GROUP,
        groupby_aggfunc="mean",
    )


def _over_epochs(title: str, *figures: str) -> panels.LinePlot:
    return panels.LinePlot(
        title=title,
        x="epoch",
        y=list(figures),
        groupby=GROUP,
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
    )
