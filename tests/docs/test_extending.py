"""The worked examples of docs/explanation/extending.md: installed as a package, and run to the end."""

import json
import os
import re

import pytest
from commands import run_command
from repository import HOME

PAGE = (HOME / "docs" / "explanation" / "extending.md").read_text()
MODULES = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.DOTALL))
ENTRY_POINTS = re.findall(
    r'```toml\n\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "([\w:]+)"\n```', PAGE, re.DOTALL
)
WORDS = {
    "bcbm.encoders": ["model.encoder=tiny", "task.modalities=[image]"],
    "bcbm.modalities": ["task.modalities=[radiomics,age]"],
}


@pytest.mark.parametrize(("group", "name", "address"), ENTRY_POINTS)
def test_a_worked_example_runs_to_the_end(group, name, address, cohort, tmp_path):
    site = tmp_path / "site"
    about = site / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    module = address.partition(":")[0]
    (site / f"{module}.py").write_text(MODULES[module])
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{name} = {address}\n")
    words = [*WORDS[group], f"cohort.root={cohort}", "task.targets=[ER]", "split.folds=2"]
    words += ["trainer.max_epochs=1", "bootstrap=20", "tracking=csv"]
    done = run_command(
        "fit",
        *words,
        "augment=none",
        f"run.folder={tmp_path / 'run'}",
        cwd=tmp_path,
        PYTHONPATH=os.pathsep.join([str(site), str(HOME)]),
        BCBM_CACHE=str(tmp_path / "cache"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "results.json").read_text())["receptors"].keys() >= {"ER"}


def test_both_examples_are_there():
    assert {group for group, *_ in ENTRY_POINTS} == set(WORDS)
