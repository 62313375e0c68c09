"""What a cell says of a receptor: its label and why, and the words that pathologists write beside it."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

MISSING = math.nan
AS = ", as numbers of this column are "  # between why and what they are


class Status(NamedTuple):
    """What a cell says of a receptor.

    Attributes:
        label: 1, 0, or NaN where it is not known.
        low: of ER and PR 1 where they are low-positive, of HER2 1 where it is low or more; NaN: not known.
        why: in words.
        readable: whether the cell was understood; if not, it is missing as well.
        graded: whether `low` comes from a number, a score or the word, and not from the label alone.
    """

    label: float
    low: float
    why: str
    readable: bool = True
    graded: bool = False


class Numbers(NamedTuple):
    """What the plain numbers and signs of a column stand for.

    Attributes:
        kind: of numbers: signs (0 and 1), percentages, Allred scores or IHC scores.
        pluses: whether + is a score of 1+, beside ++ and +++.
    """

    kind: str = "signs"
    pluses: bool = False


class Meanings(ValueError):
    """A column whose numbers or signs may mean two things: the message says which, `remedy` what to write."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.remedy = remedy


def heading_letters(heading: str) -> str:
    """The letters and digits of a heading, and a minus at its end, by which its column is of negatives.

    Example:
        >>> heading_letters("HER2/neu (IHC)"), heading_letters("ER_-")
        ('her2neuihc', 'er-')
    """
    minus = "-" if re.search(r"[-\u2013\u2212][\s)\]]*$", heading) else ""
    return re.sub(r"[\W_]", "", heading.casefold()) + minus


_VOCABULARY = {
    "positive": "+ ++ +++ 1+ 2+ 3+ pos positive positiv true yes ja present expressed",
    "negative": "- neg negative negativ false no nein absent",
    "unknown": """
        equivocal unknown missing pending indeterminate inconclusive unclear na nd unk ? unbekannt ausstehend
        fraglich unklar tbd null #n/a unbek unkn insufficient inconnu inconnue desconocido desconocida
        sconosciuto sconosciuta onbekend ukendt okänd nieznany
    """,
    "noise": """
        status score receptor ihc of in the tumor tumour cells nuclei nuclear staining stained
        strong strongly moderate moderately weak weakly intensity about approx approximately ca ~
        and with by average mean der zellen tumorzellen zellkerne kerne stark mässig schwach und mit
    """,
}
# Words that deny what stands beside them: no tumour and no IHC are no negative, no stained cells are one.
_ABSENCE = {
    "denials": "no nein absent",
    "denied": "tumor tumour cells nuclei zellen tumorzellen zellkerne ihc score status receptor",
    "stained": "staining stained in neg negative negativ -",
}
_DENIALS, _DENIED, _STAINED = (frozenset(words.split()) for words in _ABSENCE.values())
KINDS = {word: kind for kind, words in _VOCABULARY.items() for word in words.split()}
NOT_DONE = re.compile(
    r"\b(?:not|never) (?:done|known|available|performed|tested|assessed|evaluated|evaluable|determined|"
    r"reported|applicable|recorded|sent|stated|given|examined|specified)\b|(?<!\w)n\.?v\.?t\.?(?!\w)|"
    r"(?<!\w)n\.?/?a\.?(?!\w)|(?<!\w)n/?d(?!\w)|(?<!\w)k\.? ?a\.?(?!\w)|"
    r"\b(?:nicht (?:durchgeführt|bekannt|bestimmt|bestimmbar|untersucht|vorhanden)|keine angaben?)\b"
)
_AFTER = r"(?:\s*[:=]\s*|\s+|-(?=[a-z])|(?=[+-])|$)"  # what follows the name of a receptor
NAMES = {
    "ER": re.compile(
        r"^(?:(?:o?e|ö)strogen(?:[ -]?re[cz]eptor)?|er)(?:\s*[:=]\s*|\s+|-(?=[a-z])|(?=[+-])|$)"
    ),
    "PR": re.compile(
        r"^(?:progesterone?(?:[ -]?re[cz]eptor)?|pgr|pr)(?:\s*[:=]\s*|\s+|-(?=[a-z])|(?=[+-])|$)"
    ),
    "HER2": re.compile(rf"^(?:c-?erb-?b-?2|her-?2(?:/neu)?){_AFTER}"),
}
NUMBER = r"(\d+(?:\.\d+)?)"
BOUND = r"(<=|>=|<|>)?\s*"
GRADES = {"++": 2, "+++": 3} | {f"{n}+": n for n in range(4)} | {str(n): n for n in range(4)}
_BREAK = re.compile(r"[\s,;:()\[\]/=|]+|\.(?!\d)|(?<=[a-z])-(?=[a-z])")
UNKNOWN = Status(MISSING, MISSING, "not known")
_SIGNS = str.maketrans(
    {"\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2011": "-", "\u2265": ">=", "\u2264": "<="}
)


_RAISED = str.maketrans({sign: f"^{digit}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")})  # marks of footnotes


def plain(cell: str) -> str:
    """A text in small letters, its signs and decimal points as ASCII has them."""
    text = unicodedata.normalize("NFKC", cell.translate(_RAISED)).casefold().translate(_SIGNS)
    text = " ".join(re.sub(r"(?<=\d),(?=\d)", ".", text).split())
    text = text.replace(" ", "") if set(text) == {"+", " "} else text
    text = re.sub(r"^,(?=\d)|(?:^|(?<=[ <>=(]))\.(?=\d)", "0.", text)  # as statistics programs write 0.5
    return re.sub(r"^(\d+)\.0+$", r"\1", text)


def is_unknown(cell: str) -> bool:
    """Whether a cell says that nothing is known, whatever is looked for.

    Example:
        >>> is_unknown("Not done"), is_unknown("n/a"), is_unknown("?"), is_unknown("none")
        (True, True, True, False)
    """
    text = plain(cell)
    return KINDS.get(text.rstrip(".") or text) == "unknown" or bool(NOT_DONE.fullmatch(text))


def unreadable(why: str) -> Status:
    """A cell that is not understood."""
    return Status(MISSING, MISSING, why, readable=False)


def is_sign(text: str) -> bool:
    """Whether a text is a plain positive or negative, and no score."""
    return KINDS.get(text) in ("positive", "negative") and text not in GRADES


def interval(bound: str | None, value: float) -> tuple[float, float, bool]:
    """Lowest and highest value that a number with a bound may be, and whether it shuts the highest out."""
    if bound in ("<", "<="):
        return 0.0, value, bound == "<"
    return value, math.inf if bound in (">", ">=") else value, False


def words_of(text: str) -> list[str]:
    """The words of a plain text, its signs such as 2+ and +++ among them."""
    return [word for word in _BREAK.split(text) if word]


def together(pieces: list[Status], words: Sequence[str], meanings: Mapping[str, Status]) -> Status:
    """What scores and words of one cell say together.

    Args:
        pieces: what its scores say.
        words: all else in it.
        meanings: of positive, negative and further words.
    """
    strange = [word for word in words if word not in KINDS and word not in meanings]
    kinds = dict.fromkeys(KINDS.get(word, word) for word in words)
    denied = [word for word in words if word in _DENIED]
    if not pieces and denied and not _DENIALS.isdisjoint(words) and _STAINED.isdisjoint(words):
        return unreadable(f"says that there is no {denied[0]}, which may be a negative or not known")
    pieces = [*pieces, *(meanings[kind] for kind in kinds if kind in meanings)]
    if strange:
        return unreadable(f"'{' '.join(strange)}' is not known")
    if bad := [piece for piece in pieces if not piece.readable]:
        return bad[0]
    if not pieces:
        return (
            unreadable("says neither positive nor negative") if words else Status(MISSING, MISSING, "empty")
        )
    why = ", ".join(dict.fromkeys(piece.why for piece in pieces))
    lows = {piece.low for piece in pieces if not math.isnan(piece.low)}
    if len({str(piece.label) for piece in pieces}) > 1 or len(lows) > 1:
        return unreadable(f"contradicts itself: {why}")
    graded = any(piece.graded for piece in pieces)
    return Status(pieces[0].label, lows.pop() if lows else MISSING, why, graded=graded)
