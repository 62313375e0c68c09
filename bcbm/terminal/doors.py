"""The commands, read from their files without importing them."""

import ast
import sys
from pathlib import Path


def doors() -> dict[str, str]:
    """Every command by its verb, in alphabetical order, with the first line of its docstring.

    A command is a file of the package that defines `main`, such as `bcbm/fit.py`.
    """
    lines = {}
    for path in sorted(
        path for folder in sys.modules["bcbm"].__path__ for path in Path(folder).glob("[!_]*.py")
    ):
        content = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in content.body):
            lines[path.stem] = (ast.get_docstring(content) or "").partition("\n")[0]
    return dict(sorted(lines.items()))


def manual(verb: str) -> tuple[str, tuple[str, ...]]:
    """The docstring of a command, and its KEYS: the keys, or groups of them, that matter to it first.

    Raises:
        KeyError: there is no such command.
    """
    for folder in sys.modules["bcbm"].__path__:
        if (path := Path(folder) / f"{verb}.py").is_file():
            content = ast.parse(path.read_text(encoding="utf-8"))
            named = {
                ast.unparse(node.targets[0]): node.value
                for node in content.body
                if isinstance(node, ast.Assign)
            }
            keys = ast.literal_eval(named["KEYS"]) if "KEYS" in named else ()
            return ast.get_docstring(content) or "", keys
    raise KeyError(verb)
