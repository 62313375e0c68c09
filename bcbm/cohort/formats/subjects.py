"""Whose a file of a BIDS dataset is, and what nobody reads though its name says that it should be read."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from bcbm.cohort.formats.sidecars import PARTICIPANTS
from bcbm.cohort.labels import is_label_column
from bcbm.cohort.targets import Target
from bcbm.errors import Problem
from bcbm.system.files import files_below

VOLUMES = "sub-NAME/[ses-NAME/]anat/sub-NAME_[ses-NAME_]T1w.nii.gz, and _mask.nii.gz or _dseg.nii.gz"
_STUDY = re.compile(r"(sub-[A-Za-z0-9]+)(?:_(ses-[A-Za-z0-9]+))?_")
_DESCRIBED = {"t1w", "participants", "sessions"}  # what the names of sidecars that are read end in
NOT_LESIONS = {"brain", "gm", "wm", "csf", "skull", "head"}  # of the entities label- and desc-
_MASK = re.compile("mask|seg|roi|lesion|gtv|tumou?r|^mets?\\d*$|^labels?\\d*$")
_PACKED = {"", "zip", "tar", "tgz", "7z", "rar", "bz2", "xz"}  # endings of what may hold one, "" for none
_IMAGES = re.compile(  # what the names of images of anat/ end in, in BIDS
    r"t[12]w|t2starw|pdw?|pdt2|flair|flash|inplanet[12]|angio|unit1|\w*map|t1rho|vfa|mp2rage|ir1|megre|mese|mt[rs]"
    r"|mtsat|swi|photo|mask|defacemask|dseg|probseg"
)
_VOLUMES = {"nii", "gz", "nrrd", "mha", "mhd", "mgz"}
_FOLDERS = "func dwi fmap perf pet meg eeg ieeg nirs mrs micr xfm figures sourcedata code .git"
_OTHERS = set(_FOLDERS.split())  # in the latter nothing is looked for


def study_of(path: Path) -> str:
    """The study of a file by its name, such as sub-1 or sub-1_ses-2; "" for none."""
    match = _STUDY.match(path.name)
    return "_".join(part for part in match.groups() if part) if match else ""


def unread_files(
    root: Path, looked_at: Collection[Path], studies: Collection[str], targets: Mapping[str, Target]
) -> Iterator[Problem]:
    """Volumes, tables and sidecars that are not read for where they lie, or for how their names end.

    Args:
        root: the dataset.
        looked_at: files that are read, or of which it was said why not.
        studies: those that have an image: further ones are left out for it.
        targets: whose columns a table may have.

    Raises:
        OSError: a folder cannot be looked into.
    """
    for path in files_below(root):
        stem, *endings = path.name.casefold().split(".")
        if path in looked_at or not _OTHERS.isdisjoint(path.relative_to(root).parts[:-1]):
            continue
        ending, suffix = "".join(endings[-1:]), stem.rpartition("_")[2]
        if ending in _VOLUMES | _PACKED and stem.startswith("sub-"):
            image = suffix.startswith("t1w") and (suffix != "t1w" or study_of(path) not in studies)
            nameless = path.parent.name == "anat" and not _IMAGES.fullmatch(suffix)
            if image or nameless or _is_mask(stem):
                found = f"is not read: BIDS has {VOLUMES} there or in derivatives/NAME"
                yield Problem(str(path), found, "rename or move it", "file that fits no pattern")
        elif endings == ["json"] and stem.rpartition("_")[2] not in _DESCRIBED:
            if not _DESCRIBED.isdisjoint(re.split(r"[\W_]+", stem)):
                found = "is not read: by its name it is a copy of another description"
                remedy = "keep one of the two, under the name that BIDS gives it"
                yield Problem(str(path), found, remedy, "copy of a sidecar")
        elif endings == ["tsv"] and stem.endswith("sessions"):
            found = "is not read: BIDS has sub-NAME/sub-NAME_sessions.tsv, of a subject with images"
            yield Problem(str(path), found, "rename or move it", "table of sessions")
        elif endings == ["tsv"] and "participants" not in stem and (labels := _labels(path, targets)):
            found = f"is not read, and has columns of labels: {', '.join(labels)}"
            yield Problem(
                str(path), found, f"write them into {PARTICIPANTS}, or remove them", "table of labels"
            )


def _is_mask(stem: str) -> bool:
    """Whether a name says, in another word than what an entity is, that a lesion may be drawn in the file."""
    parts = stem.split("_")
    words = [re.split(r"\W", part)[0] for part in parts if not part.startswith(("label-", "desc-", "seg-"))]
    described = {part.partition("-")[2] for part in parts if part.startswith(("label-", "desc-"))}
    return any(map(_MASK.search, words)) and described.isdisjoint(NOT_LESIONS)


def _labels(table: Path, targets: Mapping[str, Target]) -> list[str]:
    """The headings of the columns of labels in a table."""
    with table.open(encoding="utf-8", errors="replace") as file:
        headings = file.readline(2**16).lstrip("\ufeff").split("\t")
    return [heading.strip() for heading in headings if is_label_column(heading.strip(), targets)]
