"""Every kind of bad input and damage: one line that names it, nothing lost, nothing silent, no traceback."""

import hashlib
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from finished_runs import write_run

from damage import KINDS, Kind
from damage.exports import EXPORTED, write_export
from damage.given import LESIONS, write_download
from damage.kind import ANEW, IMAGES, REFUSED
from damage.models import write_model

STATUS = {"audit": 1}  # of a command that has found something and went on; of all others 0
LINES = ("error ", "problem ", "note ")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What is damaged, before it is: a folder by its kind."""
    place = tmp_path_factory.mktemp("given")
    write_download(place / "download")
    write_run(place / "run")
    write_export(place / "export")
    write_model(place / "model")
    folders = {name: place / name for name in ("download", "run", "prepared", "export", "model")}
    alone = Kind("nothing", "prepare", (), ANEW, 0, "prepared", IMAGES, lambda folder: None)
    with pytest.MonkeyPatch.context() as patch:
        assert ended("prepare", command_words(alone, folders), patch) == 0
    return folders


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BCBM_CACHE", str(tmp_path / "cache"))
    return tmp_path


def ended(verb: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Call a command as the interpreter would, in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", [verb, *words])
    return int(import_module(f"bcbm.{verb}").main())


def sums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of a folder but a run's log, which tells of it."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "log.txt"
    }


def command_words(kind: Kind, given: dict[str, Path]) -> list[str]:
    """The words of a kind's command, on what is given to it."""
    if kind.given == "run":
        return [str(given["run"])]
    if kind.given == "export":
        return [str(given["export"]), "out=out", "ingest.brain=none", "prepared.jobs=1"]
    if kind.given == "model":
        return [str(given["model"]), "cohort.root=DIR", "out=out"]
    if not kind.given:
        return [*kind.words]
    places = [f"cohort.root={given['download']}", f"prepared.root={given['prepared']}", "run.root=runs"]
    return [*places, "prepared.jobs=1", *kind.words]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_of_damage_is_named_in_one_line_and_costs_nothing_else(
    kind, sound, place, monkeypatch, capsys
):
    given = {name: place / name for name in sound}
    for name in {"prepared": ("download", "prepared")}.get(kind.given, filter(None, [kind.given])):
        shutil.copytree(sound[name], given[name])
    words = command_words(kind, given)
    words += kind.damage(given.get(kind.given, place)) or []
    source = given[kind.given if kind.given in ("run", "export", "model") else "download"]
    before = sums(source)
    status = ended(kind.command, words, monkeypatch)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert sums(source) == before, "what was given is changed"
    lines = [line for line in (out + err).splitlines() if line.startswith(LINES)]
    if kind.end != ANEW:
        naming = [line for line in lines if all(fact in line for fact in kind.facts)]
        assert naming, "\n".join(lines) or out + err
    if kind.end == REFUSED:
        assert status == 2
        assert not list(place.glob("runs/*/*")), "a run folder is left behind"
        return
    assert status == STATUS.get(kind.command, 0)
    if kind.end == ANEW:
        assert sums(given["prepared"]) == sums(sound["prepared"])
    elif kind.command == "ingest":
        assert len(pd.read_csv(place / "out" / "manifest.csv")) == EXPORTED - kind.lost
    elif kind.command == "prepare":
        table = pd.read_parquet(given["prepared"] / "lesions.parquet")
        assert (~table["excluded"]).sum() == LESIONS - kind.lost
        assert table.loc[table["excluded"], "reason"].ne("").all()


def test_what_is_given_is_sound(sound):
    table = pd.read_parquet(sound["prepared"] / "lesions.parquet")
    assert len(table) == LESIONS and not table["excluded"].any()
