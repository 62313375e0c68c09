"""Where a lesion lies on the MNI template: side, midline band and one of seven regions.

No atlas of a free licence names all seven regions, so `atlas.csv` is one of seeds: the 160 coordinates of
Dosenbach et al. (Science 2010) under our regions, and 323 set by hand where they leave gaps. A point belongs
to the region of the nearest seed, a lesion to the one of most of its points. Held against labelled volumes,
on which the seeds were tuned, the atlas agrees in 93 % of the grey matter of Neuromorphometrics and in 91 %
of AAL and of Desikan-Killiany; there the parietal lobe is worst, 77 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from bcbm.cohort.names import NameReading

MIDLINE = 4.0  # mm to either side: as far as a registration errs
NEAR_MIDLINE, BESIDE = 10.0, 20.0  # mm within which a named side, a named midline may be right
SURE, SIDE_SURE = 0.6, 0.3  # confidence of a name that is held against coordinates; of one with a side only
CLEAR = 0.9  # confidence of a place that is clear of the next region
_POINTS = 64  # of a lesion that are looked at


@dataclass(frozen=True)
class Place:
    """One of HEMISPHERES and of REGIONS, and the confidence (0..1) in the region."""

    hemisphere: str
    region: str
    confidence: float


def place_of(point: Sequence[float] | np.ndarray, spread: np.ndarray | None = None) -> Place:
    """The place of a lesion; outside the brain, that of the brain nearby.

    The side is that of the centroid. The region is that of most points of the ellipsoid with the lesion's
    centroid and covariances; of a point alone it is its own. The confidence follows from how much farther the
    nearest seed of another region is, and is about the share of points that a labelled volume gives the same
    region: 0.5 half way, 0.93 where it is twice as far; of a lesion the mean over its points.

    Args:
        point: the centroid, MNI RAS mm.
        spread: (3, 3), covariances of the lesion's points, mm2; None: a point.
    """
    seeds, starts, regions = _atlas()
    points = np.asarray(point, float)[None]
    if spread is not None:
        points = points + _ball() @ np.linalg.cholesky(spread).T
    far = np.minimum.reduceat(cdist(points, seeds), starts, axis=1)  # (points, regions)
    region = int(np.bincount(far.argmin(axis=1)).argmax())
    own, other = far[:, region], np.delete(far, region, axis=1).min(axis=1)
    doubt = 0.5 * np.exp(-np.abs(other - own) / (other + own) / 0.17)
    confidence = np.where(own <= other, 1 - doubt, doubt).mean()
    x = float(point[0])
    side = "midline" if abs(x) <= MIDLINE else "right" if x > 0 else "left"
    return Place(side, regions[region], round(float(confidence), 2))


def disagreement(reading: NameReading, place: Place, point: Sequence[float] | np.ndarray) -> str:
    """How name and coordinates differ, in words; "" where they agree or either is unsure.

    A side is held against any name that spells one; near the midline either may be right, and a brainstem is
    midline by name only. A region is held against sure names, where the point is clear of a border.
    """
    x = abs(float(point[0]))
    spelled = reading.confidence >= (SIDE_SURE if reading.region == "unknown" else SURE)
    sides = {reading.hemisphere, place.hemisphere}
    aside = x > (BESIDE if reading.hemisphere == "midline" else NEAR_MIDLINE)
    wrong_side = spelled and aside and len(sides) == 2 and "unknown" not in sides
    elsewhere = reading.region not in ("unknown", place.region)
    if not wrong_side and not (elsewhere and reading.confidence >= SURE and place.confidence >= CLEAR):
        return ""
    where = " ".join(f"{value:.0f}" for value in point)
    name_words = " ".join(word for word in (reading.hemisphere, reading.region) if word != "unknown")
    return f"the name says {name_words}, the coordinates {place.hemisphere} {place.region} (MNI {where})"


@lru_cache(maxsize=1)
def _atlas() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Seeds (N, 3), MNI RAS mm, region by region; where each region begins, and its name."""
    table = pd.read_csv(Path(__file__).with_name("atlas.csv")).sort_values("region", kind="stable")
    regions, starts = np.unique(table["region"].to_numpy(str), return_index=True)
    return table[["x", "y", "z"]].to_numpy(float), starts, regions.tolist()


@lru_cache(maxsize=1)
def _ball() -> np.ndarray:
    """Points (N, 3) spread evenly over a ball, their mean 0 and their covariances 1 and 0."""
    steps = np.arange(_POINTS) + 0.5
    height, turn, radius = 1 - 2 * steps / _POINTS, 2.4 * steps, (steps * 0.618 % 1) ** (1 / 3)
    flat = np.sqrt(1 - height**2)
    points = np.stack([flat * np.cos(turn), flat * np.sin(turn), height], 1) * radius[:, None]
    points -= points.mean(axis=0)
    white: np.ndarray = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points.T, bias=True))).T
    return white
