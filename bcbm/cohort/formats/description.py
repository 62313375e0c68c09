"""How a cohort is cited and licensed, from the file that describes it."""

from pathlib import Path
from typing import Any

from bcbm.errors import InputError, Problem
from bcbm.system.files import is_broken_link, read_json

FILE = "dataset_description.json"  # as BIDS names it
MOST = 2**22  # bytes of a description


def read_description(path: Path) -> dict[str, Any]:
    """What a JSON file that describes others holds; nothing where there is none.

    Raises:
        InputError: it is no object of JSON, larger than any description, or a link to what is not there.
    """
    if is_broken_link(path):
        raise InputError(Problem(str(path), "is a link to what is not there", "fetch it, or remove it"))
    if not path.is_file():
        return {}
    if path.stat().st_size > MOST:
        raise InputError(Problem(str(path), "is larger than any description", "remove it"))
    content: dict[str, Any] = read_json(path, "correct it, or remove it")
    return content


def citation_in(folder: Path) -> str:
    """Name, authors, DOI, how to acknowledge it and licence of the dataset in a folder; "" for none.

    Raises:
        InputError: its description is damaged, or larger than any.
    """
    content = read_description(folder / FILE)
    authors = content.get("Authors")
    people = ", ".join(map(str, authors)) if isinstance(authors, list) else ""
    words = [people, *(content.get(name) for name in ("Name", "DatasetDOI", "HowToAcknowledge"))]
    licence = f"Licence {content['License']}" if content.get("License") else ""
    texts = [" ".join(str(word).split()).rstrip(".") for word in (*words, licence) if word]
    return ". ".join(texts) + "." * bool(texts)
