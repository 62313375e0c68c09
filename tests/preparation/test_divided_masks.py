"""Two lesions in one mask, stray voxels and label values, from the files to what enters."""

import gzip
import io
import shutil

import nibabel as nib
import numpy as np
import openpyxl
import pandas as pd
import pytest
from drawings import claiming, endless, pipe
from readings import counted_readings
from rich.console import Console

from bcbm.cohort.formats.tcia import IMAGE_FOLDER, RADIOMICS_WORKBOOK
from bcbm.config.compose import compose
from bcbm.errors import InputError
from bcbm.features.radiomics import FEATURES
from bcbm.preparation.audit import audit_content
from bcbm.preparation.prepare import prepare
from bcbm.preparation.reading import read_cohort

STUDY = "BCBM-RadioGenomics-7-0"
LEFT, RIGHT, FRONT = "L-Parietal-tumor", "R-Pariet", "Rt-front"
BOTH = f"{STUDY}/LR-parietal-tumors"


def mask_of(root, name):
    return root / IMAGE_FOLDER / STUDY / f"{STUDY}_mask_{name}.nii.gz"


def drawn(root, name):
    """A mask of the study, booleans, and its affine."""
    image = nib.load(mask_of(root, name))
    return np.asarray(image.dataobj) > 0.5, image.affine


def draw(root, name, values, affine):
    content = nib.Nifti1Image(values.astype(np.uint8), affine).to_bytes()
    mask_of(root, name).write_bytes(gzip.compress(content, 1, mtime=0))


@pytest.fixture(scope="module")
def together(cohort, tmp_path_factory):
    """A study in which two lesions, left and right, are one mask and one row, and a voxel is stray."""
    root = tmp_path_factory.mktemp("together") / "cohort"
    others = [path.name for path in (cohort / IMAGE_FOLDER).iterdir() if path.name != STUDY]
    shutil.copytree(cohort, root, ignore=shutil.ignore_patterns(*others))
    (left, affine), (right, _), (front, _) = (drawn(root, name) for name in (LEFT, RIGHT, FRONT))
    draw(root, "LR-parietal-tumors", left | right, affine)
    for name in (LEFT, RIGHT):
        mask_of(root, name).unlink()
    front[tuple(np.argwhere(left)[0])] = True
    draw(root, FRONT, front, affine)
    path = root / RADIOMICS_WORKBOOK[0]
    book = openpyxl.load_workbook(path)
    for row in book[RADIOMICS_WORKBOOK[1]].iter_rows(min_row=2):
        if row[0].value == STUDY and row[1].value == f"mask_{LEFT}":
            row[1].value = "mask_LR-parietal-tumors"
        elif row[0].value != STUDY or row[1].value == f"mask_{RIGHT}":
            for cell in row:
                cell.value = None
    book.save(path)
    return root


def prepared(root, folder, *words):
    console = Console(file=io.StringIO(), width=500)
    base = [f"cohort.root={root}", f"prepared.root={folder}", "prepared.jobs=1", "features.crop_spacing=1"]
    return prepare(compose([*base, *words]), console), console.file.getvalue()


def published(cohort, name):
    """The features that the workbook had of a lesion while it had a mask of its own."""
    book = pd.read_excel(cohort / RADIOMICS_WORKBOOK[0], sheet_name=RADIOMICS_WORKBOOK[1])
    book.columns = book.columns.str.strip()
    row = book[(book["FilenamePrefix"] == STUDY) & (book["Segmentation_Name"] == f"mask_{name}")]
    return row[list(FEATURES)].to_numpy(float)[0]


@pytest.fixture(scope="module")
def split(together, tmp_path_factory):
    """What preparation makes of them by default, with all modalities, shells and places from the image."""
    words = ["cohort.position=image", "features.shells=[3]"]
    with counted_readings() as readings:
        lesions, text = prepared(together, tmp_path_factory.mktemp("split"), *words)
    assert set(readings.values()) == {1} and len(readings) == 1 + len(lesions.table["mask_path"].unique())
    return lesions, text


def test_each_part_is_a_lesion_where_it_lies(cohort, split):
    lesions, _ = split
    table = lesions.table.set_index("lesion_id")
    assert (table.loc[BOTH, "excluded"], table.loc[BOTH, "reason"]) == (True, "split into its parts")
    parts = table.loc[[f"{BOTH}/1", f"{BOTH}/2"]]
    assert set(parts["hemisphere"]) == {"left", "right"} and not parts["excluded"].any()
    assert (parts["part_of"] == BOTH).all() and parts["mni_x"].abs().min() > 10
    assert parts["volume"].is_monotonic_decreasing and (parts["patient_id"] == "BCBM-RadioGenomics-7").all()
    sizes = sorted(drawn(cohort, name)[0].sum() for name in (LEFT, RIGHT))
    assert sorted(parts["voxels"]) == sizes and (parts["drawn"] == sum(sizes)).all()


def test_radiomics_of_parts_are_extracted_and_those_of_others_are_the_workbooks(cohort, split):
    lesions, text = split
    rows = lesions.entering.set_index("lesion_id").index
    values = lesions.values["radiomics"]
    larger = max((LEFT, RIGHT), key=lambda name: drawn(cohort, name)[0].sum())
    np.testing.assert_allclose(values[rows.get_loc(f"{BOTH}/1")], published(cohort, larger), rtol=1e-6)
    np.testing.assert_allclose(values[rows.get_loc(f"{STUDY}/{FRONT}")], published(cohort, FRONT), rtol=1e-6)
    assert np.isfinite(values).all() and "parts of masks" in text
    made = pd.read_parquet(lesions.folder / "radiomics.parquet")["library"]
    assert made[made != "workbook"].index.tolist() == [f"{BOTH}/1", f"{BOTH}/2", f"{STUDY}/{FRONT}"]


def test_what_was_split_and_dropped_is_said(split):
    _, text = split
    notes = [line for line in text.splitlines() if line.startswith("note ")]
    assert any(BOTH in line and "2 parts" in line and "cohort.parts=split" in line for line in notes)
    assert any(f"{STUDY}/{FRONT}" in line and "to be a lesion: 1;" in line for line in notes)
    assert "split into its parts" in text and "problem" not in text


def test_crops_show_one_lesion_each(cohort, split):
    lesions, _ = split
    rows = lesions.entering.set_index("lesion_id").index
    for number in (1, 2):
        image, mask = lesions.values["crops"][rows.get_loc(f"{BOTH}/{number}")].astype(float)
        row = lesions.entering.iloc[rows.get_loc(f"{BOTH}/{number}")]
        assert mask.sum() == pytest.approx(row["volume"], rel=0.15) and image[mask > 0].mean() > 1


def test_a_mask_over_one_of_them_takes_none_of_the_other(together, tmp_path, cohort):
    root = shutil.copytree(together, tmp_path / "cohort")
    draw(root, RIGHT, *drawn(cohort, RIGHT))
    lesions, _ = prepared(root, tmp_path / "out", "task.modalities=[position]", "cohort.position=image")
    table = lesions.table.set_index("lesion_id")
    twice = table.index[table["duplicate_of"] == f"{STUDY}/{RIGHT}"]
    (twice,) = [lesion for lesion in twice if lesion.startswith(BOTH)]
    assert table.loc[twice, "excluded"] and table.loc[twice, "hemisphere"] == "right"
    assert not table.loc[sorted({f"{BOTH}/1", f"{BOTH}/2"} - {twice})[0], "excluded"]


def test_the_largest_alone_keeps_the_name(together, tmp_path, cohort):
    lesions, text = prepared(together, tmp_path, "cohort.parts=largest", "task.modalities=[radiomics,image]")
    table = lesions.entering.set_index("lesion_id")
    assert table.loc[BOTH, "voxels"] == max(drawn(cohort, name)[0].sum() for name in (LEFT, RIGHT))
    larger = max((LEFT, RIGHT), key=lambda name: drawn(cohort, name)[0].sum())
    values = lesions.values["radiomics"][table.index.get_loc(BOTH)]
    np.testing.assert_allclose(values, published(cohort, larger), rtol=1e-6)
    assert not table.index.str.startswith(f"{BOTH}/").any() and "cohort.parts=largest" in text


def test_refused_it_has_its_reason_and_strict_stops(together, tmp_path):
    words = ["cohort.parts=refuse", "task.modalities=[image]"]
    lesions, text = prepared(together, tmp_path, *words)
    table = lesions.table.set_index("lesion_id")
    assert table.loc[BOTH, "reason"] == "several lesions in one mask" and f"problem {BOTH}" in text
    with pytest.raises(InputError) as caught:
        prepared(together, tmp_path, *words, "cohort.strict=true")
    assert [problem.where for problem in caught.value.problems] == [BOTH]


def test_without_a_look_at_the_masks_nothing_is_split(together, tmp_path):
    lesions, _ = prepared(together, tmp_path, "task.modalities=[radiomics,position]", "cohort.position=name")
    assert not lesions.table.set_index("lesion_id").loc[BOTH, "excluded"]
    assert not lesions.table["lesion_id"].str.startswith(f"{BOTH}/").any()


def test_a_name_that_a_person_reads_holds_for_the_parts(together, tmp_path):
    names = tmp_path / "names.csv"
    names.write_text("name,region\nLR-parietal-tumors,occipital\nLR-parietal-tumors/2,deep\n")
    words = ["task.modalities=[position]", "cohort.position=image", f"cohort.names={names}"]
    lesions, text = prepared(together, tmp_path / "out", *words)
    table = lesions.entering.set_index("lesion_id")
    assert table.loc[[f"{BOTH}/1", f"{BOTH}/2"], "region"].tolist() == ["occipital", "deep"]
    assert "no segmentation is named" not in text


def test_the_same_examination_published_twice_is_split_twice_and_enters_once(together, tmp_path):
    root = shutil.copytree(together, tmp_path / "cohort")
    folder, twin = root / IMAGE_FOLDER / STUDY, STUDY[:-1] + "1"
    for path in sorted(shutil.copytree(folder, folder.with_name(twin)).iterdir()):
        path.rename(path.with_name(path.name.replace(STUDY, twin)))
    lesions, _ = prepared(root, tmp_path / "out", "task.modalities=[image]")
    table = lesions.table.set_index("lesion_id")
    for number in (1, 2):
        part = f"{BOTH}/{number}"
        assert table.loc[part.replace(STUDY, twin), "reason"] == f"copy of {part}"
        assert not table.loc[part, "excluded"]


def test_several_label_values_cost_their_lesion_until_one_is_chosen(together, tmp_path, cohort):
    root = shutil.copytree(together, tmp_path / "cohort")
    lesion, affine = drawn(cohort, FRONT)
    shell = np.roll(lesion, 1, axis=0) & ~lesion
    draw(root, FRONT, lesion + 2 * shell, affine)
    words = ["task.modalities=[radiomics,image]"]
    lesions, text = prepared(root, tmp_path / "out", *words)
    place = f"{STUDY}/{FRONT}"
    assert lesions.table.set_index("lesion_id").loc[place, "reason"] == "several label values"
    assert f"2 ({shell.sum()} voxels)" in text
    lesions, text = prepared(root, tmp_path / "out", *words, "cohort.label_value=1")
    row = lesions.entering.index[lesions.entering["lesion_id"] == place][0]
    np.testing.assert_allclose(lesions.values["radiomics"][row], published(cohort, FRONT), rtol=1e-6)
    assert lesions.entering.loc[row, "voxels"] == lesion.sum() and "cohort.label_value=1 counts" in text


def test_masks_without_an_end_cost_their_lesions_and_the_rest_is_prepared(together, tmp_path):
    root = shutil.copytree(together, tmp_path / "cohort")
    sound = mask_of(root, FRONT).read_bytes()
    pipe(mask_of(root, "a-pipe"))
    claiming((32767, 32767, 32767), mask_of(root, "a-header"))
    endless(mask_of(root, "a-tail"), gzip.decompress(sound))
    lesions, text = prepared(root, tmp_path / "out", "task.modalities=[image]")
    table = lesions.table.set_index("name")
    bad = table.index[table.index.str.startswith("a-")]
    assert table.loc[bad, "reason"].tolist() == ["unreadable mask"] * 3 and text.count("problem ") == 3
    before, _ = prepared(together, tmp_path / "before", "task.modalities=[image]")
    assert set(lesions.entering["lesion_id"]) == set(before.entering["lesion_id"])


def test_an_audit_names_them_and_says_what_would_enter(together, split):
    words = [f"cohort.root={together}", f"prepared.root={split[0].folder}", "prepared.jobs=1"]
    config, console = compose([*words, "cohort.position=image"]), Console(file=io.StringIO())
    content = audit_content(config, read_cohort(config, console, volumes=True, register=True))
    kinds = {(finding["kind"], finding["where"]) for finding in content["findings"]}
    assert ("several lesions in one mask", BOTH) in kinds and ("stray voxels", f"{STUDY}/{FRONT}") in kinds
    assert not {where for kind, where in kinds if where.startswith(f"{BOTH}/") and kind == "file without row"}
    steps = {step["step"]: step["lesions"] for step in content["flow"]}
    assert steps["excluded: split into its parts"] == 1 and steps["analysed"] == len(split[0].entering)


def test_a_mask_that_a_person_leaves_out_goes_with_its_parts(together, tmp_path):
    path = tmp_path / "judged.csv"
    path.write_text(f"lesion,reason\n{BOTH},radionecrosis\n")
    words = ["task.modalities=[image]", "cohort.position=name", f"cohort.exclude={path}"]
    lesions, _ = prepared(together, tmp_path / "prepared", *words)
    reasons = lesions.table.set_index("lesion_id")["reason"]
    assert reasons[[f"{BOTH}/1", f"{BOTH}/2"]].tolist() == ["by hand: radionecrosis"] * 2
    assert not lesions.entering["lesion_id"].str.startswith(BOTH).any()
