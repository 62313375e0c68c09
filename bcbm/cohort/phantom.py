"""What the synthetic cohort shows: a patient's lesions, where they fit, their names, how they look.

Millimetres are LPS around the brain's centre: x to the patient's left, y to the back, z up. Changing what is
drawn here asks for a new `synthetic.GENERATOR`.
"""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

HALF = np.array([70.0, 85.0, 60.0])  # mm; half axes of the brain
FLAIR_STEP = 2  # slices of the grid from one of FLAIR to the next
GROWTH = 1.08  # of every radius, from one session to the next

# Region: score, then lower and upper bound of the centre's |x|, y, z as fractions of the brain's half axes.
REGION_BOXES: dict[str, tuple[int, tuple[float, ...], tuple[float, ...]]] = {
    "frontal": (-1, (0.15, -0.8, 0.1), (0.6, -0.45, 0.55)),
    "parietal": (-1, (0.15, 0.1, 0.35), (0.6, 0.5, 0.7)),
    "temporal": (0, (0.55, -0.25, -0.5), (0.8, 0.2, -0.25)),
    "occipital": (1, (0.12, 0.55, -0.1), (0.5, 0.85, 0.3)),
    "cerebellum": (1, (0.12, 0.25, -0.75), (0.55, 0.65, -0.45)),
}
WORDS = {
    "frontal": ["frontal", "front", "frntl"],
    "parietal": ["parietal", "pariet", "par"],
    "temporal": ["temporal", "temp", "tmp"],
    "occipital": ["occipital", "occip", "occiptal"],
    "cerebellum": ["cerebellar", "cerebel", "cerebllr", "crblm"],
}
SIDES = {1: ["L-", "lt-", "Lt-", "Left-"], -1: ["R-", "rt-", "Rt-", "Right-"]}
STRUCTURES = {"BrainStem": (0, 12, -27, 10), "OpticChiasm": (0, -22, -20, 4.5), "Orbit_L": (26, -58, -22, 8)}

_STEP = (np.arange(64) + 0.5) / 32 - 1  # a Fibonacci sphere: heights, then turns of the golden angle
_SPHERE = np.stack([np.cos(2.4 * np.arange(64)), np.sin(2.4 * np.arange(64)), np.ones(64)], 1)
_SPHERE *= np.stack([np.sqrt(1 - _STEP**2), np.sqrt(1 - _STEP**2), _STEP], 1)


@dataclass(frozen=True)
class Scanner:
    """How a site scans.

    Attributes:
        grid: voxels along each axis, (3,), and `spacing`, their edges in mm, (3,).
        bright: between which factors a lesion is brighter than the brain.
        ring: what a ring value of 1 adds to the tissue 2-6 mm around a lesion, as a share.
    """

    grid: tuple[int, int, int]
    spacing: np.ndarray
    bright: tuple[float, float]
    ring: float


SCANNERS = {
    1: Scanner((100, 120, 66), np.array([1.5, 1.5, 2.0]), (1.4, 2.0), 0.25),
    2: Scanner((125, 150, 44), np.array([1.2, 1.2, 3.0]), (1.15, 1.5), 0.12),
}


@dataclass(frozen=True)
class Blob:
    """An ellipsoid: centre (3,), mean radius (mm), long over short axis, rotation (3, 3), hidden values."""

    name: str
    centre: np.ndarray
    radius: float
    stretch: float = 1.0
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    ring: float = 0.0
    shape: float = 0.0
    score: int = 0
    kind: str = "lesion"  # or cavity, structure

    def axes(self, grow: float = 1.0) -> np.ndarray:
        """Half axes (3,) in mm, the long one first; the volume does not depend on the stretch."""
        return self.radius * grow * self.stretch ** np.array([2 / 3, -1 / 3, -1 / 3])

    def level(self, points: np.ndarray, grow: float = 1.0, margin: float = 0.0) -> np.ndarray:
        """Squared ellipsoid radius (...) of points (..., 3), mm, axes padded by `margin`; <= 1 is inside."""
        return (((points - self.centre) @ self.rotation / (self.axes(grow) + margin)) ** 2).sum(-1)

    def surface(self, grow: float) -> np.ndarray:
        """64 points (64, 3) spread over the surface, mm."""
        return self.centre + (_SPHERE * self.axes(grow)) @ self.rotation.T


@dataclass(frozen=True)
class Patient:
    """What is drawn once a patient: blobs, masks drawn again as (name, blob, mm added), sessions, site."""

    index: int
    seed: int
    blobs: list[Blob]
    extras: list[tuple[str, int, float]]
    sessions: int
    twin: bool  # the last session is published again under the next number
    site: int = 1

    @property
    def scanner(self) -> Scanner:
        """That of the patient's site."""
        return SCANNERS[self.site]

    def studies(self) -> list[str]:
        """Names of the studies, the published copy last."""
        return [f"BCBM-RadioGenomics-{self.index}-{n}" for n in range(self.sessions + self.twin)]

    def hidden(self) -> np.ndarray:
        """Mean ring, shape and region values (3,) over the distinct lesions."""
        return np.mean([(b.ring, b.shape, b.score) for b in self.blobs if b.kind == "lesion"], axis=0)

    def masks(self) -> list[tuple[str, int, float]]:
        """Every mask of a study as (name, blob, mm added)."""
        return [(blob.name, i, 0.0) for i, blob in enumerate(self.blobs)] + self.extras


def _place(
    rng: np.random.Generator,
    blobs: list[Blob],
    regions: list[str],
    radius: float,
    stretch: float,
    grow: float,
) -> tuple[str, int, Blob]:
    """Region, side and a blob that lies inside brain and hemisphere and clear of the others."""
    for attempt in range(2000):
        region = str(rng.choice(regions if attempt < 400 else list(REGION_BOXES)))
        score, low, high = REGION_BOXES[region]
        side = int(rng.choice([1, -1]))
        centre = rng.uniform(low, high) * HALF * [side, 1, 1]
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        blob = Blob("", centre, radius, stretch, turn, score=score)
        skin = blob.surface(grow)
        if ((skin / HALF) ** 2).sum(-1).max() > 0.93 or (skin[:, 0] * side).min() < 1:
            continue
        clear = (
            min(b.level(skin, grow, 4.0).min(), blob.level(b.surface(grow), grow, 4.0).min()) > 1
            for b in blobs
        )
        if all(clear):
            return region, side, blob
    raise RuntimeError(f"no room for a lesion of {radius:.1f} mm beside {len(blobs)} others")


def _name(rng: np.random.Generator, taken: set[str], region: str, side: int) -> str:
    """A free-text name as a planner would type it, new in this patient; numbers never end in 0."""
    if rng.random() < 0.06:
        plan, dose = rng.integers(1, 4), rng.integers(180, 240)
        names = [f"Plan{plan}_Tgt{letter}_{dose}Gy80" for letter in "ABCDEFGH"]
    else:
        words = WORDS[region]
        word = words[0] if rng.random() < 0.7 else str(rng.choice(words[1:]))
        stem = str(rng.choice(SIDES[side])) + (word if rng.random() < 0.8 else word.capitalize())
        end = str(rng.choice(["-tumor", "-met", "", ""]))
        names = [stem + end] + [f"{stem}{end}-{n}" for n in range(2, 30) if n % 10]
    name = next(name for name in names if name.lower() not in taken)
    taken.add(name.lower())
    return name


def draw_patient(
    seed: int, index: int, signs: np.ndarray, sessions: int, roles: set[str], site: int = 1
) -> Patient:
    """Draw one patient; `signs` (3,) are the directions of ring, shape and region."""
    rng = np.random.default_rng([seed, 1, index])
    ring, shape = signs[:2] * rng.normal(1, 0.25, 2)
    many = "many" in roles
    count = (
        int(rng.integers(14, 21)) if many else int(rng.choice(6, p=[0.25, 0.25, 0.2, 0.15, 0.1, 0.05])) + 1
    )
    size = 5.4 if many else rng.uniform(5.5, 8.5)
    grow = GROWTH ** (sessions - 1)
    preferred = [r for r, (score, *_) in REGION_BOXES.items() if score == signs[2]]
    others = [r for r in REGION_BOXES if r not in preferred]
    blobs: list[Blob] = []
    taken: set[str] = set()
    for n in range(count + ("cavity" in roles)):
        value = shape + rng.normal(0, 0.25)
        stretch = max(1.02, float(np.exp(0.4 + 0.3 * value)))
        regions = preferred if rng.random() < 0.85 else others
        radius = float(np.clip(size + rng.normal(0, 0.4), 5, 9))
        region, side, blob = _place(rng, blobs, regions, radius, stretch, grow)
        if n == count:
            blobs.append(replace(blob, name=f"{SIDES[side][0]}{region}-cavity", kind="cavity"))
        else:
            name = _name(rng, taken, region, side)
            blobs.append(replace(blob, name=name, ring=ring + rng.normal(0, 0.25), shape=value))
    if "structures" in roles:
        blobs += [Blob(n, np.array(p[:3], float), p[3], kind="structure") for n, p in STRUCTURES.items()]
    first = blobs[0].name
    extras = [
        (name, 0, margin)
        for role, name, margin in [
            ("margin", f"{first}-margin", 2.0),
            ("again", f"{first}0", 0.0),
            ("target", "Plan9_TgtA_220Gy80", 0.0),
        ]
        if role in roles
    ]
    return Patient(index, seed, blobs, extras, sessions, "twin" in roles, site)


def _save(data: np.ndarray, path: Path, scanner: Scanner, step: int = 1) -> None:
    """A NIfTI file in LPS storage; gzip without name and time, so that equal data are equal bytes here.

    Args:
        data: on the grid, or every `step`th slice of it from the lowest on.
    """
    from isal import igzip
    from nibabel import Nifti1Image  # slow to import, and a cohort without images needs none of it

    affine = np.diag([*scanner.spacing * [-1, -1, step], 1])
    affine[:3, 3] = -(np.array(scanner.grid) - 1) / 2 * scanner.spacing * [-1, -1, 1]
    path.write_bytes(igzip.compress(Nifti1Image(data, affine).to_bytes(), 2, mtime=0))


@cache
def _places(grid: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[list[np.ndarray], np.ndarray]:
    """Where the voxels of a grid lie, mm along each axis, and which of them are brain, booleans."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(grid, spacing, strict=True)]
    x, y, z = ((place / half) ** 2 for place, half in zip(axes, HALF, strict=True))
    return axes, x[:, None, None] + y[None, :, None] + z[None, None, :] <= 1


def render(patient: Patient, session: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """T1 look-alike on the site's grid, int16, zero outside the brain, and the masks (same, bool) by name."""
    scanner = patient.scanner
    grid, spacing = scanner.grid, scanner.spacing
    look = np.random.default_rng([patient.seed, 3, patient.index])
    rng = np.random.default_rng([patient.seed, 4, patient.index, session])
    gain, contrast, bright = look.uniform(0.7, 1.4), look.uniform(0.08, 0.2), look.uniform(*scanner.bright)
    texture, grain = look.uniform(0.04, 0.2), look.uniform(0.6, 1.6)
    axes, brain = _places(grid, tuple(spacing.tolist()))
    matter = gaussian_filter(look.standard_normal(grid, dtype=np.float32), 3.5, truncate=2.5)
    matter = matter + 0.9 * matter[::-1]  # the hemispheres mirror each other, not quite
    image = gain * 300 * (1 + contrast * np.tanh(1.5 * matter / matter.std()))
    level = gain * 300 * rng.uniform(0.97, 1.03)
    boxes, masks, distances = [], [], []
    for blob in patient.blobs:
        reach = blob.axes(GROWTH**session).max() + 9
        low = np.clip((blob.centre - reach) / spacing + np.array(grid) / 2, 0, None).astype(int)
        high = np.clip((blob.centre + reach) / spacing + np.array(grid) / 2 + 1, 0, grid).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        boxes.append(box)
        inside = [place[span] for place, span in zip(axes, box, strict=True)]
        points = np.stack(np.meshgrid(*inside, indexing="ij"), -1)
        masks.append((blob.level(points, GROWTH**session) <= 1) & brain[box])
        distances.append(distance_transform_edt(~masks[-1], sampling=spacing))
    for blob, box, distance in zip(patient.blobs, boxes, distances, strict=True):
        image[box] *= 1 + scanner.ring * blob.ring * ((distance > 2) & (distance <= 6))
    for blob, box, mask in zip(patient.blobs, boxes, masks, strict=True):
        if blob.kind != "structure":
            noise = gaussian_filter(rng.standard_normal(mask.shape), grain)
            base = bright if blob.kind == "lesion" else 0.4
            image[box] = np.where(mask, level * base * (1 + texture * noise / noise.std()), image[box])
    image = np.where(brain, np.clip(image + rng.normal(0, 6, grid), 1, 4000), 0).astype(np.int16)
    named = {}
    for name, n, margin in patient.masks():
        named[name] = np.zeros(grid, bool)
        named[name][boxes[n]] = (distances[n] <= margin) & brain[boxes[n]]
    return image, named


def render_flair(
    patient: Patient, session: int, image: np.ndarray, masks: dict[str, np.ndarray]
) -> np.ndarray:
    """FLAIR look-alike of a rendered session, int16, every second slice.

    Tissue is inverted, lesions are grey, and what lies 2-6 mm around them is bright, the more so the larger
    the patient's ring value.
    """
    rng = np.random.default_rng([patient.seed, 8, patient.index, session])
    kinds = {name: patient.blobs[n].kind for name, n, _ in patient.masks()}
    lesion = np.any([mask for name, mask in masks.items() if kinds[name] == "lesion"], axis=0)
    brain, distance = image > 0, distance_transform_edt(~lesion, sampling=patient.scanner.spacing)
    level = float(np.median(image[brain]))
    flair = np.where(lesion, 1.1 * level, 1.6 * level - 0.6 * image)
    flair *= 1 + (0.3 + 0.2 * patient.hidden()[0]) * ((distance > 2) & (distance <= 6))
    flair = np.clip(flair + rng.normal(0, 8, image.shape), 1, 4000)
    return np.where(brain, flair, 0).astype(np.int16)[:, :, ::FLAIR_STEP]


def write_studies(folder: Path, patient: Patient, session: int, flair: bool = False) -> None:
    """One session's files, with a FLAIR image if that is wanted, and those of its published copy."""
    image, masks = render(patient, session)
    second = render_flair(patient, session, image, masks) if flair else None
    last = session == patient.sessions - 1
    for study in patient.studies()[session : None if last else session + 1]:
        (folder / study).mkdir(parents=True)
        _save(image, folder / study / f"{study}_image_ss_n4.nii.gz", patient.scanner)
        if second is not None:
            _save(second, folder / study / f"{study}_image_flair_ss_n4.nii.gz", patient.scanner, FLAIR_STEP)
        for name, mask in masks.items():
            _save(mask.astype(np.float32), folder / study / f"{study}_mask_{name}.nii.gz", patient.scanner)
