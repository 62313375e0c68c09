"""The scans that a prediction was made of, with their lesions, as pictures for its page."""

from pathlib import Path

from bcbm.features.geometry import Form
from bcbm.features.masks import open_mask
from bcbm.features.volumes import read_stored
from bcbm.preparation.lesions import Lesions
from bcbm.preparation.reading import studies_of

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
            opened = [open_mask(path, study.parts.get(key), form) for key, path in study.masks.items()]
            files[str(name)] = folder / f"{number}.png"
            masks = [mask.values > 0.5 for mask in opened]
            study_figure(read_stored(study.image, form=form), masks, files[str(name)])
    return files
