"""A traditional model says elsewhere what its run said, and so does one of tables that is LEAKY."""

import html
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from layouts import write_manifest
from models import QUIET, SMALL, assert_same, predicted_alone, with_sums, workplace
from rich.console import Console

from bcbm.baselines.trained import trained_baseline
from bcbm.cohort.formats.tcia import read_download
from bcbm.cohort.splits import Split
from bcbm.config.compose import compose, load
from bcbm.crossvalidation.cross_validate import run
from bcbm.errors import InputError
from bcbm.features.radiomics import FEATURES, RECORD, provenance
from bcbm.features.survey import SURVEY
from bcbm.prediction.bundle import METADATA
from bcbm.prediction.export import export
from bcbm.prediction.model import read_model
from bcbm.prediction.request import answer
from bcbm.preparation.fold_job import FoldJob
from bcbm.runs.finished import read_run
from bcbm.runs.folder import RunFolder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to work in, the cache of all that these tests prepare."""
    with workplace(tmp_path_factory.mktemp("prediction")) as folder:
        yield folder


@pytest.fixture(scope="module")
def tables(place, table_cohort):
    """The cohort of workbooks as a table, which is read in a moment."""
    write_manifest(read_download(table_cohort), place / "tables")
    return place / "tables"


TRADITIONAL = {
    "forest": [
        *("task.modalities=[radiomics,position,clinical,burden]", "features.harmonise=manufacturer"),
        *("baseline.trees=20", "seeds=2"),
    ],
    "svm": ["task.modalities=[radiomics]"],
}


@pytest.fixture(scope="module")
def traditional(place, tables):
    """Finished runs of traditional models, by kind."""
    words = [f"cohort.root={tables}", *SMALL, "task.targets=[ER]"]
    return {
        kind: run(compose([*words, *own, f"model.kind={kind}", f"run.root={place / kind}"]), QUIET)
        for kind, own in TRADITIONAL.items()
    }


@pytest.fixture(scope="module")
def exported(place, traditional):
    """The folders of their models, and what the screen said of them, by kind."""
    screens = {}
    for kind, folder in traditional.items():
        console = Console(record=True, width=200, file=io.StringIO())
        export(folder, place / f"{kind}-model", console)
        screens[kind] = place / f"{kind}-model", console.export_text()
    return screens


@pytest.mark.parametrize("kind", TRADITIONAL)
def test_a_traditional_model_predicts_elsewhere_as_in_its_run_and_is_nothing_but_numbers(
    kind, traditional, exported, tables, tmp_path
):
    folder, screen = exported[kind]
    assert_same(*predicted_alone(read_model(folder), tables, read_run(traditional[kind]), 0, tmp_path))
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".yaml", ".safetensors", ".txt", ".md"}
    card = (folder / "docs" / "README.md").read_text()
    assert {"support vectors" in text for text in (card, screen)} == {kind == "svm"}


def test_one_patient_alone_is_predicted_as_among_others(exported, tables, tmp_path):
    """Of whom no clinical column tells two lesions apart."""
    manifest = pd.read_csv(tables / "manifest.csv", dtype=str)
    patients = manifest["patient"].unique()[:2].tolist()
    words = [str(exported["forest"][0]), f"out={tmp_path / 'out'}"]
    said = []
    for shown in (patients, patients[:1]):
        (root := tmp_path / str(len(shown))).mkdir()
        manifest[manifest["patient"].isin(shown)].to_csv(root / "manifest.csv", index=False)
        table = answer([*words, f"cohort.root={root}"], QUIET)
        said.append(table[(table["level"] == "patient") & (table["patient_id"] == patients[0])])
    assert len(said[0]) == 1 and said[0]["probability"].tolist() == said[1]["probability"].tolist()


def test_predictions_of_others_are_replaced_where_a_folder_is_named_alone(
    exported, tables, tmp_path, monkeypatch
):
    manifest = pd.read_csv(tables / "manifest.csv", dtype=str)
    monkeypatch.chdir(tmp_path)
    patients = manifest["patient"].unique()[:2]
    for patient in patients:
        (tmp_path / patient).mkdir()
        manifest[manifest["patient"] == patient].to_csv(tmp_path / patient / "manifest.csv", index=False)
    model = str(exported["forest"][0])
    for place in (patients[0], patients[1], patients[0]):
        answer([model, f"cohort.root={tmp_path / place}"], QUIET)
    folders = {"predictions": patients[0], "predictions-2": patients[1]}
    assert {path.name for path in tmp_path.glob("predictions*")} == set(folders)
    for folder, patient in folders.items():
        assert set(pd.read_csv(tmp_path / folder / "predictions.csv")["patient_id"]) == {patient}
    answer([model, f"cohort.root={tmp_path / patients[1]}", "out=predictions"], QUIET)
    assert set(pd.read_csv(tmp_path / "predictions" / "predictions.csv")["patient_id"]) == {patients[1]}


def test_a_traditional_model_that_says_something_else_than_its_run_is_not_exported(traditional, tmp_path):
    folder = shutil.copytree(traditional["svm"], tmp_path / "run")
    path = folder / "fold=1" / "model.json"
    content = json.loads(path.read_text())
    content["fitted"]["models"]["ER"]["intercept"] += 1e-9
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"fold=1.*ER"):
        export(folder, tmp_path / "model", QUIET)
    assert not (tmp_path / "model").exists()
    (path.parent / "model.safetensors").unlink()  # as a run of before has none
    split = Split.from_json((folder / "split.json").read_text())
    with pytest.raises(InputError, match=r"model\.safetensors"):
        trained_baseline(FoldJob(load(folder / "config.yaml"), None, split, 1, RunFolder(folder)))


def test_near_copies_of_training_lesions_are_named_and_other_lesions_are_not(exported, tables, tmp_path):
    manifest = pd.read_csv(tables / "manifest.csv", dtype={"study": str, "patient": str})
    patients = manifest["patient"].unique()
    copied = manifest[manifest["patient"].isin(patients[:10])].copy()
    copied["patient"] = "copy-" + copied["patient"]
    copied["study"] = "copy-" + copied["study"]
    copied[list(FEATURES)] = copied[list(FEATURES)].map(lambda value: float(f"{value:.4g}"))
    others = manifest[manifest["patient"].isin(patients[10:])].copy()
    others["patient"], others["study"] = "new-" + others["patient"], "new-" + others["study"]
    # Mixed among lesions, each feature by itself: values that are usual, together in no training lesion.
    draws = np.random.default_rng(0)
    for names in np.array_split(FEATURES, 8):
        others[list(names)] = others[list(names)].to_numpy()[draws.permutation(len(others))]
    (tmp_path / "other").mkdir()
    pd.concat([copied, others]).to_csv(tmp_path / "other" / "manifest.csv", index=False)
    console = Console(record=True, width=300, file=io.StringIO())
    words = [str(exported["svm"][0]), f"cohort.root={tmp_path / 'other'}", f"out={tmp_path / 'out'}"]
    table = answer(words, console)
    known = table[table["reason"] == ""].groupby("patient_id")["trained_on"].max()
    assert known[known.index.str.startswith("copy-")].all()
    assert not known[known.index.str.startswith("new-")].any()
    screen, page = console.export_text(), (tmp_path / "out" / "report.html").read_text()
    assert "near copies" in screen and "copy-" in screen
    # And what is in no training lesion together is unlike them.
    odd = table[table["level"] == "patient"].groupby("patient_id")["odd"].first()
    assert odd[odd.index.str.startswith("new-")].str.contains("radiomics").mean() > 0.8
    assert (odd[odd.index.str.startswith("copy-")] != "").mean() <= 0.2
    assert "unlike the patients that the model was trained on" in screen and "Doubt:" in page


def test_a_leaky_run_is_exported_only_on_purpose_and_its_model_says_so_for_ever(place, tables, tmp_path):
    root = tables
    words = [f"cohort.root={root}", f"run.root={tmp_path}", "task.modalities=[radiomics,position]"]
    words += [*SMALL, "split.unit=lesion", "seeds=2", "task.aggregate=attention", "data.bag=2"]
    leaky = run(compose(words), QUIET)
    with pytest.raises(InputError, match="leaky=true"):
        export(leaky, tmp_path / "model", QUIET)
    export(leaky, tmp_path / "model", QUIET, leaky=True)
    assert "LEAKY" in (tmp_path / "model" / "docs" / "README.md").read_text()
    assert json.loads((tmp_path / "model" / METADATA).read_text())["description"].startswith("LEAKY")
    console = Console(record=True, width=200)
    words = [str(tmp_path / "model"), f"cohort.root={root}", f"out={tmp_path / 'out'}"]
    table = answer(words, console)
    assert table["leaky"].all() and "LEAKY" in console.export_text()
    assert "LEAKY" in (tmp_path / "out" / "report.html").read_text()
    # Two seeds and attention, besides.
    trained = read_model(tmp_path / "model")
    assert_same(*predicted_alone(trained, root, read_run(leaky), 0, tmp_path))
    metadata = json.loads((tmp_path / "model" / METADATA).read_text())
    metadata["bcbm"] |= {"radiomics": provenance(), "steps": {"survey": SURVEY, "radiomics": RECORD}}
    (tmp_path / "model" / METADATA).write_text(json.dumps(metadata))
    with_sums(tmp_path / "model")
    with pytest.raises(InputError, match=r"no images.*extract"):  # published radiomics are not those
        answer(words[:2], console)


def test_a_column_that_a_model_reads_and_a_cohort_lacks_is_said(tables, tmp_path):
    words = [*SMALL, "task.targets=[ER]", "task.modalities=[clinical]", "model.kind=logistic_l2"]
    model = tmp_path / "model"
    export(run(compose([f"cohort.root={tables}", *words, f"run.root={tmp_path}"]), QUIET), model, QUIET)
    manifest, screens = pd.read_csv(tables / "manifest.csv", dtype=str, keep_default_na=False), []
    for heading in ("age", "age at diagnosis"):
        (root := tmp_path / heading).mkdir()
        manifest.rename(columns={"age": heading}).to_csv(root / "manifest.csv", index=False)
        console = Console(file=io.StringIO(), width=200)
        answer([str(model), f"out={tmp_path / 'out'}", f"cohort.root={root}"], console)
        screens += [console.file.getvalue(), (tmp_path / "out" / "report.html").read_text()]
    told = ["age, which the model reads, is empty for" in screen for screen in screens]
    assert told == [False, False, True, True]


def test_a_scanner_that_a_harmonising_model_was_not_trained_on_is_said(exported, tables, tmp_path):
    manifest, screens = pd.read_csv(tables / "manifest.csv", dtype=str, keep_default_na=False), []
    others = np.where(manifest["patient"] < "BCBM-RadioGenomics-2", "Hitachi", "")
    makers = {"same": manifest["manufacturer"], "other": others}
    for name, maker in makers.items():
        (root := tmp_path / name).mkdir()
        manifest.assign(manufacturer=maker).to_csv(root / "manifest.csv", index=False)
        console = Console(file=io.StringIO(), width=400)
        answer([str(exported["forest"][0]), f"out={tmp_path / 'out'}", f"cohort.root={root}"], console)
        screens += [console.file.getvalue(), (tmp_path / "out" / "report.html").read_text()]
    assert not any("used as they are" in screen for screen in screens[:2])
    for screen in screens[2:]:
        (line,) = [line for line in html.unescape(screen).splitlines() if "used as they are" in line]
        assert "'hitachi' and unknown" in line and "siemens" in line
