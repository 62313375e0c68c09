"""A frozen model on other cohorts says what its predictions say, refuses whom it knows, invents nothing."""

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from layouts import write_manifest
from models import with_metadata, with_sums, workplace
from rich.console import Console
from safetensors.numpy import load_file, save_file
from sklearn.metrics import brier_score_loss, roc_auc_score

from bcbm.cohort.formats.tcia import read_download
from bcbm.cohort.synthetic import write_cohort
from bcbm.config.compose import compose
from bcbm.crossvalidation.cross_validate import run
from bcbm.crossvalidation.results import page as report_page  # which `workplace` takes away
from bcbm.errors import ConfigError, InputError, Note
from bcbm.features.radiomics import extract_cohort
from bcbm.fit import fit
from bcbm.prediction.bundle import EXPERIMENT, METADATA, RANGES
from bcbm.prediction.export import export
from bcbm.prediction.model import read_model
from bcbm.prediction.request import answer
from bcbm.report.words import with_interval
from bcbm.runs.finished import read_run
from bcbm.validation.cohorts import frozen_cohort, require_apart
from bcbm.validation.compare import compare_models
from bcbm.validation.page import verdict
from bcbm.validation.request import names_models, requested
from bcbm.validation.validate import CONTENT, PAGE, validate

QUIET = Console(quiet=True)
SMALL = ["split.folds=2", "model.kind=logistic_l2", "prepared.jobs=1", "tracking.to=[]", "bootstrap=20"]
FEW = ["prepared.jobs=1", "bootstrap=50"]
PATIENTS = 16  # of each cohort of strangers


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to work in, the cache of all that these tests prepare."""
    with workplace(tmp_path_factory.mktemp("validation")) as folder:
        yield folder


@pytest.fixture(scope="module")
def trained_on(place, table_cohort):
    """The cohort of the model, as a table, which is read in a moment."""
    write_manifest(read_download(table_cohort), place / "own")
    return place / "own"


@pytest.fixture(scope="module")
def model(place, trained_on):
    """The folder of a model of tables. Read only: copy it to change it."""
    words = [f"cohort.root={trained_on}", "run.root=runs", "task.modalities=[radiomics,position]", *SMALL]
    export(run(compose(words), QUIET), place / "model", QUIET)
    return place / "model"


@pytest.fixture(scope="module")
def strangers(place):
    """Two cohorts of other patients, one of each site, as tables."""
    roots = {}
    for site in (1, 2):
        root = place / f"written-{site}"
        settings = {"patients": PATIENTS, "signal": 1.0, "images": False, "seed": 7, "jobs": 1}
        write_cohort(root, site=site, extract=lambda studies: extract_cohort(studies, 1), **settings)
        write_manifest(read_download(root), place / f"site{site}")
        roots[site] = place / f"site{site}"
    return roots


@pytest.fixture(scope="module")
def once(model, strangers, place):
    """The model on the strangers of its own site: the content, the folder and the screen."""
    console = Console(record=True, width=100)
    words = [str(model), f"cohort.root={strangers[1]}", f"out={place / 'once'}", *FEW]
    return validate(words, console), place / "once", console.export_text()


def changed(root: Path, folder: Path, **columns) -> Path:
    """A copy of a cohort's table with columns of one value; None takes the column away."""
    table = pd.read_csv(root / "manifest.csv", dtype={"patient": str})
    for name, value in columns.items():
        rest = table.drop(columns=name, errors="ignore")
        table = rest if value is None else pd.concat([rest, pd.Series(value, table.index, name=name)], axis=1)
    folder.mkdir()
    table.to_csv(folder / "manifest.csv", index=False)
    return folder


def test_figures_are_those_of_the_models_own_predictions_and_of_its_thresholds(
    model, strangers, once, tmp_path
):
    root = f"cohort.root={strangers[1]}"
    content, folder, screen = once
    predicted = answer([str(model), root, f"out={tmp_path / 'predicted'}", "prepared.jobs=1"], QUIET)
    rows = pd.read_csv(strangers[1] / "manifest.csv", dtype={"patient": str}).drop_duplicates("patient")
    patients = predicted[predicted["level"] == "patient"]
    (cohort,) = content["cohorts"]
    for target in ("ER", "PR", "HER2"):
        truth = rows.set_index("patient")[target].map({"+": 1, "-": 0}).dropna()
        said = patients[patients["target"] == target].set_index("patient_id")
        said = said.loc[said.index.isin(truth.index)]
        label, probability = truth[said.index], said["probability"]
        block = cohort["results"]["receptors"][target]["patient"]
        assert block["auroc"] == pytest.approx(roc_auc_score(label, probability))
        assert block["brier"] == pytest.approx(brier_score_loss(label, probability))
        called = probability >= read_model(model).thresholds[target]
        assert block["operating"]["sensitivity"] == pytest.approx(called[label == 1].mean())
        assert block["operating"]["npv"] == pytest.approx((label[~called] == 0).mean(), nan_ok=True)
        assert block["auroc_low"] < block["auroc"] <= block["auroc_high"]
        sets = said["set"].isin(["positive", "undecided"])[label == 1].mean()
        assert cohort["sets"][target]["positive"]["held"] == pytest.approx(sets)
        assert cohort["recalibrated"][target]["frozen"]["brier"] == block["brier"]
        assert with_interval(block) in screen
    hr = cohort["results"]["derived"]["HR"]["patient"]
    either = rows[["ER", "PR"]].eq("+").any(axis=1)
    known = either | rows[["ER", "PR"]].eq("-").all(axis=1)
    assert (hr["positives"], hr["negatives"]) == (either.sum(), (known & ~either).sum())
    assert with_interval(hr) in screen
    stored = json.loads((folder / CONTENT).read_text())
    auroc = stored["cohorts"][0]["results"]["receptors"]["ER"]["patient"]["auroc"]
    assert auroc == cohort["results"]["receptors"]["ER"]["patient"]["auroc"]
    page = (folder / PAGE).read_text()
    assert with_interval(cohort["results"]["receptors"]["PR"]["patient"]) in page
    assert page.count("data:image/png") == 3 and "<script" not in page and "TRIPOD+AI" in page
    assert not [name for name in rows["patient"] if name in page], "a page that is passed on names nobody"


def test_a_validation_of_another_cohort_replaces_none(model, strangers, once):
    content, folder, _ = once
    before = (folder / CONTENT).read_bytes()
    validate([str(model), f"cohort.root={strangers[2]}", f"out={folder}", *FEW], QUIET)
    assert (folder / CONTENT).read_bytes() == before
    (cohort,) = json.loads((folder.with_name("once-2") / CONTENT).read_text())["cohorts"]
    assert cohort["content"] != content["cohorts"][0]["content"]


def test_patients_that_the_model_was_trained_on_are_refused_also_among_others(
    model, trained_on, strangers, tmp_path, monkeypatch
):
    own = pd.read_csv(trained_on / "manifest.csv", dtype=str)
    one = own["patient"].iloc[-1]
    own = own[own["patient"] == one].assign(patient="STRANGE")  # ids tell nothing
    mixed = pd.concat([own, pd.read_csv(strangers[1] / "manifest.csv", dtype=str)])
    (tmp_path / "mixed").mkdir()
    mixed.to_csv(tmp_path / "mixed" / "manifest.csv", index=False)
    for root, named in ((trained_on, "patients"), (tmp_path / "mixed", "STRANGE")):
        with pytest.raises(InputError, match=r"cohort\.exclude") as caught:
            validate([str(model), f"cohort.root={root}", f"out={tmp_path / 'out'}", *FEW], QUIET)
        assert named in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("bcbm.validation.validate.write_page", lambda path, *content: path)  # none reads it
    (tmp_path / "without.csv").write_text("patient,reason\nSTRANGE,trained on\n")
    words = [f"cohort.root={tmp_path / 'mixed'}", f"cohort.exclude={tmp_path / 'without.csv'}"]
    content = validate([str(model), *words, f"out={tmp_path / 'out'}", *FEW], QUIET)
    assert content["cohorts"][0]["patients"] == PATIENTS


def test_a_run_that_holds_sites_out_has_the_page_of_a_validation_with_a_section_for_each(
    strangers, once, tmp_path, monkeypatch
):
    pages = iter([lambda *run: tmp_path, report_page])  # the second time there is something to link to
    monkeypatch.setattr("bcbm.crossvalidation.results.page", lambda *run: next(pages)(*run))
    roots = ",".join(map(str, strangers.values()))
    words = [f"cohort.root=[{roots}]", "split.holdout=site", f"run.root={tmp_path}", *SMALL]
    console = Console(record=True, width=200)
    assert fit(compose([*words, "task.modalities=[radiomics,position]"]), console) == 0
    (report,) = tmp_path.glob("*/*/report.html")
    place = report.parent / "validation" / PAGE
    content, table = json.loads((place.parent / CONTENT).read_text()), read_run(report.parent).predictions
    assert [cohort["name"] for cohort in content["cohorts"]] == ["site1", "site2"]
    for number, cohort in enumerate(content["cohorts"]):
        other = content["cohorts"][1 - number]
        assert (
            cohort["patients"] == table.loc[table["fold"] == number, "patient_id"].nunique()
            and not cohort["sets"]
            and cohort["shift"]["radiomics"]
        )
        for target, blocks in cohort["results"]["receptors"].items():
            rows = table[(table["target"] == target) & (table["fold"] == number)]
            rows = rows.drop_duplicates("patient_id").dropna(subset="label")
            block, label, probability = blocks["patient"], rows["label"], rows["patient_probability"]
            assert set(block) == set(once[0]["cohorts"][0]["results"]["receptors"][target]["patient"])
            assert block["auroc"] == pytest.approx(roc_auc_score(label, probability))
            assert block["brier"] == pytest.approx(brier_score_loss(label, probability))
            assert block["threshold"] == rows["threshold"].iloc[0]
            counts = {"positive": other["results"]["receptors"][target]["positives"]}
            counts["negative"] = other["results"]["receptors"][target]["negatives"]
            assert cohort["training"][target] == counts, "trained on the other site"
            assert with_interval(block) in console.export_text(clear=False)
            assert with_interval(block) in place.read_text()
    hr = [cohort["results"]["derived"]["HR"]["patient"]["auroc"] for cohort in content["cohorts"]]
    in_run = read_run(report.parent).results["derived"]["HR"]["patient"]["auroc"]
    assert np.mean(hr) == pytest.approx(in_run), "derived as in the run"
    assert 0 <= content["pooled"]["ER"]["i2"] <= 1 and len(content["told_apart"]) == 1
    assert 'href="validation/report.html"' in report.read_text()
    index = (tmp_path / "index.html").read_text()
    assert f'href="{place.relative_to(tmp_path).as_posix()}"' in index


def test_a_column_that_a_model_reads_and_a_cohort_lacks_is_told_on_page_and_screen(
    trained_on, strangers, place, tmp_path
):
    lacks = changed(strangers[2], tmp_path / "without", age=None)
    words = [*SMALL, "task.modalities=[clinical]", "task.targets=[ER]", f"run.root={tmp_path / 'runs'}"]
    export(run(compose([*words, f"cohort.root={trained_on}"]), QUIET), tmp_path / "model", QUIET)
    console = Console(record=True, width=300)
    validate([str(tmp_path / "model"), f"cohort.root={lacks}", f"out={tmp_path / 'out'}", *FEW], console)
    assert fit(compose([*words, f"cohort.root=[{strangers[1]},{lacks}]", "split.holdout=site"]), console) == 0
    (sites,) = (tmp_path / "runs").glob("*/*/validation")
    for folder, told in ((tmp_path / "out", 1), (sites, 2)):
        said = [cohort["lacking"] for cohort in json.loads((folder / CONTENT).read_text())["cohorts"]]
        assert said[: told - 1] == [[]] * (told - 1) and len(said) == told, "the other site has it"
        ((text,),) = said[told - 1 :]
        assert text.startswith("age, which the model reads, is empty for ")
        assert text in (folder / PAGE).read_text() and text in console.export_text(clear=False)


def test_a_kind_that_a_model_has_never_met_is_told(trained_on, strangers, place, tmp_path):
    makers = pd.read_csv(strangers[2] / "manifest.csv")["manufacturer"].str.upper()
    makers[makers.index < 2] = "Canon"
    other = changed(strangers[2], tmp_path / "other", manufacturer=makers)
    words = [*SMALL, "task.modalities=[acquisition]", "task.targets=[ER]", f"run.root={tmp_path / 'runs'}"]
    export(run(compose([*words, f"cohort.root={trained_on}"]), QUIET), tmp_path / "model", QUIET)
    console = Console(record=True, width=300)
    validate([str(tmp_path / "model"), f"cohort.root={other}", f"out={tmp_path / 'out'}", *FEW], console)
    (cohort,) = json.loads((tmp_path / "out" / CONTENT).read_text())["cohorts"]
    (text,) = cohort["lacking"]
    assert text.startswith("manufacturer of ") and "lesions is 'Canon'" in text and "Philips" in text
    assert text in console.export_text()


def test_a_cohort_without_labels_or_of_one_class_is_told_so_in_words(model, strangers, tmp_path):
    few = changed(strangers[1], tmp_path / "few", ER=None, PR="+")
    none = changed(strangers[2], tmp_path / "none", ER=None, PR=None, HER2=None)
    console = Console(record=True, width=300)
    words = [str(model), f"cohort.root={few}", f"cohort.root={none}", f"out={tmp_path / 'out'}", *FEW]
    content = validate(words, console)
    blocks = content["cohorts"][0]["results"]["receptors"]
    assert "patient" in blocks["HER2"] and not {"patient", "lesion"} & {*blocks["ER"], *blocks["PR"]}
    assert blocks["ER"]["unlabelled"] == blocks["PR"]["positives"] == PATIENTS
    screen, page = console.export_text(), (tmp_path / "out" / PAGE).read_text()
    for text in (screen, page):
        assert blocks["ER"]["reason"] in text and blocks["PR"]["reason"] in text
    assert "ER" not in content["cohorts"][0]["recalibrated"] and "ER" not in content["cohorts"][0]["sets"]
    assert all("reason" in block for block in content["cohorts"][1]["results"]["receptors"].values())
    assert content["cohorts"][1]["shift"]["radiomics"] and not content["pooled"]


def test_the_sets_of_a_cohort_are_the_same_whatever_its_labels_are(model, strangers, tmp_path):
    table = pd.read_csv(strangers[1] / "manifest.csv", dtype={"patient": str})
    signs = table[["ER", "PR", "HER2"]].replace({"+": "-", "-": "+"})
    other = {"turned": signs, "none": signs.where(signs == "", "")}
    trained, cohorts = read_model(model), {"own": strangers[1]}
    for name, labels in other.items():
        cohorts[name] = changed(strangers[1], tmp_path / name, **labels)
    sides = {}
    for name, root in cohorts.items():
        request = requested("validate", [str(model), f"cohort.root={root}", *FEW], models=1)
        sides[name] = frozen_cohort(trained, request.config(model, next(iter(request.cohorts))), name, QUIET)
    own = sides["own"]
    assert own.labels["ER"].equals(1 - sides["turned"].labels["ER"])
    assert sides["none"].labels.isna().all(axis=None)
    for target in trained.targets:
        assert own.sets[target].nunique() > 1
        assert all(side.sets[target].equals(own.sets[target]) for side in sides.values())


def test_a_target_of_ones_own_is_validated_where_its_column_is_there_and_said_where_it_is_not(
    trained_on, strangers, tmp_path, monkeypatch
):
    monkeypatch.setattr("bcbm.validation.validate.write_page", lambda path, *content: path)  # none reads it
    own = 'cohort.targets={Old: {column: Years, positive: ">= 50"}}'
    roots = {}
    for name, root in {"own": trained_on, "with": strangers[1], "without": strangers[2]}.items():
        ages = pd.read_csv(root / "manifest.csv", usecols=["patient"], dtype=str)["patient"]
        years = 40 + 20 * ages.rank(method="dense").mod(2)
        roots[name] = changed(root, tmp_path / name, **({"Years": years} if name != "without" else {}))
    words = [own, "task.targets=[ER,Old]", "task.modalities=[position]", f"run.root={tmp_path}"]
    out = tmp_path / "model"
    export(run(compose([*words, f"cohort.root={roots['own']}", *SMALL]), QUIET), out, QUIET)
    words = [f"cohort.root={roots[name]}" for name in ("with", "without")]
    console = Console(record=True, width=300)
    content = validate([str(out), *words, f"out={tmp_path / 'out'}", *FEW], console)
    first, second = (cohort["results"]["receptors"] for cohort in content["cohorts"])
    assert (first["Old"]["positives"], first["Old"]["negatives"]) == (PATIENTS / 2, PATIENTS / 2)
    assert "patient" in first["Old"] and content["training"]["Old"]["auroc"]
    assert "patient" in second["ER"] and "reason" in second["Old"]
    assert "no column 'Years'" in console.export_text()


def test_an_auroc_below_chance_asks_whether_labels_are_exchanged():
    def cohort(name, low):
        block = {"auroc": low + 0.1, "auroc_low": low, "auroc_high": low + 0.2, "q": 0.04}
        return {"name": name, "results": {"receptors": {"ER": {"patient": block}}}}

    text, kind = verdict({"leaky": False, "cohorts": [cohort("A", 0.6), cohort("B", 0.1)]})
    first, _, second = text.partition(";")
    assert kind == "clean" and "below" not in first
    assert "B" in second and "below chance for ER" in second and "exchanged" in second


def test_several_cohorts_are_pooled_and_told_apart_and_the_second_site_is_shifted(model, strangers, tmp_path):
    words = [f"cohort.root={root}" for root in strangers.values()]
    content = validate([str(model), *words, f"out={tmp_path / 'out'}", *FEW], QUIET)
    assert [cohort["name"] for cohort in content["cohorts"]] == ["site1", "site2"]
    aurocs = [cohort["results"]["receptors"]["ER"]["patient"]["auroc"] for cohort in content["cohorts"]]
    pooled = content["pooled"]["ER"]
    assert min(aurocs) <= pooled["auroc"] <= max(aurocs) and pooled["cohorts"] == 2
    (pair,) = content["told_apart"]
    assert pair["auroc_low"] > 0.6, "its scanner multiplies the features"
    near, far = (
        np.mean([abs(row["difference"]) for row in cohort["shift"]["radiomics"]])
        for cohort in content["cohorts"]
    )
    assert far > near + 0.2
    page = (tmp_path / "out" / PAGE).read_text()
    assert "a new cohort" in page and page.count("data:image/png") == 5


def of_json(name, change):
    """A hand that changes what a JSON file of a model holds."""

    def changed(folder):
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return changed


def of_yaml(**task):
    """A hand that changes the task of a model's configuration."""

    def changed(folder):
        content = yaml.safe_load((folder / EXPERIMENT).read_text())
        content["task"] |= task
        (folder / EXPERIMENT).write_text(yaml.safe_dump(content))

    return changed


def outputs(names):
    """A hand that lets a model's description name other outputs."""

    def change(content):
        content["network_data_format"]["outputs"]["pred"]["channel_def"] = dict(enumerate(names))

    return of_json(METADATA, change)


def exchanged(folder):
    """Take each of two networks for the other."""
    for ending in ("json", "safetensors"):
        first, second = (folder / f"models/fold={number}.{ending}" for number in (0, 1))
        first.rename(folder / "aside")
        second.rename(first)
        (folder / "aside").rename(second)


def twice(columns):
    """Give the first column the name of the second."""
    columns[0] |= {name: columns[1][name] for name in ("name", "kind")}


def column(**values):
    """A hand that changes the first column of a network."""
    return of_json(
        "models/fold=0.json", lambda own: own["baseline"]["models"]["ER"]["columns"][0].update(values)
    )


CONTRADICTIONS = {
    "outputs in another order": (outputs(["PR", "ER", "HER2"]), "'PR', 'ER'"),
    "an output that is none": (outputs(["ER", "PR", "Ki67"]), "Ki67"),
    "targets in another order": (of_yaml(targets=["PR", "ER", "HER2"]), "'PR', 'ER'"),
    "a modality less": (of_yaml(modalities=["radiomics"]), "position"),
    "a network twice": (of_json(METADATA, lambda own: own["bcbm"].update(networks=["fold=0"] * 2)), "twice"),
    "no network": (of_json(METADATA, lambda own: own["bcbm"].update(networks=[])), "no network"),
    "leaky in a word": (of_json(METADATA, lambda own: own["bcbm"].update(leaky="false")), "leaky"),
    "networks exchanged": (exchanged, "fold=0 is of fold 1"),
    "a threshold beyond 1": (
        of_json("models/fold=0.json", lambda own: own["thresholds"].update(ER=7)),
        "threshold of ER",
    ),
    "a threshold in words": (
        of_json("models/fold=0.json", lambda own: own["thresholds"].update(ER="0.5")),
        "threshold of ER",
    ),
    "a target without a model": (
        of_json("models/fold=0.json", lambda own: own["baseline"]["models"].pop("PR")),
        "predicts",
    ),
    "a column twice": (
        of_json("models/fold=0.json", lambda own: twice(own["baseline"]["models"]["ER"]["columns"])),
        "column twice",
    ),
    "a column that is none": (column(name="original_shape_Sphericty"), "Sphericty"),
    "a column without its scale": (column(scale=0), "scale"),
    "no labels of the training": (of_json("training.json", lambda own: own.pop("labels")), "labels"),
    "no predictions out of fold": (
        of_json("out-of-fold.json", lambda own: own.update(blocks=own["blocks"][1:])),
        "out of fold",
    ),
    "a prediction out of fold beyond 1": (
        of_json("out-of-fold.json", lambda own: own["blocks"][0].update(positive=[5.0])),
        "no probability",
    ),
    "results of another run": (of_json("results.json", lambda own: own["receptors"].pop("PR")), "PR"),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_a_model_whose_files_do_not_belong_together_is_refused_though_their_sums_are_right(
    model, tmp_path, kind
):
    change, fact = CONTRADICTIONS[kind]
    folder = shutil.copytree(model, tmp_path / "model")
    change(folder)
    with_sums(folder)
    with pytest.raises(InputError) as caught:
        read_model(folder)
    assert fact in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_ranges_that_hold_no_numbers_are_refused(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "model")
    ranges = {name: array * np.nan for name, array in load_file(folder / RANGES).items()}
    save_file(ranges, folder / RANGES)
    with pytest.raises(InputError, match="no number"):
        read_model(with_sums(folder))


def test_a_cohort_with_one_negative_patient_has_figures_and_an_interval_without_an_end(
    model, strangers, tmp_path, monkeypatch
):
    monkeypatch.setattr("bcbm.validation.validate.write_page", lambda path, *content: path)  # none reads it
    table = pd.read_csv(strangers[1] / "manifest.csv", dtype={"patient": str})
    table["ER"] = np.where(table["patient"] == table["patient"].iloc[0], "-", "+")
    (tmp_path / "one").mkdir()
    table.to_csv(tmp_path / "one" / "manifest.csv", index=False)
    words = [str(model), f"cohort.root={tmp_path / 'one'}", f"out={tmp_path / 'out'}"]
    content = validate([*words, *FEW], QUIET)
    high = content["cohorts"][0]["results"]["receptors"]["ER"]["patient"]["calibration"]["intercept_high"]
    stored = json.loads((tmp_path / "out" / CONTENT).read_text())["cohorts"][0]
    assert math.isinf(high)
    assert stored["results"]["receptors"]["ER"]["patient"]["calibration"]["intercept_high"] is None


def test_ids_that_two_cohorts_have_in_common_are_said():
    def cohort(name, *patients):
        table = pd.DataFrame({"patient_id": patients, "content": [f"{name}{p}" for p in patients]})
        return SimpleNamespace(name=name, lesions=SimpleNamespace(entering=table))

    with pytest.warns(Note, match="A and B have ids in common, of 1 patient, such as MR-7"):
        require_apart([cohort("A", "MR-7", "MR-8"), cohort("B", "mr 07", "MR-9"), cohort("C", "X1")])


def test_the_same_patients_in_two_cohorts_are_refused(model, strangers, tmp_path):
    again = changed(strangers[1], tmp_path / "again", age=50)
    words = [str(model), f"cohort.root={strangers[1]}", f"cohort.root={again}", f"out={tmp_path / 'out'}"]
    with pytest.raises(InputError, match=f"{PATIENTS} patients"):
        validate([*words, *FEW], QUIET)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="twice"):
        validate([*words[:2], words[1], *FEW], QUIET)


def test_the_primary_stands_beside_a_leaky_model_which_says_that_it_is_one(model, strangers, tmp_path):
    table = pd.read_csv(strangers[1] / "manifest.csv", dtype={"patient": str})
    root = changed(strangers[1], tmp_path / "known", primary_ER=table["ER"])
    leaky = with_metadata(model, tmp_path / "leaky", leaky=True)
    console = Console(record=True, width=200)
    content = validate([str(leaky), f"cohort.root={root}", f"out={tmp_path / 'out'}", *FEW], console)
    block = content["cohorts"][0]["primary"]["ER"]
    assert block["primary"]["auroc"] == 1 and block["converted"] == 0
    assert block["model"]["auroc"] - 1 == pytest.approx(block["difference"]["difference"])
    page = (tmp_path / "out" / PAGE).read_text()
    assert "Against no conversion" in page and "verdict leaky" in page
    assert content["leaky"] and "LEAKY" in console.export_text()


def test_two_models_are_paired_on_the_same_patients(model, trained_on, strangers, once, tmp_path):
    words = [f"cohort.root={trained_on}", f"run.root={tmp_path / 'runs'}", *SMALL, "baseline.selected=5"]
    other = tmp_path / "other"
    export(run(compose(["task.modalities=[radiomics]", *words]), QUIET), other, QUIET)
    root = f"cohort.root={strangers[1]}"
    tests = compare_models([str(other), str(model), root, f"out={tmp_path / 'out'}", *FEW], QUIET)
    assert [test["target"] for test in tests] == ["ER", "PR", "HER2"]
    for test in tests:
        block = once[0]["cohorts"][0]["results"]["receptors"][test["target"]]["patient"]
        assert test["second"]["auroc"] == pytest.approx(block["auroc"])
        assert test["difference"] == pytest.approx(test["first"]["auroc"] - test["second"]["auroc"])
        assert test["low"] <= test["difference"] <= test["high"]
        assert test["bootstrap_low"] <= test["difference"] <= test["bootstrap_high"]
        assert (test["p"] < 0.05) == (test["low"] > 0 or test["high"] < 0) and test["q"] > 0.999 * test["p"]
    stored = json.loads((tmp_path / "out" / "models-compared.json").read_text())
    assert stored["tests"] == tests and len(set(stored["models"])) == 2
    assert names_models([str(model), str(other), root]) and not names_models(["experiments/modalities"])
    with pytest.raises(ConfigError, match="same"):
        compare_models([str(model), str(shutil.copytree(model, tmp_path / "twin")), root], QUIET)


BAD = {
    "a setting of the model": (["features.crop_size=8", "cohort.root=."], "features.crop_size"),
    "no cohort": ([], "cohort.root=DIR"),
    "two models": (["model", "cohort.root=."], "2 folders"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_asked_for_is_one_line(case, model, tmp_path, monkeypatch):
    words, fact = BAD[case]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        validate([str(model), *words], QUIET)
    assert fact in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())
