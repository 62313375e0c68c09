"""Run a group of experiments, or take finished runs, and test them against one of them.

    python -m bcbm.compare SOURCE ... [against=NAME] [across=true] [key=value ...]

A SOURCE is a folder of experiments (experiments/modalities), an experiment's YAML, or a run folder.
Experiments of a group stand on the base that experiment=NAME gives (default demo) and are run, or read if
finished, with the key=value words; those whose columns the cohort lacks are left out, and named.
against=NAME is the one that the others are compared with; default: of those that are not LEAKY the one that
changes nothing of the base, else the first that predicts most targets. Runs of different cohorts, by their
content, are refused unless across=true, which marks every figure. --wandb also makes a W&B workspace
of their runs (pip install 'bcbm[wandb]').

    python -m bcbm.compare MODEL OTHER cohort.root=DIR [out=DIR]

Two models that bcbm export has written are tested on the same patients, nothing refitted (DeLong, and a
bootstrap of patients).

    python -m bcbm.compare SWEEP OTHER ... [storage=URL] [--wandb]

Searches, by their folders: best value over trials, importances, and what differs in space and experiment.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

KEYS = ("experiment", "experiments", "seed", "bootstrap", "cohort", "split", "run")


def _compare(words: list[str], console: "Console") -> int:
    from bcbm.validation.request import names_models

    if names_models(words):
        from bcbm.validation.compare import compare_models

        compare_models(words, console)
        return 0
    from bcbm.config.places import names_sweeps

    if names_sweeps(words):
        from bcbm.search.compare import compare_sweeps

        compare_sweeps(words, console)
        return 0
    from bcbm.comparison.compare import compare

    return compare(words, console)


def main() -> int:
    """Compare experiments."""
    from bcbm.terminal.command import over_words

    return over_words(__doc__ or "", _compare, KEYS)


if __name__ == "__main__":
    raise SystemExit(main())
