"""What a careful reader would note about a lesion table, beyond the files that cannot be used."""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from bcbm.cohort.download import Download
from bcbm.cohort.names import plain_name, read_name
from bcbm.cohort.overrides import SURE, unsure_names
from bcbm.cohort.position import NEAR_MIDLINE
from bcbm.cohort.table import LESIONS, UNLABELLED
from bcbm.errors import Problem
from bcbm.system.words import counted, listed

BURDEN = 0.1  # a patient with more than this part of the lesions rules a pooled figure,
UNEVEN = 3  # if these are more than so many times as many as the others have on average
EXAMINATION = 0.5  # a study of which more than this part stands in another is the same examination
OUTSIDE = 0.1  # part of a mask beyond the brain that is more than an edge drawn generously
MOST = 0.5  # part of the brain that no lesion takes
FEW = 0.25  # part of the lesions that no crop need show well
SMALLEST = 1.0  # mm3; of real masks half have at most 71
LARGE = 100_000  # mm3; the largest of 2,821 real masks has 39,900, a cerebellum 130,000
BRAINS, APART = 5, 2.0  # studies from which on a brain is compared; times their median, real ones reach 1.6
TINY = 27  # voxels: three a side
DOUBTFUL = 0.87  # overlap; a place found 10 mm off has had 0.85, ellipsoids have 0.88, brains 0.95
MIRRORED = 3  # sure sides, all of them on the other side of the brain, that make a mirrored scan likely
NAMED = 5  # studies that a note names
_NOTHING_DRAWN = "nothing to do if none was drawn", "study without segmentation"
_NOT_LESIONS = {
    "structure": "an organ at risk",
    "cavity": "a resection cavity",
    "margin": "a lesion drawn with a margin",
    "other": "no metastasis, such as an edema",
}


def findings(download: Download, table: pd.DataFrame) -> list[Problem]:
    """Everything worth a look in a table, in a fixed order; the table's own problems are not repeated."""
    problems = [
        *_files(download, table),
        *_categories(table),
        *surroundings(table),
        *with_margins(table),
        *_masks(table),
        *doubtful_volumes(table),
        *_copies(table),
        *_positions(table),
        *_patients(table),
    ]
    for row in unsure_names(table).itertuples():
        text = f"read as {row.category}, {row.hemisphere} {row.region} (confidence {row.confidence:g})"
        remedy = "write how to read it into a file for cohort.names"
        problems.append(Problem(str(row.name), text, remedy, "name read with doubt"))
    return problems


def agreement(table: pd.DataFrame) -> dict[str, dict[str, int]] | None:
    """How often coordinates agree with the names that are sure: counts a part, None without coordinates.

    Side: lesions named left or right lie there by the sign of x. Region: the same of the seven.
    """
    sure = table[
        (table["position_source"] == "image") & (table["name_confidence"] >= 0.9) & _is_lesion(table)
    ]
    if sure.empty:
        return None
    sided = sure[sure["name_hemisphere"].isin(["left", "right"])]
    right = (sided["mni_x"] > 0) == (sided["name_hemisphere"] == "right")
    placed = sure[sure["name_region"] != "unknown"]
    same = placed["region"] == placed["name_region"]
    return {
        "hemisphere": {"agree": int(right.sum()), "of": len(right)},
        "region": {"agree": int(same.sum()), "of": len(same)},
    }


def burden(table: pd.DataFrame) -> list[dict[str, object]]:
    """Patients that own more than a tenth of the lesions that enter, and far more than others; largest first.

    In a cohort of a dozen patients everyone has about a tenth.
    """
    counts = table.loc[~table["excluded"], "patient_id"].value_counts()
    total, others = int(counts.sum()), max(1, len(counts) - 1)
    return [
        {"patient": str(patient), "lesions": int(count), "share": count / total}
        for patient, count in counts.items()
        if count > BURDEN * total and count > UNEVEN * (total - count) / others
    ]


def lone_studies(download: Download, table: pd.DataFrame) -> Iterator[Problem]:
    """One of all studies that have no segmentation, so that nothing of them enters."""
    if alone := _without_segmentation(download, table):
        found = f"{counted(len(alone), 'study', 'studies')} without a segmentation: {listed(alone, NAMED)}"
        yield Problem(download.clinical, found, *_NOTHING_DRAWN)


def _without_segmentation(download: Download, table: pd.DataFrame) -> list[str]:
    return sorted(set(download.studies["study_id"]) - set(table["study_id"]))


def _is_lesion(table: pd.DataFrame) -> pd.Series:
    return table["category"].isin(LESIONS)


def _files(download: Download, table: pd.DataFrame) -> Iterator[Problem]:
    for study in _without_segmentation(download, table):
        yield Problem(study, "has no segmentation", *_NOTHING_DRAWN)
    values = "original_shape_VoxelVolume" in download.features
    blank = pd.Series(download.features.isna().all(axis=1).to_numpy(), table.index) & table["in_workbook"]
    for lesion in table.loc[blank & values, "lesion_id"]:
        yield Problem(
            lesion, "has no value in its workbook row", "extract its radiomics", "row without values"
        )
    if not download.has_images:
        return
    for lesion in table.loc[table["mask_path"] == "", "lesion_id"]:
        yield Problem(
            lesion, "has no mask file of this name", "restore the file, or remove the row", "row without file"
        )
    lacking = ~table["in_workbook"] & (table["part_of"] == "") & (download.features.shape[1] > 0)
    for lesion in table.loc[lacking, "lesion_id"]:
        yield Problem(
            lesion, "has no workbook row", "nothing to do with features.radiomics=extract", "file without row"
        )


def _categories(table: pd.DataFrame) -> Iterator[Problem]:
    for category, meaning in _NOT_LESIONS.items():
        for lesion in table.loc[table["category"] == category, "lesion_id"]:
            yield Problem(lesion, f"{meaning}, by its name", "excluded; correct it in cohort.names", category)


def surroundings(table: pd.DataFrame) -> Iterator[Problem]:
    """Masks that enter and are named as another one of their study, with a word such as edema beside it."""
    for _, rows in table[~table["excluded"]].groupby("study_id"):
        names = zip(rows["name"], rows["lesion_id"], strict=True)
        lesions = {plain_name(name): (name, lesion) for name, lesion in names}
        for plain, (_, lesion) in lesions.items():
            words = plain.split("-")
            rest = "-".join(word for word in words if read_name(word).category != "other")
            if rest != plain and rest in lesions:
                text = f"it is named as {lesions[rest][0]} of its study, with a word more,"
                text += " and counts as a lesion"
                remedy = "if it is an edema or a necrosis, write so (category other) in cohort.names"
                yield Problem(str(lesion), text, remedy, "edema of a lesion")


def with_margins(table: pd.DataFrame) -> Iterator[Problem]:
    """That some lesions enter as they were planned, by their names, and others as they are seen."""
    entering = table[~table["excluded"]]
    planned = entering["name"].str.contains(r"(?<![a-z])[pc]tv", case=False, regex=True)
    planned &= ~entering["name"].str.contains("gtv", case=False, regex=False)
    some = entering[planned]
    if len(some) and not planned.all():
        patients = counted(some["patient_id"].nunique(), "patient")
        text = f"{counted(len(some), 'lesion')} of {patients} have a margin (PTV, CTV) by name, such as "
        text += f"{some['lesion_id'].iloc[0]}, and others have none"
        remedy = "give what is seen (GTV), or choose cohort.policy=lesions: volumes and shapes are not alike"
        yield Problem("targets", text, remedy, "lesions drawn with a margin")


def _masks(table: pd.DataFrame) -> Iterator[Problem]:
    if "voxels" not in table:
        return
    lesions = table[_is_lesion(table)]
    yield from _implausible(lesions, 0)
    for row in lesions[lesions["grey_levels"] == 1].itertuples():
        text = f"its {row.voxels:.0f} voxels fall into one grey level"
        yield Problem(str(row.lesion_id), text, "its texture features mean nothing", "single grey level")
    for row in lesions[lesions["voxels"] < TINY].itertuples():
        text = f"{row.voxels:.0f} voxels, {row.volume:.1f} mm3"
        yield Problem(str(row.lesion_id), text, "its shape and texture are coarse", "fewer than 27 voxels")


def doubtful_masks(table: pd.DataFrame) -> list[Problem]:
    """Masks among those that enter that are no lesion's by where they lie or how large they are."""
    if "voxels" not in table:
        return []
    return list(_implausible(table[~table["excluded"]], OUTSIDE))


def doubtful_volumes(table: pd.DataFrame, read: bool = False) -> Iterator[Problem]:
    """One of lesions that are smaller than any voxel, as those are that are not in mm3, and one of those
    without a volume, where volumes are `read` for what they are."""
    volumes = table.loc[~table["excluded"]].set_index("lesion_id")["volume"]
    if read and (missing := volumes.index[volumes.isna()].tolist()):
        text = f"{len(missing)} of {counted(len(volumes), 'lesion')} have none, such as {missing[0]}"
        remedy = "fill original_shape_VoxelVolume, or give their masks"
        yield Problem("volumes", text, remedy, "lesions without a volume")
    tiny = volumes[volumes < SMALLEST]
    if 0 < len(tiny) < len(volumes) / 2:
        text = f"{counted(len(tiny), 'lesion')} of less than a voxel, such as {tiny.index[0]}: "
        remedy = "write original_shape_VoxelVolume in mm3 everywhere, if these are in ml"
        yield Problem("volumes", f"{text}{tiny.iloc[0]:.2g} mm3", remedy, "volumes in another unit")
    elif (usual := volumes.median()) < SMALLEST:
        text = f"half of the lesions have at most {usual:.2g} mm3, less than a voxel; the largest has"
        remedy = "write original_shape_VoxelVolume in mm3, if it is in ml: 1 ml is 1000 mm3"
        yield Problem("volumes", f"{text} {volumes.max():.3g} mm3", remedy, "volumes in another unit")


def doubtful_crops(table: pd.DataFrame, voxels: int, spacing: float) -> Iterator[Problem]:
    """One of crops that more than FEW of the lesions do not fit in, or are less than a voxel of.

    Args:
        table: the lesion table.
        voxels: along an edge of the crop, of `spacing` mm each.
    """
    volumes = table.loc[~table["excluded"], "volume"].dropna()
    edge = voxels * spacing
    for odd, text in (
        (volumes > np.pi / 6 * edge**3, f"are wider than the crop of {edge:g} mm"),
        (volumes < spacing**3, f"are smaller than a voxel of the crop, which has {spacing:g} mm"),
    ):
        if odd.mean() > FEW:
            found = f"{int(odd.sum())} of {counted(len(volumes), 'lesion')} {text}"
            remedy = "change features.crop_spacing, which is in mm, or features.crop_size"
            yield Problem("crops", found, remedy, "crops that do not show lesions")


def borrowed_masks(table: pd.DataFrame, keys: Mapping[str, bytes]) -> Iterator[Problem]:
    """Masks that lie over the images of two studies, byte for byte: on one of the two nobody has drawn them.

    Of fewer than TINY voxels two may be alike: of 820 real ones, at half their resolution, two pairs are.

    Args:
        table: the lesion table.
        keys: of the content of images and masks, by path.
    """
    if "voxels" not in table:
        return
    drawn = table[~table["excluded"] & (table["voxels"] >= TINY)].drop_duplicates("mask_path")
    content = drawn["mask_path"].map(keys.get)
    again = content.duplicated(keep=False)
    for _, same in drawn[again].groupby(content[again]):
        first, *others = same.itertuples()
        for row in others:
            if keys.get(str(row.image_path)) != keys.get(str(first.image_path)):
                text = f"its mask is that of {first.lesion_id}, and their images are not one"
                remedy = "find out on which image it was drawn, and exclude the other"
                yield Problem(str(row.lesion_id), text, remedy, "mask of another study")


def borrowed_images(table: pd.DataFrame, keys: Mapping[str, bytes]) -> Iterator[Problem]:
    """Studies of a patient whose image is that of another of its studies, byte for byte, and whose lesions
    are not: one of the two examinations is not there.

    Args:
        table: the lesion table, settled.
        keys: of the content of images and masks, by path.
    """
    drawn = table[~table["excluded"]].drop_duplicates(["image_path", "study_id"])
    drawn = drawn[drawn["image_path"].isin(list(keys))]
    for _, same in drawn.groupby(["patient_id", drawn["image_path"].map(keys.get)]):
        first, *others = same["study_id"].drop_duplicates()
        for study in others:
            text = f"its image is that of {first}, and its lesions are others"
            remedy = "find out which examination it is of, and put the other's there"
            yield Problem(str(study), text, remedy, "image of another study")


def _implausible(lesions: pd.DataFrame, outside: float) -> Iterator[Problem]:
    for row in lesions[lesions["outside"] > outside].itertuples():
        text = f"{row.outside:.0%} of its {row.voxels:.0f} voxels lie beyond the stripped brain"
        yield Problem(str(row.lesion_id), text, "check the mask", "mask reaches outside the brain")
    for row in lesions[lesions["brain_share"] > MOST].itertuples():
        text = f"its mask takes {row.brain_share:.0%} of what is above 0 in its image"
        remedy = "look at both: the mask is inverted or the brain's, or the image holds the lesion alone"
        yield Problem(str(row.lesion_id), text, remedy, "mask is most of the brain")
    large = lesions[(lesions["volume"] > LARGE) & ~(lesions["brain_share"] > MOST)]
    for lesion, volume in zip(large["lesion_id"], large["volume"], strict=True):
        text = f"its mask holds {volume / 1000:.0f} ml, more than a metastasis does"
        remedy = "look at it: it is an organ's or an edema's, or its spacing is wrong"
        yield Problem(str(lesion), text, remedy, "mask larger than a metastasis")
    inside = lesions[lesions["brain_share"] > 0]
    brains = inside["volume"] * (1 - inside["outside"]) / inside["brain_share"] / 1000
    brains = brains.groupby(inside["study_id"]).median()
    usual = brains.median()
    for study, size in brains[(brains < usual / APART) | (brains > usual * APART)].items():
        if len(brains) >= BRAINS:
            text = f"its brain has {size:.3g} ml, where the others have about {usual:.3g}"
            remedy = "check the spacing in the headers of its image and masks: volumes and shapes go by it"
            yield Problem(str(study), text, remedy, "brain of another size")


def _copies(table: pd.DataFrame) -> Iterator[Problem]:
    content_of = table.set_index("lesion_id")["content"]
    same = table["content"].to_numpy() == content_of.reindex(table["duplicate_of"]).to_numpy()
    twice = set()
    for _, patient in table.groupby("patient_id"):
        content = {str(study): set(part["content"]) for study, part in patient.groupby("study_id")}
        for first, second in combinations(sorted(content), 2):
            common = len(content[first] & content[second])
            if common > EXAMINATION * len(content[second]):
                twice.add(second)
                text = f"{common} of its {len(content[second])} segmentations are copies of {first}"
                remedy = "the copies are excluded: it is the same examination"
                yield Problem(str(second), text, remedy, "examination twice")
    for row in table[same & ~table["study_id"].isin(twice)].itertuples():
        text = f"the same as {row.duplicate_of}"
        yield Problem(str(row.lesion_id), text, "excluded", "copy of a segmentation")
    for row in table[(table["duplicate_of"] != "") & ~same].itertuples():
        kind = "target over a lesion" if row.category == "target" else "lesion under several masks"
        text = str(row.reason) if str(row.reason).startswith("same") else f"lies over {row.duplicate_of}"
        yield Problem(str(row.lesion_id), text, "excluded: one mask stands for a lesion", kind)


def doubtful_studies(table: pd.DataFrame) -> Iterator[Problem]:
    """Studies whose lesions may lie elsewhere than their coordinates say."""
    for study, overlap in table.groupby("study_id")["mni_overlap"].first().items():
        if overlap < DOUBTFUL:
            text = f"its brain overlaps the template's by {overlap:.2f}"
            remedy = "look at the image; its positions may be off"
            yield Problem(str(study), text, remedy, "registration in doubt")
    for study, sides in opposite_sides(table).groupby(table["study_id"]):
        if len(sides) >= MIRRORED and sides.all():
            text = f"all {len(sides)} lesions lie on the side opposite to their names"
            yield Problem(str(study), text, "check left and right in the file's header", "mirrored study")


def opposite_sides(table: pd.DataFrame) -> pd.Series:
    """Whether a lesion lies opposite to its name, of those whose name and place both tell a side."""
    sided = table[(table["position_source"] == "image") & table["name_hemisphere"].isin(["left", "right"])]
    sided = sided[(sided["name_confidence"] >= SURE) & (sided["mni_x"].abs() > NEAR_MIDLINE)]
    return (sided["mni_x"] > 0) != (sided["name_hemisphere"] == "right")


def _positions(table: pd.DataFrame) -> Iterator[Problem]:
    for row in table[(table["position_conflict"] != "") & _is_lesion(table)].itertuples():
        remedy = "look at the mask; the coordinates count"
        yield Problem(str(row.lesion_id), str(row.position_conflict), remedy, "name against coordinates")
    yield from doubtful_studies(table)


def _patients(table: pd.DataFrame) -> Iterator[Problem]:
    for row in burden(table):
        text = f"has {row['lesions']} of the lesions that enter, {row['share']:.0%}, and others far fewer"
        remedy = "read patient-level figures; cohort.policy=largest or one_session reduces the share"
        yield Problem(str(row["patient"]), text, remedy, "patient that owns much of the table")
    unlabelled = table["reason"].isin(UNLABELLED)
    labelled = table["patient_id"].isin(table.loc[~table["excluded"], "patient_id"])
    for patient in sorted(table.loc[unlabelled & ~labelled, "patient_id"].unique()):
        yield Problem(str(patient), "has no label", "its lesions are excluded", "patient without label")
    for study, lesions in table[unlabelled & labelled].groupby("study_id"):
        text = f"has no label for {counted(len(lesions), 'lesion')}, and its patient has some for others"
        remedy = "they are excluded: they take no other lesion's (cohort.labels)"
        yield Problem(str(study), text, remedy, "lesions without label")
