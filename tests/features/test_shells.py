"""Radiomics of the tissue around a lesion: where a shell lies, what it leaves out, and what is said of it."""

import io

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from damage.given import write_download
from rich.console import Console
from scipy.spatial.distance import cdist

from bcbm.baselines.columns import table_columns
from bcbm.config.compose import compose
from bcbm.config.schema import Config
from bcbm.config.schema.cohort import Features
from bcbm.config.schema.training import Task
from bcbm.errors import ConfigError, InputError
from bcbm.features.radiomics import FEATURES
from bcbm.features.records import Study
from bcbm.features.shells import LEAST, SHELL_FEATURES, extract_shells, shell_columns, shell_masks
from bcbm.modalities.base import LesionData
from bcbm.modalities.radiomics import RADIOMICS
from bcbm.preparation.prepare import prepare

SHAPE, SPACING, EDGES = (16, 32, 32), np.array([2.0, 1.0, 1.0]), [3.0, 6.0]  # z, y, x
MEAN = SHELL_FEATURES.index("original_firstorder_Mean")


def ball(centre, radius):
    """The voxels within a radius in mm of a voxel."""
    points = (np.indices(SHAPE).reshape(3, -1).T - centre) * SPACING
    return (np.linalg.norm(points, axis=1) <= radius).reshape(SHAPE)


def far(mask):
    """The distance of every voxel from the nearest of a mask, mm, pair by pair."""
    points = np.indices(SHAPE).reshape(3, -1).T * SPACING
    return cdist(points, points[mask.ravel()]).min(axis=1).reshape(SHAPE)


MASKS = {
    "first": ball((8, 16, 12), 4),
    "second": ball((8, 16, 22), 3),  # 3 mm from it
    "over": ball((8, 16, 12), 6),  # the target of the first
    "corner": ball((8, 2, 2), 1),
}
BRAIN = np.ones(SHAPE, bool)
BRAIN[:, :8] = False
BRAIN[8, 2, 2] = True


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """An image that is brain on one side only, and its masks."""
    folder = tmp_path_factory.mktemp("study")
    values = np.where(BRAIN, np.random.default_rng(0).uniform(50, 400, SHAPE), 0)
    paths = {}
    for name, content in {"image": values, **MASKS}.items():
        volume = sitk.GetImageFromArray(content.astype(np.float32))
        volume.SetSpacing(SPACING[::-1].tolist())
        paths[name] = folder / f"{name}.nii.gz"
        sitk.WriteImage(volume, str(paths[name]))
    return Study(paths.pop("image"), paths), values.astype(np.float32)


def test_shells_follow_each_other_by_distance_in_mm():
    lesion = MASKS["first"]
    near, further = shell_masks(lesion, np.ones(SHAPE, bool), SPACING, EDGES)
    distance = far(lesion)
    assert np.array_equal(near, (distance > 0) & (distance <= 3))
    assert np.array_equal(further, (distance > 3) & (distance <= 6))


@pytest.mark.filterwarnings("ignore::bcbm.errors.Note")
def test_a_shell_is_brain_and_of_no_other_lesion_and_kept(study, tmp_path):
    study, image = study
    shells = extract_shells([study], EDGES, tmp_path, jobs=1)
    for name, others in {"first": ["second"], "second": ["first", "over"]}.items():
        distance, free = far(MASKS[name]), BRAIN & ~np.any([MASKS[other] for other in others], axis=0)
        for values, low, high in zip(shells.values[name], [0, 3], EDGES, strict=True):
            expected = image[(distance > low) & (distance <= high) & free]
            assert values[MEAN] == pytest.approx(expected.mean(), rel=1e-6)
            assert np.isfinite(values).all()
    assert np.isnan(shells.values["corner"]).all()
    assert set(shells.missing) == {"corner"} and f"fewer than {LEAST}" in shells.missing["corner"]["0-3"]
    (record,) = tmp_path.glob("*.json")
    written = record.stat().st_mtime_ns
    again = extract_shells([study], EDGES, tmp_path, jobs=1)
    assert record.stat().st_mtime_ns == written and np.array_equal(
        again.values["first"], shells.values["first"]
    )
    record.write_text(record.read_text().replace("1", "2"))
    anew = extract_shells([study], EDGES, tmp_path, jobs=1)
    assert np.array_equal(anew.values["first"], shells.values["first"]) and anew.missing == shells.missing


def test_shells_are_further_columns_of_radiomics_named_by_their_edges(tmp_path):
    write_download(tmp_path / "download")
    screen = io.StringIO()
    words = [
        f"cohort.root={tmp_path / 'download'}",
        f"prepared.root={tmp_path / 'prepared'}",
        "prepared.jobs=1",
    ]
    words += ["task.modalities=[radiomics]", "features.shells=[2, 2.5]"]
    config = compose(words)
    lesions = prepare(config, Console(file=screen, width=400))
    columns = RADIOMICS.columns(lesions.data(config))
    assert list(columns) == [*FEATURES, *shell_columns([2, 2.5])] and len(columns.columns) == 107 + 2 * 93
    assert (
        "shell_0-2_firstorder_Mean" in columns and not columns.filter(like="shell_").filter(like="shape").size
    )
    assert RADIOMICS.tensor(lesions.data(config)).shape == columns.shape
    assert np.isfinite(columns["shell_0-2_glcm_Contrast"]).all()
    kept = pd.read_parquet(tmp_path / "prepared" / "shells.parquet")
    assert kept.loc[lesions.entering["lesion_id"], "shell_2-2.5_glcm_Contrast"].to_numpy() == pytest.approx(
        columns["shell_2-2.5_glcm_Contrast"].to_numpy()
    )
    blocks = RADIOMICS.blocks(config)
    assert len(blocks["all shell 2-2.5"]) == 93 and len(blocks["all glcm"]) == 24
    assert max(place for block in blocks.values() for place in block) == columns.shape[1] - 1


def test_stability_judges_the_lesion_and_leaves_its_shells():
    rng = np.random.default_rng(0)
    values = {"radiomics": rng.normal(size=(20, 107)), "shells": rng.normal(size=(20, 93))}
    noise = np.where(np.arange(107) < 50, 0.01, 5.0)
    values["perturbed"] = values["radiomics"][:, None] + rng.normal(size=(20, 4, 107)) * noise
    table = pd.DataFrame({"lesion_id": range(20), "patient_id": range(20)})
    config = Config(features=Features(stable=0.75, shells=[3.0]), task=Task(modalities=["radiomics"]))
    lesions = LesionData(table, values, config)
    fitted = RADIOMICS.fold_fit(lesions, np.arange(15))
    assert np.count_nonzero(fitted["scale"]) == 50 + 93
    assert list(table_columns(lesions, np.arange(15))) == [*FEATURES[:50], *shell_columns([3])]


def test_shells_need_images(table_cohort, tmp_path):
    words = [f"cohort.root={table_cohort}", f"prepared.root={tmp_path}", "task.modalities=[radiomics]"]
    with pytest.raises(InputError, match=r"features\.shells=\[3\.0, 6\.0\]"):
        prepare(compose([*words, "features.shells=[3,6]"]), Console(quiet=True))


@pytest.mark.parametrize("edges", ["[6,3]", "[0,3]", "[3,3]", "[-1]", "[.nan]", "[3,.inf]", "[31]"])
def test_shells_that_do_not_lie_around_each_other_are_refused(edges):
    with pytest.raises(ConfigError, match=r"features\.shells=.*write distances in mm"):
        compose([f"features.shells={edges}"])
