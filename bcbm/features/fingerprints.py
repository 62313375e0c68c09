"""What two crops of one scan have in common whatever was rounded, rescaled or smoothed in between."""

import numpy as np

from bcbm.features.crops import CropStore

BLOCKS = 8  # along each axis


def fingerprints(crops: CropStore) -> np.ndarray:
    """Means of the post-contrast T1 over blocks around the middle of every crop; 0 where none is.

    Returns:
        (N, BLOCKS, BLOCKS, BLOCKS) float32.
    """
    side = crops.size // BLOCKS
    low = (crops.size - side * BLOCKS) // 2  # so that a crop and its mirror image have the same blocks
    inside = slice(low, low + side * BLOCKS)
    result = np.zeros((len(crops), *[BLOCKS] * 3), np.float32)
    for number, place in enumerate(crops.where):
        if place is not None:
            image = crops[number][0, inside, inside, inside].astype(np.float32)
            blocks = image.reshape(BLOCKS, side, BLOCKS, side, BLOCKS, side)
            result[number] = blocks.mean(axis=(1, 3, 5))
    return result
