"""Texts as people write them: blanks, letters that look alike, in any script and with any accent."""

import re
import unicodedata

EMPTY = ("", "nan", "<na>")  # cells of missing values, as text
# Small letters of Greek and Cyrillic, and the Latin ones that they or their capitals look like.
LOOK_ALIKES = str.maketrans("αβεζηικμνορτυχавекмнорстухіјѕԁԛԝһ", "abezhikmnoptyxabekmhopctyxijsdqwh")
_STROKES = str.maketrans("l1|\u0131", "iiii")


def cell_text(cell: object) -> str:
    """A cell as text, blanks collapsed, signs that nobody sees left out; empty where it is missing."""
    plain = "" if cell is None else "".join(sign for sign in str(cell) if unicodedata.category(sign) != "Cf")
    text = " ".join(plain.split())
    return "" if text.lower() in EMPTY else text


def folded(text: str) -> str:
    """A text without what two ways of writing the same letters differ in, case included."""
    return unicodedata.normalize("NFKC", text).casefold()


def letters(text: str) -> str:
    """What a reader sees of a word: no case, accents, blanks or signs, and one for all that look alike.

    Example:
        >>> letters("Élevé") == letters("eleve"), letters("lIl") == letters("III")
        (True, True)
    """
    apart = unicodedata.normalize("NFKD", folded(text))
    return "".join(filter(str.isalnum, apart.translate(LOOK_ALIKES).translate(_STROKES)))


def underscored(heading: str) -> str:
    """A heading in small letters, whatever stands between its words as an underscore.

    Example:
        >>> underscored("ER (primary)"), underscored(" Age [years] ")
        ('er_primary', 'age_years')
    """
    return re.sub(r"[\W_]+", "_", heading.casefold()).strip("_")
