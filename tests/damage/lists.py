"""Tables, lists and folds of one's own that are not what they should be."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, RADIOMICS_WORKBOOK
from damage.given import FIRST, LESIONS, NAME, PATIENTS, SECOND
from damage.kind import SAID, TABLES, kind

CLINICAL, RADIOMICS = CLINICAL_WORKBOOK[0], RADIOMICS_WORKBOOK[0]
FIT = (*TABLES, "model.kind=logistic_l2", "split.folds=2")


@kind("a file of names that is not there", "cohort.names", "names.csv")
def _(root: Path) -> list[str]:
    return [f"cohort.names={root.parent / 'names.csv'}"]


@kind("a corrected name of no lesion", "no segmentation is named left-nowhere", end=SAID)
def _(root: Path) -> list[str]:
    return _names(root, "left-nowhere,lesion,left,frontal")


@kind("a quotation mark that opens and does not close", "names.csv", "line 3", "quotation mark")
def _(root: Path) -> list[str]:
    return _names(root, f'"{NAME},lesion,left,frontal\n"right-parietal,lesion,right,parietal')


@kind("a row with more cells than headings", "names.csv", "row 2", "5 cells", "4 headings")
def _(root: Path) -> list[str]:
    return _names(root, f"{NAME},lesion,left,frontal,parietal")


@kind("a text table of which a part was never copied", "names.csv", "zero bytes")
def _(root: Path) -> list[str]:
    words = _names(root, f"{NAME},lesion,left,frontal")
    path = root.parent / "names.csv"
    path.write_bytes(path.read_bytes()[:40] + bytes(40))
    return words


@kind("a cohort that is two sites by two names", "second", "the same as")
def _(root: Path) -> list[str]:
    folder, _ = _manifest(root)
    shutil.copytree(folder, root.parent / "second")
    return [f"cohort.root=[{folder},{root.parent / 'second'}]"]


def _second(root: Path, renamed: Mapping[str, str] = {}) -> list[str]:
    """Beside a cohort of one's own another one with other values, of the same patients."""
    folder, table = _manifest(root)
    values = table.filter(like="original_").columns
    (root.parent / "second").mkdir()
    table[values] = table[values].astype(float) * 1.3
    table.rename(columns=renamed).to_csv(root.parent / "second" / "manifest.csv", index=False)
    return [f"cohort.root=[{folder},{root.parent / 'second'}]"]


@kind("two sites with patients of one id", "own and second", "of 8 patients", end=SAID, lost=LESIONS - 16)
def _(root: Path) -> list[str]:
    return _second(root)


@kind("a site that lacks a column of labels", "second", "no labels of HER2", end=SAID, lost=LESIONS - 16)
def _(root: Path) -> list[str]:
    return _second(root, {"HER2": "receptor 3"})


@kind("a list of exclusions that ends inside a row", "leave.csv", "row 3", "ends inside", end=SAID, lost=3)
def _(root: Path) -> list[str]:
    (root.parent / "leave.csv").write_text(f"study,reason\n{FIRST},moved\n{SECOND},mo")
    return [f"cohort.exclude={root.parent / 'leave.csv'}"]


@kind("a text table that ends inside a row", "manifest.csv", "row 9", "HER2", "ends inside", end=SAID, lost=4)
def _(root: Path) -> list[str]:
    return [f"cohort.root={_manifest(root)[0]}"]


@kind(
    "files of which a column was sorted without the rest",
    *("manifest.csv", "mask of 8 rows", "row 2", "another patient"),
    end=SAID,
    lost=4,
)
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    return _drawn(folder, table, reversed(table["patient"]))


@kind(
    "a mask in the folder of an id that no row bears",
    *("manifest.csv", "mask of 1 row", "row 2", "BCBM-RadioGenomics-150-0"),
    end=SAID,
    lost=4,
)
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    return _drawn(folder, table, ["BCBM-RadioGenomics-150-0", *table["patient"][1:]])


@kind("an image that is named as its own mask", "manifest.csv", "row 2", "image and mask", end=SAID, lost=4)
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    volumes = [f"{FIRST}.nii.gz", *[""] * (PATIENTS - 1)]
    return _own(folder, table.assign(image=volumes, mask=volumes))


@kind("files under headings that nothing reads", "'Maske'", "8 rows", "call it image, mask", end=SAID, lost=4)
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    return _own(folder, table.assign(Maske=[f"{name}.nii.gz" for name in table["patient"]]))


@kind("two rows of headings", "manifest.csv", "row 2", "ER, PR and HER2", "one row of headings")
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    heads = table.columns.where(~table.columns.isin(["ER", "PR", "HER2"]), "").tolist()
    lower = pd.DataFrame([["", *[""] * (len(heads) - 4), "ER", "PR", "HER2"]], columns=table.columns)
    table = pd.concat([lower, table]).set_axis([*heads[:-3], "Receptors", "b", "c"], axis=1)
    return _own(folder, table)


@kind("a misspelt feature", "table of radiomics", "original_shape_Sphericity", "original_shape_Sphericty")
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    return _own(folder, table.rename(columns={"original_shape_Sphericity": "original_shape_Sphericty"}))


@kind("scores of one of two sites, whose tables have one name", "second: manifest.csv", "ER", "IRS")
def _(root: Path) -> list[str]:
    words, path = _second(root), root.parent / "second" / "manifest.csv"
    table = pd.read_csv(path)
    table.assign(ER=["4", "8", "12", "0"] * (len(table) // 4)).to_csv(path, index=False)
    return words


@kind("a patient of whose id a spreadsheet has made a date", "manifest.xlsx", "row 2", "date")
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    first = table["patient"] == table["patient"][0]
    table["patient"] = table["patient"].astype(object).mask(first, pd.Timestamp("2026-02-01"))
    table.to_excel(folder / "manifest.xlsx", index=False)
    (folder / "manifest.csv").unlink()
    return [f"cohort.root={folder}"]


@kind("a workbook with two sheets of lesions", "manifest.xlsx", "old, new")
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    with pd.ExcelWriter(folder / "manifest.xlsx") as book:
        table.assign(ER="+").to_excel(book, sheet_name="old", index=False)
        table.to_excel(book, sheet_name="new", index=False)
    (folder / "manifest.csv").unlink()
    return [f"cohort.root={folder}"]


@kind("a misspelt column of corrected names", "names.csv", "'hemishpere'", "'hemisphere'")
def _(root: Path) -> list[str]:
    path = root.parent / "names.csv"
    path.write_text(f"name,hemishpere,region\n{NAME},right,frontal\n")
    return [f"cohort.names={path}"]


@kind("a corrected name with a region that is none", "names.csv", "'forntal'", "frontal")
def _(root: Path) -> list[str]:
    return _names(root, f"{NAME},lesion,left,forntal")


def _names(root: Path, line: str) -> list[str]:
    path = root.parent / "names.csv"
    path.write_text(f"name,category,hemisphere,region\n{line}\n")
    return [f"cohort.names={path}"]


def _own(folder: Path, table: pd.DataFrame) -> list[str]:
    """The words that read a table, once it is written, as one's own."""
    table.to_csv(folder / "manifest.csv", index=False)
    return [f"cohort.root={folder}"]


def _drawn(folder: Path, table: pd.DataFrame, places: Iterable[str]) -> list[str]:
    """The same of a table whose masks lie in folders, one a row."""
    masks = [f"{place}/mask.nii.gz" for place in places]
    for mask in masks:
        (folder / mask).parent.mkdir()
        (folder / mask).touch()
    return _own(folder, table.assign(mask=masks))


def _manifest(root: Path) -> tuple[Path, pd.DataFrame]:
    """A table of one's own, a lesion of each patient by its name and radiomics, and its folder."""
    books = [pd.read_excel(root / book, dtype=object) for book, _ in (CLINICAL_WORKBOOK, RADIOMICS_WORKBOOK)]
    table = (
        books[1].drop_duplicates("FilenamePrefix").merge(books[0], left_on="FilenamePrefix", right_on="ID")
    )
    table = table.rename(columns={"ID": "patient", "Segmentation_Name": "name"})
    table = table[["patient", "name", *table.filter(like="original_"), "ER", "PR", "HER2"]]
    folder = root.parent / "own"
    folder.mkdir()
    (folder / "manifest.csv").write_text(table.to_csv(index=False).removesuffix("\n"))
    return folder, table


@kind(
    "sessions in the column of patients",
    "manifest.csv",
    "8 patients",
    "'BCBM-RadioGenomics-1a' and 'BCBM-RadioGenomics-1b'",
    end=SAID,
    lost=LESIONS - PATIENTS,
)
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    table["patient"] = [f"BCBM-RadioGenomics-{1 + row // 2}{'ab'[row % 2]}" for row in range(len(table))]
    return _own(folder, table)


@kind("one study in other letters", "'P7-1', 'p7-1'", "one study", end=SAID, lost=4)
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    table["study"] = table["patient"] + "-1"
    table.loc[1, ["patient", "ER", "PR", "HER2"]] = table.loc[0, ["patient", "ER", "PR", "HER2"]]
    table.loc[:1, "study"] = ["P7-1", "p7-1"]
    table.loc[:1, "patient"] = "P7"
    return _own(folder, table)


@kind("a row of totals", "manifest.csv", f"row {PATIENTS + 2}", "'Total'", end=SAID, lost=LESIONS - PATIENTS)
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    total = table.tail(1).assign(patient="Total", ER="50%")
    return _own(folder, pd.concat([table, total]))


@kind(
    "a column that marks studies as left out",
    "manifest.csv",
    "'exclude'",
    "'yes' of 1 study",
    "cohort.exclude",
    end=SAID,
    lost=LESIONS - PATIENTS,
)
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    return _own(folder, table.copy().assign(exclude=["yes"] + [""] * (PATIENTS - 1)))


@kind(
    "labels of primary tumours among those of metastases",
    "manifest.csv",
    "'specimen'",
    "1 study",
    "primary_ER",
    end=SAID,
    lost=LESIONS - PATIENTS,
)
def _(root: Path) -> list[str]:
    folder, table = _manifest(root)
    specimens = ["primary"] + ["metastasis"] * (PATIENTS - 1)
    return _own(folder, table.copy().assign(specimen=specimens))


@kind("a column to hold out that is not there", "split.holdout=scanner", "age", command="fit", words=FIT)
def _(root: Path) -> list[str]:
    return ["split.holdout=scanner"]


@kind("a file of folds without a patient", "folds.csv", "BCBM-RadioGenomics-1", command="fit", words=FIT)
def _(root: Path) -> list[str]:
    return _folds(root, {number: number % 2 for number in range(2, PATIENTS + 1)})


@kind(
    "a file of folds with a stranger",
    f"folds.csv row {PATIENTS + 2}",
    "RadioGenomics-99",
    command="fit",
    words=FIT,
)
def _(root: Path) -> list[str]:
    return _folds(root, {number: number // 2 % 2 for number in [*range(1, PATIENTS + 1), 99]})


@kind("a fold under two spellings", "folds.csv", "'0' and '0.0'", command="fit", words=FIT)
def _(root: Path) -> list[str]:
    return _folds(root, {number: "0.0" if number < 3 else number % 2 for number in range(1, PATIENTS + 1)})


@kind(
    "parts in the column of folds",
    "folds.csv",
    "'test' and 'train'",
    "call it part",
    command="fit",
    words=FIT,
)
def _(root: Path) -> list[str]:
    return _folds(root, {number: ("train", "test")[number // 2 % 2] for number in range(1, PATIENTS + 1)})


@kind("a fold for who is in none", "folds.csv", "'-1'", "in no fold", command="fit", words=FIT)
def _(root: Path) -> list[str]:
    return _folds(root, {number: number // 2 % 2 or -1 for number in range(1, PATIENTS + 1)})


@kind("a file of folds without its columns", "folds.csv", "patient", "split.file", command="fit", words=FIT)
def _(root: Path) -> list[str]:
    path = root.parent / "folds.csv"
    path.write_text("id;group\nBCBM-RadioGenomics-1;0\n")
    return [f"split.file={path}"]


def _folds(root: Path, folds: dict[int, int | str]) -> list[str]:
    path = root.parent / "folds.csv"
    rows = [f"BCBM-RadioGenomics-{number},{fold}" for number, fold in folds.items()]
    path.write_text("\n".join(["patient,fold", *rows]) + "\n")
    return [f"split.file={path}"]
