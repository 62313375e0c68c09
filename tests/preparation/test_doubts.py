"""Studies in doubt: what audit says of an image, prepare says in the same words, and positions go missing."""

import io
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console
from scipy.ndimage import binary_dilation

from bcbm.cohort.formats.tcia import IMAGE_FOLDER
from bcbm.cohort.names import read_name
from bcbm.config.compose import compose
from bcbm.errors import InputError
from bcbm.preparation.audit import audit_content
from bcbm.preparation.prepare import prepare
from bcbm.preparation.reading import read_cohort

KINDS = ("not skull-stripped", "intensities rescaled", "not registered", "qform and sform disagree")


def change(path: Path, values=lambda stored: stored, qform=None) -> None:
    image = nib.load(path)
    changed = nib.Nifti1Image(values(np.asarray(image.dataobj)), image.affine)
    if qform is not None:
        changed.set_qform(qform @ image.affine, 1)
    nib.save(changed, path)


def swollen(values: np.ndarray) -> np.ndarray:
    """A brain with something around it that nobody has stripped off."""
    return np.where(binary_dilation(values > 0, iterations=12), np.maximum(values, 5), 0)


def surroundings(folder: Path):
    """Of an image, what lies near the lesions of its study: no template fits that."""
    masks = [np.asarray(nib.load(path).dataobj) > 0.5 for path in folder.glob("*_mask_*")]
    near = binary_dilation(np.any(masks, axis=0), iterations=3)
    return lambda values: np.where(near, values, 0)


def sure_lesions(folder: Path) -> bool:
    readings = [read_name(path.name.split("_mask_")[1]) for path in folder.glob("*_mask_*")]
    sure = [reading for reading in readings if reading.confidence >= 0.9 and reading.category == "lesion"]
    return any(reading.hemisphere in ("left", "right") for reading in sure)


@pytest.fixture(scope="module")
def doubtful(cohort, tmp_path_factory):
    """Four studies of the cohort, each with an image that is wrong in another way: root, study by kind."""
    root = tmp_path_factory.mktemp("doubts") / "cohort"
    root.mkdir()
    for book in cohort.glob("*.xlsx"):
        shutil.copy(book, root)
    folders = [folder for folder in sorted((cohort / IMAGE_FOLDER).glob("*-0")) if sure_lesions(folder)]
    studies = dict(zip(KINDS, (folder.name for folder in folders), strict=False))
    for study in studies.values():
        shutil.copytree(cohort / IMAGE_FOLDER / study, root / IMAGE_FOLDER / study)
    image = {
        kind: root / IMAGE_FOLDER / study / f"{study}_image_ss_n4.nii.gz" for kind, study in studies.items()
    }
    change(image[KINDS[0]], swollen)
    change(image[KINDS[1]], lambda values: (values / values.max()).astype(np.float32))
    change(image[KINDS[2]], surroundings(image[KINDS[2]].parent))
    for path in image[KINDS[3]].parent.glob("*.nii.gz"):
        change(path, qform=np.diag([-1.0, 1, 1, 1]))
    return root, studies


def composed(root: Path, folder: Path, *words: str):
    base = [f"cohort.root={root}", f"prepared.root={folder}", "prepared.jobs=1", "cohort.position=image"]
    return compose([*base, "task.modalities=[position]", *words])


@pytest.fixture(scope="module")
def prepared(doubtful, tmp_path_factory):
    """The folder, the lesions and the screen of a preparation."""
    root, _ = doubtful
    folder = tmp_path_factory.mktemp("prepared")
    console = Console(file=io.StringIO(), width=200)
    return folder, prepare(composed(root, folder), console), console.file.getvalue()


def test_prepare_says_what_audit_says_in_the_same_words(doubtful, prepared):
    root, studies = doubtful
    folder, _, screen = prepared
    config = composed(root, folder)
    quiet = Console(quiet=True)
    findings = audit_content(config, read_cohort(config, quiet, volumes=True, register=True))["findings"]
    rescaled = {"radiomics of other files": studies["intensities rescaled"]}  # than those that they are of
    for kind, study in [*studies.items(), *rescaled.items()]:
        rows = [row for row in findings if row["kind"] == kind and study in row["where"]]
        assert rows, kind
        assert f"{rows[0]['found']}; {rows[0]['remedy']}" in screen


def test_what_cannot_be_registered_has_no_position(doubtful, prepared):
    _, studies = doubtful
    table = prepared[1].table
    unplaced = table[table["study_id"] == studies["not registered"]]
    assert set(unplaced["position_source"]) == {"missing"} and set(unplaced["hemisphere"]) == {"unknown"}
    assert unplaced["excluded"].all() and "not registered" in set(unplaced["reason"])
    assert unplaced["doubts"].str.contains("not registered").all()
    rescaled = table[table["study_id"] == studies["intensities rescaled"]]
    assert set(rescaled["position_source"]) == {"image"} and set(rescaled["doubts"]) == {KINDS[1]}


def test_the_bar_can_be_set_and_a_name_is_read_where_names_are_to_count(doubtful, prepared):
    root, studies = doubtful
    folder, _, _ = prepared
    tables, screens = [], []
    for word in ("cohort.overlap=0.99", "cohort.position=name"):
        console = Console(file=io.StringIO(), width=200)
        tables.append(prepare(composed(root, folder, word), console).table)
        screens.append(console.file.getvalue())
    sound, unplaced = studies["intensities rescaled"], studies["not registered"]
    assert set(tables[0].loc[tables[0]["study_id"] == sound, "position_source"]) == {"missing"}
    assert "below cohort.overlap=0.99" in screens[0]
    assert set(tables[1].loc[tables[1]["study_id"] == unplaced, "position_source"]) == {"name"}


def test_a_form_that_is_told_is_read_and_changes_sides(doubtful, prepared, tmp_path):
    root, studies = doubtful
    folder, lesions, _ = prepared
    study = studies["qform and sform disagree"]
    assert lesions.table.query("study_id == @study")["excluded"].all()
    alone = shutil.copytree(root, tmp_path / "alone", ignore=lambda _, names: set(studies.values()) - {study})
    tables, screens = {}, {}
    for form in ("qform", "sform"):
        console = Console(file=io.StringIO(), width=200)
        table = prepare(composed(alone, folder, f"cohort.form={form}"), console).table
        tables[form], screens[form] = (
            table.query("study_id == @study and mni_x.notna()"),
            console.file.getvalue(),
        )
    mirrored = (
        tables["qform"].set_index("lesion_id")["mni_x"] + tables["sform"].set_index("lesion_id")["mni_x"]
    )
    assert len(mirrored) and (mirrored.abs() < 8).all()
    sided = tables["sform"][tables["sform"]["name_hemisphere"].isin(["left", "right"])]
    assert (sided["hemisphere"] == sided["name_hemisphere"]).all()
    for form, screen in screens.items():
        assert f"cohort.form={form}" in screen and study in screen


def test_strict_stops_at_doubts(doubtful, prepared):
    root, _ = doubtful
    with pytest.raises(InputError) as caught:
        prepare(composed(root, prepared[0], "cohort.strict=true"), Console(quiet=True))
    stopped = {problem.kind for problem in caught.value.problems}
    assert set(KINDS) <= stopped
