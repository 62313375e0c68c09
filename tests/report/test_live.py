"""A long run while it goes: what its files say, on a terminal and as a page that renews itself."""

import io
import math
import os
import re
from html import unescape

import pytest
from browser import browse
from rich.console import Console

from bcbm.report.live import EVERY, ROWS, LiveRun
from bcbm.runs.curves import RunCurves
from bcbm.terminal.progress import LiveLine

HEADING = "epoch,step,train/loss,val/auroc,val/loss\n"


def write_curve(home, epochs, finished=True, auroc="0.6"):
    """A `metrics.csv` as Lightning writes it: rows of validation and of training apart."""
    home.mkdir(parents=True, exist_ok=True)
    rows = [f"{epoch},9,,{auroc},0.7{epoch}\n{epoch},9,0.5{epoch},,\n" for epoch in range(epochs)]
    (home / "metrics.csv").write_text(HEADING + "".join(rows))
    if finished:
        (home / "predictions.parquet").touch()


@pytest.fixture
def run(tmp_path):
    for fold in range(3):
        write_curve(tmp_path / f"fold={fold}", 4, finished=fold < 2)
    return LiveRun(tmp_path, "a<b>", 5, 8)


def test_curves_are_those_of_the_files_and_a_torn_one_is_as_it_was(run):
    curves = RunCurves(run.folder)
    assert [(curve.name, curve.is_finished) for curve in curves.read()] == [
        ("fold 0", True),
        ("fold 1", True),
        ("fold 2", False),
    ]
    assert curves.read()[2].loss == [0.5, 0.51, 0.52, 0.53] and curves.read()[2].auroc == [0.6] * 4
    (run.folder / "fold=2" / "metrics.csv").write_text(HEADING + "0,9,0.5")  # cut off while it is written
    (run.folder / "fold=1" / "metrics.csv").write_bytes(b"\xff\xfe")
    assert [len(curve.loss) for curve in curves.read()][:2] == [4, 4]
    write_curve(run.folder / "fold=2", 5, finished=True, auroc="")
    last = curves.read()[2]
    assert len(last.loss) == 5 and last.is_finished and math.isnan(last.auroc[0])


def test_seeds_of_a_fold_are_trainings_of_their_own(run):
    write_curve(run.folder / "fold=2" / "seed=1", 2, finished=False)
    (run.folder / "fold=2" / "predicted.parquet").touch()  # the first seed has handed in
    names = {curve.name: curve.is_finished for curve in RunCurves(run.folder).read()}
    assert names["fold 2, seed 0"] and not names["fold 2, seed 1"]


def test_the_page_renews_itself_until_it_is_final(run):
    page = run.folder / "live.html"
    run.renew()
    html = page.read_text()
    assert re.search(r'http-equiv="refresh" content="\d+"', html) and "<script" not in html
    assert "2 of 5 trainings finished" in html and "a&lt;b&gt;" in html and "4/8" in html
    assert html.count("<polyline") == 9 and html.count('class="going"') == 3
    write_curve(run.folder / "fold=2", 8)
    run.renew()
    assert page.read_text() == html  # a moment ago
    os.utime(page, (page.stat().st_mtime - EVERY,) * 2)
    run.renew()
    assert "3 of 5 trainings finished" in page.read_text()
    run.finish()
    assert "refresh" not in page.read_text()


def test_a_browser_shows_it_from_the_disk_without_a_complaint(run):
    run.finish()
    dom, console = browse(run.folder / "live.html", "--dump-dom")
    assert console == "" and "validation AUROC" in unescape(dom)


def test_a_run_that_has_no_epochs_has_no_page(tmp_path):
    run = LiveRun(tmp_path, "trees", 5, 8)
    run.finish()
    assert run.table() is None and not (tmp_path / "live.html").exists()


@pytest.mark.parametrize("width", [80, 40])
def test_a_terminal_shows_the_trainings_above_the_line_and_a_log_the_line_alone(run, width):
    for terminal in (True, False):
        screen = io.StringIO()
        console = Console(file=screen, width=width, force_terminal=terminal, color_system=None)
        line = LiveLine(console, lambda width: "fold 2: under 1 min left", lambda: 0.5, False, run.table)
        line.start()
        line.tick()
        line.stop()
        shown = screen.getvalue()
        assert (shown == "") != terminal
        if terminal:
            rows = [text for text in shown.splitlines() if "fold 0" in text or "fold 2:" in text]
            assert "0.53" in rows[0] and "0.60" in rows[0] and "fold 2: under 1 min left" in rows[1]


def test_many_trainings_leave_room_and_a_terminal_without_bars_gets_none(tmp_path):
    for fold in range(40):
        write_curve(tmp_path / f"fold={fold}", 30, finished=fold < 38)
    run = LiveRun(tmp_path, "many", 50, 30)
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=screen, width=80, force_terminal=True, color_system=None)
    console.print(run.table())
    screen.flush()
    text = screen.buffer.getvalue().decode("ascii")
    assert "fold 39" in text and "fold 37" in text and "fold 2 " not in text
    assert len(re.findall(r"fold \d+", text)) == ROWS
    assert all(len(line) <= 80 for line in text.splitlines())
