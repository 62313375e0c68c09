"""What the lesions that a model was trained on were like, taken together."""

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any

import numpy as np

from bcbm.cohort.near import signed_log
from bcbm.cohort.patient_labels import patient_labels
from bcbm.config.schema import Config
from bcbm.preparation.lesions import Lesions

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of the lesions that lie below a quantile; no extreme is told
COLUMNS = ("field_strength", "manufacturer")  # kinds that are counted


def training_of(lesions: Lesions, config: Config) -> dict[str, Any]:
    """Counts, quantiles and salted sums of the lesions of a run.

    Returns:
        `invented`, whether a program has drawn them; `patients`, `lesions`; `labels`, positive and negative
        patients a target; `volume`, quantiles in mm3; `acquisition`, patients a kind; `salt`, `contents`: see
        `content_sums`.
    """
    table = lesions.entering
    patients = table.groupby("patient_id")
    labels = patient_labels(table[config.task.targets], table["patient_id"])
    kinds = {
        column: {str(kind): int(count) for kind, count in patients[column].first().value_counts().items()}
        for column in COLUMNS
        if column in table
    }
    salt = secrets.token_hex(16)
    return {
        "invented": not config.cohort.root,
        "patients": int(table["patient_id"].nunique()),
        "lesions": len(table),
        "labels": {
            target: {
                "positive": int((labels[target] == 1).sum()),
                "negative": int((labels[target] == 0).sum()),
            }
            for target in config.task.targets
        },
        "shares": list(SHARES),
        "volume": table["volume"].quantile(list(SHARES)).tolist(),
        "acquisition": kinds,
        "salt": salt,
        "contents": sorted(set(content_sums(table["content"], salt))),
    }


def content_sums(contents: Iterable[str], salt: str) -> list[str]:
    """A sum of each lesion's content, which tells the lesion to whoever has it and nothing to others."""
    return [hashlib.sha256(f"{salt} {content}".encode()).hexdigest()[:16] for content in contents]


def ranges_of(lesions: Lesions) -> bytes:
    """Of the radiomics' signed logs, every lesion weighing the same: quantiles, means and covariance.

    Returns:
        A safetensors file: `quantiles` (5, 107), `mean` (107), `covariance` (107, 107); no array where no
        radiomics are read. A lesion that lacks a value is left out.
    """
    from safetensors.numpy import save

    if "radiomics" not in lesions.values:
        return bytes(save({}))
    logs = signed_log(lesions.values["radiomics"])
    logs = logs[np.isfinite(logs).all(axis=1)]
    return bytes(
        save(
            {
                "quantiles": np.quantile(logs, SHARES, axis=0),
                "mean": logs.mean(axis=0),
                "covariance": np.cov(logs, rowvar=False),
            }
        )
    )
