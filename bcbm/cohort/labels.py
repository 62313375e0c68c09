"""Labels as the clinical table has them: every spelling is read once, listed, and can be corrected."""

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bcbm.cohort.cells import number
from bcbm.cohort.label_findings import (
    PERCENTAGES,
    PERSON,
    coded_share,
    contradictions,
    other_words,
    passed_over,
    reversed_codes,
    share_rule,
)
from bcbm.cohort.spelling import cell_text, underscored
from bcbm.config.checks import nearest
from bcbm.errors import InputError, Note, Problem
from bcbm.pathology.her2 import OPEN
from bcbm.pathology.hybridisation import companion_kind, companion_texts, with_companions
from bcbm.pathology.receptors import RECEPTORS, read_statuses, receptor_of
from bcbm.pathology.statuses import AS, Meanings, Status
from bcbm.pathology.subtypes import subtype_kind, subtype_says
from bcbm.system.words import counted

if TYPE_CHECKING:  # a configuration is checked without tables
    import pandas as pd

    from bcbm.cohort.targets import Target

PRIMARY = "primary_"  # before a target's name: its status in the primary tumour
WORDS = {1.0: "positive", 0.0: "negative"}  # and missing
SPSS = (9.0, 66.0, 77.0, 88.0, 98.0, 99.0)  # codes of statistics programs for what is missing,
SMALL = 20.0  # where all other numbers are below this
CORRECTIONS = {"positive": 1.0, "negative": 0.0, "missing": math.nan}
PLAIN = ("+", "-", "")  # cells that need no word


@dataclass(frozen=True)
class LabelReading:
    """How all cells of one spelling are read.

    Attributes:
        target: by name, or a column beside it: `primary_<target>`, `ER_low`.
        cell: as it stands in the table, of HER2 with what a column of ISH says.
        count: rows that hold it.
        reads_as: positive, negative or missing.
        why: in words.
        label: empty, for a person to fill in; see `read_corrections`.
    """

    target: str
    cell: str
    count: int
    reads_as: str
    why: str
    label: str = ""


def is_label_column(heading: str, targets: Mapping[str, "Target"]) -> bool:
    """Whether `read_labels` reads a column of a clinical table, by its heading."""
    primaries = {heading for name in targets for heading in _primary_headings(name)}
    own = {target.column for target in targets.values()}
    return (
        not own.isdisjoint((heading, receptor_of(heading)))
        or underscored(heading) in primaries
        or bool(companion_kind(heading))
    )


def read_labels(
    cells: "pd.DataFrame",
    targets: Mapping[str, "Target"],
    table: str,
    rows: Sequence[str],
    problems: list[Problem],
    readings: list[LabelReading] | None = None,
) -> "pd.DataFrame":
    """The labels in a clinical table: a column a target, 1, 0 and NaN, the same rows.

    The column of a receptor may bear another of its names (`ER status`, `Her2/neu`); a receptor without one
    is left out. Behind the targets stand, where the table has them, their status in the primary tumour as
    `primary_<target>`, and whether ER and PR are low-positive as `ER_low` and `PR_low`. A cell that cannot be
    read counts as missing and is added to the problems.

    Args:
        cells: the table as read, headings without blanks around them.
        targets: by name.
        table: how messages name the table: its file and sheet.
        rows: how messages name each row.
        problems: to add to.
        readings: to add every spelling to, for the download's `label_readings`.

    Raises:
        InputError: the column of a required target of one's own is not there, several may be a receptor's,
            or the numbers of one may mean two things.
    """
    import pandas as pd

    readings = [] if readings is None else readings
    columns = label_columns([*map(str, cells.columns)], targets, table)
    absent = [name for name in targets if name not in columns]
    if own := [name for name in absent if name not in RECEPTORS and targets[name].positive]:
        headings = [heading for heading in map(str, cells.columns) if not heading.startswith("original_")]
        remedy = f"name one of its columns: {', '.join(headings)}"
        lacking = {name: f"no column '{targets[name].column}', which cohort.targets names" for name in own}
        absences = [Problem(table, f"{text} for {name}", remedy) for name, text in lacking.items()]
        if any(targets[name].required for name in own):
            raise InputError(*absences)
        problems += absences
    companions = [
        companion_texts(str(heading), [cell_text(cell) for cell in cells[heading]])
        for heading in cells.columns
        if companion_kind(str(heading))
    ]
    labels: dict[str, list[float]] = {}
    refused: list[Problem] = []
    for name, target in targets.items():
        if name in absent or not target.positive:
            continue
        for label in filter(columns.__contains__, (name, PRIMARY + name)):
            heading = columns[label]
            texts = [cell_text(cell) for cell in cells[heading]]
            if label == "HER2" and companions:
                beside = zip(*companions, strict=True)
                texts = [with_companions(text, others) for text, others in zip(texts, beside, strict=True)]
            try:
                statuses = label_statuses(label, target, texts)
            except Meanings as error:
                remedy = f"{error.remedy}, or list what they are in a file of cohort.readings"
                refused.append(Problem(f"{table}, column {heading}", f"{label}: {error}", remedy))
                continue
            problems += _problems(label, target, texts, statuses, table, rows)
            problems += passed_over(name, heading, cells, table) if label == name else []
            problems += share_rule(label, target, texts, table)
            problems += coded_share(label, texts, table) if name in ("ER", "PR") else []
            problems += other_words(label, target, texts, statuses, table)
            values = {label: [status.label for status in statuses]}
            if name in RECEPTORS:
                values |= _low(label, targets, texts, statuses)
            for column, numbers in values.items():
                readings += _listed(column, texts, numbers, statuses)
            labels |= values
    if refused:
        raise InputError(*refused)
    if "HER2" in labels and companions:  # which a plain sign does without
        her2 = [cell_text(cell) for cell in cells[columns["HER2"]]]
        unused = [
            "; ".join(filter(None, others)) if with_companions(text, others) == text else ""
            for text, others in zip(her2, zip(*companions, strict=True), strict=True)
        ]
        examined = [{"HER2": status.label} for status in read_statuses("HER2", unused)]
        problems += contradictions("its ISH", unused, examined, labels, table, rows)
    for heading in map(str, cells.columns):
        if not is_label_column(heading, targets) and not heading.startswith("original_"):
            problems += reversed_codes(f"{table}, column {heading}", cells[heading])
        if kind := subtype_kind(heading):
            texts = [cell_text(cell) for cell in cells[heading]]
            statements = [subtype_says(kind, text) for text in texts]
            problems += contradictions(f"column {heading}", texts, statements, labels, table, rows)
    ordered = [name for name in targets if name in labels]
    ordered += [name for name in labels if name not in targets]
    return pd.DataFrame({name: labels[name] for name in ordered}, index=cells.index, dtype=float)


def label_columns(headings: Sequence[str], targets: Mapping[str, "Target"], table: str) -> dict[str, str]:
    """The headings of the columns that are there, by target and by `primary_<target>`.

    Args:
        headings: of the table, without blanks around them.
        targets: by name.
        table: how messages name the table.

    Raises:
        InputError: several may be one receptor's.
    """
    columns, problems = {}, []
    plain = {underscored(heading): heading for heading in reversed(headings)}
    for name, target in targets.items():
        alike = [heading for heading in headings if receptor_of(heading) == target.column]
        if target.column in headings:
            columns[name] = target.column
        elif len(alike) == 1:
            columns[name] = alike[0]
        elif alike and name in RECEPTORS:
            found = f"the columns {' and '.join(map(repr, alike))} may both be {name}"
            problems.append(Problem(table, found, f"call the one that counts {name}"))
        if primary := [plain[heading] for heading in _primary_headings(name) if heading in plain]:
            columns[PRIMARY + name] = primary[0]
    if problems:
        raise InputError(*problems)
    return columns


def read_corrections(path: Path, targets: Mapping[str, "Target"]) -> dict[str, dict[str, float]]:
    """What a CSV file says of cells: by target, by cell 1, 0, or NaN for missing.

    Its columns are `target`, `cell` and `label`, which is positive, negative or missing; without a label the
    reading stays as it is. Other columns, as of the list of readings, are ignored, and the apostrophe that
    keeps a cell from being a formula is no part of it.

    Raises:
        InputError: no such file, a column that lacks, a target or a word that is not known, an empty cell
            with a label, a line twice; one problem a line.
    """
    from bcbm.cohort.formats.tables import read_corrected  # which reads labels

    table = read_corrected(path, "cohort.readings")
    if not {"target", "cell", "label"} <= set(table):
        text = f"has the columns {', '.join(map(str, table.columns))}"
        raise InputError(Problem(str(path), text, "it needs target, cell and label"))
    known = [*targets, *(PRIMARY + name for name in targets)]
    corrections: dict[str, dict[str, float]] = {}
    problems = []
    rows = table[["target", "cell", "label"]].to_dict("records")
    for line, row in zip(table.index, rows, strict=True):
        target, label = str(row["target"]).strip(), str(row["label"]).strip().lower()
        cell = cell_text(row["cell"])
        where = f"{path} line {line} ({target}, {cell})"
        if not label:
            continue
        if target not in known:
            problems.append(Problem(where, f"target is '{target}'", nearest(target, known)))
        elif label not in CORRECTIONS:
            problems.append(Problem(where, f"label is '{label}'", f"write {' or '.join(CORRECTIONS)}"))
        elif not cell:
            problems.append(Problem(where, "cell is empty", "an empty cell is missing; remove the label"))
        elif cell in corrections.setdefault(target, {}):
            problems.append(Problem(where, "an earlier line has the same cell", "keep one line a cell"))
        else:
            corrections[target][cell] = CORRECTIONS[label]
    if problems:
        raise InputError(*problems)
    if not corrections:
        text = f"{path}: no line has a label: corrections stand in that column, as {', '.join(CORRECTIONS)}"
        warnings.warn(text, Note, stacklevel=2)
    return corrections


def unused_corrections(
    corrections: Mapping[str, Mapping[str, float]], readings: Sequence[LabelReading], path: Path
) -> list[Problem]:
    """A problem for every correction of a cell that the table does not have, and one for lines without a
    label whose `reads_as` is not how their cell is read."""
    from bcbm.cohort.formats.tables import read_rows  # which reads labels

    read = {(reading.target, reading.cell): reading.reads_as for reading in readings}
    problems = [
        Problem(str(path), f"no cell of {target} is '{cell}'", "correct the cell, or remove the line")
        for target, labels in corrections.items()
        for cell in labels
        if (target, cell) not in read
    ]
    table = read_rows(path, used=bool, odd=[]).reindex(columns=["target", "cell", "reads_as", "label"])
    changed = []
    for line, *cells in table.itertuples():
        target, cell, word, label = map(cell_text, cells)
        own = read.get((target, cell), word)
        if word and word.lower() != own and not label:
            changed.append(f"line {line} ({target}, {cell}) says {word} and is read {own}")
    if changed:
        lines = f"reads_as of {counted(len(changed), 'line')} without a label"
        found = f"{lines} is not what is read, such as {changed[0]}"
        remedy = "write it into the column label, the only one that is read"
        problems.append(Problem(str(path), found, remedy, "corrections in another column"))
    return problems


def readings_table(readings: Iterable[LabelReading]) -> "pd.DataFrame":
    """A row a spelling, columns as LabelReading's attributes."""
    import pandas as pd

    return pd.DataFrame([asdict(reading) for reading in readings], columns=list(LabelReading.__annotations__))


def readings_words(readings: Sequence[LabelReading]) -> str:
    """How many spellings of which columns are read in another way than + and -, in a line; empty for none."""
    low = {f"{prefix}{receptor}_low" for receptor in RECEPTORS for prefix in ("", PRIMARY)}
    others = [reading for reading in readings if reading.cell not in PLAIN and reading.target not in low]
    if not others:
        return ""
    counts = Counter(reading.target for reading in others)
    text = "labels read: " + ", ".join(f"{counted(n, 'spelling')} of {name}" for name, n in counts.items())
    kinds = {reading.target: kind for reading in others if (kind := reading.why.partition(AS)[2])}
    return text + "".join(f"; plain numbers of {name} are {kind}" for name, kind in kinds.items())


def _primary_headings(name: str) -> tuple[str, str]:
    """How the column of a target's status in the primary tumour may be headed, as `underscored` has it."""
    return underscored(PRIMARY + name), underscored(f"{name} primary")


def label_statuses(column: str, target: "Target", texts: Sequence[str]) -> list[Status]:
    """What the cells of a column of labels say of a target.

    Args:
        column: the target's name, or `primary_` and that.
        target: it.
        texts: of the cells.

    Raises:
        Meanings: of a receptor, its numbers may mean two things.
    """
    name = column.removeprefix(PRIMARY)
    corrections = target.corrections.get(column, {})
    others = list(dict.fromkeys(text for text in texts if text not in corrections))
    if name in RECEPTORS:
        statuses = dict(zip(others, read_statuses(name, others), strict=True))
    else:
        statuses = {text: _own_status(target, text) for text in others}
        statuses |= _shares(target, others) | _codes(target, others)
    positive = 1.0 if name == "HER2" else math.nan  # is low or more
    low = {1.0: positive, 0.0: math.nan if name == "HER2" else 0.0}
    statuses |= {text: Status(v, low.get(v, math.nan), PERSON) for text, v in corrections.items()}
    return [statuses[text] for text in texts]


def _own_status(target: "Target", text: str) -> Status:
    """What a cell says of a target that a configuration defines."""
    try:
        return Status(target.label(text), math.nan, "by its rule" if text else "empty")
    except ValueError:
        label, counts_as = _doubtful_label(target, text)
        return Status(label, math.nan, f"it counts as {counts_as}", readable=False)


def _shares(target: "Target", texts: Sequence[str]) -> dict[str, Status]:
    """What numbers up to 1 without a sign say in a column of percentages that has some between 0 and 1.

    They may be shares: where a share would be another label than a percentage, they are missing.
    """
    signed = any("%" in text for text in (*texts, target.column, *target.positive, *target.negative))
    if not target.bounds or not (signed or min(target.bounds) >= PERCENTAGES):
        return {}
    numbers = {text: number(text).value for text in texts}
    small = {text: value for text, value in numbers.items() if 0 < value <= 1}
    if all(value == 1 for value in small.values()):
        return {}
    why = "it may be a share or a percentage, and counts as missing"
    status = Status(math.nan, math.nan, why, readable=False)
    return {
        text: status
        for text, value in small.items()
        if str(_own_status(target, f"{value:g}").label) != str(_own_status(target, f"{100 * value:g}").label)
    }


def _codes(target: "Target", texts: Sequence[str]) -> dict[str, Status]:
    """What 9, 77, 88 and the like say in a column of small numbers, far above all others: they may stand for
    what is not known, and are missing."""
    numbers = {text: number(text).value for text in texts}
    others = [value for value in numbers.values() if value not in SPSS and not math.isnan(value)]
    if not target.bounds or target.is_percentage or not others or max(others) >= SMALL:
        return {}
    why = "it may be a code for what is not known, and counts as missing"
    status = Status(math.nan, math.nan, why, readable=False)
    rules = (*target.positive, *target.negative)
    return {
        text: status
        for text, value in numbers.items()
        if value in SPSS and value > 2 * max(others) and f"{value:g}" not in rules
    }


def _doubtful_label(target: "Target", text: str) -> tuple[float, str]:
    """The label of a cell such as "20,5", which is no plain value, and as what it counts."""
    bare = text.removesuffix("%").rstrip()
    plain = number(bare).text
    if plain == bare:  # a plain value that the target refuses
        return math.nan, "missing"
    try:
        return target.label(plain), plain or "missing"
    except ValueError:
        return math.nan, "missing"


def _low(
    column: str, targets: Mapping[str, "Target"], texts: Sequence[str], statuses: Sequence[Status]
) -> dict[str, list[float]]:
    """What a receptor's column says of low: of ER and PR whether it is low-positive, of HER2 of low or more.

    Empty where no cell tells, of primary ER and PR, and where HER2_low is a target of one's own.
    """
    low, name = f"{column}_low", column.removeprefix(PRIMARY)
    grade = targets.get(f"{name}_low")
    known = grade is not None and not grade.positive if name == "HER2" else grade is None and column == name
    if not known or not any(status.graded for status in statuses):
        return {}
    corrections = grade.corrections.get(low, {}) if grade else {}
    return {low: [corrections.get(text, s.low) for text, s in zip(texts, statuses, strict=True)]}


def _problems(
    column: str,
    target: "Target",
    texts: Sequence[str],
    statuses: Sequence[Status],
    table: str,
    rows: Sequence[str],
) -> list[Problem]:
    """One a row that cannot be read, and one for all of a HER2 of 2+ without ISH."""
    problems = []
    receptor = column.removeprefix(PRIMARY) in RECEPTORS
    words = "+, -, a percentage or a score" if receptor else target.remedy
    for row, text, status in zip(rows, texts, statuses, strict=True):
        if not status.readable:
            text = f"{column} is '{text}'" + f" ({status.why})" * receptor
            remedy = f"write {words}, leave it empty, or list it in a file of cohort.readings; "
            remedy += "it counts as missing" if receptor else status.why
            problems.append(Problem(f"{table}, {row}", text, remedy, "odd label"))
    if undecided := sum(status.readable and OPEN in status.why for status in statuses):
        text = f"{column} is {OPEN} in {counted(undecided, 'row')}"
        remedy = "write what ISH says there, or in a column HER2 ISH; it counts as missing"
        problems.append(Problem(table, text, remedy, f"HER2 {OPEN}"))
    return problems


def _listed(
    column: str, texts: Sequence[str], labels: Sequence[float], statuses: Sequence[Status]
) -> list[LabelReading]:
    """Every spelling of a column once, the commonest first."""
    read = {
        text: (WORDS.get(label, "missing"), status.why)
        for text, label, status in zip(texts, labels, statuses, strict=True)
    }
    return [LabelReading(column, text, count, *read[text]) for text, count in Counter(texts).most_common()]
