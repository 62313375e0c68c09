"""The scans that a prediction was made of, with their lesions, as pictures for its page."""

from pathlib import Path

import numpy as np

from bcbm.features.geometry import Form
from bcbm.features.masks import lesion_region
from bcbm.features.volumes import open_box, read_stored
from bcbm.preparation.lesions import Lesions
from bcbm.preparation.studies import studies_of

MOST = 20  # studies that are drawn


def study_pictures(lesions: Lesions, form: Form, folder: Path) -> dict[str, Path]:
    """Draw the studies whose images were read, the first ones of many.

    Args:
        lesions: that were predicted.
        form: which form of a header to believe where the two disagree.
        folder: gets a PNG a study.

    Returns:
        The files, by the name of their study.
    """
    root = lesions.root
    if root is None or "appearance" not in lesions.values:
        return {}
    from bcbm.report.figures.ingest import study_figure  # a second to import

    table = lesions.entering
    names = list(dict.fromkeys(table.loc[table["image_path"] != "", "study_id"]))[:MOST]
    files = {}
    for number, name in enumerate(names):
        rows = table[table["study_id"] == name]
        paths = {key: [str(root / path) for path in rows[key]] for key in ("image_path", "mask_path")}
        for study in studies_of(rows.assign(**paths), form=form):
            image = read_stored(study.image, form=form)
            size = np.array(image.GetSize()[::-1])
            masks = [
                lesion_region(open_box(path, form), study.parts.get(key)).within(np.zeros(3, int), size)
                for key, path in study.masks.items()
            ]
            files[str(name)] = folder / f"{number}.png"
            study_figure(image, masks, files[str(name)])
    return files
