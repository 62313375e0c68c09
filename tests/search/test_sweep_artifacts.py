"""What trials leave is seen in Optuna's dashboard: a real one, on loopback."""

import io
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pandas as pd
import pytest
from optuna.artifacts import get_all_artifact_meta
from rich.console import Console
from sweep_trials import DEFAULT, plan, run, searches

from bcbm.search.artifacts import ARTIFACTS
from bcbm.search.recovery import recovered_storage
from bcbm.system.spreadsheet import unguarded


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder of a finished search of two trials that left curves and predictions."""
    folder = tmp_path_factory.mktemp("artifacts")
    run(folder, "leaves", plan(2))
    return folder


@pytest.fixture
def dashboard(home):
    """Asks a dashboard that is started as the page of a sweep says."""
    pytest.importorskip("optuna_dashboard")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["journal.log", "--artifact-dir", ARTIFACTS, "--port", str(port), "--server", "wsgiref"]
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), *words]
    with subprocess.Popen(command, cwd=home, stderr=subprocess.DEVNULL) as server:

        def answer(path):
            end = time.monotonic() + 60
            while True:
                try:
                    return urlopen(f"http://127.0.0.1:{port}{path}").read()
                except URLError as error:
                    if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > end:
                        raise
                    assert server.poll() is None
                    time.sleep(0.05)

        yield answer
        server.terminate()


def test_the_dashboard_shows_the_study_its_curves_and_what_its_trials_left(home, dashboard):
    (summary,) = json.loads(dashboard("/api/studies"))["study_summaries"]
    assert summary["study_name"] == "trivial/final"
    study = json.loads(dashboard(f"/api/studies/{summary['study_id']}"))
    first, second = study["trials"]
    for trial in (first, second):
        dropout = float(
            next(p["param_external_value"] for p in trial["params"] if p["name"] == "model.dropout")
        )
        assert [step["value"] for step in trial["intermediate_values"]] == [dropout] * 3
        address = f"/artifacts/{summary['study_id']}/{trial['trial_id']}"
        tables = {
            artifact["filename"]: pd.read_csv(io.BytesIO(dashboard(f"{address}/{artifact['artifact_id']}")))
            for artifact in trial["artifacts"]
        }
        assert {artifact["mimetype"] for artifact in trial["artifacts"]} == {"text/csv"}
        assert tables["curves.csv"]["val/auroc"].tolist() == [0.5, dropout] * 2
        assert tables["predictions.csv"]["fold"].tolist() == [0, 0, 1, 1]
        assert tables["predictions.csv"]["probability"].tolist() == [0.25, dropout] * 2
        assert tables["predictions.csv"]["lesion_id"].map(unguarded).tolist() == ["=L1", "L2"] * 2


def test_a_journal_made_anew_shows_them_again_and_what_is_damaged_is_left_out(home):
    before = {path.name: path.read_bytes() for path in (home / ARTIFACTS).iterdir()}
    (home / "study=final" / "trial=1" / "fold=0" / "predictions.parquet").write_bytes(b"torn")
    (home / "journal.log").unlink()
    storage = recovered_storage(home, {"final": "trivial/final"}, plan(2), DEFAULT, Console(quiet=True))
    (search,) = searches(home, "leaves", plan(2))
    after = {path.name: path.read_bytes() for path in (home / ARTIFACTS).iterdir()}
    metas = [get_all_artifact_meta(trial, storage=storage) for trial in search.trials()]
    assert {meta.artifact_id for trial in metas for meta in trial} == set(after) and len(after) == 4
    assert len(set(before.values()) - set(after.values())) == 1
