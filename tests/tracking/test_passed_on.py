"""What is made to be passed on names no place of this machine and nobody who works on it."""

import json
import re

import pandas as pd
import pytest
from finished_runs import lesion_table, write_run
from rich.console import Console

from bcbm.cohort.table import portable
from bcbm.comparison.compare import compare
from bcbm.config.compose import compose
from bcbm.config.schema import described_keys
from bcbm.report.pages.run import write_report
from bcbm.tracking.settings import sendable

USER = "anna-schmidt"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder of a user, with the files that her words name."""
    home = tmp_path_factory.mktemp("home") / USER
    (home / "experiments").mkdir(parents=True)
    (home / "weights.pth").write_bytes(b"weights")
    (home / "folds.csv").write_text("patient,fold\n")
    (home / "names.csv").write_text("name,category,hemisphere,region\n")
    return home


def words(home):
    return [
        f"cohort.root={home}/cohort",
        f"cohort.names={home}/names.csv",
        f"prepared.root={home}/prepared",
        f"run.root={home}/runs",
        f"split.file={home}/folds.csv",
        f"model.weights={home}/weights.pth",
        f"experiments={home}/experiments",
    ]


def text_of(path):
    """A page without its pictures, or any other file."""
    return re.sub(r"data:image/png;base64,[^\"]*", "", path.read_text(encoding="utf-8"))


def test_the_pages_of_runs_and_of_their_comparison_name_no_place(home, monkeypatch):
    monkeypatch.chdir(home)
    places = [word for word in words(home) if not word.startswith(("split.file", "experiments"))]
    inside = write_run(home / "runs" / "demo" / "first", "split.folds=2", *places)
    outside = write_run(home / "elsewhere", "split.folds=2", "model.dropout=0.1", *places, seed=1)
    write_report(inside)
    assert compare([str(inside), str(outside), f"run.root={home}/runs"], Console(quiet=True)) == 0
    (folder,) = (home / "runs" / "compare").iterdir()
    rows = json.loads((folder / "comparison.json").read_text())["rows"]
    assert (folder / rows[0]["folder"] / "report.html").is_file() and rows[1]["folder"] == "elsewhere"
    pages = [inside / "report.html", *(run / "results.json" for run in (inside, outside))]
    for path in [*pages, folder / "report.html", folder / "comparison.json"]:
        assert USER not in text_of(path) and str(home.parent) not in text_of(path), path
    for picture in [*inside.glob("figures/*.png"), *folder.glob("*.png")]:
        assert USER.encode() not in picture.read_bytes()


def test_a_tracker_is_sent_no_place(home):
    assert USER not in json.dumps(sendable(compose([*words(home), "experiment=paper"])))


def test_a_tracker_is_sent_no_key_whose_help_speaks_of_files(home):
    config, places = compose([]), []
    for name, kind, *_, line in described_keys():
        if name != "experiment" and "str" in kind and re.search(r"\b(folder|CSV|table of)\b|\.pth", line):
            room, _, last = name.rpartition(".")
            setattr(getattr(config, room) if room else config, last, f"{home}/{last}")
            places.append(name)
    assert {"cohort.root", "cohort.readings", "features.encoder", "ingest.labels", "model.weights"} <= set(
        places
    )
    assert USER not in json.dumps(sendable(config))


def test_the_lesion_table_names_files_from_the_cohorts_root_on(home):
    root = home / "cohort"
    table = lesion_table(patients=3)
    table["image_path"] = [str(root / "images" / f"{number}.nii.gz") for number in range(len(table))]
    table["mask_path"] = table["image_path"].mask(table.index == 1, "")
    table["image_flair"] = str(home / "flair" / "a.nii.gz")
    table.loc[0, "reason"] = f"unusable image: {root}/images/0.nii.gz is cut off"
    kept = portable(table, root)
    assert kept["image_path"].tolist() == [f"images/{number}.nii.gz" for number in range(len(table))]
    assert kept["mask_path"][1] == "" and kept["image_flair"][0] == "../flair/a.nii.gz"
    assert USER not in kept.to_csv() and USER in table.to_csv()
    pd.testing.assert_frame_equal(
        kept.drop(columns=["image_path", "mask_path", "image_flair", "reason"]),
        table.drop(columns=["image_path", "mask_path", "image_flair", "reason"]),
    )
