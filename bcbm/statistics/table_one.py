"""Who the patients are, by target: the first table of an article."""

from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np
import pandas as pd

from bcbm.cohort.download import ACQUISITION_COLUMNS
from bcbm.cohort.patient_labels import patient_labels
from bcbm.statistics.confounders import MANY, first_studies, read_cells
from bcbm.statistics.shift import standardised_differences

UNITS = {"age": "years", "pixel_spacing": "mm", "field_strength": "T", "tr": "ms", "te": "ms"}
UNKNOWN, OTHERS = "unknown", "others"  # levels behind those that have a name
STATUSES = {"positive": 1.0, "negative": 0.0}

Kind = Literal["heading", "count", "share", "mean", "median"]


class Group(TypedDict):
    """A column of the table: all patients, whose target is empty, or those of a status of one."""

    target: str
    status: str


class Row(TypedDict):
    """A line of the table.

    `kind` says what the cells hold, a list of numbers a column: of a `count` the count, of a `share` count
    and share, of a `mean` mean and standard deviation, of a `median` median and both quartiles; a heading of
    levels has none. `lesions`: whether lesions are counted, which are not independent. `differences`: by
    target, the standardised difference of positive less negative ones, NaN where it says nothing.
    """

    label: str
    kind: Kind
    level: bool
    lesions: bool
    cells: list[list[float]]
    differences: list[float]


class TableOne(TypedDict):
    """Who enters, and by target who is positive, negative and of unknown status."""

    targets: list[str]
    groups: list[Group]
    rows: list[Row]


class _Groups:
    """Which of some units, patients or lesions, each column holds.

    Args:
        labels: of the units, a column a target.
        groups: the columns.
        lesions: whether the units are lesions.
    """

    def __init__(self, labels: pd.DataFrame, groups: Sequence[Group], lesions: bool) -> None:
        self.lesions, self.targets = lesions, list(map(str, labels))
        self.members = [_members(labels, group) for group in groups]
        known = {name: [labels[name] == status for status in STATUSES.values()] for name in labels}
        self.compared = {name: [part.to_numpy() for part in parts] for name, parts in known.items()}

    def row(
        self,
        label: str,
        kind: Kind,
        cells: list[list[float]],
        compared: pd.Series | None,
        level: bool = False,
    ) -> Row:
        """A line, with the differences of what is compared, numbers on the index of the units."""
        ddof = 0 if kind == "share" else 1
        return Row(
            label=label,
            kind=kind,
            level=level,
            lesions=self.lesions,
            cells=cells,
            differences=[self._difference(compared, target, ddof) for target in self.targets],
        )

    def counts(self, label: str) -> Row:
        """How many units there are."""
        return self.row(label, "count", [[float(part.sum())] for part in self.members], None)

    def numbers(self, label: str, values: pd.Series, skewed: bool = False) -> list[Row]:
        """A quantity as mean or, a skewed one, as median, whose differences are those of the logarithms."""
        values = values.astype(float)
        parts = [values.to_numpy()[part] for part in self.members]
        parts = [part[~np.isnan(part)] for part in parts]
        compared = values.where(values > 0).map(np.log) if skewed else values
        summary = _median if skewed else _mean
        row = self.row(label, "median" if skewed else "mean", [summary(part) for part in parts], compared)
        return [row, *self._unknown(values)]

    def kinds(self, label: str, values: pd.Series) -> list[Row]:
        """A heading, and the share of each kind among the units of which it is known."""
        known = values.notna()
        names = sorted(values[known].unique(), key=str)
        if len(names) > MANY:  # the rare ones in one line
            frequent = set(values.value_counts().index[: MANY - 1])
            values = values.where(~known | values.isin(frequent), OTHERS)
            names = [name for name in names if name in frequent] + [OTHERS]
        rows = [self.row(label, "heading", [], None)]
        for name in names:
            rows.append(self.share(str(name), (values == name).astype(float).where(known)))
        return [*rows, *self._unknown(values)]

    def share(self, label: str, values: pd.Series) -> Row:
        """How many units are of a kind, 1, and their share among those of which it is known, not NaN."""
        parts = [values.to_numpy()[part] for part in self.members]
        cells = [[float(np.nansum(part)), _share(part)] for part in parts]
        return self.row(label, "share", cells, values, level=True)

    def _unknown(self, values: pd.Series) -> list[Row]:
        """How many units lack a value, where any does."""
        missing = values.isna().to_numpy()
        cells = [[float((missing & part).sum())] for part in self.members]
        return [self.row(UNKNOWN, "count", cells, None, level=True)] if missing.any() else []

    def _difference(self, values: pd.Series | None, target: str, ddof: int) -> float:
        if values is None:
            return np.nan
        sides = [values.to_numpy()[part] for part in self.compared[target]]
        positive, negative = (side[~np.isnan(side)] for side in sides)
        if min(len(positive), len(negative)) <= ddof:
            return np.nan
        means, variances = (
            (positive.mean(), negative.mean()),
            (positive.var(ddof=ddof), negative.var(ddof=ddof)),
        )
        return float(standardised_differences(means[1], variances[1], means[0], variances[0]))


def table_one(lesions: pd.DataFrame, targets: Sequence[str]) -> TableOne:
    """Describe the patients of a cohort by the status of each target.

    Standardised differences are those of Austin (Stat Med 28:3083, 2009): the difference of means, or of
    shares, in units of the root of the mean of the two variances, p (1 - p) of a share; they do not grow with
    the number of patients, and from 0.1 on a difference is called one. A patient's age, sex and scanner are
    those of the first study that enters.

    Args:
        lesions: those that enter, with the columns of the lesion table.
        targets: columns of it, 1, 0 and NaN.

    Returns:
        Patients first, then lesions, counted with their own labels.
    """
    targets = list(targets)
    labels = lesions[targets].astype(float).set_axis(lesions["lesion_id"])
    of_patients = patient_labels(lesions[targets].astype(float), lesions["patient_id"])
    groups = [Group(target="", status="all")]
    for name in targets:
        unknown = bool(labels[name].isna().any() or of_patients[name].isna().any())
        statuses = [*STATUSES, *([UNKNOWN] if unknown else [])]
        groups += [Group(target=name, status=status) for status in statuses]
    patients = _Groups(of_patients, groups, lesions=False)
    rows = [
        *_of_patients(lesions, of_patients, patients),
        *_of_lesions(lesions, _Groups(labels, groups, True)),
    ]
    return TableOne(targets=targets, groups=groups, rows=rows)


def _of_patients(lesions: pd.DataFrame, labels: pd.DataFrame, groups: _Groups) -> list[Row]:
    owned = lesions.groupby("patient_id")
    rows = [groups.counts("patients"), groups.row("status, positive", "heading", [], None)]
    for name in labels:
        status = groups.share(str(name), labels[name])
        place = groups.targets.index(str(name))
        status["differences"][place] = np.nan  # it is what parts the groups
        rows += [status]
    volume = owned["volume"].agg(lambda values: values.sum(skipna=False))
    studies = owned["study_id"].nunique()
    over = " over all studies" if (studies > 1).any() else ""  # a lesion seen again counts anew
    rows += groups.numbers("studies a patient", studies, skewed=True)
    rows += groups.numbers(f"lesions a patient{over}", owned.size(), skewed=True)
    rows += groups.numbers(f"volume of all lesions{over}, mm³", volume, skewed=True)
    first = first_studies(lesions, lesions).set_index("patient_id")
    for column in (name for name in ACQUISITION_COLUMNS if name in first):
        values, is_scale = read_cells(first[column], column)
        values = values.reindex(labels.index)
        if values.notna().any():
            label = ", ".join(filter(None, [column.replace("_", " "), UNITS.get(column, "")]))
            rows += groups.numbers(label, values) if is_scale else groups.kinds(label, values)
    return rows


def _of_lesions(lesions: pd.DataFrame, groups: _Groups) -> list[Row]:
    table = lesions.set_index("lesion_id")
    rows = [groups.counts("lesions"), *groups.numbers("volume, mm³", table["volume"], skewed=True)]
    for column in ("category", "hemisphere", "region"):
        values = table[column].where(~table[column].isin(["", UNKNOWN]))
        rows += groups.kinds(column, values)
    return rows


def _members(labels: pd.DataFrame, group: Group) -> np.ndarray:
    if not group["target"]:
        return np.ones(len(labels), bool)
    column = labels[group["target"]]
    status = STATUSES.get(group["status"])
    return (column.isna() if status is None else column == status).to_numpy()


def _mean(values: np.ndarray) -> list[float]:
    spread = values.std(ddof=1) if len(values) > 1 else np.nan
    return [float(values.mean()), float(spread)] if len(values) else [np.nan, np.nan]


def _median(values: np.ndarray) -> list[float]:
    return list(map(float, np.quantile(values, [0.5, 0.25, 0.75]))) if len(values) else [np.nan] * 3


def _share(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan
