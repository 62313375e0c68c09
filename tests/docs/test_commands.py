"""Every command of README and docs: run on small data, or, where it needs what is not there, read to the end.

A `sh` block is run line by line, with the placeholders below filled in and the words of SMALL behind its own;
a `python` block as it stands, with those words in each `compose`, but for the files of modules, `# NAME.py`.
A block under `<!-- needs: WHAT -->` is not run, but its commands and keys must exist.
"""

import re
import runpy
import shlex
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from damage.exports import write_export
from layouts import small_signs, write_manifest, write_small_bids, write_small_folder
from repository import HOME

from bcbm.cohort.formats.tcia import read_download
from bcbm.config.compose import compose

PAGES = [HOME / "README.md", *sorted((HOME / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:<!-- needs: (?P<needs>.+?) -->\n)?```sh\n(?P<lines>.*?)```", re.DOTALL)
SNIPPET = re.compile(
    r"(?P<needs><!-- needs: .+? -->\n)?```python\n(?P<text>(?!# \w+\.py\n).*?)```", re.DOTALL
)
TABLES = ["task.modalities=[radiomics,position]", "cohort.position=name", "prepared.jobs=1"]
FIT = [*TABLES, "cohort.synthetic.patients=40", "cohort.synthetic.images=false", "data.workers=0"]
FIT += ["trainer.max_epochs=1", "split.folds=2", "split.repeats=1", "bootstrap=20", "tracking=csv"]
FIT += ["baseline.trees=20", "task.targets=[HER2]"]
SWEEP = ["trials=1", "outer=0", "refit=false", "workers=1", "split.inner=2"]
# What makes a command small, by its verb, behind the words that the document gives it.
SMALL = {
    **dict.fromkeys(("audit", "prepare"), TABLES),
    **dict.fromkeys(("fit", "compare", "leakcheck"), FIT),
    "sweep": [*FIT, *SWEEP],
    "ingest": ["ingest.brain=none", "prepared.jobs=1"],
    "evaluate": [],
    "overview": [],
    "cache": [],
    "export": [],
    "predict": ["prepared.jobs=1"],
    "validate": ["prepared.jobs=1", "bootstrap=50"],
    "explain": [],
}
FINISHED = ("demo", "demo+fusion/gated")  # experiments of which `runs/<experiment>/TIME` is a finished run
CI = (HOME / ".ci" / "run").read_text().splitlines()
OWN_WORDS = {"sweep", "workers", "storage", "trials", "minutes", "outer", "refit", "against"}
OWN_WORDS |= {"image", "mask", "dicom", "out"}


def blocks():
    """(page, what it needs, command) of every line of every `sh` block; long lines are joined."""
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text()):
            for line in block["lines"].replace("\\\n", " ").splitlines():
                if words := shlex.split(line, comments=True):
                    yield page.relative_to(HOME).as_posix(), block["needs"], words


def in_ci(words):
    """Whether `.ci/run` gives the command: the README's two, which install, or a line of its own."""
    return words[:4] == ["python3.11", "-m", "venv", ".venv"] or " ".join(words) in CI


COMMANDS = list(blocks())
IN_CI = [words for _, _, words in COMMANDS if in_ci(words)]
RUN = [words for _, needs, words in COMMANDS if needs is None and not in_ci(words)]
MARKED = [(page, words) for page, needs, words in COMMANDS if needs is not None]
SNIPPETS = [(page.name, block) for page in PAGES for block in SNIPPET.finditer(page.read_text())]


def verb_of(words):
    """The command of ours that a line calls and what it gives it; None for any other program."""
    if "-m" in words and words[words.index("-m") + 1].startswith("bcbm."):
        place = words.index("-m") + 1
        return words[place].removeprefix("bcbm."), words[place + 1 :]
    if words[0] in ("bcbm", ".venv/bin/bcbm"):
        return words[1], words[2:]
    return None


def call(argv, module=None, script=None):
    """Run a module or a script as the interpreter would, in this process; returns the exit status."""
    before, sys.argv = sys.argv, [str(script or module), *argv]
    try:
        if script:
            runpy.run_path(str(script), run_name="__main__")
        else:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return ended.code or 0
    finally:
        sys.argv = before
    return 0


@pytest.fixture(scope="module")
def place(tmp_path_factory, table_cohort):
    """A folder to run commands in, and what stands for each placeholder there."""
    folder = tmp_path_factory.mktemp("docs")
    names = folder / "names.csv"
    names.write_text("name,category,hemisphere,region\n")
    (folder / "docs").symlink_to(HOME / "docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BCBM_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("WANDB_MODE", "disabled")
        patch.setattr("bcbm.baselines.leakcheck.DRAWS", 2)
        patch.setattr("bcbm.baselines.leakcheck.REPEATS", 2)
        patch.setattr("bcbm.baselines.leakcheck.SHARES", (0.5,))
        patch.setattr("bcbm.baselines.leak.TREES", 5)
        manifest, other, bids = folder / "own", folder / "others", folder / "bids"
        download = read_download(table_cohort)
        write_manifest(download, manifest)
        scale = 1.1 + 0.01 * np.arange(len(download.features))[:, None]  # other lesions, or they were copies
        write_manifest(replace(download, features=download.features * scale), other)
        write_small_bids(bids)
        filled = {"=DIR": f"={table_cohort}"}
        filled |= {"MANIFEST": str(manifest), "OTHER": str(other), "=BIDS": f"={bids}"}
        filled |= {"FILE.csv": str(names), "permutations=200": "permutations=3"}
        write_export(folder / "dicom", numbers := [f"{number:02}" for number in range(1, 13)])
        rows = [",".join([f"MRN-{number}", *small_signs(number)]) for number in numbers]
        (folder / "labels.csv").write_text("\n".join(["MRN,ER,PR,HER2", *rows]) + "\n")
        write_small_folder(folder / "klinik", folder / "labels.xlsx")
        filled |= {"EXPORT": str(folder / "dicom"), "FOLDER": str(folder / "klinik")}
        filled |= {f"LABELS{suffix}": str(folder / f"labels{suffix}") for suffix in (".csv", ".xlsx")}
        for experiment in FINISHED:
            assert call([f"experiment={experiment}", *FIT], "bcbm.fit") == 0
            (run,) = (folder / "runs" / experiment).glob("*/results.json")
            filled[f"runs/{experiment}/TIME"] = str(run.parent.relative_to(folder))
        yield folder, filled


def test_there_are_commands_to_be_run_and_some_that_need_another_machine():
    assert {verb for words in RUN if (verb := (verb_of(words) or [None])[0])} >= set(SMALL)
    assert MARKED
    assert sum(words[0] == "python3.11" for words in IN_CI) == 2, "the two commands of the README"


@pytest.mark.parametrize("words", list(dict.fromkeys(map(tuple, RUN))), ids=" ".join)
def test_a_documented_command_runs(words, place, capfd):
    _, filled = place
    for name, value in filled.items():
        words = [word.replace(name, value) for word in words]
    called = verb_of(words)
    if called is None:
        assert words[0].endswith("python"), "neither a command of ours nor a script; mark what it needs"
        status = call(words[2:], script=words[1])
    else:
        verb, given = called
        settled = "--help" in given or any(word.startswith("again=") for word in given)
        status = call([*given, *([] if settled else SMALL.get(verb, []))], f"bcbm.{verb}")
    out, err = capfd.readouterr()
    assert status in ((0, 1) if called and called[0] == "audit" else (0,)), err
    assert out.strip()


@pytest.mark.parametrize(
    ("page", "block"), SNIPPETS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_documented_snippet_runs(page, block, place):
    folder, filled = place
    code = block["text"].replace("compose([", "compose([*small, ")
    for name, value in filled.items():
        code = code.replace(name, value)
    compile(code, page, "exec")
    if block["needs"] is None:
        (folder / "snippet.py").write_text(code)
        runpy.run_path(str(folder / "snippet.py"), init_globals={"small": FIT})


@pytest.mark.parametrize(("page", "words"), MARKED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_a_marked_command_names_is_there(page, words):
    called = verb_of(words)
    if called is None:
        return
    verb, given = called
    assert find_spec(f"bcbm.{verb}"), f"{page}: no command {verb}"
    compose([word for word in given if "=" in word and word.partition("=")[0] not in OWN_WORDS])


def test_links_lead_to_files():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"
