"""Which series of a study is its post-contrast T1, by what its headers say; a person's word counts first."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.cohort.cells import identifier
from bcbm.cohort.formats.sequences import DENYING, plain_letters
from bcbm.cohort.formats.tables import read_corrected
from bcbm.errors import InputError, Problem, readable
from bcbm.imaging.headers import ALIKE, Series
from bcbm.imaging.volume import SeriesError, stack
from bcbm.system.words import listed

COLUMNS = (
    *("study", "series", "number", "description", "modality", "plane", "acquisition", "weighting"),
    *("contrast", "slices", "spacing", "tr", "te", "drawings", "refused", "chosen", "why"),
)
TELLING = ("number", "description", "plane", "weighting", "contrast")  # of them, which tell two series apart
_T1 = "t1 t1w t1c t1ce t1gd mprage spgr fspgr bravo flash tfe vibe thrive fame lava"
_T2 = "t2 t2w"
_OTHER = """
    flair dwi adc trace dti swi swan tof mra mrv angio perf perfusion pwi dsc dce asl cbf cbv mtt ttp bold
    fmri ciss fiesta pd pdw stir subtraction sub mip spectro
"""
_LOCALISER = "localizer localiser loc scout survey topogram aahscout aahead"
_WITH = """
    post gd gad gado gadolinium gadovist dotarem multihance prohance ce contrast contraste kontrast km t1c
    t1ce t1gd postcontrast postgad postgd enhanced injection inj injecte inyectado
"""
_WITHOUT = "pre precontrast pregad native nativ without wo noncontrast unenhanced plain"
_PLAIN = """
    ax axial tra transversal sag sagittal cor coronal obl oblique 2d 3d iso isotropic se tse fse gre gr ir fs
    fatsat fat sat sense grappa space cube head brain stealth navigation mpr reformat
"""
_WORDS = {
    name: frozenset(words.split())
    for name, words in {
        "T1": _T1,
        "T2": _T2,
        "other": _OTHER,
        "localiser": _LOCALISER,
        "with": _WITH,
        "without": _WITHOUT,
        "plain": _PLAIN,
    }.items()
}
_KNOWN = frozenset().union(*_WORDS.values())
_PLUS = re.compile(r"\+ ?c\b|\bc ?\+|\bw(ith)? ?contrast")
_MINUS = re.compile(
    r"\bpost\w* ?[-\u2212\u2013] ?pre|\bpre\w* ?[-\u2212\u2013] ?post|\bminus\b|\bsubtr|\bsubs?[1-9]\b"
    r"|\b(t1\w*|contrast|gd|gado\w*|km)\b.*\bdifferen[cz]"
)
_NO, _AND = r"w(?:ithout|/?o)", r"[ _]*(?:and|&|\+|/)[ _]*"
_BOTH = re.compile(  # W AND W/O, of an examination: it says nothing of one series; T1 W is weighted
    rf"\b(?:(?<!t[12][ _-])w{_AND}{_NO}|with{_AND}{_NO}|wwo|{_NO}{_AND}w(?:ith|/)?|"
    r"(?:mit|sans|ohne|avec) (?:und|et) (?:ohne|avec|mit|sans))\b(?:[ _]*(?:contrast\w*|gad\w*|gd|km)\b)?"
)
_AFTER = re.compile(
    r"\bpost[\W_]*(op|surg\w*|resection|rt|srs|radi\w*|chemo\w*|tx|treatment)\b"
)  # no contrast
# What denies a word of contrast from behind, or is a sign beside it: contrast refused, T1 -GD, T1 C-.
_WORD = "contrast|gd|gado\\w*|km|c"
_REFUSED = re.compile(
    rf"\b({_WORD}) (refused|declined|not given|none|no|nein)\b|(?<![^\s(])[-\u2212]({_WORD})\b"
    r"|(?<![^\W_])(?<!\+)(?<!\+ )c[-\u2212](?![-\w])|\b(gd|gado\w*|km) 0(?![.,]?\d| ?(min|s|sec|deg)\b)"
)
_NO_DOSE = re.compile(r"(?<![\d.,])0+([.,]0+)? ?(ml|cc|mmol)")
_NO_AGENT = """
    n n/a na nil none no non not nein null false unknown w/o wo without ohne refused declined kein keine
    keinen
"""
_AGENTLESS = frozenset(_NO_AGENT.split())
# More that deny, where no agent is named: pre-filled is a syringe.
_UNNAMED = "unenhanced native nativ pre precontrast aucun aucune ninguno ninguna nessuno nessun"
_UNSTATED = frozenset(_UNNAMED.split()) | DENYING - {"o"}
_NAMED = re.compile("gad|dota|multih|proh|omnis|magnev|claris|eluci|vuew|primov")
_SHORT_TE, _SHORT_TR = 30.0, 1200.0  # ms, of a T1-weighted image; an inversion in _INVERSION makes one too
_INVERSION = 300.0, 1300.0  # ms
_KINDS = "MR CT PT NM US CR DX XA OT SC SR PR KO RTDOSE RTPLAN RTIMAGE RTRECORD"
_MODALITIES = frozenset(_KINDS.split())
_PLANES = ("sagittal", "coronal", "axial")
_SHOWN = 4  # series that a message lists
_OBLIQUE = 0.9  # cosine to the nearest axis below which a plane is oblique


@dataclass
class Candidate:
    """A series of a study as it is judged.

    Attributes:
        series: what its headers say.
        index: its place among the series of the study, from 1, by which a person names it.
        drawings: structure sets and segmentations that say they are drawn on it.
        refused: why it cannot be taken, in words; "" where it can.
        chosen: whether it is taken.
        why: in words.
    """

    series: Series
    index: int
    drawings: int = 0
    refused: str = ""
    chosen: bool = False
    why: str = ""

    def __post_init__(self) -> None:
        title, text = (plain_letters(words.lower()) for words in (self.series.title, self.series.description))
        both = "" if _BOTH.search(title) else None
        title, text = _BOTH.sub(" ", title), _BOTH.sub(" ", text)
        self.words = tokens(text)
        self.weighting = _weighting(self.series, self.words)
        self.titled, self.called = _is_called(title), _is_called(text)  # post-contrast
        agent = "yes" if _is_agent(self.series.agent) else ""
        stated = (_stated(title), both, _stated(text), agent)
        self.contrast = next(contrast for contrast in stated if contrast is not None)
        self.refused = self.refused or _refused(self.series, self.words)

    @property
    def finest(self) -> float:
        """The longest edge of a voxel, mm."""
        frames = self.series.frames
        spacing = frames[0].spacing if frames else ()
        affine = [] if self.refused else stack(frames, self.series.thickness).affine[:3, 2].tolist()
        return round(max([*spacing, float(np.linalg.norm(affine))], default=math.inf), 3)


def tokens(description: str) -> list[str]:
    """The words of a series' description, in lower case."""
    return re.findall(r"[0-9]?d\b|[a-z]+[0-9]*[a-z]*|[0-9]+[a-z]+", description.lower().replace("_", " "))


def known_words(description: str) -> str:
    """What of a description is the field's: a free text may hold a name, so that no other word is passed on.

    Example:
        >>> known_words("SMITH^JOHN t1_mprage +C AX 3D")
        't1 mprage ax 3d +c'
    """
    words = [word for word in tokens(description) if word in _KNOWN]
    signs = [sign for sign, form in (("+c", _PLUS), ("-c", _REFUSED)) if form.search(description.lower())]
    return " ".join([*words, *signs])


def _refused(series: Series, words: Sequence[str]) -> str:
    """Why a series can be no image of a study, whatever is chosen."""
    if series.modality != "MR" or not series.is_image:
        return f"modality {_modality(series) or 'unknown'}" if series.modality != "MR" else "no MR image"
    if "LOCALIZER" in series.image_type or _WORDS["localiser"] & set(words):
        return "a localiser"
    if series.photometric != "MONOCHROME2":
        return "in colour" if series.photometric != "MONOCHROME1" else "with inverted grey levels"
    if series.burned_in.upper() == "YES":
        return "has texts burned into its pixels, which may name the patient"
    if {"PROJECTION IMAGE", "MIP", "MAX_IP"} & set(series.image_type):
        return "a projection"
    if {"SUBTRACTION", "SUBTRACT"} & set(series.image_type) or _MINUS.search(series.description.lower()):
        return "a subtraction"
    if "MOSAIC" in series.image_type:
        return "several slices in one plane, as a mosaic"
    if series.mixed:
        return f"its files differ in {listed([ALIKE[name] for name in sorted(series.mixed)])}"
    try:
        stack(series.frames, series.thickness)
    except SeriesError as error:
        return str(error)
    return ""


def _weighting(series: Series, words: Sequence[str]) -> str:
    """T1, other, or "" where neither words nor times say it."""
    if set(words) & _WORDS["T1"] and not set(words) & (
        _WORDS["T2"] | {"tof", "swi", "mip", "subtraction", "sub"}
    ):
        return "T1"
    if set(words) & (_WORDS["T2"] | _WORDS["other"]) or series.angiography.upper() == "Y":
        return "other"
    if math.isnan(series.te) or math.isnan(series.tr):
        return ""
    inverted = _INVERSION[0] <= series.ti <= _INVERSION[1]
    return "T1" if series.te <= _SHORT_TE and (series.tr <= _SHORT_TR or inverted) else "other"


def _is_called(text: str) -> bool:
    """Whether a plain text calls a series post-contrast."""
    text = _AFTER.sub(" ", text)
    return bool(_PLUS.search(text) or set(tokens(text)) & _WORDS["with"])


def _stated(text: str) -> str | None:
    """What a plain text says of a contrast agent: yes, no, "" for both, None for nothing."""
    words, called = tokens(text), _is_called(text)
    pairs = set(pairwise(words))  # of w/o `tokens` leave two
    denying = DENYING | {"s"}  # of s/ contraste
    denied = ("w", "o") in pairs or any(word in denying and after in _WORDS["with"] for word, after in pairs)
    denied = denied or bool(_REFUSED.search(text))
    if denied or set(words) & {"without", "wo"}:
        return "no"
    if set(words) & _WORDS["without"]:
        return "" if called else "no"
    return "yes" if called else None


def _is_agent(text: str) -> bool:
    """Whether a header's agent is one, or its dose.

    Example:
        >>> [_is_agent(text) for text in ("Gadovist", "7.5 ml", "0 ml", "N/A", "NO CONTRAST", "")]
        [True, True, False, False, False, False]
    """
    words = set(re.findall(r"[a-z/]*[a-z]|[1-9]", plain_letters(text.lower()))) - {"ml"}
    none = _AGENTLESS if _NAMED.search(text.lower()) else _AGENTLESS | _UNSTATED
    return bool(words) and not words & none and not _NO_DOSE.search(text.lower())


def choose(candidates: Sequence[Candidate]) -> str:
    """Mark the post-contrast T1 of a study as chosen.

    Preferred are series that masks are drawn on, then those called post-contrast, original ones, 3D ones,
    finer ones. Without a mask drawn on it, a series has to say that a contrast agent was given.

    Returns:
        Why there is none, in words; "" where there is one.
    """
    for candidate in candidates:
        candidate.why = candidate.refused or _unfit(candidate)
    fit = [candidate for candidate in candidates if not candidate.why]
    if not fit:
        reasons = [f"series {item.index} ({item.why})" for item in sorted(candidates, key=_interest)]
        return f"no series is a usable post-contrast T1: {listed(reasons, _SHOWN)}"
    ranks = [_rank(candidate) for candidate in fit]
    best = [candidate for candidate, rank in zip(fit, ranks, strict=True) if rank == max(ranks)]
    names = " and ".join(str(candidate.index) for candidate in best)
    for candidate in fit:
        candidate.why = f"another one counts before it: {names}" if candidate not in best else ""
    if len(best) > 1:
        for candidate in best:
            candidate.why = f"as good as another: {names}"
        return f"series {names} fit alike: two images of which one has to be named"
    best[0].chosen, best[0].why = True, _words_of(best[0])
    return ""


def doubt(candidates: Sequence[Candidate]) -> str:
    """That another series is of another date than the one that is taken, or states a contrast agent where
    that does not, in words; "" else."""
    fit = [item for item in candidates if not (item.refused or _unfit(item))]
    texts = []
    for taken in [item for item in candidates if item.chosen]:
        date = taken.series.date
        if later := [item for item in fit if date and item.series.date not in ("", date)]:
            text = f"series {taken.index} is taken, and {_numbers(later)} of another date stand under the"
            texts.append(f"{text} same study; give each date a study of its own, or choose in ingest.series")
        others = [item for item in fit if taken.contrast != "yes" and item.contrast == "yes"]
        if others:
            text = f"series {taken.index} is taken and does not state a contrast agent, which"
            texts.append(f"{text} {_numbers(others)} does; look at it, or choose in ingest.series")
    return ". ".join(texts)


def _numbers(candidates: Sequence[Candidate]) -> str:
    return listed([f"series {item.index}" for item in candidates], _SHOWN)


def _interest(candidate: Candidate) -> tuple[bool, bool, int]:
    """The order in which a person wants to know why a series is not taken."""
    return (not candidate.drawings, candidate.weighting != "T1", candidate.index)


def _unfit(candidate: Candidate) -> str:
    if candidate.weighting == "other":
        return "not T1-weighted"
    if candidate.contrast == "no":
        return "without contrast agent"
    if not candidate.drawings and candidate.weighting != "T1":
        return "not known to be T1-weighted"
    if not candidate.drawings and candidate.contrast != "yes":
        return "no contrast agent is stated"
    return ""


def _rank(candidate: Candidate) -> tuple[bool, bool, bool, bool, bool, bool, float]:
    series = candidate.series
    return (
        candidate.drawings > 0,
        candidate.contrast == "yes",
        candidate.titled,  # a protocol is the whole examination's,
        candidate.called,  # and an agent may be written into all series of a study
        "DERIVED" not in series.image_type,
        series.acquisition == "3D",
        -candidate.finest,
    )


def _words_of(candidate: Candidate) -> str:
    contrast = "post-contrast" if candidate.contrast == "yes" else "contrast not stated,"
    weighting = candidate.weighting or "weighting not stated"
    return f"{contrast} {weighting}" + (", masks are drawn on it" if candidate.drawings else "")


def listing(studies: Mapping[str, Sequence[Candidate]]) -> pd.DataFrame:
    """What was seen of every series, which was chosen and why: COLUMNS, a row a series; nobody is named."""
    rows = [
        [study, item.index, *_described(item), item.refused, "yes" if item.chosen else "no", item.why]
        for study, candidates in studies.items()
        for item in candidates
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def described(item: Candidate) -> str:
    """A series in words, for the picture of its study."""
    _, words, _, plane, acquisition, _, _, slices, spacing, *_ = _described(item)
    parts = [words, plane, acquisition, f"{spacing} mm", f"{slices} slices", item.why]
    return f"series {item.index}: {', '.join(str(part) for part in parts if part)}"


def _described(item: Candidate) -> list[str | int]:
    series = item.series
    frames = series.frames
    spacing = " x ".join(f"{edge:.4g}" for edge in (frames[0].spacing if frames else ()))
    plane = ""
    if frames and frames[0].orientation:
        direction = np.array(frames[0].orientation)
        normal = abs(np.cross(direction[:3], direction[3:]))
        plane = ("oblique " if normal.max() < _OBLIQUE else "") + _PLANES[int(normal.argmax())]
    if not item.refused:
        spacing += f" x {np.linalg.norm(stack(frames, series.thickness).affine[:3, 2]):.4g}"
    number = f"{series.number:.0f}" if 0 <= series.number < 1e5 else ""
    times = ["" if math.isnan(time) else f"{time:g}" for time in (series.tr, series.te)]
    return [
        number,
        known_words(series.description),
        _modality(series),
        plane,
        series.acquisition if series.acquisition in ("2D", "3D") else "",
        item.weighting,
        item.contrast,
        len(frames),
        spacing,
        *times,
        item.drawings,
    ]


def _modality(series: Series) -> str:
    """The modality of a series, where it is one that there is."""
    return series.modality if series.modality in _MODALITIES else ""


def choose_named(path: Path, studies: Mapping[str, Sequence[Candidate]]) -> dict[str, str]:
    """Mark what a corrected listing chooses.

    Args:
        path: a CSV with the columns study, series, slices and chosen (yes or no); others are not read.
        studies: candidates by study.

    Returns:
        Why a study has no series, by study, as `choose`.

    Raises:
        InputError: a series that is not there, or is another one by TELLING than when the list was written;
            two chosen in a study; a cell that is neither yes nor no.
    """
    with readable(path, "give the series.csv that this command wrote, with yes and no in its column chosen"):
        table = read_corrected(path, "ingest.series")
        absent = [name for name in ("study", "series", "slices", "chosen") if name not in table]
        if absent:
            raise ValueError(f"no column {', '.join(absent)}")
    known = {(study, str(item.index)): item for study, items in studies.items() for item in items}
    problems = []
    chosen: dict[str, list[Candidate]] = {}
    cells = table[["study", "series", "slices", "chosen"]].map(identifier)
    words = table[[name for name in TELLING if name in table]].map(identifier)
    for line, study, number, slices, answer in cells.itertuples():
        where, item = f"{path}, line {line}", known.get((study, number))
        if answer.lower() not in ("yes", "no", ""):
            problems.append(Problem(where, f"chosen is '{answer}'", "write yes or no"))
        elif answer.lower() == "yes" and (item is None or slices != str(len(item.series.frames))):
            text = f"study {study} has no series {number} of {slices} slices"
            problems.append(Problem(where, text, "correct the new series.csv, as the DICOM files changed"))
        elif answer.lower() == "yes" and item is not None:
            own = dict(zip(COLUMNS[2:], _described(item), strict=False))
            for name, text in words.loc[line].items():
                if text.casefold() != identifier(own[str(name)]).casefold():
                    found = f"series {number} of {study} has {name} '{own[str(name)]}' now, not '{text}'"
                    remedy = "correct the new series.csv, as the DICOM files changed"
                    problems.append(Problem(where, found, remedy))
            chosen.setdefault(study, []).append(item)
    for study, items in chosen.items():
        if len(items) > 1:
            numbers = ", ".join(str(item.index) for item in items)
            problems.append(Problem(str(path), f"{study} has several chosen series: {numbers}", "choose one"))
    if problems:
        raise InputError(*problems)
    reasons = {}
    for study, candidates in studies.items():
        for item in candidates:
            item.chosen, item.why = False, item.refused
        items = chosen.get(study, [])
        if not items:
            reasons[study] = "no series of it is chosen in the list"
        elif items[0].refused:
            reasons[study] = f"the chosen series {items[0].index} is refused: {items[0].refused}"
        else:
            items[0].chosen, items[0].why = True, "chosen by a person"
    return reasons
