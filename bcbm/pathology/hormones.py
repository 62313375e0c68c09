"""ER and PR of words, percentages and scores, read after ASCO and CAP.

They are positive from 1 % of stained nuclei on, low-positive up to 10 % (Allison et al., J Clin Oncol
38:1346, 2020), or from an Allred score of 3 on (Allred et al., Mod Pathol 11:155, 1998), or from an
immunoreactive score of 3 on (IRS; Remmele and Stegner, Pathologe 8:138, 1987).
"""

import math
import re
from collections.abc import Callable, Sequence

from bcbm.pathology.statuses import (
    AS,
    BOUND,
    MISSING,
    NOT_DONE,
    NUMBER,
    UNKNOWN,
    Meanings,
    Numbers,
    Status,
    interval,
    together,
    unreadable,
    words_of,
)

PERCENT, LOW = 1.0, 10.0  # of stained nuclei: positive from, low-positive up to
ALLRED, H_SCORE, IRS = 3.0, 10.0, 3.0  # positive from; the last two are read in two ways below, but for 0
# Of Remmele and Stegner: how many cells, 0 to 4, times how strongly they are stained, 0 to 3.
IRS_SCORES = {cells * staining for cells in range(5) for staining in range(4)}
CODES = {9.0, 99.0}  # for what is not known, beside 0 and 1,
FURTHER = {66.0, 77.0, 88.0, 98.0}  # and, beside them, for why it is not
SHOWN = 8  # numbers of a column that a message lists
_H = re.compile(
    rf"\bh[- ]?score\s*[:=]?\s*{BOUND}{NUMBER}(?:\s*/\s*300)?|"
    rf"{BOUND}{NUMBER}(?:\s*/\s*300|\s*\(?h[- ]?score\)?)"
)
_ALLRED = re.compile(
    rf"\ballred(?: score)?\s*[:=]?\s*{BOUND}{NUMBER}(?:\s*/\s*8)?(?!\d)|"
    rf"{BOUND}{NUMBER}(?:\s*/\s*8(?!\d)|\s*\(?allred\)?)"
)
_IRS = re.compile(rf"\b(?:irs|remmele)(?: score)?\s*[:=]?\s*{BOUND}{NUMBER}(?:\s*/\s*12)?(?!\d)")
_RANGE = re.compile(rf"{NUMBER}\s*%?\s*(?:-|to)\s*{NUMBER}\s*(?:%|per ?cent|prozent)")
_SHARE = re.compile(rf"{BOUND}{NUMBER}\s*(?:%|per ?cent|prozent)")
_BARE = re.compile(rf"{BOUND}{NUMBER}|{NUMBER}\s*(?:-|to)\s*{NUMBER}")
_HORMONE_WORDS = {
    "unknown": UNKNOWN,
    "positive": Status(1.0, MISSING, "positive"),
    "negative": Status(0.0, 0.0, "negative"),
    "low": Status(1.0, 1.0, "low-positive", graded=True),
}
_DATE = re.compile(r"\d{4}-\d\d-\d\d.*")


def hormone_numbers(texts: Sequence[str]) -> Numbers:
    """What the plain numbers of a column of ER or PR are.

    Raises:
        Meanings: they may be two things.
    """
    bare = [text for text in texts if _BARE.fullmatch(text)]
    values = sorted({float(value) for text in bare for value in re.findall(NUMBER, text)})
    if not values or (set(values) <= {0.0, 1.0} and not any(re.search("[<>-]", text) for text in bare)):
        return Numbers()
    others = [text for text in texts if text not in bare]
    shown = ", ".join(f"{value:g}" for value in values[:SHOWN]) + ", ..." * (len(values) > SHOWN)
    allred = any(_ALLRED.search(text) for text in others)
    h_score = any(_H.search(text) for text in others)
    percent = any(_SHARE.search(text) for text in others)
    exact = not any(re.search("[<>-]", text) for text in bare)
    coded = {0.0, 1.0} & set(values) and set(values) <= {0.0, 1.0} | CODES
    if exact and not percent and (coded or (any(others) and set(values) <= CODES | FURTHER)):
        codes = f"the plain numbers {shown} may be signs with a code for what is not known, or percentages"
        raise Meanings(codes, "write 'unknown' or '9 %'")
    immunoreactive = not percent and values[-1] > 8 and IRS_SCORES.issuperset(values)
    if any(_IRS.search(text) for text in others) or immunoreactive:
        raise Meanings(f"the plain numbers {shown} may be IRS or percentages", "write 'IRS 8' or '8 %'")
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


def read_hormone(text: str, numbers: Numbers) -> Status:
    """ER or PR."""
    if _DATE.fullmatch(text):
        return unreadable("a date, which a spreadsheet may have made of 5/8 or 1-10")
    if _BARE.fullmatch(text):
        return _bare(text, numbers)
    pieces: list[Status] = []

    def take(pattern: re.Pattern[str], read: Callable[[Sequence[str]], Status]) -> None:
        nonlocal text
        for match in pattern.finditer(text):
            pieces.append(read([group or "" for group in match.groups()]))
        text = pattern.sub(" ", text)

    take(_H, lambda g: _score("H-score", H_SCORE, 300, g[0] or g[2], float(g[1] or g[3])))
    take(_IRS, lambda g: _score("IRS", IRS, 12, g[0], float(g[1])))
    take(_ALLRED, lambda g: _score("Allred", ALLRED, 8, g[0] or g[2], float(g[1] or g[3])))
    take(_RANGE, lambda g: _share(float(g[0]), float(g[1]), False, f"{g[0]} to {g[1]} %"))
    take(
        _SHARE,
        lambda g: _share(*interval(g[0], float(g[1])), f"{g[0]}{g[1]} %", exclusive=g[0] == ">"),
    )
    take(NOT_DONE, lambda g: UNKNOWN)
    words = words_of(text)
    if pieces:  # beside a number, 1+ to 3+ are how strong the staining is
        words = [word for word in words if word not in ("1+", "2+", "3+")]
    return together(pieces, words, _HORMONE_WORDS)


def _bare(text: str, numbers: Numbers) -> Status:
    """A cell of ER or PR that is a plain number."""
    match = re.fullmatch(BOUND + NUMBER, text)
    if re.match(r"0\d", text):
        return unreadable(f"'{text}' begins with a zero, as where the mark of a footnote follows it")
    if numbers.kind == "signs":
        status = Status(
            float(text), 0.0 if text == "0" else MISSING, "positive" if text == "1" else "negative"
        )
    elif numbers.kind == "Allred scores" and match:
        status = _score("Allred", ALLRED, 8, match[1], float(match[2]))
    elif numbers.kind == "Allred scores":
        status = unreadable(f"{text} is no score")
    elif text == "1":
        status = Status(1.0, MISSING, "positive, be it a sign or 1 %")
    elif match:
        ends = interval(match[1], float(match[2]))
        status = _share(*ends, f"{match[1] or ''}{match[2]} %", exclusive=match[1] == ">")
    else:
        first, last = re.findall(NUMBER, text)
        status = _share(float(first), float(last), False, f"{first} to {last} %")
    return status._replace(why=f"{status.why}{AS}{numbers.kind}")


def _share(low: float, high: float, open_end: bool, shown: str, exclusive: bool = False) -> Status:
    """ER or PR of a share of stained nuclei between two ends."""
    if low > high or low > 100 or (high > 100 and high != math.inf):
        return unreadable(f"{shown} is no percentage")
    if high < PERCENT or (high == PERCENT and open_end):
        return Status(0.0, 0.0, f"{shown}: negative below 1 %", graded=True)
    if low < PERCENT:
        return unreadable(f"{shown} lies on both sides of 1 %")
    if high <= LOW:
        return Status(1.0, 1.0, f"{shown}: low-positive, from 1 to 10 %", graded=True)
    above = low > LOW or (low == LOW and exclusive)
    return Status(1.0, 0.0 if above else MISSING, f"{shown}: positive from 1 % on", graded=above)


def _score(kind: str, least: float, most: float, bound: str | None, value: float) -> Status:
    """ER or PR of a score: positive from `least` on, and 0 (of Allred's: up to 2) negative."""
    shown = f"{kind} {bound or ''}{value:g}"
    low, high, open_end = interval(bound, value)
    if value > most or (kind == "Allred" and (value == 1 or not value.is_integer()) and not bound):
        return unreadable(f"{shown} does not exist")
    if low >= least:
        return Status(1.0, MISSING, f"{shown}: positive from {least:g} on")
    negative = least - 1 if kind == "Allred" else 0.0
    if high <= negative or (open_end and high <= negative + 1):
        return Status(0.0, 0.0, f"{shown}: negative")
    if kind != "Allred":
        return unreadable(f"{shown}: some laboratories call 1 to {least - 1:g} positive, others negative")
    return unreadable(f"{shown} lies on both sides of {least:g}")
