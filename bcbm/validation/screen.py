"""A validation on the screen."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bcbm.report.words import REFITTED, figure, number, share, signed, with_interval
from bcbm.terminal.words import print_line, say
from bcbm.validation.page import below_chance, known_targets, shifted

if TYPE_CHECKING:
    from bcbm.validation.validate import CohortValidation, Validation

HEADINGS = ("slope", "large", "Brier", "+ / -")
CAPTION = "slope, large: calibration, ideal 1 and 0"


def print_validation(validation: "Validation", console: Console) -> None:
    """A table a cohort, a row a target, and under it what else was looked at."""
    for cohort in validation["cohorts"]:
        if known_targets(cohort["results"]):
            console.print(_table(cohort, validation))
        for line in _lines(cohort, validation):
            say(console, line)
    for target, pooled in validation.get("pooled", {}).items():
        new = f"[{number(pooled['new_low'])}, {number(pooled['new_high'])}]"
        text = (
            f"{target} over {pooled['cohorts']} cohorts: AUROC {with_interval(pooled)}, a new cohort {new}, "
        )
        say(console, f"{text}I2 {share(pooled['i2'])}, p of no difference {number(pooled['q_p'], 3)}")
    for pair in validation.get("told_apart", []):
        text = "are told apart by their inputs with an AUROC of"
        say(console, f"{pair['first']} and {pair['second']} {text} {with_interval(pair)}")  # type: ignore[arg-type]
    if validation["refitted"]:
        print_line(console, f"[yellow]note[/] {REFITTED}")
    if validation["invented"]:
        text = "a program has drawn the patients it was trained on: what it says of others means nothing"
        print_line(console, f"[yellow]note[/] {text}")


def _table(cohort: "CohortValidation", validation: "Validation") -> Table:
    training = validation.get("training")
    model = "by a model of the other sites" if validation["held_out"] else "a frozen model"
    title = f"{escape(cohort['name'])}: {model}, {cohort['patients']:,} patients"
    caption = f"training: AUROC of its own folds; {CAPTION}" if training else CAPTION
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    table.box, table.show_edge, table.pad_edge = SIMPLE_HEAD, False, False
    table.add_column("target", style="bold", no_wrap=True)
    table.add_column("patient AUROC\n" + escape("[95 % CI]"), justify="right", no_wrap=True)
    for heading in ("q", *(["training"] if training else []), *HEADINGS):
        table.add_column(heading, justify="right", no_wrap=True)
    for target in known_targets(cohort["results"]):
        block: Mapping[str, Any] = cohort["results"]["receptors"][target]["patient"]
        table.add_row(
            target,
            escape(with_interval(block)),  # type: ignore[arg-type]
            number(block["q"], 3),
            *([figure(training[target]["auroc"])] if training else []),
            number(block["calibration"]["slope"]),
            signed(block["calibration"]["intercept"]),
            number(block["brier"]),
            f"{block['positives']} / {block['negatives']}",
        )
    return table


def _lines(cohort: "CohortValidation", validation: "Validation") -> list[str]:
    results = cohort["results"]["receptors"]
    known = {target: results[target]["patient"] for target in known_targets(cohort["results"])}
    lines = [*cohort["lacking"]]
    lines += [
        f"{target}: no figure, as {block['reason']}; mean probability {number(block['predicted'])}"
        for target, block in results.items()
        if "reason" in block
    ]
    if known:
        least = [f"{target} {number(block['smallest_auroc'])}" for target, block in known.items()]
        lines.append(f"least AUROC to be seen with 80 % power: {', '.join(least)}")
    lines += [
        f"{target}: the interval of its AUROC lies below 0.5; look whether its column says positive of what "
        "the model's training called negative"
        for target in below_chance(cohort["results"])
    ]
    for target, block in known.items():
        trained = cohort["training"][target]
        before = share(trained["positive"], trained["positive"] + trained["negative"])
        lines.append(
            f"{target}: {share(block['prevalence'])} positive, {before} in training; Brier score of that "
            f"prevalence alone {number(block['probabilities']['prevalence_brier'])}"
        )
        gains = [
            f"{kind} {signed(updated['gain'], 3)} [{signed(updated['gain_low'], 3)}, "
            f"{signed(updated['gain_high'], 3)}]"
            for kind, updated in cohort["recalibrated"][target].items()
            if kind != "frozen"
        ]
        lines.append(f"{target}: Brier score gained by recalibration: {', '.join(gains)}")
    if (derived := cohort["results"].get("derived")) and "patient" in derived["HR"]:
        hr, subtype = derived["HR"]["patient"], derived["subtype"]
        text = f"HR status (ER or PR): AUROC {with_interval(hr)}; subtype: mean AUROC of a class "
        lines.append(f"{text}{number(subtype['mean_auroc'])}, accuracy {number(subtype['accuracy'])}")
    for target, classes in cohort["sets"].items():
        held = [f"{share(row['held'])} of {row['patients']} {name}" for name, row in classes.items()]
        lines.append(f"{target}: sets meant to hold {share(validation['coverage'])} hold {', '.join(held)}")
    for target, conversion in cohort["primary"].items():
        text = f"AUROC {with_interval(conversion['model'])}, going by the primary "
        text += f"{with_interval(conversion['primary'])}; converted: {conversion['converted']}"
        lines.append(f"{target}, {conversion['patients']} patients of known primary: {text}")
    if text := shifted(cohort["shift"]["radiomics"]):
        lines.append(text)
    return lines
