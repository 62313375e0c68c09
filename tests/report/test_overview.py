"""The list of all runs: what it says of each, that a browser sorts and filters it, and who writes it."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
from browser import browse
from commands import run_command
from finished_runs import write_run

from bcbm.report.pages.overview import write_overview
from bcbm.runs.overview import differences, page_lines, run_lines

SORT = "[...document.querySelectorAll('#all button')].find((b) => b.textContent === 'ER').click();"
FILTER = (
    "const box = document.getElementById('filter'); box.value = 'gated 2 of 5';"
    "box.dispatchEvent(new Event('input'));"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Four runs: a usual one, a worse one of another seed, a leaky one and one that is not finished."""
    root = tmp_path_factory.mktemp("runs")
    write_run(root / "demo" / "2026-11-20_10-00-00", "bootstrap=0")
    words = "model.dropout=0.1", "seed=3", "bootstrap=0", "prepared.root=/home/anna/prepared"
    write_run(root / "demo" / "2026-11-21_10-00-00", *words, signal={"ER": 0.4})
    write_run(root / "demo" / "2026-11-22_10-00-00", "split.unit=lesion", "bootstrap=0")
    write_run(root / "gated" / "2026-11-23_10-00-00", "model.fusion=gated", finished=False)
    return root


def test_each_run_says_what_it_found_and_in_what_it_differs(root):
    lines = {line.place: line for line in run_lines(root)}
    assert list(lines) == sorted(lines, key=lambda place: place[-19:], reverse=True)
    usual, worse, leaky, unfinished = (lines[place] for place in sorted(lines))
    figures = json.loads((root / usual.place / "results.json").read_text())
    assert usual.blocks["ER"]["auroc"] == figures["receptors"]["ER"]["patient"]["auroc"]
    assert usual.blocks["mean"]["auroc_low"] == figures["mean"]["auroc_low"]
    assert (usual.state, usual.leaky, leaky.leaky, leaky.unit) == ("finished", False, True, "lesion")
    assert (unfinished.state, unfinished.blocks, unfinished.leaky) == ("2 of 5 folds", {}, None)
    apart = differences(list(lines.values()))
    assert apart[usual.place] == apart[leaky.place] == {}
    assert apart[worse.place] == {"model.dropout": 0.1} and worse.seed == "3"
    assert apart[unfinished.place] == {"model.fusion": "gated"}


def test_where_no_setting_is_the_usual_one_every_run_says_its_own(root):
    usual, worse, *_ = sorted(run_lines(root), key=lambda line: line.place)
    assert differences([usual, worse]) == {
        usual.place: {"model.dropout": usual.settings["model.dropout"]},
        worse.place: {"model.dropout": 0.1},
    }


@pytest.mark.parametrize("damage", ["results", "config", "environment"])
def test_a_damaged_run_is_there_with_its_damage(tmp_path, damage):
    write_run(tmp_path / "demo" / "run", "bootstrap=0")
    name = {"results": "results.json", "config": "config.yaml", "environment": "environment.json"}[damage]
    file = tmp_path / "demo" / "run" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4 if damage == "results" else 255
    file.write_bytes(content)
    (line,) = run_lines(tmp_path)
    assert line.state.startswith("cannot be read") and not line.blocks
    if damage == "config":
        file.write_text("{seed: [")  # which no parser of YAML reads
        (line,) = run_lines(tmp_path)
        assert line.state.startswith("cannot be read")
    assert str(tmp_path) not in line.state
    assert "cannot be read" in write_overview(tmp_path).read_text()


def test_what_is_gone_once_it_is_looked_at_ends_nothing(tmp_path):
    write_run(tmp_path / "demo" / "run", "bootstrap=0")
    for name in ("demo/gone/config.yaml", "compare/gone/report.html"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).symlink_to(tmp_path / "nothing")  # is listed, and not there
    assert [line.state.partition(":")[0] for line in run_lines(tmp_path)] == ["finished", "cannot be read"]
    assert "cannot be read" in write_overview(tmp_path).read_text()


def test_a_browser_sorts_and_filters_and_runs_no_other_script(root):
    page = write_overview(root)
    text = page.read_text()
    assert not re.search("anna|SECRET", text) and str(root) not in text
    alone, console = browse(page, "--dump-dom")
    assert "4 of 4" in alone and not console
    # What a reader does, by the page's own script: a second one is refused by the page's policy.
    foreign = page.with_name("foreign.html")
    foreign.write_text(text.replace("</body>", f"<script>{SORT}</script></body>"))
    assert "script-src" in browse(foreign, "--dump-dom")[1]
    used = page.with_name("used.html")
    policy = re.search("<meta http-equiv[^>]*>", text)
    assert policy is not None
    used.write_text(text.replace(policy[0], "").replace("</body>", f"<script>{SORT}{FILTER}</script></body>"))
    dom, console = browse(used, "--dump-dom")
    assert "1 of 4" in dom and not console
    rows = re.findall(r"<tr[^>]*>(?:(?!</tr>).)*<td.*?</tr>", dom.partition("</thead>")[2], re.DOTALL)[:4]
    ers = [re.search(r"data-key=\"([^\"]*)\"", row.split('class="n"')[2])[1] for row in rows]
    assert ers[:3] == sorted(ers[:3], key=float, reverse=True) and ers[3] == ""
    assert ["hidden" in row.partition(">")[0] for row in rows] == [True, True, True, False]
    assert unescape(rows[3]).count("gated")


def test_external_validations_are_led_to_wherever_they_lie(tmp_path):
    for place in ("validation", "models/elsewhere"):
        for name in ("report.html", "validation.json"):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            (tmp_path / place / name).touch()
    pages = {(line.kind, line.name, line.place) for line in page_lines(tmp_path)}
    assert pages == {("validate", name, f"{name}/report.html") for name in ("validation", "models/elsewhere")}


def test_a_heading_stands_over_its_figures(root):
    headings, row = re.findall(r"<tr.*?</tr>", write_overview(root).read_text(), re.DOTALL)[:2]
    over, under = (
        ['class="n"' in cell for cell in re.findall(rf"<{kind}[ >][^>]*", cells)]
        for kind, cells in (("th", headings), ("td", row))
    )
    assert over == under


def test_the_command_prints_the_runs_and_writes_the_page(root):
    process = run_command("overview", str(root))
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("LEAKY") == 1 and "2 of 5 folds" in process.stdout
    assert "4 runs, 3 finished" in process.stdout and (root / "index.html").is_file()
    nothing = run_command("overview", str(root / "none"))
    assert nothing.returncode == 2 and str(root / "none") in nothing.stderr
