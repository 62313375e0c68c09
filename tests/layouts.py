"""One cohort in the layouts that `cohort.format` reads: from a TCIA download to a manifest and to BIDS."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd

from bcbm.cohort.cells import READERS
from bcbm.cohort.download import Download

SIGNS = {1.0: "+", 0.0: "-"}


def label_signs(download: Download) -> pd.DataFrame:
    """The studies with labels as signs, "" where there is none, and what is known of them."""
    studies = download.studies.copy()
    for target in download.targets:
        studies[target] = studies[target].map(SIGNS).fillna("")
    return studies


def write_manifest(download: Download, root: Path, suffix: str = ".csv") -> Path:
    """A table in `root` that names the files of a download where they lie."""
    root.mkdir(parents=True)
    rows = download.segmentations.rename(columns={"study_id": "study", "image_path": "image"})
    rows = rows.rename(columns={"mask_path": "mask"}).drop(columns="in_workbook")
    table = rows.merge(label_signs(download).rename(columns={"study_id": "study"}), on="study")
    table = table.rename(columns={"patient_id": "patient"})
    table = pd.concat([table, download.features], axis=1)
    path = root / f"manifest{suffix}"
    if suffix == ".xlsx":
        table.to_excel(path, index=False)
    elif suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    return path


def small_brains(count: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Invented brains of 24 voxels of 6 mm a side: number, intensities, and two lesions as label values."""
    draws = np.random.default_rng(0)
    for number in range(1, count + 1):
        brain, labels = np.zeros((24, 24, 24)), np.zeros((24, 24, 24))
        brain[2:22, 2:22, 2:22] = draws.integers(100, 400, (20, 20, 20))
        labels[4:8, 4:8, 4:8], labels[12:18, 12:17, 12:18] = 1, 2
        yield f"{number:02}", brain, labels


def save_small(values: np.ndarray, path: Path) -> None:
    """Write a volume of voxels of 6 mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), np.diag([-6.0, -6, 6, 1])), path)


def small_signs(number: str) -> list[str]:
    """ER, PR and HER2 of an invented patient."""
    return ["+-"[int(number) % 2], "+-"[int(number) % 3 > 0], "+-"[int(number) % 4 > 1]]


def write_small_bids(root: Path, subjects: int = 12) -> None:
    """A dataset of small invented brains, each with a mask of two lesions."""
    rows = ["participant_id\tER\tPR\tHER2"]
    for number, brain, labels in small_brains(subjects):
        stem = f"sub-{number}"
        for name, values in (("ce-gd_T1w", brain), ("dseg", labels)):
            save_small(values, root / stem / "anat" / f"{stem}_{name}.nii.gz")
        rows.append("\t".join([stem, *small_signs(number)]))
    (root / "participants.tsv").write_text("\n".join(rows) + "\n")


def write_small_folder(root: Path, table: Path, patients: int = 12) -> None:
    """A hospital's folder of small invented brains, a mask a lesion, and its table of labels."""
    rows = []
    for number, brain, labels in small_brains(patients):
        save_small(brain, root / f"000{number}" / "2019" / "T1 KM.nii.gz")
        for value in (1, 2):
            save_small(labels == value, root / f"000{number}" / "2019" / f"Metastase {value}.nii.gz")
        er, pr, her2 = small_signs(number)
        er, her2 = {"+": "90 %", "-": "negativ"}[er], {"+": "3+", "-": "Her2 2+ (FISH neg)"}[her2]
        rows.append([int(number), "Jane Doe", er, pr, her2, 40 + int(number)])
    headings = ["Patient ID", "Name", "Estrogen receptor", "PR", "HER2/neu", "Age"]
    pd.DataFrame(rows, columns=headings).to_excel(table, index=False)


def write_bids(download: Download, root: Path) -> None:
    """A dataset whose subjects are the download's patients, its masks in derivatives."""
    patients = {
        name: f"sub-{number:04}"
        for number, name in enumerate(sorted(download.studies["patient_id"].unique()))
    }
    studies = {}
    for patient, rows in download.studies.groupby("patient_id"):
        for number, study in enumerate(sorted(rows["study_id"])):
            studies[study] = (patients[patient], f"ses-{number:02}")
    for study, rows in download.segmentations.groupby("study_id"):
        subject, session = studies[str(study)]
        stem = f"{subject}_{session}"
        anatomy = root / subject / session / "anat"
        masks = root / "derivatives" / "drawn" / subject / session / "anat"
        for folder in (anatomy, masks):
            folder.mkdir(parents=True)
        shutil.copyfile(rows["image_path"].iloc[0], anatomy / f"{stem}_ce-gd_T1w.nii.gz")
        (anatomy / f"{stem}_ce-gd_T1w.json").write_text(json.dumps({"Modality": "MR"}))
        for number, (name, mask) in enumerate(zip(rows["name"], rows["mask_path"], strict=True)):
            drawn = f"{stem}_desc-{number:02}_dseg"
            shutil.copyfile(mask, masks / f"{drawn}.nii.gz")
            (masks / f"{drawn}.tsv").write_text(f"index\tname\n1\t{name}\n")
    signs = label_signs(download)
    words = {"+": "1", "-": "2", "": "n/a"}
    persons = signs.drop_duplicates("patient_id").set_index("patient_id")
    table = pd.DataFrame({"participant_id": [patients[name] for name in persons.index]})
    for target in download.targets:
        table[target] = [words[sign] for sign in persons[target]]
    table["age"] = persons["age"].to_list()
    table.replace("", "n/a").to_csv(root / "participants.tsv", sep="\t", index=False)
    levels = {target: {"Levels": {"1": "+", "2": "-"}} for target in download.targets}
    (root / "participants.json").write_text(json.dumps(levels))
    for patient, rows in signs.groupby("patient_id"):
        sessions = rows.assign(session_id=[studies[study][1] for study in rows["study_id"]])
        others = [name for name in READERS if name in sessions.columns.drop("age")]
        folder = root / patients[str(patient)]
        sessions[["session_id", *others]].to_csv(
            folder / f"{folder.name}_sessions.tsv", sep="\t", index=False
        )
    description = {"Name": "Invented", "BIDSVersion": "1.10.0", "License": "CC0"}
    (root / "dataset_description.json").write_text(json.dumps(description))
