"""HER2 of IHC scores, in situ hybridisation and words, read after ASCO and CAP.

It is positive with IHC 3+ or amplification, and 2+ alone says nothing; 1+, and 2+ without amplification, is
HER2-low (Wolff et al., Arch Pathol Lab Med 147:993, 2023).
"""

import re
from collections.abc import Sequence

from bcbm.pathology.hybridisation import Hybridisation, read_hybridisation
from bcbm.pathology.statuses import (
    AS,
    GRADES,
    MISSING,
    NOT_DONE,
    UNKNOWN,
    Meanings,
    Numbers,
    Status,
    is_sign,
    together,
    unreadable,
    words_of,
)

OPEN = "2+ without ISH"  # why a HER2 is missing although it was examined
PLUSES = ", as + of this column is a score"
_HER2_WORDS = {
    "unknown": UNKNOWN,
    "positive": Status(1.0, 1.0, "positive"),
    "negative": Status(0.0, MISSING, "negative"),
    "low": Status(0.0, 1.0, "HER2-low is negative", graded=True),
    "ultralow": Status(0.0, 0.0, "HER2-ultralow is negative", graded=True),
}


def her2_numbers(texts: Sequence[str]) -> Numbers:
    """What plain numbers and signs of a column of HER2 are.

    Raises:
        Meanings: they may be two things.
    """
    heads = {text.partition(";")[0] for text in texts}  # without what a column of ISH adds
    words = [set(words_of(text)) for text in texts]
    scores = any(w & {"0+", "1+", "2+", "3+", "2", "3", "ihc"} for w in words)
    pluses = any(w & {"++", "+++"} for w in words)
    spelt = any(is_sign(text) and text not in "+-" for text in texts)
    if pluses and "+" in heads and (spelt or scores):
        raise Meanings("+ may be positive, or a score of 1+ beside ++ and +++", "write 'positive' or '1+'")
    if "1" in heads and scores and not {"2", "3"} & heads and (spelt or {"+", "-"} & heads):
        raise Meanings("1 may be positive, or a score of 1+", "write 'positive' or '1+'")
    bare, spelt_scores = heads & {"0", "1", "2", "3"}, {"0+", "1+", "2+", "3+", "ihc", "++", "+++"}
    if {"1", "2"} <= bare and "3" not in bare and not any(w & spelt_scores for w in words):
        shown = ", ".join(sorted(bare))
        codes = f"the plain numbers {shown} may be IHC scores, or codes of positive and negative"
        raise Meanings(codes, "write '1+' or 'positive'")
    return Numbers("IHC scores" if scores or (pluses and "1" in heads) else "signs", pluses)


def read_her2(text: str, numbers: Numbers) -> Status:
    """HER2 of IHC, ISH and words together."""
    head, mark, beside = text.partition(";")
    decided = f"{AS}{numbers.kind}" if head in ("0", "1", "2", "3") else ""
    if decided and numbers.kind == "signs":
        head = {"0": "negative", "1": "positive"}.get(head, head)
    if numbers.pluses and head in ("+", "-"):
        head, decided = {"+": "1+", "-": "0"}[head], PLUSES
    text = head + mark + beside
    text = re.sub(r"\b([0-3])\+?\s*-\s*([0-3])\+?(?!\w)", r"\1+ \2+", text)
    ish, text = read_hybridisation(text)
    words = words_of(NOT_DONE.sub(" unknown ", re.sub(r"\bultra[- ]low\b", "ultralow", text)))
    scores = {GRADES[word] for word in words if word in GRADES}
    words = [word for word in words if word not in GRADES]
    if scores == {2}:
        words = [word for word in words if word != "equivocal"]
    status = _ihc_ish(scores, ish)
    status = together([status] if status else [], words, _HER2_WORDS)
    return status._replace(why=status.why + decided)


def _ihc_ish(scores: set[int], ish: Hybridisation) -> Status | None:
    """HER2 of an IHC score and an ISH; None where there is neither."""
    shown = " or ".join(f"{score}+" if score else "0" for score in sorted(scores))
    if len(scores) > 1 and scores != {0, 1}:
        return unreadable(f"IHC {shown} is not one score")
    amplified, why = ish.outcome(scores)
    if scores == {3} and len(ish.results) < 2:
        return Status(1.0, 1.0, "IHC 3+: positive", graded=True)
    if why and amplified is None:
        return unreadable(why)
    if amplified:
        return Status(1.0, 1.0, f"{f'IHC {shown}, ' * bool(scores)}{why}: positive", graded=bool(scores))
    if scores == {2}:
        if why:
            return Status(0.0, 1.0, f"IHC 2+, {why}: negative, HER2-low", graded=True)
        return Status(MISSING, 1.0, f"IHC {OPEN}", graded=True)
    if scores:
        low = MISSING if len(scores) > 1 else float(scores == {1})
        return Status(0.0, low, f"IHC {shown}: negative" + ", HER2-low" * (low == 1), graded=low == low)
    if why:
        return Status(0.0, MISSING, f"{why}: negative")
    return Status(MISSING, MISSING, "ISH not known") if ish.examined else None
