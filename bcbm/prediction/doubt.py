"""Doubt: how far a patient is from those that a model was trained on, measure by measure and in all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.cohort.near import signed_log
from bcbm.cohort.splits import patient_weight
from bcbm.features.appearance import GEOMETRY, INTENSITIES
from bcbm.preparation.lesions import Lesions

FOLDS = 20  # in which training patients are measured against the others
LEVEL = 0.05  # part of patients like those of the training that may be called unlike
SCANNER = ("manufacturer", "field_strength")
FLOOR = 1e-6  # of a distance whose logarithm is taken
LEAST_SCALE = 0.01  # of a number of a vector, which is a logarithm: what varies by less counts as varying so

# What is compared, in words, by the name of the measure.
MEASURES = {
    "radiomics": "radiomics of the lesions",
    "intensities": "intensities and sharpness of the scan",
    "geometry": "voxel spacing and size of the brain",
    "volume": "volume of the lesions",
    "registration": "overlap with the template",
    "scanner": "manufacturer and field strength",
    "encoder": "what the network sees in the lesions",
}


@dataclass(frozen=True)
class Reference:
    """Training lesions as vectors, taken together, every patient weighing the same.

    Attributes:
        mean: (F,).
        whitening: (F, F); the length of (vector - mean) @ whitening is its Mahalanobis distance under the
            covariance of standardised numbers, shrunken towards a multiple of the identity.
        shrinkage: how far, by Ledoit and Wolf (J Multivar Anal 88:365, 2004); None: read from a model.
    """

    mean: np.ndarray
    whitening: np.ndarray
    shrinkage: float | None = None

    def distance(self, vectors: np.ndarray) -> np.ndarray:
        """The logarithm of the root mean square distance of each vector (N, F), (N,).

        What is missing of a vector counts as the mean; where all is, the distance is NaN.
        """
        known = np.isfinite(vectors)
        offsets = np.where(known, vectors - self.mean, 0.0) @ self.whitening
        length = np.sqrt((offsets**2).mean(axis=1))
        return np.where(known.any(axis=1), np.log(np.maximum(length, FLOOR)), np.nan)


@dataclass(frozen=True)
class Doubt:
    """What it takes to say how odd a patient is among the training patients.

    Attributes:
        references: by measure, those of networks under `encoder:K`; `registration` and `scanner` have none.
        kinds: patients by what they were scanned with.
        scores: how odd each training patient is to the others, by measure, sorted, so that nothing joins two.
        panel: the largest of a patient's scores on a common scale, of each training patient, sorted.
    """

    references: Mapping[str, Reference]
    kinds: Mapping[str, int]
    scores: Mapping[str, np.ndarray]
    panel: np.ndarray

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All but `kinds`, by a name."""
        arrays = {f"score/{name}": values for name, values in self.scores.items()}
        for name, reference in self.references.items():
            arrays |= {f"mean/{name}": reference.mean, f"whitening/{name}": reference.whitening}
        return {
            f"doubt/{name}": np.ascontiguousarray(array)
            for name, array in (arrays | {"panel": self.panel}).items()
        }

    def judged(self, lesions: Lesions, encoded: Sequence[np.ndarray]) -> pd.DataFrame:
        """How odd patients are.

        Args:
            lesions: theirs, prepared with `appearance`.
            encoded: what each network sees in them, (N, F) each; none where no network reads images.

        Returns:
            A row a patient, by `patient_id`: of each measure the share of training patients that are less
            odd, NaN where it is not known; `doubt`, the same of the oddest measure against the oddest of
            each; and `odd`, the measures, in words, in which it is odder than all but 5 % of training
            patients are in any, "" where there is none.
        """
        table = lesions.entering
        scores = _scores(self.references, lesion_vectors(lesions), encoded)
        scores["scanner"] = _rarity(kinds_of(table), self.kinds, len(self.panel))
        by_patient = scores.groupby(table["patient_id"].to_numpy()).mean().reindex(columns=list(self.scores))
        scaled = _scaled(by_patient, self.scores)
        shares = {
            name: np.searchsorted(own, by_patient[name]) / len(own) for name, own in self.scores.items()
        }
        judged = pd.DataFrame(shares, by_patient.index).where(by_patient.notna())
        odd = scaled.apply(lambda column: _p(column, self.panel) <= LEVEL)
        oddest = scaled.max(axis=1)
        judged["doubt"] = np.where(
            oddest.isna(), np.nan, np.searchsorted(self.panel, oddest) / len(self.panel)
        )
        words = np.array([MEASURES[str(name)] for name in odd])
        judged["odd"] = ["; ".join(words[row]) for row in odd.to_numpy(bool)]
        return judged.rename_axis("patient_id")


def _p(scores: pd.Series, panel: np.ndarray) -> np.ndarray:
    """The chance of a training patient to be as odd, or odder, in its oddest measure; 1 of what is unknown.

    One rule for all measures (Westfall and Young's of the largest of several): of patients like those of the
    training LEVEL at most, in expectation, have one of LEVEL or less in any measure. For that a training
    patient has to be measured as a new one is, references and scales made without it; what is left out with
    it is a twentieth, so that this holds as far as a twentieth of the training makes no difference (the
    jackknife; Barber, Candès, Ramdas and Tibshirani, Ann Stat 49:486, 2021).
    """
    as_odd = len(panel) - np.searchsorted(panel, scores.to_numpy())
    return np.where(scores.isna(), 1.0, (1 + as_odd) / (1 + len(panel)))


def _scaled(scores: pd.DataFrame, others: Mapping[str, npt.ArrayLike]) -> pd.DataFrame:
    """Scores on a common scale: 0 is the median of other patients, 1 their 95th percentile.

    A scanner is as rare as it is: 0 is one that all have, 1 one that LEVEL of them have.
    """
    scaled = {}
    for name in map(str, scores):
        middle, high = np.nanquantile(np.asarray(others[name], np.float64), [0.5, 1 - LEVEL])
        if name == "scanner":
            middle, high = 0.0, -np.log(LEVEL)
        scaled[name] = (scores[name] - middle) / max(high - middle, FLOOR)
    return pd.DataFrame(scaled)


def _scores(
    references: Mapping[str, Reference], vectors: Mapping[str, np.ndarray], encoded: Sequence[np.ndarray]
) -> pd.DataFrame:
    """How odd lesions are, a column a measure."""
    scores = {name: references[name].distance(vectors[name]) for name in vectors if name in references}
    if "registration" in vectors:
        scores["registration"] = -vectors["registration"][:, 0]
    if encoded:
        each = [references[f"encoder:{number}"].distance(seen) for number, seen in enumerate(encoded)]
        scores["encoder"] = np.mean(each, axis=0)
    return pd.DataFrame(scores)


def _rarity(kinds: pd.Series, counts: Mapping[str, int], patients: int) -> np.ndarray:
    """How rare the scanner of each lesion is among so many patients; NaN where it is not known."""
    count = kinds.map(counts).fillna(0).to_numpy(np.float64)
    return np.where(kinds == "", np.nan, -np.log((count + 1) / (patients + 1)))


def fit_doubt(
    lesions: Lesions,
    encoded: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    refitted: Sequence[np.ndarray] = (),
) -> Doubt:
    """Measure each training patient against the others, as a new one is measured against all.

    Args:
        lesions: that a model was trained on, prepared with `appearance`.
        encoded: of each network what it sees in the lesions, (N, F), and the rows that it was trained on and
            tested on.
        refitted: what networks see that were trained on all lesions, and are used in place of those; how odd
            training patients are is still told by those, which had not seen them.
    """
    table, vectors = lesions.entering, lesion_vectors(lesions)
    patients, kinds = table["patient_id"], kinds_of(table)
    code, names = pd.factorize(patients)
    fold = (np.random.default_rng(0).permutation(len(names)) % FOLDS)[code]
    compared = {name: rows for name, rows in vectors.items() if name != "registration"}
    references = {name: fit_reference(rows, patients) for name, rows in compared.items()}
    tables = []
    for number in np.unique(fold):
        own, others = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        without = {
            name: fit_reference(rows[others], patients.iloc[others], references[name].shrinkage)
            for name, rows in compared.items()
        }
        scores = _scores(without, {name: rows[own] for name, rows in vectors.items()}, [])
        tables.append(scores.set_index(own))
    scores = pd.concat(tables).sort_index()
    seen = np.full((len(encoded), len(table)), np.nan)
    for number, (features, train, test) in enumerate(encoded):
        reference = fit_reference(features[train], patients.iloc[train])
        seen[number, test] = reference.distance(features[test])
        references[f"encoder:{number}"] = reference
    if refitted:
        usual = np.mean([references.pop(f"encoder:{n}").shrinkage or 0.0 for n in range(len(encoded))])
        for number, features in enumerate(refitted):
            references[f"encoder:{number}"] = fit_reference(features, patients, float(usual))
    if len(encoded):
        scores["encoder"] = pd.DataFrame(seen).mean().to_numpy()
    counts = {
        str(kind): int(count)
        for kind, count in kinds.groupby(patients).first().value_counts().items()
        if kind
    }
    if counts:
        without_own = {kind: count - 1 for kind, count in counts.items()}
        scores["scanner"] = _rarity(kinds, without_own, len(names) - 1)
    by_patient = scores.groupby(patients.to_numpy()).mean()
    by_patient = by_patient[
        [name for name in MEASURES if name in by_patient and by_patient[name].notna().any()]
    ]
    sorted_scores = {str(name): np.sort(by_patient[name].dropna().to_numpy()) for name in by_patient}
    folds = pd.Series(fold).groupby(patients.to_numpy()).first()
    parts = [_scaled(by_patient[folds == k], by_patient[folds != k]) for k in np.unique(folds)]
    panel = np.sort(pd.concat(parts).max(axis=1).dropna().to_numpy())
    return Doubt(references, counts, sorted_scores, panel)


def doubt_from(arrays: Mapping[str, np.ndarray], kinds: Mapping[str, int]) -> Doubt:
    """The doubt that `Doubt.arrays` and `kinds` were taken of."""
    own = {name.removeprefix("doubt/"): array for name, array in arrays.items() if name.startswith("doubt/")}
    scores = {name.removeprefix("score/"): array for name, array in own.items() if name.startswith("score/")}
    means = [name.removeprefix("mean/") for name in own if name.startswith("mean/")]
    references = {name: Reference(own[f"mean/{name}"], own[f"whitening/{name}"]) for name in means}
    in_order = {name: scores[name] for name in MEASURES if name in scores}
    return Doubt(references, kinds, in_order, own["panel"])


def fit_reference(vectors: np.ndarray, patients: pd.Series, shrinkage: float | None = None) -> Reference:
    """The reference of lesions (N, F) of these patients; those that lack a number are left out.

    Args:
        vectors: logarithms, so that what is constant in training may vary by LEAST_SCALE elsewhere.
        patients: of each lesion.
        shrinkage: of the covariance; None: the best for these lesions. Distances grow as it falls, and it
            falls as lesions get more: what is to be compared has to have the same.
    """
    rows, width = np.isfinite(vectors).all(axis=1), vectors.shape[1]
    if not rows.any():
        return Reference(np.zeros(width), np.zeros((width, width)), 1.0)
    values, share = vectors[rows], patient_weight(patients[rows])
    share = share / share.sum()
    mean = share @ values
    inverse = 1 / np.maximum(np.sqrt(share @ (values - mean) ** 2), LEAST_SCALE)
    standard = (values - mean) * inverse * np.sqrt(share * len(values))[:, None]
    covariance = standard.T @ standard / len(values)
    variance = float(np.trace(covariance)) / width
    if shrinkage is None:
        shrinkage = _shrinkage(standard, covariance, variance)
    covariance = (1 - shrinkage) * covariance + shrinkage * variance * np.eye(width)
    spread, axes = np.linalg.eigh(covariance)
    root = axes / np.sqrt(np.maximum(spread, FLOOR)) @ axes.T
    return Reference(mean, inverse[:, None] * root, shrinkage)


def _shrinkage(rows: np.ndarray, covariance: np.ndarray, variance: float) -> float:
    """How far to shrink the covariance of centred rows (N, F) towards `variance` times the identity, 0 to 1.

    Ledoit and Wolf, J Multivar Anal 88:365, 2004, lemma 3.2 to 3.4: the noise of the covariance over its
    distance from the identity.
    """
    count = len(rows)
    noise = float(((rows**2).sum(axis=1) ** 2).sum() / count - (covariance**2).sum()) / count
    distance = float(((covariance - variance * np.eye(len(covariance))) ** 2).sum())
    return min(noise / distance, 1.0) if distance > 0 and noise > 0 else 0.0


def lesion_vectors(lesions: Lesions) -> dict[str, np.ndarray]:
    """What is compared of lesions beside kinds of scanners and what a network sees, (N, F) by measure.

    Of overlaps with the template only what is below that of most is odd, so its vector is no distance.
    """
    table = lesions.entering
    vectors = {"volume": np.log(np.maximum(table[["volume"]].to_numpy(np.float64), FLOOR))}
    if "radiomics" in lesions.values:
        vectors["radiomics"] = signed_log(lesions.values["radiomics"])
    if "appearance" in lesions.values:
        appearance = lesions.values["appearance"]
        vectors["intensities"] = appearance[:, : len(INTENSITIES)]
        vectors["geometry"] = appearance[:, -len(GEOMETRY) :]
    if "mni_overlap" in table and table["mni_overlap"].notna().any():
        vectors["registration"] = table[["mni_overlap"]].to_numpy(np.float64)
    return vectors


def kinds_of(table: pd.DataFrame) -> pd.Series:
    """What each lesion was scanned with, in words, "" where nothing says so."""
    texts = [table[name].fillna("").astype(str).str.strip() for name in SCANNER if name in table]
    if not texts:
        return pd.Series("", table.index)
    return pd.concat(texts, axis=1).agg(" ".join, axis=1).str.strip()
