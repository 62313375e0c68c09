"""A synthetic cohort in the layout of the real download, with a planted signal whose ceiling is known.

Every patient carries three hidden values: brightness of a ring 2-6 mm outside the lesions (image:
radiomics cannot see it), elongation of the lesions (radiomics), and a preferred part of the brain
(position). Labels are drawn from them afterwards, so the AUROC of the generating probabilities is the
best any model can reach.
"""

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import delayed
from openpyxl import Workbook

from bcbm.cohort.phantom import GROWTH, Patient, draw_patient, write_studies
from bcbm.system.pool import workers

Extract = Callable[[list[tuple[Path, dict[str, Path]]]], tuple[pd.DataFrame, dict[str, str]]]

GENERATOR = 3  # counts up whenever the same seed draws or writes something else
RECEPTORS = ("ER", "PR", "HER2")
WEIGHTS = np.array([[0.65, 0.25, 0.35], [0.25, 0.65, 0.35], [0.35, 0.35, 0.65]])  # of ring, shape, region
LOGIT_SCALE = 5.0  # puts the best AUROC near 0.95 at signal 1
# Of the second site: other patients of the same seed, fewer positives, and without volumes other features.
OTHER_PATIENTS, RARER, OTHER_FEATURES, COARSER = 1_000_003, -2.0, 0.7, 0.3
IMAGES = "BCBM-RadioGenomics_Images_Masks_Dec2024"
CLINICAL_HEADINGS = (
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


def draw_patients(patients: int, seed: int, site: int = 1) -> list[Patient]:
    """Everything but pixels and labels; all eight sign patterns are equally common."""
    seed += OTHER_PATIENTS * (site - 1)
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
    return [draw_patient(seed, i, signs[i], int(sessions[i]), roles[i], site) for i in range(patients)]


def draw_labels(
    hidden: np.ndarray, signal: float, seed: int, images: bool, site: int = 1
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Probabilities (N, 3), labels (N, 3; 1, 0 or NaN) and the best AUROC a receptor.

    Args:
        hidden: ring, shape and region value of each patient (N, 3); without images the ring does not count.
        signal: 0 draws coins; 1 is the default ceiling.
        seed: of the draw, of the 8 % missing labels and of the one patient without any.
        images: whether there are volumes to see the ring in.
        site: at 2 the same hidden values make fewer positives.
    """
    seed += OTHER_PATIENTS * (site - 1)
    rng = np.random.default_rng([seed, 2])
    weights = WEIGHTS * [images, 1, 1]
    weights *= WEIGHTS.sum(1, keepdims=True) / weights.sum(1, keepdims=True)
    p = 1 / (1 + np.exp(-signal * LOGIT_SCALE * hidden @ weights.T - RARER * (site - 1)))
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


def _invent(patient: Patient, columns: list[str]) -> dict[str, np.ndarray]:
    """Feature rows (107,) by `study/mask` where there are no volumes.

    Shape columns follow from the ellipsoid. The others are fixed loadings on eight factors of the patient
    and on the lesion's own scatter: siblings resemble each other, and labels have no part in it. The second
    site measures shapes less sharply, and multiplies each other column by a factor of its own.
    """
    rows = {}
    fixed, second = np.random.default_rng(107), patient.site == 2
    scale, loads = fixed.uniform(0, 6, len(columns)), fixed.normal(0, 0.25, (len(columns), 8))
    scale = scale + second * fixed.normal(0, OTHER_FEATURES, len(columns))
    blur = COARSER if second else 0.02
    rng = np.random.default_rng([patient.seed, 5, patient.index])
    factors = rng.normal(size=8)
    own = [factors + rng.normal(0, 0.35, 8) for _ in patient.blobs]
    for session, study in enumerate(patient.studies()):
        session = min(session, patient.sessions - 1)
        for name, n, margin in patient.masks():
            draw = np.random.default_rng([patient.seed, 6, patient.index, session, n, int(margin)])
            values = np.exp(scale + loads @ own[n] + draw.normal(0, 0.05, len(columns)))
            a, b, c = (patient.blobs[n].axes(GROWTH**session) + margin) * np.exp(draw.normal(0, blur, 3))
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
    edge = f"{patient.scanner.spacing[0]:g}"
    tesla = 3.0 if field_strength != (patient.site == 2) else 1.5
    return [
        [study, age, when, f"{edge}\\{edge}", maker, tesla, "F", *signs]
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
    sequences: Sequence[str] = ("t1c",),
    site: int = 1,
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
        sequences: t1c, or t1c and flair: what every study has an image of.
        site: 1, or 2: other patients of the same kind, fewer of them positive, scanned with fainter contrast
            and other voxels.
        jobs: processes that write volumes.
        progress: called with 1 for each session written.

    Raises:
        FileExistsError: `root` holds something already.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} is not empty: delete it or choose another cohort.root")
    people = draw_patients(patients, seed, site)
    hidden = np.array([person.hidden() for person in people])
    p, labels, best = draw_labels(hidden, signal, seed, images, site)
    partial = root.with_name(f".{root.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        columns = list(extract([])[0].columns)
        rows: dict[str, np.ndarray] = {}
        if images:
            folder = partial / IMAGES
            tasks = [(person, session) for person in people for session in range(person.sessions)]
            work = workers(jobs, return_as="generator_unordered")
            for _ in work(delayed(write_studies)(folder, *task, "flair" in sequences) for task in tasks):
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
            [*CLINICAL_HEADINGS],
            [row for person, label in zip(people, labels, strict=True) for row in _clinical(person, label)],
        )
        truth = {str(n): dict(zip(RECEPTORS, row.round(6).tolist(), strict=True)) for n, row in enumerate(p)}
        settings: dict[str, Any] = {"seed": seed, "patients": patients, "signal": signal, "images": images}
        settings |= {"sequences": list(sequences)} if len(sequences) > 1 else {}
        settings |= {"site": site} if site > 1 else {}
        description = {"generator": GENERATOR, **settings, "best": best, "probability": truth}
        (partial / "cohort.json").write_text(json.dumps(description, indent=1))
        try:
            partial.replace(root)
        except OSError:
            if not (root / "cohort.json").is_file():  # else another process has just written the same
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
