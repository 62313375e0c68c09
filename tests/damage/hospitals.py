"""Studies and cohorts that are put together and do not belong together."""

from pathlib import Path

import pandas as pd
from layouts import write_manifest

from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, RADIOMICS_WORKBOOK, read_download
from damage.given import LESIONS, PATIENTS, edit
from damage.kind import IMAGES, SAID, kind

PATIENT, NEXT = "BCBM-RadioGenomics-1", "BCBM-RadioGenomics-2"  # the second has two lesions
OTHER, SESSION = "BCBM-RadioGenomics-5-0", f"{PATIENT}-1"  # with the labels of the first patient, but HER2


@kind("a study of another person among a patient's", PATIENT, "41 and 71", "several people", end=SAID)
def _(root: Path) -> None:
    def moved(table: pd.DataFrame) -> pd.DataFrame:
        return table.replace(OTHER, SESSION)

    def older(table: pd.DataFrame) -> pd.DataFrame:
        changed = moved(table)
        changed.loc[changed["ID"] == SESSION, ["Age", "HER2"]] = [71, "-"]
        return changed

    edit(root, RADIOMICS_WORKBOOK, moved)
    edit(root, CLINICAL_WORKBOOK, older)


@kind("a site of two cohorts by one name", "north and south", "alike: 1", end=SAID, lost=-LESIONS)
def _(root: Path) -> list[str]:
    folders = []
    for name, factor in (("north", 1.0), ("south", 1.3)):
        download = read_download(root)
        download.features *= factor
        download.studies["site"] = "1"
        table = pd.read_csv(path := write_manifest(download, root.parent / name), dtype=str)
        table.drop(columns=["image", "mask"]).to_csv(path, index=False)
        folders.append(str(path.parent))
    return [f"cohort.root=[{','.join(folders)}]"]


@kind("several lesions in a row", "'mask_2'", "4 rows", "a row a lesion", end=SAID, lost=LESIONS - PATIENTS)
def _(root: Path) -> list[str]:
    path = write_manifest(read_download(root), root.parent / "own")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows = table.drop_duplicates("patient")
    others = table[table.duplicated("patient")].set_index("patient")["mask"]
    rows.assign(mask_2=rows["patient"].map(others).fillna("")).to_csv(path, index=False)
    return [f"cohort.root={path.parent}"]


@kind(
    "two studies that name one image",
    f"{NEXT}-0",
    f"{NEXT}-1",
    "its image is that of",
    end=SAID,
    words=IMAGES,
)
def _(root: Path) -> list[str]:
    path = write_manifest(read_download(root), root.parent / "own")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    later = table["patient"].eq(NEXT) & table.duplicated("patient")
    table.loc[later, "study"] = f"{NEXT}-1"
    table.to_csv(path, index=False)
    return [f"cohort.root={path.parent}"]


@kind("an edema named as its lesion", f"{NEXT}-0/met 2 edema", "named as met 2", "cohort.names", end=SAID)
def _(root: Path) -> list[str]:
    path = write_manifest(read_download(root), root.parent / "own")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[table["patient"] == NEXT, "name"] = ["met 2", "met 2 edema"]
    table.to_csv(path, index=False)
    return [f"cohort.root={path.parent}"]
