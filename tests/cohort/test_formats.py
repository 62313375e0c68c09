"""Cohort formats: one that an installed package adds, and what is said where none fits."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from fits import fit

from bcbm.cohort.formats import FORMATS, format_name
from bcbm.cohort.formats.base import files_content
from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, IMAGE_FOLDER
from bcbm.config.compose import compose
from bcbm.errors import ConfigError, InputError

TOY = """
import pandas as pd

from bcbm.cohort.download import Download
from bcbm.cohort.formats.base import Format
from bcbm.cohort.targets import read_labels


def read(root, targets, sequences):
    problems = []
    cells = pd.read_csv(root / "lesions.csv", dtype=str, keep_default_na=False)
    segmentations = cells[["study_id", "name"]].assign(image_path="", mask_path="", in_workbook=True)
    rows = [f"line {line}" for line in cells.index + 2]
    labels = read_labels(cells, targets, "lesions.csv", rows, problems)
    studies = cells[["study_id", "patient_id"]].join(labels).drop_duplicates("study_id")
    return Download(
        root=root,
        clinical="lesions.csv",
        images=root,
        has_images=False,
        segmentations=segmentations,
        features=cells[["original_shape_VoxelVolume"]].astype(float),
        studies=studies.reset_index(drop=True),
        targets=list(labels),
        problems=problems,
    )


TOY = Format("lesions.csv", lambda root: (root / "lesions.csv").is_file(), read)
"""
NETWORK = ("task.modalities=[position]", "model.kind=network")
BASELINE = ("experiment=demo+baselines/logistic_l2", "task.modalities=[position,burden]")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds what pip would have put there: one module and its entry point."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "toy.py").write_text(TOY)
    described = folder / "toy-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[bcbm.formats]\ntoy = toy:TOY\n")
    return folder


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A cohort of 24 patients in one CSV file; ER is the only receptor that it knows."""
    folder, rng = tmp_path_factory.mktemp("toy"), np.random.default_rng(0)
    rows = [
        (f"P{patient}", f"P{patient}", f"{side}-{region}-met", "+-"[patient % 2], rng.uniform(50, 900))
        for patient in range(24)
        for side, region in (("L", "frontal"), ("R", "cerebellar" if patient % 2 else "occipital"))
    ]
    columns = ["study_id", "patient_id", "name", "ER", "original_shape_VoxelVolume"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "lesions.csv", index=False)
    return folder


@pytest.mark.parametrize("words", [NETWORK, BASELINE], ids=["network", "baseline"])
def test_a_format_of_an_installed_package_is_run_to_the_end(words, toy, installed, tmp_path):
    words = (*words, f"cohort.root={toy}", "task.targets=[ER]")
    screen, runs = fit(tmp_path, *words, packages=installed)
    assert "cohort format toy" in screen
    (results,) = runs.rglob("results.json")
    patient = json.loads(results.read_text())["receptors"]["ER"]["patient"]
    assert (patient["positives"], patient["negatives"]) == (12, 12)
    lesions = pd.read_parquet(results.with_name("lesions.parquet"))
    assert len(lesions) == 48 and not lesions["excluded"].any() and "PR" not in lesions
    assert results.with_name("report.html").is_file()


def test_a_target_that_the_cohort_lacks_and_a_format_that_is_not_there_are_refused(toy, installed, tmp_path):
    words = (*BASELINE, f"cohort.root={toy}")
    screen, _ = fit(tmp_path, *words, packages=installed, status=2)
    assert "lesions.csv" in screen and "PR" in screen and "HER2" in screen and "there are ER" in screen
    screen, _ = fit(tmp_path, *words, "cohort.format=toi", packages=installed, status=2)
    assert "cohort.format" in screen and "did you mean 'toy'" in screen


def test_an_unknown_format_is_refused_with_those_that_are_there():
    assert list(FORMATS) == ["tcia", "manifest", "bids"]
    with pytest.raises(ConfigError, match=r"cohort\.format: unknown 'zebra'.*auto.*tcia"):
        compose(["cohort.format=zebra"])
    assert compose(["cohort.format=tcia"]).cohort.format == "tcia"


def test_a_folder_of_no_format_is_named_with_what_it_holds_and_the_formats(toy):
    with pytest.raises(InputError) as caught:
        format_name("auto", toy)
    (problem,) = caught.value.problems
    assert problem.where == str(toy) and "lesions.csv" in problem.found
    assert "tcia" in problem.remedy and CLINICAL_WORKBOOK[0] in problem.remedy


def test_an_empty_folder_is_no_cohort(tmp_path):
    with pytest.raises(InputError, match="holds nothing"):
        format_name("auto", tmp_path)


def test_half_a_tcia_download_is_still_one(table_cohort, tmp_path):
    (tmp_path / CLINICAL_WORKBOOK[0]).write_bytes((table_cohort / CLINICAL_WORKBOOK[0]).read_bytes())
    assert format_name("auto", tmp_path) == "tcia"
    with pytest.raises(InputError, match="no such workbook"):
        FORMATS["tcia"].read(tmp_path, {})


def test_the_content_of_all_files_follows_names_and_bytes_not_the_place(tmp_path):
    for place in ("one", "two"):
        (tmp_path / place / "inner").mkdir(parents=True)
        (tmp_path / place / "inner" / "a.csv").write_text("1")
    assert files_content(tmp_path / "one") == files_content(tmp_path / "two")
    (tmp_path / "two" / "inner" / "a.csv").rename(tmp_path / "two" / "inner" / "b.csv")
    renamed = files_content(tmp_path / "two")
    (tmp_path / "two" / "inner" / "b.csv").write_text("2")
    assert len({files_content(tmp_path / "one"), renamed, files_content(tmp_path / "two")}) == 3


def test_a_root_a_few_levels_off_is_told_the_right_one(table_cohort, tmp_path):
    root = tmp_path / "downloads" / "BCBM"
    study = root / IMAGE_FOLDER / "BCBM-RadioGenomics-1-0"
    study.mkdir(parents=True)
    (study / "image.nii.gz").write_bytes(b"")
    (root / CLINICAL_WORKBOOK[0]).write_bytes((table_cohort / CLINICAL_WORKBOOK[0]).read_bytes())
    wrong = (root.parent, root / IMAGE_FOLDER, study, study / "image.nii.gz", root / "images")
    for place, name in product(wrong, ("auto", "tcia")):
        with pytest.raises(InputError) as caught:
            format_name(name, place)
        (problem,) = caught.value.problems
        assert problem.where == str(place) and problem.remedy.endswith(f"cohort.root={root}")
    (root.parent / "other" / IMAGE_FOLDER).mkdir(parents=True)
    with pytest.raises(InputError) as caught:  # of two nobody knows which is meant
        format_name("auto", root.parent)
    assert "cohort.root=" not in str(caught.value)
