"""Python interface, for notebooks: `from bcbm import compose, ingest, prepare, fit, evaluate, compare`, ...

Each does what the command of its name does, in this process and with its arguments only. It prints nothing
unless `verbose` is set, and raises `ConfigError` and `InputError`, with the text that the command prints.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bcbm.errors import ConfigError, InputError, Problem

if TYPE_CHECKING:
    from rich.console import Console

    from bcbm.config.schema import Config
    from bcbm.preparation.lesions import Lesions
    from bcbm.runs.finished import FinishedRun
    from bcbm.statistics.results import Comparison, Results


def ingest(folder: str | Path, config: "Config", verbose: bool = False) -> Path:
    """Make a cohort of a folder of DICOM or NIfTI files; finished studies are kept.

    Args:
        folder: of the files.
        config: from `compose`, with `ingest.out`.
        verbose: print what the command prints.

    Returns:
        The folder that was written, for `cohort.root`.

    Raises:
        ConfigError: a package is missing, or no folder to write into is named.
        InputError: nothing can be done with this folder.
    """
    from bcbm.imaging.ingest import ingest

    ingest(Path(folder).expanduser(), config, _console(verbose))
    return Path(config.ingest.out or folder).expanduser()


def prepare(config: "Config", verbose: bool = False) -> "Lesions":
    """Lesion table, radiomics and crops of a cohort; what is missing is made.

    Args:
        config: from `compose`.
        verbose: print what the command prints.

    Raises:
        InputError: the cohort cannot be used, or `cohort.strict` is set and there is a problem.
    """
    from bcbm.preparation.prepare import prepare

    return prepare(config, _console(verbose))


def fit(config: "Config", verbose: bool = False) -> "FinishedRun":
    """Cross-validate an experiment, or go on where the same one stopped.

    Args:
        config: from `compose`.
        verbose: print what the command prints.

    Returns:
        The finished run: its `folder`, `results`, `predictions` (the prediction table) and `lesions`.

    Raises:
        ConfigError: one fold alone is to be trained, or the batches are to be shared by several devices.
        InputError: the cohort cannot be used, or training diverged.
    """
    from bcbm.crossvalidation.cross_validate import run
    from bcbm.runs.finished import read_run

    if config.fold != "all":
        raise ConfigError(
            f"fold={config.fold}: fit returns a finished run, which has all folds; leave it out, or train "
            f"one fold with python -m bcbm.fit fold={config.fold}"
        )
    if config.trainer.ranks > 1:
        raise ConfigError(
            f"trainer.devices={config.trainer.devices}: devices that share batches each start the command "
            "again, and here is no command; set trainer.parallel=folds, or use python -m bcbm.fit"
        )
    # Processes side by side import the program that has called this one, which may not be made for it.
    trainer = replace(config.trainer, devices=config.trainer.devices or 1)
    folder = run(replace(config, trainer=trainer), _console(verbose))
    if config.split.holdout:
        from bcbm.validation.sites import validate_sites

        validate_sites(folder, _console(verbose))
    return read_run(folder)


def evaluate(folder: str | Path, verbose: bool = False) -> "Results":
    """Results, figures and report of a run whose folds are all there, made again from its tables.

    Args:
        folder: `<run.root>/<experiment>/<time>`.
        verbose: print the table of results.

    Returns:
        What `results.json` holds, for example `["receptors"]["ER"]["patient"]["auroc"]`; NaN where a figure
        is undefined.

    Raises:
        InputError: it is not a run folder, folds are missing, or a table says what its owner does not.
    """
    from bcbm.crossvalidation.results import evaluate
    from bcbm.runs.folder import RunFolder

    if not (Path(folder) / "config.yaml").is_file():
        remedy = "give the folder of a run, such as fit(config).folder"
        raise InputError(Problem(str(folder), "is not a run folder: it has no config.yaml", remedy))
    run = RunFolder(Path(folder))
    with run.owning_last_step():
        return evaluate(run, _console(verbose))


def compare(*runs: "FinishedRun", against: str | None = None, across: bool = False) -> "Comparison":
    """Test finished runs against one of them, on the same patients in the same folds. Writes nothing.

    Args:
        runs: at least two, from `fit` or `read_run`.
        against: the label of the one that the others are compared with; default: the first.
        across: whether they may be of different cohorts.

    Returns:
        `rows`, one a run with its label and figures, and `tests`, one a run and target with the difference,
        its interval, both p and q, or the reason why it cannot be tested.

    Raises:
        ConfigError: fewer than two runs, or no run has the label `against`.
        InputError: runs of one unit have other folds, or their labels or cohorts differ.
    """
    from bcbm.comparison.differences import Row, compare_runs, distinct_labels

    if len(runs) < 2:
        raise ConfigError(f"compare: the number of runs is {len(runs)}; give at least two")
    labels = distinct_labels(runs)
    reference = labels[0] if against is None else against
    if reference not in labels:
        raise ConfigError(f"against={against} is not one of the runs; write one of {', '.join(labels)}")
    rows = [Row(label, run) for label, run in zip(labels, runs, strict=True)]
    return compare_runs(rows, reference, across)


def read_run(folder: str | Path) -> "FinishedRun":
    """A finished run from its folder.

    Raises:
        InputError: it is not a run folder, folds are missing, or a table says what its owner does not.
    """
    from bcbm.runs.finished import read_run

    return read_run(Path(folder))


def _console(verbose: bool) -> "Console":
    from rich.console import Console

    return Console(quiet=not verbose)
