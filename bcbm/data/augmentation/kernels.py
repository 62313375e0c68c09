"""What augmentation does most, compiled for one CPU core: resampling without a grid, noise and contrast.

What is called from outside is compiled when this is imported, in 4 s; the machine code is kept in
`__pycache__` (or in NUMBA_CACHE_DIR), so that the next process loads it in 0.3 s; what is forked has it. No
kernel starts a thread, so that a process which forks loading workers afterwards hands them no lock, and the
GIL is free while one runs.

Example:
    Three voxels in a row, read half a voxel further on: the mean of two neighbours, twice, and at last a
    place as far beyond the outermost centre as counts as outside.

    >>> row = np.array([[[[0, 1, 4]]]], np.float32)  # (K, D, H, W)
    >>> further = np.array([[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.5]]])  # (K, 3, 4): z, y, x and a shift
    >>> result = np.empty_like(row)
    >>> linear(row, further, np.array([9], np.float32), result)
    >>> result.ravel().tolist()
    [0.5, 2.5, 9.0]
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32, float64, int64, njit, void
from numpy.polynomial import Chebyshev, Polynomial
from scipy.special import ndtri

# A multiplication and an addition in one step change the last bit and are faster.
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
compiled, inlined = njit(**OPTIONS), njit(**OPTIONS, inline="always")
VOLUMES, MATRICES, ROW = float32[:, :, :, ::1], float64[:, :, ::1], float32[::1]

# The normal distribution in 65536 equally likely steps, to 4.2 standard deviations.
LEVELS = ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)


def _polynomial(function: Callable[[np.ndarray], np.ndarray], low: float, high: float, degree: int) -> Any:
    """Factors of a polynomial that is nearly a function from `low` to `high`, the highest power first."""
    fitted = Chebyshev.interpolate(function, degree, [low, high]).convert(kind=Polynomial)
    return tuple(np.float32(factor) for factor in fitted.coef[::-1])


# A float32 is 2 to a whole power times a number from sqrt(1/2), whose bits are these, to sqrt(2).
ROOT_HALF = np.sqrt(np.float32(0.5)).view(np.int32)
LOG2 = _polynomial(lambda t: np.log1p(t) / t / math.log(2), 0.5**0.5 - 1, 2**0.5 - 1, 9)  # of 1 + t, over t
EXP2 = _polynomial(lambda t: np.expm1(t * math.log(2)) / t, -0.5, 0.5, 5)  # 2 to the t, less 1, over t


@inlined
def _inverse(step):  # type: ignore[no-untyped-def]
    return 0.0 if abs(step) < 1e-9 else 1 / step


@inlined
def _reach(places, inverses, shape, margin):  # type: ignore[no-untyped-def]
    """From where to where on a row `places` + x / `inverses` keep `margin` inside the outermost centres."""
    low, high = 0.0, shape[2] - 1.0
    for start, inverse, count in zip(places, inverses, shape):  # noqa: B905 - numba's zip knows no strict
        least, most = margin - start, count - 1 - margin - start
        if inverse == 0:
            if least > 0 or most < 0:
                high = -1.0
        else:
            first, second = least * inverse, most * inverse
            low, high = max(low, min(first, second)), min(high, max(first, second))
    return low, high


@compiled
def _places(start, step, width, area, places, shares):  # type: ignore[no-untyped-def]
    """Of `start` + x `step`, float32, the voxel before and the share of the one behind on each axis.

    Apart from the reading: what is read from anywhere keeps a compiler from working on many voxels at once.
    """
    width, area = np.int32(width), np.int32(area)
    for x in range(len(places)):
        t = np.float32(np.int32(x))
        z, y, w = start[0] + step[0] * t, start[1] + step[1] * t, start[2] + step[2] * t
        i, j, k = np.int32(z), np.int32(y), np.int32(w)
        shares[0, x], shares[1, x], shares[2, x] = z - np.float32(i), y - np.float32(j), w - np.float32(k)
        places[x] = i * area + j * width + k


@compiled
def _row(voxels, width, area, places, shares, row):  # type: ignore[no-untyped-def]
    """Trilinear values at the places of `_places`: all float32, all neighbours inside, no branch."""
    along, across, deep = np.uint64(1), np.uint64(width), np.uint64(area)
    for x in range(len(row)):
        f, g, h = shares[0, x], shares[1, x], shares[2, x]
        at = np.uint64(places[x])  # unsigned: a negative index would cost a test
        v00 = voxels[at] + h * (voxels[at + along] - voxels[at])
        at += across
        v01 = voxels[at] + h * (voxels[at + along] - voxels[at])
        at += deep
        v11 = voxels[at] + h * (voxels[at + along] - voxels[at])
        at -= across
        v10 = voxels[at] + h * (voxels[at + along] - voxels[at])
        v0, v1 = v00 + g * (v01 - v00), v10 + g * (v11 - v10)
        row[x] = v0 + f * (v1 - v0)


@inlined
def _between(place, count):  # type: ignore[no-untyped-def]
    """The voxels before and behind a place that may lie half a voxel outside, and its share of the second."""
    inside = min(max(place, 0.0), count - 1.0)
    return int(inside), min(int(inside) + 1, count - 1), np.float32(inside - int(inside))


@inlined
def _edge(volume, a, b, c, outside):  # type: ignore[no-untyped-def]
    """One trilinear value; half a voxel beyond the outermost centres is their value, further is `outside`."""
    depth, height, width = volume.shape
    if not (-0.5 <= a < depth - 0.5 and -0.5 <= b < height - 0.5 and -0.5 <= c < width - 0.5):
        return outside
    (i, ii, f), (j, jj, g), (k, kk, h) = _between(a, depth), _between(b, height), _between(c, width)
    v00 = volume[i, j, k] + h * (volume[i, j, kk] - volume[i, j, k])
    v01 = volume[i, jj, k] + h * (volume[i, jj, kk] - volume[i, jj, k])
    v10 = volume[ii, j, k] + h * (volume[ii, j, kk] - volume[ii, j, k])
    v11 = volume[ii, jj, k] + h * (volume[ii, jj, kk] - volume[ii, jj, k])
    v0, v1 = v00 + g * (v01 - v00), v10 + g * (v11 - v10)
    return v0 + f * (v1 - v0)


@njit(void(VOLUMES, MATRICES, ROW, VOLUMES), **OPTIONS)
def linear(volumes, matrices, outside, result):  # type: ignore[no-untyped-def]
    """Fill `result` (K, D, H, W) from `volumes` (K, D, H, W), float32, by trilinear interpolation.

    Args:
        matrices: (K, 3, 4) float64, from an output voxel to its place in the input.
        outside: (K,) float32, the value beyond the volume.
    """
    count, depth, height, width = volumes.shape
    places, shares = np.empty(width, np.int32), np.empty((3, width), np.float32)
    for n in range(count):
        volume, m = volumes[n], matrices[n]
        voxels = volume.reshape(-1)
        p, q, r = m[0, 2], m[1, 2], m[2, 2]
        step = np.float32(p), np.float32(q), np.float32(r)
        inverses = _inverse(p), _inverse(q), _inverse(r)  # here, as a division a row would be felt
        for z in range(depth):
            for y in range(height):
                a = m[0, 0] * z + m[0, 1] * y + m[0, 3]
                b = m[1, 0] * z + m[1, 1] * y + m[1, 3]
                c = m[2, 0] * z + m[2, 1] * y + m[2, 3]
                row = result[n, z, y]
                # Most of a row is well inside, the rest outside; what lies between is worked out with care.
                low, high = _reach((a, b, c), inverses, volume.shape, 0.001)
                first, last = math.ceil(low), math.floor(high) + 1
                low, high = _reach((a, b, c), inverses, volume.shape, -0.501)
                seen, unseen = math.ceil(low), math.floor(high) + 1
                if unseen <= seen:
                    seen, unseen = width, width
                if last <= first:
                    first, last = unseen, unseen
                row[:seen] = outside[n]
                row[unseen:] = outside[n]
                start = np.float32(a + p * first), np.float32(b + q * first), np.float32(c + r * first)
                _places(start, step, width, height * width, places[: last - first], shares)
                _row(voxels, width, height * width, places, shares, row[first:last])
                for x in range(seen, first):
                    row[x] = _edge(volume, a + p * x, b + q * x, c + r * x, outside[n])
                for x in range(last, unseen):
                    row[x] = _edge(volume, a + p * x, b + q * x, c + r * x, outside[n])


@compiled
def _nearest_places(start, step, shape, places):  # type: ignore[no-untyped-def]
    """The voxel nearest to `start` + x `step`, float64; -1 outside."""
    for x in range(len(places)):
        i = np.int32(math.floor(start[0] + step[0] * x + 0.5))
        j = np.int32(math.floor(start[1] + step[1] * x + 0.5))
        k = np.int32(math.floor(start[2] + step[2] * x + 0.5))
        inside = (i >= 0) & (i < shape[0]) & (j >= 0) & (j < shape[1]) & (k >= 0) & (k < shape[2])
        places[x] = (i * shape[1] + j) * shape[2] + k if inside else -1


@njit(void(VOLUMES, MATRICES, ROW, VOLUMES), **OPTIONS)
def nearest(volumes, matrices, outside, result):  # type: ignore[no-untyped-def]
    """As `linear`, each voxel the nearest of the input."""
    count, depth, height, width = volumes.shape
    shape = np.int32(depth), np.int32(height), np.int32(width)
    places = np.empty(width, np.int32)
    for n in range(count):
        voxels, m = volumes[n].reshape(-1), matrices[n]
        step = m[0, 2], m[1, 2], m[2, 2]
        for z in range(depth):
            for y in range(height):
                a = m[0, 0] * z + m[0, 1] * y + m[0, 3]
                b = m[1, 0] * z + m[1, 1] * y + m[1, 3]
                c = m[2, 0] * z + m[2, 1] * y + m[2, 3]
                _nearest_places((a, b, c), step, shape, places)
                row = result[n, z, y]
                for x in range(width):
                    row[x] = voxels[np.uint64(places[x])] if places[x] >= 0 else outside[n]


@njit(void(ROW, int64, float32, ROW), **OPTIONS)
def add_noise(voxels, seed, deviation, levels):  # type: ignore[no-untyped-def]
    """Add Gaussian noise to (N,) float32 voxels: a word of splitmix64 chooses four of the `levels`.

    A twentieth of the time of torch.randn, which spends most of it on drawing bits (Mersenne twister).
    """
    state = np.uint64(seed) * np.uint64(0xD1342543DE82EF95)  # apart, for seeds that follow each other
    words = np.empty(-(-len(voxels) // 4), np.uint64)
    for at in range(len(words)):
        word = state + np.uint64(0x9E3779B97F4A7C15) * np.uint64(at + 1)
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        words[at] = word ^ (word >> np.uint64(31))
    choices = words.view(np.uint16)
    for n in range(len(voxels)):
        voxels[n] += deviation * levels[choices[n]]


@inlined
def _value(factors, t):  # type: ignore[no-untyped-def]
    value = factors[0]
    for n in range(1, len(factors)):
        value = value * t + factors[n]
    return value


@njit(void(ROW, float32), **OPTIONS)
def contrast(voxels, gamma):  # type: ignore[no-untyped-def]
    """Raise (N,) float32 voxels to a power, the sign kept: to 1e-6, in a quarter of the time of torch."""
    for n in range(len(voxels)):
        voxel = np.float32(voxels[n])
        bits = voxel.view(np.int32) & np.int32(0x7FFFFFFF)
        whole = (bits - ROOT_HALF) >> np.int32(23)
        t = np.int32(bits - (whole << np.int32(23))).view(np.float32) - np.float32(1)
        power = max(gamma * (_value(LOG2, t) * t + np.float32(whole)), np.float32(-126))
        whole = np.int32(math.floor(power + np.float32(0.5)))
        t = power - np.float32(whole)
        bits_of = np.float32(_value(EXP2, t) * t + np.float32(1)).view(np.int32)
        size = np.int32(bits_of + (whole << np.int32(23))).view(np.float32)
        voxels[n] = math.copysign(size, voxel) if bits else voxel
