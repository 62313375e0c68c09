"""Patients are one by what they are, not by how they are spelt."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from difflib import SequenceMatcher

import pandas as pd

from bcbm.cohort.download import LABEL, Download
from bcbm.cohort.spelling import LOOK_ALIKES, folded
from bcbm.errors import InputError, Problem
from bcbm.system.words import counted

KIND = "one patient under several spellings"
LIKE = 0.9  # of the letters of two words, beyond which the rarer one counts as misspelt,
COMMON = 4  # if the other stands in so many times as many ids
SHOWN = 3  # groups of ids that a message names
BIRTHS, AGES = 3.0, 20.0  # years that those of one patient's studies lie within, and ages where no year tells
CAPPED = 89.0  # the age from which on none is written

_DIGITS = str.maketrans("oil", "011")
# What tells sessions apart behind an id: a letter, words, or a remark in brackets.
_WORDS = (
    r"baseline|recurrence|(?:pre|post)(?:[-_ ]?op)?|(?:19|20)\d\d([-_.]?)\d\d\2\d\d"
    r"|(?:[tv]|tp|ses|session|visit|scan|mri?|exam|timepoint)[-_ ]?\d+"
)
_SESSION = re.compile(
    rf"(.*\d)(?:[a-e]|[\W_]*(?:{_WORDS}|(?:fu|follow[-_ ]?up)[-_ ]?\d*)|\s*[(\[].*[)\]])", re.IGNORECASE
)
_NUMBERED = re.compile(r"(.*\d)[\W_]+0*(\d|(?:19|20)\d\d)")  # or a number of one digit, or a year


def bare(identifier: str) -> str:
    """What is left of an id without case, blanks, dashes, other signs and the leading zeros of its numbers.

    Dashes of every kind, underscores and other signs of punctuation are one dash between two digits and
    nothing elsewhere: `A-1-2` is not `A-12`. Digits and letters of other scripts count as the Latin ones that
    they are or look like, an O beside a digit, and an l or I behind one, as 0 and 1, and 7.0 and 1,234, which
    programs make of a number, as 7 and 1234.

    Example:
        >>> bare("Site-07 A") == bare("SITE_7a"), bare("Site-70") == bare("Site-7"), bare("'P1O'")
        (True, False, 'p10')
    """
    whole = re.sub(r"^\s*(\d+)\.0+\s*$", r"\1", folded(identifier))
    whole = re.sub(r"(?<![\d,])(\d{1,3}),(\d{3})(?![\d,])", r"\1\2", whole)
    signs = (_plain(sign) for sign in whole)
    text = "".join(signs).translate(LOOK_ALIKES)
    text = re.sub("o+(?=[0-9])|(?<=[0-9])[oil]+", lambda match: match[0].translate(_DIGITS), text)
    text = re.sub("0*([0-9]+)", r"\1", text)
    return re.sub("(?<![0-9])-|-(?![0-9])", "", re.sub("-+", "-", text))


def _plain(sign: str) -> str:
    category = unicodedata.category(sign)
    if sign.isspace() or category in ("Cf", "Pi", "Pf") or sign in "'\"`":  # such as a zero-width space
        return ""
    return "-" if category[0] == "P" or sign == "\u2212" else str(unicodedata.decimal(sign, sign))


def same_patients(download: Download, answer: str) -> tuple[Download, list[Problem]]:
    """Settle which patients of a download are one whose ids are one when `bare`, or but for a misspelt word.

    An id whose word is misspelt, and that is like no other, is added to the problems.

    Args:
        answer: `join` makes them one patient, under the spelling of most studies (of several, the one that
            sorts first), and studies of theirs that agree likewise one study, under the spelling of the
            clinical table; `keep` leaves them apart; `ask` refuses the download where there are any.

    Returns:
        The download, and what was done, one line a patient.

    Raises:
        InputError: the answer is `ask`; it lists every such patient.
    """
    patients = download.studies["patient_id"].astype(str)
    misspelt = _misspelt(patients)
    groups = _spellings(patients, lambda name: misspelt.get(name, bare(name)))
    doubled = {name for group in groups for name in group}
    odd = [_unlike(name, misspelt, patients) for name in misspelt if name not in doubled]
    odd += [*_studies_twice(download.studies), *_sessions(download)]
    download = replace(download, problems=[*download.problems, *odd])
    if not groups:
        return download, []
    if answer == "ask":
        remedy = "write cohort.same_patients=join if they are one patient, keep if they are not"
        raise InputError(*(_problem(group, "", remedy) for group in groups))
    if answer == "keep":
        return download, [_problem(group, ": kept apart", "cohort.same_patients=keep") for group in groups]
    studies_of = patients.value_counts()
    stays = {group[0]: group for group in (sorted(g, key=lambda p: (-studies_of[p], p)) for g in groups)}
    remedy = "cohort.same_patients=join"
    notes = [_problem(sorted(group), f": one patient, {name!r}", remedy) for name, group in stays.items()]
    patient = {spelling: name for name, group in stays.items() for spelling in group}
    joined = download.studies["study_id"][patients.isin(list(patient))].astype(str)
    owners = zip(joined, patients[joined.index], strict=True)
    right = {name: patient[own] + name.removeprefix(own) for name, own in owners}
    study = {
        spelling: group[0]
        for group in _spellings(joined, lambda name: bare(right[name]))
        for spelling in group
    }
    studies = download.studies.assign(
        patient_id=patients.replace(patient), study_id=download.studies["study_id"].replace(study)
    )
    segmentations, features = _merged(download, study)
    gone = {spelling for spelling, name in study.items() if spelling != name}
    problems = [
        problem
        for problem in download.problems
        if not (problem.kind == "study without clinical row" and problem.where in gone)
    ]
    return (
        replace(download, studies=studies, segmentations=segmentations, features=features, problems=problems),
        notes,
    )


def in_common(own: Iterable[object], others: Iterable[object]) -> list[str]:
    """The ids of some patients that others have too, up to how they are spelt; in the order of `bare`.

    Example:
        >>> in_common(["MR-7", "MR-8"], ["mr 07", "MR-9"])
        ['MR-7']
    """
    spellings = {bare(patient): patient for patient in map(str, own)}
    return [spellings[name] for name in sorted(spellings.keys() & set(map(bare, map(str, others))))]


def several_people(studies: pd.DataFrame) -> Iterator[Problem]:
    """Patients whose studies are of two sexes, or of ages that no one person has at the time.

    Args:
        studies: of the download, whose patients are settled.
    """
    sexes = studies.filter(["sex"]).map(lambda cell: folded(str(cell).strip())[:1].replace("w", "f"))
    numbers = studies.reindex(columns=["age", "year", "days"]).apply(pd.to_numeric, errors="coerce")
    ages, since = numbers["age"].where(numbers["age"] < CAPPED), numbers["days"] / 365.25
    for patient, rows in studies.groupby("patient_id").groups.items():
        births = (numbers["year"] - ages)[rows].dropna()
        if len(births) < 2 and (since[rows] == 0).any():  # as `ingest` counts them, from the first study on
            births = (since - ages)[rows].dropna()
        spread, most = (births, BIRTHS) if len(births) > 1 else (ages[rows].dropna(), AGES)
        facts = []
        if set(sexes.loc[rows].to_numpy().ravel()) >= {"f", "m"}:
            facts.append("of two sexes")
        if len(spread) and spread.max() - spread.min() > most:
            told = numbers.loc[[spread.idxmin(), spread.idxmax()]].sort_values(["age", "year"])
            (first, last), years = told["age"], told["year"].dropna()
            facts.append(f"of ages that do not fit together ({first:g} and {last:g}")
            facts[-1] += f", in {years.iloc[0]:g} and {years.iloc[1]:g})" if len(years) > 1 else ")"
        if facts:
            text = f"its studies are {' and '.join(facts)}: they may be several people's"
            remedy = "find out whose they are, or write the age at each study; they count as one patient's"
            yield Problem(str(patient), text, remedy, "patient who may be several")


def _studies_twice(studies: pd.DataFrame) -> list[Problem]:
    """Studies of a patient that differ in their spelling only."""
    remedy = "write it in one way; they count as studies of their own"
    return [
        Problem(", ".join(map(repr, group)), "may be one study", remedy, "one study under several spellings")
        for _, names in studies.groupby("patient_id")["study_id"]
        for group in _spellings(names.astype(str), bare)
    ]


def _sessions(download: Download) -> Iterator[Problem]:
    """Patients whose ids differ in what names a session. A last number or year may be of the patients of a
    site, too: it names a session where there are more ids before it than numbers, and their labels agree."""
    patients = download.studies["patient_id"].astype(str)
    names = patients.drop_duplicates()
    stems = {name: bare(match[1] if (match := _SESSION.fullmatch(name)) else name) for name in names}
    groups = [group for group in _spellings(names, stems.__getitem__) if len(set(map(bare, group))) > 1]
    numbered = {name: match.groups() for name in names if (match := _NUMBERED.fullmatch(name))}
    before = patients.map({name: parts[0] for name, parts in numbered.items()})
    labels = download.studies.filter(items=download.targets).groupby(before).nunique()
    agree = labels.size and (labels < 2).all(axis=None)
    if agree and len({last for _, last in numbered.values()}) < len(labels):
        groups += _spellings(names[names.isin(numbered)], lambda name: numbered[name][0])
    if groups:
        ids = "; ".join(" and ".join(map(repr, group)) for group in groups[:SHOWN])
        text = f"ids of {counted(sum(map(len, groups)), 'patient')} differ in what may name a session: {ids}"
        text += "; ..." if len(groups) > SHOWN else ""
        remedy = "if it does, give a patient's sessions one id; now each counts as a patient of its own"
        yield Problem(download.clinical, text, remedy, "patients that may be sessions")


def _problem(spellings: Iterable[str], fate: str, remedy: str) -> Problem:
    names = ", ".join(map(repr, spellings))
    return Problem(
        names,
        f"differ in case, blanks, dashes, quotes, leading zeros, look-alikes or a misspelt word only{fate}",
        remedy,
        KIND,
    )


def _spellings(names: pd.Series, key: Callable[[str], str]) -> list[list[str]]:
    """Different names of one key, in the order they come first."""
    groups: dict[str, list[str]] = {}
    for name in names.drop_duplicates():
        groups.setdefault(key(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _misspelt(names: pd.Series) -> dict[str, str]:
    """What ids are when bare that have a rare word where most have another that is nearly the same.

    Returns:
        By id, what it is with that other word.
    """
    plain = {name: bare(name) for name in names.drop_duplicates()}
    words = Counter(_words(text) for text in plain.values())
    right = {
        rare: near
        for rare in words
        for near, count in words.most_common(1)
        if COMMON * words[rare] <= count
        and rare.count("#") == near.count("#")
        and SequenceMatcher(None, rare, near).ratio() > LIKE
    }
    return {
        name: _numbered(right[_words(text)], text) for name, text in plain.items() if _words(text) in right
    }


def _words(text: str) -> str:
    """An id with a sign in place of each of its numbers."""
    return re.sub("[0-9]+", "#", text)


def _numbered(words: str, text: str) -> str:
    """Words with the numbers of an id in the place of their signs."""
    for number in re.findall("[0-9]+", text):
        words = words.replace("#", number, 1)
    return words


def _unlike(name: str, misspelt: dict[str, str], patients: pd.Series) -> Problem:
    usual = next(other for other in patients if _words(bare(other)) == _words(misspelt[name]))
    text = f"is spelt unlike most patients, such as {usual}"
    return Problem(
        name, text, "rename its studies if they are spelt wrong; it counts as a patient of its own", "odd id"
    )


def _merged(download: Download, study: dict[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Segmentations and features under the names of their studies; a row and a file of one name meet."""
    table = download.segmentations.assign(study_id=download.segmentations["study_id"].replace(study))
    features = download.features.set_axis(table.index, axis=0)
    if not table.duplicated(["study_id", "name"]).any():
        return table, features
    keys = [table["study_id"], table["name"]]
    paths = table.columns.drop(["study_id", "name", "in_workbook"])
    merged = table[paths].replace("", None).groupby(keys).first()
    texts = merged.columns[~merged.columns.str.startswith(LABEL)]
    merged[texts] = merged[texts].fillna("")
    merged["in_workbook"] = table["in_workbook"].groupby(keys).any()
    rows = merged.reset_index()[table.columns.tolist()]
    return rows, features.groupby(keys).first().reset_index(drop=True)
