"""The image: a crop around the lesion, cut from the study's volumes."""

from typing import Any

import numpy as np
import pandas as pd

from bcbm.modalities.base import LesionData, Modality


class Image(Modality):
    """A crop, read where batches are made: `image` (B, C, D, H, W), a channel a sequence, then the mask."""

    needs = ("crops",)
    tabular = False
    encoder = "bcbm.model.encoders.image:build_image"

    def absent(self, lesions: LesionData) -> pd.Series:
        """No mask, no image, or no image of a further sequence; the first of them."""
        table, sequences = lesions.table, lesions.config.task.sequences[1:]
        columns = {"mask_path": "no mask file", "image_path": "no image file"}
        columns |= {f"image_{name}": f"no {name} file" for name in sequences}
        paths = table.reindex(columns=list(columns), fill_value="").fillna("")
        reasons = pd.Series("", index=table.index)
        for column, reason in columns.items():
            reasons[(paths[column] == "") & (reasons == "")] = reason
        return reasons

    def fit(self, lesions: LesionData, weight: np.ndarray) -> dict[str, Any]:
        """The channels that are images and, with model.shell_channels, the shells around the mask, in mm."""
        config = lesions.config
        fitted: dict[str, Any] = {"sequences": list(config.task.sequences)}
        if config.model.shell_channels:
            fitted |= {"shells": list(config.features.shells), "spacing": config.features.crop_spacing}
        return fitted


IMAGE = Image()
