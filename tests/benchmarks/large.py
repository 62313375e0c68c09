"""Cohorts of many patients with ten lesions each, tables only, drawn into a `manifest.parquet`."""

from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.features.radiomics import FEATURES

LESIONS, STUDIES, FACTORS = 10, 2, 8
NAMES = [f"{side}-{region}" for region in ("frontal", "parietal", "temporal") for side in "LR"]


def write_large(root: Path, patients: int, seed: int = 0) -> Path:
    """Write the table of a cohort whose lesions resemble their siblings, and whose labels tell something.

    Args:
        root: the folder to make.
        patients: with LESIONS each, in STUDIES.
        seed: of all draws.

    Returns:
        The folder.
    """
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), LESIONS)
    place = np.tile(np.arange(LESIONS), patients)
    factors = rng.normal(size=(patients, FACTORS))
    own = factors[owner] + rng.normal(0, 0.35, (len(owner), FACTORS))
    loads = rng.normal(0, 0.25, (FACTORS, len(FEATURES)))
    noise = rng.normal(0, 0.05, (len(owner), len(FEATURES)))
    columns = {
        "patient": pd.Series(owner).map("P{:05d}".format),
        "study": pd.Series(owner).map("P{:05d}".format) + pd.Series(place % STUDIES).map("-{}".format),
        "name": np.array(NAMES)[place // STUDIES],
        "year": rng.integers(2008, 2020, patients)[owner],
    }
    for target in ("ER", "PR", "HER2"):
        columns[target] = (factors[:, 0] + rng.normal(0, 2, patients) > 0).astype(int)[owner]
    values = np.exp(rng.uniform(0, 6, len(FEATURES)) + own @ loads + noise)
    shares = [name.endswith(("Sphericity", "Elongation", "Flatness")) for name in FEATURES]
    values[:, shares] /= 1000 + values[:, shares]
    root.mkdir(parents=True)
    table = pd.concat([pd.DataFrame(columns), pd.DataFrame(values, columns=list(FEATURES))], axis=1)
    table.to_parquet(root / "manifest.parquet", index=False)
    return root
