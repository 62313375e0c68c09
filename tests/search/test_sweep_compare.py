"""Searches beside each other."""

import json
import shutil

import matplotlib.image
import pandas as pd
import pytest
import yaml
from planted_sweeps import planted, text_of
from rich.console import Console

from bcbm.errors import ConfigError, InputError, Note
from bcbm.report.pages.sweeps import SearchLine, write_sweeps
from bcbm.search.compare import compare_sweeps, differences
from bcbm.search.results import read_sweep
from bcbm.search.storage import open_storage

NARROW = """
trials: 12
pruner: {kind: none}
space:
  model.dropout: {float: [0.0, 0.6], step: 0.2}
  model.trunk: {int: [16, 64], step: 16}
"""


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """Two searches: `fusion`, and one of a narrower space on an experiment with fewer epochs."""
    folder = tmp_path_factory.mktemp("searches")
    file = folder / "narrow.yaml"
    file.write_text(NARROW)
    planted(folder / "sweeps" / "fusion" / "0123456789", studies=["final"])
    words = ["trainer.max_epochs=9", "model.dropout=0.2"]
    planted(folder / "sweeps" / "narrow" / "abcdef0123", str(file), words, studies=["fold=0", "fold=1"])
    return [folder / "sweeps" / "fusion" / "0123456789", folder / "sweeps" / "narrow" / "abcdef0123"]


def test_searches_on_different_cohorts_are_said_to_be(homes, tmp_path):
    copies = [shutil.copytree(home, tmp_path / str(number)) for number, home in enumerate(homes)]
    for number, copy in enumerate(copies):
        path = copy / "sweep.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"cohort": f"content-{number}"}))
    with pytest.warns(Note, match="different cohorts"):
        page = compare_sweeps([*map(str, copies), f"run.root={tmp_path / 'runs'}"], Console(quiet=True))
    assert "content-0" in text_of(page) and "content-1" in text_of(page)


def test_searches_are_laid_beside_each_other(homes, tmp_path):
    console = Console(record=True, width=200)
    page = compare_sweeps([*map(str, homes), f"run.root={tmp_path}", "--wandb"], console)
    screen, text, page_text = console.export_text(), text_of(page), page.read_text()
    assert page.parent == tmp_path / "compare" / "fusion-01234567+narrow-abcdef01"
    final = read_sweep(homes[0]).best["final"]
    folds = read_sweep(homes[1]).best.values()
    for shown in (screen, text):
        assert f"{final.value:.3f}" in shown and f"{final.default:.3f}" in shown
        assert f"{sum(best.value for best in folds) / 2:.3f}" in shown
    assert "fusion 01234567" in text and "other folds" not in text
    for name in ("history", "importances"):
        pixels = matplotlib.image.imread(page.parent / "figures" / f"{name}.png")[..., :3]
        assert (pixels < 0.9).any(axis=2).mean() > 0.005, name
    assert "/sweeps/fusion/0123456789/report.html" in page_text and "<script" not in page_text
    assert "fusion-01234567" in (tmp_path / "index.html").read_text()
    workspace = json.loads((page.parent / "wandb-workspace.json").read_text())
    text = json.dumps(workspace["spec"])
    (runset,) = workspace["spec"]["section"]["runSets"]
    (groups,) = runset["filters"]["filters"]
    assert "Parallel Coordinates Plot" in text and '"config:model.value.trunk"' in text
    assert "summary:auroc" in text and {"fusion/0/study=final", "narrow/0/study=fold=1"} < {*groups["value"]}


def test_what_differs_in_space_and_experiment_is_listed_and_nothing_else(homes):
    both = dict(zip("AB", map(read_sweep, homes), strict=True))
    rows = {row["name"]: row["values"] for row in differences(both)}
    assert rows["trainer.max_epochs"] == {"A": "16", "B": "9"}
    assert rows["space: model.dropout"]["B"] == "float [0.0, 0.6], step 0.2"
    assert rows["space: model.fusion"]["B"] == "" != rows["space: model.fusion"]["A"]
    assert not {"space: model.trunk", "trials", "seed", "run.root"} & rows.keys()
    assert rows["pruner"]["A"] != rows["pruner"]["B"]


@pytest.mark.parametrize("splits", ["AA", "AB"])
def test_searches_on_other_folds_are_said_not_to_be_comparable(tmp_path, splits):
    """Of searches that have not begun."""
    rows = [SearchLine(f"{n}", split, 0, 0, 0, 0.0, None, None, None) for n, split in enumerate(splits)]
    page = write_sweeps(
        tmp_path,
        objective="auroc",
        smaller=False,
        rows=rows,
        links={"0": "a", "1": "b"},
        trials=pd.DataFrame(),
        importances=pd.DataFrame(),
        differences=[],
    )
    assert ("other folds" in text_of(page)) == (splits == "AB")


def test_a_database_that_is_not_there_or_of_other_searches_is_refused_and_none_is_made(homes, tmp_path):
    copy = shutil.copytree(homes[0], tmp_path / "copy")
    path, database = copy / "sweep.yaml", tmp_path / "studies.db"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"storage": f"sqlite:///{database}"}))
    with pytest.raises(InputError, match="is not there"):
        read_sweep(copy)
    assert not database.exists()
    open_storage(f"sqlite:///{database}", copy)
    with pytest.raises(InputError, match="holds nothing of"):
        read_sweep(copy)
    assert read_sweep(homes[0], f"sqlite:///{database}").best, "a journal in its folder is its storage"


def test_one_search_in_two_places_has_two_names_begun_or_not(homes, tmp_path):
    places = [tmp_path / place / "0123456789" for place in ("here", "there")]
    for place in places:
        place.mkdir(parents=True)
        for name in ("sweep.yaml", "split.json"):
            shutil.copy(homes[0] / name, place)
    page = compare_sweeps([*map(str, places), f"run.root={tmp_path}"], Console(quiet=True))
    assert page.parent.name == "1-fusion-01234567+2-fusion-01234567"
    assert "They have one space and one experiment" in text_of(page)


def test_searches_for_other_things_and_no_searches_are_refused(homes, tmp_path):
    other = tmp_path / "brier"
    shutil.copytree(homes[0], other)
    plan = yaml.safe_load((other / "sweep.yaml").read_text())
    (other / "sweep.yaml").write_text(yaml.safe_dump({**plan, "objective": ["brier"]}))
    quiet = Console(quiet=True)
    with pytest.raises(InputError, match=f"{other}.*brier.*auroc"):
        compare_sweeps([str(homes[0]), str(other), str(homes[1])], quiet)
    with pytest.raises(InputError, match=f"{tmp_path}.* is not a sweep folder"):
        compare_sweeps([str(homes[0]), str(tmp_path)], quiet)
    for words in ([str(homes[0])], [str(homes[0])] * 2):
        with pytest.raises(ConfigError, match="two"):
            compare_sweeps(words, quiet)
