"""What is damaged: a small download, 8 patients with an image and 12 lesions, and hands that change it."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, IMAGE_FOLDER, RADIOMICS_WORKBOOK
from bcbm.features.radiomics import FEATURES, extract_cohort
from bcbm.features.records import Study

PATIENTS, SIZE = 8, 20
AFFINE = np.array([[-1.0, 0, 0, 9], [0, -1.0, 0, 11], [0, 0, 1.0, -8], [0, 0, 0, 1]])
FIRST, SECOND, LAST = (f"BCBM-RadioGenomics-{number}-0" for number in (1, 2, PATIENTS))
NAME = "left-frontal"  # of each patient's first lesion
OTHER = "right-parietal"  # of every second pair of patients, the second
LESIONS = PATIENTS + PATIENTS // 2


def write_download(root: Path) -> None:
    """A download whose every file is sound."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True)
    clinical, radiomics = [], []
    for number in range(1, PATIENTS + 1):
        study = f"BCBM-RadioGenomics-{number}-0"
        signs = ["+" if number & bit else "-" for bit in (1, 2, 4)]
        clinical.append([study, *signs, 40 + number, "3", 2010 + number % 4])
        brain = np.zeros((SIZE,) * 3, np.float32)
        brain[1:-1, 1:-1, 1:-1] = (1 + number % 2) * rng.uniform(100, 900, (SIZE - 2,) * 3)
        save(image_of(root, study), brain)
        for place, name in enumerate([NAME, OTHER][: 1 + (number // 2 % 2)]):
            mask = np.zeros((SIZE,) * 3, np.uint8)
            low, other = 4 + 7 * place, 4 + 7 * place + number // 3  # no two patients have one mask
            mask[low : low + 4, other : other + 4, low : low + 3 + number % 3] = 1
            save(mask_of(root, study, name), mask)
            radiomics.append((study, name))
    heads = ["ID", "ER", "PR", "HER2", "Age", "Magnetic Field Strength ID", "Year"]
    write_sheet(root, CLINICAL_WORKBOOK, pd.DataFrame(clinical, columns=heads))
    studies = {study: Study(image_of(root, study), {}) for study, _ in radiomics}
    for study, name in radiomics:
        studies[study].masks[f"{study}/{name}"] = mask_of(root, study, name)
    values = extract_cohort(list(studies.values()), 1)[0]
    lesions = pd.DataFrame(
        {
            "FilenamePrefix": [study for study, _ in radiomics],
            "Segmentation_Name": [f"mask_{name}" for _, name in radiomics],
        },
        [f"{study}/{name}" for study, name in radiomics],
    )
    write_sheet(root, RADIOMICS_WORKBOOK, lesions.join(values[list(FEATURES)]))


def write_sheet(root: Path, book: tuple[str, str], table: pd.DataFrame) -> None:
    """Write a workbook of one sheet."""
    table.to_excel(root / book[0], sheet_name=book[1], index=False)


def edit(root: Path, book: tuple[str, str], change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> None:
    """Change the table of a workbook: in place, or for the one that is returned."""
    table = pd.read_excel(root / book[0], sheet_name=book[1], dtype=object, keep_default_na=False)
    changed = change(table)
    write_sheet(root, book, table if changed is None else changed)


def edit_cell(root: Path, book: tuple[str, str], row: int, column: str, value: object) -> None:
    """Write a cell; the row as Excel counts it."""

    def change(table: pd.DataFrame) -> None:
        table.loc[row - 2, column] = value

    edit(root, book, change)


def image_of(root: Path, study: str) -> Path:
    """The image of a study."""
    return root / IMAGE_FOLDER / study / f"{study}_image_ss_n4.nii.gz"


def mask_of(root: Path, study: str, name: str = NAME) -> Path:
    """A mask of a study."""
    return root / IMAGE_FOLDER / study / f"{study}_mask_{name}.nii.gz"


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """Write a volume."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)


def values_of(path: Path) -> np.ndarray:
    """The voxels of a volume."""
    return np.asarray(nib.load(path).dataobj)
