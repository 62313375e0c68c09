"""Copies within rounding: lesions that agree in all that is measured on them, but for noise."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float64]

# Standard deviations that two rows may differ by, the root mean square over features. In the 107 features of
# BCBM-RadioGenomics (2,242 lesions) the nearest two patients are 12 times as far apart, the nearest two scans
# of one lesion 2.4 times; rounding to three digits moves a lesion by less than a third of it.
ROUNDING = 0.01
FEWEST = 20  # features below which lesions agree by chance
DIRECTIONS = 8  # along which neighbours are looked up: a projection never lengthens a distance
STEPS = 4  # of subspace iteration towards the principal ones (Halko et al., SIAM Rev 53:217, 2011)
CHUNK = 512  # rows whose neighbours are held at once


def signed_log(values: np.ndarray) -> np.ndarray:
    """sign(x) log(1 + |x|): radiomics span twelve decades and both signs."""
    return np.sign(values) * np.log1p(np.abs(values))


def standardised(values: npt.ArrayLike) -> Floats:
    """Signed logs with mean 0 and standard deviation 1, (N, F), without the columns that are constant."""
    logs = signed_log(np.asarray(values, dtype=np.float64))
    logs = logs - logs.mean(axis=0)
    scale = logs.std(axis=0)
    varying = scale > 1e-9 * (1 + np.abs(logs).max(axis=0, initial=0))
    return logs[:, varying] / scale[varying]


def near_features(values: npt.ArrayLike) -> Iterator[tuple[int, int]]:
    """Pairs of rows whose features agree within rounding.

    A row that lacks some features is compared, by the others, with the rows that have all of those.

    Args:
        values: as measured, (N, F), NaN where missing. With fewer than FEWEST features no pair is near.

    Yields:
        Row numbers, in no order; the same pair may come twice.
    """
    values = np.asarray(values, dtype=np.float64)
    known = np.isfinite(values)
    for pattern in np.unique(known, axis=0):
        rows = np.flatnonzero((known | ~pattern).all(axis=1))
        points = standardised(values[np.ix_(rows, np.flatnonzero(pattern))])
        if points.shape[1] < FEWEST:
            continue
        lacking = (known[rows] == pattern).all(axis=1)
        for first, second in near_pairs(points, ROUNDING * np.sqrt(points.shape[1])):
            if lacking[first] or lacking[second]:
                yield int(rows[first]), int(rows[second])


def squared_distances(
    points: Floats, rows: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], Floats]]:
    """Of some points the squared distances to all, so many rows at a time as memory holds.

    Near zero, rounding leaves a few digits of them at most, or makes them negative.

    Args:
        points: all of them, (N, F).
        rows: numbers of those that are looked at, (M,).

    Yields:
        Some of the rows, (C,), and their distances, (C, N).
    """
    sizes = (points**2).sum(axis=1)
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        yield chunk, sizes[chunk, None] + sizes - 2 * points[chunk] @ points.T


def nearest_of_others(
    points: Floats, owners: npt.NDArray, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Of some points the nearest one of another owner, and how far it is; infinitely, where there is none.

    Args:
        points: all of them, (N, F).
        owners: of each, (N,).
        rows: numbers of those that are looked at, (M,).
    """
    nearest, far = [np.zeros(0, np.int64)], [np.zeros(0)]
    for chunk, squares in squared_distances(points, rows):
        squares[owners[chunk, None] == owners] = np.inf
        place = squares.argmin(axis=1)
        nearest.append(place)
        far.append(np.sqrt(np.maximum(squares[np.arange(len(chunk)), place], 0)))
    return np.concatenate(nearest), np.concatenate(far)


def near_pairs(points: Floats, radius: float, images: Iterable[Floats] = ()) -> Iterator[tuple[int, int]]:
    """Pairs of points, (N, F), whose Euclidean distance is at most `radius`.

    Candidates come from a k-d tree over leading directions, about the principal ones, and are then measured
    in full: no pair is lost, as a projection never lengthens a distance. Time grows as N log N, memory with
    CHUNK.

    Args:
        points: to be compared.
        radius: of what is near.
        images: of all points, mirrored: one of a pair may be taken so, whichever, their distance is the same.

    Yields:
        Row numbers, the smaller first; with images the same pair may come twice.
    """
    if len(points) < 2:
        return
    middle = points.mean(axis=0)
    centred = points - middle
    leading = np.random.default_rng(0).normal(size=(points.shape[1], DIRECTIONS))
    for _ in range(STEPS):  # towards the principal directions, a hundred times as fast as to have them all
        leading = np.linalg.qr(centred.T @ (centred @ leading))[0]
    tree = cKDTree(centred @ leading)
    reach = radius * (1 + 1e-9) + 1e-12
    for seen in (points, *images):
        projected = (seen - middle) @ leading
        for start in range(0, len(points), CHUNK):
            chunk = np.arange(start, min(start + CHUNK, len(points)))
            for row, others in zip(chunk, tree.query_ball_point(projected[chunk], reach), strict=True):
                later = np.array([other for other in others if other > row], dtype=int)
                if len(later):
                    distance = np.linalg.norm(points[later] - seen[row], axis=1)
                    for other in later[distance <= radius]:
                        yield int(row), int(other)


def joined(content: pd.Series, studies: pd.Series, pairs: Iterable[tuple[int, int]]) -> pd.Series:
    """The content of every lesion, the same for lesions of different studies that are a pair.

    Two masks of one study that agree are left as they are: they are judged by their overlap.

    Args:
        content: of each lesion, exact copies have the same.
        studies: ids, on the same index.
        pairs: row numbers of lesions that agree within rounding.
    """
    study, (code, names) = studies.to_numpy(), pd.factorize(content)
    links = {
        (code[first], code[second])
        for first, second in pairs
        if code[first] != code[second] and study[first] != study[second]
    }
    if not links:
        return content
    first, second = np.array(sorted(links)).T
    graph = coo_matrix((np.ones(len(first)), (first, second)), shape=(len(names), len(names)))
    component = connected_components(graph, directed=False)[1]
    _, earliest = np.unique(component, return_index=True)
    return pd.Series(np.asarray(names)[earliest][component][code], index=content.index)
