"""Where a scan lies in MNI space: an affine registration to the ICBM 2009a brain.

Rigid, then affine, by mutual information (Mattes et al., IEEE TMI 2003) as SimpleITK has it, from the best of
all orientations. The template is the one that nilearn ships (Fonov et al., NeuroImage 2011): symmetric,
skull-stripped, 1 mm.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from bcbm.features.brains import template_path
from bcbm.features.volumes import shrunk

_GRID = 4.0  # mm: a finer grid costs time and does not place a lobe better
_SMOOTHING = 2.0  # mm, standard deviation; 3 and 4 were less exact, and 4 lost its way once in 12
_PAD = 5  # voxels of background, so that the template's samples always fall inside the scan
_MARGIN = 12.0  # mm around the template's brain where samples are drawn: the brain's edge says most
_SAMPLED = 0.3  # part of the voxels that the metric draws in the first attempt
_SEED = 1  # of the draw; 0 is the clock
_BINS = 32
_STEPS = (20, 30)  # rigid, affine; most scans stop before
GOOD = 0.87  # overlap below which it is tried again; a place found 10 mm off has had 0.85, brains have 0.95
_STRETCH = 1.6  # no adult's brain is longer or shorter than the template by more, along any direction
_APART = 30.0  # degrees between the orientations that are looked at first
_REFINED = ((6, 15.0), (3, 7.5))  # how many are refined, and by how many degrees
_THINNED = 8, 2  # each how manieth point is looked at before the last choice, and for it
_CLEAR = 1.1  # times that an orientation has to tell more than those near upright: ellipsoids have no front
_LEVELS = 16  # of grey, in the information that an orientation is judged by
_UPRIGHT = 25.0  # degrees that a search from the upright head makes up for


@dataclass(frozen=True)
class Registration:
    """Where a scan lies in MNI space.

    Args:
        to_mni: (4, 4), from the scan's LPS mm (homogeneous) to MNI RAS mm.
        overlap: Dice of the scan's and the template's brain after registration, on the template's 4 mm grid.
    """

    to_mni: np.ndarray
    overlap: float

    @property
    def turn(self) -> float:
        """How far the head is turned in the scan's space, degrees: 0 upright, face forward."""
        first, _, last = np.linalg.svd(np.diag([-1.0, -1.0, 1.0]) @ self.to_mni[:3, :3])
        return float(np.rad2deg(Rotation.from_matrix(first @ last).magnitude()))


def register(image: sitk.Image) -> Registration:
    """Place a skull-stripped scan in MNI space.

    The same scan gives the same bits on a machine, whatever its number of threads: the draw of samples is
    seeded, and one thread sums the metric. A head may lie in any orientation: where it is tilted beyond what
    a search from the upright head makes up for, the search starts from the orientation that tells most. A
    brain that overlaps the template's by less than 0.87 is tried again with every voxel and from a smoother
    scan, upright too; the best is returned. Warped brains in their place overlap by 0.97, the synthetic
    ellipsoids by 0.90, searches that lost their way by at most 0.93.

    Args:
        image: post-contrast T1, any orientation and spacing, background 0.

    Raises:
        ValueError: the scan is empty, never meets the template, or would lie on it only after a stretch by
            more than 1.6.
    """
    if not sitk.GetArrayViewFromImage(image).any():
        raise ValueError("registration to MNI failed: the scan is empty, no voxel is above 0")
    scan, brain = _coarse(image)
    turn = _turn(scan, brain)
    matrix, overlap = _attempt(scan, brain, _start(brain, turn), _SAMPLED, smoother=(0.0,))
    if overlap < GOOD:
        for other in dict.fromkeys((turn, None)):
            again = _attempt(scan, brain, _start(brain, other), 1.0, smoother=(6.0, 0.0))
            matrix, overlap = max((matrix, overlap), again, key=lambda attempt: attempt[1])
    if not overlap:
        raise ValueError("registration to MNI failed: the scan never met the template (is it a whole brain?)")
    stretch = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    if stretch.max() > _STRETCH or stretch.min() < 1 / _STRETCH:
        raise ValueError(
            f"registration to MNI failed: the scan would be stretched by {stretch.min():.2f} to "
            f"{stretch.max():.2f}, beyond a factor of {_STRETCH} (is it a whole brain, is its spacing right?)"
        )
    return Registration(np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix, overlap)


def _coarse(image: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    """The scan near 4 mm, clipped and smoothed, and the part (0..1) of each voxel that is brain."""
    sizes = zip(image.GetSpacing(), image.GetSize(), strict=True)
    factors = [min(max(1, round(_GRID / step)), size) for step, size in sizes]
    brain, small = shrunk(image, factors, share=True), shrunk(image, factors)  # averages: no aliasing
    values = sitk.GetArrayViewFromImage(small)[sitk.GetArrayViewFromImage(brain) >= 0.5]
    if values.size:  # metastases and vessels would take most of the metric's bins
        small = sitk.Clamp(small, sitk.sitkFloat32, 0.0, float(np.percentile(values, 98)))
    pad = [_PAD] * 3
    small, brain = (sitk.ConstantPad(part, pad, pad, 0.0) for part in (small, brain))
    return sitk.SmoothingRecursiveGaussian(small, _SMOOTHING), brain


@lru_cache(maxsize=1)
def template() -> tuple[sitk.Image, sitk.Image, sitk.Image]:
    """The template as `_coarse` gives it, and the mask where samples are drawn."""
    image, brain = _coarse(sitk.ReadImage(str(template_path()), sitk.sitkFloat32))
    distance = sitk.SignedMaurerDistanceMap(brain > 0.5, squaredDistance=False, useImageSpacing=True)
    return image, brain, distance < _MARGIN


def _start(brain: sitk.Image, turn: Rotation | None) -> sitk.Euler3DTransform:
    """The shift between the brains' centres of mass; their shape alone, since metastases are bright."""
    centre, target = (_centre(part) for part in (template()[1], brain))
    start = sitk.Euler3DTransform()
    start.SetCenter(centre)
    start.SetTranslation(target - centre)
    if turn is not None:
        start.SetMatrix(turn.as_matrix().ravel().tolist(), 1e-6)
    return start


def _turn(scan: sitk.Image, brain: sitk.Image) -> Rotation | None:
    """The orientation of the head that tells most of the template, about the centres of mass; None: upright.

    All are looked at 30 degrees apart, the best ones refined twice. One that is far from upright has to tell
    clearly more than those near it.
    """
    offsets, levels = _points()
    values = sitk.GetArrayFromImage(scan)
    to_index = np.linalg.inv(np.reshape(scan.GetDirection(), (3, 3)) * scan.GetSpacing())
    place = to_index @ (_centre(brain) - scan.GetOrigin())

    def information(turns: Rotation, thinning: int) -> np.ndarray:
        index = (to_index @ turns.as_matrix()) @ offsets[::thinning].T + place[:, None]  # (N, 3, points)
        drawn = map_coordinates(values, index[:, ::-1].swapaxes(0, 1), order=1, prefilter=False)
        grey = np.minimum(drawn * (_LEVELS / max(values.max(), 1e-9)), _LEVELS - 1).astype(int)
        return _information(grey, levels[::thinning])

    def refined(turns: Rotation) -> tuple[Rotation, float]:
        for best, degrees in _REFINED:
            chosen = np.argsort(-information(turns, _THINNED[0]), kind="stable")[:best]
            turns = Rotation.concatenate([turns[int(place)] * _nearby(degrees) for place in chosen])
        told = information(turns, _THINNED[1])
        return turns[int(told.argmax())], float(told.max())

    upright, least = refined(_nearby(_APART / 2))
    turn, most = refined(
        Rotation.concatenate([turn * _nearby(_APART) for turn in Rotation.create_group("O")])
    )
    turn = turn if most > _CLEAR * least else upright
    return turn if np.rad2deg(turn.magnitude()) > _UPRIGHT else None


def _nearby(degrees: float) -> Rotation:
    """27 orientations about the upright one, `degrees` apart along each axis."""
    steps = np.deg2rad(degrees) * np.array([-1.0, 0.0, 1.0])
    return Rotation.from_rotvec(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3))


@lru_cache(maxsize=1)
def _points() -> tuple[np.ndarray, np.ndarray]:
    """Points of the template 8 mm apart, in a random order: (P, 3) mm from its centre of mass, and their grey
    levels (P,)."""
    image, brain, near = template()
    places = np.argwhere(sitk.GetArrayViewFromImage(near)[::2, ::2, ::2] > 0) * 2
    places = np.random.default_rng(_SEED).permutation(places)
    values = sitk.GetArrayViewFromImage(image)[tuple(places.T)]
    axes = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    levels = np.minimum(values * (_LEVELS / values.max()), _LEVELS - 1).astype(int)
    return places[:, ::-1] @ axes.T + image.GetOrigin() - _centre(brain), levels


def _information(grey: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Mutual information (N,), nats, of grey levels (N, P) with levels (P,)."""
    count, size = len(grey), _LEVELS**2
    cells = (np.arange(count)[:, None] * _LEVELS + levels) * _LEVELS + grey
    joint = np.bincount(cells.ravel(), minlength=count * size).reshape(count, _LEVELS, _LEVELS)

    def entropy(counts: np.ndarray) -> np.ndarray:
        share = counts.reshape(count, -1) / len(levels)
        return -(share * np.log(np.maximum(share, 1e-12))).sum(axis=1)

    return entropy(joint.sum(axis=2)) + entropy(joint.sum(axis=1)) - entropy(joint)


def _centre(brain: sitk.Image) -> np.ndarray:
    """Centre of mass (3,), LPS mm."""
    weights = sitk.GetArrayViewFromImage(brain).T.astype(np.float64)
    total = max(weights.sum(), 1e-9)
    others = ((1, 2), (0, 2), (0, 1))
    index = [weights.sum(axes) @ np.arange(weights.shape[n]) / total for n, axes in enumerate(others)]
    return np.array(brain.TransformContinuousIndexToPhysicalPoint(index))


def _attempt(
    scan: sitk.Image, brain: sitk.Image, start: sitk.Transform, sampled: float, smoother: tuple[float, ...]
) -> tuple[np.ndarray, float]:
    """Matrix (4, 4) from the scan's to the template's LPS mm, and the overlap; 0 where ITK gives up."""
    _, template_brain, near = template()
    rigid = sitk.Euler3DTransform(start)  # a copy: ITK moves what it is given
    affine = sitk.AffineTransform(3)
    try:
        _optimise(scan, rigid, near, sampled, smoother, _STEPS[0])
        affine.SetCenter(rigid.GetCenter())
        affine.SetMatrix(rigid.GetMatrix())
        affine.SetTranslation(rigid.GetTranslation())
        _optimise(scan, affine, near, sampled, (0.0,), _STEPS[1])
        inverse = affine.GetInverse()
    except RuntimeError as error:
        if "ITK" not in str(error):
            raise
        return np.eye(4), 0.0
    resampled = sitk.Resample(brain, template_brain, affine, sitk.sitkLinear)
    moved = sitk.GetArrayViewFromImage(resampled) > 0.5  # named above: a view keeps no image alive
    target = sitk.GetArrayViewFromImage(template_brain) > 0.5
    overlap = 2 * (moved & target).sum() / max(moved.sum() + target.sum(), 1)
    matrix = np.eye(4)
    matrix[:3, 3] = inverse.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        matrix[:3, axis] = inverse.TransformPoint(np.eye(3)[axis].tolist()) - matrix[:3, 3]
    return matrix, float(overlap)


def _optimise(
    scan: sitk.Image,
    transform: sitk.Transform,
    near: sitk.Image,
    sampled: float,
    smoother: tuple[float, ...],
    steps: int,
) -> None:
    """Improve `transform` (template to scan) in place, over smoothings (mm, on top of what there is)."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # the sum over threads depends on their number
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(_BINS)
    if sampled < 1:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(sampled, _SEED)
    method.SetMetricFixedMask(near)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([1] * len(smoother))
    method.SetSmoothingSigmasPerLevel(smoother)
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    # Rate 1, steps, tolerance over 5 values; then the line search: bounds, tolerance, evaluations.
    method.SetOptimizerAsConjugateGradientLineSearch(1.0, steps, 1e-5, 5, 0.0, 3.0, 0.05, 8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(template()[0], scan)
