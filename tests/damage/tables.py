"""Workbooks and folders that are not what they should be."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from openpyxl import load_workbook
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.comments import Comment
from openpyxl.styles import Font, PatternFill

from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, RADIOMICS_WORKBOOK
from damage.given import FIRST, LESIONS, NAME, PATIENTS, SECOND, edit, edit_cell, write_sheet
from damage.kind import SAID, TABLES, kind

CLINICAL, RADIOMICS = CLINICAL_WORKBOOK[0], RADIOMICS_WORKBOOK[0]
FEATURE = "original_firstorder_Mean"
FIT = (*TABLES, "model.kind=logistic_l2", "split.folds=2")


@kind("the download's folder is not there", "nowhere", "cohort.root")
def _(root: Path) -> list[str]:
    return [f"cohort.root={root}/nowhere"]


@kind("the download's folder is empty", "empty", "nothing", "cohort.root")
def _(root: Path) -> list[str]:
    (root / "empty").mkdir()
    return [f"cohort.root={root / 'empty'}"]


@kind("a folder without the download", "notes.txt", "cohort.root")
def _(root: Path) -> list[str]:
    (root / "other").mkdir()
    (root / "other" / "notes.txt").write_text("nothing here")
    return [f"cohort.root={root / 'other'}"]


@kind("the prepared folder lies in the download", "prepared.root", "cohort.root")
def _(root: Path) -> list[str]:
    return [f"prepared.root={root / 'prepared'}"]


@kind("the clinical workbook is not there", CLINICAL, "no such workbook")
def _(root: Path) -> None:
    (root / CLINICAL).unlink()


@kind("the radiomics workbook is not there", RADIOMICS, "no such workbook")
def _(root: Path) -> None:
    (root / RADIOMICS).unlink()


@kind("a workbook cut short by its download", CLINICAL, "download the workbook again")
def _(root: Path) -> None:
    (root / CLINICAL).write_bytes((root / CLINICAL).read_bytes()[:-2000])


@kind("a second version of a workbook", f"{CLINICAL[:-5]} (1).xlsx", "is not read", end=SAID)
def _(root: Path) -> None:
    (root / f"{CLINICAL[:-5]} (1).xlsx").write_bytes((root / CLINICAL).read_bytes())


@kind("a workbook that a program has open", CLINICAL, "is open", end=SAID)
def _(root: Path) -> None:
    (root / f"~${CLINICAL}").write_bytes(bytes(165))


@kind("a workbook that is a web page", RADIOMICS, "download the workbook again")
def _(root: Path) -> None:
    (root / RADIOMICS).write_text("<html><body>Please log in</body></html>")


@kind("cells of several rows merged into one", CLINICAL, "merged cells", "ER", end=SAID)
def _(root: Path) -> None:
    book = load_workbook(root / CLINICAL)
    page = book[CLINICAL_WORKBOOK[1]]
    letter = next(cell.column_letter for cell in page[1] if str(cell.value).strip() == "ER")
    page.merge_cells(f"{letter}2:{letter}3")
    book.save(root / CLINICAL)


@kind("a row that a filter hides", CLINICAL, "row 3", "hidden row", "BCBM-RadioGenomics-2-0", end=SAID)
def _(root: Path) -> None:
    book = load_workbook(root / CLINICAL)
    book[CLINICAL_WORKBOOK[1]].row_dimensions[3].hidden = True
    book.save(root / CLINICAL)


@kind("corrections on a sheet of their own", CLINICAL, "sheet corrections", "is not read", end=SAID)
def _(root: Path) -> None:
    rows = pd.read_excel(root / CLINICAL, sheet_name=CLINICAL_WORKBOOK[1])
    with pd.ExcelWriter(root / CLINICAL, mode="a") as book:
        rows.head(2).to_excel(book, sheet_name="corrections", index=False)


@kind("a legend that reverses numbers", CLINICAL, "sheet Codebook", "0 = positive", end=SAID)
def _(root: Path) -> None:
    with pd.ExcelWriter(root / CLINICAL, mode="a") as book:
        pd.DataFrame({"of": ["ER, PR: 0 = positive, 1 = negative"]}).to_excel(book, sheet_name="Codebook")


@kind("a remark that leaves a study out", CLINICAL, "'Remarks'", "'excluded' of 1 study", end=SAID)
def _(root: Path) -> None:
    remarks = ["to be excluded: poor image", *["seen twice"] * (PATIENTS - 1)]
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(Remarks=remarks))


@kind("a heading of the clinical workbook with its unit", "'Age (years)'", "call it Age", end=SAID)
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: table.rename(columns={"Age": "Age (years)"}))


@kind("a column that is hidden", CLINICAL, "column ER", "hidden column", end=SAID)
def _(root: Path) -> None:
    book = load_workbook(root / CLINICAL)
    book[CLINICAL_WORKBOOK[1]].column_dimensions["B"].hidden = True
    book.save(root / CLINICAL)


@kind("a label that is struck through", CLINICAL, "row 2", "ER", "struck-through", "missing", end=SAID)
def _(root: Path) -> None:
    book = load_workbook(root / CLINICAL)
    book[CLINICAL_WORKBOOK[1]]["B2"].font = Font(strike=True)
    book.save(root / CLINICAL)


@kind("a part of a label that is struck through", CLINICAL, "row 2", "struck-through", "- +", "+", end=SAID)
def _(root: Path) -> None:
    book = load_workbook(root / CLINICAL)
    parts = TextBlock(InlineFont(strike=True), "- "), TextBlock(InlineFont(b=True), "+")
    book[CLINICAL_WORKBOOK[1]]["B2"].value = CellRichText(*parts)
    book.save(root / CLINICAL)


@kind(
    "volumes in ml",
    *("volumes", "less than a voxel", "mm3"),
    words=("task.modalities=[burden]", "model.kind=logistic_l2"),
    end=SAID,
)
def _(root: Path) -> None:
    volume = "original_shape_VoxelVolume"
    edit(root, RADIOMICS_WORKBOOK, lambda table: table.assign(**{volume: table[volume] / 1000}))


@kind(
    "volumes of which some are in ml",
    *("volumes", "3 lesions of less than a voxel", "mm3"),
    words=("task.modalities=[burden]", "model.kind=logistic_l2"),
    end=SAID,
)
def _(root: Path) -> None:
    volume = "original_shape_VoxelVolume"
    factors = [0.001] * 3 + [1.0] * (LESIONS - 3)
    edit(root, RADIOMICS_WORKBOOK, lambda table: table.assign(**{volume: table[volume] * factors}))


@kind(
    "lesions without a volume, where their burden is read",
    *("volumes", f"2 of {LESIONS} lesions have none"),
    words=("task.modalities=[burden]", "model.kind=logistic_l2"),
    end=SAID,
)
def _(root: Path) -> None:
    def change(table: pd.DataFrame) -> None:
        table.loc[:1, "original_shape_VoxelVolume"] = ""

    edit(root, RADIOMICS_WORKBOOK, change)


@kind("a column of the clinical workbook that leaves out", CLINICAL, "'QC'", "cohort.exclude", end=SAID)
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(QC=["fail", *["pass"] * (PATIENTS - 1)]))


@kind("a row that is marked in colour", CLINICAL, "row 3", "coloured cell", "not read", end=SAID)
def _(root: Path) -> None:
    book = load_workbook(root / CLINICAL)
    for cell in book[CLINICAL_WORKBOOK[1]][3]:
        cell.fill = PatternFill("solid", fgColor="FFFF0000")
    book.save(root / CLINICAL)


@kind("a comment on a label", CLINICAL, "row 2, column ER", "with a comment", end=SAID)
def _(root: Path) -> None:
    book = load_workbook(root / CLINICAL)
    book[CLINICAL_WORKBOOK[1]]["B2"].comment = Comment("of the primary; the metastasis is negative", "A. B.")
    book.save(root / CLINICAL)


@kind("a code for a label that is not known", CLINICAL, "column ER", "0, 1, 9", "cohort.readings")
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(ER=[0, 1, 9, *[0] * (PATIENTS - 3)]))


@kind("empty labels that a formula looked up as 0", CLINICAL, "column PR", "empty cell", "cohort.readings")
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 3, "PR", 0)


@kind("codes of positive and negative that may be scores", CLINICAL, "column HER2", "1, 2", "cohort.readings")
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(HER2=[1, 2] * (PATIENTS // 2)))


@kind("a receptor whose numbers mean two things", CLINICAL, "column ER", "2, 5", "cohort.readings")
def _(root: Path) -> None:
    for row, cell in ((2, 2), (3, 5)):
        edit_cell(root, CLINICAL_WORKBOOK, row, "ER", cell)


@kind("a label that contradicts itself", CLINICAL, "row 2", FIRST, "ER", "negative (5 %)", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 2, "ER", "negative (5 %)")


@kind("HER2 of 2+ without ISH", CLINICAL, "HER2", "2+", "1 row", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 2, "HER2", "IHC 2+")


@kind("a correction of labels with a word that is not known", "readings.csv line 2", "'yes'", "positive")
def _(root: Path) -> list[str]:
    (root.parent / "readings.csv").write_text("target,cell,label\nER,+,yes\n")
    return [f"cohort.readings={root.parent / 'readings.csv'}"]


@kind("a workbook locked by a password, or of an old kind", CLINICAL, "password", ".xls")
def _(root: Path) -> None:
    (root / CLINICAL).write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(4000))


@kind("a CSV file renamed to a workbook", CLINICAL, "'ID,ER,PR,HER2", ".xlsx")
def _(root: Path) -> None:
    (root / CLINICAL).write_text("ID,ER,PR,HER2\n")


@kind(
    "a radiomics row without its segmentation", RADIOMICS, "row 2", "no Segmentation_Name", end=SAID, lost=1
)
def _(root: Path) -> None:
    edit_cell(root, RADIOMICS_WORKBOOK, 2, "Segmentation_Name", "")


@kind("a sheet by another name", CLINICAL, CLINICAL_WORKBOOK[1], "'Sheet1'")
def _(root: Path) -> None:
    table = pd.read_excel(root / CLINICAL, dtype=object)
    write_sheet(root, (CLINICAL, "Sheet1"), table)


@kind("a workbook without the column of its studies", CLINICAL, "'ID'")
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: table.drop(columns="ID"))


@kind("two columns of one heading", CLINICAL, "'PR'")
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(**{"PR ": "+"}))


@kind("a workbook that lacks a feature", "table of radiomics", FEATURE)
def _(root: Path) -> None:
    edit(root, RADIOMICS_WORKBOOK, lambda table: table.drop(columns=FEATURE))


@kind("a label that is no label", CLINICAL, "row 2", FIRST, "ER", "'positive?'", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 2, "ER", "positive?")


@kind("a study twice in the clinical workbook", CLINICAL, f"row {PATIENTS + 2}", FIRST, end=SAID)
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: pd.concat([table, table.head(1)]))


@kind("a clinical row without its study", CLINICAL, "row 3", "no ID", end=SAID, lost=2)
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 3, "ID", "")


@kind("a study without its clinical row", SECOND, CLINICAL, end=SAID, lost=2)
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: table[table["ID"] != SECOND])


@kind("labels of lesions where the tables have those of studies", "tcia", "cohort.labels=lesion")
def _(root: Path) -> Sequence[str]:
    return ("cohort.labels=lesion",)


@kind("two sessions that disagree on a label", "BCBM-RadioGenomics-1", "PR", "cohort.labels", end=SAID)
def _(root: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        later = table.head(1).assign(ID=FIRST[:-1] + "1", PR="+")
        return pd.concat([table, later])

    edit(root, CLINICAL_WORKBOOK, change)


@kind("one patient under two spellings", "'BCBM-RadioGenomics-02'", "cohort.same_patients")
def _(root: Path) -> None:
    _second_again(root, "BCBM-RadioGenomics-02-1")


@kind("one patient behind another dash", "'BCBM\u2013RadioGenomics\u20132'", "cohort.same_patients")
def _(root: Path) -> None:
    _second_again(root, "BCBM\u2013RadioGenomics\u20132\u20131")


@kind("one patient whose id lacks a letter", "'BCBM-RadioGenomic-2'", "cohort.same_patients")
def _(root: Path) -> None:
    _second_again(root, "BCBM-RadioGenomic-2-1")


@kind("one patient behind a quotation mark", '"\'BCBM-RadioGenomics-2"', "cohort.same_patients")
def _(root: Path) -> None:
    _second_again(root, "'BCBM-RadioGenomics-2-1")


@kind("an id spelt unlike all others", "BCBM-RadioGenomcis-77", "BCBM-RadioGenomics-1", end=SAID)
def _(root: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([table, table[1:2].assign(ID="BCBM-RadioGenomcis-77-0")])

    edit(root, CLINICAL_WORKBOOK, change)


@kind("a study id without its session", "BCBM_RadioGenomics_77", "patient of its own", end=SAID, lost=1)
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 2, "ID", "BCBM_RadioGenomics_77")


@kind("a target without any label", "PR", command="fit", words=FIT)
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(PR=""))


@kind(
    "a label that too few patients have for the folds",
    "ER",
    "1 positive",
    "2 folds",
    command="fit",
    words=FIT,
)
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(ER=["+", *["-"] * (PATIENTS - 1)]))


@kind("a formula without its value", CLINICAL, "row 2", "ER", "'=1+1'", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 2, "ER", "=1+1")


@kind("an error cell", CLINICAL, "row 2", "ER", "'#N/A'", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 2, "ER", "#N/A")


@kind("a decimal comma", RADIOMICS, "row 2", FEATURE, "'0,5'", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, RADIOMICS_WORKBOOK, 2, FEATURE, "0,5")


@kind("an age in months, as DICOM writes it", CLINICAL, "row 2", "Age", "'018M'", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 2, "Age", "018M")


@kind("a radiomics workbook without rows", "no lesion is left", "reasons above")
def _(root: Path) -> None:
    edit(root, RADIOMICS_WORKBOOK, lambda table: table.head(0))


@kind("a target of a column that is not there", "Ki67", "cohort.targets")
def _(root: Path) -> list[str]:
    return ["cohort.targets={Ki67: {column: Ki67, positive: '>= 20'}}", "task.targets=[Ki67]"]


@kind("a word of one's own target misspelt", "row 2", "'lobulr'", "write lobular", end=SAID)
def _(root: Path) -> list[str]:
    words = ["lobulr", "lobular", *["ductal"] * (PATIENTS - 2)]
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(Histology=words))
    return ["cohort.targets={lobular: {column: Histology, positive: lobular}}"]


@kind("a word that is no answer of one's own target", "'QNS' in 1 row", "no rule names", end=SAID)
def _(root: Path) -> list[str]:
    words = ["QNS", "mutated", *["wild type"] * (PATIENTS - 2)]
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(PIK3CA=words))
    return ["cohort.targets={pik3ca: {column: PIK3CA, positive: mutated}}"]


@kind("a short word of one's own target", "row 2", "'mut'", "write mutated", end=SAID)
def _(root: Path) -> list[str]:
    words = ["mut", "mutated", *["wild type"] * (PATIENTS - 2)]
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(PIK3CA=words))
    return ["cohort.targets={pik3ca: {column: PIK3CA, positive: mutated}}"]


@kind("a share among percentages of one's own target", "row 2", "'0.25'", "share", end=SAID)
def _(root: Path) -> list[str]:
    cells = ["0.25", *["20"] * (PATIENTS - 1)]
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(Ki67=cells))
    return ["cohort.targets={ki67: {column: Ki67, positive: '>= 20'}}"]


@kind("a word of one's own target in other letters", "row 2", "'h\u0456gh'", "write high", end=SAID)
def _(root: Path) -> list[str]:
    words = ["h\u0456gh", "high", *["low"] * (PATIENTS - 2)]  # a Cyrillic letter
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(Grade=words))
    return ["cohort.targets={grade: {column: Grade, positive: high}}"]


@kind("a number of one's own target that stands for a missing one", "row 2", "'999'", "missing", end=SAID)
def _(root: Path) -> list[str]:
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(Ki67=["999", *["30"] * (PATIENTS - 1)]))
    return ["cohort.targets={ki67: {column: Ki67, positive: '>= 20'}}"]


@kind("a feature that is not a number", RADIOMICS, "row 2", FEATURE, "'n/a'", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, RADIOMICS_WORKBOOK, 2, FEATURE, "n/a")


@kind("a feature that is infinite", RADIOMICS, "row 2", FEATURE, "'inf'", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, RADIOMICS_WORKBOOK, 2, FEATURE, "inf")


@kind("a feature that no lesion has", "table of radiomics", FEATURE, end=SAID)
def _(root: Path) -> None:
    edit(root, RADIOMICS_WORKBOOK, lambda table: table.assign(**{FEATURE: ""}))


@kind("a feature that some lesions lack", "table of radiomics", f"{FEATURE} of 2", "medians", end=SAID)
def _(root: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(**{FEATURE: table[FEATURE].mask(table.index < 2)})

    edit(root, RADIOMICS_WORKBOOK, change)


@kind("a lesion that lacks most features", "1 lesion without most features", FIRST, end=SAID)
def _(root: Path) -> None:
    def change(table: pd.DataFrame) -> None:
        names = [name for name in table if str(name).startswith("original_")]
        table[names] = table[names].astype(float)
        table.loc[0, names[2:]] = float("nan")

    edit(root, RADIOMICS_WORKBOOK, change)


@kind("a feature that stands for a missing one", RADIOMICS, "row 2", FEATURE, "'-999'", "missing", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, RADIOMICS_WORKBOOK, 2, FEATURE, -999)


@kind("two columns of one receptor that disagree", CLINICAL, "'ER status'", "'ER'", "not read", end=SAID)
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(**{"ER status": table["PR"]}))


@kind("a corrected column beside that of its receptor", CLINICAL, "'ER (corrected)'", "not read", end=SAID)
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(**{"ER (corrected)": table["PR"]}))


@kind("a subtype that contradicts the receptors", CLINICAL, "subtype", "1 row", FIRST, "'TNBC'", end=SAID)
def _(root: Path) -> None:
    cells = ["TNBC", "HR+/HER2-", *[""] * (PATIENTS - 2)]  # of a patient with ER+, and of one with PR+
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(**{"Molecular subtype": cells}))


@kind("a HER2 that contradicts its ISH", CLINICAL, "ISH", "1 row", FIRST, "amplified", end=SAID)
def _(root: Path) -> None:
    cells = ["amplified", *["not amplified"] * 2, *[""] * (PATIENTS - 3)]
    edit(root, CLINICAL_WORKBOOK, lambda table: table.assign(**{"HER2 FISH": cells}))


@kind("a sphericity that lost its decimal point", RADIOMICS, "row 2", "'987'", "missing", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, RADIOMICS_WORKBOOK, 2, "original_shape_Sphericity", 987)


@kind("radiomics in centimetres", "table of radiomics", "voxels of 0.1 mm", f"{LESIONS} lesions", end=SAID)
def _(root: Path) -> None:
    powers = dict.fromkeys(["MeshVolume", "VoxelVolume"], -3) | {"SurfaceArea": -2, "SurfaceVolumeRatio": 1}
    lengths = (
        ["Least", "Major", "Minor"],
        ("2DDiameterColumn", "2DDiameterRow", "2DDiameterSlice", "3DDiameter"),
    )
    powers |= dict.fromkeys([f"{name}AxisLength" for name in lengths[0]], -1)
    powers |= dict.fromkeys([f"Maximum{name}" for name in lengths[1]], -1)
    scaled = {f"original_shape_{name}": 10.0**power for name, power in powers.items()}
    edit(root, RADIOMICS_WORKBOOK, lambda table: table.assign(**{n: table[n] * k for n, k in scaled.items()}))


@kind("features of two lesions exchanged", f"{FIRST}/{NAME}", "TotalEnergy", "VoxelVolume", end=SAID)
def _(root: Path) -> None:
    def change(table: pd.DataFrame) -> None:
        shape = [name for name in table if "_shape_" in name]
        table.loc[[0, 1], shape] = table.loc[[1, 0], shape].to_numpy()

    edit(root, RADIOMICS_WORKBOOK, change)


@kind("radiomics of grey levels of another width", f"{FIRST}/{NAME}", "5.01 wide", "25", end=SAID)
def _(root: Path) -> None:
    def change(table: pd.DataFrame) -> None:
        table.loc[0, "original_gldm_GrayLevelVariance"] *= 25

    edit(root, RADIOMICS_WORKBOOK, change)


@kind("a lesion twice in the radiomics workbook", RADIOMICS, FIRST, NAME, end=SAID)
def _(root: Path) -> None:
    edit(root, RADIOMICS_WORKBOOK, lambda table: pd.concat([table, table.head(1)]))


@kind("a radiomics row without its study", RADIOMICS, "row 2", "no FilenamePrefix", end=SAID, lost=1)
def _(root: Path) -> None:
    edit_cell(root, RADIOMICS_WORKBOOK, 2, "FilenamePrefix", "")


@kind("a lesion that two patients share, to the last digit", FIRST, SECOND, end=SAID, lost=2)
def _(root: Path) -> None:
    _copy_row(root, 1.0)


@kind("a lesion that two patients share, but for rounding", FIRST, SECOND, end=SAID, lost=2)
def _(root: Path) -> None:
    _copy_row(root, 1 + 1e-9)


def _second_again(root: Path, identifier: str) -> None:
    """Add a study of the second patient under another spelling."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([table, table[1:2].assign(ID=identifier)])

    edit(root, CLINICAL_WORKBOOK, change)


def _copy_row(root: Path, factor: float) -> None:
    """Give a lesion of another patient the values of the first, and so its mask."""

    def change(table: pd.DataFrame) -> None:
        columns = table.columns[2:]
        table.loc[1, columns] = table.loc[0, columns].to_numpy(float) * factor

    edit(root, RADIOMICS_WORKBOOK, change)


@kind("a field strength without its decimal point", CLINICAL, "row 2", "'15'", "missing", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 2, "Magnetic Field Strength ID", 15)


@kind("an age of nothing", CLINICAL, "row 2", "Age", "'0'", "missing", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 2, "Age", 0)


@kind("a year that is yet to come", CLINICAL, "row 2", "'2099'", "missing", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 2, "Year", 2099)


@kind("a year with a fraction", CLINICAL, "row 2", "'2014.5'", "counts as 2014", end=SAID)
def _(root: Path) -> None:
    edit_cell(root, CLINICAL_WORKBOOK, 2, "Year", 2014.5)


@kind("an acquisition column by another name", CLINICAL, "'Year'", "'Years'", end=SAID)
def _(root: Path) -> None:
    edit(root, CLINICAL_WORKBOOK, lambda table: table.rename(columns={"Year": "Years"}))
