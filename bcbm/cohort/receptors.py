"""Receptor status as pathologists write it: words, percentages and scores, read after ASCO and CAP.

ER and PR are positive from 1 % of stained nuclei on, low-positive up to 10 % (Allison et al., J Clin Oncol
38:1346, 2020), or from an Allred score of 3 on (Allred et al., Mod Pathol 11:155, 1998). HER2 is positive
with IHC 3+ or amplification, and 2+ alone says nothing; 1+, and 2+ without amplification, is HER2-low (Wolff
et al., Arch Pathol Lab Med 147:993, 2023).
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

MISSING = math.nan
RECEPTORS = ("ER", "PR", "HER2")
PERCENT, LOW = 1.0, 10.0  # of stained nuclei: positive from, low-positive up to
ALLRED, H_SCORE = 3.0, 10.0  # positive from; H-scores from 1 to 9 are read in two ways
OPEN = "2+ without ISH"  # why a HER2 is missing although it was examined
AS = ", as numbers of this column are "  # between why and what they are
PLUSES = ", as + of this column is a score"
SHOWN = 8  # numbers of a column that a message lists


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


_VOCABULARY = {
    "positive": "+ ++ +++ 1+ 2+ 3+ pos positive true yes present expressed",
    "negative": "- neg negative false no absent",
    "unknown": "equivocal unknown missing pending indeterminate inconclusive unclear na nd unk ?",
    "noise": """
        status score ihc of in the tumor tumour cells nuclei nuclear staining stained strong strongly moderate
        moderately weak weakly intensity about approx approximately ca ~ and with by
    """,
}
_KINDS = {word: kind for kind, words in _VOCABULARY.items() for word in words.split()}
_NOT_DONE = re.compile(
    r"\b(?:not|never) (?:done|known|available|performed|tested|assessed|evaluated|evaluable|determined|"
    r"reported|applicable|recorded)\b|(?<!\w)n\.?/?a\.?(?!\w)|(?<!\w)n/?d(?!\w)"
)
_NAMES = {
    "ER": re.compile(r"^(?:o?estrogen(?: receptor)?|er)(?:\s*[:=]\s*|\s+|-(?=[a-z])|(?=[+-])|$)"),
    "PR": re.compile(r"^(?:progesterone(?: receptor)?|pgr|pr)(?:\s*[:=]\s*|\s+|-(?=[a-z])|(?=[+-])|$)"),
    "HER2": re.compile(r"^(?:c-?erb-?b-?2|her-?2(?:/neu)?)(?:\s*[:=]\s*|\s+|-(?=[a-z])|(?=[+-])|$)"),
}
_N = r"(\d+(?:\.\d+)?)"
_BOUND = r"(<=|>=|<|>)?\s*"
_H = re.compile(
    rf"\bh[- ]?score\s*[:=]?\s*{_BOUND}{_N}(?:\s*/\s*300)?|"
    rf"{_BOUND}{_N}(?:\s*/\s*300|\s*\(?h[- ]?score\)?)"
)
_ALLRED = re.compile(
    rf"\ballred(?: score)?\s*[:=]?\s*{_BOUND}{_N}(?:\s*/\s*8)?(?!\d)|"
    rf"{_BOUND}{_N}(?:\s*/\s*8(?!\d)|\s*\(?allred\)?)"
)
_RANGE = re.compile(rf"{_N}\s*%?\s*(?:-|to)\s*{_N}\s*(?:%|per ?cent)")
_SHARE = re.compile(rf"{_BOUND}{_N}\s*(?:%|per ?cent)")
_BARE = re.compile(rf"{_BOUND}{_N}|{_N}\s*(?:-|to)\s*{_N}")
_METHOD = r"\b(?:[fcsd]|dd)?ish\b"
_AMPLIFIED = r"(?:(?:not|non|no|un)[- ]?)?amp(?:lif\w*)?\b"
_OPEN_WORDS = r"equivocal\b|pending\b|unknown\b|not (?:done|known|available|performed|tested)\b|n/?a\b"
_RESULT = rf"(?:{_AMPLIFIED}|pos(?:itive)?\b|neg(?:ative)?\b|{_OPEN_WORDS})"
_ISH = (
    re.compile(rf"{_METHOD}\s*(?:[:=]\s*|-(?=[a-z]))?\(?({_RESULT}|\+|-)\)?"),
    re.compile(rf"({_RESULT})\s*(?:by|on|in)?\s*\(?{_METHOD}\)?"),
    re.compile(rf"\b({_AMPLIFIED})"),
)
_NOT_AMPLIFIED = re.compile(r"(?:not|non|no|un)[- ]?amp|neg|-")
_OPEN_RESULT = re.compile(_OPEN_WORDS)
_COMPANION = re.compile(r"(her2(neu)?)?([fcs]|dd)?ish(result|status)?")
_BREAK = re.compile(r"[\s,;:()\[\]/=|]+|\.(?!\d)|(?<=[a-z])-(?=[a-z])")
_GRADES = {"++": 2, "+++": 3} | {f"{n}+": n for n in range(4)} | {str(n): n for n in range(4)}
_UNKNOWN = Status(MISSING, MISSING, "not known")
_HORMONE_WORDS = {
    "unknown": _UNKNOWN,
    "positive": Status(1.0, MISSING, "positive"),
    "negative": Status(0.0, 0.0, "negative"),
    "low": Status(1.0, 1.0, "low-positive", graded=True),
}
_HER2_WORDS = {
    "unknown": _UNKNOWN,
    "positive": Status(1.0, 1.0, "positive"),
    "negative": Status(0.0, MISSING, "negative"),
    "low": Status(0.0, 1.0, "HER2-low is negative", graded=True),
    "ultralow": Status(0.0, 0.0, "HER2-ultralow is negative", graded=True),
}
_TRUTHS = {"1": "+", "yes": "+", "true": "+", "0": "-", "no": "-", "false": "-"}  # of an ISH column
_DATE = re.compile(r"\d{4}-\d\d-\d\d.*")
_SIGNS = str.maketrans(
    {"\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2011": "-", "\u2265": ">=", "\u2264": "<="}
)


def is_unknown(cell: str) -> bool:
    """Whether a cell says that nothing is known, whatever is looked for.

    Example:
        >>> is_unknown("Not done"), is_unknown("n/a"), is_unknown("?"), is_unknown("none")
        (True, True, True, False)
    """
    text = _plain(cell)
    return _KINDS.get(text) == "unknown" or bool(_NOT_DONE.fullmatch(text))


def is_companion(heading: str) -> bool:
    """Whether a column holds the in situ hybridisation of HER2, by its heading.

    Example:
        >>> is_companion("HER2 FISH"), is_companion("ISH_result"), is_companion("HER2")
        (True, True, False)
    """
    return bool(_COMPANION.fullmatch(re.sub(r"[\W_]", "", heading.casefold())))


def with_companions(cell: str, companions: Sequence[str]) -> str:
    """A HER2 cell with what other columns say of its ISH, which a plain + or - does without.

    Example:
        >>> with_companions("2+", ["not amplified"]), with_companions("+", ["not amplified"])
        ('2+; ISH not amplified', '+')
    """
    text = _NAMES["HER2"].sub("", _plain(cell))
    if re.search(_METHOD, text) or _is_sign(text):
        return cell
    results = []
    for companion in filter(None, dict.fromkeys(companions)):
        kind = _TRUTHS.get(_plain(companion), companion)
        results.append(kind if re.search(_METHOD, _plain(kind)) else f"ISH {kind}")
    return "; ".join([*([cell] if cell else []), *results])


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
    texts = {cell: _NAMES[receptor].sub("", _plain(cell)) for cell in dict.fromkeys(cells)}
    distinct = list(texts.values())
    numbers = _her2_numbers(distinct) if receptor == "HER2" else _numbers(distinct)
    read = _her2 if receptor == "HER2" else _hormone
    statuses = {cell: read(text, numbers) for cell, text in texts.items()}
    return [statuses[cell] for cell in cells]


def _plain(cell: str) -> str:
    """A text in small letters, its signs and decimal points as ASCII has them."""
    text = unicodedata.normalize("NFKC", cell).casefold().translate(_SIGNS)
    return re.sub(r"^(\d+)\.0+$", r"\1", " ".join(re.sub(r"(?<=\d),(?=\d)", ".", text).split()))


def _unreadable(why: str) -> Status:
    return Status(MISSING, MISSING, why, readable=False)


def _is_sign(text: str) -> bool:
    """Whether a text is a plain positive or negative, and no score."""
    return _KINDS.get(text) in ("positive", "negative") and text not in _GRADES


def _interval(bound: str | None, value: float) -> tuple[float, float, bool]:
    """Lowest and highest value that a number with a bound may be, and whether it shuts the highest out."""
    if bound in ("<", "<="):
        return 0.0, value, bound == "<"
    return value, math.inf if bound in (">", ">=") else value, False


def _share(low: float, high: float, open_end: bool, shown: str, exclusive: bool = False) -> Status:
    """ER or PR of a share of stained nuclei between two ends."""
    if low > high or low > 100 or (high > 100 and high != math.inf):
        return _unreadable(f"{shown} is no percentage")
    if high < PERCENT or (high == PERCENT and open_end):
        return Status(0.0, 0.0, f"{shown}: negative below 1 %", graded=True)
    if low < PERCENT:
        return _unreadable(f"{shown} lies on both sides of 1 %")
    if high <= LOW:
        return Status(1.0, 1.0, f"{shown}: low-positive, from 1 to 10 %", graded=True)
    above = low > LOW or (low == LOW and exclusive)
    return Status(1.0, 0.0 if above else MISSING, f"{shown}: positive from 1 % on", graded=above)


def _score(kind: str, least: float, most: float, bound: str | None, value: float) -> Status:
    """ER or PR of an Allred or an H-score: positive from `least` on, and 0 (Allred: up to 2) negative."""
    shown = f"{kind} {bound or ''}{value:g}"
    low, high, open_end = _interval(bound, value)
    if value > most or (kind == "Allred" and (value == 1 or not value.is_integer()) and not bound):
        return _unreadable(f"{shown} does not exist")
    if low >= least:
        return Status(1.0, MISSING, f"{shown}: positive from {least:g} on")
    negative = least - 1 if kind == "Allred" else 0.0
    if high <= negative or (open_end and high <= negative + 1):
        return Status(0.0, 0.0, f"{shown}: negative")
    if kind == "H-score":
        return _unreadable(f"{shown}: some laboratories call 1 to 9 positive, others negative")
    return _unreadable(f"{shown} lies on both sides of {least:g}")


def _numbers(texts: Sequence[str]) -> Numbers:
    """What the plain numbers of a column of ER or PR are.

    Raises:
        Meanings: they may be two things.
    """
    bare = [text for text in texts if _BARE.fullmatch(text)]
    values = sorted({float(value) for text in bare for value in re.findall(_N, text)})
    if not values or (set(values) <= {0.0, 1.0} and not any(re.search("[<>-]", text) for text in bare)):
        return Numbers()
    others = [text for text in texts if text not in bare]
    allred = any(_ALLRED.search(text) for text in others)
    h_score = any(_H.search(text) for text in others)
    percent = any(_SHARE.search(text) for text in others)
    shown = ", ".join(f"{value:g}" for value in values[:SHOWN]) + ", ..." * (len(values) > SHOWN)
    if any(0 < value < 1 for value in values):
        raise Meanings(f"the plain numbers {shown} may be shares or percentages", "write '90 %'")
    if values[-1] > 100 or h_score:
        raise Meanings(f"the plain numbers {shown} may be H-scores", "write 'H-score 120' or '90 %'")
    small = any(2 <= value <= 8 for value in values)
    if small and (allred or not percent) and (values[-1] <= 8 or allred):
        if allred and not percent and values[-1] <= 8:
            return Numbers("Allred scores")
        raise Meanings(
            f"the plain numbers {shown} may be Allred scores or percentages", "write 'Allred 5' or '5 %'"
        )
    return Numbers("percentages")


def _hormone(text: str, numbers: Numbers) -> Status:
    """ER or PR."""
    if _DATE.fullmatch(text):
        return _unreadable("a date, which a spreadsheet may have made of 5/8 or 1-10")
    if _BARE.fullmatch(text):
        return _bare(text, numbers)
    pieces: list[Status] = []

    def take(pattern: re.Pattern[str], read: Callable[[Sequence[str]], Status]) -> None:
        nonlocal text
        for match in pattern.finditer(text):
            pieces.append(read([group or "" for group in match.groups()]))
        text = pattern.sub(" ", text)

    take(_H, lambda g: _score("H-score", H_SCORE, 300, g[0] or g[2], float(g[1] or g[3])))
    take(_ALLRED, lambda g: _score("Allred", ALLRED, 8, g[0] or g[2], float(g[1] or g[3])))
    take(_RANGE, lambda g: _share(float(g[0]), float(g[1]), False, f"{g[0]} to {g[1]} %"))
    take(
        _SHARE,
        lambda g: _share(*_interval(g[0], float(g[1])), f"{g[0]}{g[1]} %", exclusive=g[0] == ">"),
    )
    take(_NOT_DONE, lambda g: _UNKNOWN)
    words = _words(text)
    if pieces:  # beside a number, 1+ to 3+ are how strong the staining is
        words = [word for word in words if word not in ("1+", "2+", "3+")]
    return _together(pieces, words, _HORMONE_WORDS)


def _bare(text: str, numbers: Numbers) -> Status:
    """A cell of ER or PR that is a plain number."""
    match = re.fullmatch(_BOUND + _N, text)
    if numbers.kind == "signs":
        status = Status(
            float(text), 0.0 if text == "0" else MISSING, "positive" if text == "1" else "negative"
        )
    elif numbers.kind == "Allred scores" and match:
        status = _score("Allred", ALLRED, 8, match[1], float(match[2]))
    elif numbers.kind == "Allred scores":
        status = _unreadable(f"{text} is no score")
    elif text == "1":
        status = Status(1.0, MISSING, "positive, be it a sign or 1 %")
    elif match:
        ends = _interval(match[1], float(match[2]))
        status = _share(*ends, f"{match[1] or ''}{match[2]} %", exclusive=match[1] == ">")
    else:
        first, last = re.findall(_N, text)
        status = _share(float(first), float(last), False, f"{first} to {last} %")
    return status._replace(why=f"{status.why}{AS}{numbers.kind}")


def _words(text: str) -> list[str]:
    return [word for word in _BREAK.split(text) if word]


def _together(pieces: list[Status], words: Sequence[str], meanings: Mapping[str, Status]) -> Status:
    """What scores and words of one cell say together.

    Args:
        pieces: what its scores say.
        words: all else in it.
        meanings: of positive, negative and further words.
    """
    strange = [word for word in words if word not in _KINDS and word not in meanings]
    kinds = dict.fromkeys(_KINDS.get(word, word) for word in words)
    pieces = [*pieces, *(meanings[kind] for kind in kinds if kind in meanings)]
    if strange:
        return _unreadable(f"'{' '.join(strange)}' is not known")
    if bad := [piece for piece in pieces if not piece.readable]:
        return bad[0]
    if not pieces:
        return (
            _unreadable("says neither positive nor negative") if words else Status(MISSING, MISSING, "empty")
        )
    why = ", ".join(dict.fromkeys(piece.why for piece in pieces))
    lows = {piece.low for piece in pieces if not math.isnan(piece.low)}
    if len({str(piece.label) for piece in pieces}) > 1 or len(lows) > 1:
        return _unreadable(f"contradicts itself: {why}")
    graded = any(piece.graded for piece in pieces)
    return Status(pieces[0].label, lows.pop() if lows else MISSING, why, graded=graded)


def _her2_numbers(texts: Sequence[str]) -> Numbers:
    """What plain numbers and signs of a column of HER2 are.

    Raises:
        Meanings: they may be two things.
    """
    heads = {text.partition(";")[0] for text in texts}  # without what a column of ISH adds
    words = [set(_words(text)) for text in texts]
    scores = any(w & {"0+", "1+", "2+", "3+", "2", "3", "ihc"} for w in words)
    pluses = any(w & {"++", "+++"} for w in words)
    spelt = any(_is_sign(text) and text not in "+-" for text in texts)
    if pluses and "+" in heads and (spelt or scores):
        raise Meanings("+ may be positive, or a score of 1+ beside ++ and +++", "write 'positive' or '1+'")
    if "1" in heads and scores and not {"2", "3"} & heads and (spelt or {"+", "-"} & heads):
        raise Meanings("1 may be positive, or a score of 1+", "write 'positive' or '1+'")
    return Numbers("IHC scores" if scores or (pluses and "1" in heads) else "signs", pluses)


def _her2(text: str, numbers: Numbers) -> Status:
    """HER2 of IHC, ISH and words together."""
    head, mark, beside = text.partition(";")
    decided = f"{AS}{numbers.kind}" if head in ("0", "1", "2", "3") else ""
    if decided and numbers.kind == "signs":
        head = {"0": "negative", "1": "positive"}.get(head, head)
    if numbers.pluses and head in ("+", "-"):
        head, decided = {"+": "1+", "-": "0"}[head], PLUSES
    text = head + mark + beside
    text = re.sub(r"\b([0-3])\+?\s*-\s*([0-3])\+?(?!\w)", r"\1+ \2+", text)
    ish: set[float] = set()
    for pattern in _ISH:
        for match in pattern.finditer(text):
            unknown = _NOT_AMPLIFIED.match(match[1]) is None and _OPEN_RESULT.match(match[1])
            ish.add(MISSING if unknown else float(_NOT_AMPLIFIED.match(match[1]) is None))
        text = pattern.sub(" ", text)
    words = _words(_NOT_DONE.sub(" unknown ", re.sub(r"\bultra[- ]low\b", "ultralow", text)))
    scores = {_GRADES[word] for word in words if word in _GRADES}
    words = [word for word in words if word not in _GRADES]
    if scores == {2}:
        words = [word for word in words if word != "equivocal"]
    status = _ihc_ish(scores, {value for value in ish if not math.isnan(value)}, bool(ish))
    together = _together([status] if status else [], words, _HER2_WORDS)
    return together._replace(why=together.why + decided)


def _ihc_ish(scores: set[int], known: set[float], examined: bool) -> Status | None:
    """HER2 of an IHC score and an ISH; None where there is neither."""
    shown = " or ".join(f"{score}+" if score else "0" for score in sorted(scores))
    if len(known) > 1:
        return _unreadable("contradicts itself: ISH amplified and not amplified")
    if len(scores) > 1 and scores != {0, 1}:
        return _unreadable(f"IHC {shown} is not one score")
    if scores == {3}:
        return Status(1.0, 1.0, "IHC 3+: positive", graded=True)
    if known == {1.0}:
        return Status(
            1.0, 1.0, f"{f'IHC {shown}, ' * bool(scores)}ISH amplified: positive", graded=bool(scores)
        )
    if scores == {2}:
        if known:
            return Status(0.0, 1.0, "IHC 2+, ISH not amplified: negative, HER2-low", graded=True)
        return Status(MISSING, 1.0, f"IHC {OPEN}", graded=True)
    if scores:
        low = MISSING if len(scores) > 1 else float(scores == {1})
        return Status(0.0, low, f"IHC {shown}: negative" + ", HER2-low" * (low == 1), graded=low == low)
    if known:
        return Status(0.0, MISSING, "ISH not amplified: negative")
    return Status(MISSING, MISSING, "ISH not known") if examined else None
