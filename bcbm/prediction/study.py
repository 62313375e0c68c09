"""A single study as a cohort: an image and its masks, or a folder of both, as a table that formats read."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bcbm.cohort.formats.bids import labels_touch
from bcbm.cohort.formats.subjects import study_of
from bcbm.errors import InputError, Note, Problem
from bcbm.features.masks import label_values
from bcbm.features.volumes import open_box
from bcbm.imaging.manifest import UNREAD
from bcbm.system.files import files_below
from bcbm.system.words import listed

ENDINGS = (".nii.gz", ".nii")
SHOWN = 5  # files that a note names
MOST_VALUES = 50  # label values of a mask beyond which it is none


def holds_volumes(folder: Path) -> bool:
    """Whether a folder holds NIfTI files."""
    return any(path.name.lower().endswith(ENDINGS) for path in folder.iterdir())


def study_files(folder: Path, sequences: Sequence[str] = ()) -> tuple[Path, list[Path], dict[str, Path]]:
    """The image of a study's folder, its masks, and the images of further sequences, by their names.

    Names hold `_image` and `_mask_`, as in the download and in what `ingest` writes.

    Raises:
        InputError: it has not one image, several of a sequence, or no mask.

    Warns:
        Note: of volumes that are neither by their names, lie deeper, or are of another format.
    """
    below = [path for path in files_below(folder) if path.name.lower().endswith((*ENDINGS, *UNREAD))]
    volumes = [path for path in below if path.parent == folder and path.name.lower().endswith(ENDINGS)]
    others: dict[str, Path] = {}
    for sequence in sequences:
        named = re.compile(rf"_image_{re.escape(sequence)}[_.]")  # t2 is not t2flair
        paths = [path for path in volumes if named.search(path.name)]
        if len(paths) > 1:
            found = f"holds {len(paths)} images of {sequence}: {', '.join(path.name for path in paths)}"
            raise InputError(Problem(str(folder), found, "keep one"))
        if paths:
            others[sequence] = paths[0]
    images = [path for path in volumes if "_image" in path.name and path not in others.values()]
    masks = [path for path in volumes if "_mask" in path.name]
    if len(images) != 1 or not masks:
        found = f"holds {len(images)} files named *_image*.nii.gz and {len(masks)} named *_mask_*.nii.gz"
        remedy = "name them so, one image and a mask a lesion, or write image=FILE mask=FILE,FILE"
        raise InputError(Problem(str(folder), found, remedy))
    read = {*images, *masks, *others.values()}
    if unread := [path.relative_to(folder).as_posix() for path in below if path not in read]:
        text = f"{folder}: {listed(unread, SHOWN)} not read, as no NIfTI files of an image (_image) or a mask"
        warnings.warn(f"{text} (_mask) here; rename, move or convert what holds a lesion", Note, stacklevel=2)
    return images[0], masks, others


def write_study(
    folder: Path,
    patient: str,
    image: Path,
    masks: Sequence[Path],
    others: Mapping[str, Path],
    value: int | None,
) -> Path:
    """Write a `manifest.csv` of one study.

    Args:
        folder: to write into.
        patient: what it is called.
        image: its post-contrast T1.
        masks: of its lesions.
        others: images of further sequences, by name.
        value: of a lesion's voxels in its mask; None: a mask of several values has a lesion for each.

    Raises:
        InputError: files that are not there, all of them.

    Warns:
        Note: of masks that are named after another study than the image.
    """
    files = [image, *masks, *others.values()]
    if absent := [path for path in files if not path.is_file()]:
        raise InputError(*(Problem(str(path), "is not there", "correct its name") for path in absent))
    own = _named_after(image)
    names = {mask.name: _named_after(mask) for mask in masks}
    if strange := [name for name, other in names.items() if other != own and _form(other) == _form(own)]:
        text = f"{listed(strange)} named after another study than {image.name}: look whose mask it is"
        warnings.warn(text, Note, stacklevel=2)
    columns = {f"image_{name}": str(path.absolute()) for name, path in others.items()}
    rows = [
        {
            "patient": patient,
            "image": str(image.absolute()),
            "mask": str(mask.absolute()),
            "label_value": label,
        }
        | columns
        for mask in masks
        for label in ([""] if value else _values(mask))
    ]
    path = folder / "manifest.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def _named_after(path: Path) -> str:
    """The study that a file's name begins with, as in the download and in BIDS; "" where it does not tell."""
    return study_of(path) or re.split("_(?:image|mask)", path.name)[0].removesuffix(path.name)


def _form(name: str) -> str:
    """What two names have in common that differ in their numbers alone."""
    return re.sub(r"\d+", "0", name)


def _values(mask: Path) -> list[str]:
    """The label values of a mask's lesions; one that is empty where a file has one, or cannot be read."""
    try:
        voxels = open_box(mask).values
        values = [value for value, _ in label_values(voxels)]
    except ValueError:  # which the survey of the cohort says
        return [""]
    several = 1 < len(values) <= MOST_VALUES
    if several and labels_touch(voxels):
        text = f"{mask.name}: its label values touch, as classes of one lesion do (core, edema): each counts "
        text += "as a lesion; if they are classes, name the one that counts, cohort.label_value=N"
        warnings.warn(text, Note, stacklevel=2)
    return [f"{value:g}" for value in values] if several else [""]
