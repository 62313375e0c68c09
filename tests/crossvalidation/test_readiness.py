"""What an experiment asks for beside its cohort is missed before anything is prepared."""

import errno
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bcbm.config.compose import compose
from bcbm.crossvalidation.cross_validate import run
from bcbm.errors import ConfigError, InputError
from bcbm.preparation.reading import disk_errors

ABSENT = "mps" if torch.cuda.is_available() else "gpu"


@pytest.mark.parametrize(
    "words",
    [
        [f"trainer.accelerator={ABSENT}"],
        ["tracking.mode=online"],
        ["model.encoder=resnet10", "model.weights=nowhere.pth"],
        ["run.root={tmp_path}/file/runs"],
        ["run.folder={tmp_path}/file"],
    ],
    ids=["device", "tracking", "weights", "root", "folder"],
)
def test_what_is_not_there_is_missed_before_the_preparation_and_leaves_no_folder(
    words, tmp_path, monkeypatch
):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "nothing"))
    (tmp_path / "file").write_text("no folder")
    words = [word.format(tmp_path=tmp_path) for word in words]
    places = [f"{name}.root={tmp_path / name}" for name in ("run", "prepared", "cohort")]
    with pytest.raises(ConfigError) as caught:  # the cohort is not there either, and is not looked for
        run(compose([*places, *words]), Console(quiet=True))
    assert words[-1].partition("=")[0] in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ("runs/audit/a.json", "run.root"),
        ("prepared/a.json", "prepared.root"),
        ("cohort/a.xlsx", "cohort.root"),
    ],
)
def test_what_a_disk_refuses_names_the_key_whose_folder_it_is(tmp_path, place, key):
    roots = {"run": "runs", "prepared": "prepared", "cohort": "cohort"}
    config = compose([f"{name}.root={tmp_path / folder}" for name, folder in roots.items()])
    with pytest.raises(InputError) as caught, disk_errors(config):
        raise OSError(errno.EROFS, "Read-only file system", str(Path(tmp_path) / place))
    (problem,) = caught.value.problems
    assert problem.where == str(tmp_path / place) and "Read-only" in problem.found
    assert [name for name in ("run.root", "prepared.root", "cohort.root") if name in problem.remedy] == [key]


def test_memory_that_ran_out_is_no_fault_of_a_disk():
    with pytest.raises(OSError, match="Cannot allocate"), disk_errors(compose([])):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")
