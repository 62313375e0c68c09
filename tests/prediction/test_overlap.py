"""Which lesions a model was trained on."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from bcbm.prediction.overlap import trained_on
from bcbm.prediction.training import coarse_sums


def test_a_lesion_of_a_few_voxels_is_nobodys_near_copy():
    """Its radiomics are nearly those of other tiny lesions; equal content is still a copy."""
    radiomics = np.random.default_rng(0).normal(0, 3, (3, 107))
    ranges = {"mean": np.zeros(107), "projection": np.eye(107)[:, :12]}
    near = sorted({content for sums in coarse_sums(radiomics, ranges, "salt") for content in sums})
    training = {"contents": [], "near_contents": near, "salt": "salt"}
    model = SimpleNamespace(training=training, ranges=ranges)
    entering = pd.DataFrame({"content": ["a", "b", "c"], "voxels": [3, 27, np.nan]})
    lesions = SimpleNamespace(values={"radiomics": radiomics * (1 + 1e-9)}, entering=entering)
    assert trained_on(model, lesions).tolist() == ["", "near copy", "near copy"]
    lesions.entering = entering.drop(columns="voxels")
    assert trained_on(model, lesions).tolist() == ["near copy"] * 3
