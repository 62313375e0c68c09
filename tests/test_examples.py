"""The worked examples of docstrings say what is so."""

import doctest
from importlib import import_module

import pytest
from repository import HOME

MODULES = sorted(
    ".".join(path.relative_to(HOME).with_suffix("").parts)
    for path in (HOME / "bcbm").rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_an_example_gives_what_stands_under_it(name):
    failed, tried = doctest.testmod(import_module(name))
    assert tried and not failed
