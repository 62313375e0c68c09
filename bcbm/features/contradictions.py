"""What a table of radiomics says of a lesion's size and brightness, held against its mask and its image."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from bcbm.errors import Problem
from bcbm.system.words import counted

KIND = "radiomics of other files"
LEAST, MOST = np.log([1.05, 2.0])  # tolerance: values are rounded; beyond twice the size no program differs
WIDE = 20.0  # times the cohort's own median difference that a lesion may differ by
SHOWN = 3  # lesions of a study that a message names


class Measure(NamedTuple):
    """What both know: a column of the survey, columns of radiomics of which the first counts, and words."""

    column: str
    features: tuple[str, ...]
    words: str
    unit: str


MEASURES = (
    Measure("volume", ("original_shape_VoxelVolume", "original_shape_MeshVolume"), "volume", " mm3"),
    Measure("mean", ("original_firstorder_Mean",), "mean intensity", ""),
)


def contradictions(table: pd.DataFrame, features: pd.DataFrame, masks: pd.DataFrame) -> list[Problem]:
    """Studies of which lesions have another size or brightness in their files than in their row of radiomics.

    Files of two patients that were exchanged look so. How far both may differ is learned from the cohort:
    twenty times the median difference, at least 5 % and at most twice.

    Args:
        table: the lesion table.
        features: published radiomics, the same rows.
        masks: of the survey; a lesion that is a part of its file is left out, its row is that of the whole.
    """
    measured = masks.reindex(table["lesion_id"])
    whole = (measured["voxels"] >= measured["drawn"]).to_numpy()
    problems: list[Problem] = []
    for measure in MEASURES:
        if name := next((name for name in measure.features if name in features), None):
            columns = {"file": measured[measure.column].to_numpy(), "row": features[name].to_numpy()}
            pairs = pd.DataFrame(columns, index=table["lesion_id"])[whole].dropna()
            problems += _of_measure(measure, pairs[(pairs > 0).all(axis=1)])
    return problems


def _of_measure(measure: Measure, pairs: pd.DataFrame) -> Iterator[Problem]:
    """The problems of one measure; of pairs of values by lesion, columns file and row, all positive."""
    if len(pairs) < 2:
        return
    ratio = pd.Series(np.log(pairs["file"] / pairs["row"]), pairs.index)
    centre = ratio.median()
    apart = ratio - centre
    tolerance = float(np.clip(WIDE * apart.abs().median(), LEAST, MOST))
    odd = pairs[apart.abs() > tolerance]
    alike = odd.index[ratio[odd.index].abs() <= LEAST]  # it is the others whose files are of another day
    if abs(centre) > MOST or 2 * len(odd) > len(pairs) or len(alike):
        text = f"{measure.words} of {counted(len(pairs), 'lesion')}: their files have {np.exp(centre):.3g} "
        text += f"times what their rows have (median), and {len(odd)} are far from that"
        text += f", of which {len(alike)} have the same in both" if len(alike) else ""
        remedy = "check that the table is of these masks and images, and its unit"
        yield Problem("table of radiomics", text, remedy, KIND)
    if 2 * len(odd) > len(pairs):
        return
    odd = odd.drop(alike)
    owners = _owners(odd, centre, tolerance) if measure.column == "volume" else {}
    for study, rows in odd.groupby(lambda lesion: str(lesion).partition("/")[0]):
        lesions = []
        for lesion, file, row in rows.itertuples():
            name, unit = str(lesion).partition("/")[2], measure.unit
            text = f"{name} has {file:.4g}{unit} in its files and {row:.4g}{unit} in its row"
            lesions.append(f"{text}, as the mask of {owners[lesion]} has" if lesion in owners else text)
        more = [f"{len(lesions) - SHOWN} more"] * (len(lesions) > SHOWN)
        text = f"{measure.words}: {'; '.join([*lesions[:SHOWN], *more])}"
        yield Problem(str(study), text, "check that its masks and its image are its own", KIND)


def _owners(odd: pd.DataFrame, centre: float, tolerance: float) -> dict[str, str]:
    """The lesion whose file fits the row of another best, by that; those that no file fits are left out."""
    owners = {}
    for lesion, row in odd["row"].items():
        apart = pd.Series(np.log(odd["file"] / row) - centre, odd.index).abs()
        if apart.min() <= tolerance:
            owners[str(lesion)] = str(apart.idxmin())
    return owners
