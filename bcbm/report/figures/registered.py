"""The contact sheet: every registered study small, with the outline of the template's brain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import binary_erosion

from bcbm.cohort.findings import doubtful_studies
from bcbm.cohort.measurements import Brain
from bcbm.features.brains import load_brain
from bcbm.report.figures.cohort import DPI, OUTLINE, QUIET, WIDTH
from bcbm.report.figures.saving import save_png

MOST = 60  # studies on a sheet
COLUMNS = 4
_MIDDLE = (28, 36, 30)  # voxels z, y, x of the planes: through ventricles, brainstem and midline
_GAP, _WORDS = 6, 16  # voxels between pictures, and above each for its two lines
_DOUBT = "#c8102e"


class Registered(NamedTuple):
    """A study's registered brain, uint8 (z, y, x) in MNI RAS, and what is said above it."""

    study: str
    brain: np.ndarray
    overlap: float
    doubt: str = ""


def sheet_studies(table: pd.DataFrame, brains: Mapping[str, Brain]) -> list[Registered]:
    """The studies of the contact sheet: those in doubt first, then those that overlap the template least."""
    studies = []
    doubtful = {problem.where: problem.kind for problem in doubtful_studies(table)}
    for path, lesions in table[table["image_path"].isin(list(brains))].groupby("image_path"):
        file, overlap = brains[str(path)]
        study, doubts = str(lesions["study_id"].iloc[0]), [str(lesions["doubts"].iloc[0])]
        doubts.append(doubtful.get(study, ""))
        doubts += ["name against coordinates"] * bool((lesions["position_conflict"] != "").any())
        doubt = "; ".join(filter(None, doubts))
        studies.append((not doubt, overlap, study, file, doubt))
    return [
        Registered(study, load_brain(file), overlap, doubt)
        for _, overlap, study, file, doubt in sorted(studies)[:MOST]
    ]


def sheet_figure(studies: Sequence[Registered], template: np.ndarray, path: Path) -> None:
    """Write three planes of each study, seen from below, from the front and from the left.

    Args:
        studies: in the order they are shown, at most MOST.
        template: the template's brain on the same grid.
        path: the PNG to write.
    """
    from matplotlib.figure import Figure

    outline = _planes(template > 0, edges=True)
    height, width = outline.shape
    rows = -(-len(studies) // COLUMNS)
    down, across = height + _WORDS + _GAP, width + _GAP
    canvas = np.full((rows * down, COLUMNS * across, 3), 255, np.uint8)
    figure = Figure(figsize=(WIDTH, WIDTH * canvas.shape[0] / canvas.shape[1]))
    axes = figure.add_axes((0, 0, 1, 1))
    color = np.array([int(OUTLINE[place : place + 2], 16) for place in (1, 3, 5)], np.uint8)
    for number, study in enumerate(studies):
        top, left = number // COLUMNS * down + _WORDS, number % COLUMNS * across
        picture = np.repeat(_planes(study.brain)[..., None], 3, axis=2)
        picture[outline] = color
        canvas[top : top + height, left : left + width] = picture
        words = f"{study.study}\noverlap {study.overlap:.2f}" + f", {study.doubt}" * bool(study.doubt)
        axes.text(left, top - 2, words, fontsize=4.5, va="bottom", parse_math=False).set_color(
            _DOUBT if study.doubt else QUIET
        )
    axes.imshow(canvas, interpolation="nearest")
    axes.axis("off")
    save_png(figure, path, dpi=DPI)


def _planes(brain: np.ndarray, edges: bool = False) -> np.ndarray:
    """The planes of a brain side by side, (73, 195), of its own type; `edges`: of a mask its border alone."""
    z, y, x = _MIDDLE
    planes = [brain[z, ::-1, ::-1], brain[::-1, y, ::-1], brain[::-1, ::-1, x]]
    if edges:
        planes = [plane & ~binary_erosion(plane) for plane in planes]
    height = max(len(plane) for plane in planes)
    return np.hstack([np.pad(plane, ((0, height - len(plane)), (0, 0))) for plane in planes])
