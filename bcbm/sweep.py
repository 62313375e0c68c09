"""Choose settings with Optuna, in every outer fold without its test patients.

    python -m bcbm.sweep sweep=NAME [workers=N] [storage=URL] [trials=N] [minutes=M] [outer=0,2,final]
                         [refit=false] [warm=SWEEP] [export=wandb] [experiment=BASE] [key=value ...]

The outer folds are then trained with what was chosen, and compared with the experiment as it is.
warm names the folder of an earlier sweep with the same folds, whose best settings each study tries early.
export=wandb writes each study as a sweep of W&B instead, whose agents fit without the fold's test patients.
"""

import sys

KEYS = ("experiment", "experiments", "seed", "cohort", "task", "split", "trainer", "run")


def main() -> int:
    """Search settings."""
    from bcbm.terminal.command import errors_in_words
    from bcbm.terminal.help import HELP, asks_for_all, print_help

    words = sys.argv[1:]
    if HELP & set(words):
        print_help(__doc__ or "", KEYS, asks_for_all(words))
        return 0

    def work() -> int:
        from rich.console import Console

        from bcbm.search.sweep import export, sweep

        exports = any(word.lstrip("-").startswith("export=") for word in words)
        (export if exports else sweep)(words, Console(highlight=False))
        return 0

    return errors_in_words(work)


if __name__ == "__main__":
    raise SystemExit(main())
