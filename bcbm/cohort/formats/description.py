"""How a cohort is cited and licensed, from the file that describes it."""

from pathlib import Path

from bcbm.errors import InputError, Problem
from bcbm.system.files import read_json

FILE = "dataset_description.json"  # as BIDS names it
MOST = 2**20  # bytes of a description


def citation_in(folder: Path) -> str:
    """Name, authors, DOI, how to acknowledge it and licence of the dataset in a folder; "" for none.

    Raises:
        InputError: its description is damaged, or larger than any.
    """
    path = folder / FILE
    if not path.is_file():
        return ""
    if path.stat().st_size > MOST:
        raise InputError(Problem(str(path), "is larger than any description", "remove it"))
    content = read_json(path, "correct it, or remove it")
    authors = content.get("Authors")
    people = ", ".join(map(str, authors)) if isinstance(authors, list) else ""
    words = [people, *(content.get(name) for name in ("Name", "DatasetDOI", "HowToAcknowledge"))]
    licence = f"Licence {content['License']}" if content.get("License") else ""
    texts = [" ".join(str(word).split()).rstrip(".") for word in (*words, licence) if word]
    return ". ".join(texts) + "." * bool(texts)
