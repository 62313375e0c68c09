"""What two crops of one scan have in common whatever was rounded, rescaled or smoothed in between."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt

from bcbm.cohort.near import near_pairs
from bcbm.features.crops import CropStore

BLOCKS = 8  # along each axis
# Distance of two fingerprints of crops, 0 to 2: a correlation of 0.999. In real images (748 lesions of 133
# studies) two patients are 11 times as far apart, two scans of one lesion 4 times.
LIKE = 0.05


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


def near_fingerprints(fingerprints: npt.ArrayLike) -> Iterator[tuple[int, int]]:
    """Pairs of rows whose fingerprints, (N, B, B, B), are alike whatever the brightness and contrast.

    One may be the other's mirror image, along any of the three axes, as a file whose voxels or whose header
    somebody has flipped. Rows without contrast are like no other.

    Yields:
        Row numbers, in no order; the same pair may come twice.
    """
    blocks = np.asarray(fingerprints, dtype=np.float64)
    points = blocks.reshape(len(blocks), -1)
    points = points - points.mean(axis=1, keepdims=True)
    length = np.linalg.norm(points, axis=1)
    rows = np.flatnonzero(length > 1e-6)
    points = points[rows] / length[rows, None]
    blocks = points.reshape(len(rows), *blocks.shape[1:])
    flips = (axes for count in (1, 2, 3) for axes in combinations((1, 2, 3), count))
    images = (np.flip(blocks, axes).reshape(points.shape) for axes in flips)
    for first, second in near_pairs(points, LIKE, images):
        yield int(rows[first]), int(rows[second])
