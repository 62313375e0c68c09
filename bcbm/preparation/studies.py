"""The files of the studies of a cohort, as steps work on them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bcbm.features.geometry import Form
from bcbm.features.masks import MaskPart
from bcbm.features.records import Study


def studies_of(
    segmentations: pd.DataFrame,
    lesions: set[str] | None = None,
    sequences: Sequence[str] = (),
    *,
    form: Form,
) -> list[Study]:
    """The files of every study with an image, of these lesions or of all, with further sequences.

    Args:
        form: which form of a header to believe where the two disagree (cohort.form).
    """
    rows = segmentations[(segmentations["mask_path"] != "") & (segmentations["image_path"] != "")]
    rows = rows.assign(lesion_id=rows["study_id"] + "/" + rows["name"])
    if lesions is not None:
        rows = rows[rows["lesion_id"].isin(lesions)]
    for column in {"mask_value", "mask_part"} - set(rows):  # before the masks were looked at
        rows[column] = 0
    return [
        Study(
            Path(str(image)),
            {str(k): Path(str(v)) for k, v in zip(part["lesion_id"], part["mask_path"], strict=True)},
            {name: Path(str(part[f"image_{name}"].iloc[0])) for name in sequences},
            {
                lesion: MaskPart(value, number)
                for lesion, value, number in zip(
                    part["lesion_id"], part["mask_value"], part["mask_part"], strict=True
                )
                if value or number
            },
            form,
        )
        for image, part in rows.groupby("image_path")
    ]


def count_masks(studies: list[Study]) -> int:
    """How many masks the studies have together."""
    return sum(len(study.masks) for study in studies)
