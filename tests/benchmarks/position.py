"""Position on real brains, against sure names: `python tests/benchmarks/position.py [all]`.

The patients of `../shared/data/bcbm-images` are halved by the first byte of the SHA-256 of their id. Even ones
were looked at, lesion by lesion, while the rule was made; odd ones are counted only, with the word `all`.
Prints seconds a study (reading included, one process), the share flagged, and how often the coordinates agree
with the names that are sure by the program's own reader, with Wilson's 95 % intervals: by the centroid, and by
the whole lesion, which is the program's rule; of all, and without what is the data's (`THEIRS`).
"""

import hashlib
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from rich.console import Console
from scipy.stats import binomtest

from bcbm.cohort.findings import doubtful_studies
from bcbm.cohort.position import place_of
from bcbm.cohort.table import LESIONS
from bcbm.config.compose import compose
from bcbm.preparation.reading import read_cohort

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "bcbm-images"
SURE = 0.9  # confidence of a name that is sure
COLUMNS = {"study_id": str, "region": str}
THEIRS: dict[str, str] = {}


def half(patient: str) -> str:
    """Which half a patient belongs to, by an id that no one chose."""
    return "counted" if hashlib.sha256(patient.encode()).digest()[0] % 2 else "looked at"
