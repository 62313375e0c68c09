"""`python docs/make.py`: reference/{keys,commands,damage,labels}.md, from schema, commands and tests."""

import ast
import sys
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any

from bcbm.config.schema import Config, described_keys

BOUNDS = {"least": "at least", "most": "at most", "above": "above", "below": "below"}
DOCS = Path(__file__).resolve().parent
SOURCE = DOCS.parent / "bcbm"


def keys() -> str:
    """Every settable key, a table a section."""
    lines = [
        "# Keys",
        "",
        "Made by `python docs/make.py` from `bcbm/config/schema/`. A key is set by `key=value` on the",
        "command line or in a YAML of `experiments/`; `python -m bcbm.fit --help` prints the same list.",
    ]
    rows = sorted(described_keys(), key=lambda row: "." in row[0])  # top-level keys first, the order stays
    for section, members in groupby(rows, key=lambda row: row[0].rpartition(".")[0]):
        schema = _schema(section)
        lines += ["", f"## {section or 'Of the whole'}", "", (type(schema).__doc__ or "").strip(), ""]
        lines += ["| key | type or choices | default | meaning |", "|---|---|---|---|"]
        bounds = {item.name: _bounds(item.metadata.get("bounds", {})) for item in fields(schema)}
        for name, kind, default, text in members:
            kind = ", ".join(filter(None, [kind.replace(" | None", ""), bounds[name.rpartition(".")[2]]]))
            cells = [f"`{name}`", kind, "" if default == "None" else f"`{default}`", text]
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """What every command says of itself."""
    lines = ["# Commands", "", "Made by `python docs/make.py` from the commands themselves.", ""]
    lines += ["`bcbm VERB ...` and `python -m bcbm.VERB ...` are the same; `bcbm` alone lists the verbs.", ""]
    for path in sorted(SOURCE.glob("[a-z]*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(item, ast.FunctionDef) and item.name == "main" for item in module.body):
            text = (ast.get_docstring(module) or "").replace("\n\npython -m", "\n\n    python -m")
            lines += [f"## {path.stem}", "", text, ""]
    return "\n".join(lines)


def damage() -> str:
    """Every kind of bad input and damage that the tests try, a table for each thing that is damaged."""
    sys.path.insert(0, str(DOCS.parent / "tests"))
    from damage import KINDS

    lines = [
        "# Bad input and damage",
        "",
        f"Made by `python docs/make.py` from the {len(KINDS)} kinds in `tests/damage/`, where each is done",
        "to a small cohort or run: the command says it in one line that holds the words of the last column,",
        "without a traceback; what was given stays as it is, and whatever is not damaged goes on.",
    ]
    for module, kinds in groupby(KINDS.values(), key=lambda kind: kind.damage.__module__):
        lines += ["", f"## {(sys.modules[module].__doc__ or '').strip().rstrip('.')}", ""]
        lines += ["| kind | command | how it ends | what the line holds |", "|---|---|---|---|"]
        for kind in kinds:
            lost = f"; lesions that do not enter: {kind.lost}" if kind.lost else ""
            facts = ", ".join(f"`{fact}`" for fact in kind.facts)
            lines.append(f"| {kind.name} | {kind.command} | {kind.end}{lost} | {facts} |")
    return "\n".join(lines) + "\n"


def labels() -> str:
    """How spellings of receptor labels are read, a table for the hormone receptors and one for HER2."""
    sys.path.insert(0, str(DOCS.parent / "tests"))
    from spellings import HER2, HORMONE, TWO_MEANINGS

    from bcbm.pathology.receptors import read_statuses
    from bcbm.pathology.statuses import Meanings

    lines = [
        "# Labels",
        "",
        f"Made by `python docs/make.py` from the {len(HORMONE) + len(HER2)} spellings of",
        "`tests/spellings.py`, each of which a test reads. Case and blanks do not count; the receptor may",
        "stand before (`ER+`). What is not understood, or contradicts itself, is a problem with its row, and",
        "counts as missing.",
    ]
    for title, receptor, spellings in (("ER and PR", "ER", HORMONE), ("HER2", "HER2", HER2)):
        low = "low or more (`HER2_low`)" if receptor == "HER2" else "low-positive (`ER_low`, `PR_low`)"
        lines += ["", f"## {title}", "", f"| cell | reads as | {low} | why |", "|---|---|---|---|"]
        for cell, label, among, others in spellings:
            beside = f" beside {', '.join(f'`{other}`' for other in others)}" if others else ""
            status = read_statuses(receptor, [cell, *others])[0]
            shown = f"`{cell}`" if cell else "an empty cell"
            lines.append(f"| {shown}{beside} | {label} | {among} | {status.why} |")
    lines += ["", "## Columns of two meanings", "", "Refused before any work.", ""]
    lines += ["| column | cells | why | what to write |", "|---|---|---|---|"]
    for receptor, columns in TWO_MEANINGS.items():
        for cells in columns:
            try:
                read_statuses(receptor, cells)
            except Meanings as error:
                shown = ", ".join(f"`{cell}`" for cell in cells)
                lines.append(f"| {receptor} | {shown} | {error} | {error.remedy} |")
    return "\n".join(lines) + "\n"


PAGES = {"keys.md": keys, "commands.md": commands, "damage.md": damage, "labels.md": labels}


def _schema(section: str) -> Any:
    """A section of the schema with its defaults."""
    schema = Config()
    for name in section.split(".") if section else []:
        schema = getattr(schema, name)
    return schema


def _bounds(bounds: dict[str, float]) -> str:
    return ", ".join(f"{words} {bounds[name]:g}" for name, words in BOUNDS.items() if name in bounds)


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / "reference" / name).write_text(page())
