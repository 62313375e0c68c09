"""Writes small downloads, and reads them as far as the settled lesion table."""

import pandas as pd

from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, IMAGE_FOLDER, RADIOMICS_WORKBOOK, read_download
from bcbm.cohort.table import build_table, settle

P = "BCBM-RadioGenomics"
LABELS = [("1-0", "+", "-", "+"), ("2-0", "-", "", "+")]


def download(root, lesions, labels, files=None, columns=("original_a", "original_shape_VoxelVolume")):
    """A download of lesions (study, name, *features), labels (study, ER, PR, HER2), files (study, name)."""
    root.mkdir(parents=True, exist_ok=True)
    rows = [[f"{P}-{s}", f"mask_{n}", *v] for s, n, *v in lesions]
    header = ["FilenamePrefix ", " Segmentation_Name", *columns]
    pd.DataFrame(rows, columns=header).to_excel(
        root / RADIOMICS_WORKBOOK[0], sheet_name=RADIOMICS_WORKBOOK[1], index=False
    )
    rows = [[f"{P}-{s}", *v] for s, *v in labels]
    pd.DataFrame(rows, columns=["ID", " ER", "PR ", "HER2"]).to_excel(
        root / CLINICAL_WORKBOOK[0], sheet_name=CLINICAL_WORKBOOK[1], index=False
    )
    for study, name in files or []:
        folder = root / IMAGE_FOLDER / f"{P}-{study}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{P}-{study}_image_ss_n4.nii.gz").write_bytes(b"image" + study.encode().rjust(8))
        (folder / f"{P}-{study}_mask_{name}.nii.gz").write_bytes(name.encode().rjust(8))
    return root


def lesions_of(root, policy="lesions+targets"):
    table, radiomics, problems = build_table(read_download(root))
    problems += settle(table, policy, None)
    return table.set_index("lesion_id", drop=False), radiomics, [str(problem) for problem in problems]


def row(number):
    return float(number), float(number)
