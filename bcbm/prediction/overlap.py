"""Which lesions a model was trained on, by what they hold."""

import pandas as pd

from bcbm.prediction.model import TrainedModel
from bcbm.prediction.training import content_sums
from bcbm.preparation.lesions import Lesions


def trained_on(model: TrainedModel, lesions: Lesions) -> pd.Series:
    """What stands of each lesion in the model: `copy` where it holds the same as a training lesion, else "".

    Args:
        model: with the salted sums of its training lesions.
        lesions: prepared for it.

    Returns:
        Text a lesion, on the index of `lesions.entering`.
    """
    training, entering = model.training, lesions.entering
    known, sums = set(training["contents"]), content_sums(entering["content"], training["salt"])
    return pd.Series(["copy" if content in known else "" for content in sums], entering.index, dtype=str)
