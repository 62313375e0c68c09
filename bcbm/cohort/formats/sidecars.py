"""What the JSON files beside the tables and images of BIDS say of them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bcbm.cohort.formats.description import read_description
from bcbm.cohort.labels import PRIMARY
from bcbm.errors import Problem
from bcbm.pathology.receptors import read_statuses, receptor_of
from bcbm.pathology.statuses import Meanings

# What a sidecar says of how an image was taken: the column and what its number is multiplied by.
SIDECAR = {
    "Manufacturer": ("manufacturer", 0.0),
    "MagneticFieldStrength": ("field_strength", 1.0),
    "RepetitionTime": ("tr", 1000.0),
    "EchoTime": ("te", 1000.0),
    "InstitutionName": ("site", 0.0),
}


def column_meanings(path: Path) -> dict[str, dict[str, str]]:
    """What a column's levels mean, by column and level, from the file that describes a table."""
    content = read_description(path)
    meanings: dict[str, dict[str, str]] = {}
    for column, description in content.items():
        levels = description.get("Levels") if isinstance(description, dict) else None
        if isinstance(levels, dict):
            words = {
                str(level): str(text.get("Description", level) if isinstance(text, dict) else text)
                for level, text in levels.items()
            }
            meanings[str(column)] = words
    return meanings


def worded(
    table: pd.DataFrame, meanings: Mapping[str, Mapping[str, str]], where: str, problems: list[Problem]
) -> pd.DataFrame:
    """Cells as their levels are described: by one word, or of a receptor by more that are understood.

    Args:
        table: as read.
        meanings: of levels, by column.
        where: what describes them, for messages.
        problems: gets the descriptions of a receptor's cells that are not understood.
    """
    table = table.copy()
    for name, levels in meanings.items():
        if name not in table:
            continue
        cells = [str(cell) for cell in table[name]]
        words = {level: text for level, text in levels.items() if len(text.split()) == 1 or text == level}
        for level in sorted(set(cells) & set(levels) - set(words)):
            if not (receptor := receptor_of(name.removeprefix(PRIMARY))):
                continue
            if _is_understood(receptor, levels[level]):
                words[level] = levels[level]
            else:
                found = f"{name} {level} is '{levels[level]}', which is not understood"
                remedy = "describe it as positive or negative; the cells count as they stand"
                problems.append(Problem(where, found, remedy, "level not understood"))
        table[name] = [words.get(text, cell) for text, cell in zip(cells, table[name], strict=True)]
    return table


def _is_understood(receptor: str, text: str) -> bool:
    try:
        return read_statuses(receptor, [text])[0].readable
    except Meanings:
        return False


def described(image: Path | None) -> dict[str, str]:
    """Acquisition columns from the sidecar of an image."""
    if image is None:
        return {}
    content = read_description(image.with_name(f"{image.name.partition('.')[0]}.json"))
    columns = {}
    for key, (name, factor) in SIDECAR.items():
        value = content.get(key)
        if isinstance(value, int | float) and factor and not isinstance(value, bool):
            columns[name] = f"{value * factor:.10g}"
        elif isinstance(value, str) and not factor:
            columns[name] = value
    return columns
