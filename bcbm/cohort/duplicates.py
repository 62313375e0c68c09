"""One lesion, one row: exact copies, several masks over one lesion, and copies across patients."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.cohort.survey import Survey
from bcbm.cohort.tcia import gzip_trailer

SAME_LESION = 0.5  # two masks that share this part of the smaller one were drawn over one lesion
_DRAWN_OVER = ("lesion", "retreatment", "target", "margin")  # whose mask stands for a lesion, best first


def content_of(table: pd.DataFrame, features: pd.DataFrame) -> list[str]:
    """A hash of what a lesion holds: its features, or, without them, the checksums of its two files."""
    known = features.notna().all(axis=1).to_numpy() & (features.shape[1] > 0)
    values = np.ascontiguousarray(features.to_numpy(dtype="float64"))
    result = []
    for row, lesion in enumerate(table.itertuples()):
        if known[row]:
            content = values[row].tobytes()
        elif lesion.mask_path and lesion.image_path:
            content = b"".join(gzip_trailer(Path(str(p))) for p in (lesion.mask_path, lesion.image_path))
        else:
            content = str(lesion.lesion_id).encode()
        result.append(hashlib.sha256(content).hexdigest()[:16])
    return result


def exact_copies(table: pd.DataFrame) -> pd.Series:
    """The lesion of the same patient that holds the same content; "" for an original.

    Of equal content the original is the one that enters most easily (`_standing`), then the first: a copy
    must not drop out for an original that does not enter itself.
    """
    first: dict[tuple[str, str], str] = {}
    ordered = table.loc[_standing(table).sort_values(kind="stable").index]
    originals = [
        first.setdefault((str(lesion.patient_id), str(lesion.content)), str(lesion.lesion_id))
        for lesion in ordered.itertuples()
    ]
    links = pd.Series(originals, index=ordered.index, dtype=str)
    return links.where(links != ordered["lesion_id"], "").reindex(table.index)


def same_lesions(table: pd.DataFrame, survey: Survey | None) -> tuple[pd.Series, pd.Series]:
    """The better mask of the same study over the same lesion ("" where there is none), and why.

    With volumes the overlap of the masks decides: half of the smaller one. The one that stays is the one that
    enters most easily (`_standing`), then the one whose name says most, then the shorter name. Without
    volumes a name that only adds zeros to another ("tumor0") is taken for it.
    """
    links = pd.Series("", index=table.index, dtype=str)
    reasons = pd.Series("", index=table.index, dtype=str)
    rows = {str(lesion): row for row, lesion in zip(table.index, table["lesion_id"], strict=True)}
    if survey is None:
        names = set(zip(table["study_id"], table["name"], strict=True))
        for row, study, name in table[["study_id", "name"]].itertuples():
            shorter = name.rstrip("0").rstrip("-_ ")
            counted_on = (study, f"{name[:-2]}9") in names  # tumor9, tumor10
            if shorter != name and (study, shorter) in names and not counted_on:
                links[row], reasons[row] = f"{study}/{shorter}", "the name only adds zeros"
        return links, reasons
    close = survey.overlaps[survey.overlaps["shared"] >= SAME_LESION]
    partners: dict[str, dict[str, float]] = {}
    for pair in close.itertuples():
        partners.setdefault(str(pair.one), {})[str(pair.other)] = float(str(pair.shared))
        partners.setdefault(str(pair.other), {})[str(pair.one)] = float(str(pair.shared))

    standing, telling = _standing(table), table["name_confidence"]

    def worth(lesion: str) -> tuple[int, float, int, str]:
        row = rows[lesion]
        return int(standing[row]), -float(telling[row]), len(lesion), lesion

    drawn = [name for name in partners if table.at[rows[name], "category"] in _DRAWN_OVER]
    kept: set[str] = set()
    for lesion in sorted(drawn, key=worth):
        better = [other for other in partners[lesion] if other in kept]
        if better:
            original = min(better, key=worth)
            links[rows[lesion]] = original
            reasons[rows[lesion]] = f"{partners[lesion][original]:.0%} of the smaller mask overlap"
        else:
            kept.add(lesion)
    return links, reasons


def _standing(table: pd.DataFrame) -> pd.Series:
    """How far each row is from entering, 0 is nearest: not excluded, then with all its files and its workbook
    row, then a lesion before a retreatment, a target, a margin and what is none."""
    category = table["category"].map({name: place for place, name in enumerate(_DRAWN_OVER)})
    files = (table["mask_path"] != "") & (table["image_path"] != "")
    complete = table["in_workbook"] & files if files.any() else table["in_workbook"]
    return 100 * table["excluded"] + 10 * ~complete + category.fillna(len(_DRAWN_OVER)).astype(int)


def foreign_copies(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of entering lesions of two patients with the same content."""
    entering = table[~table["excluded"]]
    pairs = []
    for _, group in entering[entering.duplicated("content", keep=False)].groupby("content"):
        rows = group.drop_duplicates("patient_id")
        pairs += [(lesion, rows["lesion_id"].iloc[0]) for lesion in rows["lesion_id"].iloc[1:]]
    return pairs
