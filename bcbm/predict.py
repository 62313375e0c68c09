"""Use an exported model on patients: a cohort, a study's folder, or an image and its masks.

    python -m bcbm.predict MODEL cohort.root=DIR
    python -m bcbm.predict MODEL STUDY
    python -m bcbm.predict MODEL image=scan.nii.gz mask=first.nii.gz,second.nii.gz

The files are prepared as those of the training were; labels are not read. Tables and a page are
written to out=DIR, by default predictions. Exit status: 0 all patients predicted, 1 some not, 2 unusable, 3 a
fault of the program.
"""

import sys

KEYS = ("cohort", "prepared", "predict", "trainer.accelerator")


def main() -> int:
    """Predict a cohort or a study."""
    from bcbm.terminal.command import errors_in_words
    from bcbm.terminal.help import HELP, asks_for_all, print_help

    words = sys.argv[1:]
    if not words or HELP & set(words):
        print_help(__doc__ or "", KEYS, asks_for_all(words))
        return 0

    def work() -> int:
        from rich.console import Console

        from bcbm.prediction.request import answer

        table = answer(words, Console(highlight=False))
        return int(((table["level"] == "patient") & (table["reason"] != "")).any())

    return errors_in_words(work)


if __name__ == "__main__":
    raise SystemExit(main())
