"""Radiomics that were extracted elsewhere, from any table with PyRadiomics' names."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import pandas as pd

from bcbm.cohort.cells import identifier, number, read_numbers
from bcbm.cohort.download import FEATURE, Download
from bcbm.cohort.formats.sequences import sequence_of
from bcbm.cohort.formats.tables import read_rows, row_twice
from bcbm.errors import InputError, Problem
from bcbm.system.words import counted

SETTINGS = ("diagnostics_Versions_PyRadiomics", "diagnostics_Configuration_Settings")
HASHES = ("diagnostics_Image-original_Hash", "diagnostics_Mask-original_Hash")  # of the voxels of a study
_LABEL = re.compile(r"'label': \d+,? ?")  # a setting that tells lesions apart
NOBODYS = "/"  # the key of a lesion that no row of a mask is of


def with_radiomics(download: Download, path: Path, value: int = 0) -> Download:
    """The download with the features of a table in place of its own.

    A row is a lesion's by the columns `study` and `name`, or by `mask`, the file of its mask as PyRadiomics'
    command line writes it: the names of file and folder have to agree, and of as many folders above as tell
    masks apart, not the place of these. Of a lesion that is one label value of its mask, `label` has to agree
    where there is one.

    Args:
        download: as read.
        path: of the table.
        value: the label value that is the lesion in each mask whose row says none; 0: what is above 0.

    Raises:
        InputError: the table cannot be read, has no feature, or does not say whose its rows are.
    """
    odd = list(download.odd_cells)
    of_lesions = {"study", "name", "mask", "image", "label"}
    table = read_rows(
        path, used=lambda heading: heading.startswith(FEATURE) or heading.lower() in of_lesions, odd=odd
    )
    table = table.rename(columns=lambda name: name.lower() if name.lower() in of_lesions else name)
    columns = [name for name in table if str(name).startswith(FEATURE)]
    by_name, by_mask = {"study", "name"} <= set(table), "mask" in table
    if not columns or not (by_name or by_mask):
        found = "has no column original_..." if not columns else "says of no row whose it is"
        remedy = "give it PyRadiomics' columns, and study and name, or mask"
        raise InputError(Problem(str(path), found, remedy))
    rows = download.segmentations
    if by_name:
        keys = table["study"].map(identifier) + "/" + table["name"].map(identifier)
        own = rows["study_id"] + "/" + rows["name"]
    else:
        depth = _telling(rows["mask_path"])
        keys, own = table["mask"].map(partial(_last, depth)), rows["mask_path"].map(partial(_last, depth))
        values = rows.get("mask_value", pd.Series(0, rows.index))
        values = values.where(values > 0, value)
        if "label" in table and (valued := own[(own != "") & (values > 0)]).size:
            labels = [f", label value {number(cell).value:g}" for cell in table["label"]]
            keys += pd.Series(labels, keys.index).where(keys.isin(valued) & (table["label"] != ""), "")
            labelled = own + values.map(", label value {:g}".format)
            own = labelled.where(labelled.isin(keys), own)
    problems = [*download.problems, *_mixed(path.name, table), *_older(path, rows["mask_path"])]
    shared = own.duplicated(keep=False) & (own != "")  # a mask of several label values
    for lesion in (rows["study_id"] + "/" + rows["name"])[shared]:
        remedy = "give the table the columns study and name; its radiomics count as missing"
        problems.append(
            Problem(lesion, "its mask is that of other lesions too", remedy, "radiomics of no lesion")
        )
    own = own.mask(shared | (own == ""), NOBODYS)
    again = keys.duplicated()
    for row in keys.index[again]:
        problems.append(row_twice(f"{path.name} row {row}", keys[row]))
    for row in keys.index[~again & ~keys.isin(own)]:
        found, remedy = f"no lesion is {keys[row]}", "correct it; the row is not used"
        problems.append(Problem(f"{path.name} row {row}", found, remedy, "radiomics of no lesion"))
    problems += _other_images(path.name, table, rows.set_axis(own, axis=0), keys)
    problems += _shared(path.name, table, keys.map(dict(zip(own, rows["study_id"], strict=True))))
    numbers = pd.DataFrame({str(name): read_numbers(table[name], path.name, odd) for name in columns})
    features = numbers.set_axis(keys, axis=0)[~again.to_numpy()].reindex(own).reset_index(drop=True)
    rows = rows.assign(in_workbook=features.notna().any(axis=1).to_numpy())
    return replace(download, segmentations=rows, features=features, problems=problems, odd_cells=odd)


def _older(path: Path, masks: Iterable[str]) -> Iterator[Problem]:
    """That masks were changed after a table was made of them."""
    files = [Path(mask) for mask in dict.fromkeys(masks) if mask]
    made = path.stat().st_mtime
    if newer := [file for file in files if file.is_file() and file.stat().st_mtime > made]:
        found = f"is older than {len(newer)} of {counted(len(files), 'mask')}, such as {newer[0].name}"
        remedy = "extract it anew, unless they were only copied; audit holds it against them"
        yield Problem(path.name, found, remedy, "radiomics older than their masks")


def _mixed(name: str, table: pd.DataFrame) -> list[Problem]:
    """That rows were made by several versions or settings of PyRadiomics, as its command line writes them."""
    problems = []
    for column in SETTINGS:
        if column in table:
            texts = table[column].map(identifier).str.replace(_LABEL, "", regex=True)
            if (kinds := texts[texts != ""].nunique()) > 1:
                found, remedy = f"its rows have {kinds} different {column}", "extract all of them in one way"
                problems.append(Problem(name, found, remedy, "radiomics of several settings"))
    return problems


def _shared(name: str, table: pd.DataFrame, studies: pd.Series) -> Iterator[Problem]:
    """That rows of several studies were made of the same voxels, by what PyRadiomics' command line writes."""
    for column in (column for column in HASHES if column in table):
        known = studies[studies.notna() & (table[column] != "")]
        owners = known.groupby(table[column]).unique()
        owners = owners[owners.map(len) > 1]
        if len(owners):
            first = " and ".join(map(str, owners.iloc[0][:2]))
            count = len({study for group in owners for study in group})
            found = f"rows of {count} studies were made of the voxels of another, such as {first} ({column})"
            remedy = "extract each from its own image and mask; they are used as they are"
            yield Problem(name, found, remedy, "radiomics of another image")


def _other_images(
    name: str, table: pd.DataFrame, lesions: pd.DataFrame, keys: pd.Series
) -> Iterator[Problem]:
    """That rows were made of the image of another lesion, or of another sequence, by the file that
    PyRadiomics' command line writes into them.

    Args:
        name: of the file.
        table: as read.
        lesions: those of the cohort, by the key of their row.
        keys: of the rows.
    """
    if "image" not in table:
        return
    depth = _telling(lesions["image_path"])
    images = {key: _last(depth, path) for key, path in lesions["image_path"].items() if path}
    given = table["image"].map(partial(_last, depth))
    own = keys.map(images)
    other = given.isin(list(images.values())) | (given.map(sequence_of) == "other")
    if len(odd := given.index[own.notna() & (given != own) & other]):
        found = f"{counted(len(odd), 'row')} made of another image, such as row {odd[0]}: {given[odd[0]]}, "
        found += f"and the lesion's is {own[odd[0]]}"
        remedy = "extract them from the lesion's own image; they are used as they are"
        yield Problem(name, found, remedy, "radiomics of another image")


def _last(depth: int, path: object) -> str:
    """The name of a file behind those of the folders above it, `depth` names, however its path is written."""
    parts = str(path).replace("\\", "/").split("/")
    return "/".join(parts[-depth:])


def _telling(paths: pd.Series) -> int:
    """How many names at the end of paths tell different files apart, two at least."""
    files = paths.str.replace("\\", "/", regex=False).drop_duplicates()
    return next(depth for depth in count(2) if files.map(partial(_last, depth)).is_unique)
