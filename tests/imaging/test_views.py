"""Lesions worth a look: which they are, their pictures, and what a page says of them and what not."""

import json

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from finished_runs import lesion_table, write_run

from bcbm.cohort.formats.tcia import read_download
from bcbm.cohort.near import nearest_of_others
from bcbm.cohort.table import build_table, settle
from bcbm.errors import InputError
from bcbm.imaging.pictures import lesion_pictures
from bcbm.imaging.views import doubt_views, drawn_views, error_views, pair_views
from bcbm.preparation.lesions import Lesions
from bcbm.report.figures.errors import with_lesions
from bcbm.report.pages.run import write_report
from bcbm.report.pages.views import shown_views
from bcbm.runs.finished import read_run
from bcbm.runs.views import VIEWS, View, read_views, write_views


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run", "split.folds=2")


@pytest.fixture(scope="module")
def segmented(cohort):
    """The settled table of the cohort with images, files from its root on, and its radiomics."""
    table, features, _ = build_table(read_download(cohort))
    settle(table, "lesions+targets", None)
    for column in ("image_path", "mask_path"):
        table[column] = table[column].str.replace(f"{cohort}/", "", regex=False)
    return table.assign(doubts="", mni_overlap=np.nan), features.to_numpy(float)


def lesions_of(table, values, root=None, **more):
    enters = ~table["excluded"].to_numpy()
    found = {"radiomics": values[enters], **more}
    entering = table[enters].reset_index(drop=True)
    return Lesions(table, entering, found, np.ones((len(entering), 1), bool), "abc", root, root=root)


def test_the_nearest_of_another_owner_is_that_of_all_distances():
    rng = np.random.default_rng(0)
    points, owners = rng.normal(size=(1300, 6)), rng.integers(0, 40, 1300).astype(str)
    rows = np.arange(0, 1300, 2)
    nearest, far = nearest_of_others(points, owners, rows)
    for row, other, distance in list(zip(rows, nearest, far, strict=True))[::37]:
        own = np.linalg.norm(points - points[row], axis=1)
        own[owners == owners[row]] = np.inf
        assert (other, distance) == (own.argmin(), pytest.approx(own.min()))
    assert np.isinf(nearest_of_others(points, np.full(1300, "P"), rows[:3])[1]).all()


def test_errors_are_the_surest_wrong_answers_beside_their_look_alikes_of_another_patient(run):
    finished = read_run(run)
    rows = with_lesions(finished.predictions, finished.lesions)
    values = np.random.default_rng(0).normal(size=(len(finished.lesions), 30))
    lesions = lesions_of(finished.lesions, values)
    owner = finished.lesions.set_index("lesion_id")["patient_id"]
    views = error_views(rows, lesions)
    errors = [view for view in views if view.kind == "error"]
    assert [view.target for view in errors] == ["ER", "PR", "HER2"]
    for view in errors:
        own = rows[rows["target"] == view.target]
        wrong = own[(own["probability"] >= 0.5) != (own["label"] == 1)]
        surest = wrong.loc[(wrong["probability"] - 0.5).abs().idxmax()]
        assert view.lesion_id == surest["lesion_id"]
        (like,) = [other for other in views if (other.like, other.target) == (view.lesion_id, view.target)]
        assert owner[like.lesion_id] != owner[view.lesion_id]
    entering = finished.entering.reset_index(drop=True)
    planted = values[~finished.lesions["excluded"].to_numpy()].copy()
    stranger = int(np.flatnonzero(entering["patient_id"] != entering["patient_id"][0])[-1])
    planted[stranger] = planted[0]
    first, second, *_ = pair_views(entering, planted)
    assert {first.lesion_id, second.lesion_id} == {*entering["lesion_id"].iloc[[0, stranger]]}
    assert error_views(rows, lesions_of(finished.lesions, values * np.nan)) == errors  # nothing to compare by


def test_doubts_are_studies_that_could_not_be_placed_and_then_those_that_overlap_little(segmented):
    table = segmented[0].copy()
    studies = list(dict.fromkeys(table.loc[table["mask_path"] != "", "study_id"]))[:3]
    table["position_source"], table["name_confidence"], table["mni_x"] = "image", 1.0, np.nan
    table.loc[table["study_id"] == studies[0], "mni_overlap"] = 0.86
    table.loc[table["study_id"] == studies[2], "doubts"] = "not skull-stripped; not registered"
    assert [view.lesion_id.partition("/")[0] for view in doubt_views(table)] == [studies[2], studies[0]]
    assert doubt_views(table.drop(columns="mni_overlap")) == []


def test_a_lesion_is_drawn_in_its_scan_and_a_file_that_is_gone_leaves_the_others(segmented, cohort, tmp_path):
    table = segmented[0].copy()
    entering = table[~table["excluded"]].drop_duplicates("patient_id")
    first, second = entering["lesion_id"].iloc[:2]
    pictures = lesion_pictures(table, cohort, "agree", [first, second, first], tmp_path)
    assert set(pictures) == {first, second}
    pixels = matplotlib.image.imread(pictures[first])[..., :3]
    yellow = (pixels[..., 0] > 0.7) & (pixels[..., 2] < 0.5)
    assert yellow.any() and pixels.shape[1] == pytest.approx(3 * pixels.shape[0], abs=2)
    table.loc[table["study_id"] == entering["study_id"].iloc[0], "image_path"] = "gone.nii.gz"
    assert set(lesion_pictures(table, cohort, "agree", [first, second], tmp_path)) == {second}


def test_pictures_are_of_images_that_were_read_and_replace_older_ones(segmented, cohort, tmp_path):
    table, values = segmented
    entering = table[~table["excluded"]]
    rows = entering[["lesion_id", "patient_id"]].assign(target="ER", label=1.0, probability=0.1)
    (tmp_path / "9.png").touch()
    assert drawn_views(rows, lesions_of(table, values, cohort), "agree", tmp_path) == ([], {})
    views, pictures = drawn_views(rows, lesions_of(table, values, cohort, crops=[]), "agree", tmp_path)
    assert [view.kind for view in views] == ["error", "look-alike"]
    assert (
        {path.name for path in tmp_path.iterdir()}
        == {"0.png", "1.png"}
        == {path.name for path in pictures.values()}
    )


def test_the_page_of_a_run_shows_them_under_pseudonyms(run):
    table = lesion_table()
    first, second = table.loc[[0, 40], "lesion_id"]
    views = [View("error", first, "ER"), View("look-alike", second, "ER", first), View("doubt", second)]
    (run / VIEWS).mkdir()
    picture = run / VIEWS / "0.png"
    matplotlib.image.imsave(picture, np.zeros((4, 12)))
    write_views(run, views, {first: picture, second: picture})
    assert read_views(run)[0] == views
    html = write_report(run).read_text()
    section = html.split('<section id="errors">')[1].split("</section>")[0]
    rows = with_lesions(read_run(run).predictions, table).set_index(["lesion_id", "target"])
    assert f"probability {rows.loc[(first, 'ER'), 'probability']:.2f}" in section
    assert section.count("<figure") == 4 and "SECRET" not in html
    picture.unlink()
    assert "Looks like" not in write_report(run).read_text()


@pytest.mark.parametrize(
    "content",
    ['[{"kind": "error"}]', "{}", "[", '[{"lesion_id": "L", "file": "a.png", "kind": "error", "more": 1}]'],
)
def test_a_damaged_record_is_said(tmp_path, content):
    (tmp_path / VIEWS).mkdir()
    (tmp_path / VIEWS / "views.json").write_text(content)
    with pytest.raises(InputError, match=r"views\.json"):
        read_views(tmp_path)


def test_a_record_gets_no_other_file_into_the_page(run):
    entry = {"kind": "doubt", "lesion_id": lesion_table()["lesion_id"][0], "file": "../config.yaml"}
    (run / VIEWS).mkdir(exist_ok=True)
    (run / VIEWS / "views.json").write_text(json.dumps([entry]))
    with pytest.raises(InputError, match=r"config\.yaml"):
        write_report(run)


def test_what_is_not_in_the_table_is_not_shown():
    table = pd.DataFrame({"lesion_id": ["a"], "patient_id": ["1"], "hemisphere": "left", "region": "deep"})
    table = table.assign(volume=10.0, ER=np.nan)
    views = [View("look-alike", "a", "ER", "b"), View("error", "c", "ER"), View("error", "a", "ER")]
    rows = pd.DataFrame({"lesion_id": ["a"], "target": ["ER"], "probability": [0.9]})
    (shown,) = shown_views(views, dict.fromkeys("abc", "data:"), table, {"1": "P1"}, rows)
    assert "probability 0.90, unknown" in shown["caption"] and "P1, left deep" in shown["caption"]
