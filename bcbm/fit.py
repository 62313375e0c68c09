"""`python -m bcbm.fit [experiment=NAME] [key=value ...]`: cross-validate, from files to an honest table."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bcbm.cohort.problems import InputError, Problem
from bcbm.config import HOME, ConfigError, compose, described_keys
from bcbm.schema import Config

if TYPE_CHECKING:
    from bcbm.cohort.splits import Split
    from bcbm.data.lesions import Lesions
    from bcbm.tracking import RunFolder, Tracker

COMMANDS = {
    "fit": "cross-validate an experiment and print its results",
    "audit": "say what is wrong with a cohort, on screen and as a page; changes nothing",
    "prepare": "make lesion table and crops of a cohort, and say what is wrong with it",
}


def fit(config: Config, console: Console) -> int:
    """Run, or go on with, an experiment; returns the exit status."""
    from bcbm.cohort.splits import make_split
    from bcbm.model.crossvalidation import rank, train_fold
    from bcbm.prepare import prepare
    from bcbm.tracking import RunFolder, Tracker

    if rank() > 0:
        console.quiet = True
    lesions = prepare(config, console)
    split = make_split(
        lesions.entering,
        unit=config.split.unit,
        folds=config.split.folds,
        repeats=config.split.repeats,
        validation=config.split.validation,
        seed=config.split.seed,
        receptors=config.task.receptors,
    )
    if split.leaky:
        console.print(
            f"[bold red]LEAKY[/] split.unit={split.unit}: patients stand on both sides; "
            "no figure of this run is a result"
        )
    folder = RunFolder.open(config, lesions.cohort, split.to_json(), split.hash)
    if rank() == 0:
        folder.write("lesions.parquet", lesions.table)
        if config.run.folder is None:  # the other ranks, started with these words, must find this folder
            sys.argv.append(f"run.folder={folder.path}")
    console.print(f"run folder {folder.path}", highlight=False, markup=False, soft_wrap=True)
    tags = [f"split-{split.hash}"] + (["LEAKY"] if split.leaky else [])
    tags += [] if config.cohort.root else ["synthetic"]
    tracker = Tracker(config, folder, tags)
    folds = range(len(split.folds)) if config.fold == "all" else [int(config.fold)]
    for number in folds:
        if folder.predictions(number) is not None:
            console.print(f"fold {number}: finished before", highlight=False)
        else:
            train_fold(config, lesions, split, number, folder, tracker, console)
    if rank() == 0:
        _finish(config, lesions, split, folder, tracker, console)
    return 0


def _finish(
    config: Config,
    lesions: "Lesions",
    split: "Split",
    folder: "RunFolder",
    tracker: "Tracker",
    console: Console,
) -> None:
    """Merge the folds, and once all are there, write figures and results."""
    import json

    import pandas as pd

    from bcbm.evaluation.figures import roc_figure
    from bcbm.evaluation.summary import print_table, summarise, to_json

    tables = [folder.predictions(number) for number in range(len(split.folds))]
    missing = [number for number, table in enumerate(tables) if table is None]
    if missing:
        console.print(
            f"folds {missing} are still to be trained; the same command without fold= goes on",
            highlight=False,
        )
        return
    predictions = pd.concat(tables, ignore_index=True)
    if set(predictions["split_hash"]) != {split.hash}:
        raise InputError(
            Problem(str(folder.path), "holds predictions of another split", "remove it and train again")
        )
    expected = len(lesions.entering) * config.split.repeats * len(config.task.receptors)
    if len(predictions) != expected or predictions.duplicated(["lesion_id", "repeat", "receptor"]).any():
        found = f"holds {len(predictions)} predictions, not each of {expected} once"
        raise InputError(Problem(str(folder.path), found, "remove it and train again"))
    folder.write("predictions.parquet", predictions)
    results = summarise(
        predictions,
        split={"unit": split.unit, "hash": split.hash},
        receptors=config.task.receptors,
        resamples=config.bootstrap,
        seed=config.seed,
        best=_best(config),
    )
    content = to_json(results)
    figure = folder.path / "figures" / "roc.png"
    figure.parent.mkdir(exist_ok=True)
    roc_figure(predictions, results, figure)
    if not (folder.path / "results.json").is_file():
        tracker.summarise(json.loads(content))
    folder.write("results.json", content)
    print_table(results, console)
    console.print(
        f"results, ROC curves and tables: {folder.path}", highlight=False, markup=False, soft_wrap=True
    )


def _best(config: Config) -> dict[str, float] | None:
    """What a perfect reader could reach, which only the embedded cohort knows."""
    if config.cohort.root:
        return None
    import json

    from bcbm.reading import cohort_root

    truth = cohort_root(config, Console(quiet=True)) / "cohort.json"
    best: dict[str, float] = json.loads(truth.read_text())["best"]
    return best


def help_text(usage: str, console: Console) -> None:
    """Print the commands, the experiments and every settable key with its meaning."""
    console.print(usage, highlight=False, markup=False)
    console.print("\n[bold]Commands[/]")
    for name, meaning in COMMANDS.items():
        console.print(f"  python -m bcbm.{name:<9} {meaning}", highlight=False)
    console.print("\n[bold]Experiments[/] (experiment=NAME)")
    for path in sorted((HOME / "experiments").glob("*.yaml")):
        console.print(f"  {path.stem:<16} {path.read_text().splitlines()[0].lstrip('# ')}", highlight=False)
    console.print("\n[bold]Groups[/] (group=NAME takes a file of conf/)")
    for folder in sorted(path for path in (HOME / "conf").iterdir() if path.is_dir()):
        names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        console.print(f"  {folder.name:<16} {names}", highlight=False)
    table = Table(title="Keys", title_justify="left", box=None)
    table.add_column("key", no_wrap=True)
    for column in ("type", "default", "meaning"):
        table.add_column(column, overflow="fold")
    for row in described_keys():
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    console.print(table)


def run_command(usage: str, work: Callable[[Config, Console], int], trains: bool = True) -> int:
    """Compose the command line's configuration and do the work; a user's errors are said in one line each."""
    console = Console()
    words = sys.argv[1:]
    if {"-h", "--help", "help"} & set(words):
        help_text(usage, console)
        return 0
    errors = Console(stderr=True)
    try:
        config = compose(words)
        what = f"cohort {config.cohort.root or 'embedded'}"
        if trains:
            what = (
                f"experiment {config.experiment} ({' '.join(words) or 'all defaults'}): "
                f"{'+'.join(config.task.modalities)} -> {' '.join(config.task.receptors)}, "
                f"{config.split.repeats} x {config.split.folds} folds by {config.split.unit}, "
                f"seed {config.seed}"
            )
        console.print(what, highlight=False, markup=False, soft_wrap=True)
        return work(config, console)
    except KeyboardInterrupt:
        errors.print("interrupted; the same command goes on from here")
        return 130
    except (ConfigError, InputError) as error:
        for line in str(error).splitlines():
            errors.print(f"[bold red]error[/] {escape(line)}", highlight=False, soft_wrap=True)
        return 2


def main() -> int:
    """Cross-validate an experiment."""
    return run_command(__doc__ or "", fit)


if __name__ == "__main__":
    raise SystemExit(main())
