"""A W&B workspace that lays the runs of compared experiments beside each other."""

import re
from pathlib import Path

import wandb
import wandb_workspaces.reports.v2 as panels
import wandb_workspaces.workspaces as ws

from bcbm.config.schema import Tracking
from bcbm.statistics.results import Comparison
from bcbm.system.files import write_whole
from bcbm.tracking import group_name
from bcbm.tracking.wandb import wandb_mode

FILE = "wandb-workspace.json"
GROUP = "Group"
TRAINING = ("learning_rate", "grad_norm", "lesions_per_second")


def write_workspace(comparison: Comparison, name: str, tracking: Tracking, folder: Path) -> str:
    """Write the definition into the comparison's folder; online, save it with W&B too.

    Args:
        comparison: of `compare_runs`.
        name: of the comparison.
        tracking: whose project, and whether online.
        folder: of the comparison.

    Returns:
        Where it is.
    """
    path = folder / FILE
    workspace = comparison_workspace(comparison, name, tracking)
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
    return ws.Workspace(
        name=re.sub(r"[^\w .-]", " ", name),  # W&B takes no symbol here, not even +
        entity=tracking.entity or "",
        project=tracking.project,
        auto_generate_panels=False,
        sections=[
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
            filters=[ws.Metric(GROUP).isin(groups)],
            groupby=[ws.Metric(GROUP)],
            pinned_columns=["run:displayName", "run:tags", *(f"summary:{place}/auroc" for place in headline)],
        ),
    )


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
