"""Show what a cohort gives to random labels when patients are not kept whole.

    python -m bcbm.leakcheck [experiment=NAME] [key=value ...]

Reads the tables of the experiment, never its images. Exit status: 0 done, whatever it shows, 2 unusable.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bcbm.terminal.words import print_line, say

if TYPE_CHECKING:
    from rich.console import Console

    from bcbm.config.schema import Config

KEYS = ("experiment", "experiments", "cohort", "prepared", "task", "split", "run")


def leakcheck(config: "Config", console: "Console") -> int:
    """Check a cohort, write `leakcheck.{json,png}`, return the exit status.

    They lie in `<run.root>/leakcheck/<content>/<name>/`, named by what was checked, for the reports it fits.

    Raises:
        InputError: the tables cannot be used.
    """
    from bcbm.baselines.leakcheck import check, tables_only
    from bcbm.config.compose import plain
    from bcbm.preparation.prepare import prepare
    from bcbm.preparation.reading import disk_errors
    from bcbm.report.figures.leakage import leakage_figure
    from bcbm.report.pages.overview import write_overview
    from bcbm.report.words import RANDOM_WORDS
    from bcbm.statistics.leakage import check_name
    from bcbm.system.files import strict_json, write_whole

    with disk_errors(config):
        config = tables_only(config, console)
        lesions = prepare(config, console)
        if config.task.random_labels is not None:
            print_line(console, f"[bold red]RANDOM LABELS[/] those of the targets are {RANDOM_WORDS}")
        content = check(config, lesions, console)
        name = check_name(plain(config))
        folder = Path(config.run.root) / "leakcheck" / lesions.cohort / name
        write_whole(folder / "leakcheck.json", strict_json(content))
        leakage_figure(content, folder / "leakcheck.png")
        write_overview(Path(config.run.root))
    _print(content, console)
    text = f"figure and every draw: {folder.absolute() / 'leakcheck.png'}, leakcheck.json"
    say(console, text)
    return 0


def _print(content: dict[str, Any], console: "Console") -> None:
    """The AUROCs of the three splits side by side, the neighbours, the copies and the verdict."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from bcbm.baselines.leakcheck import DRAWS, REPEATS, UNITS
    from bcbm.statistics.leakage import RANDOM

    table = Table(
        title="AUROC of a fast forest, by what the split keeps whole",
        caption=f"mean ± spread: {DRAWS} random labels, {REPEATS} splits of real ones",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    for heading in ("labels", "counted over"):
        table.add_column(heading)
    for unit in UNITS:
        table.add_column(unit, justify="right")
    for level in ("lesion", "patient"):
        for name in content["aurocs"]["lesion"]:
            cells = [_cell(content["aurocs"][unit][name][level]) for unit in UNITS]
            table.add_row(name, f"{level}s", *cells, style="bold" if name == RANDOM else "")
    console.print(table)
    near, copied, own = content["reidentification"], content["copies"], content["own_split"]
    pairs = content["nearest"]["pairs"]
    for line in (
        *(_curve(target, levels) for target, levels in content["learning"].items()),
        *(_alone(kind, labels) for kind, labels in content["alone"].items()),
        *(_strongest(telling) for telling in content["telling"]),
        f"nearest other lesion is the same patient's: {near['lesions']:.0%} of lesions "
        f"({near['chance_lesions']:.0%} by chance); a patient's mean {near['patients']:.0%} "
        f"({near['chance_patients']:.0%})",
        f"nearest lesions of two patients: {pairs[0]['lesion']} and {pairs[0]['other']}, "
        f"{pairs[0]['distance']:.3f} standard deviations a feature "
        f"(copies: at most {content['nearest']['rounding']:g})",
        f"copies in the whole table: {copied['rows']}, {copied['excluded']} excluded as such; "
        f"contents in two patients: {copied['across_patients']}; copies that enter: {copied['entering']}",
        f"the experiment's own split by {own['unit']}, summed over folds: patients on both sides "
        f"{own['patients_on_both_sides']}, test lesions with their content in training "
        f"{own['test_content_in_training']}",
    ):
        say(console, line)
    print_line(console, content["verdict"], markup=False, style="bold red" if content["leak"] else "bold")


def _curve(target: str, levels: dict[str, Any]) -> str:
    points = (f"{float(share):.0%} {_cell(level)}" for share, level in levels.items())
    return f"learning {target}, of the training patients: {', '.join(points)}"


def _alone(kind: str, labels: dict[str, Any]) -> str:
    from bcbm.statistics.leakage import ALONE

    cells = (f"{name} {_cell(level)}" for name, level in labels.items())
    return f"{ALONE[kind]} alone, AUROC over patients: {', '.join(cells)}"


def _strongest(telling: dict[str, Any]) -> str:
    best = telling["strongest"]
    return (
        f"strongest of {telling['columns']} single columns for {telling['target']}: {best['column']}, "
        f"AUROC {best['auroc']:.2f} over {telling['patients']} patients, p = {best['p']:.3f} over all columns"
    )


def _cell(auroc: dict[str, Any]) -> str:
    return "n/a" if math.isnan(auroc["mean"]) else f"{auroc['mean']:.2f} ± {auroc['spread']:.2f}"


def main() -> int:
    """Check what a cohort leaks."""
    from bcbm.terminal.command import run_command

    return run_command(__doc__ or "", leakcheck, KEYS, trains=False)


if __name__ == "__main__":
    raise SystemExit(main())
