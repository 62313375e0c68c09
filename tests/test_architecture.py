"""Rooms import one way, read from the source: cohort -> features -> data -> model -> commands."""

import ast

import pytest

from bcbm.config import HOME

SOURCE = HOME / "bcbm"
LEAVES = {"schema", "whole", "processes"}  # they import nothing of ours, and all may import them
ALLOWED = {
    **{leaf: set() for leaf in LEAVES},
    "checks": set(),
    "config": {"checks"},
    "help": set(),
    "tracking": {"config"},
    "cohort": set(),
    "features": {"cohort"},
    "data": {"cohort", "features"},
    "evaluation": {"cohort"},
    "reading": {"cohort", "features"},
    "prepare": {"cohort", "features", "data", "evaluation", "reading", "command"},
    "predictions": {"cohort", "evaluation"},
    "dashboard": {"evaluation", "config", "tracking"},
    "model": {"cohort", "features", "data", "evaluation", "predictions", "config", "tracking", "dashboard"},
    "baselines": {"cohort", "features", "data", "evaluation", "predictions", "reading", "tracking"},
    "parallel": {"cohort", "reading"},
    "search": {"config", "cohort", "features", "data", "evaluation", "predictions", "model", "baselines"}
    | {"tracking", "training", "tuning", "dashboard"}
    | {"fit", "compare"},  # after a search
}  # anything else is a command and may import all
FILES = sorted(SOURCE.rglob("*.py"))


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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_room_imports_only_what_lies_before_it(path):
    here = room(path)
    if here not in ALLOWED:
        return
    rooms = {p.name.removesuffix(".py") for p in SOURCE.iterdir()}
    used = {m.split(".")[1] for m in imports(path) if m.startswith("bcbm.")} & rooms
    assert used <= ALLOWED[here] | {here} | (set() if here in LEAVES else LEAVES)


def test_the_rooms_are_there_to_be_checked():
    assert set(ALLOWED) <= {room(path) for path in FILES}


def test_prepare_imports_command_only_inside_its_own():
    top = [
        node
        for node in ast.parse((SOURCE / "prepare.py").read_text()).body
        if isinstance(node, ast.ImportFrom)
    ]
    assert "bcbm.command" not in {node.module for node in top}


def test_only_augmentation_imports_torchio():
    users = [
        str(p.relative_to(SOURCE)) for p in FILES if any(m.split(".")[0] == "torchio" for m in imports(p))
    ]
    assert users == ["data/augment.py"]


def test_statistics_need_no_classical_models_either():
    users = {room(p) for p in FILES if any(m.split(".")[0] == "sklearn" for m in imports(p))}
    assert users and "evaluation" not in users


@pytest.mark.parametrize("library", ["torch", "lightning", "monai", "wandb"])
def test_tables_and_figures_need_no_deep_learning(library):
    rooms = LEAVES | {"config", "cohort", "features", "evaluation", "reading", "prepare", "audit"}
    rooms |= {"baselines", "leakcheck"}
    for path in FILES:
        if room(path) in rooms:
            assert library not in {m.split(".")[0] for m in imports(path)}, path
