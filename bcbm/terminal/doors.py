"""The commands, read from their files without importing them."""

import ast
from pathlib import Path

import bcbm


def doors() -> dict[str, str]:
    """Every command by its verb, in alphabetical order, with the first line of its docstring.

    A command is a file of the package that defines `main`, such as `bcbm/fit.py`.
    """
    lines = {}
    for path in sorted(path for folder in bcbm.__path__ for path in Path(folder).glob("[!_]*.py")):
        content = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in content.body):
            lines[path.stem] = (ast.get_docstring(content) or "").partition("\n")[0]
    return dict(sorted(lines.items()))
