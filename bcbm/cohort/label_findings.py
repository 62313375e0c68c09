"""What beside the labels says that they may not be what they seem, a line each."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bcbm.cohort.cells import number
from bcbm.cohort.spelling import cell_text, folded
from bcbm.errors import Problem
from bcbm.pathology.receptors import RECEPTORS, receptor_of, version_of
from bcbm.pathology.statuses import Status
from bcbm.system.words import counted, listed

if TYPE_CHECKING:  # a configuration is checked without tables
    import pandas as pd

    from bcbm.cohort.targets import Target

LISTED = 5  # words that a message names
PERCENTAGES = 10.0  # what a column is compared with, from which on its numbers are percentages
CODE, ROUND = 99.0, 5.0  # of SPSS for what is missing; of which most percentages are multiples
PERSON = "cohort.readings says so"

LONGEST = 60  # signs of a text that a message quotes
_REVERSED = re.compile(
    r"(?<![\d.])(?:0\s*(?:=|:|means|bedeutet)\s*(?:pos|\+|yes\b|ja\b)|1\s*(?:=|:|means|bedeutet)\s*(?:neg|-|no\b|nein))"
)
# What a row of a table is of, where a column says so.
_PRIMARY = re.compile("(?:prim|breast|mamma)[^ ]*(?: (?:tumou?r|cancer|biopsy))?")
_METASTASIS = re.compile(
    "(?:(?:brain|cns|hirn|zns)?[- ]?met(?:s|astas[ei]s|astase)?|brain|cns|hirn|zns|gehirn)(?: biopsy)?"
)
# What a column of specimens is called, and what else than brain and breast they are of.
_SPECIMENS = re.compile("specimen|biops|tissue|gewebe|sample|material|probe|entnahme")
_ELSEWHERE = re.compile(
    "(lungs?|lunge|liver|leber|hepatic|bones?|knochen|skin|haut|lymph|lymph[- ]?nodes?|lymphknoten|lk|ln"
    "|nodes?|axilla|axillary|pleura|pleural|chest wall|thoraxwand|ascites|ovary|adrenal)(?: [^ ]+)?"
)


def reversed_codes(where: str, texts: Iterable[object]) -> Iterator[Problem]:
    """One of texts that nothing reads and that say of 0 that it is positive, or of 1 that it is negative.

    Example:
        >>> [problem.where for problem in reversed_codes("sheet Codebook", ["ER: 0 = positive", "10 = neg"])]
        ['sheet Codebook']
    """
    if odd := [text for cell in texts if (text := cell_text(cell)) and _REVERSED.search(folded(text))]:
        found = f"says '{odd[0][:LONGEST]}', and a plain 0 counts as negative, 1 as positive"
        yield Problem(where, found, "write + and - in place of the numbers", "legend that reverses numbers")


def unread_primaries(studies: "pd.DataFrame", clinical: str) -> list[Problem]:
    """Columns of a download's studies that say of some labels that they are the primary tumour's, or those
    of a metastasis elsewhere.

    Args:
        studies: of the download.
        clinical: their table, for messages.
    """
    remedy = "write them into columns primary_ER, primary_PR and primary_HER2"
    problems = []
    for name in studies.select_dtypes(["object", "string"]):
        if count := of_primaries(studies[name]):
            text = f"its column '{name}' is not read: of {counted(count, 'study', 'studies')} the labels are "
            text += "the primary tumour's, and count as the metastasis'"
            problems.append(Problem(clinical, text, remedy, "labels of primary tumours"))
        elif words := from_elsewhere(str(name), studies[name]):
            text = f"its column '{name}' is not read: labels from {words} count as those of the brain"
            problems.append(Problem(clinical, text, "empty them, if they are not", "labels from elsewhere"))
    return problems


def from_elsewhere(heading: str, cells: Iterable[object]) -> str:
    """The places that a column of specimens names where others are of the brain, in words of the field alone;
    "" where all are, or a cell says anything else.

    Example:
        >>> from_elsewhere("biopsy", ["brain", "Liver left", ""]), from_elsewhere("site", ["brain", "liver"])
        ('liver', '')
    """
    texts = {folded(text) for cell in cells if (text := cell_text(cell))}
    places = {word: match[1] for word in texts if (match := _ELSEWHERE.fullmatch(word))}
    brains = {word for word in texts if _METASTASIS.fullmatch(word)}
    breasts = {word for word in texts if _PRIMARY.fullmatch(word)}
    if not (
        _SPECIMENS.search(folded(heading)) and brains and places and texts == {*places, *brains, *breasts}
    ):
        return ""
    return listed([*sorted(set(places.values())), *["breast"] * bool(breasts)], LISTED)


def of_primaries(cells: Iterable[object]) -> int:
    """How many cells of a column say that their row is of the primary tumour, where all others say
    that theirs is of a metastasis; 0 of a column that says anything else.

    Example:
        >>> of_primaries(["primary", "brain metastasis", ""]), of_primaries(["breast", "breast"])
        (1, 0)
    """
    words = [text for cell in cells if (text := folded(cell_text(cell)))]
    primary = sum(bool(_PRIMARY.fullmatch(word)) for word in words)
    others = sum(bool(_METASTASIS.fullmatch(word)) for word in words)
    return primary if others and primary + others == len(words) else 0


def passed_over(receptor: str, heading: str, cells: "pd.DataFrame", table: str) -> list[Problem]:
    """One a column that may be a receptor's too, says something else, and is not read."""
    own = [cell_text(cell) for cell in cells[heading]]
    names = [str(name) for name in cells.columns if name != heading]
    others = [name for name in names if receptor in (receptor_of(name), version_of(name))]
    others = [name for name in others if [cell_text(cell) for cell in cells[name]] != own]
    remedy = f"remove one, or call the one that counts {receptor}"
    found = [f"column '{name}' is not read: '{heading}' is {receptor}" for name in others]
    return [Problem(table, text, remedy, "receptor in two columns") for text in found]


def contradictions(
    what: str,
    texts: Sequence[str],
    statements: Sequence[Mapping[str, float]],
    labels: Mapping[str, Sequence[float]],
    table: str,
    rows: Sequence[str],
) -> list[Problem]:
    """One if what a column beside the receptors says of them contradicts their labels, with its first row."""
    odd: list[int] = []
    for place, statement in enumerate(statements):
        own = {name: labels[name][place] for name in RECEPTORS if name in labels}
        hormones = [own.get(name, math.nan) for name in ("ER", "PR")]
        own["HR"] = 1.0 if 1.0 in hormones else sum(hormones) / 2
        if any({label, own.get(name)} == {0.0, 1.0} for name, label in statement.items()):
            odd.append(place)
    if not odd:
        return []
    found = f"{what} contradicts the receptors in {counted(len(odd), 'row')}, such as {rows[odd[0]]}: "
    remedy = f"correct one; {', '.join(name for name in RECEPTORS if name in labels)} count as they stand"
    return [Problem(table, f"{found}'{texts[odd[0]]}'", remedy, "labels that contradict a column")]


def share_rule(column: str, target: "Target", texts: Sequence[str], table: str) -> list[Problem]:
    """One where a rule compares with a share, such as 0.2, and the numbers are percentages."""
    if not target.bounds or not 0 < min(target.bounds) <= max(target.bounds) < 1:
        return []
    numbers = [number(text.removesuffix("%")).value for text in texts]
    largest = max((value for value in numbers if not math.isnan(value)), default=0.0)
    if not PERCENTAGES <= largest <= 100:
        return []
    rules = ", ".join((*target.positive, *target.negative))
    found = f"the rule of {column} is {rules}, and its numbers go up to {largest:g}, as percentages do"
    return [Problem(table, found, "write the rule in per cent, as >= 20", "rule of shares over percentages")]


def coded_share(column: str, texts: Sequence[str], table: str) -> list[Problem]:
    """One where 99 stands several times among percentages of a receptor that are round else: it may be a code
    for what is not known.

    Example:
        >>> [problem.where for problem in coded_share("ER", ["90", "5", "0", "99", "99"], "book")]
        ['book']
    """
    numbers = [value for text in texts if not math.isnan(value := number(text).value)]
    others = {value for value in numbers if value != CODE}
    round_ones = len(others) > 2 and max(others) > PERCENTAGES and all(value % ROUND == 0 for value in others)
    if not round_ones or numbers.count(CODE) < 2:
        return []
    found = f"{column} is {CODE:g} in {numbers.count(CODE)} rows, and its other numbers are round: it counts"
    found += " as a percentage, and may be a code for what is not known"
    return [Problem(table, found, "write 99 %, or leave the cells empty", "code among percentages")]


def other_words(
    column: str, target: "Target", texts: Sequence[str], statuses: Sequence[Status], table: str
) -> list[Problem]:
    """One where several words count as negative only as no rule names them."""
    if target.negative or target.bounds:
        return []
    cells = zip(texts, statuses, strict=True)
    words = Counter(text for text, status in cells if status.label == 0 and status.why != PERSON)
    if len({folded(word) for word in words}) < 2:
        return []
    told = [f"'{word}' in {counted(rows, 'row')}" for word, rows in words.most_common()]
    found = f"{column}: {listed(told, LISTED)} count as negative, as no rule names them"
    remedy = f"write those that are negative in negative: of cohort.targets.{column}; others are refused then"
    return [Problem(table, found, remedy, "words that no rule names")]
