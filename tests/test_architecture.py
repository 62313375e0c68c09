"""Rooms import one way, read from the source; no room imports a door, none holds too much of the house."""

import ast

import pytest
from repository import HOME

SOURCE = HOME / "bcbm"
# From the ground up: a room imports what stands before it; of those in one line none imports another.
ORDER = (
    {"errors"},
    {"system"},
    {"config"},
    {"terminal", "pathology"},
    {"cohort"},
    {"features", "statistics"},
    {"modalities"},
    {"data", "runs"},
    {"report", "preparation"},
    {"tracking", "imaging"},
    {"model", "baselines"},
    {"crossvalidation"},
    {"comparison", "explanation", "prediction"},
    {"search", "validation"},
)
ROOMS = set().union(*ORDER)
MOST = 0.18  # of all lines, in one room
FILES = sorted(SOURCE.rglob("*.py"))
DOORS = {path.stem for path in SOURCE.glob("*.py")} - {"errors", "__init__"}


def imports(path):
    """Modules that a file imports, also inside functions; relative ones are made absolute."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = list(path.relative_to(HOME).parent.parts)
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def before(name):
    place = next(number for number, rooms in enumerate(ORDER) if name in rooms)
    return set().union(*ORDER[:place])


def test_every_room_has_its_place():
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms | {"errors"} == ROOMS


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_room_imports_only_what_stands_before_it(path):
    here = room(path)
    used = {m.split(".")[1] for m in imports(path) if m.startswith("bcbm.")} & (ROOMS | DOORS)
    if here in ROOMS:
        assert used <= before(here) | {here}
    else:
        public = {"interface"} if here == "__init__" else set()
        assert used & DOORS <= {here} | public, "a door imports another"


def test_no_room_holds_too_much():
    lines = {}
    for path in [*FILES, *SOURCE.rglob("*.j2"), *SOURCE.rglob("*.css")]:
        lines[room(path)] = lines.get(room(path), 0) + len(path.read_text().splitlines())
    shares = {name: count / sum(lines.values()) for name, count in lines.items()}
    assert max(shares.values()) <= MOST, shares


def test_only_augmentation_imports_torchio():
    users = [
        str(p.relative_to(SOURCE)) for p in FILES if any(m.split(".")[0] == "torchio" for m in imports(p))
    ]
    assert users == ["data/augmentation/single.py"]


def test_statistics_need_no_classical_models_either():
    users = {room(p) for p in FILES if any(m.split(".")[0] == "sklearn" for m in imports(p))}
    assert users == {"baselines"}


@pytest.mark.parametrize("library", ["torch", "lightning", "monai", "wandb"])
def test_tables_and_figures_need_no_deep_learning(library):
    rooms = before("model") - {"data", "tracking"} | {
        "baselines",
        "comparison",
        "audit",
        "prepare",
        "leakcheck",
    }
    for path in FILES:
        if room(path) in rooms:
            assert library not in {m.split(".")[0] for m in imports(path)}, path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_that_only_unix_has_is_touched_at_import(path):
    tree = ast.parse(path.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {id(node) for function in functions for part in function.body for node in ast.walk(part)}
    outside = [node for node in ast.walk(tree) if id(node) not in inside]
    modules = {alias.name for node in outside if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in outside if isinstance(node, ast.ImportFrom)}
    assert not modules & {"resource", "fcntl", "pwd", "grp", "termios", "syslog"}
    names = {ast.unparse(node) for node in outside if isinstance(node, ast.Attribute)}
    assert not names & {"signal.SIGUSR1", "signal.SIGUSR2", "signal.SIGKILL", "signal.SIGHUP", "os.killpg"}
