"""What is wrong, or doubtful, about the rows of one's own table: ids, files of others, further lesions."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from bcbm.cohort.cells import READERS, digits_lost, made_a_date
from bcbm.cohort.formats.sequences import sequence_of, words_of_name
from bcbm.cohort.formats.tables import column_texts
from bcbm.cohort.spelling import underscored
from bcbm.errors import InputError, Problem
from bcbm.system.words import counted

APART = 3  # times as many rows have image and mask in one folder where those that have not are said
_VOLUME = re.compile(r"\.(?:nii(?:\.gz)?|nrrd|mha|mhd)$", re.IGNORECASE)  # how their names end
FEW = 10  # times as many images say contrast where one that does not is said


def require_ids(path: Path, table: pd.DataFrame, texts: Mapping[str, pd.Series]) -> None:
    """InputError for ids that hold what separates studies from lesions, or have lost digits."""
    problems = []
    for name in {"patient", "study"} & set(table):
        cells = texts[name] if path.suffix == ".parquet" else table[name]  # Parquet keeps integers whole
        for row, cell in cells.items():
            if digits_lost(cell):
                found = f"{name} '{cell}' is a number of which a spreadsheet has dropped digits"
                remedy = "write the ids as text, from where they are whole"
                problems.append(Problem(f"{path.name} row {row}", found, remedy))
    for row, cell, text in zip(table.index, table["patient"], texts["patient"], strict=True):
        if made_a_date(cell):
            found = f"patient '{text}' is a date, which a spreadsheet makes of ids such as 1-2"
            remedy = "write the ids as text, from where they are whole"
            problems.append(Problem(f"{path.name} row {row}", found, remedy))
    for name in ("patient", "study", "name"):
        for row in texts[name].index[texts[name].str.contains("/", regex=False)]:
            found, remedy = f"{name} '{texts[name][row]}' holds a slash", "write another sign"
            problems.append(Problem(f"{path.name} row {row}", found, remedy))
    if problems:
        raise InputError(*problems)


def misplaced(
    table: str, patients: pd.Series, texts: Mapping[str, pd.Series], letters: bool = False
) -> Iterator[Problem]:
    """One a column of files or studies with folders or names that begin with the id of another patient, none
    with that of its own. What every file is called (`<study>/1.nii.gz`) is nobody's name; with `letters` ids
    that are numbers do not count: a study 12-3 may be a date."""
    names = {
        name.casefold(): name for name in patients.unique() if not letters or re.search("[^\\W\\d_]", name)
    }
    for column, cells in texts.items():
        starts = [_starts(text) for text in cells]
        everywhere = set.intersection(*starts) if starts else set()
        bearers = [
            (row, own, text, [names[start] for start in sorted((begins & names.keys()) - everywhere)])
            for row, own, text, begins in zip(cells.index, patients, cells, starts, strict=True)
        ]
        if odd := [line for line in bearers if line[3] and line[1] not in line[3]]:
            row, own, text, others = odd[0]
            found = f"{column} of {counted(len(odd), 'row')} bears the name of another patient, such as "
            found += f"row {row} of {own}: {text} ({', '.join(others)})"
            remedy = "look whether a part of the table was sorted or moved without the rest"
            yield Problem(table, found, remedy, "row of another patient")


def of_nobody(table: str, patients: pd.Series, texts: Mapping[str, pd.Series]) -> Iterator[Problem]:
    """One a column of files with paths that bear no patient's id, where those of most rows bear their own."""
    names = {name.casefold() for name in patients.unique()}
    for column, cells in texts.items():
        cells = cells[cells != ""]
        starts = [_starts(text) & names for text in cells]
        owners = patients[cells.index].str.casefold()
        own = sum(name in begins for name, begins in zip(owners, starts, strict=True))
        odd = cells[[not begins for begins in starts]]
        if 0 < len(odd) <= own / APART:
            row = odd.index[0]
            found = f"{column} of {counted(len(odd), 'row')} bears the id of no patient, those of the others "
            found += f"that of their own, such as row {row} of {patients[row]}: {odd[row]}"
            yield Problem(table, found, "look whose it is", "file of nobody by its path")


def other_images(table: str, cells: pd.Series) -> Iterator[Problem]:
    """That an image is by its name no post-contrast T1, or in a template's space, or, unlike most, does not
    say contrast."""
    told = cells.map(sequence_of)
    if len(odd := cells[told == "other"]):
        found = f"image of {counted(len(odd), 'row')} is no post-contrast T1 by its name, such as "
        found += f"row {odd.index[0]}: {odd.iloc[0]}"
        remedy = "name the post-contrast T1 there; other sequences have columns image_<sequence>"
        yield Problem(table, found, remedy, "image of another sequence")
    said, silent = cells[told == "post"], cells[(cells != "") & (told == "")]
    if 0 < silent.nunique() <= said.nunique() / FEW:
        found = f"image of {counted(len(silent), 'row')} does not say contrast by its name, as those of "
        found += f"{said.nunique()} others do, such as row {silent.index[0]}: {silent.iloc[0]}"
        yield Problem(table, found, "look whether it was taken before contrast", "image without contrast")
    template = cells.map(lambda text: any(word.startswith("mni") for word in words_of_name(text)))
    if len(odd := cells[template.astype(bool)]):
        found = f"image of {counted(len(odd), 'row')} lies in MNI space by its name, such as "
        found += f"row {odd.index[0]}: {odd.iloc[0]}"
        remedy = "give it as it was scanned: of one that was stretched volumes and shapes are the template's"
        yield Problem(table, found, remedy, "image in a template's space")


def lying_apart(table: str, images: pd.Series, masks: pd.Series) -> Iterator[Problem]:
    """Rows whose image and mask lie in two folders, where those of most rows lie in one."""
    both = pd.DataFrame({"image": images, "mask": masks})[(images != "") & (masks != "")]
    folders = both.map(lambda text: text.replace("\\", "/").rpartition("/")[0].casefold())
    odd = both[folders["image"] != folders["mask"]]
    if 0 < len(odd) <= (len(both) - len(odd)) / APART:
        found = (
            f"image and mask of {counted(len(odd), 'row')} lie in two folders, those of the others in one, "
        )
        found += f"such as row {odd.index[0]}: {odd['image'].iloc[0]}, {odd['mask'].iloc[0]}"
        remedy = "look whether a part of a column was sorted or exchanged without the rest"
        yield Problem(table, found, remedy, "image and mask apart")


def unread_files(table: str, rows: pd.DataFrame, read: Iterable[str]) -> Iterator[Problem]:
    """Columns beside those that are read whose cells name volumes."""
    for name in set(map(str, rows)) - {*read, *_numbered(rows)}:
        if count := int(column_texts(rows, name).str.contains(_VOLUME).sum()):
            found = f"its column '{name}' names files in {counted(count, 'row')} and is not read"
            remedy = "call it image, mask or image_<sequence>, if they count"
            yield Problem(table, found, remedy, "files that are not read")


def without_study(table: str, patients: pd.Series, studies: pd.Series) -> Iterator[Problem]:
    """Rows that name no study, of patients of whom other rows name one."""
    named = set(patients[studies != ""])
    if len(odd := patients[(studies == "") & patients.isin(named)]):
        first = f"row {odd.index[0]} of {odd.iloc[0]}"
        found = f"{counted(len(odd), 'row')} of patients with studies name none, such as {first}"
        remedy = "write the study into every row: theirs count as one of its own"
        yield Problem(table, found, remedy, "row without study")


def one_file(table: str, images: pd.Series, masks: pd.Series) -> Iterator[Problem]:
    """Rows that name one file as the image and as the mask."""
    if len(odd := masks[(masks != "") & (masks == images)]):
        found = f"{counted(len(odd), 'row')} name one file as image and mask, such as row {odd.index[0]}: "
        yield Problem(table, found + odd.iloc[0], "name the mask there", "image as its own mask")


def _numbered(rows: pd.DataFrame) -> list[str]:
    """Columns of a second lesion in a row, or a second image."""
    form = re.compile(r"(mask|name|image)[\W_]*\d+\W*")
    return [name for name in map(str, rows) if form.fullmatch(name.casefold())]


def several_lesions(table: str, rows: pd.DataFrame) -> Iterator[Problem]:
    """Columns of a second lesion in a row, or a second image, which nothing reads."""
    for name in _numbered(rows):
        if count := int((column_texts(rows, name) != "").sum()):
            found = f"its column '{name}' is not read, and is filled in {counted(count, 'row')}"
            yield Problem(table, found, "write a row a lesion, with its mask", "several lesions in a row")


def _starts(text: str) -> set[str]:
    """What folders and the name of a file begin with, up to a sign between words."""
    parts = re.split(r"[\\/]", text.casefold())
    return {part[: end.start()] for part in parts for end in re.finditer(r"[\W_]|$", part)}


_ALSO = {  # other headings of what is read
    "age": "alter edad eta leeftijd",
    "sex": "gender geschlecht sexe sexo sesso geslacht",
    "site": "hospital centre center institution clinic klinik",
    "manufacturer": "scanner vendor hersteller scanner_manufacturer fabricant",
    "field_strength": "feldstaerke feldstärke magnetic_field tesla b0",
    "year": "jahr scan_year mri_year",
}


def unread_acquisition(
    table: str, headings: Iterable[str], names: Mapping[str, str] = dict(zip(READERS, READERS, strict=True))
) -> Iterator[Problem]:
    """Columns that by their first words may hold what a column of another name does, which is not there. A
    site may be that of anything.

    Args:
        table: that messages name.
        headings: of its columns.
        names: of the columns that are read, and what each is.
    """
    headings = list(headings)
    for heading in headings:
        words = underscored(heading)
        own = [name for name in names if re.match(rf"{underscored(name)}(?![a-z])", words)]
        known = {name for name in own if names[name] != "site"}
        known |= {name for name, kind in names.items() if words in _ALSO.get(kind, "").split()}
        for name in sorted(known.difference(headings)):
            found = f"its column '{heading}' is not read"
            yield Problem(table, found, f"call it {name}, if it holds that", "column under another heading")
