"""Completion as the shells do it: bash runs the function that it is given."""

import shutil
import subprocess

import pytest
from repository import EXPERIMENTS

from bcbm.terminal.completion import bash, zsh
from bcbm.terminal.doors import doors


def completed(folder, line, breaks="= "):
    """What a real bash offers behind a line."""
    (folder / "bcbm.bash").write_text(bash())
    words = line.split(" ")
    script = f"""
    source ./bcbm.bash
    [[ $(complete -p bcbm) == *_bcbm* ]] || exit 3
    compopt() {{ :; }}  # it is for a line that is being edited
    COMP_WORDBREAKS={breaks!r} COMP_LINE={line!r} COMP_POINT={len(line)} COMP_CWORD={len(words) - 1}
    _bcbm
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split()


def test_the_first_word_is_a_command(tmp_path):
    assert completed(tmp_path, "bcbm ") == list(doors())
    assert completed(tmp_path, "bcbm ev") == ["evaluate"]


def test_keys_groups_and_the_users_folders_follow(tmp_path):
    (tmp_path / "task-force").mkdir()
    offered = completed(tmp_path, "bcbm fit seed=1 task")
    assert {"task.aggregate=", "task.targets="} <= set(offered) and "task-force/" in offered
    assert completed(tmp_path, "bcbm fit track")[-1] == "tracking="


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bcbm fit task.aggregate=m", ["mean", "max"]),
        ("bcbm fit model.max_pool=", ["true", "false"]),
        ("bcbm sweep sweep=fu", ["fusion"]),
        ("bcbm fit trainer=", sorted(path.stem for path in (EXPERIMENTS.parent / "conf/trainer").iterdir())),
        (
            "bcbm fit experiment=fusion/",
            sorted(f"fusion/{path.stem}" for path in (EXPERIMENTS / "fusion").iterdir()),
        ),
    ],
)
def test_behind_a_key_stands_what_it_may_be(tmp_path, line, offered):
    assert completed(tmp_path, line) == offered


def test_where_the_sign_breaks_no_words_the_whole_word_is_offered(tmp_path):
    assert completed(tmp_path, "bcbm fit task.aggregate=ma", breaks=" ") == ["task.aggregate=max"]


def test_behind_a_key_that_takes_a_path_stand_files(tmp_path):
    (tmp_path / "download").mkdir()
    assert completed(tmp_path, "bcbm fit cohort.root=down") == ["download"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
def test_zsh_reads_its_own(tmp_path):
    (tmp_path / "_bcbm").write_text(zsh())
    subprocess.run(["zsh", "-f", "-n", "_bcbm"], cwd=tmp_path, check=True)
    words = "autoload -U compinit; compinit -u -d ./dump; source ./_bcbm; print $_comps[bcbm]"
    done = subprocess.run(["zsh", "-f", "-c", words], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "_bcbm", done.stderr


def test_both_shells_are_offered_every_command_and_choice():
    for text in (bash(), zsh()):
        assert all(name in text for name in doors()) and "noisy_or" in text and "paper_leaky" in text
