"""One lesion, one row: exact copies, several masks over one lesion, and copies across patients."""

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.cohort.measurements import Survey
from bcbm.errors import Problem
from bcbm.system.content import file_key

BESIDE = 0.1  # part of the smaller one that masks of two lesions may share where they touch
SAME_LESION = 0.5  # two masks that share this part of the smaller one were drawn over one lesion
_YEAR_LAST = re.compile(  # 31-12-2019, or 31122019, which is no 2019-12-31
    r"(?<!\d)\d{1,2}([-_. ])\d{1,2}\1(?P<year>(?:19|20)\d\d)$"
    r"|(?<!\d)(?!(?:19|20)\d\d(?:0\d|1[0-2])[0-3]\d$)[0-3]\d[0-3]\d(?P<compact>(?:19|20)\d\d)$"
)
_SHORT = re.compile(r"(?<!\d)(\d\d)([-_. ]?)(\d\d)\2(\d\d)$")  # 31.12.19, 19-12-31 or 311219
_SHORT_YEARS = [*range(5, 31)]  # of which a scan may be, without their century
_CENTURY = 70  # years of two digits from which on they are of the last one
_NAMES_OF_MONTHS = """
    jan jän gen ene; feb fev fév; mar mär mae mrz; apr abr avr; may mai mag; jun juin giu
    ; jul juil lug; aug aou aoû ago; sep set; oct okt ott; nov; dec déc dez dic
"""
_MONTHS = {  # how their names begin, in the languages of names
    begin: number
    for number, begins in enumerate(_NAMES_OF_MONTHS.split(";"), start=1)
    for begin in begins.split()
}
_NAMED_MONTH = re.compile(  # 31 Dec 2019, 31DEC19, or Dec 31, 2019
    r"(?<!\d)(?P<day>\d{1,2})[-_. ]*(?P<month>[^\W\d_]{3,10})[-_. ]*(?P<year>(?:19|20)?\d\d)$"
    r"|(?P<first>[^\W\d_]{3,10})[-_. ]*(?:(?P<on>\d{1,2})[-_., ]+)?(?P<of>(?:19|20)\d\d)$"
)
_UID = re.compile(r"(?<![\d.])[012]\.(?:\d+\.){4,}\d+$")  # of DICOM, whose numbers are in no order
_TIME = re.compile(  # behind a date: 9:05, 0905 or 090500
    r"[ T_](?:[01]?\d|2[0-3])[:.h][0-5]\d(?:[:.][0-5]\d)?$|[ T_](?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?$"
)
_DRAWN_OVER = ("lesion", "retreatment", "target", "margin")  # whose mask stands for a lesion, best first


def content_of(table: pd.DataFrame, features: pd.DataFrame) -> list[str]:
    """A hash of what a lesion holds, the same for rows that share all features or both files.

    Rows are joined through either: of a lesion published twice, one row may lack its features or its files.
    """
    known = features.notna().all(axis=1).to_numpy() & (features.shape[1] > 1)  # one value says too little
    values = np.ascontiguousarray(features.to_numpy(dtype="float64"))
    holder: dict[bytes, int] = {}  # the first row of each content seen so far
    parent = list(range(len(table)))

    def root(row: int) -> int:
        while parent[row] != row:
            row = parent[row]
        return row

    keys = []
    for row, lesion in enumerate(table.itertuples()):
        contents = [values[row].tobytes()] if known[row] else []
        if lesion.mask_path and lesion.image_path:
            contents.append(
                b"".join(file_key(Path(str(path))) for path in (lesion.mask_path, lesion.image_path))
                + f"{lesion.mask_part}".encode() * bool(lesion.mask_part)
                + f"value {lesion.mask_value}".encode() * bool(lesion.mask_value)
            )
        for key in contents:
            parent[root(row)] = root(holder.setdefault(key, row))
        keys.append(contents or [str(lesion.lesion_id).encode()])
    first = {root(row): min(contents) for row, contents in reversed(list(enumerate(keys)))}
    return [hashlib.sha256(first[root(row)]).hexdigest()[:16] for row in range(len(table))]


def exact_copies(table: pd.DataFrame) -> pd.Series:
    """The lesion of the same patient that holds the same content; "" for an original.

    Of equal content the original is one that is not excluded, a lesion before a target, then of the first
    session: a copy must not drop out for an original that does not enter itself.
    """
    first: dict[tuple[str, str], str] = {}
    order = pd.DataFrame({"standing": _standing(table), "session": session_of(table["study_id"])})
    ordered = table.loc[order.sort_values(["standing", "session"], kind="stable").index]
    originals = [
        first.setdefault((str(lesion.patient_id), str(lesion.content)), str(lesion.lesion_id))
        for lesion in ordered.itertuples()
    ]
    links = pd.Series(originals, index=ordered.index, dtype=str)
    return links.where(links != ordered["lesion_id"], "").reindex(table.index)


def same_lesions(
    table: pd.DataFrame, copies: pd.Series, survey: Survey | None
) -> tuple[pd.Series, pd.Series]:
    """The better mask over the same lesion ("" where there is none), and the reason.

    Masks that share half of the smaller one were drawn over one lesion; of an exact copy the overlaps are its
    original's. The mask that stays is not excluded, a lesion before a retreatment, a target and a margin, of
    targets a GTV before a CTV, a PTV and a dose, has the most certain name, and a short one. Where there is
    no mask, a name that only adds zeros to another ("tumor0") counts as the same lesion.
    """
    links = pd.Series("", index=table.index, dtype=str)
    reasons = pd.Series("", index=table.index, dtype=str)
    rows = {str(lesion): row for row, lesion in zip(table.index, table["lesion_id"], strict=True)}
    standing, confidence = _standing(table), table["name_confidence"]
    names = set(zip(table["study_id"], table["name"], strict=True))
    for row, study, name, lesion in table[["study_id", "name", "lesion_id"]].itertuples():
        shorter = name.rstrip("0").rstrip("-_ ")
        counted_on = (study, f"{name[:-2]}9") in names  # tumor9, tumor10
        unseen = survey is None or lesion not in survey.masks.index
        if unseen and shorter != name and (study, shorter) in names and not counted_on:
            other = f"{study}/{shorter}"
            if standing[rows[other]] <= standing[row]:
                links[row], reasons[row] = other, "the name only adds zeros"
    if survey is None:
        return links, reasons
    original = dict(zip(table["lesion_id"], copies.where(copies != "", table["lesion_id"]), strict=True))
    partners: dict[str, dict[str, float]] = {}
    for pair in survey.overlaps[survey.overlaps["shared"] >= SAME_LESION].itertuples():
        first, second = original[str(pair.one)], original[str(pair.other)]
        if first != second:
            partners.setdefault(first, {})[second] = float(str(pair.shared))
            partners.setdefault(second, {})[first] = float(str(pair.shared))

    def worth(lesion: str) -> tuple[int, bool, float, int, str]:
        row = rows[lesion]
        planned = "gtv" not in str(table.at[row, "name"]).lower()  # with a margin around what is seen
        return int(standing[row]), planned, -float(confidence[row]), len(lesion), lesion

    chosen: set[str] = set()
    for lesion in sorted((name for name in partners if _drawn_over(table, rows[name])), key=worth):
        better = [other for other in partners[lesion] if other in chosen]
        if better:
            best = min(better, key=worth)
            links[rows[lesion]] = best
            reasons[rows[lesion]] = f"{partners[lesion][best]:.0%} of the smaller mask overlap"
        else:
            chosen.add(lesion)
    return links, reasons


def half_shared(table: pd.DataFrame, survey: Survey) -> Iterator[Problem]:
    """Pairs of lesions that both enter, and share more voxels than neighbours and fewer than one lesion's."""
    entering = set(table.loc[~table["excluded"], "lesion_id"])
    overlaps = survey.overlaps[survey.overlaps["shared"].between(BESIDE, SAME_LESION, inclusive="left")]
    for pair in overlaps.itertuples():
        if {pair.one, pair.other} <= entering:
            text = f"it and {pair.other} share {float(str(pair.shared)):.0%} of the smaller mask; both count"
            remedy = "look whether two readers drew one lesion, and keep one of the masks"
            yield Problem(str(pair.one), text, remedy, "masks that share a part")


def foreign_copies(table: pd.DataFrame, contents: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Pairs of lesions of two patients with the same content, image of a sequence, or file of a mask; also
    of excluded ones.

    Args:
        table: of lesions.
        contents: of their images, see `image_contents`.
    """
    images = [
        table[column].map(contents).astype(object).fillna(table["study_id"])
        for column in _image_columns(table)
    ]
    drawn = (table["mask_path"] != "") & (table["image_path"] != "")
    masks = table["mask_path"].map(os.path.realpath).where(drawn, table["lesion_id"])
    pairs: list[tuple[str, str]] = []
    for shared in (table["content"], *images, masks):
        first = table.groupby(shared)[["patient_id", "lesion_id"]].transform("first")
        strangers = shared[shared.notna() & (table["patient_id"] != first["patient_id"])]
        order = strangers.sort_values(kind="stable").index
        pairs += zip(table.loc[order, "lesion_id"], first.loc[order, "lesion_id"], strict=True)
    return list(dict.fromkeys(pairs))


def one_image_twice(table: pd.DataFrame, contents: Mapping[str, bytes]) -> Iterator[Problem]:
    """Studies of which one file, or a copy of it, stands for two sequences; arguments as `foreign_copies`."""
    columns = _image_columns(table)
    studies = table.drop_duplicates("study_id").set_index("study_id")[columns]
    for study, paths in studies.iterrows() if len(columns) > 1 else ():
        first: dict[bytes, str] = {}
        for column, path in paths.items():
            name = str(column).removeprefix("image_").replace("path", "image")
            if path in contents and (other := first.setdefault(contents[path], name)) != name:
                remedy = "name the right file; it counts as it is"
                yield Problem(str(study), f"its {name} is its {other}", remedy, "one image for two sequences")


def image_contents(table: pd.DataFrame) -> dict[str, bytes]:
    """The content of each image that is there, see `file_key`."""
    paths = {path for column in _image_columns(table) for path in table[column] if path}
    return {path: key for path in paths if (key := file_key(Path(path)))}


def _image_columns(table: pd.DataFrame) -> list[str]:
    """The columns of a lesion table that name images: of the post-contrast T1 first, then of sequences."""
    return [str(column) for column in table if str(column).startswith("image_")]


def session_of(studies: pd.Series) -> pd.Series:
    """The place of each session among those of its patient, by the numbers of the study's id: of a date that
    has its year last by the year alone, as days and months may stand in any order. NaN for an id that ends in
    no number, and for dates of two digits a part that are in another order if the year is the last."""
    texts = studies.map(_with_year_first)
    dates = [match for text in texts for match in _ends(_SHORT, text)[:1]]
    parts = np.array([match.group(1, 3, 4) for match in dates], int).reshape(-1, 3)
    years, days, months = (
        [bool(np.isin(part, kind).all()) for part in parts.T]
        for kind in (_SHORT_YEARS, range(1, 32), range(1, 13))
    )
    year_first = years[0] and months[1] and days[2]
    year_last = years[2] and ((days[0] and months[1]) or (months[0] and days[1]))
    untold = _in_two_orders(dates) if year_first and year_last else set()
    numbers = texts.map(partial(_numbers, year_last and not year_first, untold))
    places = {key: float(place) for place, key in enumerate(sorted({*numbers} - {()}))}
    return numbers.map(places).astype(float)


def _ends(form: re.Pattern[str], study: str) -> list[re.Match[str]]:
    """The date that an id ends in, or that a time follows, where it has this form; none or one or two."""
    return [match for text in (study, _TIME.sub("", study)) if (match := form.search(text))]


def _with_year_first(study: str) -> str:
    """An id whose date has its year last with the year first: alone, or before the month that a word says."""
    for match in _ends(_YEAR_LAST, study):
        return f"{study[: match.start()]} {match['year'] or match['compact']}"
    for match in _ends(_NAMED_MONTH, study):
        word = (match["month"] or match["first"]).casefold()
        if month := _MONTHS.get(word[:4]) or _MONTHS.get(word[:3]):
            year, day = int(match["year"] or match["of"]), match["day"] or match["on"] or "0"
            year += 0 if year > 99 else 2000 if year < _CENTURY else 1900
            return f"{study[: match.start()]} {year} {month} {day}{study[match.end() :]}"
    return study


def _in_two_orders(dates: Iterable[re.Match[str]]) -> set[str]:
    """What stands before dates of which the last parts are not in the order of the whole."""
    groups: dict[str, set[tuple[str, ...]]] = {}
    for match in dates:
        groups.setdefault(match.string[: match.start()], set()).add(match.group(1, 3, 4))
    lasts = {start: [parts[-1] for parts in sorted(group)] for start, group in groups.items()}
    return {start for start, years in lasts.items() if years != sorted(set(years))}


def _numbers(year_last: bool, untold: Collection[str], study: str) -> tuple[int, ...]:
    """The numbers of an id that ends in one which may be in an order.

    Args:
        year_last: whether dates of two digits a part have the year last.
        untold: what stands before those of which that is not known; a dot says it.
        study: the id.
    """
    if _UID.search(study):
        return ()
    for match in _ends(_SHORT, study)[:1]:
        start = study[: match.start()]
        if start in untold and match[2] != ".":
            return ()
        study = f"{start} {match[4]}" if year_last or start in untold else study
    return tuple(map(int, re.findall(r"\d+", study))) if re.search(r"\d$", study) else ()


def _drawn_over(table: pd.DataFrame, row: object) -> bool:
    return table.at[row, "category"] in _DRAWN_OVER


def _standing(table: pd.DataFrame) -> pd.Series:
    """How far each row is from entering, 0 is nearest: not excluded, then a lesion before a retreatment, a
    target, a margin and what is not a lesion."""
    category = table["category"].map({name: place for place, name in enumerate(_DRAWN_OVER)})
    return 10 * table["excluded"] + category.fillna(len(_DRAWN_OVER)).astype(int)
