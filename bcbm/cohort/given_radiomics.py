"""Radiomics that were extracted elsewhere, from any table with PyRadiomics' names."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from bcbm.cohort.cells import identifier, read_numbers
from bcbm.cohort.download import FEATURE, Download
from bcbm.cohort.formats.tables import read_rows, row_twice
from bcbm.errors import InputError, Problem


def with_radiomics(download: Download, path: Path) -> Download:
    """The download with the features of a table in place of its own.

    A row is a lesion's by the columns `study` and `name`, or by `mask`, the file of its mask as PyRadiomics'
    command line writes it: the names of file and folder have to agree, not the place of the folder.

    Raises:
        InputError: the table cannot be read, has no feature, or does not say whose its rows are.
    """
    odd = list(download.odd_cells)
    of_lesions = {"study", "name", "mask"}
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
        keys, own = table["mask"].map(_last), rows["mask_path"].map(_last)
    problems = list(download.problems)
    again = keys.duplicated()
    for number in keys.index[again]:
        problems.append(row_twice(f"{path.name} row {number}", keys[number]))
    for number in keys.index[~again & ~keys.isin(own)]:
        found, remedy = f"no lesion is {keys[number]}", "correct it; the row is not used"
        problems.append(Problem(f"{path.name} row {number}", found, remedy, "radiomics of no lesion"))
    numbers = pd.DataFrame({str(name): read_numbers(table[name], path.name, odd) for name in columns})
    features = numbers.set_axis(keys, axis=0)[~again.to_numpy()].reindex(own).reset_index(drop=True)
    rows = rows.assign(in_workbook=features.notna().any(axis=1).to_numpy())
    return replace(download, segmentations=rows, features=features, problems=problems, odd_cells=odd)


def _last(path: object) -> str:
    """The folder and the name of a file, however its path is written; "" for none."""
    parts = str(path).replace("\\", "/").split("/")
    return "/".join(parts[-2:])
