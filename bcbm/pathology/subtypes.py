"""What columns beside the receptors say of them: subtypes, hormone receptors together, triple-negative."""

import re

from bcbm.pathology.statuses import KINDS, plain

_SIGN = r"\W{0,2}(\+|-|pos\w*|neg\w*)"
_HEADINGS = {  # letters and digits alone
    "subtype": r"(molecular|receptor|intrinsic|biological|breastcancer|tumou?r)?subtype",
    "hormones": r"(hr|hormonere[cz]eptors?)(status)?",
    "triple": r"tnbc|triplenegative",
}


def subtype_kind(heading: str) -> str:
    """What of it a column holds, by its heading: subtype, hormones or triple; else "".

    Example:
        >>> subtype_kind("Molecular subtype"), subtype_kind("HR status"), subtype_kind("HER2")
        ('subtype', 'hormones', '')
    """
    letters = re.sub(r"[\W_]", "", heading.casefold())
    return next((kind for kind, form in _HEADINGS.items() if re.fullmatch(form, letters)), "")


def subtype_says(kind: str, cell: str) -> dict[str, float]:
    """The labels that a cell of such a column says for sure: of HR (ER or PR) and of HER2.

    Example:
        >>> [subtype_says("subtype", cell) for cell in ("HR+/HER2-", "Luminal A")]
        [{'HR': 1.0, 'HER2': 0.0}, {'HR': 1.0}]
    """
    text = plain(cell)
    word = {"1": "positive", "0": "negative"}.get(text, KINDS.get(text, ""))
    if kind == "hormones":
        return {"HR": float(word == "positive")} if word in ("positive", "negative") else {}
    if re.search(r"\btnbc\b|triple\W?neg", text) or (kind == "triple" and word == "positive"):
        return {"HR": 0.0, "HER2": 0.0}
    if kind == "triple":
        return {}
    signs = {
        "HR": re.search(rf"\bh(?:o?r|ormone receptors?){_SIGN}", text),
        "HER2": re.search(rf"\bher-?2{_SIGN}", text),
    }
    said = {name: float(match[1][0] in "+p") for name, match in signs.items() if match}
    return {"HR": 1.0} | said if "luminal" in text else said
