"""From the prediction table to figures, without torch; those that stand beside the AUROC are listed here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["patient", "lesion"]


@dataclass(frozen=True)
class Statistic:
    """A figure of each target: `results.json` has it under its name, screen and pages under its label.

    Args:
        label: heading of its column, short enough for a screen.
        function: of the labelled rows of one target and repeat, a row a patient or a lesion with the columns
            patient_id, label (0 or 1), probability and, of patients, prevalence, the share of positives among
            the training patients of the fold; NaN where it is undefined. Itself or its address
            `module:function`. The figure is the mean over repeats.
        interval: address of a function of the rows of all repeats (column repeat), a number of bootstrap
            draws of patients and a seed: low and high of the 95 % interval; empty: it has none.
        levels: whether it is computed of patients, of lesions, or both.
        digits: behind the point, on screen and pages.
        screen: whether the table on the screen has it, too; its line holds 80 characters.
        better: which values are.
    """

    label: str
    function: "Callable[[pd.DataFrame], float] | str"
    interval: str = ""
    levels: tuple[Level, ...] = ("patient", "lesion")
    digits: int = 2
    screen: bool = False
    better: Literal["high", "low"] = "high"


STATISTICS = {
    "auprc": Statistic(
        "AUPRC",
        "bcbm.statistics.metrics:average_precision",
        interval="bcbm.statistics.resampling:average_precision_interval",
        screen=True,
    ),
    "brier": Statistic("Brier", "bcbm.statistics.metrics:brier_score", screen=True, better="low"),
    "scaled_brier": Statistic(
        "scaled Brier", "bcbm.statistics.probabilities:scaled_brier", levels=("patient",)
    ),
    "log_loss": Statistic(
        "log loss", "bcbm.statistics.probabilities:log_loss_score", levels=("patient",), better="low"
    ),
}


def beside_auroc(level: Level) -> dict[str, Statistic]:
    """The statistics of patients or of lesions, by name."""
    return {name: statistic for name, statistic in STATISTICS.items() if level in statistic.levels}
