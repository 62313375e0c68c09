"""Who is who: the key from patients and studies to pseudonyms, one file that only its owner can read."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import pandas as pd

from bcbm.cohort.patients import bare
from bcbm.errors import InputError, Problem, readable
from bcbm.imaging.headers import Series, name_words
from bcbm.system.files import write_whole

COLUMNS = ("patient", "study", "PatientID", "StudyInstanceUID", "StudyDate")
OLDEST = 115  # years
_ANYBODY = """
    anon anonymous anonymized anonymised anonym anonymisiert deidentified unknown none null na no 0 noid
    removed patient patientid anonymouspatient anonymizedpatient anonymisedpatient test dummy hidden empty
    notavailable pseudonym unbekannt anonimo anonyme anonymise
"""
_NOBODY = frozenset(_ANYBODY.split())  # ids, bare, that programs give to whomever
_SEVERAL = 3  # patients whose one date of birth is no chance
_REMEDY = "restore the key, or write into another folder"


@dataclass
class Key:
    """Pseudonyms of studies: `rows` by (PatientID, StudyInstanceUID), each patient, study and date."""

    rows: dict[tuple[str, str], tuple[str, str, str]]

    def patient(self, series: Series) -> str:
        """The pseudonym of the patient of a series, such as P001."""
        return self.rows[series.patient_id, series.study_uid][0]

    def study(self, series: Series) -> str:
        """The pseudonym of the study of a series, such as P001-1."""
        return self.rows[series.patient_id, series.study_uid][1]

    def patients(self) -> dict[str, str]:
        """The pseudonym of every patient by the hospital's id."""
        return {patient_id: row[0] for (patient_id, _), row in self.rows.items()}

    def dates(self, year: bool) -> dict[str, dict[str, int | None]]:
        """Of every study, days since the patient's first one, and its year if that is to be known.

        None where a date is missing.
        """
        days = {study: (patient, _date(text)) for patient, study, text in self.rows.values()}
        first: dict[str, date] = {}
        for patient, day in days.values():
            if day:
                first[patient] = min(day, first.get(patient, day))
        return {
            "days": {name: (day - first[who]).days if day else None for name, (who, day) in days.items()},
            "year": {name: day.year if day and year else None for name, (_, day) in days.items()},
        }

    def disordered(self) -> list[str]:
        """The patients whose studies' numbers do not follow their dates, which are one or lack."""
        dates: dict[str, dict[int, date | None]] = {}
        for patient, study, text in self.rows.values():
            dates.setdefault(patient, {})[int(study.rpartition("-")[2])] = _date(text)
        inside = {patient: [own[number] for number in sorted(own)] for patient, own in dates.items()}
        return sorted(
            patient
            for patient, own in inside.items()
            if len(own) > 1 and (None in own or any(a >= b for a, b in pairwise(own) if a and b))
        )

    def several_names(self, series: Iterable[Series]) -> list[str]:
        """The patients of whom two studies bear names that have no word in common."""
        names: dict[str, list[set[str]]] = {}
        for item in series:
            if words := name_words(item.name):
                names.setdefault(self.patient(item), []).append(words)
        return sorted(who for who, own in names.items() if any(own[0].isdisjoint(words) for words in own))


def key_file(out: Path) -> Path:
    """Where the key of a folder of pseudonyms lies: beside it, not in it."""
    out = out.absolute()
    return out.with_name(f"{out.name}-key.csv")


def read_key(path: Path, out: Path) -> Key:
    """The key that is there, or an empty one for a folder that is new.

    Raises:
        InputError: it is damaged, or not there though the folder has studies: other patients would get names
            that are taken.
    """
    if not path.is_file():
        if any(out.glob("P*/P*/study.json")):
            raise InputError(Problem(str(path), f"is not there, and {out} has studies of it", _REMEDY))
        return Key({})
    with readable(path, _REMEDY):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)[list(COLUMNS)]
        return Key({(row[2], row[3]): (row[0], row[1], row[4]) for row in table.itertuples(index=False)})


def write_key(key: Key, path: Path) -> None:
    """Write the key, readable for its owner alone (mode 600) from its first byte."""
    rows = [(row[0], row[1], *names, row[2]) for names, row in key.rows.items()]
    text = pd.DataFrame(sorted(rows), columns=list(COLUMNS)).to_csv(index=False)
    write_whole(path, text, private=True)


def extend_key(key: Key, series: Sequence[Series], same_patients: str) -> Key:
    """Give every patient and study that is new a pseudonym; those that have one keep it.

    New patients are numbered in the order of a hash of their ids, which tells nothing of these; a patient's
    new studies by date and time.

    Args:
        key: of earlier calls.
        series: of all studies.
        same_patients: what to do with ids that agree up to case, blanks and leading zeros (`join`, `keep`, or
            `ask`, which refuses them).

    Raises:
        InputError: studies without a PatientID, or with one that is nobody's, ids that are one patient's or
            not, or one id with several dates of birth or both sexes.
    """
    problems = _problems(key, series, same_patients)
    if problems:
        raise InputError(*problems)
    name = bare if same_patients == "join" else str
    rows = dict(key.rows)
    patients = {name(patient_id): row[0] for (patient_id, _), row in rows.items()}
    count = max((int(pseudonym[1:]) for pseudonym in patients.values()), default=0)
    for patient in sorted({name(item.patient_id) for item in series} - set(patients), key=_hash):
        count += 1
        patients[patient] = f"P{count:03d}"
    dated = set()
    for item in sorted(series, key=lambda item: (item.date, item.time, item.study_uid)):
        study = item.patient_id, item.study_uid
        if study in rows and item.date and study not in dated:
            rows[study] = *rows[study][:2], item.date  # which may have been corrected
        dated.add(study)
        if study not in rows:
            pseudonym = patients[name(item.patient_id)]
            taken = [int(row[1].rpartition("-")[2]) for row in rows.values() if row[0] == pseudonym]
            rows[study] = pseudonym, f"{pseudonym}-{max(taken, default=0) + 1}", item.date
    return Key(rows)


def _problems(key: Key, series: Sequence[Series], same_patients: str) -> list[Problem]:
    problems = []
    if nameless := {item.study_uid for item in series if not item.patient_id}:
        found = f"{len(nameless)} without a PatientID: nobody can tell whose they are"
        problems.append(Problem("studies", found, "export them with an id for each patient"))
    ids = {item.patient_id for item in series} | {patient for patient, _ in key.rows}
    if same_patients == "ask":
        remedy = "write cohort.same_patients=join if they are one patient, keep if they are not"
        for group in _alike(ids - {""}):
            found = "differ in case, blanks or leading zeros only"
            problems.append(Problem(", ".join(map(repr, group)), found, remedy))
    owned: dict[str, list[Series]] = {}
    for item in series:
        owned.setdefault(item.patient_id, []).append(item)
    owned.pop("", None)
    for patient, own in owned.items():
        studies = {item.study_uid for item in own}
        if (bare(patient) in _NOBODY or set(bare(patient)) <= {"x"}) and len(studies) > 1:
            found = f"the PatientID of {len(studies)} studies is no patient's"
            problems.append(Problem(repr(patient), found, "export them with an id for each patient"))
        births = {item.birth_date for item in own} - {""}
        sexes = {item.sex.upper() for item in own} & {"F", "M"}
        for noun, values in (("dates of birth", births), ("sexes", sexes)):
            if len(values) > 1:
                found = f"the PatientID has {len(values)} {noun}"
                remedy = "give patients of two hospitals ids of their own"
                problems.append(Problem(repr(patient), found, remedy))
    return problems


def one_person(series: Sequence[Series]) -> list[list[str]]:
    """The PatientIDs that bear one name and one date of birth, though they are no spellings of one.

    A name of which several are born is one that a program writes that takes names away.
    """
    ids: dict[frozenset[str], dict[str, set[str]]] = {}
    for item in series:
        words = frozenset(name_words(item.name))
        if words.difference(_NOBODY) and _is_birth(item.birth_date) and item.patient_id:
            ids.setdefault(words, {}).setdefault(item.birth_date, set()).add(item.patient_id)
    groups = (own for births in ids.values() if len(births) < _SEVERAL for own in births.values())
    everyone = {bare(item.patient_id) for item in series}
    several = (sorted(own) for own in groups if len(set(map(bare, own))) > 1)
    return [own for own in several if len(own) < _SEVERAL or 2 * len(own) <= len(everyone)]


def _alike(ids: Iterable[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in sorted(ids):
        groups.setdefault(bare(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _hash(patient: str) -> str:
    return hashlib.sha256(patient.encode()).hexdigest()


def _date(text: str) -> date | None:
    """A DICOM date, YYYYMMDD, or YYYY.MM.DD as it was before DICOM."""
    text = text.replace(".", "")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None


def born_alike(series: Iterable[Series]) -> int:
    """How many patients share one date of birth, of which their ages are worked out; 0 where that may be.

    Programs that take names away write one date for all; of three people most are not born on one day.
    """
    births = {item.patient_id: item.birth_date for item in series if item.birth_date and not item.age}
    count = max(Counter(births.values()).values(), default=0)
    return count if count >= _SEVERAL and 2 * count > len(births) else 0


def dated_alike(series: Sequence[Series]) -> int:
    """How many studies, of several patients, share one date; 0 where that may be, as for `born_alike`."""
    dates = {item.study_uid: item.date for item in series if item.date}
    day, count = max(Counter(dates.values()).items(), key=lambda item: item[1], default=("", 0))
    patients = {item.patient_id for item in series if item.date == day}
    return count if len(patients) >= _SEVERAL and 2 * count > len(dates) else 0


def ages_apart(series: Iterable[Series]) -> int:
    """How many patients have an age in a header that is more than a year off their birth and study."""
    return len({item.patient_id for item in series if _is_apart(item)})


def _is_apart(item: Series) -> bool:
    own, dated = age_at(item), age_at(replace(item, age=""))
    return own is not None and dated is not None and abs(own - dated) > 1


def is_age_lost(series: Series) -> bool:
    """Whether a header has an age, or a date of birth beside that of the study, which tells none."""
    dated = _is_birth(series.birth_date) and bool(series.date)
    return age_at(series) is None and (bool(series.age.strip()) or dated)


def _is_birth(text: str) -> bool:
    """Whether a date of birth is one, and not what programs write that take names away."""
    return text[:4] > "1900"


def age_at(series: Series) -> int | None:
    """Whole years at the study, from its header's age or date of birth; 90 for whoever is older than 89.

    None where neither says it, or what they say is no woman's or man's age: programs that take names away
    write 000Y or a birth in 1900. Ages beyond 89 identify (45 CFR 164.514(b)(2), Safe Harbor).
    """
    years: float | None = None
    text, born, day = series.age, _date(series.birth_date), _date(series.date)
    if len(text) > 1 and text[:-1].isdecimal() and text[-1] in "YMWD":
        years = int(text[:-1]) / {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}[text[-1]]
    elif born and day:
        years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    return None if years is None or not 1 <= years < OLDEST else min(int(years), 90)
