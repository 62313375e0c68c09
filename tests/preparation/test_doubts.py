"""Studies in doubt: what audit says of an image, prepare says in the same words, and positions go missing."""

import io
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console

from bcbm.cohort.formats.tcia import IMAGE_FOLDER
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


def halved(values: np.ndarray) -> np.ndarray:
    """A third of a brain, which no template fits."""
    values = values.copy()
    values[: values.shape[0] // 2] = 0
    values[:, : values.shape[1] // 3] = 0
    return values


@pytest.fixture(scope="module")
def doubtful(cohort, tmp_path_factory):
    """Four studies of the cohort, each with an image that is wrong in another way: root, study by kind."""
    root = tmp_path_factory.mktemp("doubts") / "cohort"
    root.mkdir()
    for book in cohort.glob("*.xlsx"):
        shutil.copy(book, root)
    folders = sorted(folder for folder in (cohort / IMAGE_FOLDER).iterdir() if folder.name.endswith("-0"))
    studies = dict(zip(KINDS, (folder.name for folder in folders), strict=False))
    for study in studies.values():
        shutil.copytree(cohort / IMAGE_FOLDER / study, root / IMAGE_FOLDER / study)
    image = {
        kind: root / IMAGE_FOLDER / study / f"{study}_image_ss_n4.nii.gz" for kind, study in studies.items()
    }
    change(image[KINDS[0]], lambda values: np.maximum(values, 5))
    change(image[KINDS[1]], lambda values: (values / values.max()).astype(np.float32))
    change(image[KINDS[2]], halved)
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
    for kind, study in studies.items():
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


def test_a_form_that_is_told_is_read_and_changes_sides(doubtful, prepared):
    root, studies = doubtful
    folder, lesions, _ = prepared
    study = studies["qform and sform disagree"]
    assert lesions.table.query("study_id == @study")["excluded"].all()
    tables, screens = {}, {}
    for form in ("qform", "sform"):
        console = Console(file=io.StringIO(), width=200)
        table = prepare(composed(root, folder, f"cohort.form={form}"), console).table
        tables[form], screens[form] = (
            table.query("study_id == @study and not excluded"),
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
