"""Receptor status as pathologists write it: words, percentages and scores, read after ASCO and CAP."""

import re
from collections.abc import Sequence

from bcbm.pathology.her2 import PLUSES, her2_numbers, read_her2
from bcbm.pathology.hormones import hormone_numbers, read_hormone
from bcbm.pathology.statuses import AS, KINDS, NAMES, Meanings, Status, heading_letters, plain

RECEPTORS = ("ER", "PR", "HER2")
_ESTROGEN, _PROGESTERONE = r"(?:o?e|ö)strogen(?:re[cz]eptor)?", r"progesterone?(?:re[cz]eptor)?"
_HEADINGS = {  # letters and digits alone
    receptor: re.compile(rf"(?:{name})(?:status|ihc|score|expression|percent|prozent)*")
    for receptor, name in {
        "ER": rf"er|{_ESTROGEN}(?:er)?",
        "PR": rf"pr|pgr|{_PROGESTERONE}(?:pr|pgr)?",
        "HER2": r"her2(?:neu)?|c?erbb2",
    }.items()
}

_VERSION = re.compile(  # a word of a heading, and the end of one that a program has found twice
    "corr(?:ect(?:ed|ion))?|final|new|old|rev(?:ised|ision|iew|iewed)?|updated?|amended|central|local|consensus"
    r"|original|current|latest|neu|alt|aktuell|korr(?:igiert)?|recheck|20\d\d|v?[123]|[xy]"
    "|(?:brain|cns)?met(?:s|astas[ei]s|astase|astatic)?|bm|brain|cns"
    "|recurren(?:ce|t)|relapse|at|of|the|in"
)


def receptor_of(heading: str) -> str:
    """The receptor that a column is of, by its heading; "" for none.

    Example:
        >>> receptor_of("Her-2/neu IHC"), receptor_of("Östrogenrezeptor (ER)"), receptor_of("primary ER")
        ('HER2', 'ER', '')
    """
    letters = heading_letters(heading)
    return next((receptor for receptor, form in _HEADINGS.items() if form.fullmatch(letters)), "")


def version_of(heading: str) -> str:
    """The receptor of which a column is another version, by its heading; "" for none.

    Example:
        >>> version_of("ER (corrected)"), version_of("HER2_BM"), version_of("ER")
        ('ER', 'HER2', '')
    """
    words = re.split(r"[\W_]+", heading.casefold())
    bare = " ".join(word for word in words if not _VERSION.fullmatch(word))
    return "" if receptor_of(heading) else receptor_of(bare)


def read_statuses(receptor: str, cells: Sequence[str]) -> list[Status]:
    """What the cells of a column say, each read in the light of all.

    Args:
        receptor: ER, PR or HER2.
        cells: their texts, blanks collapsed.

    Raises:
        Meanings: its numbers or signs may mean two things.

    Example:
        >>> [status.label for status in read_statuses("ER", ["90 %", "<1%", "Allred 5"])]
        [1.0, 0.0, 1.0]
    """
    texts = {cell: NAMES[receptor].sub("", plain(cell)) for cell in dict.fromkeys(cells)}
    distinct = list(texts.values())
    _require_known_zero(distinct)
    numbers = her2_numbers(distinct) if receptor == "HER2" else hormone_numbers(distinct)
    read = read_her2 if receptor == "HER2" else read_hormone
    statuses = {cell: read(text, numbers) for cell, text in texts.items()}
    return [statuses[cell] for cell in cells]


def _require_known_zero(texts: Sequence[str]) -> None:
    """Meanings for a 0 beside both signs and no other number, as of a formula that looks up an empty cell."""
    signs = {KINDS[text]: text for text in texts if text in KINDS}
    if {"positive", "negative"} <= set(signs) and [text for text in texts if re.search(r"\d", text)] == ["0"]:
        spelt = signs["negative"]
        found = f"0 beside '{spelt}' may be negative, or an empty cell that a formula has looked up"
        raise Meanings(found, f"write '{spelt}' or 'unknown'")


def explicit(cell: str, status: Status) -> str:
    """A cell as it reads without the other cells of its column.

    Example:
        >>> cells = ["1", "3"]
        >>> [explicit(cell, status) for cell, status in zip(cells, read_statuses("HER2", cells))]
        ['IHC 1', 'IHC 3']
    """
    if status.why.endswith(PLUSES):
        return {"+": "IHC 1", "-": "IHC 0"}.get(plain(cell), cell)
    kind = status.why.partition(AS)[2]
    if kind == "signs" or (kind == "percentages" and plain(cell) == "1"):
        return "+" if status.label else "-"
    return {"percentages": f"{cell} %", "Allred scores": f"Allred {cell}", "IHC scores": f"IHC {cell}"}.get(
        kind, cell
    )
