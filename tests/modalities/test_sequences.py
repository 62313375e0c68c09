"""A second sequence: read where it is named, cut on the crop's own grid, augmented with the first."""

import gzip
import io
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from downloads import LABELS, download, row
from rich.console import Console

from bcbm.cohort.formats.tcia import IMAGE_FOLDER, read_download
from bcbm.cohort.synthetic import write_cohort
from bcbm.config.compose import compose
from bcbm.config.schema.training import Augment
from bcbm.crossvalidation.cross_validate import run
from bcbm.data.augmentation.batch import BatchAugment
from bcbm.data.augmentation.draws import Changes
from bcbm.data.augmentation.single import LesionAugment
from bcbm.errors import ConfigError, InputError
from bcbm.explanation.explain import explain
from bcbm.features.crops import CropSettings, CropStore, prepare_crops
from bcbm.features.radiomics import extract_cohort
from bcbm.features.records import Study
from bcbm.preparation.prepare import prepare
from bcbm.runs.folder import RunFolder

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def flair_cohort(tmp_path_factory):
    """The cohort of `cohort` with a FLAIR image in every study but one, and that study."""
    root = tmp_path_factory.mktemp("flair") / "cohort"
    write_cohort(
        root,
        patients=12,
        signal=1.0,
        images=True,
        seed=0,
        extract=lambda studies: extract_cohort(studies, 1),
        sequences=["t1c", "flair"],
        jobs=1,
    )
    path = root / IMAGE_FOLDER / "BCBM-RadioGenomics-3-0/BCBM-RadioGenomics-3-0_image_flair_ss_n4.nii.gz"
    shutil.move(path, root.parent / "flair.nii.gz")
    return root, path.parent.name


def words_of(root, home, *words):
    base = [f"cohort.root={root}", f"prepared.root={home / 'prepared'}", "prepared.jobs=1"]
    base += ["features.crop_size=16", "features.crop_spacing=2.0", "task.modalities=[image,position]"]
    return [*base, *words]


def test_the_embedded_cohort_with_flair_is_the_one_without_and_more(cohort, flair_cohort):
    root, _ = flair_cohort
    files = {path.relative_to(cohort) for path in cohort.rglob("*") if path.is_file()}
    more = {path.relative_to(root) for path in root.rglob("*") if path.is_file()} - files
    assert more and all("_image_flair_" in path.name for path in more)
    for path in files - {Path("cohort.json")}:
        assert (root / path).read_bytes() == (cohort / path).read_bytes()


def test_two_sequences_are_trained_to_the_end_and_explained(flair_cohort, tmp_path):
    root, bare = flair_cohort
    words = words_of(root, tmp_path, "task.sequences=[t1c,flair]", "task.targets=[ER]", "split.folds=3")
    words += ["trainer.max_epochs=1", "data.workers=0", "tracking=csv", "bootstrap=50"]
    words += ["model.mask_channel=true", f"run.folder={tmp_path / 'run'}"]
    folder = RunFolder(run(compose(words), QUIET))
    assert "ER" in json.loads((folder.path / "results.json").read_text())["receptors"]
    table = pd.read_parquet(tmp_path / "prepared/lesions.parquet")
    lesions = table[table["category"] == "lesion"]
    assert set(lesions.loc[lesions["study_id"] == bare, "reason"]) == {"no flair file"}
    assert not lesions.loc[lesions["study_id"] != bare, "reason"].str.contains("flair").any()
    content = torch.load(folder.path / "fold=0/checkpoints/best.ckpt", weights_only=True)
    assert content["hyper_parameters"]["fitted"]["image"] == {"sequences": ["t1c", "flair"]}
    assert content["state_dict"]["network.encoders.image.0.conv1.weight"].shape[1] == 3
    explain(folder, QUIET)
    assert list((folder.path / "explanations").glob("*.png"))


def test_a_sequence_that_is_not_the_studys_own_is_said_and_one_image_of_two_patients_excluded(
    flair_cohort, tmp_path
):
    root = shutil.copytree(flair_cohort[0], tmp_path / "cohort")
    flairs = sorted(root.rglob("*_image_flair_ss_n4.nii.gz"))
    copied, given, own, shifted, scored, *sound = flairs
    shutil.copy(copied, given)
    shutil.copy(str(own).replace("_flair", ""), own)
    image = nib.load(shifted)
    affine = image.affine.copy()
    affine[2, 3] += 24
    save(shifted, image.get_fdata(), affine)
    image = nib.load(scored)
    values = image.get_fdata()
    values[values > 0] -= values[values > 0].mean()
    save(scored, values, image.affine)
    console = Console(file=io.StringIO(), width=300)
    lesions = prepare(compose(words_of(root, tmp_path, "task.sequences=[t1c,flair]")), console)
    lines = console.file.getvalue().splitlines()
    studies = {path: path.parent.name for path in flairs}
    said = {
        study: [line for line in lines if line.startswith(f"problem {study}:")] for study in studies.values()
    }
    for path in (shifted, scored):
        assert any(
            "the brain of flair and that of the image share 0." in line for line in said[studies[path]]
        )
    assert any("its flair is its image" in line for line in said[studies[own]])
    assert not any("flair" in line for path in sound for line in said[studies[path]])
    table = lesions.table.set_index("study_id")
    for path in (copied, given):
        assert (table.loc[[studies[path]], "reason"] == "identical in two patients").any()
    assert not (table.loc[[studies[path] for path in sound], "reason"] == "identical in two patients").any()


def test_a_lesion_without_a_sequence_can_be_kept_and_has_no_image(flair_cohort, tmp_path):
    root, bare = flair_cohort
    sequences = "task.sequences=[t1c,flair]"
    lesions = prepare(compose(words_of(root, tmp_path, sequences, "task.missing=keep")), QUIET)
    without = (lesions.entering["study_id"] == bare).to_numpy()
    assert without.any() and not lesions.present[without, 0].any() and lesions.present[:, 1].all()
    assert lesions.present[~without, 0].all()
    crops = lesions.values["crops"]
    assert crops[int(np.flatnonzero(without)[0])].shape == (3, 16, 16, 16)
    assert not crops[int(np.flatnonzero(without)[0])].any()
    alone = prepare(compose(words_of(root, tmp_path, "task.missing=keep")), QUIET)
    number = int(np.flatnonzero(~without)[0])
    assert np.array_equal(alone.values["crops"][number], crops[number][[0, 2]])
    assert alone.present.all()


def test_a_sequence_that_no_study_has_is_told_the_nearest(flair_cohort, tmp_path):
    with pytest.raises(InputError, match="'flair'"):
        prepare(compose(words_of(flair_cohort[0], tmp_path, "task.sequences=[t1c,flairr]")), QUIET)


@pytest.mark.parametrize(
    "words, facts",
    [
        (["task.sequences=[flair]"], "begin with t1c"),
        (["task.sequences=[]"], "begin with t1c"),
        (["task.sequences=[t1c,flair,flair]", "cohort.root=x"], "each once"),
        (["task.sequences=[t1c,fl/air]", "cohort.root=x"], "letters"),
        (["task.sequences=[t1c,flair]"], r"cohort.synthetic.sequences=\[t1c,flair\]"),
        (["cohort.synthetic.sequences=[t1c,flare]"], "'flair'"),
        (["task.sequences=[t1c,flair]", "cohort.root=x", "model.weights=a.pth"], "one channel"),
    ],
)
def test_sequences_that_cannot_be_are_refused(words, facts):
    with pytest.raises(ConfigError, match=facts):
        compose(words)


def test_only_named_sequences_are_looked_for(tmp_path):
    root = download(tmp_path, [("1-0", "met", *row(1))], LABELS[:1], [("1-0", "met")])
    (folder,) = (root / IMAGE_FOLDER).iterdir()
    for ending in ("flair_ss_n4", "flair2_ss_n4"):
        (folder / f"{folder.name}_image_{ending}.nii.gz").write_bytes(b"x")
    plain, named, second = (
        read_download(root, sequences=sequences) for sequences in ((), ("flair",), ("flair", "flair2"))
    )
    assert plain.problems[0].kind == "study with more than one image" and "3 files" in plain.problems[0].found
    assert plain.segmentations["image_path"].tolist() == second.segmentations["image_path"].tolist()
    assert "image_flair" not in plain.segmentations and "2 files" in named.problems[0].found
    assert second.problems == []
    (paths,) = second.segmentations[["image_path", "image_flair", "image_flair2"]].to_numpy()
    assert [Path(path).name.removeprefix(f"{folder.name}_image_") for path in paths] == [
        *("ss_n4.nii.gz", "flair_ss_n4.nii.gz", "flair2_ss_n4.nii.gz")
    ]
    (folder / f"{folder.name}_image_flair.nii.gz").write_bytes(b"x")
    (problem,) = read_download(root, sequences=("flair", "flair2")).problems
    assert problem.found == "2 images of flair"


def save(path, values, affine):
    path.write_bytes(gzip.compress(nib.Nifti1Image(values.astype(np.float32), affine).to_bytes(), 1))
    return path


def ramp(shape, affine):
    """Intensities that rise by 1 a mm to the left, 2 to the back, 3 upwards."""
    indices = np.moveaxis(np.indices(shape), 0, -1)
    points = indices @ affine[:3, :3].T + affine[:3, 3]  # RAS
    return points @ [-1, -2, 3] + 500


def files_of(folder, shift=0.0):
    """A study on a grid of 1 mm, and its second sequence on a turned one of 1.3 x 0.8 x 2 mm."""
    grid = np.diag([-1.0, -1.0, 1.0, 1.0])
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    other = np.eye(4)
    other[:3, :3] = turn @ np.diag([1.3, -0.8, 2.0])
    other[:3, 3] = -28 + shift, 12, -8
    mask = np.zeros((24, 24, 24))
    mask[10:14, 9:13, 11:14] = 1
    image = save(folder / "image.nii.gz", ramp((24, 24, 24), grid), grid)
    flair = save(folder / "flair.nii.gz", ramp((40, 50, 24), other), other)
    return Study(image, {"S/a": save(folder / "a.nii.gz", mask, grid)}, {"flair": flair})


def made(study, folder):
    settings = CropSettings(9, 1.0, intensity="none")
    where, problems = prepare_crops([study], folder / "kept", settings, jobs=1)
    store = CropStore([*where.values()], 9, 2 + len(study.others))
    return [store[number] for number in range(len(store))], problems


def test_a_sequence_is_resampled_from_its_own_grid_onto_that_of_the_crop(tmp_path):
    study = files_of(tmp_path)
    (crop,), problems = made(study, tmp_path)
    assert problems == [] and crop.shape == (3, 9, 9, 9)
    np.testing.assert_allclose(crop[1].astype(float), crop[0].astype(float), atol=0.5)  # float16 near 500
    (alone,), _ = made(study._replace(others={}), tmp_path)
    assert np.array_equal(alone, crop[[0, 2]])


def test_each_sequence_is_normalised_by_itself(tmp_path):
    study = files_of(tmp_path)
    image = nib.load(study.others["flair"])
    save(study.others["flair"], 7 * image.get_fdata() + 90, image.affine)
    where, _ = prepare_crops([study], tmp_path / "kept", CropSettings(9, 1.0), jobs=1)
    (again,) = prepare_crops([files_of(tmp_path)], tmp_path / "kept", CropSettings(9, 1.0), jobs=1)[
        0
    ].values()
    rescaled, original = CropStore([*where.values(), again], 9, 3)[0], CropStore([again], 9, 3)[0]
    np.testing.assert_allclose(rescaled[1].astype(float), original[1].astype(float), atol=2e-3)
    assert where["S/a"] != again


def test_a_sequence_elsewhere_or_unreadable_costs_the_lesions_and_says_which(tmp_path):
    crops, (problem,) = made(files_of(tmp_path, shift=300.0), tmp_path)
    assert crops == [] and "flair" in problem.found and problem.where == "S/a"
    study = files_of(tmp_path)
    study.others["flair"].write_bytes(study.others["flair"].read_bytes()[:-200])
    crops, (problem,) = made(study, tmp_path)
    assert crops == [] and problem.found.startswith("flair") and "flair.nii.gz" in problem.found


def test_records_of_one_sequence_have_one_name_for_all_versions_since_0_4(tmp_path):
    """Those of before, here 262ed463f4d3c3fe, may show a voxel where no lesion is: they are not read."""
    study = files_of(tmp_path)._replace(others={})
    prepare_crops([study], tmp_path / "kept", CropSettings(9, 1.0), jobs=1)
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        *("1d3bd1a0a27ce642.json", "1d3bd1a0a27ce642.npy")
    ]


CHANCES = {"flip": 0.5, "affine": 1.0, "motion": 0.5, "bias": 0.5, "gamma": 0.5, "noise": 0.0}


def crops_of(count):
    images = torch.randn(count, 3, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    images[:, 2] = 0
    images[:, 2, 4:10, 5:11, 3:8] = 1
    return images


def by_worker(images, augment, sequences):
    worker = LesionAugment(augment, 1.0, sequences)
    return torch.stack([worker(image, seed)[0] for seed, image in enumerate(images)])


def by_device(images, augment, sequences):
    seeds = torch.arange(len(images))
    change = torch.stack([Changes(augment)(int(seed)) for seed in seeds])
    return BatchAugment(1.0, sequences)(images, change, seeds)


@pytest.mark.parametrize("way", [by_worker, by_device])
def test_sequences_are_changed_alike_and_the_mask_with_them(way):
    images, augment = crops_of(12), Augment(**CHANCES)
    changed = way(images, augment, 2)
    for channel in (0, 1):
        alone = way(images[:, [channel, 2]], augment, 1)
        assert torch.equal(changed[:, [channel, 2]], alone)
        assert not torch.equal(alone[:, 0], images[:, channel])
    assert set(changed[:, 2].unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("way", [by_worker, by_device])
def test_noise_is_as_strong_in_each_sequence_and_not_the_same(way):
    images = torch.zeros(6, 3, 16, 16, 16)
    augment = Augment(**{**dict.fromkeys(CHANCES, 0.0), "noise": 1.0})
    noise = way(images, augment, 2)
    assert torch.equal(way(images[:, :1], augment, 1), noise[:, :1])
    first, second = noise[:, 0].flatten(1), noise[:, 1].flatten(1)
    assert torch.allclose(first.std(1), second.std(1), rtol=0.1) and not noise[:, 2].any()
    for a, b in zip(first, second, strict=True):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.1
