"""The eight kinds of leak: each has a guard in words and tests that are there."""

import ast
import re

from repository import HOME

PAGE = (HOME / "docs/explanation/leaks.md").read_text()


def test_each_of_the_eight_kinds_names_a_guard_and_tests_that_are_there():
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if "`tests/" in line]
    assert len(rows) == 8
    for kind, guard, tests in rows:
        names = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", tests)
        assert kind and guard and names
        for path, name in names:
            functions = ast.parse((HOME / path).read_text()).body
            assert name in {item.name for item in functions if isinstance(item, ast.FunctionDef)}, name
