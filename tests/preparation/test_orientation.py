"""Whether a study whose lesions lie opposite to their names is mirrored or misnamed, if that can be told."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from bcbm.cohort.measurements import Brain
from bcbm.features.brains import save_brain, template_brain
from bcbm.preparation.orientation import orientation_problems


def brain(seed: int, session: int = 0) -> np.ndarray:
    """The template with a patient's own texture, and that of a session."""
    inside = template_brain() > 0
    texture = [
        gaussian_filter(np.random.default_rng([seed, n]).standard_normal(inside.shape), 2)
        for n in (0, session + 1)
    ]
    grey = template_brain() + 400 * texture[0] + 200 * texture[1]
    return np.where(inside, np.clip(grey, 1, 255), 0).astype(np.uint8)


def proposals(folder: Path, *studies: tuple[str, str, bool, str]) -> dict[str, tuple[str, str]]:
    """What is found and what to do, by study.

    Args:
        studies: name (PATIENT-SESSION); the sides (L, R) of its lesions by name, which all lie on the right;
            whether it is stored mirrored, of which the names know nothing.
    """
    rows, brains = [], {}
    for study, sides, mirrored in studies:
        patient, _, session = study.rpartition("-")
        values = brain(int(patient), int(session))
        save_brain(folder / f"{study}.npz", values[..., ::-1] if mirrored else values)
        brains[f"{study}.nii.gz"] = Brain(folder / f"{study}.npz", 0.96)
        for side in sides or "-":
            hemisphere = {"L": "left", "R": "right", "-": "unknown"}[side]
            rows.append((study, patient, f"{study}.nii.gz", hemisphere, -40.0 if mirrored else 40.0))
    columns = ["study_id", "patient_id", "image_path", "name_hemisphere", "mni_x"]
    table = pd.DataFrame(rows, columns=columns).assign(position_source="image", name_confidence=1.0)
    return {problem.where: (problem.found, problem.remedy) for problem in orientation_problems(table, brains)}


def test_names_that_agree_raise_nothing(tmp_path):
    assert proposals(tmp_path, ("1-0", "RR", False), ("1-1", "", False), ("2-0", "R", False)) == {}


def test_a_study_that_resembles_another_session_flipped_is_mirrored(tmp_path):
    found = proposals(tmp_path, ("1-0", "R", True), ("1-1", "R", False))
    assert list(found) == ["1-0"] and "1-1" in found["1-0"][0] and "mirrored" in found["1-0"][0]
    assert "header" in found["1-0"][1] and "nothing is flipped" in found["1-0"][1]


@pytest.mark.parametrize("others", [(("1-1", "R", False),), (("1-1", "", False), ("1-2", "R", False))])
def test_a_study_that_lies_as_a_session_whose_names_agree_is_misnamed(tmp_path, others):
    found = proposals(tmp_path, ("1-0", "L", False), *others)
    assert list(found) == ["1-0"] and others[-1][0] in found["1-0"][0] and "mirrored" not in found["1-0"][0]
    assert "cohort.names" in found["1-0"][1]


def test_one_lesion_among_others_that_agree_is_misnamed(tmp_path):
    found = proposals(tmp_path, ("1-0", "LRR", False))
    assert "1 of 3" in found["1-0"][0] and "cohort.names" in found["1-0"][1]


@pytest.mark.parametrize("others", [(), (("1-1", "L", False),), (("2-0", "R", False),)])
def test_where_nothing_tells_both_are_named(tmp_path, others):
    found = proposals(tmp_path, ("1-0", "L", False), *others)
    assert "mirrored" in found["1-0"][0] and "name" in found["1-0"][0]
    assert "header" not in found["1-0"][1] and "cohort.names" not in found["1-0"][1]
