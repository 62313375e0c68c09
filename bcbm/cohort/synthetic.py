"""A synthetic cohort in the layout of the real download, with a planted signal whose ceiling is known.

Every patient carries three hidden values: brightness of a ring 2-6 mm outside the lesions (image:
radiomics cannot see it), elongation of the lesions (radiomics), and a preferred part of the brain
(position). Labels are drawn from them afterwards, so the AUROC of the generating probabilities is the
best any model can reach. Millimetres are LPS around the brain's centre: x to the patient's left, y to the
back, z up.
"""

import gzip
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from openpyxl import Workbook
from scipy.ndimage import distance_transform_edt, gaussian_filter

Extract = Callable[[list[tuple[Path, dict[str, Path]]]], tuple[pd.DataFrame, dict[str, str]]]

RECEPTORS = ("ER", "PR", "HER2")
WEIGHTS = np.array([[0.65, 0.25, 0.35], [0.25, 0.65, 0.35], [0.35, 0.35, 0.65]])  # of ring, shape, region
LOGIT_SCALE = 3.6  # puts the best AUROC near 0.93 at signal 1
IMAGES = "BCBM-RadioGenomics_Images_Masks_Dec2024"
CLINICAL = (
    "ID",
    "Age",
    "Year",
    "Pixel Spacing",
    "Manufacturer",
    "Magnetic Field Strength ID",
    "Sex",
    " ER",  # the real header carries stray blanks too
    "PR",
    "HER2",
)
GRID, SPACING, HALF = (
    (100, 120, 66),
    np.array([1.5, 1.5, 2.0]),
    np.array([70.0, 85.0, 60.0]),
)  # voxels, mm, mm
GROWTH = 1.08  # of every radius, from one session to the next

# Region: score, then lower and upper bound of the centre's |x|, y, z as fractions of the brain's half axes.
REGIONS: dict[str, tuple[int, tuple[float, ...], tuple[float, ...]]] = {
    "frontal": (-1, (0.15, -0.75, 0.0), (0.65, -0.3, 0.55)),
    "parietal": (-1, (0.15, 0.1, 0.35), (0.6, 0.5, 0.7)),
    "temporal": (0, (0.5, -0.3, -0.45), (0.8, 0.2, -0.15)),
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
    """What is drawn once a patient: blobs, masks drawn again as (name, blob, mm added), sessions."""

    index: int
    seed: int
    blobs: list[Blob]
    extras: list[tuple[str, int, float]]
    sessions: int
    twin: bool  # the last session is published again under the next number

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
    rng: np.random.Generator, blobs: list[Blob], wanted: list[str], radius: float, stretch: float, grow: float
) -> tuple[str, int, Blob]:
    """Region, side and a blob that lies inside brain and hemisphere and clear of the others."""
    for attempt in range(2000):
        region = str(rng.choice(wanted if attempt < 400 else list(REGIONS)))
        score, low, high = REGIONS[region]
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


def _patient(seed: int, index: int, signs: np.ndarray, sessions: int, roles: set[str]) -> Patient:
    """Draw one patient; `signs` (3,) are the directions of ring, shape and region."""
    rng = np.random.default_rng([seed, 1, index])
    ring, shape = signs[:2] * rng.normal(1, 0.25, 2)
    many = "many" in roles
    count = (
        int(rng.integers(14, 21)) if many else int(rng.choice(6, p=[0.25, 0.25, 0.2, 0.15, 0.1, 0.05])) + 1
    )
    size = 5.4 if many else rng.uniform(5.5, 8.5)
    grow = GROWTH ** (sessions - 1)
    likes = [r for r, (score, *_) in REGIONS.items() if score == signs[2]]
    others = [r for r in REGIONS if r not in likes]
    blobs: list[Blob] = []
    taken: set[str] = set()
    for n in range(count + ("cavity" in roles)):
        value = shape + rng.normal(0, 0.25)
        stretch = max(1.02, float(np.exp(0.4 + 0.3 * value)))
        wanted = likes if rng.random() < 0.85 else others
        radius = float(np.clip(size + rng.normal(0, 0.4), 5, 9))
        region, side, blob = _place(rng, blobs, wanted, radius, stretch, grow)
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
    return Patient(index, seed, blobs, extras, sessions, "twin" in roles)


def draw_patients(patients: int, seed: int) -> list[Patient]:
    """Everything but pixels and labels; all eight sign patterns are equally common."""
    rng = np.random.default_rng([seed, 0])
    pattern, order = rng.permutation(patients) % 8, rng.permutation(patients)
    signs = np.stack([pattern & 1, pattern >> 1 & 1, pattern >> 2], 1) * 2 - 1
    sessions = np.ones(patients, int)
    sessions[order[: patients // 3]] = np.where(np.arange(patients // 3) % 4 == 3, 3, 2)
    roles: list[set[str]] = [set() for _ in range(patients)]
    steps = {"margin": 6, "structures": 8, "target": 12, "cavity": 20}
    for place, patient in enumerate(order):
        roles[patient] |= {role for n, (role, step) in enumerate(steps.items()) if place % step == n + 1}
    roles[order[0]].add("twin")
    roles[order[2 % patients]].add("again")
    for patient in order[-1 - (patients >= 24) :]:
        roles[patient].add("many")
    return [_patient(seed, i, signs[i], int(sessions[i]), roles[i]) for i in range(patients)]


def draw_labels(
    hidden: np.ndarray, signal: float, seed: int, images: bool
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Probabilities (N, 3), labels (N, 3; 1, 0 or NaN) and the best AUROC a receptor.

    Args:
        hidden: ring, shape and region value of each patient (N, 3); without images the ring counts not.
        signal: 0 draws coins; 1 is the default ceiling.
        seed: of the draw, of the 8 % missing labels and of the one patient without any.
        images: whether there are volumes to see the ring in.
    """
    rng = np.random.default_rng([seed, 2])
    weights = WEIGHTS * [images, 1, 1]
    weights *= WEIGHTS.sum(1, keepdims=True) / weights.sum(1, keepdims=True)
    p = 1 / (1 + np.exp(-signal * LOGIT_SCALE * hidden @ weights.T))
    n = len(p)
    labels, best = np.empty((n, 3)), {}
    unlabelled = rng.integers(n)
    for r, receptor in enumerate(RECEPTORS):
        draws = np.empty(n)  # stratified along p: the draw is as representative as a small cohort can be
        for group in np.array_split(np.argsort(p[:, r], kind="stable"), max(1, n // 8)):
            draws[group] = (rng.permutation(len(group)) + rng.random(len(group))) / len(group)
        labels[:, r] = draws < p[:, r]
        labels[rng.choice(n, round(0.08 * n), replace=False), r] = np.nan
        labels[unlabelled, r] = np.nan
        known = pd.Series(labels[:, r]).dropna()
        positives = int(known.sum())
        ranks = pd.Series(p[:, r])[known.index].rank()[known == 1].sum() - positives * (positives + 1) / 2
        pairs = positives * (len(known) - positives)
        best[receptor] = round(float(ranks / pairs), 4) if pairs else float("nan")
    return p, labels, best


def _save(data: np.ndarray, path: Path) -> None:
    """A NIfTI file in LPS storage; gzip without name and time, so that equal data are equal bytes."""
    affine = np.diag([*SPACING * [-1, -1, 1], 1])
    affine[:3, 3] = -(np.array(GRID) - 1) / 2 * np.diag(affine)[:3]
    path.write_bytes(gzip.compress(nib.Nifti1Image(data, affine).to_bytes(), 1, mtime=0))


def render(patient: Patient, session: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """T1 look-alike (100, 120, 66), int16, zero outside the brain, and the masks (same, bool) by name."""
    look = np.random.default_rng([patient.seed, 3, patient.index])
    rng = np.random.default_rng([patient.seed, 4, patient.index, session])
    gain, contrast, bright = look.uniform(0.7, 1.4), look.uniform(0.08, 0.2), look.uniform(1.4, 2.0)
    texture, grain = look.uniform(0.04, 0.2), look.uniform(0.6, 1.6)
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(GRID, SPACING, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    brain = ((points / HALF) ** 2).sum(-1) <= 1
    matter = gaussian_filter(look.standard_normal(GRID, dtype=np.float32), 3.5, truncate=2.5)
    matter = matter + 0.9 * matter[::-1]  # the hemispheres mirror each other, not quite
    image = gain * 300 * (1 + contrast * np.tanh(1.5 * matter / matter.std()))
    level = gain * 300 * rng.uniform(0.97, 1.03)
    boxes, masks, distances = [], [], []
    for blob in patient.blobs:
        reach = blob.axes(GROWTH**session).max() + 9
        low = np.clip((blob.centre - reach) / SPACING + np.array(GRID) / 2, 0, None).astype(int)
        high = np.clip((blob.centre + reach) / SPACING + np.array(GRID) / 2 + 1, 0, GRID).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        boxes.append(box)
        masks.append((blob.level(points[box], GROWTH**session) <= 1) & brain[box])
        distances.append(distance_transform_edt(~masks[-1], sampling=SPACING))
    for blob, box, distance in zip(patient.blobs, boxes, distances, strict=True):
        image[box] *= 1 + 0.25 * blob.ring * ((distance > 2) & (distance <= 6))
    for blob, box, mask in zip(patient.blobs, boxes, masks, strict=True):
        if blob.kind != "structure":
            noise = gaussian_filter(rng.standard_normal(mask.shape), grain)
            base = bright if blob.kind == "lesion" else 0.4
            image[box] = np.where(mask, level * base * (1 + texture * noise / noise.std()), image[box])
    image = np.where(brain, np.clip(image + rng.normal(0, 6, GRID), 1, 4000), 0).astype(np.int16)
    named = {}
    for name, n, margin in patient.masks():
        named[name] = np.zeros(GRID, bool)
        named[name][boxes[n]] = (distances[n] <= margin) & brain[boxes[n]]
    return image, named


def _write_studies(folder: Path, patient: Patient, session: int) -> None:
    """One session's files, and those of its published copy."""
    image, masks = render(patient, session)
    last = session == patient.sessions - 1
    for study in patient.studies()[session : None if last else session + 1]:
        (folder / study).mkdir(parents=True)
        _save(image, folder / study / f"{study}_image_ss_n4.nii.gz")
        for name, mask in masks.items():
            _save(mask.astype(np.float32), folder / study / f"{study}_mask_{name}.nii.gz")


def _invent(patient: Patient, columns: list[str]) -> dict[str, np.ndarray]:
    """Feature rows (107,) by `study/mask` where there are no volumes.

    Shape columns follow from the ellipsoid. The others are fixed loadings on eight factors of the patient
    and on the lesion's own scatter: siblings resemble each other, and labels have no part in it.
    """
    rows = {}
    fixed = np.random.default_rng(107)
    scale, loads = fixed.uniform(0, 6, len(columns)), fixed.normal(0, 0.25, (len(columns), 8))
    rng = np.random.default_rng([patient.seed, 5, patient.index])
    factors = rng.normal(size=8)
    own = [factors + rng.normal(0, 0.35, 8) for _ in patient.blobs]
    for session, study in enumerate(patient.studies()):
        session = min(session, patient.sessions - 1)
        for name, n, margin in patient.masks():
            draw = np.random.default_rng([patient.seed, 6, patient.index, session, n, int(margin)])
            values = np.exp(scale + loads @ own[n] + draw.normal(0, 0.05, len(columns)))
            a, b, c = (patient.blobs[n].axes(GROWTH**session) + margin) * np.exp(draw.normal(0, 0.02, 3))
            b, c = max(b, c), min(b, c)
            volume = 4 / 3 * np.pi * a * b * c
            area = 4 * np.pi * (((a * b) ** 1.6 + (a * c) ** 1.6 + (b * c) ** 1.6) / 3) ** (1 / 1.6)
            shape = {
                "Elongation": b / a,
                "Flatness": c / a,
                "LeastAxisLength": 2 * c,
                "MinorAxisLength": 2 * b,
            }
            shape |= {"MajorAxisLength": 2 * a, "Maximum3DDiameter": 2 * a, "MeshVolume": volume * 0.99}
            shape |= {f"Maximum2DDiameter{view}": a + b for view in ("Column", "Row", "Slice")}
            shape |= {"VoxelVolume": volume, "SurfaceArea": area, "SurfaceVolumeRatio": area / volume}
            shape["Sphericity"] = (36 * np.pi * volume**2) ** (1 / 3) / area
            rows[f"{study}/{name}"] = np.array(
                [
                    shape.get(c.removeprefix("original_shape_"), v)
                    for c, v in zip(columns, values, strict=True)
                ]
            )
    return rows


def _workbook(path: Path, sheet: str, header: list[str], rows: list[list[Any]]) -> None:
    """An xlsx file without its times: the archive is packed again with a fixed date."""
    book = Workbook(write_only=True)
    page = book.create_sheet(sheet)
    for row in [header, *rows]:
        page.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist()):
            if name != "docProps/core.xml":
                new.writestr(zipfile.ZipInfo(name), old.read(name), zipfile.ZIP_DEFLATED)
            else:
                text = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2024-12-01T00:00:00Z", old.read(name))
                new.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)


def _clinical(patient: Patient, labels: np.ndarray) -> list[list[Any]]:
    """Clinical rows of a patient; acquisition has nothing to do with the labels."""
    rng = np.random.default_rng([patient.seed, 7, patient.index])
    age, year, field_strength = int(rng.integers(34, 82)), int(rng.integers(2008, 2020)), rng.random() < 0.08
    maker = str(rng.choice(["SIEMENS", "GE MEDICAL SYSTEMS", "Philips"]))
    signs = [None if np.isnan(label) else "+" if label else "-" for label in labels]
    years = [year + min(n, patient.sessions - 1) for n in range(len(patient.studies()))]
    return [
        [study, age, when, "1.5\\1.5", maker, 3.0 if field_strength else 1.5, "F", *signs]
        for study, when in zip(patient.studies(), years, strict=True)
    ]


def write_cohort(
    root: Path,
    *,
    patients: int,
    signal: float,
    images: bool,
    seed: int,
    extract: Extract,
    jobs: int = -1,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write the workbooks, with `images` the volumes and masks, and `cohort.json`; same seed, same bytes.

    Args:
        root: the new cohort folder. It appears under this name only when it is complete.
        patients: how many; about 1.4 studies and 5 masks each.
        signal: strength of the planted signal, 0 for none, 1 for a best AUROC of about 0.93.
        images: False writes the two workbooks only, with invented features; the ring then counts for nothing.
        seed: of everything.
        extract: radiomics of `[(image, {key: mask})]`, as `features.radiomics.extract_cohort`; its answer to
            an empty list names the columns. Passed in, because cohort stands below features.
        jobs: processes that write volumes.
        progress: called with 1 for each session written.

    Raises:
        FileExistsError: `root` holds something already.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} is not empty: delete it or choose another cohort.root")
    people = draw_patients(patients, seed)
    hidden = np.array([person.hidden() for person in people])
    p, labels, best = draw_labels(hidden, signal, seed, images)
    partial = root.with_name(f".{root.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        columns = list(extract([])[0].columns)
        rows: dict[str, np.ndarray] = {}
        if images:
            folder = partial / IMAGES
            tasks = [(person, session) for person in people for session in range(person.sessions)]
            work = Parallel(n_jobs=jobs, return_as="generator_unordered")
            for _ in work(delayed(_write_studies)(folder, *task) for task in tasks):
                if progress:
                    progress(1)
            table, failures = extract(
                [
                    (
                        folder / study / f"{study}_image_ss_n4.nii.gz",
                        {
                            f"{study}/{n}": folder / study / f"{study}_mask_{n}.nii.gz"
                            for n, *_ in person.masks()
                        },
                    )
                    for person in people
                    for study in person.studies()
                ]
            )
            if failures:
                raise RuntimeError(f"features failed on synthetic lesions: {failures}")
            rows = dict(zip(table.index, table.to_numpy(), strict=True))
        else:
            for person in people:
                rows |= _invent(person, columns)
        _workbook(
            partial / "BCBM-RadioGenomic_Radiomics_Data.xlsx",
            "merged_orig",
            ["FilenamePrefix", "Segmentation_Name", *columns],
            [[key.split("/")[0], "mask_" + key.split("/")[1], *row.tolist()] for key, row in rows.items()],
        )
        _workbook(
            partial / "BCBM-RadioGenomics-Clinical-data.xlsx",
            "Clinical+Genetics",
            [*CLINICAL],
            [row for person, label in zip(people, labels, strict=True) for row in _clinical(person, label)],
        )
        truth = {str(n): dict(zip(RECEPTORS, row.round(6).tolist(), strict=True)) for n, row in enumerate(p)}
        settings = {"seed": seed, "patients": patients, "signal": signal, "images": images}
        (partial / "cohort.json").write_text(
            json.dumps(settings | {"best": best, "probability": truth}, indent=1)
        )
        partial.replace(root)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
