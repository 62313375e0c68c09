"""The page of an audit, its pictures, and what acquisition tells about targets."""

import base64
import json
import re
from html import unescape
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, mannwhitneyu
from scipy.stats.contingency import association
from sklearn.metrics import roc_auc_score

from bcbm.cohort.measurements import Brain
from bcbm.features.brains import save_brain, template_brain
from bcbm.report.figures import cohort as draw
from bcbm.report.figures.registered import MOST, Registered, sheet_figure, sheet_studies
from bcbm.report.pages.audit import write_page
from bcbm.statistics.confounders import confounders, cramers_v, permutation_p

REGIONS = list(draw.REGIONS)


def lesion_table(patients: int = 80, seed: int = 0) -> pd.DataFrame:
    """One to two studies a patient, one to five lesions a study; 3 T where HER2 is, year a little."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        her2 = float(rng.random() < 0.5)
        labels = {"ER": float(rng.random() < 0.5), "PR": rng.choice([0.0, 1.0, np.nan]), "HER2": her2}
        field = "3" if rng.random() < (0.8 if her2 else 0.1) else "1.5"
        year = str(int(rng.integers(2008, 2020) + 4 * labels["ER"]))
        patient_columns = {
            "field_strength": field,
            "year": year,
            "age": str(rng.integers(30, 80)),
            "sex": "F",
        }
        patient_columns["manufacturer"] = str(rng.choice(["GE", "Siemens", "Philips"]))
        for study in range(rng.integers(1, 3)):
            for lesion in range(rng.integers(1, 6)):
                place = {"region": str(rng.choice(REGIONS)), "hemisphere": str(rng.choice(["left", "right"]))}
                rows.append(
                    {
                        "lesion_id": f"P{number}-{study}/t{lesion}",
                        "study_id": f"P{number}-{study}",
                        "patient_id": f"P{number}",
                        "category": str(rng.choice(list(draw.CATEGORIES))),
                        "volume": float(rng.lognormal(4, 2)),
                        "pixel_spacing": "",
                        **place,
                        **labels,
                        **patient_columns,
                    }
                )
    table = pd.DataFrame(rows)
    table[["mni_x", "mni_y", "mni_z"]] = np.nan
    table["excluded"] = table["category"] == "structure"
    return table


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return lesion_table()


def audit_of(findings=(), related=()):
    return {
        "cohort": {"name": "Köln & Ärzte <b>", "content": "abc123", "images": True},
        "status": "findings" if findings else "clean",
        "counts": {"patients": 1165, "studies": 268, "lesions": 2821},
        "flow": [
            {"step": "found", "patients": 165, "studies": 268, "lesions": 2821},
            {"step": "excluded: no receptor label", "patients": 26, "studies": 30, "lesions": 100},
            {"step": "analysed", "patients": 139, "studies": 238, "lesions": 2721},
        ],
        "findings": list(findings),
        "agreement": {"hemisphere": {"agree": 95, "of": 100}, "region": {"agree": 0, "of": 0}},
        "confounders": list(related),
        "burden": [{"patient": "155", "lesions": 949, "share": 0.336}],
    }


def finding(number: int, kind: str = "row without file", remedy: str = "restore it") -> dict[str, str]:
    return {"kind": kind, "where": f"study-{number}", "found": f"nothing at {number}", "remedy": remedy}


class Page(HTMLParser):
    """Tags and visible words of a page, as a browser would read them."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.links, self.words = [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def write(tmp_path):
    def _write(audit, figures=None):
        write_page(audit, figures or {}, tmp_path / "new" / "audit.html")
        return Page(tmp_path / "new" / "audit.html")

    return _write


def by_name(results):
    return {(result["column"], result["target"]): result for result in results}


def test_a_planted_confounder_is_found_and_unrelated_columns_are_not(table):
    results = by_name(confounders(table))
    assert results["field_strength", "HER2"]["q"] < 0.01
    assert results["year", "ER"]["q"] < 0.05 and results["year", "ER"]["effect"] > 0.6
    marked = {name for name, result in results.items() if result["q"] < 0.05}
    assert marked == {("field_strength", "HER2"), ("year", "ER")}


def test_columns_without_two_values_and_targets_of_one_class_give_no_test(table):
    results = by_name(confounders(table.assign(PR=1.0)))
    assert {column for column, _ in results} == {"age", "year", "field_strength", "manufacturer"}
    assert {target for _, target in results} == {"ER", "HER2"}
    assert confounders(table.assign(excluded=True)) == []
    assert confounders(table.drop(columns=["age", "year", "field_strength", "manufacturer"])) == []


def test_auroc_and_p_of_numbers_equal_those_of_other_libraries(table):
    patients = table[~table["excluded"]].drop_duplicates("patient_id").dropna(subset="PR")
    result = by_name(confounders(table))["age", "PR"]
    age = patients["age"].astype(float)
    assert result["patients"] == len(patients)
    assert result["effect"] == pytest.approx(roc_auc_score(patients["PR"], age))
    p = mannwhitneyu(age[patients["PR"] == 1], age[patients["PR"] == 0]).pvalue
    assert result["p"] == pytest.approx(p)


def test_cramers_v_without_correction_equals_scipy_and_with_it_bergsma():
    counts = np.array([[30, 10], [12, 25], [8, 9]])
    n, phi = counts.sum(), chi2_contingency(counts, correction=False)[0] / counts.sum()
    assert association(counts, method="cramer") == pytest.approx(np.sqrt(phi))  # of two classes V is phi
    phi_left = phi - 2 / (n - 1)
    assert cramers_v(counts) == pytest.approx(np.sqrt(phi_left / (2 - 1 / (n - 1) - 1)))
    assert cramers_v([[20, 20], [10, 10]]) == 0
    assert cramers_v([[40, 0], [0, 40]]) == pytest.approx(1)
    assert cramers_v(np.eye(2)[[0, 1, 0, 1]]) == 0  # every patient has a scanner of its own


def test_the_permutation_p_agrees_with_chi_square_where_that_holds():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 3, 300).astype(str)
    labels = (rng.random(300) < 0.4 + 0.1 * (levels == "1")).astype(int)
    expected = chi2_contingency(pd.crosstab(levels, labels), correction=False)[1]
    assert permutation_p(levels, labels, 5000, seed=1) == pytest.approx(expected, abs=0.02)
    assert permutation_p(labels, labels, 99, seed=1) == 0.01  # never zero


def test_a_patient_counts_with_its_first_study_and_lesions_with_their_own():
    cells = [("A-9", "1.5", 1), ("A-10", "3", 1), ("A-10", "3", 1), ("B-0", "3.0", 0), ("C-0", "1.5", 0)]
    table = pd.DataFrame(cells, columns=["study_id", "field_strength", "ER"])
    table["patient_id"], table["excluded"] = table["study_id"].str[0], False
    (result,) = confounders(table, ["ER"], permutations=10)
    assert result["levels"] == [
        {"level": "3", "patients": 1, "positives": 0, "rows_share": 0.6},
        {"level": "1.5", "patients": 2, "positives": 1, "rows_share": 0.4},
    ]


def test_q_follows_benjamini_and_hochberg_over_all_tests_and_results_are_json(table):
    results = confounders(table)
    assert results == confounders(table)  # seeded
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    p = np.array([result["p"] for result in results])
    assert (np.diff(p) >= 0).all()
    q = np.minimum.accumulate((p * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    assert [result["q"] for result in results] == pytest.approx(np.minimum(q, 1))


def read_png(path):
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    pixels = matplotlib.image.imread(path)[..., :3]
    assert (pixels.min(axis=2) < 0.9).mean() > 0.0005  # something is drawn
    return pixels


def has(pixels, color):
    """Whether a colour is in a picture."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return bool((np.abs(pixels - rgb).max(axis=2) < 0.02).any())


def test_tables_become_pictures(table, tmp_path):
    path = tmp_path / "picture.png"
    draw.flow_figure(audit_of()["flow"], path)
    read_png(path)
    draw.burden_figure(table, path)
    assert has(read_png(path), draw.ENTERS) and has(read_png(path), draw.OUT)
    draw.burden_figure(table.assign(excluded=True), path)
    assert has(read_png(path), draw.OUT)
    draw.volumes_figure(table, path)
    assert all(has(read_png(path), color) for color in draw.CATEGORIES.values())
    draw.volumes_figure(table.assign(volume=np.nan), path)
    read_png(path)


def test_the_flow_grows_with_its_boxes_and_takes_any_reason(tmp_path):
    flow = audit_of()["flow"]
    draw.flow_figure(flow, tmp_path / "short.png")
    odd = {"step": "excluded: $x_{ " + "überlang " * 12, "patients": 1, "studies": 1, "lesions": 1}
    draw.flow_figure([flow[0], odd, *flow[1:]], tmp_path / "long.png")
    assert len(read_png(tmp_path / "long.png")) > len(read_png(tmp_path / "short.png"))


def test_the_flow_counts_one_patient_as_one():
    step = {"step": "found", "patients": 1, "studies": 2, "lesions": 1}
    words = [text.get_text() for text in draw.draw_flow([step], [], 6, 9).axes[0].texts]
    assert any("1 patient, 2 studies, 1 lesion" in text for text in words)
    assert "1 patients" not in "".join(words)


def test_lesions_lie_on_a_brain_where_coordinates_are_known_and_in_bars_else(table, tmp_path):
    draw.places_figure(table.assign(excluded=True), tmp_path / "bars.png")  # no lesion enters
    read_png(tmp_path / "bars.png")
    draw.places_figure(table, tmp_path / "bars.png")
    assert has(read_png(tmp_path / "bars.png"), draw.HEMISPHERES["left"])
    located = table.assign(region="occipital", mni_x=20.0, mni_y=-85.0, mni_z=5.0)
    located.loc[::2, "mni_x"] = np.nan
    draw.places_figure(located, tmp_path / "brain.png")
    reds = [(p[..., 0] - p[..., 1:].max(axis=2) > 0.3).sum() for p in [read_png(tmp_path / "brain.png")]]
    assert reds[0] > 50


def test_examples_show_the_outline_of_the_mask(tmp_path):
    image = np.random.default_rng(0).normal(size=(32, 32))
    mask = np.zeros((32, 32), bool)
    mask[10:20, 12:22] = True
    empty = ("P2-0/none", np.full((32, 32), np.nan), np.zeros((32, 32)))
    examples = {"lesion": [("P1-0/a", image, mask)] * 6, "target": [empty], "cavity": []}
    draw.examples_figure(examples, tmp_path / "examples.png")
    assert has(read_png(tmp_path / "examples.png"), draw.OUTLINE)
    draw.examples_figure({}, tmp_path / "none.png")
    assert (tmp_path / "none.png").is_file()


def registered(studies: int) -> list[Registered]:
    rng = np.random.default_rng(0)
    brain = np.where(template_brain() > 0, rng.integers(1, 256, template_brain().shape), 0).astype(np.uint8)
    return [Registered(f"S-{n}", brain, 0.95, "head turned" * (n == 0)) for n in range(studies)]


def test_the_contact_sheet_begins_with_studies_in_doubt_and_then_the_least_overlap(tmp_path):
    overlaps = {"A": 0.97, "B": 0.92, "C": 0.95, "D": 0.86, "E": 0.96}
    rows = [{"study_id": study, "image_path": study, "mni_overlap": overlaps[study]} for study in overlaps]
    usual = {"doubts": "", "position_conflict": "", "position_source": "image", "name_hemisphere": "left"}
    table = pd.DataFrame(rows).assign(**usual, name_confidence=1.0, mni_x=-30.0)
    table.loc[0, "doubts"], table.loc[2, "position_conflict"] = "head turned in its header", "the name says"
    save_brain(tmp_path / "brain.npz", template_brain())
    brains = {study: Brain(tmp_path / "brain.npz", overlap) for study, overlap in overlaps.items()}
    studies = sheet_studies(table, brains)
    assert [study.study for study in studies] == ["D", "C", "A", "B", "E"]
    assert [bool(study.doubt) for study in studies] == [True, True, True, False, False]
    many = pd.concat([table.assign(image_path=f"{n}", study_id=f"{n}") for n in range(MOST + 5)])
    assert len(sheet_studies(many, {f"{n}": brains["A"] for n in range(MOST + 5)})) == MOST


def reddish(pixels):
    """Whether words in red are in a picture."""
    return bool((pixels[..., 0] - pixels[..., 1:].max(axis=2) > 0.3).any())


def test_the_contact_sheet_shows_brains_doubts_and_the_outline_and_stays_small(tmp_path):
    sheet_figure(registered(MOST), template_brain(), tmp_path / "sheet.png")
    pixels = read_png(tmp_path / "sheet.png")
    assert has(pixels, draw.OUTLINE) and reddish(pixels)
    assert (tmp_path / "sheet.png").stat().st_size < 3e6  # of noise, which packs worst
    sheet_figure(registered(2)[1:], template_brain(), tmp_path / "sheet.png")
    assert not reddish(read_png(tmp_path / "sheet.png"))


def test_the_page_mentions_every_finding_and_folds_long_lists(write):
    findings = [finding(i) for i in range(47)] + [finding(99, "tiny", f"look {i}") for i in range(2)]
    page = write(audit_of(findings))
    assert "49 findings in 2 kinds" in page.text
    assert all(text in page.text for row in findings for text in row.values())
    assert "27 more" in page.text and page.tags.count("details") == 1
    assert page.text.count("restore it") == 1  # a remedy shared by a kind is said once
    before = page.text.split("27 more")[0]
    assert "nothing at 19" in before and "nothing at 20" not in before


def test_a_clean_cohort_says_so(write):
    page = write({**audit_of(), "agreement": None, "burden": []})
    assert "Clean" in page.text and "findings in" not in page.text
    assert "155" not in page.text and "agree" not in page.text


def test_hostile_and_foreign_names_are_shown_as_text(write):
    hostile = "<script>alert('x')</script>"
    findings = [{key: f"{key}{hostile} 日本 é \udcff" for key in ("kind", "where", "found", "remedy")}]
    related = [
        {
            "column": hostile,
            "target": "ER",
            "test": "AUROC",
            "effect": None,
            "p": 0.2,
            "q": 0.2,
            "patients": 9,
            "levels": [{"level": hostile, "patients": 0, "positives": 0, "rows_share": 1.0}],
        }
    ]
    page = write(audit_of(findings, related))
    assert "script" not in page.tags and "b" in page.tags
    assert page.text.count(hostile) == 6 and "日本 é \\udcff" in page.text
    assert "Köln & Ärzte <b>" in page.text


def test_the_page_stands_alone(write, tmp_path, table):
    figures = {name: tmp_path / f"{name}.png" for name in ("flow", "volumes")}
    draw.flow_figure(audit_of()["flow"], figures["flow"])
    draw.volumes_figure(table, figures["volumes"])
    page = write(audit_of(), figures)
    assert page.tags.count("img") == 2 and "link" not in page.tags
    targets = [link for link in page.links if not link.startswith("data:image/png;base64,")]
    assert all(target.startswith("#") for target in targets)
    html = (tmp_path / "new" / "audit.html").read_text(encoding="utf-8")
    assert set(targets) == {f"#{name}" for name in re.findall(r'id="(\w+)"', html)}  # contents lead somewhere
    first = next(link for link in page.links if link.startswith("data:"))
    assert base64.b64decode(first.split(",")[1]) == figures["flow"].read_bytes()
    assert "http" not in unescape(re.sub(r"base64,[^\"]+|http-equiv", "", html))


def test_confounders_are_marked_by_q_and_agreement_has_counts(write, table, tmp_path):
    related = confounders(table)
    page = write(audit_of(related=related))
    marked = sum(result["q"] < 0.05 for result in related)
    html = (tmp_path / "new" / "audit.html").read_text(encoding="utf-8")
    assert html.count('class="marked"') == marked == 2
    assert f"{marked} of {len(related)} tests say yes" in page.text
    assert "95 % 95 of 100" in page.text and "n/a 0 of 0" in page.text
    assert "949" in page.text and "34 %" in page.text and "1,165" in page.text


def test_a_page_that_fails_leaves_the_old_one(write, tmp_path):
    write(audit_of([finding(1)]))
    broken = audit_of()
    del broken["flow"]
    with pytest.raises(Exception, match="flow"):
        write(broken)
    folder = tmp_path / "new"
    assert "study-1" in (folder / "audit.html").read_text(encoding="utf-8")
    assert [path.name for path in folder.iterdir()] == ["audit.html"]
