"""The lesion table: one row a lesion, with a reason wherever one does not enter."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.cohort.names import read_name
from bcbm.cohort.problems import Problem
from bcbm.cohort.tcia import Download, gzip_trailer

RECEPTORS = ["ER", "PR", "HER2"]


def build_table(
    download: Download, categories: Iterable[str]
) -> tuple[pd.DataFrame, pd.DataFrame, list[Problem]]:
    """Build the lesion table of a download.

    Returns:
        The lesion table, the radiomics table (indexed by lesion_id, same rows) and the problems.
    """
    problems = list(download.problems)
    table = download.segmentations.copy()
    table.insert(0, "lesion_id", table["study_id"] + "/" + table["name"])
    features = download.features.set_axis(table["lesion_id"], axis=0)
    readings = [read_name(name) for name in table["name"]]
    for column in ("category", "hemisphere", "region"):
        table[column] = [getattr(reading, column) for reading in readings]
    table["position_source"] = "name"
    table["position_confidence"] = [reading.confidence for reading in readings]
    volume = "original_shape_VoxelVolume"
    table["volume"] = features[volume].to_numpy() if volume in features else np.nan
    studies = download.studies.copy()
    _agree_on_labels(studies, problems)
    table = table.merge(studies, on="study_id", how="left")
    table["content"] = _content(table, features)
    wanted = table["category"].isin(set(categories))
    complete = ((table["mask_path"] != "") & (table["image_path"] != "")) | (not download.has_images)
    table["duplicate_of"] = _duplicates(table, wanted & complete)
    table["excluded"], table["reason"] = False, ""
    exclude(table, ~wanted, "category " + table["category"])
    copied = table["duplicate_of"] != ""
    exclude(table, copied, "copy of " + table["duplicate_of"])
    for lesion, other in _foreign_copies(table):
        problems.append(
            Problem(
                lesion, f"identical to {other} of another patient", "find out whose it is; both are excluded"
            )
        )
        exclude(table, table["lesion_id"].isin([lesion, other]), "identical in two patients")
    exclude(table, table[RECEPTORS].isna().all(axis=1), "no receptor label")
    return table, features, problems


def exclude(table: pd.DataFrame, rows: pd.Series, reason: str | pd.Series) -> None:
    """Mark rows as excluded with a reason, in place; a first reason stays."""
    new = rows & ~table["excluded"]
    table.loc[new, "reason"] = reason[new] if isinstance(reason, pd.Series) else reason
    table.loc[new, "excluded"] = True


def require_modalities(
    table: pd.DataFrame, radiomics: pd.DataFrame, modalities: Iterable[str]
) -> list[Problem]:
    """Exclude, in place, the lesions that lack a switched-on modality."""
    before = table["excluded"].copy()
    if "image" in modalities:
        exclude(table, table["mask_path"] == "", "no mask file")
        exclude(table, table["image_path"] == "", "no image file")
    if "radiomics" in modalities:
        exclude(table, pd.Series(radiomics.isna().all(axis=1).to_numpy()), "no radiomics")
    new = table[table["excluded"] & ~before]
    return [
        Problem(lesion, reason, "supply it or switch the modality off; the lesion is excluded")
        for lesion, reason in zip(new["lesion_id"], new["reason"], strict=True)
    ]


def flow(table: pd.DataFrame) -> list[tuple[str, int, int, int]]:
    """The way from the download to the analysis: (step, patients, studies, lesions) a step."""
    kind = table["reason"].str.replace(r"^copy of .*", "copy of another segmentation", regex=True)
    steps = [("found", table)]
    steps += [
        (f"excluded: {reason}", table[kind == reason])
        for reason in kind[table["excluded"]].value_counts().index
    ]
    steps.append(("analysed", table[~table["excluded"]]))
    return [
        (name, part["patient_id"].nunique(), part["study_id"].nunique(), len(part)) for name, part in steps
    ]


def _agree_on_labels(studies: pd.DataFrame, problems: list[Problem]) -> None:
    """Give every study its patient's label, in place; where two sessions disagree it is missing."""
    for receptor in RECEPTORS:
        labels = studies.groupby("patient_id")[receptor]
        for patient in labels.nunique().loc[lambda count: count > 1].index:
            problems.append(
                Problem(
                    str(patient), f"its sessions disagree on {receptor}", "correct one; it counts as missing"
                )
            )
        studies[receptor] = labels.transform(
            lambda values: values.mean() if values.nunique() == 1 else np.nan
        )


def _content(table: pd.DataFrame, features: pd.DataFrame) -> list[str]:
    """A hash of what a lesion holds: its features, or, without them, the checksums of its two files."""
    known = features.notna().all(axis=1).to_numpy() & (features.shape[1] > 0)
    values = np.ascontiguousarray(features.to_numpy(dtype="float64"))
    result = []
    for row, lesion in enumerate(table.itertuples()):
        if known[row]:
            content = values[row].tobytes()
        elif lesion.mask_path and lesion.image_path:
            content = gzip_trailer(_path(lesion.mask_path)) + gzip_trailer(_path(lesion.image_path))
        else:
            content = str(lesion.lesion_id).encode()
        result.append(hashlib.sha256(content).hexdigest()[:16])
    return result


def _path(text: object) -> Path:
    return Path(str(text))


def _duplicates(table: pd.DataFrame, preferred: pd.Series) -> pd.Series:
    """The segmentation that a row repeats: the same content, or a name that only adds zeros.

    Of equal content the first `preferred` row is the original, else the first: a copy must not drop out
    for an original that does not enter itself.
    """
    first: dict[tuple[str, str], str] = {}
    names = set(zip(table["study_id"], table["name"], strict=True))
    result = []
    ordered = table.loc[(~preferred).sort_values(kind="stable").index]
    for lesion in ordered.itertuples():
        original = first.setdefault((str(lesion.patient_id), str(lesion.content)), str(lesion.lesion_id))
        name = str(lesion.name)
        shorter = name.rstrip("0").rstrip("-_ ")
        if original != lesion.lesion_id:
            result.append(original)
        elif (
            shorter != name
            and (lesion.study_id, shorter) in names
            and (lesion.study_id, f"{name[:-2]}9") not in names  # tumor9, tumor10 count on
        ):
            result.append(f"{lesion.study_id}/{shorter}")
        else:
            result.append("")
    return pd.Series(result, index=ordered.index, dtype=str)


def _foreign_copies(table: pd.DataFrame) -> list[tuple[str, str]]:
    entering = table[~table["excluded"]]
    pairs = []
    for _, group in entering[entering.duplicated("content", keep=False)].groupby("content"):
        rows = group.drop_duplicates("patient_id")
        pairs += [(lesion, rows["lesion_id"].iloc[0]) for lesion in rows["lesion_id"].iloc[1:]]
    return pairs
