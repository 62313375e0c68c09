"""The figures of an audit."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.cohort.measurements import Brain
from bcbm.features.brains import template_brain
from bcbm.features.crops import CropSettings, crop, normalised
from bcbm.features.geometry import Form
from bcbm.features.masks import MaskPart, read_mask
from bcbm.features.volumes import read_volume
from bcbm.report.figures import cohort as draw
from bcbm.report.figures.registered import sheet_figure, sheet_studies

EXAMPLES = 4  # pictures of each category
EXAMPLE_CROP = CropSettings(size=48, spacing=1.0)


def audit_figures(
    table: pd.DataFrame,
    steps: list[dict],
    folder: Path,
    statuses: list[list[str]],
    examples: bool,
    form: Form = "agree",
    brains: Mapping[str, Brain] | None = None,
) -> dict[str, Path]:
    """Draw an audit's figures into a folder; their files by name.

    Args:
        table: the lesion table, settled.
        steps: how many lesions are left after each step, as `audit.json` has them under `flow`.
        folder: an empty one.
        statuses: its patients by target, see `statuses_in_words`.
        examples: whether to draw slices of lesions too, read from their images.
        form: which form of a header to believe where the two disagree.
        brains: the registered ones, by image.
    """
    figures = {name: folder / f"{name}.png" for name in ("flow", "burden", "volumes", "places")}
    draw.flow_figure(steps, figures["flow"], statuses)
    draw.burden_figure(table, figures["burden"])
    draw.volumes_figure(table, figures["volumes"])
    draw.places_figure(table, figures["places"])
    if examples and (slices := _examples(table, form)):
        figures["examples"] = folder / "examples.png"
        draw.examples_figure(slices, figures["examples"])
    if brains:
        figures["registered"] = folder / "registered.png"
        sheet_figure(sheet_studies(table, brains), template_brain(), figures["registered"])
    return figures


def _examples(table: pd.DataFrame, form: Form) -> dict[str, list[tuple[str, np.ndarray, np.ndarray]]]:
    """The middle slice of some crops of each category: title, image and mask (S, S); a study is read once."""
    drawn = table[(table["voxels"] > 0) & (table["image_path"] != "")]
    chosen = drawn.groupby("category").sample(n=EXAMPLES, random_state=0, replace=True).drop_duplicates()
    result: dict[str, list[tuple[str, np.ndarray, np.ndarray]]] = {}
    for path, lesions in chosen.groupby("image_path"):
        image = read_volume(Path(str(path)), form)
        scaled = normalised(image, "zscore")
        for row in lesions.itertuples():
            part = MaskPart(int(str(row.mask_value)), int(str(row.mask_part)))
            mask = read_mask(Path(str(row.mask_path)), image, part, form)
            channels = crop(scaled, mask, EXAMPLE_CROP)[:, EXAMPLE_CROP.size // 2]
            result.setdefault(str(row.category), []).append((str(row.lesion_id), channels[0], channels[1]))
    return {category: result[category] for category in sorted(result)}
