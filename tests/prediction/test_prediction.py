"""A model says elsewhere what its run said, or says why it does not."""

import io
import json
import re
import shutil
import sys
import warnings
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from models import QUIET, SMALL, assert_same, predicted_alone, with_sums, workplace
from monai.bundle import ConfigParser
from monai.bundle.properties import MetaProperties
from pydicom.uid import generate_uid
from rich.console import Console
from scans import (
    affine_of,
    ball,
    head,
    mask_contours,
    oblique,
    write_segmentation,
    write_series,
    write_structures,
)

from bcbm.cohort.formats.tcia import IMAGE_FOLDER
from bcbm.config.compose import compose
from bcbm.crossvalidation.cross_validate import run
from bcbm.errors import ConfigError, InputError, Note
from bcbm.features.radiomics import FEATURES
from bcbm.imaging.ingest import ingest
from bcbm.model.encoders.image import ImageEncoder
from bcbm.model.module import LesionModule
from bcbm.predict import main
from bcbm.prediction.bundle import FORMAT, METADATA, SUMS, TRAINING, write_bundle
from bcbm.prediction.card import model_card
from bcbm.prediction.export import export
from bcbm.prediction.model import read_model
from bcbm.prediction.predict import COLUMNS
from bcbm.prediction.request import answer
from bcbm.prediction.sets import apart, less_apart, patient_sets
from bcbm.prediction.study import study_files, write_study
from bcbm.report.pages.viewer import niivue
from bcbm.report.words import with_interval
from bcbm.runs.finished import read_run
from bcbm.system.words import counted


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to work in, the cache of all that these tests prepare."""
    with workplace(tmp_path_factory.mktemp("prediction")) as folder:
        yield folder


@pytest.fixture(scope="module")
def fitted(place, cohort):
    """A finished run of all three modalities."""
    words = [f"cohort.root={cohort}", "run.root=runs", "features.crop_size=16", *SMALL]
    return read_run(run(compose(words), QUIET))


@pytest.fixture(scope="module")
def model(place, fitted):
    """The folder of its model. Read only: copy it to change it."""
    export(fitted.folder, place / "model", QUIET)
    return place / "model"


@pytest.fixture
def command(monkeypatch):
    """Calls `predict` with a model and words, as the interpreter would, in this process; its exit status."""

    def call(model, *words):
        monkeypatch.setattr(sys, "argv", ["predict", str(model), *words, "prepared.jobs=1"])
        return main()

    return call


@pytest.mark.parametrize("number", [0, 1])
def test_a_folds_network_predicts_its_test_patients_as_the_run_did_to_the_last_bit(
    number, model, fitted, cohort, tmp_path
):
    trained = read_model(model)
    *said, rows = predicted_alone(trained, cohort, fitted, number, tmp_path)
    assert_same(*said, rows)
    thresholds = rows.drop_duplicates("target").set_index("target")["threshold"].to_dict()
    assert trained.networks[number].thresholds == pytest.approx(thresholds, abs=0, rel=0, nan_ok=True)


def test_a_model_tells_of_no_patient_and_of_no_place(model, fitted, cohort):
    ids = [*fitted.lesions["patient_id"], *fitted.lesions["study_id"], *fitted.lesions["lesion_id"]]
    for path in [path for path in model.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        assert not [name for name in {*ids, str(cohort.parent), str(Path.cwd())} if name.encode() in content]
    sizes = [path.stat().st_size for path in model.rglob("*") if path.is_file()]
    weights = sum(path.stat().st_size for path in model.glob("models/*.safetensors"))
    assert sum(sizes) < 1.1 * weights + 500_000
    ranges = safetensors.numpy.load_file(model / "ranges.safetensors")
    assert ranges["mean"].shape == (len(FEATURES),) and ranges["covariance"].shape == (len(FEATURES),) * 2
    training = json.loads((model / "training.json").read_text())
    assert training["lesions"] == len(fitted.entering) == len(training["contents"])
    assert not set(training["contents"]) & set(fitted.lesions["content"])


def test_monai_reads_what_a_bundle_says_of_itself(model):
    parser = ConfigParser()
    parser.read_meta(str(model / METADATA))
    for name, wanted in MetaProperties.items():
        assert parser[wanted["id"]], name
    assert parser["_meta_::network_data_format::inputs::image::spatial_shape"] == [16, 16, 16]
    assert parser["_meta_::network_data_format::outputs::pred::channel_def"]["2"] == "HER2"
    assert parser["_meta_::monai_version"] == version("monai")


@pytest.fixture
def encoded(monkeypatch):
    """How many lesions each call of an encoder of images was given."""
    counts, forward = [], ImageEncoder.forward
    monkeypatch.setattr(
        ImageEncoder, "forward", lambda self, crops: (counts.append(len(crops)), forward(self, crops))[1]
    )
    return counts


def test_a_byte_that_is_changed_anywhere_is_refused_with_its_file(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "copy")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for byte in (0, len(whole) // 2, len(whole) - 1):
            changed = bytearray(whole)
            changed[byte] ^= 0x20
            path.write_bytes(changed)
            with pytest.raises(InputError) as caught:
                read_model(folder)
            (line,) = str(caught.value).splitlines()
            assert path.name == SUMS or str(path) in line
        path.unlink()
        with pytest.raises(InputError):
            read_model(folder)
        path.write_bytes(whole)
    assert read_model(folder).identity == read_model(model).identity


def test_sums_that_name_too_few_files_are_refused(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "copy")
    lines = (folder / SUMS).read_text().splitlines(keepends=True)
    (folder / SUMS).write_text("".join(line for line in lines if "fold=1.json" not in line))
    with pytest.raises(InputError, match=r"fold=1\.json"):
        read_model(folder)


def test_a_newer_format_is_refused_with_the_version_that_reads_it(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "copy")
    metadata = json.loads((folder / METADATA).read_text())
    metadata["bcbm"] |= {"format": FORMAT + 1, "version": "9.8.7"}
    (folder / METADATA).write_text(json.dumps(metadata))
    with_sums(folder)
    with pytest.raises(InputError, match=r"bcbm 9\.8\.7"):
        read_model(folder)


@pytest.mark.parametrize("key", ["steps", "radiomics"])
def test_what_is_prepared_by_another_version_is_refused(key, model, tmp_path, cohort):
    folder = shutil.copytree(model, tmp_path / "copy")
    metadata = json.loads((folder / METADATA).read_text())
    if key == "steps":
        metadata["bcbm"]["steps"]["crops"] += 1
    else:
        metadata["bcbm"]["radiomics"] = {"library": "pyradiomics-bhklab", "version": "3.0", "settings": "{}"}
    (folder / METADATA).write_text(json.dumps(metadata))
    with_sums(folder)
    with pytest.raises(InputError, match={"steps": "crops", "radiomics": "3.0"}[key]):
        answer([str(folder), f"cohort.root={cohort}"], QUIET)


def test_a_model_is_written_whole_or_not_at_all(tmp_path, fitted, model):
    with pytest.raises(TypeError):
        write_bundle(tmp_path / "half", {"a.txt": "whole", "b.txt": None})
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="already"):
        export(fitted.folder, model, QUIET)


def test_a_study_by_its_files_its_folder_and_its_cohort_is_one(
    model, cohort, tmp_path, command, encoded, capsys
):
    whole = answer([str(model), f"cohort.root={cohort}", f"out={tmp_path / 'whole'}"], QUIET)
    assert list(whole) == COLUMNS and whole["trained_on"].sum() > 0
    stored = pd.read_parquet(tmp_path / "whole" / "predictions.parquet")
    pd.testing.assert_frame_equal(stored, whole)
    assert len(pd.read_csv(tmp_path / "whole" / "predictions.csv")) == len(whole)
    lesions = whole[(whole["level"] == "lesion") & (whole["reason"] == "")]
    folder = cohort / IMAGE_FOLDER / lesions["study_id"].iloc[0]
    masks = sorted(folder.glob("*_mask_*"))
    (image,) = folder.glob("*_image*")
    encoded.clear()
    by_folder = answer([str(model), str(folder), "prepared.jobs=1", f"out={tmp_path / 'folder'}"], QUIET)
    assert sum(encoded) == 2 * by_folder.loc[by_folder["level"] == "lesion", "lesion_id"].nunique(), (
        "each network reads a lesion once"
    )
    files = f"mask={','.join(map(str, masks))}"
    assert command(model, f"image={image}", files, f"out={tmp_path / 'files'}") == 0
    count = counted(len(masks), "lesion")
    assert f"predicted 1 patient and {count}; for research" in capsys.readouterr().out
    by_files = pd.read_parquet(tmp_path / "files" / "predictions.parquet")
    for table in (by_folder, by_files):
        own = table[(table["level"] == "lesion") & (table["reason"] == "")]
        names = own["lesion_id"].str.partition("/")[2]
        expected = lesions.set_index(["lesion_id", "target"])["probability"]
        keys = list(zip(folder.name + "/" + names, own["target"], strict=True))
        assert len(own) and own["probability"].to_numpy() == pytest.approx(
            expected.loc[keys].to_numpy(), abs=1e-4
        )
        patient = table[table["level"] == "patient"]
        assert patient["target"].tolist() == ["ER", "PR", "HER2"] and not patient["leaky"].any()


def test_a_batch_reports_what_it_could_not_predict_and_goes_on(model, cohort, tmp_path, command, capsys):
    studies = sorted((cohort / IMAGE_FOLDER).iterdir())[:3]
    rows = []
    for number, study in enumerate(studies):
        (image,) = study.glob("*_image*")
        mask = min(study.glob("*_mask_*"))
        rows.append({"patient": f"P{number}", "image": str(image), "mask": str(mask), "name": "left frontal"})
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    rows[1]["mask"] = str(tmp_path / "broken.nii.gz")
    rows.append({**rows[0], "patient": "P3", "image": ""})
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    assert command(model, f"cohort.root={tmp_path}", f"out={tmp_path / 'out'}") == 1
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    patients = table[table["level"] == "patient"]
    assert patients.loc[patients["reason"] != "", "patient_id"].tolist() == ["P1", "P3"]
    assert patients.loc[patients["reason"] == "", "patient_id"].nunique() == 2
    assert table["probability"].isna().equals(table["reason"] != "")
    screen = capsys.readouterr().out
    assert "broken.nii.gz" in screen
    assert (
        "predicted 2 patients and 2 lesions; not predicted: 2 patients and 2 lesions; for research" in screen
    )
    for patient, reason in (("P1", "unreadable mask"), ("P3", "no image file")):
        assert any(patient in line and reason in line for line in screen.splitlines()[-4:]), screen
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Research only" in page and "no image file" in page and "script" not in page
    assert page.count("data:image/png") == 2  # a study each
    scans = [f"scans/{number}.html" for number in (0, 1)] if niivue() else []
    assert re.findall(r'href="([^"#]+)"', page) == scans
    assert sorted(f"scans/{path.name}" for path in (tmp_path / "out").glob("scans/*")) == scans
    assert {"doubt", "odd"} <= set(table) and not patients["odd"].any()  # twelve patients are too few
    assert patients.loc[patients["reason"] == "", "doubt"].between(0, 1).all()
    auroc = with_interval(read_model(model).results["receptors"]["ER"]["patient"])
    assert auroc in page


def test_a_batch_that_was_interrupted_prepares_no_study_anew(model, place, cohort, tmp_path, monkeypatch):
    rows = []
    for number, study in enumerate(sorted((cohort / IMAGE_FOLDER).iterdir())[:2]):
        (image,), mask = study.glob("*_image*"), min(study.glob("*_mask_*"))
        rows.append({"patient": f"P{number}", "image": str(image), "mask": str(mask), "name": "left frontal"})
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    words = [str(model), f"cohort.root={tmp_path}", f"out={tmp_path / 'out'}", "prepared.jobs=1"]

    def interrupted(*arguments):
        raise KeyboardInterrupt

    before = set((place / "cache").glob("prepared-*"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LesionModule, "predict_step", interrupted)
        answer(words, QUIET)
    assert not (tmp_path / "out").exists()
    (own,) = set((place / "cache").glob("prepared-*")) - before
    records = [path for path in own.glob("*/*") if path.is_file()]
    times = {path: path.stat().st_mtime_ns for path in records}
    assert {"survey", "radiomics", "crops", "appearance"} <= {path.parent.name for path in records}
    table = answer(words, QUIET)
    assert table.loc[table["level"] == "patient", "patient_id"].nunique() == 2
    assert {path: path.stat().st_mtime_ns for path in own.glob("*/*") if path.is_file()} == times


def write_export(root, patients):
    """DICOM files of patients of one session each, with a structure set or a segmentation of two lesions."""
    grid, masks = (
        affine_of(oblique()),
        {"GTV lt frontal": ball((12, 12, 6), 4.5), "rt parietal": ball((5, 17, 4), 4)},
    )
    for number in range(patients):
        folder, who = root / f"Doe Jane {number}", {"patient": f"MRN-{number}", "study": generate_uid()}
        images = write_series(folder / "t1", head(seed=number), grid, **who)
        if number:
            write_segmentation(folder / "seg.dcm", masks, images)
        else:
            contours = {name: mask_contours(mask, grid) for name, mask in masks.items()}
            write_structures(folder / "set.dcm", contours, images)


def test_a_patients_dicom_files_are_predicted_as_the_cohort_that_ingest_makes_and_nobody_is_named(
    model, place, tmp_path, command, capsys
):
    write_export(tmp_path / "export", 2)
    words, cache = ["ingest.brain=none", "prepared.jobs=1"], place / "cache"
    before = set(cache.rglob("*"))
    for number in range(2):
        source, out = tmp_path / "export" / f"Doe Jane {number}", tmp_path / f"out{number}"
        given = f"dicom={source}" if number else str(source)
        assert command(model, given, f"out={out}", "ingest.brain=none") == 0
        table = pd.read_parquet(out / "predictions.parquet")
        lesions = table[table["level"] == "lesion"]
        assert set(table["patient_id"]) == {"P001"} and lesions["lesion_id"].nunique() == 2
        assert "lt-frontal" in lesions["lesion_id"].iloc[0] and table["probability"].notna().all()
        made = [path for folder in (out, cache) for path in folder.rglob("*") if path.is_file()]
        for path in set(made) - before:
            content = path.read_bytes()
            names = (b"Doe Jane", b"Doe^Jane", b"MRN-", b"20200310", b"19600101")
            assert not [name for name in names if name in content], path
    assert "faces" in capsys.readouterr().err
    ingest(source, compose([f"ingest.out={tmp_path / 'cohort'}", *words]), Console(quiet=True))
    again = answer([str(model), f"cohort.root={tmp_path / 'cohort'}", f"out={tmp_path / 'again'}"], QUIET)
    assert np.array_equal(again["probability"], table["probability"])


def test_dicom_files_of_several_patients_or_of_none_or_without_their_readers_are_refused(
    model, tmp_path, command, capsys, monkeypatch
):
    write_export(tmp_path / "export", 2)
    write_series(tmp_path / "bare", head(), patient="MRN-7")
    (tmp_path / "none").mkdir()
    out = f"out={tmp_path / 'out'}"
    for name, fact in (("export", "bcbm ingest"), ("bare", "no lesion can be used"), ("none", "0 patients")):
        assert command(model, f"dicom={tmp_path / name}", "ingest.brain=none", out) == 2
        assert fact in capsys.readouterr().err
    assert command(model, f"dicom={tmp_path / 'bare'}", "image=a.nii.gz", out) == 2
    assert command(model, f"dicom={tmp_path / 'bare'}", "ingest.labels=a.csv", out) == 2
    assert "ingest.labels" in capsys.readouterr().err
    monkeypatch.setattr("bcbm.imaging.ingest.find_spec", lambda name: None)
    assert command(model, f"dicom={tmp_path / 'bare'}", "ingest.brain=none", out) == 2
    assert "bcbm[ingest]" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_volume_of_a_studys_folder_that_is_neither_image_nor_mask_by_its_name_is_said(tmp_path):
    (tmp_path / "masks").mkdir()
    strange = ["lesion2.nii.gz", "S_mask_b.nrrd", "masks/S_mask_c.nii.gz"]
    for name in ("S_image.nii.gz", "S_mask_a.nii.gz", "notes.txt", *strange):
        (tmp_path / name).touch()
    with pytest.warns(Note) as notes:
        _, masks, _ = study_files(tmp_path)
    (text,) = (str(note.message) for note in notes)
    assert all(name in text for name in strange) and "notes.txt" not in text
    assert [mask.name for mask in masks] == ["S_mask_a.nii.gz"]


@pytest.mark.parametrize(
    ("image", "masks", "strange"),
    [
        ("B-102-0_image_ss_n4", ["B-105-0_mask_left", "B-102-0_mask_right"], "B-105-0_mask_left"),
        ("sub-07_ses-1_ce-gd_T1w", ["sub-07_ses-2_desc-met_mask"], "sub-07_ses-2_desc-met_mask"),
        ("B-102-0_image_ss_n4", ["B-102-0_mask_left", "lesion_2"], ""),
        ("t1_image", ["met1_mask"], ""),
    ],
)
def test_a_mask_that_is_named_after_another_study_than_the_image_is_said(
    tmp_path, recwarn, image, masks, strange
):
    paths = [tmp_path / f"{name}.nii.gz" for name in (image, *masks)]
    for path in paths:
        path.touch()
    write_study(tmp_path, "P", paths[0], paths[1:], {}, value=1)
    said = [str(warning.message) for warning in recwarn.list if warning.category is Note]
    assert len(said) == bool(strange) and all(
        f"{strange}.nii.gz named after another" in text for text in said
    )


def test_an_image_is_of_the_sequence_that_its_name_says_and_of_no_longer_one(tmp_path):
    for name in ("image", "image_t2", "mask_met"):
        (tmp_path / f"S_{name}.nii.gz").touch()
    image, masks, others = study_files(tmp_path, ["t2"])
    assert (image.name, others["t2"].name) == ("S_image.nii.gz", "S_image_t2.nii.gz") and len(masks) == 1
    (tmp_path / "S_image_t2.nii.gz").rename(tmp_path / "S_image_t2flair.nii.gz")
    with pytest.raises(InputError, match="holds 2 files"):
        study_files(tmp_path, ["t2"])
    for name in ("image_t2", "image_t2_n4"):
        (tmp_path / f"S_{name}.nii.gz").touch()
    with pytest.raises(InputError, match="2 images of t2"):
        study_files(tmp_path, ["t2"])


BAD = {
    "a setting of the model": (["features.crop_size=8", "cohort.root=."], ConfigError, "features.crop_size"),
    "nothing to predict": ([], ConfigError, "cohort.root=DIR"),
    "both a cohort and files": (["cohort.root=.", "image=a.nii.gz"], ConfigError, "what to predict"),
    "two words of masks": (
        ["image=a.nii.gz", "mask=b.nii.gz", "mask=c.nii.gz"],
        ConfigError,
        "mask= is written",
    ),
    "two cohorts": (["cohort.root=a", "cohort.root=b"], ConfigError, "cohort.root= is written twice"),
    "an image without a mask": (["image=a.nii.gz"], ConfigError, "mask="),
    "files that are not there": (["image=a.nii.gz", "mask=b.nii.gz"], InputError, "b.nii.gz: is not there"),
    "a study without masks": (["empty"], InputError, "0 named"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_asked_for_is_one_line(case, model, tmp_path, monkeypatch):
    words, kind, fact = BAD[case]
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(kind) as caught:
        answer([str(model), *words], QUIET)
    assert fact in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


def test_a_mask_on_another_grid_and_an_empty_one_are_refused_with_their_reason(model, cohort, tmp_path):

    study = min((cohort / IMAGE_FOLDER).iterdir())
    (image,) = study.glob("*_image*")
    scan = nib.load(image)
    shape = scan.shape
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), scan.affine), tmp_path / "grid.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), scan.affine), tmp_path / "none.nii.gz")
    for mask in ("grid", "none"):
        console = Console(record=True, width=400)
        words = [str(model), f"image={image}", f"mask={tmp_path / mask}.nii.gz", "prepared.jobs=1"]
        with pytest.raises(InputError, match="no lesion is left"):
            answer([*words, f"out={tmp_path / 'out'}"], console)
        assert f"{mask}.nii.gz" in console.export_text()
    assert not (tmp_path / "out").exists()


def test_each_label_value_of_a_mask_is_a_lesion(model, cohort, tmp_path):

    study = next(
        path for path in sorted((cohort / IMAGE_FOLDER).iterdir()) if len(list(path.glob("*_mask_*"))) > 1
    )
    (image,) = study.glob("*_image*")
    masks = [nib.load(path) for path in sorted(study.glob("*_mask_*"))]
    labels = np.zeros(masks[0].shape, np.uint8)
    for value, mask in enumerate(masks, start=1):
        labels[np.asarray(mask.dataobj) > 0] = value
    nib.save(nib.Nifti1Image(labels, masks[0].affine), tmp_path / "labels.nii.gz")
    words = [str(model), f"image={image}", f"mask={tmp_path / 'labels.nii.gz'}", "prepared.jobs=1"]
    table = answer([*words, f"out={tmp_path / 'out'}"], QUIET)
    lesions = table[table["level"] == "lesion"]
    assert lesions["lesion_id"].nunique() == len(masks)
    table = answer([*words, f"out={tmp_path / 'one'}", "cohort.label_value=1"], QUIET)
    assert table.loc[table["level"] == "lesion", "lesion_id"].nunique() == 1


def test_label_values_that_touch_as_classes_of_one_lesion_do_are_said(tmp_path):
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[3:9, 3:9, 3:9] = 2
    labels[5:7, 5:7, 5:7] = 1
    for name, content in (("image", labels + 300.0), ("classes", labels), ("apart", labels % 2)):
        nib.save(nib.Nifti1Image(content, np.eye(4)), tmp_path / f"{name}.nii.gz")
    (tmp_path / "out").mkdir()
    files = tmp_path / "out", "P1", tmp_path / "image.nii.gz"
    with pytest.warns(Note, match="its label values touch, as classes of one lesion do"):
        write_study(*files, [tmp_path / "classes.nii.gz"], {}, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Note)
        write_study(*files, [tmp_path / "classes.nii.gz"], {}, 2)
        write_study(*files, [tmp_path / "apart.nii.gz"], {}, None)


def test_a_model_of_drawn_patients_says_so_and_one_of_a_hospitals_does_not(model, cohort, tmp_path):
    folder = shutil.copytree(model, tmp_path / "drawn")
    training = json.loads((folder / TRAINING).read_text())
    assert training["invented"] is False
    (folder / TRAINING).write_text(json.dumps(training | {"invented": True}))
    with_sums(folder)
    for name, place in (("others", model), ("drawn", folder)):
        console = Console(record=True, width=300, file=io.StringIO())
        study = sorted((cohort / IMAGE_FOLDER).iterdir())[0]
        answer([str(place), str(study), "prepared.jobs=1", f"out={tmp_path / name / 'out'}"], console)
        page = (tmp_path / name / "out" / "report.html").read_text()
        assert {"a program has drawn" in text.casefold() for text in (console.export_text(), page)} == {
            name == "drawn"
        }


@pytest.mark.parametrize("owner", ["patient", "study", "lesion"])
def test_the_card_says_who_owns_a_label_and_who_has_drawn_the_patients(owner, model, fitted):
    run_of_owner = replace(fitted, config={**fitted.config, "cohort": {"labels": owner}})
    metadata, training = (json.loads((model / name).read_text()) for name in (METADATA, TRAINING))
    card = model_card(metadata, training, run_of_owner)
    shared = {"patient", "study", "lesion"} & set(re.findall(r"of a (\w+) share its label", card))
    assert shared == {owner} - {"lesion"}
    drawn = model_card(metadata, training | {"invented": True}, run_of_owner)
    assert "A program has drawn" in drawn and "A program has drawn" not in card


def test_how_far_lesions_disagree_is_held_against_patients_that_a_fold_had_not_seen(model, fitted):
    """Worked out one patient at a time, from the run's table."""
    trained = read_model(model)
    table = fitted.predictions
    for target in trained.targets:
        rows = table[table["target"] == target]
        lesions = [own["probability"] for _, own in rows.groupby("patient_id") if len(own) > 1]
        expected = sorted(np.std(own.to_numpy()) for own in lesions)
        assert expected and trained.apart[target] == pytest.approx(expected)
    said = pd.DataFrame({"ER": [0.2, 0.6, 0.5]})
    far = apart(said, pd.Series(["a", "a", "b"]))["ER"]
    assert far["a"] == pytest.approx(0.2) and np.isnan(far["b"])
    shares = less_apart([0.1, 0.15, 0.3], far)
    assert shares[0] == pytest.approx(2 / 3) and np.isnan(shares[1])
    assert np.isnan(less_apart([], far)).all()


def test_the_sets_are_those_of_each_folds_own_network_and_patients(model, fitted):
    """Worked out one patient at a time, from the run's table, by counting."""
    trained = read_model(model)
    folds = [network.fold for network in trained.networks]
    rng = np.random.default_rng(0)
    said = [pd.DataFrame(rng.random((6, 3)), list("abcdef"), ["ER", "PR", "HER2"]) for _ in folds]
    sets = patient_sets(trained.out_of_fold, folds, said, 0.6)
    table = fitted.predictions.drop_duplicates(["fold", "target", "patient_id"])
    for target in trained.targets:
        for patient in "abcdef":
            fits = []
            for label in (1, 0):
                rows = table[(table["target"] == target) & (table["label"] == label)]
                own = abs(label - rows["patient_probability"])
                new = rows["fold"].map({fold: abs(label - said[fold].loc[patient, target]) for fold in folds})
                if (1 + (own >= new).sum()) / (1 + len(rows)) > 0.4 + 1e-9:
                    fits.append(label)
            words = {(1,): "positive", (0,): "negative", (1, 0): "undecided", (): "neither"}
            assert sets.loc[patient, target] == words[tuple(fits)]
    assert sets.stack().nunique() > 1
