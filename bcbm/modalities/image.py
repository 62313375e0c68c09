"""The image: a crop around the lesion, cut from the study's volume."""

import pandas as pd

from bcbm.modalities.base import LesionData, Modality


class Image(Modality):
    """A crop, read lesion by lesion where batches are made: `image` (B, C, D, H, W) in a batch."""

    needs = ("crops",)
    tabular = False
    encoder = "bcbm.model.encoders.image:build_image"

    def absent(self, lesions: LesionData) -> pd.Series:
        """No mask, or no image."""
        table = lesions.table
        reasons = pd.Series("", index=table.index)
        for column, reason in (("image_path", "no image file"), ("mask_path", "no mask file")):
            reasons[table[column] == ""] = reason
        return reasons


IMAGE = Image()
