"""Reads a segmentation's name: what was drawn, on which side, in which region, and how sure that is."""

import re
import unicodedata
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache
from typing import NamedTuple

CATEGORIES = ("lesion", "target", "retreatment", "margin", "cavity", "structure", "other")
HEMISPHERES = ("left", "right", "midline", "unknown")
REGIONS = ("frontal", "parietal", "temporal", "occipital", "cerebellum", "brainstem", "deep", "unknown")


@dataclass(frozen=True)
class NameReading:
    """One of CATEGORIES, of HEMISPHERES and of REGIONS, and the confidence (0..1) in the last two.

    `corrected`: a person gave the side or the region (cohort.overrides); coordinates do not overrule it.
    """

    category: str
    hemisphere: str
    region: str
    confidence: float
    corrected: bool = False


class Piece(NamedTuple):
    """A known word or part of one: its kind, what it stands for, how exactly it was spelled (0..1)."""

    kind: str
    value: str
    text: str
    clarity: float = 1.0


_WORDS = {
    ("side", "left"): "l lt lft left",
    ("side", "right"): "r rt rgt right",
    ("side", "midline"): "midline bi bilateral",
    ("position", ""): """
        ant anterior pos post posterior inf inferior sup superior lat lateral med medial mes mesial mid midinf
        middle deep superficial superfic high low upper lower dorsal ventral caudal rostral central para
        paramedian parasag parasagittal sub supratentorial cerebral cerebrum intracerebral zerebral
    """,
    ("strong", "frontal"): """
        front frontal fronta fronto frntl frnt frnto frontl fro motor precentral subfrontal orbitofrontal
    """,
    ("strong", "parietal"): """
        parie pariet parieta parietal parieto prtl sensory postcentral precuneus supramarginal
    """,
    ("strong", "temporal"): "temp tempo temporal tempor temporo tmp tem amygdala uncus",
    (
        "strong",
        "occipital",
    ): "occ okzipital occip occipi occipit occipita occipital occipito occiput cuneus calcarine",
    ("strong", "cerebellum"): """
        cereb cerebe cerebel cerebell cerebella cerebellar cerebello cerebellum cerebellopontine cerebelm
        cerebelmm cerebellm cerebllr cerebllm celebellar cereballar cerb cerbel cerbell cerbellar cerbellum
        cerbllr cerblm crbl crbll crbllr crbllm crblm cblm cbllm cbllr cbl cbm cllum tonsil tonsillar vermis
        vermian subtentorial infratentorial pfossa dentate kleinhirn zerebellum zerebell
    """,
    ("strong", "brainstem"): """
        pons pontine midbrain medulla medullary tectum tectal brainstem brnstm brnstem bst hirnstamm
    """,
    ("strong", "deep"): """
        thal thalam thalamus thalamic hypothalamus hypothalamic caudate ganglia capsule insula insular sylvian
        callosum callosal paraventricular periventricular choroid corona radiata putamen lentiform pallidum
        semiovale pineal trigone
    """,
    ("weak", "frontal"): "fr ft fp",
    ("weak", "parietal"): "par",
    ("weak", "cerebellum"): "cer cb",
    ("guess", "falx"): "falx falcine parafalcine",
    ("guess", "cerebellum"): "tentorial tentorium",
    ("guess", "temporal"): "hippocampus hippocampal hippo",
    ("guess", "deep"): "foramen vent ventricle ventricular",
    ("tumor", ""): "tumor tumour tumo tum met mets metastasis lesion",
    ("cavity", ""): "cavity cav bed resect resected resection postop surgical surgery",
    ("structure", ""): """
        bst brainstem brnstm brnstem hirnstamm opt optic nerv nerve nrv tract trct chiasm lens lenses cochlea
        orbit orbits eye eyes eyeball globe pituitary pit stalk hippocampus hippocampal hippo foramen vent
        ventricle retina lacrimal cord
    """,
    ("other", ""): """
        edema oedema oedem peritumoral perilesional flair hyperintensity necrosis necrotic radionecrosis
        vessel meningioma hematoma haematoma hemorrhage haemorrhage infarct csf nawm artifact artefact
        background control contralateral
    """,
    ("margin", ""): "marg margin mrg",
    ("retreatment", ""): "again retreat retreated retreatment retx recur recurrent recurrence",
    ("filler", ""): """
        lobe region horn tip hemis hemisphere gyrus lobule strip basal internal corpus new ked kd op
        partial response coronal coronary temporary template fragment radiosurgery
    """,
}
_VOCABULARY: dict[str, list[Piece]] = {}  # a word may be two things: a brainstem is a place and a structure
for (_kind, _value), _words in _WORDS.items():
    for _word in _words.split():
        _VOCABULARY.setdefault(_word, []).append(Piece(_kind, _value, _word))
_VOCABULARY |= dict.fromkeys(("metastases", "metastase", "metastasen"), _VOCABULARY["metastasis"])
_LONGEST = max(map(len, _VOCABULARY))
_LONG_WORDS = [word for word in _VOCABULARY if len(word) >= 6]
_SIDES = tuple(word for word, pieces in _VOCABULARY.items() if pieces[0].value in ("left", "right"))
# Too short to be found inside words. AN (drawn with cochlea and brainstem): an acoustic neuroma or nerve.
_SHORT_WORDS = {"ml": [Piece("side", "midline", "ml")], "an": [Piece("structure", "", "an")]}
_GERMAN = {
    "li": ("side", "left"),
    "links": ("side", "left"),
    "re": ("side", "right"),
    "rechts": ("side", "right"),
}
_GERMAN |= dict.fromkeys(("auge", "augen", "linse", "linsen", "sehnerv", "hypophyse"), ("structure", ""))
_GERMAN |= dict.fromkeys(("nekrose", "nekrosen", "blutung"), ("other", ""))
_GERMAN |= dict.fromkeys(("hoehle", "resektionshoehle"), ("cavity", ""))
# Drawn for comparison, or to be cut away.
_REFERENCES = "normal healthy reference referenz kontrolle muscle muskel liquor scalp noise bg brainmask"
_ROMANCE = dict.fromkeys(
    ("gauche", "sx", "sinistro", "sinistra", "izq", "izquierdo", "izquierda"), ("side", "left")
)
_ROMANCE |= dict.fromkeys(
    ("droit", "droite", "dx", "destro", "destra", "derecho", "derecha"), ("side", "right")
)
_ROMANCE |= dict.fromkeys(("oedeme", "edeme", "necrose", "necrosi"), ("other", "")) | {
    "cavite": ("cavity", "")
}
_SHORT_WORDS |= {word: [Piece(*meaning, word)] for word, meaning in (_GERMAN | _ROMANCE).items()}
_SHORT_WORDS |= {word: [Piece("other", "", word)] for word in _REFERENCES.split()}
_LIGATURES = str.maketrans(
    {"\u00e4": "ae", "\u00f6": "oe", "\u00fc": "ue", "\u00c4": "Ae", "\u00d6": "Oe", "\u00dc": "Ue"}
    | {"\u00df": "ss", "\u0153": "oe", "\u0152": "Oe"}
)
_MIDLINE = {"vermis", "vermian", "falx", "falcine", "parafalcine", "pineal", "callosum", "callosal"}
_STEM = {"brainstem", "brnstm", "brnstem", "bst", "hirnstamm"}
_LOBES = REGIONS[:4]
_PHRASES = {r"\bbrain stem\b": "brainstem", r"\bp(ost|osterior)? fossa\b": "pfossa", r"\bpost op\b": "postop"}
_PHRASES |= {r"\b(pre|re|before|after|vor|nach) ?rt\b": " "}  # radiotherapy, and no side; "post rt" is one
_AGAIN = re.compile(r"(?<![a-z])re-(?=(?:irradiat|radiat|srs|treat|op|resect))", re.I)  # re alone is right
_PLAN_FILE = re.compile(r"(?<![a-z])rt(?:(?:struct\w*|dose|ss)(?![a-z])|(?=plan(?![a-z])))", re.I)
# A number of a lesion, a reader or a treatment, or a side with a number: nobody can tell.
_NUMBERED = re.compile(r"(?<![a-z])(?:[lr]|rt)(?=\d)|(?<![a-z])rt[ _-](?=(?:19|20)\d\d(?!\d))", re.I)
_TARGET_WORD = re.compile("[pcg]tv|plan|(tgt|target)[a-z]?")
_DENIED = re.compile(
    r"\b(no|not( an?)?|non|kein\w*) (tumou?r|mets?|metasta\w*|lesions?|[pcg]tv)\b"
    r"|\b(deleted?|obsolete|do not use|verworfen|(iso)?dose)\b"
)
_POST_RT = re.compile(r"\bpost rt\b")  # the back on the right, or after radiotherapy
_DOSED = re.compile(r"(?<![a-z0-9])(v[ _-]?\d+([.,]\d+)? ?(c?gy|%)|^\d+([.,]\d+)? ?(c?gy|%)$)", re.I)
_OLDER = re.compile(r"\b(old|older|outdated|superseded|prev|previous|backup|bak|alt)\b")
_UNITS = frozenset({"mm", "gy", "cgy"})
_TARGET = re.compile(r"plan(?![a-z])|(tgt|target)[a-z]?(?![a-z])|[pcg]tv(?![a-z])|\dc?gy", re.I)


def read_name(name: str) -> NameReading:
    """Read a segmentation's name, with or without its `mask_`; the reading depends on nothing else."""
    text = _meant(name)
    numbered = bool(_NUMBERED.search(text))
    text = _NUMBERED.sub(" ", text)
    is_target, is_margin = bool(_TARGET.search(text)), bool(re.search(r"\d ?mm(?![a-z])", text, re.I))
    text = _spaced(re.sub(r"\d ?mm(?![a-z])", " ", _TARGET.sub(" ", text), flags=re.I))
    for pattern, word in _PHRASES.items():
        text = re.sub(pattern, word, text)
    pieces = [piece for token in text.split() for piece in _split(token)]
    category = "target" if is_target else _category(pieces, is_margin)
    if is_denied(name):
        category = "other"
    region, region_confidence = _region(pieces)
    hemisphere, side_confidence = _hemisphere(pieces, region)
    if region == "unknown":  # half a place at most
        confidence = 0.3 * side_confidence if hemisphere != "unknown" else 0.0
    else:
        confidence = region_confidence * side_confidence
    # Another drawing may have taken its place, or the side is none: a person is asked.
    if _OLDER.search(_spaced(name)) or _POST_RT.search(_spaced(name)) or numbered:
        confidence = min(confidence, 0.5) or 0.1
    return NameReading(category, hemisphere, region, round(confidence, 2))


def is_denied(name: str) -> bool:
    """Whether a name says that what it names is no lesion, or is not to be used.

    Example:
        >>> is_denied("not a met, L frontal"), is_denied("GTV_deleted"), is_denied("V12Gy")
        (True, True, True)
    """
    return bool(_DENIED.search(_spaced(name)) or _DOSED.search(name))


def is_of_the_field(name: str) -> bool:
    """Whether a name has a word of a place or of what is drawn; a side, a number or a lobe alone is none.

    Example:
        >>> is_of_the_field("L frontal"), is_of_the_field("Innenohr li"), is_of_the_field("GTV1")
        (True, False, True)
    """
    text = _plain_letters(name)
    pieces = (piece for token in _spaced(_NUMBERED.sub(" ", text)).split() for piece in _split(token))
    return bool(_TARGET.search(text)) or any(piece.kind not in ("side", "filler") for piece in pieces)


def _meant(name: str) -> str:
    """A name in plain letters, without `mask_` and kinds of files of a plan, `re-` as again."""
    text = re.sub(r"^mask_", "", _plain_letters(name))
    return _AGAIN.sub("again ", _PLAN_FILE.sub(" ", text))


def _plain_letters(name: str) -> str:
    """A name without accents, umlauts as two letters."""
    text = unicodedata.normalize("NFD", unicodedata.normalize("NFC", name).translate(_LIGATURES))
    return "".join(letter for letter in text if not unicodedata.combining(letter))


def _spaced(text: str) -> str:
    """The words of a name in small letters, a blank between."""
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)).lower()


def plain_name(name: str) -> str:
    """What a name says in words of the field, hyphens between; all else, such as a surname, is left out.

    Example:
        >>> plain_name("GTV_Smith Lt frontal met2"), plain_name("Smith^John 1954"), plain_name("BrainStem")
        ('gtv-lt-frontal-met-2', 'lesion', 'brainstem')
    """
    text = _meant(name)
    text = _NUMBERED.sub(lambda match: f" {match[0].strip(' _-').lower()}#", text)
    text = " ".join(re.findall(r"(?:[lr]|rt)#\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", text)).lower()
    for pattern, word in _PHRASES.items():
        text = re.sub(pattern, word, text)
    words: list[str] = []
    for token in text.split():
        before = words[-1] if words else ""
        if token.isdecimal() and len(token) <= 2:
            words.append(token)
        elif "#" in token:  # L1: it stays together, to be no side
            words.append(token.replace("#", "")[:4])
        elif (token in _UNITS and before.isdecimal()) or (len(token) == 1 and before in ("tgt", "target")):
            words[-1] += token  # 1mm, 20gy, tgta
        elif _TARGET_WORD.fullmatch(token) or _OLDER.fullmatch(token):
            words.append(token)
        else:
            words += dict.fromkeys(piece.text for piece in _split(token))
    return "-".join(words) if any(not word.isdecimal() for word in words) else "lesion"


@lru_cache(maxsize=4096)
def _split(token: str) -> tuple[Piece, ...]:
    """Cut a lower-case token into known words: fewest letters left over first, then fewest words.

    Example:
        A side, a lobe and what was drawn; two lobes; a misspelled word behind a side, less sure; no word.

        >>> [(piece.value or piece.kind, piece.clarity) for piece in _split("rtfrontalmet")]
        [('right', 1.0), ('frontal', 1.0), ('tumor', 1.0)]
        >>> [(piece.value, piece.clarity) for piece in _split("partemp")]
        [('parietal', 1.0), ('temporal', 1.0)]
        >>> [(piece.value, piece.clarity) for piece in _split("ltcerebelum")]
        [('left', 0.8), ('cerebellum', 0.8)]
        >>> _split("rtxyz")
        ()
    """
    if token in _SHORT_WORDS:
        return tuple(_SHORT_WORDS[token])
    best: list[tuple[int, int, tuple[str, ...]]] = [(0, 0, ())]  # of token[:end]: left over, words, the cut
    for end in range(1, len(token) + 1):
        left_over, count, cut = best[end - 1]
        options = [(left_over + 1, count, (*cut, "?"))]
        for start in range(max(0, end - _LONGEST), end):
            word = token[start:end]
            if word in _VOCABULARY and (start == 0 or word not in _SIDES):
                left_over, count, cut = best[start]
                options.append((left_over, count + 1, (*cut, word)))
        best.append(min(options, key=lambda option: option[:2]))
    left_over, _, cut = best[-1]
    if not left_over:
        return tuple(piece for word in cut for piece in _VOCABULARY[word])
    if guess := _misspelled(token):
        return guess
    # Letters are left over: short words are chance, and a side stands only before known ones.
    long_words = [word for word in cut if len(word) >= 4 and word not in _SIDES]
    if cut[0] in _SIDES and long_words and cut[1] != "?":
        long_words.insert(0, cut[0])
    return tuple(piece._replace(clarity=0.8) for word in long_words for piece in _VOCABULARY[word])


def _misspelled(token: str) -> tuple[Piece, ...]:
    """The long word, with at most a side before it, that the token nearly spells; empty if there is none."""
    best = 0.0
    words: tuple[str, ...] = ()
    for side in ("", *_SIDES):
        stem = token.removeprefix(side)
        if len(stem) < 6 or not token.startswith(side):
            continue
        for word in get_close_matches(stem, _LONG_WORDS, n=1, cutoff=0.8):
            likeness = SequenceMatcher(None, stem, word).ratio()
            if likeness > best:
                best, words = likeness, (side, word) if side else (word,)
    return tuple(piece._replace(clarity=0.8) for word in words for piece in _VOCABULARY[word])


def _category(pieces: list[Piece], is_margin: bool) -> str:
    kinds = {piece.kind for piece in pieces} | ({"margin"} if is_margin else set())
    structures = {piece.text for piece in pieces if piece.kind == "structure"}
    if structures <= _STEM and kinds & {"side", "position", "margin", "retreatment"}:
        structures = set()  # the organ at risk is drawn whole; a part of it is a lesion's place
    if "cavity" in kinds:
        return "cavity"
    if structures and "tumor" not in kinds:
        return "structure"
    if "other" in kinds and "tumor" not in kinds:
        return "other"
    return next((kind for kind in ("margin", "retreatment") if kind in kinds), "lesion")


def _region(pieces: list[Piece]) -> tuple[str, float]:
    """The region and the confidence in it: the first strong word, else a weak one, else a guess."""
    places = [piece for piece in pieces if piece.kind in ("strong", "weak", "guess")]
    strong = [piece for piece in places if piece.kind == "strong"]
    weak = [piece for piece in places if piece.kind == "weak"]
    if strong:
        # A weak lobe right before a strong one makes a compound ("partemp"); else it yields ("FrLatCbl").
        first = strong[0]
        before = pieces[pieces.index(first) - 1] if pieces[0] is not first else first
        if before.kind == "weak" and before.value in _LOBES and first.value in _LOBES:
            return before.value, 1.0 if before.value == first.value else 0.5
        agree = all(piece.value == first.value for piece in strong + weak)
        return first.value, first.clarity * (1.0 if agree else 0.6)
    if weak:
        compound = weak[0].text == "fp" or len({piece.value for piece in weak}) > 1
        return weak[0].value, 0.4 if compound else 0.6
    if not places:
        return "unknown", 0.0
    if places[0].value == "falx":  # it runs from the forehead to the back of the head
        front = any(piece.text in ("ant", "anterior") for piece in pieces)
        return ("frontal", 0.4) if front else ("parietal", 0.3)
    return places[0].value, 0.4 * places[0].clarity


def _hemisphere(pieces: list[Piece], region: str) -> tuple[str, float]:
    """The side and the confidence in it: a spelled side, else the midline that the place implies."""
    sides = {piece.value for piece in pieces if piece.kind == "side"}
    if {"left", "right"} <= sides:
        return "unknown", 0.5
    for side in ("left", "right", "midline"):
        if side in sides:
            return side, 1.0
    if any(piece.text in _MIDLINE for piece in pieces):
        return "midline", 1.0
    return ("midline", 0.8) if region == "brainstem" else ("unknown", 0.7)
