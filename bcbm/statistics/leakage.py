"""What a split that does not keep patients whole gives away, measured on tables of lesion features."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.cohort.leaks import LeakFold
from bcbm.cohort.near import squared_distances
from bcbm.cohort.splits import Split
from bcbm.statistics.results import SplitBlock

SIGMAS = 3  # spreads of random labels above 0.5 from which ids, scanner or burden tell a target
ALONE = {"ids": "numbers of ids", "acquisition": "scanner and year", "burden": "number and size of lesions"}
# What decides which lesions enter, and with which labels, besides the content of the cohort.
ENTERING = {"cohort": ("policy", "parts", "label_value"), "task": ("random_labels",)}
RANDOM = "random"  # what labels that are drawn are called beside the targets
CLEAN = (
    "Nothing else: no copies in two patients, and no column, id, scanner or burden that tells a target alone"
)
ROUNDING = 1e-11  # of the squared lengths of two rows, by which equal distances between them may differ


def split_block(split: Split, folds: Sequence[LeakFold]) -> SplitBlock:
    """What results say of a split: sums of what its folds' parts share, and names of folds that have one."""
    block: SplitBlock = {
        "unit": split.unit,
        "hash": split.hash,
        "shared_patients": sum(fold["patients"] for fold in folds),
        "shared_content": sum(fold["content"] for fold in folds),
    }
    names = [fold.name for fold in split.folds]
    return {**block, "folds": names} if any(names) else block


def is_leaky(split: SplitBlock) -> bool:
    """Whether no figure is a result: something stands in two parts, or patients are not kept whole."""
    shared = split.get("shared_patients", 0) + split.get("shared_content", 0)
    return shared > 0 or split["unit"] != "patient"


class NearPair(TypedDict):
    """Lesions of two patients, and the root mean square difference of their standardised features."""

    lesion: str
    other: str
    distance: float


def random_labels(patients: npt.ArrayLike, seed: int) -> npt.NDArray[np.int64]:
    """A label a patient that nothing can predict, (N,): every second one, drawn at random, is positive."""
    names, code = np.unique(np.asarray(patients), return_inverse=True)
    return np.random.default_rng(seed).permutation(np.arange(len(names)) % 2)[code]


def reidentification(
    features: npt.ArrayLike, patients: npt.ArrayLike, content: npt.ArrayLike
) -> dict[str, float]:
    """How often the nearest other lesion, by standardised features, is one of the same patient.

    Of several that are equally near, as one-hots make them, it is the share of the patient's own among them.
    Rows of the same content are not neighbours. Chance is the share of the patient's own among all others.

    Args:
        features: (N, F), no NaN, N at least 2.
        patients: ids, (N,).
        content: what a row holds, (N,); copies have the same.

    Returns:
        `lesions` and `patients` (the mean over lesions, and over patients of theirs), with
        `chance_lesions` and `chance_patients`. NaN where all rows are copies of one.
    """
    values, patients = np.asarray(features, np.float64), np.asarray(patients)
    scale = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(scale > 0, scale, 1)
    kind, owner = (np.unique(ids, return_inverse=True)[1] for ids in (np.asarray(content), patients))
    rounding = ROUNDING * (values**2).sum(axis=1)
    same = np.full(len(values), np.nan)
    for rows, distances in squared_distances(values, np.arange(len(values))):
        np.maximum(0, distances, out=distances)
        np.putmask(distances, kind[rows, None] == kind, np.inf)
        least = distances.min(axis=1)
        row, other = np.nonzero(distances <= (least + rounding[rows] + rounding.max())[:, None])
        nearest = distances[row, other] <= least[row] + rounding[rows[row]] + rounding[other]
        nearest &= np.isfinite(least[row])
        row, other = row[nearest], other[nearest]
        ties = np.bincount(row, minlength=len(rows))
        own = np.bincount(row, owner[rows[row]] == owner[other], len(rows))
        same[rows[ties > 0]] = own[ties > 0] / ties[ties > 0]
    rows = np.flatnonzero(~np.isnan(same))
    siblings = pd.Series(patients).map(pd.Series(patients).value_counts()).to_numpy()[rows] - 1
    shares = pd.DataFrame({"nearest": same[rows], "chance": siblings / max(1, len(patients) - 1)})
    by_patient = shares.groupby(patients[rows]).mean()
    return {
        "lesions": float(shares["nearest"].mean()),
        "chance_lesions": float(shares["chance"].mean()),
        "patients": float(by_patient["nearest"].mean()),
        "chance_patients": float(by_patient["chance"].mean()),
    }


def nearest_pairs(
    features: npt.ArrayLike, patients: npt.ArrayLike, lesions: npt.ArrayLike, count: int = 5
) -> list[NearPair]:
    """The lesions of two patients that are nearest to each other, the nearest pair first.

    Args:
        features: standardised, (N, F), no NaN.
        patients: ids, (N,).
        lesions: ids, (N,).
        count: how many pairs at most.
    """
    values, names = np.asarray(features, np.float64), np.asarray(lesions)
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    nearest: list[tuple[float, int, int]] = []
    rounding, reach = 2 * ROUNDING * (values**2).sum(axis=1).max(initial=0), np.inf
    for rows, distances in squared_distances(values, np.arange(len(values))):
        np.putmask(distances, owner[rows, None] >= owner, np.inf)
        near = np.flatnonzero(distances <= reach)
        if len(near) > count:
            near = near[np.argpartition(distances.ravel()[near], count - 1)[:count]]
        for row, other in zip(*np.unravel_index(near, distances.shape), strict=True):
            if np.isfinite(distances[row, other]):
                apart = values[rows[row]] - values[other]  # again: squares are blind near zero
                nearest.append((float(np.sqrt((apart**2).mean())), int(rows[row]), int(other)))
        nearest = sorted(nearest)[:count]
        if len(nearest) == count:
            reach = nearest[-1][0] ** 2 * values.shape[1] + rounding
    return [
        NearPair(lesion=str(names[row]), other=str(names[other]), distance=distance)
        for distance, row, other in nearest
    ]


def copies(table: pd.DataFrame) -> dict[str, int]:
    """Exact copies in a settled lesion table: how many there are, and what became of them.

    Args:
        table: columns lesion_id, patient_id, content, duplicate_of, excluded, reason.

    Returns:
        `rows` that share their content with an earlier row, those of them `linked` to a lesion and `excluded`
        as its copy, contents that stand in two patients (`across_patients`), and `entering` twice.
    """
    entering = table[~table["excluded"].astype(bool)]
    owners = table.groupby("content")["patient_id"].nunique()
    return {
        "rows": int(table["content"].duplicated().sum()),
        "linked": int((table["duplicate_of"] != "").sum()),
        "excluded": int(table["reason"].str.startswith("copy of").sum()),
        "across_patients": int((owners > 1).sum()),
        "entering": int(entering["content"].duplicated().sum()),
    }


def shared_content(content: npt.ArrayLike, parts: Mapping[str, npt.NDArray[np.int64]]) -> int:
    """Rows of test whose content stands in train or validation too; `parts` are row numbers."""
    content = np.asarray(content)
    known = set(content[parts["train"]]) | set(content[parts["validation"]])
    return sum(value in known for value in content[parts["test"]])


def shared_patients(patients: npt.ArrayLike, parts: Mapping[str, npt.NDArray[np.int64]]) -> int:
    """Patients of test that stand in train or validation too; `parts` are row numbers."""
    patients = np.asarray(patients)
    known = set(patients[parts["train"]]) | set(patients[parts["validation"]])
    return len(known & set(patients[parts["test"]]))


def checked_tables(modalities: Sequence[str]) -> list[str]:
    """What a leak check reads of an experiment: its tables, or radiomics and position if it has none."""
    return [name for name in modalities if name != "image"] or ["radiomics", "position"]


def check_name(settings: Mapping[str, Any]) -> str:
    """The folder of a leak check: what it has read, the labels, how the experiment splits, and a sum of what
    else decides which lesions enter, and with which labels.

    Args:
        settings: of the experiment, by section.
    """
    tables, targets, end = _checked(settings)
    return "_".join([tables, "+".join(sorted(targets)), end])


def _checked(settings: Mapping[str, Any]) -> tuple[str, list[str], str]:
    """The tables, the targets, and the end of the name of an experiment's leak check."""
    names = [(section, key) for section, keys in ENTERING.items() for key in keys]
    chosen = {f"{section}.{key}": settings.get(section, {}).get(key) for section, key in names}
    total = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8]
    task = settings["task"]
    tables = "+".join(sorted(checked_tables(task["modalities"])))
    return tables, list(task["targets"]), f"{settings['split']['unit']}_{total}"


def fitting_check(home: Path, settings: Mapping[str, Any]) -> Path | None:
    """The leak check of a cohort that has read the same as an experiment, with its targets at least.

    Args:
        home: folder of all checks of the cohort.
        settings: of the experiment, by section.

    Returns:
        Its `leakcheck.json`; the one of fewest targets where there are several.
    """
    tables, targets, unit = _checked(settings)
    start, end = f"{tables}_", f"_{unit}"
    labels = {
        path: path.parent.name.removeprefix(start).removesuffix(end).split("+")
        for path in home.glob(f"{start}*{end}/leakcheck.json")
    }
    fits = [path for path, names in labels.items() if set(targets) <= set(names)]
    return min(fits, key=lambda path: (len(path.parent.name), path.parent.name), default=None)


def warnings(check: Mapping[str, Any]) -> list[str]:
    """What a leak check has met beyond random labels, a few words each.

    Ids, scanner or burden tell a target if the mean AUROC of patients that they reach is above 0.5 by SIGMAS
    spreads of that of random labels.

    Args:
        check: `spellings`, `copies`, `telling` and `alone` of leakcheck.json.
    """
    result = []
    if check["spellings"]:
        result.append(f"patients that differ in the spelling of their id only: {check['spellings']}")
    if check["copies"]["across_patients"]:
        result.append(
            f"lesions that are copies, within rounding, in two patients: {check['copies']['across_patients']}"
        )
    for telling in check["telling"]:
        for row in telling["telling"]:
            result.append(f"{row['column']} alone tells {telling['target']} (AUROC {row['auroc']:.2f})")
    for kind, labels in check["alone"].items():
        chance = 0.5 + SIGMAS * labels[RANDOM]["spread"]
        for target, levels in labels.items():
            if target != RANDOM and levels["mean"] > chance:
                result.append(f"{ALONE[kind]} alone tell {target} (AUROC {levels['mean']:.2f})")
    return result


def verdict(
    null: Mapping[str, Mapping[str, Any]],
    unit: str = "patient",
    shared: int = 0,
    warnings: Sequence[str] | None = None,
) -> tuple[bool, str]:
    """Whether labels at random are predicted once patients are not kept whole, and that in words.

    Args:
        null: by split unit, the lesion-level AUROC of random labels: `mean`, `spread` (standard deviation)
            and `draws`.
        unit: what the experiment's own split keeps whole.
        shared: patients that it has on both sides, summed over folds.
        warnings: what else was looked for and met, in a few words each; None where it was not looked for.

    Returns:
        Whether the mean by lesion is above chance by three standard errors, or the experiment itself leaks.
    """
    lesion, patient = null["lesion"], null["patient"]
    leaks = lesion["mean"] - 3 * lesion["spread"] / np.sqrt(lesion["draws"]) > 0.5
    head, tail = "WARNING" if warnings else "NO LEAK SEEN", "keep patients whole all the same"
    if leaks:
        head, tail = "LEAK POSSIBLE", "report patients kept whole only"
    warning = (
        f"LEAKY: the experiment's own split by {unit} has patients on both sides ({shared} over its folds). "
    )
    beyond = "" if warnings is None else f". {CLEAN}"
    if warnings:
        beyond = f". Also: {'; '.join(warnings)}"
    return bool(leaks or shared), (warning if shared else "") + (
        f"{head}: with lesions split at random this cohort gives {lesion['mean']:.2f} to labels that are "
        f"random; {patient['mean']:.2f} with patients kept whole; {tail}{beyond}"
    )
