"""Figures in words."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bcbm.statistics.results import AurocBlock, FoldsBlock, LedgerBlock, SeedsBlock, SplitBlock

UNDEFINED = "n/a (one class)"
ACROSS = "‡"  # behind every figure of a comparison of runs of different cohorts
ACROSS_WORDS = "the runs are of different cohorts; a difference need not be one of the models"
REFITTED = (
    "the model was trained on all patients of its run, so that no figure is its own; those of its training "
    "are of the models of the folds, each tested on patients whom it had not seen"
)
RANDOM_WORDS = "dealt out anew among the patients (task.random_labels)"


def leak_in_words(split: "SplitBlock") -> str:
    """How a run is split, and what its folds share, as in `split by lesion, patients in two parts: 3`."""
    counts = {"patients": split.get("shared_patients"), "lesion contents": split.get("shared_content")}
    shared = [f", {noun} in two parts of a fold: {count}" for noun, count in counts.items() if count]
    return f"split by {split['unit']}{''.join(shared)}"


def ordinal(value: int) -> str:
    """A place in an order, as in `14th`.

    Example:
        >>> ordinal(1), ordinal(12), ordinal(22), ordinal(113)
        ('1st', '12th', '22nd', '113th')
    """
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{value}{'th' if value % 100 in (11, 12, 13) else ends.get(value % 10, 'th')}"


def ledger_in_words(ledger: "LedgerBlock") -> str:
    """Which configuration a run is, as in `the 14th configuration on this cohort (of 20 so far)`."""
    number, total = ledger["number"], ledger["configurations"]
    so_far = f" (of {total} so far)" if total > number else ""
    return f"the {ordinal(number)} configuration on this cohort{so_far}"


def with_interval(block: "AurocBlock") -> str:
    """AUROC and interval of a patient or lesion block in words, as in `0.81 [0.70, 0.90]`."""
    if math.isnan(block["auroc"]):
        return UNDEFINED
    return f"{block['auroc']:.2f} [{block['auroc_low']:.2f}, {block['auroc_high']:.2f}]"


def with_spread(folds: "FoldsBlock") -> str:
    """Mean and spread of a folds block in words, as in `0.80 ± 0.06`; one defined fold has no spread."""
    if math.isnan(folds["std"]):
        return figure(folds["mean"])
    return f"{folds['mean']:.2f} ± {folds['std']:.2f}"


def seed_spread(seeds: "SeedsBlock") -> str:
    """How far one training scatters by its seed, by target and on the mean."""
    blocks = {**seeds["receptors"], "mean": seeds["mean"]}
    parts = [f"{name} {number(block['std'])}" for name, block in blocks.items()]
    count = len(seeds["mean"]["auroc"])
    return f"the mean of {count} seeds; patient AUROC of one alone, standard deviation: {', '.join(parts)}"


def thousands(value: int) -> str:
    """A count with separated thousands."""
    return f"{value:,}"


def share(part: float, total: float = 1) -> str:
    """A part in percent; none of nothing."""
    return f"{100 * part / total:.0f}\N{NO-BREAK SPACE}%" if total else "n/a"


def number(value: float | None, digits: int = 2) -> str:
    """A fixed number of digits; what would round to zero is said to be less than the last one."""
    if value is None or math.isnan(value):
        return "n/a"
    rounded = f"{value:.{digits}f}"
    return f"< {10**-digits:.{digits}f}" if value > 0 and not float(rounded) else rounded


def signed(value: float, digits: int = 2) -> str:
    """A difference with its sign, also where it rounds to 0.00: only what is 0 has none."""
    if math.isnan(value):
        return "n/a"
    is_zero = abs(value) < 1e-12  # equal but for the last digits of its sums
    return f"{0:.{digits}f}" if is_zero else f"{value:+.{digits}f}"


def figure(value: float, digits: int = 2) -> str:
    """A figure of a target, or why there is none."""
    return UNDEFINED if math.isnan(value) else f"{value:.{digits}f}"


def interval(block: Mapping[str, Any], name: str = "auroc", digits: int = 2) -> str:
    """A figure of a block with its interval where it has one, as in `0.81 [0.70, 0.90]`."""
    if math.isnan(block[name]):
        return UNDEFINED
    low, high = block.get(f"{name}_low", math.nan), block.get(f"{name}_high", math.nan)
    bounds = "" if math.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{block[name]:.{digits}f}{bounds}"
