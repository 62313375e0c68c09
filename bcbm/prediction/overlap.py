"""Which lesions a model was trained on, by what they hold."""

import pandas as pd

from bcbm.cohort.findings import TINY
from bcbm.prediction.model import TrainedModel
from bcbm.prediction.training import coarse_sums, content_sums
from bcbm.preparation.lesions import Lesions


def trained_on(model: TrainedModel, lesions: Lesions) -> pd.Series:
    """What each lesion is to the model: a `copy` of a training lesion, a `near copy` of one, or "".

    A copy holds the same, file by file or in all its radiomics; a near copy has the same radiomics but for
    rounding and noise, which is looked at where the model reads radiomics, and of fewer than TINY voxels not:
    the shape and texture of such a lesion are nearly those of many.

    Args:
        model: with the salted sums of its training lesions.
        lesions: prepared for it.

    Returns:
        Text a lesion, on the index of `lesions.entering`.
    """
    training, entering = model.training, lesions.entering
    exact, near = set(training["contents"]), set(training["near_contents"])
    words = pd.Series("", entering.index, dtype=str)
    if "radiomics" in lesions.values:
        coarse = coarse_sums(lesions.values["radiomics"], model.ranges, training["salt"])
        alike = pd.Series([not near.isdisjoint(sums) for sums in coarse], entering.index)
        large = ~(entering["voxels"] < TINY) if "voxels" in entering else alike
        words[alike & large] = "near copy"
    words[[content in exact for content in content_sums(entering["content"], training["salt"])]] = "copy"
    return words
