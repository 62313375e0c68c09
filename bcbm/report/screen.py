"""The results of a run on the screen."""

import math
from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bcbm.report.words import (
    figure,
    leak_in_words,
    ledger_in_words,
    number,
    seed_spread,
    with_interval,
    with_spread,
)
from bcbm.statistics import beside_auroc
from bcbm.statistics.results import Results
from bcbm.terminal.words import say


def print_table(results: Results, console: Console) -> None:
    """Print one row a target; a leaky run says so in red."""
    title = "Targets from out-of-fold predictions"
    if results["leaky"]:
        title = f"[bold red]LEAKY ({leak_in_words(results['split'])})[/]  {title}"
    best_known = "reached" in results
    caption = (
        "AUROC: mean of folds, its interval and p count refitting; p: of 0.5, Benjamini-Hochberg\n"
        "† lesions of one patient are not independent"
    )
    if best_known:
        caption += "\nbest: the most that any model can reach on this cohort"
    table = Table(title=title, caption=caption, caption_justify="left", box=SIMPLE_HEAD, show_edge=False)
    table.padding, table.pad_edge = (0, 0, 0, 0), False  # so that it fits 80 columns
    table.add_column("target", style="bold")
    beside = {name: statistic for name, statistic in beside_auroc("patient").items() if statistic.screen}
    headings = ["patient AUROC\n[95 % CI]", "p", "folds\nmean ± std"]
    headings += [statistic.label for statistic in beside.values()]
    headings += ["patients\n+ / -", "lesion\nAUROC †", *["best"] * best_known]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=heading.startswith("patient"))
    for target, block in results["receptors"].items():
        patient = block["patient"]
        figures: Mapping[str, Any] = patient
        cells = [
            with_interval(patient),
            _p(patient["q"]),
            with_spread(block["folds"]),
            *(figure(figures[name], statistic.digits) for name, statistic in beside.items()),
            f"{patient['positives']} / {patient['negatives']}",
            figure(block["lesion"]["auroc"]),
        ]
        if best_known:
            cells.append(figure(block["best"]) if "best" in block else "")
        table.add_row(target, *cells)
    table.add_section()
    table.add_row("mean", with_interval(results["mean"]), _p(results["mean"]["p"]))
    console.print(table)
    least = {target: block["patient"]["smallest_auroc"] for target, block in results["receptors"].items()}
    parts = [f"{name} {'n/a' if math.isnan(value) else f'{value:.2f}'}" for name, value in least.items()]
    lines = [f"least AUROC to be seen with 80 % power: {', '.join(parts)}"]
    blocks = {target: block["patient"] for target, block in results["receptors"].items()}
    if both := [f"{name} {block['both']}" for name, block in blocks.items() if "both" in block]:
        lines.append(f"patients of both labels, counted as positive: {', '.join(both)}")
    if "derived" in results:
        lines.append(f"HR status (ER or PR): {with_interval(results['derived']['HR']['patient'])}")
    for place, name in enumerate(results["split"].get("folds", [])):
        aurocs = [
            f"{target} {figure(block['folds']['auroc'][place])} "
            f"({block['folds']['positives'][place]}+ {block['folds']['negatives'][place]}-)"
            for target, block in results["receptors"].items()
        ]
        lines.append(f"{name}: {', '.join(aurocs)}")
    if "seeds" in results:
        lines.append(seed_spread(results["seeds"]))
    if "ledger" in results:
        lines.append(f"this is {ledger_in_words(results['ledger'])}")
    scores = [
        f"{target} {number(block['brier'], 3)} ({number(block['probabilities']['prevalence_brier'], 3)})"
        for target, block in blocks.items()
    ]
    lines.append(f"Brier (prevalence alone): {', '.join(scores)}")
    for line in lines:
        say(console, line)


def _p(value: float) -> str:
    if math.isnan(value):
        return "n/a"
    return f"{value:.3f}" if value >= 0.001 else "<.001"
