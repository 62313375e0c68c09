"""What a lesion is described by, as numbers, and the check that no part of a fold knows another's lesions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

PARTS = ("train", "validation", "test")


class LeakError(ValueError):
    """Training, validation and test share what they must not share; the message names it."""


def check_leak(lesions: pd.DataFrame, parts: Mapping[str, np.ndarray], leaky: bool) -> None:
    """Stop if two parts share a lesion's content or, unless the run is LEAKY on purpose, a patient.

    Raises:
        LeakError: naming the patients, or the lesions of the same content.
    """
    for i, part in enumerate(PARTS):
        for other in PARTS[i + 1 :]:
            a, b = lesions.iloc[parts[part]], lesions.iloc[parts[other]]
            patients = sorted(set(a["patient_id"]) & set(b["patient_id"]))
            if patients and not leaky:
                shared = "patient" if len(patients) == 1 else f"{len(patients)} patients, such as"
                raise LeakError(f"{part} and {other} share {shared} {', '.join(map(str, patients[:5]))}")
            content = set(a["content"].dropna()) & set(b["content"].dropna())
            if content:
                same = pd.concat([a, b]).query("content in @content")["lesion_id"].astype(str)
                raise LeakError(
                    f"{part} and {other} hold the same image content: lesions {', '.join(same[:6])}; "
                    "remove all but one, or give them the same patient id"
                )
