"""In situ hybridisation of HER2: results in words, ratios and copy numbers, and the groups that these make.

With two probes, a ratio of HER2 to CEP17 from 2.0 on with 4.0 copies of HER2 a cell is positive (group 1) and
less of both negative (group 5); groups 2, 3 and 4 lie between and are decided together with IHC. With one
probe, 6.0 copies are positive and less than 4.0 negative (Wolff et al., J Clin Oncol 36:2105, 2018, and Arch
Pathol Lab Med 147:993, 2023). A ratio without copies counts by itself, as in the guideline of 2013.
"""

import re
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from bcbm.pathology.statuses import BOUND, NAMES, NUMBER, heading_letters, is_sign, plain

RATIO, FEW, MANY = 2.0, 4.0, 6.0  # HER2 to CEP17; copies of HER2 a cell
LARGEST = 100.0  # ratio or number of copies that is believed
USUAL = 10.0  # which half of the ratios, or numbers of copies, of a column do not reach
_METHOD = r"\b(?:[fcsd]|dd)?ish\b"
_AMPLIFIED = r"(?:(?:not|non|no|un|nicht|keine)[- ]?)?amp(?:lif\w*)?\b"
_OPEN = (
    r"equivocal\b|pending\b|unknown\b|ausstehend\b|unbekannt\b|n/?a\b|"
    r"not (?:done|known|available|performed|tested)\b|nicht (?:durchgeführt|bekannt|bestimmt|untersucht)\b"
)
_RESULT = rf"(?:{_AMPLIFIED}|pos(?:itive?)?\b|neg(?:ative?)?\b|{_OPEN})"
_RESULTS = (
    re.compile(rf"{_METHOD}\s*(?:[:=]\s*|-(?=[a-z]))?\(?({_RESULT}|\+|-)\)?"),
    re.compile(rf"({_RESULT})\s*(?:by|on|in)?\s*\(?{_METHOD}\)?"),
    re.compile(rf"\b({_AMPLIFIED})"),
)
_NOT_AMPLIFIED = re.compile(r"(?:not|non|no|un|nicht|keine)[- ]?amp|neg|-")
_OPEN_RESULT = re.compile(_OPEN)
_TRUTHS = {"1": "+", "yes": "+", "true": "+", "ja": "+", "0": "-", "no": "-", "false": "-", "nein": "-"}
_GENE, _CENTROMERE = r"(?:her-?2(?:/neu)?|erbb2)", r"(?:cep|cen|chr|chromosome)\s*-?17"
_PAIR = rf"{_GENE}\s*[/:]\s*{_CENTROMERE}"
_CELL = r"(?:\s*(?:/|per|pro)\s*(?:cell|nucleus|zelle|zellkern))?"
_COPY = r"(?:cop(?:y|ies)(?:[- ]?numbers?)?|signals?|(?:gen)?kopie\w*)"
_KINDS = (
    rf"(?:(?P<ratio>{_PAIR}(?:[- ]?(?:ratio|quotient))?|(?:{_GENE} )?(?:ratio|quotient)(?:\s+{_PAIR})?)|"
    rf"(?P<centromere>{_CENTROMERE}(?:[- ]?{_COPY})?{_CELL})|"  # which the ratio holds already
    rf"(?P<copies>(?:{_GENE}[- ]?)?(?:gene[- ]?)?{_COPY}{_CELL}))"
)
_LIMIT, _DIGITS = r"(?P<bound><=|>=|<|>)?\s*", r"(?P<number>\d+(?:\.\d+)?)"
_END = r"(?![\w+%/]|\.\d)"
_NAMED = re.compile(rf"\b{_KINDS}\s*(?:of|is|von)?\s*[:=(]?\s*{_LIMIT}{_DIGITS}{_END}\)?")
_BEHIND = re.compile(rf"(?<![\w.]){_LIMIT}{_DIGITS}\s*\(?{_KINDS}\b\)?")
_SIGN = r"(?![01](?![.\d]))"  # a plain 0 or 1 may be one
_ALONE = re.compile(rf"{_METHOD}\s*[:=]?\s*\(?{_LIMIT}{_SIGN}{_DIGITS}{_END}\)?")
_PLAIN_NUMBER = re.compile(BOUND + NUMBER)
_MISSING = {*map(str, [7, 8, 9, 66, 77, 88, 98, 99])}
_ABOUT = r"(?:her2(?:neu)?)?(?:[fcs]|dd)?"  # how headings begin, letters and digits alone
_COMPANIONS = {
    "result": rf"{_ABOUT}ish(?:result|status|ergebnis)?",
    "ratio": rf"{_ABOUT}(?:ish)?(?:her2)?(?:ce[pn]17)?(?:ratio|quotient)",
    "copies": rf"{_ABOUT}(?:ish)?(?:her2)?(?:gene?)?(?:copies|copynumber|kopien|kopienzahl)"
    r"(?:(?:per|pro)?(?:cell|zelle))?",
}


class Measure(NamedTuple):
    """A ratio or a number of copies, `bound` (<, <=, >, >= or none) before it."""

    bound: str
    value: float

    def reaches(self, least: float) -> bool | None:
        """Whether it is at least so much; None where its bound leaves that open."""
        if self.bound in (">", ">="):
            return True if self.value >= least else None
        if self.bound in ("<", "<="):
            below = self.value <= least if self.bound == "<" else self.value < least
            return False if below else None
        return self.value >= least

    def __str__(self) -> str:
        return f"{self.bound}{self.value:g}"


class Hybridisation(NamedTuple):
    """What a cell says of it.

    Attributes:
        results: of its words: True amplified, False not amplified.
        measures: by kind: ratio, copies, or either where the cell does not say which.
        examined: whether it speaks of one at all.
    """

    results: frozenset[bool]
    measures: dict[str, frozenset[Measure]]
    examined: bool

    def outcome(self, scores: set[int]) -> tuple[bool | None, str]:
        """Whether HER2 is amplified by it, together with IHC scores, and why.

        None where that is open, and then why it cannot be read; "" where nothing is said.
        """
        if len(self.results) > 1:
            return None, "contradicts itself: ISH amplified and not amplified"
        for kind, measures in self.measures.items():
            if len(measures) > 1:
                return None, f"contradicts itself: ISH {kind} {' and '.join(sorted(map(str, measures)))}"
        result = next(iter(self.results), None)
        word = "" if result is None else f"ISH {'' if result else 'not '}amplified"
        if not self.measures:
            return result, word
        amplified, why = _judged({kind: next(iter(part)) for kind, part in self.measures.items()}, scores)
        if result is None or result == amplified:
            return amplified, why
        return (result, word) if amplified is None else (None, f"contradicts itself: {word}, {why}")


def companion_kind(heading: str) -> str:
    """What a column holds of in situ hybridisation, by its heading: result, ratio or copies; else "".

    Example:
        >>> companion_kind("HER2 FISH"), companion_kind("HER2/CEP17 ratio"), companion_kind("HER2")
        ('result', 'ratio', '')
    """
    letters = heading_letters(heading)
    named = re.search(r"her2|ish|ce[pn]17", letters)
    return next((kind for kind, form in _COMPANIONS.items() if named and re.fullmatch(form, letters)), "")


def companion_texts(heading: str, cells: Sequence[str]) -> list[str]:
    """The cells of such a column as a HER2 cell would say them; "" for an empty one.

    Example:
        >>> companion_texts("HER2 FISH", ["yes", ""]), companion_texts("FISH ratio", ["2.3"])
        (['ISH +', ''], ['ISH ratio 2.3'])
    """
    kind = companion_kind(heading)
    numbers = {plain(cell) for cell in cells if _PLAIN_NUMBER.fullmatch(plain(cell))}
    signs = kind == "result" and numbers <= {"0", "1"}
    # Of amplified and not, whichever is which, beside those of statistics programs for what is missing.
    known = numbers - _MISSING
    codes = kind == "result" and "1" in known and known <= {"0", "1", "2", "3"} and not signs
    codes = codes and not ("3" in known and known != numbers)
    pointless = kind != "result" and len(numbers) > 2 and all(map(str.isdecimal, numbers))
    pointless = pointless and median(float(text) for text in map(plain, cells) if text.isdecimal()) >= USUAL

    def text(cell: str) -> str:
        words = plain(cell)
        if not words or re.search(_METHOD, words):
            return cell
        if _PLAIN_NUMBER.fullmatch(words) and not signs:
            number = f"{words}.0" if words in ("0", "1") else words  # a number, and no sign
            if codes or pointless:
                return f"ISH {'code' if codes else f'{kind} without a decimal point'} {words}"
            return f"ISH {number}" if kind == "result" else f"ISH {kind} {number}"
        return f"ISH {_TRUTHS.get(words, cell)}"

    return [text(cell) for cell in cells]


def with_companions(cell: str, companions: Sequence[str]) -> str:
    """A HER2 cell with what other columns say of its ISH, which a plain + or - does without.

    Args:
        cell: of HER2.
        companions: of its row, from `companion_texts`.

    Example:
        >>> with_companions("2+", ["ISH not amplified"]), with_companions("+", ["ISH not amplified"])
        ('2+; ISH not amplified', '+')
    """
    text = NAMES["HER2"].sub("", plain(cell))
    if re.search(_METHOD, text) or is_sign(text):
        return cell
    return "; ".join(filter(None, [cell, *dict.fromkeys(companions)]))


def read_hybridisation(text: str) -> tuple[Hybridisation, str]:
    """What a plain text says of in situ hybridisation, and what else stands in it."""
    measures: dict[str, set[Measure]] = {}

    def take(match: re.Match[str]) -> str:
        groups = match.groupdict()
        kind = next((name for name in ("ratio", "copies", "centromere") if groups.get(name)), "either")
        if kind != "centromere":
            measures.setdefault(kind, set()).add(Measure(groups["bound"] or "", float(groups["number"])))
        return " "

    parts = re.split(r"([;,])", text)
    for place, part in enumerate(parts):
        named, behind = _NAMED.search(part), _BEHIND.search(part)
        first = _BEHIND if behind and (not named or behind.start() < named.start()) else _NAMED
        parts[place] = first.sub(take, part)
    text = "".join(parts)
    if not measures:
        text = _ALONE.sub(take, text)
    results: set[bool] = set()
    examined = bool(measures)
    for pattern in _RESULTS:
        for match in pattern.finditer(text):
            negative = bool(_NOT_AMPLIFIED.match(match[1]))
            examined = True
            if negative or not _OPEN_RESULT.match(match[1]):
                results.add(not negative)
        text = pattern.sub(" ", text)
    if measures:
        text = re.sub(_METHOD, " ", text)
    return Hybridisation(frozenset(results), {k: frozenset(v) for k, v in measures.items()}, examined), text


def _judged(measures: dict[str, Measure], scores: set[int]) -> tuple[bool | None, str]:
    """What numbers say together with IHC scores, and why; None where that is open."""
    for kind, measure in measures.items():
        if not 0 < measure.value <= LARGEST:
            return None, f"ISH {f'{kind} ' * (kind != 'either')}{measure} is beyond belief"
    if number := measures.get("either"):
        results = {number.reaches(RATIO), _by_copies(number)}
        if results in ({True}, {False}):
            return results.pop(), f"ISH {number}, be it a ratio or copies"
        remedy = f"write 'ratio {number}' or '{number} copies', or head the column HER2 ratio"
        return None, f"ISH {number} may be a ratio or copies a cell: {remedy}"
    ratio, copies = measures.get("ratio"), measures.get("copies")
    if ratio is None:
        result = _by_copies(measures["copies"])
        open_end = ", which are equivocal without a ratio" * (result is None)
        return result, f"ISH {copies} copies{open_end}"
    if copies is None:
        result = ratio.reaches(RATIO)
        side = f", on both sides of {RATIO:.1f}" if result is None else ", copies not stated"
        return result, f"ISH ratio {ratio}{side}"
    group = _group(ratio, copies)
    shown = f"ISH ratio {ratio}, {copies} copies"
    if group is None:
        return None, f"{shown}: of no group for sure"
    shown += f" (group {group})"
    if group in (1, 5):
        return group == 1, shown
    if not scores:
        return None, f"{shown} is decided together with IHC, which is not known"
    return group == 3 and scores == {2}, shown


def _by_copies(copies: Measure) -> bool | None:
    """Of one probe; 4.0 to 5.9 copies are equivocal."""
    if copies.reaches(MANY):
        return True
    return False if copies.reaches(FEW) is False else None


def _group(ratio: Measure, copies: Measure) -> int | None:
    high, more, many = ratio.reaches(RATIO), copies.reaches(FEW), copies.reaches(MANY)
    if high is None or more is None:
        return None
    if high:
        return 1 if more else 2
    if not more:
        return 5
    return None if many is None else 3 if many else 4
