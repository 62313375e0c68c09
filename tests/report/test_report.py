"""The page of a finished run: what it says, what it must not say, and that a browser shows it."""

import base64
import json
import re
from html import unescape

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from browser import DARK, browse, picture, share_of
from finished_runs import lesion_table, write_run

from bcbm.errors import InputError
from bcbm.report.checklists import filled_checklists
from bcbm.report.figures.errors import by_region, by_volume, most_confident, pseudonyms, with_lesions
from bcbm.report.figures.palette import ALARM, PATIENT
from bcbm.report.figures.run import precision_recall_figure
from bcbm.report.figures.saving import save_png
from bcbm.report.pages.leak_panel import leak_panel
from bcbm.report.pages.run import CURVES, noise, verdict, write_report
from bcbm.report.words import number, signed
from bcbm.runs.finished import read_run
from bcbm.runs.folder import RunFolder
from bcbm.statistics.curves import precision_recall_curve
from bcbm.statistics.metrics import auprc, patient_level
from bcbm.statistics.summary import summarise


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """Two repeats of four folds, patients kept whole, explained, two studies in doubt."""
    place = {"mni_x": 30.0, "mni_overlap": 0.95, "position_source": "image"}
    named = {"name_hemisphere": "right", "name_confidence": 0.9}
    table = lesion_table().assign(doubts="", **place, **named)
    first, last = table["study_id"].iloc[[0, -1]]
    table.loc[table["study_id"] == first, "doubts"] = "not skull-stripped; not registered"
    table.loc[table["study_id"] == last, "mni_overlap"] = 0.86
    words = ("split.folds=4", "split.repeats=2")
    run = write_run(tmp_path_factory.mktemp("runs") / "honest", *words, table=table)
    lesion = str(pd.read_parquet(run / "lesions.parquet").loc[3, "lesion_id"])
    drop = {"drop": 0.123, "low": -0.02, "high": 0.2}
    explanations = {
        "modalities": [{"modality": "image", "target": name, **drop} for name in ("ER", "HER2")],
        "radiomics": [{"feature": "shape_<b>", "target": "ER", **drop}],
        "saliency": [{"file": "a.png", "target": "HER2", "lesion_id": lesion, "method": "occlusion"}],
    }
    explanations["saliency"][0] |= {"probability": 0.8, "label": 1.0}
    (run / "explanations").mkdir()
    matplotlib.image.imsave(run / "explanations" / "a.png", np.random.default_rng(0).random((40, 40)))
    (run / "explanations.json").write_text(json.dumps(explanations))
    write_report(run)
    return run


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("runs") / "leaky", "split.unit=lesion", "split.folds=3")
    write_report(run)
    return run


def html_of(run):
    return (run / "report.html").read_text(encoding="utf-8")


def text_of(run):
    """The words of a page, without its style and its pictures."""
    html = re.sub(r"<style>.*?</style>", "", html_of(run), flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_the_page_holds_every_figure_of_the_results(honest):
    text, results = text_of(honest), json.loads((honest / "results.json").read_text())
    for block in results["receptors"].values():
        patient = block["patient"]
        for name in ("auroc", "auprc"):
            words = f"{patient[name]:.2f} [{patient[f'{name}_low']:.2f}, {patient[f'{name}_high']:.2f}]"
            assert words in text
        assert f"{patient['positives']} / {patient['negatives']}" in text
        assert f"{patient['calibration']['slope']:.2f}" in text
        assert f"{patient['operating']['sensitivity']:.2f}" in text
    assert f"{results['derived']['subtype']['balanced_accuracy']:.2f}" in text
    assert "LEAKY" not in text


def test_studies_in_doubt_stand_on_the_first_screen(honest, leaky):
    lesions, environment = read_run(honest).lesions, read_run(honest).environment
    names = pseudonyms(lesions["patient_id"], environment["cohort"])
    first, last = (names[patient] for patient in lesions["patient_id"].iloc[[0, -1]])
    results = text_of(honest).split("Who enters", 2)[1]  # the first is a link to it
    for kind, patient in (
        ("not skull-stripped", first),
        ("not registered", first),
        ("registration in doubt", last),
    ):
        assert f"{kind}: {patient}" in results
    assert "in doubt" not in text_of(leaky).split("Who enters", 2)[1]


def test_no_id_of_a_patient_a_study_or_a_lesion_is_on_the_page(honest, leaky):
    for run in (honest, leaky):
        html, lesions = html_of(run), pd.read_parquet(run / "lesions.parquet")
        for column in ("patient_id", "study_id", "lesion_id"):
            assert not any(name in html for name in lesions[column].unique())
        assert "SECRET" not in html and "P1" in text_of(run)


def test_the_page_stands_alone_and_is_small(honest):
    html = html_of(honest)
    assert (honest / "report.html").stat().st_size < 3e6
    targets = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert all(target.startswith(("#", "data:image/png;base64,")) for target in targets)
    assert {target[1:] for target in targets if target[0] == "#"} <= set(re.findall(r'id="(\w+)"', html))
    assert "default-src 'none'" in unescape(html) and "<script" not in html and "shape_&lt;b&gt;" in html
    embedded = [base64.b64decode(target.split(",")[1]) for target in targets if target[0] == "d"]
    for name in (*CURVES, "flow", "errors", "forest", "influence"):
        assert (honest / "figures" / f"{name}.png").read_bytes() in embedded
    assert not (honest / "figures" / "paper").exists()  # nobody has asked for them


def test_a_browser_renders_it_in_light_dark_and_on_a_phone_without_a_complaint(honest):
    page = honest / "report.html"
    dom, console = browse(page, "--dump-dom")
    assert console == ""
    assert "Better than chance: ER and PR" in dom and "</footer>" in dom
    light, dark, phone = picture(page), picture(page, 1000, 1600, DARK), picture(page, 500, 1600)
    assert share_of(light, PATIENT) > 0 and share_of(dark, PATIENT) > 0  # a curve is drawn
    assert light.mean() > 0.8 and dark[:200].mean() < 0.3
    assert phone.std() > 0.05


def test_a_leaky_run_shouts(leaky, honest):
    text = text_of(leaky)
    assert text.count("LEAKY") >= 5 and "no figure of it is a result" in text
    assert verdict(read_run(leaky).results)[1] == "leaky"
    for name in (*CURVES, "errors", "forest", "influence"):
        seen = [
            share_of(matplotlib.image.imread(run / "figures" / f"{name}.png")[..., :3], ALARM)
            for run in (leaky, honest)
        ]
        assert seen[0] > 0 and seen[1] == 0
    assert share_of(picture(leaky / "report.html", 1000, 300), ALARM) > 0.05


def test_leaks_are_counted_from_the_files(leaky, honest):
    panel = leak_panel(read_run(honest))
    assert panel["shared_patients"] == panel["shared_content"] == 0
    assert panel["rows"] == panel["carrying"] > 0 and len(panel["folds"]) == 8
    run = read_run(leaky)
    expected = 0
    for fold in run.split["folds"]:
        owners = [
            {lesion.split("/")[0][:15] for lesion in fold[part]} for part in ("train", "validation", "test")
        ]
        expected += len(owners[0] & owners[1] | owners[0] & owners[2] | owners[1] & owners[2])
    assert leak_panel(run)["shared_patients"] == expected > 0
    assert f"{expected} in 3 folds" in text_of(leaky)


def test_content_in_two_parts_is_found(tmp_path):
    table = lesion_table()
    table["content"] = "all the same"
    panel = leak_panel(read_run(write_run(tmp_path / "run", "split.folds=2", table=table)))
    assert panel["shared_content"] == 2 and panel["shared_patients"] == 0


def test_an_explanation_of_chance_carries_a_warning(honest):
    results = read_run(honest).results
    assert noise(results) == ["HER2"]
    text = text_of(honest)
    assert "HER2: this explains noise" in text and "+0.12 [-0.02, +0.20]" in text
    results["receptors"]["ER"]["patient"]["q"] = float("nan")
    assert noise(results) == ["ER", "HER2"]


def test_a_bound_near_zero_keeps_its_side():
    assert [signed(value) for value in (-0.004, 0.004, -0.126, float("nan"))] == [
        "-0.00",
        "+0.00",
        "-0.13",
        "n/a",
    ]
    assert signed(0.0) == signed(-0.0) == signed(0.3 - 0.1 - 0.2) == "0.00"


def test_only_what_would_round_to_zero_is_said_to_be_less():
    assert [number(value) for value in (0.0, 0.004, 0.0096, 1.0)] == ["0.00", "< 0.01", "0.01", "1.00"]
    assert [number(value, 3) for value in (0.0004, 0.0006)] == ["< 0.001", "0.001"]


def test_the_verdict_follows_q():
    def results(**q):
        return {
            "leaky": False,
            "receptors": {
                name: {"patient": {"auroc": 0.7, "auroc_low": 0.6 if v < 0.1 else 0.4, "q": v}}
                for name, v in q.items()
            },
        }

    assert verdict(results(ER=0.01, PR=0.2, HER2=float("nan"))) == (
        "Better than chance: ER. Not shown to be: PR and HER2",
        "good",
    )
    assert verdict(results(ER=0.01)) == ("Better than chance: ER", "good")
    assert verdict(results(ER=0.5)) == ("Not shown to be better than chance: ER", "warn")


def test_the_verdict_says_why_an_interval_above_chance_is_not_enough():
    blocks = {"ER": (0.72, 0.52, 0.09), "PR": (0.6, 0.4, 0.4), "HER2": (0.71, 0.51, 0.09)}
    receptors = {
        name: {"patient": dict(zip(("auroc", "auroc_low", "q"), values, strict=True))}
        for name, values in blocks.items()
    }
    text, kind = verdict({"leaky": False, "receptors": receptors})
    assert kind == "warn"
    alone, others = text.split(". ")
    assert "ER and HER2" in alone and "alone" in alone and "3 targets" in alone
    assert "PR" in others and "ER" not in others


def test_a_target_of_one_class_is_said_to_have_no_figure(tmp_path):
    run = write_run(tmp_path / "run", "split.folds=2")
    for name in ("fold=0/predictions", "fold=1/predictions", "predictions"):
        predictions = pd.read_parquet(run / f"{name}.parquet")
        predictions.loc[predictions["target"] == "HER2", "label"] = 1.0
        RunFolder(run).write(f"{name}.parquet", predictions)
    RunFolder(run).write("lesions.parquet", pd.read_parquet(run / "lesions.parquet").assign(HER2=1.0))
    split = json.loads((run / "split.json").read_text())
    keys = {"targets": ["ER", "PR", "HER2"], "resamples": 50, "seed": 0}
    results = summarise(predictions, split={"unit": "patient", "hash": split["hash"]}, **keys)
    RunFolder(run).write_results(results)
    write_report(run)
    assert "n/a (one class)" in text_of(run) and "nan" not in text_of(run)
    assert browse(run / "report.html", "--dump-dom")[1] == ""


def test_a_single_task_without_image_has_its_page_and_its_conditions(tmp_path):
    run = write_run(tmp_path / "run", "task.targets=[ER]", "task.modalities=[position]", "split.folds=2")
    write_report(run)
    assert "HR and subtype" not in text_of(run)
    metrics = filled_checklists(read_run(run), 0)[0]
    status = {item["number"]: item["answer"].status for item in metrics["items"]}
    assert status["12"] == status["17"] == "n/a" and status["14"] == ""  # columns, yet no radiomics


def test_checklists_have_their_items_and_leave_blank_what_a_run_cannot_know(honest, leaky):
    metrics, tripod, claim = filled_checklists(read_run(honest), 0)
    assert [item["number"] for item in claim["items"]] == [str(number) for number in range(1, 45)]
    assert [item["number"] for item in metrics["items"]] == [str(number) for number in range(1, 31)]
    assert list(dict.fromkeys(re.sub(r"\D", "", item["number"]) for item in tripod["items"])) == [
        str(number) for number in range(1, 28)
    ]
    assert len(tripod["items"]) == 52
    answers = {item["number"]: item["answer"] for item in metrics["items"]}
    assert answers["18"].status == "yes" and read_run(honest).split["hash"] in answers["18"].text
    assert "16 voxels of 2 mm" in answers["11"].text
    assert all(answers[number].status == "" for number in ("4", "5", "7", "9", "27"))
    statuses = {item["number"]: item["answer"].status for item in tripod["items"]}
    assert not any(statuses[number] for number in ("1", "2", "3a", "14", "17", "18a", "18b", "19", "25"))
    answers = {item["number"]: item["answer"] for item in filled_checklists(read_run(leaky), 9)[0]["items"]}
    assert answers["18"].status == answers["26"].status == "no"


def test_a_picture_that_breaks_off_leaves_the_one_before_and_nothing_else(tmp_path):
    class Broken:
        def savefig(self, file, **settings):
            file.write(b"the first half")
            raise MemoryError

    path = tmp_path / "auroc.png"
    path.write_bytes(b"the one before")
    with pytest.raises(MemoryError):
        save_png(Broken(), path)
    assert path.read_bytes() == b"the one before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("coordinates", "count"), [("false", 12), ("true", 16)])
def test_a_checklist_counts_the_columns_that_the_run_has(coordinates, count, tmp_path):
    words = ["task.modalities=[radiomics,position]", "cohort.position=image", "split.folds=2"]
    words.append(f"features.coordinates={coordinates}")
    run = write_run(tmp_path / "run", *words)
    answers = {item["number"]: item["answer"] for item in filled_checklists(read_run(run), 0)[0]["items"]}
    assert f"107 radiomics, {count} position" in answers["16"].text


def test_a_run_of_what_a_search_chose_says_so_and_warns(honest, tmp_path):
    run = write_run(tmp_path / "run", "chosen_by=fusion on demo, 1dea", "split.folds=2")
    text = text_of(write_report(run).parent)
    assert "Settings chosen by a search (fusion on demo, 1dea) on every patient" in text
    assert "figures of this page are optimistic" in text and "not tuned" not in text
    metrics, tripod, claim = filled_checklists(read_run(run), 0)
    (tuning,) = (item["answer"].text for item in tripod["items"] if item["number"] == "12c")
    assert tuning.endswith("settings chosen on all patients by a search: fusion on demo, 1dea")
    assert {item["number"]: item["answer"].status for item in metrics["items"]}["26"] == "partly"
    assert {item["number"]: item["answer"].status for item in claim["items"]}["32"] == "no"
    text = text_of(honest)
    assert "chosen by a search" not in text and "optimistic" not in text and "not tuned" in text


def test_leakcheck_is_shown_where_it_is_given(honest, tmp_path):
    cell = {"lesion": {"mean": 0.765, "spread": 0.03}, "patient": {"mean": None, "spread": 0.02}}
    aurocs = {unit: {"random": cell, "ER": cell} for unit in ("lesion", "study", "patient")}
    check = {"aurocs": aurocs, "verdict": "LEAK POSSIBLE: so it is", "modalities": ["radiomics"]}
    check["entering"] = {"lesions": 1234, "patients": 56}
    path = tmp_path / "leakcheck.json"
    path.write_text(json.dumps(check))
    assert "python -m bcbm.leakcheck experiment=demo" in text_of(honest)
    before = html_of(honest)
    text = text_of(write_report(honest, path).parent)
    assert "LEAK POSSIBLE: so it is" in text and "0.77 ± 0.03" in text and "1,234 lesions" in text
    (honest / "report.html").write_text(before, encoding="utf-8")


def test_an_unfinished_run_has_no_report(tmp_path):
    run = write_run(tmp_path / "run", finished=False)
    with pytest.raises(InputError, match="2 of 5 folds"):
        write_report(run)
    with pytest.raises(InputError, match=r"config\.yaml"):
        write_report(tmp_path)


def test_the_area_under_a_precision_recall_curve_is_the_average_precision():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 60).astype(float), rng.integers(0, 9, (2, 60)) / 9  # with ties
    tables = [pd.DataFrame({"repeat": r, "label": labels, "probability": scores[r]}) for r in (0, 1)]
    recall, precision = precision_recall_curve(pd.concat(tables))
    area = np.sum(np.diff(recall) * precision[1:])
    assert area == pytest.approx(np.mean([auprc(labels, score) for score in scores]))
    assert precision_recall_curve(tables[0][tables[0]["label"] == 1])[0].size == 0


def test_errors_are_grouped_over_all_lesions_with_their_counts(honest):
    run = read_run(honest)
    rows = with_lesions(run.predictions, run.lesions)
    for table in (by_volume(rows), by_region(rows)):
        counts = table[table["target"] == "ER"]["lesions"]
        assert counts.sum() == len(run.entering)
        groups = table[table["target"] == "HER2"]
        expected = ((rows["probability"] - rows["label"]) ** 2)[rows["target"] == "HER2"].mean()
        assert np.average(groups["brier"], weights=groups["lesions"]) == pytest.approx(expected)
    unknown = by_volume(rows.assign(volume=np.nan))
    assert list(unknown["group"].unique()) == ["volume unknown"]


def test_the_surest_answers_are_one_a_patient_and_nobodys_name(honest):
    run = read_run(honest)
    names = pseudonyms(run.lesions["patient_id"], "salt")
    assert sorted(names.values(), key=lambda name: int(name[1:])) == [f"P{n}" for n in range(1, 61)]
    assert names != pseudonyms(run.lesions["patient_id"], "other salt")
    examples = most_confident(with_lesions(run.predictions, run.lesions), names)
    assert len(examples) == 18
    for right in (True, False):
        group = [example for example in examples if example["target"] == "ER" and example["right"] == right]
        assert len({example["patient"] for example in group}) == 3
        assert [example["sureness"] for example in group] == sorted(
            (example["sureness"] for example in group), reverse=True
        )


def test_a_figure_takes_repeats_and_a_missing_class(honest, tmp_path):
    run = read_run(honest)
    none = run.predictions.assign(label=np.nan)
    precision_recall_figure(none, run.results, tmp_path / "none.png")
    assert matplotlib.image.imread(tmp_path / "none.png").std() > 0
    assert patient_level(run.predictions)["repeat"].nunique() == 2
