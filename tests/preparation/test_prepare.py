"""The whole preparation: what enters, what a bad file costs, what a kill or a full disk do."""

import gzip
import io
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from commands import Command
from damage.given import SECOND, mask_of, save, values_of, write_download
from readings import counted_readings
from rich.console import Console

from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, IMAGE_FOLDER, RADIOMICS_WORKBOOK
from bcbm.config.compose import compose
from bcbm.errors import InputError, Note
from bcbm.preparation.cached import remove_cached
from bcbm.preparation.lists import write_list
from bcbm.preparation.prepare import prepare, report
from bcbm.preparation.reading import read_cohort
from bcbm.runs.tables import write_with_sum


def prepared(root, folder, *words, appearance=False):
    console = Console(file=io.StringIO(), width=200)
    base = [f"cohort.root={root}", f"prepared.root={folder}", "prepared.jobs=1", "features.crop_size=8"]
    return prepare(compose([*base, *words]), console, appearance=appearance), console.file.getvalue()


def part_of(cohort, root, studies):
    """The images of some studies of a download, and their rows of its workbooks."""
    for study in studies:
        shutil.copytree(cohort / IMAGE_FOLDER / study, root / IMAGE_FOLDER / study)
    for book, sheet in (CLINICAL_WORKBOOK, RADIOMICS_WORKBOOK):
        table = pd.read_excel(cohort / book, sheet_name=sheet, dtype=object, keep_default_na=False)
        table[table.iloc[:, 0].isin(studies)].to_excel(root / book, sheet_name=sheet, index=False)


@pytest.fixture(scope="module")
def few(cohort, tmp_path_factory):
    """Five patients of the cohort, where what is tested asks for no more. Read only, as that is."""
    root, patients = tmp_path_factory.mktemp("few") / "cohort", "BCBM-RadioGenomics-[1-5]-*"
    part_of(cohort, root, [study.name for study in (cohort / IMAGE_FOLDER).glob(patients)])
    return root


@pytest.fixture
def broken(few, tmp_path):
    """A cohort with one empty mask and one truncated mask, both of lesions that enter: root, lesion ids."""
    root = shutil.copytree(few, tmp_path / "broken")
    masks = sorted((root / IMAGE_FOLDER).rglob("*_mask_*-tumor*.nii.gz"))
    masks = [mask for mask in masks if "margin" not in mask.name and mask.parent.name.endswith("-0")]
    empty, cut = masks[0], masks[-1]
    image = nib.load(empty)
    values = np.zeros(image.shape, np.float32)
    empty.write_bytes(gzip.compress(nib.Nifti1Image(values, image.affine).to_bytes(), 1))
    cut.write_bytes(cut.read_bytes()[:-200])
    return root, [
        f"{m.parent.name}/{m.name.split('_mask_')[1].removesuffix('.nii.gz')}" for m in (empty, cut)
    ]


def test_what_enters_has_crop_radiomics_and_label(cohort, tmp_path):
    lesions, text = prepared(cohort, tmp_path)
    assert "problem" not in text and "analysed" in text
    assert lesions.values["radiomics"].shape == (len(lesions.entering), 107)
    assert np.isfinite(lesions.values["radiomics"]).all()
    assert len(lesions.values["crops"]) == len(lesions.entering)
    assert all(lesions.values["crops"][row][1].any() for row in range(len(lesions.values["crops"])))
    assert lesions.entering["reason"].eq("").all()


def test_bad_files_are_excluded_with_reasons_and_reported(broken, tmp_path):
    root, bad = broken
    lesions, text = prepared(root, tmp_path / "out")
    reasons = lesions.table.set_index("lesion_id")["reason"]
    assert reasons[bad[0]] == "empty mask" and reasons[bad[1]] == "unreadable mask"
    assert not set(bad) & set(lesions.entering["lesion_id"])
    assert text.count("problem ") == 2 and all(lesion in text for lesion in bad)


def test_a_lesion_that_lacks_a_modality_is_kept_without_it_when_asked(cohort, tmp_path):
    root = shutil.copytree(cohort, tmp_path / "bare")
    mask = sorted((root / IMAGE_FOLDER).rglob("*-0/*_mask_*-tumor.nii.gz"))[0]
    lesion = f"{mask.parent.name}/{mask.name.split('_mask_')[1].removesuffix('.nii.gz')}"
    mask.unlink()
    without, text = prepared(root, tmp_path / "a")
    assert without.table.set_index("lesion_id")["reason"][lesion] == "no mask file" and lesion in text
    assert without.present.all()
    lesions, text = prepared(root, tmp_path / "b", "task.missing=keep")
    assert "counts as missing" in text and len(lesions.entering) == len(without.entering) + 1
    row = lesions.entering.index[lesions.entering["lesion_id"] == lesion][0]
    assert (
        lesions.present[row].tolist() == [False, True, True]
        and lesions.present.sum() == lesions.present.size - 1
    )
    assert not lesions.values["crops"][row].any() and np.isfinite(lesions.values["radiomics"][row]).all()


def test_random_labels_are_those_of_other_patients_and_the_same_again(table_cohort, tmp_path):
    words = ["task.modalities=[radiomics,position]", "task.targets=[ER]"]
    true = prepared(table_cohort, tmp_path, *words)[0]
    dealt = [prepared(table_cohort, tmp_path, *words, f"task.random_labels={n}")[0] for n in (0, 0, 1)]
    columns = ["patient_id", "ER", "PR", "HER2"]
    assert (dealt[0].entering.groupby("patient_id")[columns[1:]].nunique(dropna=False) == 1).all(axis=None)
    counts = [
        lesions.entering.drop_duplicates("patient_id")["ER"].value_counts() for lesions in (true, *dealt)
    ]
    assert all(count.sort_index().equals(counts[0].sort_index()) for count in counts)
    first, again, other = (lesions.entering[columns] for lesions in dealt)
    assert first.equals(again) and not first.equals(other) and not first.equals(true.entering[columns])
    for lesions in dealt:  # the table that the run keeps, and that its predictions are held against
        table = lesions.table[~lesions.table["excluded"]].reset_index(drop=True)
        assert table.equals(lesions.entering)


def test_strict_stops_with_every_problem(broken, tmp_path):
    root, bad = broken
    with pytest.raises(InputError) as caught:
        prepared(root, tmp_path / "out", "cohort.strict=true")
    assert sorted(problem.where for problem in caught.value.problems) == sorted(bad)


@pytest.mark.parametrize(
    "words", [["task.modalities=[image]"], ["task.modalities=[radiomics]", "features.radiomics=extract"]]
)
def test_a_cohort_without_images_says_what_to_switch(table_cohort, tmp_path, words):
    with pytest.raises(InputError, match="has no images") as caught:
        prepared(table_cohort, tmp_path, *words)
    assert "task.modalities=[radiomics,position]" in str(caught.value)


def test_the_tables_alone_need_no_crop(table_cohort, tmp_path):
    lesions, _ = prepared(table_cohort, tmp_path, "task.modalities=[radiomics,position]")
    assert [*lesions.values] == ["radiomics"] and lesions.values["radiomics"].shape == (
        len(lesions.entering),
        107,
    )
    lesions, _ = prepared(table_cohort, tmp_path, "task.modalities=[position]")
    assert lesions.values == {}


def test_nothing_left_to_analyse_is_said(cohort, tmp_path):
    root = shutil.copytree(cohort, tmp_path / "empty")
    for mask in root.rglob("*_mask_*"):
        mask.unlink()
    with pytest.raises(InputError, match="no lesion is left"):
        prepared(root, tmp_path / "out")


EXTRACT = ["task.modalities=[radiomics]", "features.radiomics=extract"]


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}


def test_each_file_is_read_once_and_a_second_preparation_makes_only_what_is_lacking(few, tmp_path):
    words = *EXTRACT, "task.modalities=[image,radiomics]"
    with counted_readings() as readings:
        first, text = prepared(few, tmp_path, *words, appearance=True)
    assert readings == dict.fromkeys((path.name for path in few.rglob("*.nii.gz")), 1)
    assert "107 of 107 features" in text and str(tmp_path / "radiomics-compared.csv") in text
    before = written(tmp_path)
    again, _ = prepared(few, tmp_path, *words, appearance=True)
    assert written(tmp_path) == before and len(before) > 10
    assert (
        np.array_equal(first.values["radiomics"], again.values["radiomics"])
        and first.values["crops"].where == again.values["crops"].where
    )
    prepared(few, tmp_path, *EXTRACT, "cohort.policy=largest")
    assert written(tmp_path) == before
    lesion, excluded = first.entering["lesion_id"].iloc[0], tmp_path / "excluded.csv"
    excluded.write_text(f"lesion,reason\n{lesion},drawn elsewhere\n")
    left, _ = prepared(few, tmp_path, *EXTRACT, f"cohort.exclude={excluded}")
    assert lesion not in set(left.entering["lesion_id"]) and written(tmp_path) == before
    crops = {path for path in before if path.parent.name == "crops"}
    for path in crops:
        path.unlink()
    prepared(few, tmp_path, *words)
    after = written(tmp_path)
    assert after.keys() == before.keys() and {path for path in after if after[path] != before[path]} == crops


def with_other_means(cohort, root, studies, rows):
    """Some studies of the cohort, with other means in the first rows of the workbook, which it returns."""
    part_of(cohort, root, studies)
    book, sheet = RADIOMICS_WORKBOOK
    frame = pd.read_excel(root / book, sheet_name=sheet, dtype=object, keep_default_na=False)
    frame.iloc[:rows, frame.columns.get_loc("original_firstorder_Mean")] *= 2
    frame.to_excel(root / book, sheet_name=sheet, index=False)
    return frame


def test_lesions_that_differ_from_the_workbook_are_named_by_study(cohort, tmp_path):
    study = "BCBM-RadioGenomics-1-0"
    frame = with_other_means(cohort, tmp_path / "small", [study], 1)
    name = frame.iloc[0, 1].removeprefix("mask_")
    _, text = prepared(tmp_path / "small", tmp_path / "out", *EXTRACT)
    count = len(frame)
    assert count > 1 and f"{count - 1} of {count} lesions" in text
    line = next(line for line in text.splitlines() if line.startswith(f"problem {study}:"))
    assert f"{name}: up to 1 of 107" in line and "original_firstorder_Mean" in line and "50%" in line
    listed = pd.read_csv(tmp_path / "out" / "radiomics-differing.csv")
    assert listed["lesion_id"].tolist() == [f"{study}/{name}"]


def test_where_every_lesion_differs_from_the_workbook_it_is_said_once(cohort, tmp_path):
    studies = ["BCBM-RadioGenomics-1-0", "BCBM-RadioGenomics-2-0"]
    frame = with_other_means(cohort, tmp_path / "small", studies, None)
    _, text = prepared(tmp_path / "small", tmp_path / "out", *EXTRACT)
    (line,) = (line for line in text.splitlines() if line.startswith("problem "))
    assert f"all {len(frame)} lesions" in line and "2 studies" in line and "radiomics-differing.csv" in line


def test_the_radiomics_table_says_where_its_values_are_from(few, tmp_path):
    prepared(few, tmp_path, *EXTRACT)
    extracted = pd.read_parquet(tmp_path / "radiomics.parquet")
    assert extracted["library"].str.contains("pyradiomics").all() and extracted["settings"].notna().all()
    prepared(few, tmp_path, "task.modalities=[radiomics]")
    assert set(pd.read_parquet(tmp_path / "radiomics.parquet")["library"]) == {"workbook"}


def test_a_failed_extraction_is_one_problem_and_the_reason(broken, tmp_path):
    root, bad = broken
    mask = root / IMAGE_FOLDER / bad[0].split("/")[0] / f"{bad[0].replace('/', '_mask_')}.nii.gz"
    volume = nib.load(mask)
    line = np.zeros(volume.shape, np.float32)
    line[50, 60, 30:34] = 1  # PyRadiomics asks for two dimensions
    nib.save(nib.Nifti1Image(line, volume.affine), mask)
    lesions, text = prepared(root, tmp_path / "out", *EXTRACT)
    assert lesions.table.set_index("lesion_id").loc[bad[0], "reason"].startswith("radiomics failed")
    assert text.count(f"problem {bad[0]}") == 1


def test_corrected_names_change_the_table_and_the_cohort(cohort, tmp_path):
    plain, text = prepared(cohort, tmp_path, "task.modalities=[position]")
    name = plain.entering["name"].iloc[0]
    names = tmp_path / "names.csv"
    names.write_text(f"name,category,region\n{name},lesion,brainstem\nno-such-name,,deep\n")
    corrected, text = prepared(cohort, tmp_path, "task.modalities=[position]", f"cohort.names={names}")
    assert set(corrected.entering.query("name == @name")["region"]) == {"brainstem"}
    assert "no segmentation is named no-such-name" in text
    assert corrected.cohort != plain.cohort


PLACED = ("task.modalities=[position]", "cohort.position=image")


@pytest.fixture(scope="module")
def placed(few, tmp_path_factory):
    """A cohort with every study registered: lesions, and where the records lie."""
    folder = tmp_path_factory.mktemp("placed")
    return prepared(few, folder, *PLACED)[0], folder


def test_coordinates_place_lesions_and_say_where_they_differ_from_the_names(few, placed):
    lesions, folder = placed
    entering = lesions.entering
    assert set(entering["position_source"]) == {"image"}
    assert entering[["mni_x", "mni_y", "mni_z"]].notna().all().all()
    before = written(folder)
    prepared(few, folder, *PLACED)
    assert written(folder) == before


def process(root, folder, *words):
    """A preparation as its own process."""
    settings = [f"cohort.root={root}", f"prepared.root={folder}", "prepared.jobs=1", "features.crop_size=16"]
    return Command("prepare", *settings, *words)


@pytest.fixture(scope="module")
def undisturbed(few, tmp_path_factory):
    """What a preparation that nobody kills gives."""
    return prepared(
        few, tmp_path_factory.mktemp("new"), "features.radiomics=extract", "features.crop_size=16"
    )[0]


@pytest.mark.parametrize("step", ["survey", "radiomics", "crops"])
def test_killed_in_any_step_it_goes_on_and_ends_the_same(few, tmp_path, step, undisturbed):
    out = tmp_path / "killed"
    killed = process(few, out, "features.radiomics=extract")
    while not list((out / step).glob("*.json")) and killed.poll() is None:
        pass
    killed.kill()
    killed.communicate()
    before = written(out)
    lesions, _ = prepared(few, out, "features.radiomics=extract", "features.crop_size=16")
    assert before and all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert lesions.table.equals(undisturbed.table)
    assert np.array_equal(lesions.values["radiomics"], undisturbed.values["radiomics"])
    assert all(
        np.array_equal(lesions.values["crops"][i], undisturbed.values["crops"][i])
        for i in range(len(lesions.values["crops"]))
    )


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(cohort, tmp_path, small_disk):
    run = process(cohort, small_disk / "out")
    errors = run.communicate()[1]
    assert run.returncode == 2
    assert "No space left on device" in errors and "prepared.root" in errors and "Traceback" not in errors
    assert not list(small_disk.rglob("*.partial"))
    stores = list(small_disk.rglob("*.npy"))
    assert all(len(np.load(store)) for store in stores)
    lesions, _ = prepared(cohort, tmp_path / "elsewhere", "features.crop_size=16")
    assert len(lesions.values["crops"])


def test_a_folder_that_cannot_be_written_is_named(cohort, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"set prepared\.root"):
        prepared(cohort, tmp_path / "file" / "out")


def test_names_corrected_in_place_are_not_overwritten(cohort, tmp_path):
    root = shutil.copytree(cohort, tmp_path / "renamed")
    mask = next(path for path in sorted(root.rglob("*_mask_*")) if path.parent.name.endswith("-3-0"))
    shutil.copy(mask, mask.with_name(f"{mask.parent.name}_mask_tumor.nii.gz"))
    words = ["task.modalities=[position]", "cohort.policy=lesions"]
    prepared(root, tmp_path / "out", *words)
    names = tmp_path / "out" / "names-unsure.csv"
    assert "tumor," in names.read_text()
    names.write_text("name,category,region\ntumor,cavity,\n")
    for _ in range(2):
        lesions, _ = prepared(root, tmp_path / "out", *words, f"cohort.names={names}")
        assert set(lesions.table.query("name == 'tumor'")["category"]) == {"cavity"}
        assert names.read_text().endswith("tumor,cavity,\n")
    corrected, kept = names.read_text(), names.with_name("names-unsure-corrected.csv")
    with pytest.warns(Note, match=f"cohort.names={kept}"):
        prepared(root, tmp_path / "out", *words)
    assert kept.read_text() == corrected != names.read_text()
    prepared(root, tmp_path / "out", *words)
    assert not names.with_name("names-unsure-corrected-2.csv").exists(), "it is as it was written"
    (tmp_path / "out").rename(tmp_path / "prepared-0")
    remove_cached(tmp_path, ["prepared-0"])
    assert [path.name for path in (tmp_path / "prepared-0").iterdir() if path.is_file()] == [kept.name]


def test_what_a_person_says_of_a_place_counts_before_the_coordinates(few, placed, tmp_path):
    plain, folder = placed
    name = plain.entering["name"].iloc[0]
    names = tmp_path / "names.csv"
    names.write_text(f"name,region\n{name},brainstem\n")
    corrected, _ = prepared(few, folder, *PLACED, f"cohort.names={names}")
    row = corrected.table.query("name == @name").iloc[0]
    assert (row["region"], row["position_source"]) == ("brainstem", "person")


def test_a_mask_that_fails_does_not_take_the_lesion_with_it(few, tmp_path):
    """A line of voxels inside a lesion: the shorter name would stand for it, but has no radiomics."""
    root = shutil.copytree(few, tmp_path / "line")
    masks = sorted(root.rglob("*-0_mask_*-tumor.nii.gz"))
    mask = masks[0]
    volume = nib.load(mask)
    inside = np.argwhere(np.asarray(volume.dataobj))
    x, y, _ = np.median(inside, axis=0).astype(int)
    line = np.zeros(volume.shape, np.float32)
    column = inside[(inside[:, 0] == x) & (inside[:, 1] == y)]
    line[tuple(column.T)] = 1
    short = mask.with_name(mask.name.replace("-tumor", ""))
    nib.save(nib.Nifti1Image(line, volume.affine), short)
    lesions, _ = prepared(root, tmp_path / "out", *EXTRACT)
    table = lesions.table.set_index("mask_path")
    assert not table.loc[str(mask.relative_to(root)), "excluded"]
    assert table.loc[str(short.relative_to(root)), "reason"].startswith("radiomics failed")


def test_a_damaged_record_or_store_is_made_again(few, tmp_path):
    words = ["task.modalities=[image]"]
    first, _ = prepared(few, tmp_path, *words)
    next((tmp_path / "survey").glob("*.json")).write_text("")
    next((tmp_path / "crops").glob("*.npy")).write_bytes(b"")
    again, _ = prepared(few, tmp_path, *words)
    assert all(
        np.array_equal(first.values["crops"][i], again.values["crops"][i])
        for i in range(len(first.values["crops"]))
    )
    assert all(path.stat().st_size for path in tmp_path.rglob("*.npy"))


def test_a_mask_replaced_behind_its_survey_is_named_before_a_table_is_written(tmp_path):
    write_download(tmp_path / "download")
    words = [f"cohort.root={tmp_path / 'download'}", f"prepared.root={tmp_path / 'out'}", "prepared.jobs=1"]
    config = compose([*words, "cohort.position=name"])
    cohort = read_cohort(config, Console(quiet=True), volumes=True, register=False)
    cohort.require_same_files()
    path = mask_of(tmp_path / "download", SECOND)
    save(path, np.roll(values_of(path), 1))
    with pytest.raises(InputError, match="changed while it was read") as raised:
        cohort.require_same_files()
    assert [problem.where for problem in raised.value.problems] == [str(path)]


def test_the_download_is_never_written_to(cohort):
    with pytest.raises(InputError, match=r"prepared\.root lies in cohort\.root"):
        prepared(cohort, cohort / "prepared")


def test_coordinates_without_images_are_refused(table_cohort, tmp_path):
    words = ["task.modalities=[position]", "cohort.position=image"]
    _, text = prepared(table_cohort, tmp_path, *words)
    assert "positions come from names" in text
    with pytest.raises(InputError, match="no coordinates"):
        prepared(table_cohort, tmp_path, *words, "features.coordinates=true")


def test_two_preparations_at_once_end_the_same(few, tmp_path):
    runs = [process(few, tmp_path / "out", "features.radiomics=extract") for _ in range(2)]
    said = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert not list((tmp_path / "out").rglob("*.partial"))


def test_a_list_that_another_process_is_about_to_write_is_written(tmp_path):
    path = tmp_path / "labels.csv"
    write_with_sum(path, b"cell\n+\n")
    path.unlink()  # its sum is written before it
    write_list(path, "cell\n+\n", "cohort.readings")
    assert path.read_text() == "cell\n+\n" and len([*tmp_path.iterdir()]) == 2


def test_the_flow_counts_in_words_and_cuts_no_reason():
    reason = "task.sequences: no flair image of its study, which task.missing=exclude asks for"
    table = pd.DataFrame({"lesion_id": ["1-0/a", "1-1/b", "1-1/c"], "patient_id": "1"})
    table["study_id"] = table["lesion_id"].str[:3]
    table["excluded"], table["reason"] = [False, True, True], ["", reason, reason]
    screen = io.StringIO()
    report(table, [], Console(file=screen, width=80))
    whole, out, enters = screen.getvalue().splitlines()
    assert "1 patient, 2 studies, 3 lesions" in whole
    assert f"{reason}  1 patient, 1 study, 2 lesions" in out
    assert "1 patient, 1 study, 1 lesion" in enters
