"""Scans with their lesions, as pictures for pages."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import SimpleITK as sitk

from bcbm.features.geometry import Form
from bcbm.features.masks import lesion_region
from bcbm.features.volumes import open_box, read_stored
from bcbm.preparation.lesions import Lesions
from bcbm.preparation.studies import studies_of
from bcbm.system.pool import workers

MOST = 20  # studies that are drawn


class StudyPicture(NamedTuple):
    """The name of a study, its picture, and a page to scroll through it, if there is one."""

    study: str
    picture: Path
    page: Path | None


def study_pictures(lesions: Lesions, form: Form, folder: Path, jobs: int) -> Iterator[StudyPicture]:
    """Draw the studies whose images were read, the first ones of many, while this process goes on.

    Args:
        lesions: that are predicted.
        form: which form of a header to believe where the two disagree.
        folder: gets a PNG a study and, where `niivue` is installed, a page to scroll through it.
        jobs: processes, as joblib counts them.

    Returns:
        What they give, a study after the other; with one job each is drawn when it is asked for.
    """
    root = lesions.root
    if root is None or "appearance" not in lesions.values:
        return iter(())
    from joblib import delayed

    from bcbm.report.pages.viewer import niivue

    table = lesions.entering
    drawn = (table["image_path"] != "") & (table["mask_path"] != "")
    names = list(dict.fromkeys(table.loc[drawn, "study_id"]))[:MOST]
    script = niivue()
    return workers(jobs, return_as="generator")(
        delayed(_draw_study)(
            str(name), table[table["study_id"] == name], root, form, folder / str(number), script
        )
        for number, name in enumerate(names)
    )


def _draw_study(
    name: str, rows: pd.DataFrame, root: Path, form: Form, place: Path, script: str | None
) -> StudyPicture:
    """Draw a study and, with the script of `niivue`, write its page; both files are called like `place`."""
    from bcbm.report.figures.ingest import study_figure  # a second to import
    from bcbm.report.pages.viewer import write_viewer

    picture, page = place.with_suffix(".png"), place.with_suffix(".html") if script else None
    for image, masks in _scans(rows, root, form):
        study_figure(image, list(masks.values()), picture, names=[key.rpartition("/")[2] for key in masks])
        if page and script:
            write_viewer(page, name, image, masks, script)
    return StudyPicture(name, picture, page)


def lesion_pictures(
    table: pd.DataFrame, root: Path, form: Form, lesions: Iterable[str], folder: Path
) -> dict[str, Path]:
    """Draw three planes through each of some lesions, those of its study outlined; a study is read once.

    Args:
        table: the lesion table.
        root: from which it names files.
        form: as of `study_pictures`.
        lesions: ids; of one without a file that can be read there is no picture.
        folder: gets a PNG a lesion.

    Returns:
        The files, by lesion.
    """
    from bcbm.report.figures.ingest import study_figure

    numbers = {lesion: number for number, lesion in enumerate(dict.fromkeys(lesions))}
    shown = table[table["lesion_id"].isin(list(numbers))]
    files = {}
    for name in dict.fromkeys(shown["study_id"]):
        rows = table[
            (table["study_id"] == name) & (~table["excluded"] | table["lesion_id"].isin(list(numbers)))
        ]
        try:
            for image, masks in _scans(rows, root, form):
                for lesion in masks.keys() & numbers.keys():
                    files[lesion] = folder / f"{numbers[lesion]}.png"
                    study_figure(image, list(masks.values()), files[lesion], masks[lesion])
        except ValueError:  # a volume that is gone or damaged: a page can do without its picture
            continue
    return files


def _scans(rows: pd.DataFrame, root: Path, form: Form) -> Iterator[tuple[sitk.Image, dict[str, np.ndarray]]]:
    """The images of lesions, each with the masks on it, by lesion, booleans (z, y, x)."""
    paths = {
        key: [str(root / path) if path else "" for path in rows[key]] for key in ("image_path", "mask_path")
    }
    for study in studies_of(rows.assign(**paths), form=form):
        image = read_stored(study.image, form=form)
        size = np.array(image.GetSize()[::-1])
        yield (
            image,
            {
                key: lesion_region(open_box(path, form), study.parts.get(key)).within(np.zeros(3, int), size)
                for key, path in study.masks.items()
            },
        )
