"""Hold an exported model against the labels of other cohorts: external validation, nothing refitted.

    python -m bcbm.validate MODEL cohort.root=DIR
    python -m bcbm.validate MODEL cohort.root=DIR cohort.root=OTHER

Every figure of a run with its interval, at the model's own thresholds; beside it what recalibration would
mend, how far the inputs have shifted, and over several cohorts a forest plot. Patients that the model was
trained on are refused, by the content of their lesions. A page and `validation.json` are written to out=DIR,
by default validation.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

KEYS = ("cohort", "prepared", "predict.coverage", "validate", "bootstrap", "seed", "trainer.accelerator")


def _validate(words: list[str], console: "Console") -> int:
    from bcbm.validation.validate import validate

    validate(words, console)
    return 0


def main() -> int:
    """Validate a model."""
    from bcbm.terminal.command import over_words

    return over_words(__doc__ or "", _validate, KEYS)


if __name__ == "__main__":
    raise SystemExit(main())
