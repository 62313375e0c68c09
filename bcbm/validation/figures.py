"""The forest plot of a model over cohorts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bcbm.report.figures.palette import ALARM, CHANCE, LESION, PATIENT
from bcbm.report.figures.saving import save_png

if TYPE_CHECKING:
    from bcbm.validation.validate import Validation

TRAINING, POOLED = "training, cross-validated", "all cohorts"


def forest_figure(validation: Validation, path: Path) -> None:
    """Write the patient AUROC of every cohort with its interval, a panel a target.

    Above them that of a model's own cross-validation, hollow; below several of them their mean, a diamond,
    with the interval of a new cohort as a thin line.
    """
    from matplotlib.figure import Figure

    targets, cohorts = validation["targets"], validation["cohorts"]
    training = validation.get("training", {})
    names = [
        *([TRAINING] if training else []),
        *(cohort["name"] for cohort in cohorts),
        *([POOLED] if "pooled" in validation else []),
    ]
    size = 1.4 + 0.08 * max(map(len, names)) + 2.6 * len(targets), 1.3 + 0.36 * len(names)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    for axes, target in zip(panels, targets, strict=True):
        axes.set_title(target, loc="left", fontsize=12, fontweight="bold")
        axes.axvline(0.5, color=CHANCE, linewidth=1, linestyle=":")
        if trained := training.get(target):
            axes.hlines(0, trained["auroc_low"], trained["auroc_high"], color=LESION, linewidth=1.6)
            axes.plot(trained["auroc"], 0, "o", color=LESION, markerfacecolor="white", markersize=7)
        for line, cohort in enumerate(cohorts, start=len(training) > 0):
            block = cohort["results"]["receptors"][target]
            if "patient" not in block:
                axes.text(0.02, line, "no figure", fontsize=8, color=CHANCE, va="center")
                continue
            patient = block["patient"]
            axes.hlines(line, patient["auroc_low"], patient["auroc_high"], color=PATIENT, linewidth=2)
            axes.plot(patient["auroc"], line, "o", color=PATIENT, markersize=7)
        if pooled := validation.get("pooled", {}).get(target):
            line = len(names) - 1
            axes.hlines(line, pooled["new_low"], pooled["new_high"], color=PATIENT, linewidth=0.9)
            axes.hlines(line, pooled["auroc_low"], pooled["auroc_high"], color=PATIENT, linewidth=3)
            axes.plot(pooled["auroc"], line, "D", color=PATIENT, markersize=8)
        axes.set(xlim=(0, 1), xticks=[0, 0.25, 0.5, 0.75, 1], ylim=(len(names) - 0.5, -0.5))
        axes.grid(axis="x", color="#eceff3")
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(labelsize=9, left=False)
    panels[0].set_yticks(range(len(names)), names)
    figure.supxlabel("patient AUROC [95 % interval]", fontsize=9.5)
    if validation["leaky"]:
        figure.suptitle("LEAKY: no figure is a result", color=ALARM, fontweight="bold")
    save_png(figure, path)
