"""What can be predicted: the receptors, and the targets that `cohort.targets` defines."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import ge, gt, le, lt
from typing import Any

from bcbm.cohort.labels import PRIMARY as PRIMARY
from bcbm.cohort.labels import read_labels as read_labels
from bcbm.cohort.spelling import EMPTY, cell_text, folded, letters
from bcbm.config.checks import nearest
from bcbm.errors import ConfigError
from bcbm.pathology.statuses import KINDS, is_unknown

COMPARISONS = {">=": ge, "<=": le, ">": gt, "<": lt}
WORDS = ("column", "positive", "negative", "levels")
CODES, FEW_DIGITS = (999.0, 9999.0, 99999.0), (9.0, 99.0)  # for missing; the latter where numbers are codes
MISSPELT = 0.85  # of the letters of two words, from which on one may stand for the other
# Names with a meaning of their own: columns of the lesion table, and entries beside targets in results.
TAKEN = {
    *("lesion_id", "study_id", "patient_id", "name", "image_path", "mask_path", "in_workbook", "category"),
    *("hemisphere", "region", "name_hemisphere", "name_region", "name_confidence", "mni_x", "mni_y", "mni_z"),
    *("mni_overlap", "position_source", "position_confidence", "position_conflict", "volume", "age", "year"),
    *(
        "pixel_spacing",
        "manufacturer",
        "field_strength",
        "sex",
        "site",
        "tr",
        "te",
        "content",
        "excluded",
        "reason",
        "voxels",
    ),
    *("outside", "grey_levels", "duplicate_of", "mask_value", "mask_part", "part_of", "drawn", "doubts"),
    "brain_share",
    *("hr", "subtype", "mean", "random", "chance", "receptors", "derived", "split", "leaky", "reached"),
    *("er_low", "pr_low"),
}
_YES = {word for word, kind in KINDS.items() if kind == "positive" and (word.isalpha() or word == "+")}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_CELL = re.compile(rf"({_NUMBER})\s*%?", re.ASCII)
_PERCENTAGES = re.compile(r"%|percent|prozent|ki-?\s?67|mib-?1", re.IGNORECASE)  # in a heading
_COMPARISON = re.compile(rf"(>=|<=|>|<)\s*({_NUMBER})\s*%?", re.ASCII)


@dataclass(frozen=True)
class Target:
    """A yes or no of a patient, and how a cell of the clinical table says it.

    A rule is a list of words and comparisons such as `>= 20`, one of which a cell must meet. Words count
    without their case; numbers may carry a per cent sign, which changes nothing about them. A cell that says
    that nothing is known, such as `n/a`, is missing unless a rule names it.

    Attributes:
        column: of the clinical table.
        positive: the rule of a positive; none in `GRADED`.
        negative: the rule of a negative; empty: whatever is not positive, of comparisons any other number, of
            words whatever is not nearly one of them.
        color: in figures; empty: the next of `COLORS`.
        corrections: what a person says of cells (`cohort.readings`) before any rule: 1, 0 or NaN by column of
            the lesion table, by cell.
        required: whether a table without its column is refused; of a receptor it never is.
    """

    column: str
    positive: tuple[str, ...]
    negative: tuple[str, ...] = ()
    color: str = ""
    corrections: Mapping[str, Mapping[str, float]] = field(default_factory=dict, repr=False)
    required: bool = field(default=True, repr=False)

    def label(self, cell: object) -> float:
        """1, 0, or NaN for a cell that is empty or says that nothing is known.

        Raises:
            ValueError: the cell meets neither rule, may be a word of the positive ones, or is a number that
                stands for a missing one, such as -99.

        Example:
            >>> Target("Ki-67", (">= 20",)).label("35 %")
            1.0
        """
        text = cell_text(cell)
        if not text:
            return math.nan
        if self._stands_for_missing(text):
            raise ValueError(text)
        if any(_meets(text, rule) for rule in self.positive):
            return 1.0
        if any(_meets(text, rule) for rule in self.negative):
            return 0.0
        if is_unknown(text):
            return math.nan
        if not self.negative:
            words = not any(map(_COMPARISON.fullmatch, self.positive))
            number = _number(text) is not None
            if (words or number) and not any(_nearly(text, rule) for rule in self.positive):
                return 0.0
        raise ValueError(text)

    def _stands_for_missing(self, text: str) -> bool:
        """Whether a cell is a number that none of these can be, and no rule names."""
        value, named = _number(text), [_number(rule) for rule in (*self.positive, *self.negative)]
        if value is None or value in named:
            return False
        least = min((number for number in (*self.bounds, *named) if number is not None), default=0.0)
        if value < min(least, 0.0) or ((text.endswith("%") or self.is_percentage) and value > 100):
            return True
        return value in CODES or (not self.bounds and value in FEW_DIGITS)

    @property
    def is_percentage(self) -> bool:
        """Whether its column is headed so that its numbers go up to 100."""
        return bool(_PERCENTAGES.search(self.column))

    @property
    def bounds(self) -> list[float]:
        """The numbers that its comparisons compare with."""
        rules = map(_COMPARISON.fullmatch, (*self.positive, *self.negative))
        return [float(rule[2]) for rule in rules if rule]

    @property
    def remedy(self) -> str:
        """What to write in a cell that cannot be read."""
        rules = [*self.positive, *self.negative]
        words = [rule for rule in rules if not _COMPARISON.fullmatch(rule)]
        return " or ".join([*words, "a number"] if len(words) < len(rules) else words)


TARGETS = {
    "ER": Target("ER", ("+",), ("-",), "#1f4e79"),
    "PR": Target("PR", ("+",), ("-",), "#b5549b"),
    "HER2": Target("HER2", ("+",), ("-",), "#e0861a"),
}
GRADED = {"HER2_low": Target("HER2", ())}  # read from a receptor's scores, by no rule: HER2-low or more
COLORS = ("#009e73", "#56b4e9", "#d55e00", "#000000")  # Okabe and Ito's, apart from those above


def known_targets(definitions: Mapping[str, Any]) -> dict[str, Target]:
    """The targets of a configuration by name: the receptors, those that it defines, then those of grades.

    Args:
        definitions: `cohort.targets`: by name, `column` and either `positive` (and `negative`), or `levels`
            the lowest first, which become a target for every level but the first: "that level or more".

    Raises:
        ConfigError: all that is wrong with them, one a line.
    """
    problems: list[str] = []
    targets: dict[str, Target] = {}
    for name, definition in definitions.items():
        mistakes, defined = _defined(str(name), definition)
        problems += [f"cohort.targets.{name}: {mistake}" for mistake in mistakes]
        for own, target in defined.items():
            lower = own.lower()
            if (
                lower in TAKEN
                or lower.startswith(PRIMARY)
                or lower in {other.lower() for other in [*TARGETS, *targets]}
            ):
                problems.append(f"cohort.targets.{name}: the name '{own}' is taken; choose another")
            targets[own] = target
    if problems:
        raise ConfigError("\n".join(problems))
    taken = {name.lower() for name in targets}
    return TARGETS | targets | {name: grade for name, grade in GRADED.items() if name.lower() not in taken}


def in_order(names: Iterable[str]) -> list[str]:
    """Names of targets, each once: the receptors first, then the others as they come."""
    distinct = list(dict.fromkeys(names))
    return [name for name in TARGETS if name in distinct] + [name for name in distinct if name not in TARGETS]


def colors(names: Iterable[str]) -> dict[str, str]:
    """The colour of every target of a figure: its own, or the next of `COLORS`."""
    names = list(names)
    own = [name for name in names if name not in TARGETS]
    cycle = {name: COLORS[place % len(COLORS)] for place, name in enumerate(own)}
    return {name: cycle.get(name) or TARGETS[name].color for name in names}


def _number(text: str) -> float | None:
    match = _CELL.fullmatch(text)
    return float(match[1]) if match else None


def _meets(text: str, rule: str) -> bool:
    number = _number(text)
    if comparison := _COMPARISON.fullmatch(rule):
        return number is not None and bool(COMPARISONS[comparison[1]](number, float(comparison[2])))
    return folded(text) == folded(rule) or (number is not None and number == _number(rule))


def _nearly(text: str, rule: str) -> bool:
    """Whether a text holds the words of a rule among others, or another way to write one of them.

    That is a misspelling, a look-alike, an abbreviation (`mut`, `mutated`), or another sign or word for yes.
    Words of which one is longer by a syllable at its front, such as `non`, say the opposite.
    """
    text, rule = text.lower(), rule.lower()
    number = _number(text)
    if number is not None:
        return rule == f"{number:g}+" or (number == 1 and rule in _YES)
    if letters(text) == letters(rule) != "" or {text, rule} <= _YES:
        return True
    if re.search(rf"(?<!\w){re.escape(rule)}(?!\w)", text):
        return True
    pairs = list(zip(text.split(), rule.split(), strict=False))
    return len(text.split()) == len(rule.split()) and all(
        word == other
        or (word[0] == other[0] and difflib.SequenceMatcher(None, word, other).ratio() >= MISSPELT)
        or _begins(word, other)
        for word, other in pairs
    )


def _begins(word: str, other: str) -> bool:
    """Whether one of two words is the beginning of the other, as an abbreviation is, and no Roman numeral."""
    short, long = sorted((word, other), key=len)
    return long.isalpha() and long.startswith(short) and not set(long) <= set("ivx")


def _defined(name: str, definition: Any) -> tuple[list[str], dict[str, Target]]:
    """What is wrong with a definition, and the targets that it makes."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        return ["write a name of letters, digits and _, a letter first"], {}
    if not isinstance(definition, Mapping):
        return ['write {column: NAME, positive: ">= 20"}, for example'], {}
    mistakes = [f"unknown '{word}'; {nearest(str(word), WORDS)}" for word in definition if word not in WORDS]
    column = definition.get("column")
    if isinstance(column, bool | None) or not str(column).strip():
        mistakes.append("write column: and the heading of a column of the clinical table")
    rules = {word: _rules(word, definition[word], mistakes) for word in WORDS[1:] if word in definition}
    if ("positive" in rules) == ("levels" in rules):
        mistakes.append("write either positive: or levels:")
    if "levels" in rules and "negative" in rules:
        mistakes.append("negative: does not go with levels:, the first of which is negative")
    if mistakes:
        return mistakes, {}
    column = str(column).strip()
    if "positive" in rules:
        positive, negative = rules["positive"], rules.get("negative", ())
        contradictory = sorted({rule.lower() for rule in positive} & {rule.lower() for rule in negative})
        mistakes += [f"'{rule}' is in both positive: and negative:; remove one" for rule in contradictory]
        return mistakes, {name: Target(column, positive, negative)}
    levels = rules["levels"]
    if len(levels) < 2 or any(map(_COMPARISON.fullmatch, levels)):
        mistakes.append("levels: needs at least two words, the lowest first")
    words = [re.sub(r"[^A-Za-z0-9]+", "_", level).strip("_") for level in levels]
    suffixes = [word or str(place) for place, word in enumerate(words)]
    if len({suffix.lower() for suffix in suffixes}) < len(suffixes):
        mistakes.append(f"levels: {', '.join(levels)} give two targets the same name; rename one")
    above = range(1, len(levels))
    return mistakes, {f"{name}_{suffixes[n]}": Target(column, levels[n:], levels[:n]) for n in above}


def _rules(word: str, value: Any, mistakes: list[str]) -> tuple[str, ...]:
    """The words and comparisons of a definition as text; a mistake for each that is neither."""
    rules = []
    for rule in value if isinstance(value, list | tuple) else [value]:
        text = "" if rule is None else " ".join(str(rule).split())
        if isinstance(rule, bool):
            mistakes.append(f"{word}: YAML reads a bare true or false as {rule}; put it into quotes")
        elif isinstance(rule, Mapping | list) or text.lower() in EMPTY:
            mistakes.append(f"{word}: write words, or a comparison such as '>= 20'")
        elif text[0] in "<>=≤≥" and not _COMPARISON.fullmatch(text):
            mistakes.append(f"{word}: '{text}' is not a comparison; write >=, >, <= or < and a number")
        rules.append(text)
    if not rules:
        mistakes.append(f"{word}: is empty; write words or a comparison")
    return tuple(rules)
