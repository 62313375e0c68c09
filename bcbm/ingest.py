"""Make a cohort of a hospital's files: DICOM with structure sets, or a folder of NIfTI.

    python -m bcbm.ingest DIR out=DIR [labels=FILE] [key=value ...]

Of DICOM files, the post-contrast T1 of every study is chosen, its brain extracted and its bias field taken
away; structure sets and segmentations become masks. No name, date or identifier is written: patients are
P001, P002, ..., and who they are stands in one file beside the folder (DIR-key.csv), readable for you alone.
Finished studies are kept: the same command goes on where it stopped. Of a folder of NIfTI files, a
manifest.csv is written that names them. Its labels come from a table by the hospital's ids of patients
(labels=FILE), or are filled in by hand; then: cohort.root=DIR.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

KEYS = ("ingest", "prepared.jobs", "cohort.same_patients", "cohort.targets")
SHORT = ("out=", "labels=")  # for ingest.out and ingest.labels


def _ingest(words: list[str], console: "Console") -> int:
    from pathlib import Path

    from bcbm.config.compose import compose
    from bcbm.errors import ConfigError
    from bcbm.imaging.ingest import ingest

    folders = [word for word in words if "=" not in word or Path(word).is_dir()]
    if len(folders) != 1:
        raise ConfigError(f"ingest: {len(folders)} folders are named; name the one of your files")
    settings = [word for word in words if word not in folders]
    config = compose(["ingest." + word if word.startswith(SHORT) else word for word in settings])
    return ingest(Path(folders[0]).expanduser(), config, console)


def main() -> int:
    """Make a cohort of a hospital's files."""
    from bcbm.terminal.command import over_words

    return over_words(__doc__ or "", _ingest, KEYS)


if __name__ == "__main__":
    raise SystemExit(main())
