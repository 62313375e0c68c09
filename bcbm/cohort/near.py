"""Copies within rounding: lesions that agree in all that is measured on them, but for noise."""

import numpy as np


def signed_log(values: np.ndarray) -> np.ndarray:
    """sign(x) log(1 + |x|): radiomics span twelve decades and both signs."""
    return np.sign(values) * np.log1p(np.abs(values))
