"""Commands are listed from their files: one file more is one command more."""

import subprocess
import sys

from repository import HOME

import bcbm
from bcbm.terminal.doors import doors


def test_every_command_is_listed_with_one_line_of_help():
    listed = doors()
    assert {"fit", "evaluate", "compare", "sweep", "audit", "prepare"} <= set(listed)
    assert not {"errors", "__init__"} & set(listed)
    assert list(listed) == sorted(listed)
    for verb, line in listed.items():
        assert 20 < len(line) < 100 and line[0].isupper() and line.endswith("."), verb
        assert f"bcbm.{verb}" in (HOME / "bcbm" / f"{verb}.py").read_text(), "its usage stands below"


def test_a_file_in_a_folder_of_the_package_is_a_command(tmp_path, monkeypatch):
    (tmp_path / "greet.py").write_text('"""Greet the patient.\n\nMore."""\n\n\ndef main():\n    return 0\n')
    (tmp_path / "tool.py").write_text('"""No command."""\n')
    (tmp_path / "broken.py").write_text(
        '"""Import nothing."""\n\nimport nowhere\n\n\ndef main():\n    return 0\n'
    )
    before = doors()
    monkeypatch.setattr(bcbm, "__path__", [*bcbm.__path__, str(tmp_path)])
    assert doors() == {**before, "greet": "Greet the patient.", "broken": "Import nothing."}


def test_commands_are_listed_without_loading_them():
    words = "import sys; from bcbm.terminal.doors import doors; doors(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "pandas", "omegaconf", "rich", *(f"bcbm.{verb}" for verb in doors())}
