"""The lesion table: one row a lesion, with a reason wherever one does not enter."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.cohort.cells import odd_cell_problems
from bcbm.cohort.download import LABEL, Download
from bcbm.cohort.duplicates import (
    content_of,
    exact_copies,
    foreign_copies,
    half_shared,
    image_contents,
    one_image_twice,
    same_lesions,
    session_of,
)
from bcbm.cohort.measurements import (
    MISSING,
    MNI_COLUMNS,
    SEVERAL,
    SPLIT,
    SPREAD,
    UNPLACED,
    Survey,
    spread_matrix,
)
from bcbm.cohort.names import NameReading, read_name
from bcbm.cohort.near import joined, near_features
from bcbm.cohort.patient_labels import OWNERS, Owner, patient_labels
from bcbm.cohort.position import disagreement, place_of
from bcbm.cohort.targets import PRIMARY, TARGETS
from bcbm.errors import Problem
from bcbm.pathology.receptors import RECEPTORS

FLOW = ("step", "patients", "studies", "lesions")
UNLABELLED = ("no receptor label", "no target label")  # reasons: the latter where there are other targets
LESIONS = ("lesion", "retreatment", "target")  # categories that any policy takes


def build_table(
    download: Download,
    names: Mapping[str, NameReading] | None = None,
    survey: Survey | None = None,
    owner: Owner = "patient",
    labelled: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame, list[Problem]]:
    """Build the lesion table of a download.

    Args:
        names: readings that replace the program's own (cohort.overrides).
        survey: measurements of the volumes; None where there are none or nothing needs them.
        owner: whose a label is (`cohort.labels`); with `lesion` the download has those of lesions.
        labelled: exclude lesions without a label of any target; without any target, none lacks one.

    Returns:
        The lesion table, not yet settled (`settle`), the radiomics table (indexed by lesion_id, same rows)
        and the problems.
    """
    problems = [*odd_cell_problems(download.odd_cells), *download.problems]
    table = download.segmentations.copy()
    table.insert(0, "lesion_id", table["study_id"] + "/" + table["name"])
    for column, whole in (("mask_value", 0), ("mask_part", 0), ("part_of", "")):
        if column not in table:  # see `parts.divide`
            table[column] = whole
    features = download.features.set_axis(table["lesion_id"], axis=0)
    _locate(table, names or {}, survey)
    volume = "original_shape_VoxelVolume"
    table["volume"] = features[volume].to_numpy() if volume in features else np.nan
    studies = download.studies.copy()
    primary = [PRIMARY + target for target in download.targets if PRIMARY + target in studies]
    own = {name: name.removeprefix(LABEL) for name in map(str, table) if name.startswith(LABEL)}
    if owner == "lesion":
        table = table.rename(columns=own)
        studies = studies.drop(columns=list(own.values()))
    else:
        table = table.drop(columns=list(own))
        problems += download.disagreements
        _agree_on_labels(studies, download.targets, problems, owner)
    _agree_on_labels(studies, primary, problems)  # the primary tumour is always a patient's
    studies = studies.drop_duplicates("study_id")  # one study that stood under two spellings
    texts = studies.select_dtypes(exclude="number").columns
    graded = texts.intersection([f"{receptor}_low" for receptor in RECEPTORS])  # which scores alone give
    for column in [*studies.columns.intersection(table.columns).drop("study_id"), *graded]:
        remedy = "give it another name to keep it"
        text = f"its column '{column}' is left out: the lesion table has one of that name"
        problems.append(Problem(download.clinical, text, remedy, "column by a name of the lesion table"))
        studies = studies.drop(columns=column)
    table = table.merge(studies, on="study_id", how="left")
    table["content"] = content_of(table, features)
    link_near(table, near_features(features))
    table["excluded"], table["reason"] = False, ""
    exclude(table, ~table["category"].isin(LESIONS), "category " + table["category"])
    if survey is not None:
        problems += survey.problems
        measured = survey.masks.reindex(table["lesion_id"])
        for column in ("voxels", "drawn", "outside", "grey_levels", "brain_share"):
            table[column] = measured[column].to_numpy()
        table["volume"] = measured["volume"].fillna(table.set_index("lesion_id")["volume"]).to_numpy()
        table["doubts"] = ["; ".join(survey.doubts.get(path, [])) for path in table["image_path"]]
        reasons = table["lesion_id"].map(survey.unusable)
        exclude(table, reasons.notna(), reasons)
        for reason in (SPLIT, SEVERAL):  # published twice, one may lack its files, but not the other's fault
            same = table["content"].isin(table.loc[table["reason"] == reason, "content"])
            exclude(table, same, reason)
    if download.targets and labelled:
        unlabelled = table[download.targets].isna().all(axis=1)
        exclude(table, unlabelled, UNLABELLED[not set(download.targets) <= set(TARGETS)])
    return table, features, problems


def settle(table: pd.DataFrame, policy: str, survey: Survey | None) -> list[Problem]:
    """Decide, in place, which of the lesions that could enter do: the policy, then one row a lesion.

    Comes last, when every row that lacks a file or a value is excluded: what stands for a lesion must enter.
    Copies and masks over the same lesion are linked by `duplicate_of`; content that two patients share
    excludes the lesions of both, and all that is linked with them. Returned is what a person has to look at.
    """
    problems = _apply_policy(table, policy)
    copies = exact_copies(table)
    better_masks, reasons = same_lesions(table, copies, survey)
    table["duplicate_of"] = copies.where(copies != "", better_masks)
    exclude(table, copies != "", "copy of " + copies)
    exclude(table, better_masks != "", "same lesion as " + better_masks + " (" + reasons + ")")
    representative = table["duplicate_of"].where(table["duplicate_of"] != "", table["lesion_id"])
    # Twice, as a copy may lie over another lesion.
    representative = representative.map(dict(zip(table["lesion_id"], representative, strict=True)))
    drawn = set(table.loc[table["mask_path"] != "", "lesion_id"])
    contents = image_contents(table)
    for lesion, other in foreign_copies(table, contents):
        what, remedy = "radiomics are", "find out whose they are, or empty them where an extraction failed"
        if lesion in drawn:
            what, remedy = "content (but for rounding or mirrored), image or mask is", "find out whose it is"
        text = f"its {what} {other}'s, another patient"
        problems.append(Problem(lesion, text, f"{remedy}; both are excluded", "same content in two patients"))
        shared = representative[table["lesion_id"].isin([lesion, other])]
        exclude(table, representative.isin(shared), "identical in two patients")
    problems += half_shared(table, survey) if survey is not None else []
    problems += one_image_twice(table, contents)
    return problems


def link_near(table: pd.DataFrame, pairs: Iterable[tuple[int, int]]) -> None:
    """Give, in place, lesions of two studies that agree within rounding the same content.

    Comes before `settle`, which then treats them as the copies that they are.

    Args:
        pairs: row numbers, of `near_features` or `near_fingerprints`.
    """
    table["content"] = joined(table["content"], table["study_id"], pairs)


def _apply_policy(table: pd.DataFrame, policy: str) -> list[Problem]:
    """Exclude, in place, what `cohort.policy` leaves out of the lesions that could enter.

    `lesions+targets` takes all; `lesions` no radiosurgery target; `largest` the largest one of a
    patient; `one_session` the first session of a patient that has any, by the number that its studies end
    in: patients of whom that does not tell one are excluded, and returned as problems.
    """
    if policy == "lesions":
        exclude(table, table["category"] == "target", "policy: a target")
    entering = table[~table["excluded"]]
    if policy == "largest":
        order = entering.sort_values(["volume", "lesion_id"], ascending=[False, True])
        chosen = order.drop_duplicates("patient_id")["lesion_id"]
        exclude(table, ~table["lesion_id"].isin(chosen), "policy: not its patient's largest")
    elif policy == "one_session":
        session = session_of(table["study_id"])
        first = session[entering.index].groupby(entering["patient_id"]).min()
        later = session > table["patient_id"].map(first)
        exclude(table, later, "policy: a later session")
        studies = table.loc[~table["excluded"]].groupby("patient_id")["study_id"].unique()
        untold = {str(patient): names for patient, names in studies.items() if len(names) > 1}
        exclude(table, table["patient_id"].isin(list(untold)), "policy: nobody can tell the first session")
        remedy = "end the studies' ids in a number (-1, -2), or choose another cohort.policy; it is excluded"
        return [
            Problem(patient, f"nobody can tell the first of {', '.join(names)}", remedy, "order of sessions")
            for patient, names in untold.items()
        ]
    return []


def exclude(table: pd.DataFrame, rows: pd.Series, reason: str | pd.Series) -> None:
    """Mark rows as excluded with a reason, in place; a first reason stays."""
    new = rows & ~table["excluded"]
    table.loc[new, "reason"] = reason[new] if isinstance(reason, pd.Series) else reason
    table.loc[new, "excluded"] = True


def require_modalities(table: pd.DataFrame, absent: Iterable[pd.Series], keep: bool = False) -> list[Problem]:
    """Exclude, in place, the lesions that lack a switched-on modality; with `keep` only say which.

    Args:
        absent: of each modality why a lesion lacks it, "" where it has it, on the table's index.
    """
    marked, before = (table.copy() if keep else table), table["excluded"].copy()
    for reasons in absent:
        exclude(marked, reasons != "", reasons)
    new = marked[marked["excluded"] & ~before]
    fate = "the modality counts as missing" if keep else "the lesion is excluded"
    return [
        Problem(lesion, reason, f"supply it or switch the modality off; {fate}", reason)
        for lesion, reason in zip(new["lesion_id"], new["reason"], strict=True)
    ]


def portable(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """The table as it is kept: its files, also those in reasons, from the cohort's root on."""
    kept = table.copy()
    for column in kept.columns[kept.columns.str.startswith(("image_", "mask_path"))]:
        kept[column] = [Path(os.path.relpath(path, root)).as_posix() if path else "" for path in kept[column]]
    kept["reason"] = kept["reason"].str.replace(f"{root}{os.sep}", "", regex=False)
    return kept


def flow(table: pd.DataFrame) -> list[tuple[str, int, int, int]]:
    """The way from the download to the analysis: the entries of FLOW a step."""
    single = r"^(copy of|same lesion as|radiomics failed|unusable image).*"
    kind = table["reason"].str.replace(single, r"\1 ...", regex=True)
    steps = [("found", table)]
    steps += [
        (f"excluded: {reason}", table[kind == reason])
        for reason in kind[table["excluded"]].value_counts().index
    ]
    steps.append(("analysed", table[~table["excluded"]]))
    return [
        (name, part["patient_id"].nunique(), part["study_id"].nunique(), len(part)) for name, part in steps
    ]


def statuses_in_words(entering: pd.DataFrame, targets: Iterable[str]) -> list[list[str]]:
    """Of each target how many patients are what, as in `[ER, 61 positive, 48 negative, 10 unknown]`."""
    names = list(targets)
    labels = patient_labels(entering[names], entering["patient_id"])
    counts = {"positive": labels == 1, "negative": labels == 0, "unknown": labels.isna()}
    return [
        [name, *(f"{int(members[name].sum()):,} {status}" for status, members in counts.items())]
        for name in names
    ]


def _agree_on_labels(
    studies: pd.DataFrame, targets: list[str], problems: list[Problem], owner: Owner = "patient"
) -> None:
    """Give every study its owner's label, in place; where sessions, or rows, disagree it is missing."""
    rows = "sessions" if owner == "patient" else "rows"
    for target in targets:
        labels = studies.groupby(OWNERS[owner])[target]
        remedy = "correct one; it counts as missing"
        if owner == "patient" and not target.startswith(PRIMARY):
            remedy += ". With cohort.labels=study each session keeps its own"
        for name in labels.nunique().loc[lambda count: count > 1].index:
            found = f"its {rows} disagree on {target}"
            problems.append(Problem(str(name), found, remedy, "conflicting labels"))
        studies[target] = labels.transform(lambda values: values.mean() if values.nunique() == 1 else np.nan)


def _locate(table: pd.DataFrame, names: Mapping[str, NameReading], survey: Survey | None) -> None:
    """Read every name, take the coordinates where there are any, and say where the two disagree, in place.

    A lesion whose study should have been placed and could not be lies nowhere, whatever its name says.
    """
    wholes = table["part_of"].where(table["part_of"] != "", table["lesion_id"]).str.partition("/")[2]
    readings = [
        names.get(name) or names.get(whole) or read_name(name)
        for name, whole in zip(table["name"], wholes, strict=True)
    ]
    table["category"] = [reading.category for reading in readings]
    for column in ("hemisphere", "region", "confidence"):
        table[f"name_{column}"] = [getattr(reading, column) for reading in readings]
    lesions = (survey.points if survey else pd.DataFrame()).reindex(
        index=table["lesion_id"], columns=[*MNI_COLUMNS, *SPREAD]
    )
    points = lesions[list(MNI_COLUMNS)].to_numpy(dtype=float)
    spreads = spread_matrix(lesions[list(SPREAD)].to_numpy(dtype=float))
    table[list(MNI_COLUMNS)] = points
    rows = []
    doubts = survey.doubts if survey else {}
    unplaced = [UNPLACED in doubts.get(path, []) for path in table["image_path"]]
    for reading, point, spread, nowhere in zip(readings, points, spreads, unplaced, strict=True):
        if nowhere and not reading.corrected:
            rows.append(("unknown", "unknown", MISSING, 0.0, ""))
        elif np.isnan(point).any() or reading.corrected:
            source = "person" if reading.corrected else "name"
            rows.append((reading.hemisphere, reading.region, source, reading.confidence, ""))
        else:
            place = place_of(point[:3], spread if np.isfinite(spread).all() else None)
            conflict = disagreement(reading, place, point[:3])
            rows.append((place.hemisphere, place.region, "image", place.confidence, conflict))
    columns = ["hemisphere", "region", "position_source", "position_confidence", "position_conflict"]
    table[columns] = pd.DataFrame(rows, columns=columns, index=table.index)
