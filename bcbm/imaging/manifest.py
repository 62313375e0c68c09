"""The table that a cohort is read from: a row a lesion; its labels are a person's, and stay."""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pandas as pd

from bcbm.cohort.formats.bids import MOST_VOXELS
from bcbm.cohort.formats.sequences import POST, sequence_of, words_of_name
from bcbm.cohort.formats.tables import text_rows
from bcbm.errors import InputError, Problem, readable
from bcbm.system.files import broken_links, files_below, write_whole
from bcbm.system.spreadsheet import guarded, unguarded
from bcbm.system.words import counted

FILE, GONE = "manifest.csv", "manifest-gone.csv"
COLUMNS = (
    *("patient", "study", "image", "mask", "label_value", "name", "ER", "PR", "HER2", "age", "sex", "site"),
    *("manufacturer", "field_strength", "tr", "te", "pixel_spacing", "days", "year"),
)
_FOUND = frozenset(COLUMNS) - {"ER", "PR", "HER2"}  # that nobody has to fill in
UNREAD = (".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh", ".hdr", ".img")  # of volumes no reader knows
_DATASET = re.compile(r"^brats[-_]mets?[-_]", re.IGNORECASE)  # whose every file is named so, no mask alone
_ENDING = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_BESIDE = (  # endings of files that no lesion is drawn in: tables and texts, pictures, a viewer's programs
    *(".json", ".txt", ".csv", ".tsv", ".xlsx", ".xls", ".ods", ".parquet", ".xml", ".yaml", ".yml", ".md"),
    *(".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".svg", ".pdf", ".html", ".htm", ".rtf", ".log"),
    *(".doc", ".docx", ".ppt", ".pptx", ".bval", ".bvec", ".md5", ".sha256", ".py", ".sh", ".bat", ".js"),
    *(".exe", ".dll", ".ocx", ".inf", ".ini", ".ico", ".jar", ".class", ".cab", ".msi", ".chm", ".db"),
    *(".css", ".woff", ".cfg", ".conf"),
)
_NOTES = frozenset({"readme", "license", "licence", "changes", "changelog", "citation"})  # without ending
_MADE = r"P\d+/(P\d+-\d+)/\1_mask_[^/]+"  # a mask that is made of an export
_WORDS = {
    "mask": """
        mask masks seg segmentation label labels roi gtv lesion lesions tumor tumour dseg met mets metastasis
        metastases contour maske masken segmentierung metastase metastasen herd lasion laesion kontur
    """,
    "image": "image img t1 t1n t1w t2 t2f t2w flair brain ss n4 pre nativ mprage",
}
_MASK, _OTHER = (frozenset(words.split()) for words in _WORDS.values())
_VALUES = 32  # different values of a mask at most: an image has more


class Written(NamedTuple):
    """What a manifest holds that was written over an earlier one.

    Attributes:
        rows: how many.
        others: cells that hold something else than the table of labels; `silent`: of which it says nothing.
        added: the lesions that the earlier one did not have, by study and name; none where there was none.
        gone: those whose row is no more, with cells that a person has filled in; GONE has them.
    """

    rows: int
    others: int
    silent: int
    added: list[str]
    gone: list[str]


def read_manifest(path: Path) -> pd.DataFrame:
    """The manifest that is there, its cells as they stand, or one without rows.

    Raises:
        InputError: it cannot be read, so that its labels would be lost.
    """
    if not path.is_file():
        return pd.DataFrame(columns=list(COLUMNS), dtype=str)
    with readable(path, "correct it or move it away: its labels are not overwritten"):
        table = text_rows(path).dropna(how="all", ignore_index=True)
        if (short := table.isna().any(axis=1)).any():
            raise ValueError(f"line {int(short.argmax()) + 2} has fewer cells than there are headings")
        if table.columns.duplicated().any():
            raise ValueError("two columns have one heading")
        if absent := [name for name in ("study", "mask") if name not in table]:
            raise ValueError(f"no column {', '.join(absent)}")
        if (double := table.duplicated(["study", "mask"])).any():
            raise ValueError(f"line {int(double.argmax()) + 2} has study and mask of another one")
        return table


def as_corrected(
    rows: Iterable[dict[str, Any]], before: pd.DataFrame, out: Path
) -> tuple[list[dict[str, Any]], int]:
    """Rows with the patient, study and image that a person has written into them, and how many that changes.

    What is made of an export, as its mask is, stays what was made, but for the patient.

    Args:
        rows: as they are found.
        before: what stood in the manifest, from `read_manifest`.
        out: the folder of the manifest, to which its paths are relative.
    """
    before = before.map(unguarded)
    stands = {(row["study"], row["mask"]): row for row in before.to_dict("records")}
    alone = {row["mask"]: row for row in before[~before.duplicated("mask", keep=False)].to_dict("records")}
    changed, kept = 0, []
    for row in rows:
        made = re.fullmatch(_MADE, mask := str(row["mask"]))
        own = stands.get((str(row["study"]), mask)) or ({} if made else alone.get(mask, {}))
        image = not made and (out / own.get("image", "")).is_file()
        names = [name for name in ["patient", "study", *["image"] * image] if own.get(name)]
        others = {name: own[name] for name in names if own[name] != str(row[name])}
        changed += bool(others)
        kept.append({**row, **others})
    return kept, changed


def with_zeros(before: pd.DataFrame, rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """A manifest with the leading zeros that a spreadsheet has taken from ids that are numbers.

    Args:
        before: what stands in it, from `read_manifest`.
        rows: as they are found, by whose masks its own are known.
    """
    found = {str(row["mask"]): row for row in rows}
    table = before.copy()
    for name in {"patient", "study"}.intersection(table):
        own = [str(found.get(mask, {}).get(name, "")) for mask in table["mask"].map(unguarded)]
        pairs = zip(table[name], own, strict=True)
        table[name] = [
            text if text.isdecimal() and cell == text.lstrip("0") else cell for cell, text in pairs
        ]
    return table


def write_manifest(
    rows: Iterable[dict[str, Any]],
    path: Path,
    before: pd.DataFrame,
    studies: Collection[str],
    dates: Mapping[str, Mapping[str, int | None]] = {},
    labels: Mapping[str, Mapping[str, str]] = {},
    earlier: Mapping[str, Mapping[str, Any]] = {},
) -> Written:
    """Write a manifest; what a person has filled in, and columns of one's own, stay with their mask.

    Of a mask that is made no more, what no other row of its study says goes to GONE beside it.

    Args:
        rows: values by COLUMNS; those that are not there or None stay empty.
        path: of the CSV.
        before: what stood there, from `read_manifest`.
        studies: all that have been looked at; rows of others, of an earlier export, stay as they are, and
            so do those that a person has added.
        dates: columns that are written anew in every row, by study: an earlier export may have known less.
        labels: what a table says of patients, by patient and column; it fills cells that are empty.
        earlier: what headers said when `before` was written, by study and column: such a cell is no
            person's.
    """
    table = pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(object)
    table = table.map(_cell)
    places = pd.MultiIndex.from_frame(table[["study", "mask"]])
    known = before.set_index(["study", "mask"]).reindex(places, fill_value="").reset_index(drop=True)
    for column in known.columns.difference(["patient", "image"], sort=False):
        own = table[column] if column in table else pd.Series("", index=table.index)
        made = [_cell(earlier.get(study, {}).get(column)) for study in table["study"]]
        table[column] = known[column].where((known[column] != "") & (known[column] != made), own)
    gone = before["study"].map(unguarded).isin(list(studies)) & before["mask"].str.fullmatch(_MADE)
    here = pd.MultiIndex.from_frame(before[["study", "mask"]]).isin(places)
    met = places.isin(pd.MultiIndex.from_frame(before[["study", "mask"]])) | before.empty
    added = table[~met]
    table = pd.concat([table, before[~here & ~gone]], ignore_index=True).fillna("")
    table = table.iloc[natural_order(table["study"])]
    for column, values in dates.items():
        cells = [values.get(study) for study in table["study"]]
        table[column] = ["" if cell is None else str(cell) for cell in cells]
    others = silent = 0
    for column in dict.fromkeys(name for cells in labels.values() for name in cells):
        given = table["patient"].map(lambda patient, column=column: labels.get(patient, {}).get(column, ""))
        given = given.map(guarded)
        stands = table[column] if column in table else pd.Series("", index=table.index)
        others += int(((stands != "") & (given != "") & (stands != given)).sum())
        silent += int(((stands != "") & (given == "")).sum())
        table[column] = stands.where(stands != "", given)
    lost = _unsaid(before[~here & gone], table)
    if len(lost):
        kept = pd.concat([read_manifest(path.with_name(GONE)), lost])
        kept = kept.drop_duplicates(["study", "mask"], keep="last").fillna("")
        write_whole(path.with_name(GONE), kept.to_csv(index=False, lineterminator="\r\n"))
    write_whole(path, table.to_csv(index=False, lineterminator="\r\n"))
    return Written(len(table), others, silent, _lesions(added), _lesions(lost))


def _cell(value: object) -> str:
    """A value as it stands in a manifest, "" for one that is missing."""
    return "" if value is None or value != value else guarded(str(value))


def _unsaid(gone: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of which a person has written something that no row of their study says in a table."""
    own = [name for name in gone if name not in _FOUND]
    said = {(name, *pair) for name in own for pair in zip(table["study"], table[name], strict=True)}
    rows = gone.to_dict("records")
    lost = [any(row[name] and (name, row["study"], row[name]) not in said for name in own) for row in rows]
    return gone[np.array(lost, bool)]


def _lesions(rows: pd.DataFrame) -> list[str]:
    names = rows["name"] if "name" in rows else rows["mask"]
    return [unguarded(f"{study}/{name}") for study, name in zip(rows["study"], names, strict=True)]


def natural_order(names: Iterable[str]) -> list[int]:
    """The places of names in an order in which P2 comes before P10; equal ones stay as they stand."""
    parts = [re.split(r"(\d+)", name) for name in names]
    keys = [[int(part) if part.isdecimal() else part for part in name] for name in parts]
    return sorted(range(len(keys)), key=keys.__getitem__)


def volume_rows(root: Path, out: Path) -> tuple[list[dict[str, Any]], list[Problem]]:
    """The rows of a folder of NIfTI files, by their names, and what is left out.

    A folder with one image is a study of the masks beside it; in a folder with several, files belong together
    whose names begin alike. The first folder below the root is the patient; where files lie in the root
    itself, each study is a patient of its own. A file is a mask where a word of its name is one such as mask,
    seg, label, roi, gtv, lesion or tumor; where that leaves a study open, one whose name says nothing is a
    mask if it holds few values.

    Args:
        root: the folder.
        out: the folder of the manifest, to which its paths are relative.

    Raises:
        InputError: there is no NIfTI file.
    """
    paths = files_below(root)
    files = [path for path in paths if _ENDING.search(path.name)]
    if not files:
        remedy = "name a folder of DICOM files, or of .nii.gz images with their masks"
        raise InputError(Problem(str(root), "holds neither DICOM nor NIfTI files", remedy))
    rows, problems = [], []
    if others := [path for path in paths if not _ENDING.search(path.name) and may_be_drawn(path)]:
        example = others[0].relative_to(root).as_posix()
        found = f"holds {counted(len(others), 'file')} of formats or endings that are not read, such as "
        found += example
        remedy = "copy or convert each to .nii.gz, as its patient or lesion is missing, or move it away"
        problems.append(Problem(str(root), found, remedy))
    if links := broken_links(root):
        found = f"holds {counted(len(links), 'link')} to what is not there, such as "
        found += links[0].relative_to(root).as_posix()
        problems.append(Problem(str(root), found, "fetch their files, or remove them: none is read"))
    for folder, members in _by_folder(files).items():
        parts = folder.relative_to(root).parts
        for group in _grouped(members):
            study = "-".join([*parts, *([group.prefix] if group.prefix else [])])
            study = study or _prefix((group.images or group.masks)[0]) or root.name
            if not group.settled:
                found = f"{counted(len(group.images), 'image')}, {len(group.post)} of them post-contrast by "
                found += f"name, and {counted(len(group.masks), 'mask')}"
                remedy = "name one image t1c (or keep one), and each mask mask; or write its rows by hand"
                problems.append(Problem(str(folder / group.prefix), found, remedy))
                continue
            image = group.chosen[0]
            rows += [
                {
                    "patient": parts[0] if parts else study,
                    "study": study,
                    "image": Path(os.path.relpath(image, out)).as_posix(),
                    "mask": Path(os.path.relpath(mask, out)).as_posix(),
                    "name": _lesion_name(mask, _prefix(image)),
                }
                for mask in group.masks
            ]
    return rows, problems


def may_be_drawn(path: Path) -> bool:
    """Whether a file that is no NIfTI by its name may hold a volume: packed, cut off, of another format."""
    name = path.name.lower()
    if name.startswith("."):  # what programs keep for themselves, and what a disk keeps for a file of a cloud
        return ".nii" in name
    return path.suffix.lower() not in _BESIDE and name not in _NOTES


class _Group(NamedTuple):
    """Files that are a study, if they are one: how their names begin, in a folder with several."""

    prefix: str
    images: list[Path]
    masks: list[Path]

    @property
    def chosen(self) -> list[Path]:
        """The image that is taken, if it is one."""
        return self.post if len(self.images) > 1 else self.images

    @property
    def post(self) -> list[Path]:
        """The images that are post-contrast T1s by their names."""
        return [path for path in self.images if sequence_of(_own(path)) == "post"]

    @property
    def settled(self) -> bool:
        return len(self.chosen) == 1 and bool(self.masks)


def _grouped(members: Sequence[Path]) -> list[_Group]:
    """The studies of a folder, by names; where these leave one open, also by voxels."""
    by_name = _divided(members, {path for path in members if _words(path) & _MASK})
    if all(group.settled for group in by_name):
        return by_name
    named = {path: _words(path) & (_MASK | POST | _OTHER) for path in members}
    masks = {path for path, words in named.items() if words & _MASK or (not words and _is_mask(path))}
    by_voxels = _divided(members, masks)
    return by_voxels if all(group.settled for group in by_voxels) else by_name


def _divided(members: Sequence[Path], masks: Collection[Path]) -> list[_Group]:
    prefixes = {path: _prefix(path) for path in members}
    several = len({prefix for path, prefix in prefixes.items() if path not in masks}) > 1
    groups: dict[str, _Group] = {}
    for path in members:
        name = prefixes[path] if several else ""
        group = groups.setdefault(name, _Group(name, [], []))
        (group.masks if path in masks else group.images).append(path)
    return [*groups.values()]


def _by_folder(files: Sequence[Path]) -> dict[Path, list[Path]]:
    folders: dict[Path, list[Path]] = {}
    for path in files:
        folders.setdefault(path.parent, []).append(path)
    return folders


def _stem(path: Path) -> str:
    return _ENDING.sub("", path.name)


def _own(path: Path) -> str:
    """What a name says beyond its folder's, which it may begin with, as BraTS-MET-1/BraTS-MET-1-t1c does."""
    return _DATASET.sub("", _stem(path).removeprefix(path.parent.name) or _stem(path))


def _words(path: Path) -> set[str]:
    words = words_of_name(_own(path))
    return {*words, *(word.rstrip("0123456789") for word in words)}  # gtv1 is a gtv


def _is_mask(path: Path) -> bool:
    """Whether a volume holds few values, the lowest 0."""
    try:
        image = nibabel.Nifti1Image.from_filename(path)
        if not 0 < int(np.prod(image.shape, dtype=np.int64)) <= MOST_VOXELS:
            return False
        values = np.unique(np.asanyarray(image.dataobj))
    except Exception:  # whatever a library makes of a damaged file: the survey has words for it
        return False
    return len(values) <= _VALUES and values[0] == 0


def _prefix(path: Path) -> str:
    """What stands before the first word that says what a file is."""
    stem, own = _stem(path), _own(path)
    for word in re.finditer(r"[^\W_]+", own):
        parts = words_of_name(word[0])
        if {*parts, *(part.rstrip("0123456789") for part in parts)} & (_MASK | POST | _OTHER):
            return stem[: len(stem) - len(own) + word.start()].rstrip("_-. ")
    return stem


def _lesion_name(mask: Path, prefix: str) -> str:
    """A mask's name without what it shares with its image and without the word that says that it is one."""
    stem = _stem(mask).removeprefix(prefix).lstrip("_-. ")
    kinds = r"(?:segmentation(?:s|en)?|segmentierung|masks?|masken?|seg|labels?|rois?)(?![a-z])"
    return re.sub(rf"^(?:{kinds}[_\-. ]*)+", "", stem, flags=re.IGNORECASE) or "lesion"
