"""Figures for an article: their sizes, their words and colours, and the data beside them."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from finished_runs import write_run
from scipy.stats import norm

from bcbm.cohort.table import FLOW, flow, statuses_in_words
from bcbm.config.compose import compose
from bcbm.report.figures.palette import CHANCE, OKABE_ITO
from bcbm.report.figures.paper import FIGURES, WIDTHS, write_paper_figures
from bcbm.report.pages.run import write_report
from bcbm.runs.finished import read_run
from bcbm.runs.identity import fingerprint
from bcbm.statistics.curves import roc_band, roc_curve
from bcbm.statistics.resampling import resampled_counts

NAMES = [*FIGURES, "flow"]
PAGE = {"calibration": "reliability"}  # as the page calls it
TEXT = "{http://www.w3.org/2000/svg}text"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("runs") / "paper", "figures.style=paper", "split.folds=3")
    write_report(run)
    return run / "figures" / "paper"


def words_of(path):
    return [" ".join(node.itertext()) for node in ElementTree.parse(path).iter(TEXT)]


def test_every_figure_is_there_in_both_widths_and_formats_and_with_its_data(folder):
    names = {f"{name}-{width}mm.{kind}" for name in NAMES for width in WIDTHS for kind in ("png", "svg")}
    assert {path.name for path in folder.iterdir()} == names | {f"{name}.csv" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_figure_has_the_width_of_the_journal_and_words_that_stay_words(folder, name, width):
    pixels = matplotlib.image.imread(folder / f"{name}-{width}mm.png")
    assert pixels.shape[1] == pytest.approx(width / 25.4 * 300, abs=1)
    svg = folder / f"{name}-{width}mm.svg"
    root = ElementTree.parse(svg).getroot()
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(width / 25.4 * 72, abs=0.1)
    assert all(any(target in words for words in words_of(svg)) for target in ("ER", "PR", "HER2"))
    sizes = re.findall(r"font: [^;]*?([\d.]+)px|font-size: ([\d.]+)px", svg.read_text())
    assert {float(one or other) for one, other in sizes} <= {7.0, 8.0}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_at_the_edge_of_a_figure(folder, name, width):
    pixels = matplotlib.image.imread(folder / f"{name}-{width}mm.png")[..., :3]
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert edge.min() == 1


def test_colours_are_those_that_everybody_tells_apart(folder):
    allowed = {*OKABE_ITO, CHANCE, "#000000", "#ffffff"}
    for name in FIGURES:
        svg = (folder / f"{name}-84mm.svg").read_text()
        assert set(re.findall(r"(?:stroke|fill): (#[0-9a-f]{6})", svg)) <= allowed


def test_the_data_beside_the_figures_are_those_of_the_results(folder):
    results = json.loads((folder.parents[1] / "results.json").read_text())["receptors"]
    roc, flow = pd.read_csv(folder / "roc.csv"), pd.read_csv(folder / "flow.csv")
    for target, block in results.items():
        curve = roc[roc["target"] == target]
        area = np.trapezoid(curve["sensitivity"], curve["1 - specificity"])
        assert area == pytest.approx(block["patient"]["auroc"], abs=0.01)
        assert (curve["low"] <= curve["high"]).all() and (curve["high"] - curve["low"]).max() > 0.1
        counts = f"{block['patient']['positives']} positive"
        assert counts in words_of(folder / "flow-84mm.svg")
    assert flow["step"].tolist()[0] == "found" and flow["step"].tolist()[-1] == "analysed"
    for name in ("precision_recall", "calibration", "decision"):
        assert set(pd.read_csv(folder / f"{name}.csv")["target"]) == set(results)


@pytest.mark.parametrize("name", FIGURES)
def test_the_page_has_the_same_data_beside_its_figures(folder, name):
    page = folder.parent / f"{PAGE.get(name, name)}.csv"
    assert page.read_bytes() == (folder / f"{name}.csv").read_bytes()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_legend_says_what_the_band_of_a_roc_curve_is(folder, width):
    assert "whole curve, 95 %" in words_of(folder / f"roc-{width}mm.svg")


def drawn_anew(folder, to, monkeypatch, name, leaky):
    """One of the figures of the run, and its flow, once more, elsewhere."""
    run = read_run(folder.parents[1])
    monkeypatch.setattr("bcbm.report.figures.paper.FIGURES", {name: FIGURES[name]})
    steps = [dict(zip(FLOW, step, strict=True)) for step in flow(run.lesions)]
    statuses = statuses_in_words(run.entering, ["ER", "PR", "HER2"])
    results = {**run.results, "leaky": leaky}
    write_paper_figures(replace(run, folder=to, results=results), steps, statuses)
    return to / "figures" / "paper"


def test_the_same_run_gives_the_same_bytes(folder, tmp_path, monkeypatch):
    again = drawn_anew(folder, tmp_path, monkeypatch, "roc", leaky=False)
    assert len(list(again.iterdir())) == 10
    for path in again.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


def test_figures_of_a_leaky_run_say_so(folder, tmp_path, monkeypatch):
    leaky = drawn_anew(folder, tmp_path, monkeypatch, "calibration", leaky=True)
    for path in leaky.glob("*.svg"):
        assert any("LEAKY" in text for text in words_of(path)), path.name


def test_how_a_run_is_drawn_is_not_what_it_is():
    runs = [
        fingerprint(compose([f"figures.style={style}"]), "cohort", "split") for style in ("page", "paper")
    ]
    assert runs[0] == runs[1]


def rows_of(patients=30, folds=3, levels=0, seed=0):
    """Patients of three folds; with levels their scores tie."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, patients).astype(float)
    score = rng.normal(label, 1)
    score = np.round(score * levels) / levels if levels else score
    columns = {"fold": np.arange(patients) % folds, "repeat": 0, "label": label, "probability": score}
    return pd.DataFrame(columns | {"patient_id": [f"P{n}" for n in range(patients)]})


@pytest.mark.parametrize("levels", [0, 1, 3])
def test_the_curve_of_the_band_is_that_of_the_page(levels):
    rows, grid = rows_of(levels=levels), np.linspace(0, 1, 57)
    x, y = roc_curve(rows, "fold")
    sensitivity, low, high = roc_band(rows, grid, 200, seed=1)
    # At a jump the page has both ends, and interpolation would take either: the upper one is meant.
    expected = np.array([np.interp(value + 1e-9, x, y) for value in grid])
    assert sensitivity == pytest.approx(expected, abs=1e-6)
    assert (low <= high).all() and ((low <= sensitivity) & (sensitivity <= high)).mean() > 0.9


@pytest.mark.parametrize("levels", [0, 2])
def test_the_band_reaches_along_the_diagonal_as_far_as_curves_of_drawn_patients(levels):
    rows, grid, draws = rows_of(levels=levels), np.linspace(0, 1, 401), 40
    names, places = np.unique(rows["patient_id"]), np.linspace(0, 2, 402)

    def above(x, y):  # of the rising diagonal, at places along it
        return np.interp(places, np.append(0, x + y), np.append(0, y - x))

    mean, farthest = above(*roc_curve(rows, "fold")), []
    for counts in resampled_counts(np.random.default_rng(5), len(names), draws):
        times = rows["patient_id"].map(dict(zip(names, counts, strict=True)))
        drawn = above(*roc_curve(rows.loc[rows.index.repeat(times)], "fold"))
        farthest.append(np.abs(drawn - mean).max())
    shift = np.quantile(farthest, 0.95) / 2
    sensitivity, low, high = roc_band(rows, grid, draws, seed=5)
    there = (grid >= shift) & (low > 0)
    assert there.sum() > 40
    expected = np.interp(grid - shift, grid, sensitivity) - shift
    assert np.abs(low - expected)[there].mean() < 0.01
    assert (low[grid < shift - 0.01] == 0).all() and (high[grid > 1 - shift + 0.01] == 1).all()


def test_a_whole_curve_of_the_population_lies_in_the_band():
    grid = np.linspace(0, 1, 101)
    population = norm.cdf(1 + norm.ppf(grid))
    inside = 0
    for seed in range(25):
        _, low, high = roc_band(rows_of(90, seed=seed), grid, 100, seed)
        inside += bool(((low <= population) & (population <= high)).all())
    assert inside >= 22


def test_a_band_narrows_with_patients_and_one_class_has_none():
    widths = []
    for patients in (60, 600):
        _, low, high = roc_band(rows_of(patients), np.linspace(0, 1, 41), 300, seed=0)
        widths.append(float((high - low).mean()))
    assert widths[1] < 0.5 * widths[0]
    assert np.isnan(roc_band(rows_of().assign(label=1.0), np.linspace(0, 1, 5), 10, seed=0)).all()
