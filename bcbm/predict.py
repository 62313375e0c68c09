"""Use an exported model on patients: a cohort, a study's folder, or an image and its masks.

    python -m bcbm.predict MODEL cohort.root=DIR
    python -m bcbm.predict MODEL STUDY
    python -m bcbm.predict MODEL image=scan.nii.gz mask=first.nii.gz,second.nii.gz
    python -m bcbm.predict MODEL dicom=DIR [ingest.brain=deepbet|mask|none]

The files are prepared as those of the training were; labels are not read. DICOM files, with structure sets or
segmentations, are of one patient, whom no output names. Tables and a page are
written to out=DIR, by default predictions. Exit status: 0 all patients predicted, 1 some not, 2 unusable, 3 a
fault of the program.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

KEYS = ("cohort", "prepared", "predict", "ingest.brain", "ingest.series", "trainer.accelerator")


def _predict(words: list[str], console: "Console") -> int:
    from bcbm.prediction.request import answer

    table = answer(words, console)
    return int(((table["level"] == "patient") & (table["reason"] != "")).any())


def main() -> int:
    """Predict a cohort or a study."""
    from bcbm.terminal.command import over_words

    return over_words(__doc__ or "", _predict, KEYS)


if __name__ == "__main__":
    raise SystemExit(main())
