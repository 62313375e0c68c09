"""What the audit notes in a table that no file says by itself: small, grey, outside, mirrored, in doubt."""

from pathlib import Path

import pandas as pd
import pytest

from bcbm.cohort.download import Download
from bcbm.cohort.findings import agreement, burden, findings, surroundings, with_margins
from bcbm.cohort.measurements import MASK_COLUMNS, MNI_COLUMNS, Survey
from bcbm.cohort.table import build_table, settle

STUDY = "BCBM-RadioGenomics-1-0"
NAMES = ["R-frontal-tumor", "R-occipital-tumor", "R-cerebellar-tumor"]
POINTS = [(30, 45, 20), (20, -90, 5), (25, -65, -40)]  # MNI, on the right


def judged(points=POINTS, overlap=0.95, **measures):
    """Kinds and places of the findings in one study of three lesions, and the table."""
    ids = [f"{STUDY}/{name}" for name in NAMES]
    usual = {"voxels": 500, "volume": 500.0, "x": 0, "y": 0, "z": 0, "outside": 0.0, "grey_levels": 9}
    survey = Survey(
        masks=pd.DataFrame([{**usual, **measures}] * 3, index=ids, columns=list(MASK_COLUMNS)),
        overlaps=pd.DataFrame(columns=["one", "other", "shared", "dice"]),
        unusable={},
        problems=[],
        points=pd.DataFrame([(*point, overlap) for point in points], index=ids, columns=list(MNI_COLUMNS)),
    )
    rows = {"study_id": STUDY, "name": NAMES, "image_path": "", "mask_path": "", "in_workbook": True}
    studies = pd.DataFrame({"study_id": [STUDY], "patient_id": ["BCBM-RadioGenomics-1"]})
    download = Download(
        root=Path("cohort"),
        clinical="clinical.csv",
        images=Path("cohort/images"),
        has_images=False,
        segmentations=pd.DataFrame(rows),
        features=pd.DataFrame({"original_a": [1.0, 2, 3], "original_b": 1.0}),
        studies=studies.assign(ER=1.0, PR=0.0, HER2=1.0),
        targets=["ER", "PR", "HER2"],
    )
    table, _, _ = build_table(download, survey=survey)
    settle(table, "lesions", survey)
    return {(problem.kind, problem.where) for problem in findings(download, table)}, table


def test_a_sound_study_has_nothing_but_its_burden():
    noted, table = judged()
    assert {kind for kind, _ in noted} == {"patient that owns much of the table"}
    assert burden(table) == [{"patient": "BCBM-RadioGenomics-1", "lesions": 3, "share": 1.0}]
    assert agreement(table) == {"hemisphere": {"agree": 3, "of": 3}, "region": {"agree": 3, "of": 3}}


@pytest.mark.parametrize(
    ("measures", "kind"),
    [
        ({"outside": 0.1}, "mask reaches outside the brain"),
        ({"grey_levels": 1}, "single grey level"),
        ({"brain_share": 0.6}, "mask is most of the brain"),
        ({"volume": 130_000.0}, "mask larger than a metastasis"),
        ({"voxels": 26}, "fewer than 27 voxels"),
    ],
)
def test_masks_that_say_little_are_named(measures, kind):
    noted, _ = judged(**measures)
    assert (kind, f"{STUDY}/{NAMES[0]}") in noted


def test_a_study_whose_lesions_all_lie_opposite_to_their_names_is_mirrored():
    noted, table = judged(points=[(-x, y, z) for x, y, z in POINTS])
    assert ("mirrored study", STUDY) in noted
    assert sum(kind == "name against coordinates" for kind, _ in noted) == 3
    assert agreement(table)["hemisphere"] == {"agree": 0, "of": 3}


def test_one_lesion_on_the_other_side_is_no_mirrored_study():
    noted, _ = judged(points=[(-30, 45, 20), *POINTS[1:]])
    assert "mirrored study" not in {kind for kind, _ in noted}
    assert ("name against coordinates", f"{STUDY}/{NAMES[0]}") in noted


def test_a_poor_overlap_with_the_template_is_in_doubt():
    assert ("registration in doubt", STUDY) in judged(overlap=0.86)[0]


@pytest.mark.parametrize(
    ("most", "others", "owns"), [(3, 1, False), (3, 2, False), (4, 1, True), (9, 2, True)]
)
def test_a_patient_owns_much_of_a_small_table_only_beside_others_with_far_less(most, others, owns):
    patients = ["many"] * most + [f"other {n}" for n in range(11) for _ in range(others)]
    rows = burden(pd.DataFrame({"patient_id": patients, "excluded": False}))
    assert [row["patient"] for row in rows] == ["many"] * owns


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["met2", "met2_edema"], "met2_edema"),
        (["Metastase 2", "Metastase 2_\u00d6dem"], "Metastase 2_\u00d6dem"),
        (["left frontal met", "necrosis left frontal met"], "necrosis left frontal met"),
        (["met1", "met2_edema"], None),
        (["met1", "met11"], None),
        (["tumor_edema", "left frontal"], None),
    ],
)
def test_a_mask_named_as_a_lesion_with_a_word_of_its_surroundings_is_said(names, said):
    table = pd.DataFrame({"study_id": "S", "name": names, "excluded": False})
    table["lesion_id"] = "S/" + table["name"]
    assert [problem.where for problem in surroundings(table)] == ([f"S/{said}"] if said else [])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["PTV 1", "GTV 2"], 1),
        (["ctv_left", "L frontal"], 1),
        (["PTV 1", "PTV_2"], 0),
        (["GTV", "GTV/PTV"], 0),
    ],
)
def test_targets_with_a_margin_beside_lesions_without_are_said(names, said):
    table = pd.DataFrame({"name": names, "lesion_id": names, "patient_id": ["A", "B"], "excluded": False})
    assert len([*with_margins(table)]) == said
    assert [*with_margins(table.assign(excluded=[True, False]))] == []


@pytest.mark.parametrize("features", [[], ["original_a"]])
def test_a_lesion_lacks_a_row_of_radiomics_only_where_a_table_has_some(features):
    rows = {"study_id": STUDY, "name": NAMES, "image_path": "i.nii.gz", "mask_path": "m.nii.gz"}
    values = pd.DataFrame(index=range(len(NAMES)), columns=features, dtype=float)
    studies = pd.DataFrame({"study_id": [STUDY], "patient_id": ["P"], "ER": 1.0})
    segmentations = pd.DataFrame(rows).assign(in_workbook=False)
    download = Download(Path("c"), "t", Path("c"), True, segmentations, values, studies, ["ER"])
    table, *_ = build_table(download)
    settle(table, "lesions", None)
    kinds = {problem.kind for problem in findings(download, table)}
    assert ("file without row" in kinds) == bool(features)
