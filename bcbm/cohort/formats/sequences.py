"""What the names of files say of the images in them: which sequence, and whether after contrast."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

_POST = """
    t1c t1ce t1gd t1post t1wce ce gd gad gado gadolinium km mdc inj post postcontrast postgd contrast kontrast
"""
POST = frozenset(_POST.split())
_GLUED = re.compile(  # T1KM, of two words; cm is a contrast medium there
    r"(t1w?|mprage|mpr|spgr|bravo|vibe|tfe)(km|cm|gado\w*|gad|gd|contrast|kontrast|post\w*|inj|mdc|pre|nativ\w*)"
)
_SEQUENCES = "flair t2 t2w t2f t1n dwi adc swi swan tof pdw rcbv cbv cbf mtt precontrast noncontrast ct pet"
_OTHERS = frozenset(_SEQUENCES.split())
_BEFORE = frozenset(["pre", "nativ", "native", "unenhanced"])  # contrast, unless a word says it was given
_DIFFERENCES = frozenset(["minus", "subtr", "subtraction", "subtracted", "subtraktion", "difference"])
_TREATMENT = re.compile("op|surg.*|resection|rt|srs|radi(?!olog).*|chemo.*|tx|treatment")
_T1 = re.compile("t1|mpr|bravo|reg|to$|in$|space$")  # a T1, or an image brought to another one's grid
# Before a word of contrast they deny it: no gad, ohne KM, w/o and o. KM.
_DENIALS = """
    no non not none zero o ohne kein keine keinen vor prae pra sans avant sin senza sem zonder geen utan uden
    uten ingen ilman bez fara before minus
"""
DENYING = frozenset(_DENIALS.split())


def is_post(words: Sequence[str]) -> bool:
    """Whether words of a file's name say that it is post-contrast: one of POST, which none before it denies.

    Example:
        >>> is_post(["t1", "gd"]), is_post(["t1", "without", "gd"]), is_post(["t1", "post", "op"])
        (True, False, False)
    """
    denying, words = DENYING | {"pre", "without", "wo"}, _untimed(words)
    return _DIFFERENCES.isdisjoint(words) and any(
        {word, word.rstrip("0123456789")} & POST and (before not in denying or word.startswith("t1"))
        for before, word in pairwise(["", *words])
    )


def _untimed(words: Sequence[str]) -> list[str]:
    """Words without pre and post where those are of a treatment, and native where it is of a space."""
    pairs = list(zip(words, [*words[1:], ""], strict=True))
    timed = {place for place, (word, after) in enumerate(pairs) if _is_of_time(word, after)}
    return [word for place, word in enumerate(words) if place not in timed and place - 1 not in timed]


def _is_of_time(word: str, after: str) -> bool:
    treated = word in ("pre", "post") and bool(_TREATMENT.fullmatch(after))
    return treated or (word, after) == ("native", "space")


def sequence_of(image: str) -> Literal["post", "other", ""]:
    """What the name of an image says of it: a post-contrast T1, another sequence, or neither."""
    words = _untimed(words_of_name(image))
    if is_post(words):  # a FLAIR may be taken after contrast, and a T1 be registered to a FLAIR
        pairs = pairwise(["", *words])
        named = [word for before, word in pairs if not (word == "space" and before in _OTHERS)]
        return "post" if _OTHERS.isdisjoint(words) or any(map(_T1.match, named)) else "other"
    return "other" if {*words} & (_OTHERS | POST | _DIFFERENCES | _BEFORE) else ""


def words_of_name(text: str) -> list[str]:
    """The words of a file's name, in small letters."""
    words = re.split(r"[\W_]+", plain_letters(stem_of(text)).casefold())
    glued = [None if word in POST else _GLUED.fullmatch(word) for word in words]
    parts = [(match[1], match[2].replace("cm", "km")) if match else () for match in glued]
    return [each for word, own in zip(words, parts, strict=True) for each in own or (word,)]


def plain_letters(text: str) -> str:
    """A text without the accents of its letters: fără is fara, prä pra."""
    return "".join(sign for sign in unicodedata.normalize("NFD", text) if not unicodedata.combining(sign))


def stem_of(text: str) -> str:
    """The name of a file without its folders and `.nii` or `.nii.gz`."""
    name = text.replace("\\", "/").rpartition("/")[2]
    return name.removesuffix(".gz").removesuffix(".nii")
