"""`python docs/make.py`: reference/keys.md and reference/commands.md, from the schema and the commands."""

import ast
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
        "Made by `python docs/make.py` from `bcbm/config/schema.py`. A key is set by `key=value` on the",
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


PAGES = {"keys.md": keys, "commands.md": commands}


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
