"""The same names, figures, tables and pseudonyms by every tracker, each read back by its own reader."""

import hashlib
import json
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest
import wandb
from batches import data_of, lesions_of, module_of, parts_of, trainer_of
from finished_runs import write_run
from lightning.pytorch.loggers import CSVLogger
from repository import HOME
from wandb_files import stored_runs

from bcbm.config.compose import compose, flattened
from bcbm.config.schema.training import Data
from bcbm.errors import ConfigError, Note
from bcbm.model.monitor import Monitor
from bcbm.report.pages.run import write_report
from bcbm.runs.finished import read_run
from bcbm.runs.tables import write_with_sum
from bcbm.tracking import TRACKERS, require_trackers, trackers_of
from bcbm.tracking.settings import sendable
from bcbm.tracking.summary import LINEAGE, OUT_OF_FOLD, PICTURES, lineage, summary_of

pytest.importorskip("tensorboard", reason="pip install 'bcbm[tensorboard]' brings it")
pytest.importorskip("mlflow", reason="pip install 'bcbm[mlflow]' brings it")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bcbm.tracking.mlflow import ADDRESS, client

WORDS = ["split.folds=2", "tracking.mode=offline", f"tracking.to=[{','.join(TRACKERS)}]"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The root of a run of two folds that all trackers have followed."""
    root = tmp_path_factory.mktemp("everywhere")
    folder = write_run(root / "demo" / "run", *WORDS)
    write_report(folder)
    table, radiomics, _ = lesions_of(48)
    data = data_of(table, radiomics, None, parts_of(48), modalities=["position"], data=Data(batch_size=8))
    config = compose([*WORDS, f"run.root={root}"])
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(ADDRESS, raising=False)
        trackers = trackers_of(config, folder, "demo-run", ["network", "split-abc", "LEAKY"])
        for number in (0, 1):
            weights = folder / f"fold={number}" / "checkpoints" / "best.ckpt"
            write_with_sum(weights, b"weights" * number)
            started = [tracker.start_fold(number, 0) for tracker in trackers]
            home = folder / f"fold={number}"
            loggers = [CSVLogger(home, name="", version=""), *(logger for logger in started if logger)]
            trainer_of(home, callbacks=[Monitor()], logger=loggers).fit(module_of(data), data)
            for tracker in trackers:
                tracker.end_fold(number, 0, weights)
        for tracker in trackers:
            tracker.end_run(read_run(folder))
    wandb.teardown()
    return root


@pytest.fixture(scope="module")
def folder(root):
    return root / "demo" / "run"


def approximately(figures):
    return pytest.approx({name: float(value) for name, value in figures.items()})


def events(folder, part):
    """What TensorBoard reads of a part."""
    accumulator = EventAccumulator(str(folder / "tensorboard" / part), {"scalars": 0, "tensors": 0})
    return accumulator.Reload()


def text(accumulator, tag):
    (event,) = accumulator.Tensors(f"{tag}/text_summary")
    return event.tensor_proto.string_val[0].decode()


def rows(markdown):
    """A table that was written as Markdown."""
    header, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()
    ]
    return pd.DataFrame(lines, columns=header)


def service_of(root):
    return client(f"sqlite:///{root}/mlflow.db")


def runs_of(service, project="bcbm"):
    """MLflow's runs by the last part of their name."""
    runs = service.search_runs([service.get_experiment_by_name(project).experiment_id])
    return {run.info.run_name.rpartition("/")[2]: run for run in runs}


def test_a_fold_has_the_same_curves_in_every_tracker(root, folder):
    service, wandb_runs = service_of(root), stored_runs(folder)
    runs = runs_of(service)
    assert (
        set(runs) == {"fold=0", "fold=1", "summary"} == {path.name for path in folder.glob("tensorboard/*")}
    )
    for number in (0, 1):
        written = pd.read_csv(folder / f"fold={number}" / "metrics.csv")
        scalars, run = events(folder, f"fold={number}"), runs[f"fold={number}"]
        assert run.info.status == "FINISHED"
        history = pd.DataFrame(wandb_runs[number].history)
        for name in set(written) - {"step"}:
            values = written[name].dropna()
            assert np.allclose([event.value for event in scalars.Scalars(name)], values)
            sent = sorted(
                service.get_metric_history(run.info.run_id, name), key=lambda m: (m.step, m.timestamp)
            )
            assert np.allclose([metric.value for metric in sent], values)
            assert np.allclose(history[name].dropna(), values)


def test_the_summary_has_the_same_figures_tables_and_pictures_in_every_tracker(root, folder, tmp_path):
    summary = summary_of(read_run(folder))
    service, sent, scalars = service_of(root), stored_runs(folder)[-1], events(folder, "summary")
    run = runs_of(service)["summary"]
    assert len(summary.figures) > 50
    assert run.data.metrics == approximately(summary.figures)
    assert set(scalars.Tags()["scalars"]) == set(summary.figures)
    for name, value in summary.figures.items():
        assert scalars.Scalars(name)[0].value == pytest.approx(float(value), rel=1e-5)
        assert sent.summary[name] == value
    (place,) = (folder / "wandb").glob(f"*{sent.about.run_id}")
    for name, table in summary.tables.items():
        file = Path(service.download_artifacts(run.info.run_id, f"{name}.json", str(tmp_path)))
        mlflow_table = pd.DataFrame(**json.loads(file.read_text()))
        assert f"{name}.json" in run.data.tags["mlflow.loggedArtifacts"]  # it is shown as a table
        content = sent.table(name if name in (OUT_OF_FOLD, LINEAGE) else f"{name}_table", place)
        wandb_table = pd.DataFrame(content["data"], columns=content["columns"])
        assert list(table) == list(mlflow_table) == list(wandb_table) == list(rows(text(scalars, name)))
        assert len(table) == len(mlflow_table) == len(wandb_table) == len(rows(text(scalars, name)))
        text_columns = [
            column for column in ("patient", "lesion", "line", "actual", "part", "hash") if column in table
        ]
        for other in (mlflow_table, wandb_table, rows(text(scalars, name))):
            assert other[text_columns].equals(table[text_columns].astype(other[text_columns].dtypes))
    assert set(scalars.Tags()["images"]) == {f"figures/{name}" for name in PICTURES}
    files = {file.path for file in service.list_artifacts(run.info.run_id, "figures")}
    assert files == {f"figures/{name}.png" for name in PICTURES}


def test_the_lineage_is_of_hashes_that_runs_share_and_mlflow_has_it_as_data_sets(root, folder):
    finished = read_run(folder)
    table = lineage(finished).set_index(["kind", "part"])["hash"]
    assert table["cohort", "all"] == finished.environment["cohort"]
    assert table["split", "all"] == finished.split["hash"]
    for number in (0, 1):
        weights = (folder / f"fold={number}" / "checkpoints" / "best.ckpt").read_bytes()
        assert hashlib.sha256(weights).hexdigest().startswith(table["weights", f"fold={number}"])
    other = finished.lesions.assign(excluded=True)
    again = lineage(replace(finished, lesions=finished.lesions.copy())).set_index(["kind", "part"])["hash"]
    changed = lineage(replace(finished, lesions=other)).set_index(["kind", "part"])["hash"]
    assert again.equals(table) and changed["lesions", "all"] != table["lesions", "all"]
    sets = runs_of(service_of(root))["summary"].inputs.dataset_inputs
    digests = {entry.dataset.name: entry.dataset.digest for entry in sets}
    assert digests == {kind: table[kind, "all"] for kind in ("cohort", "split", "lesions")}


def test_every_part_has_the_settings_and_the_tags(root, folder):
    config = compose([*WORDS, f"run.root={root}"])
    sent = stored_runs(folder)[0]
    for name, run in runs_of(service_of(root)).items():
        settings = flattened(sendable(config))
        assert {key: str(value)[:250] for key, value in settings.items()} == run.data.params
        assert run.data.tags["group"] == sent.about.run_group
        assert {tag for tag, value in run.data.tags.items() if value == "true"} == set(sent.about.tags)
        scalars = events(folder, name)
        assert f"dropout: {config.model.dropout}" in text(scalars, "settings")
        assert text(scalars, "tags").split(", ") == [sent.about.run_group, *sent.about.tags]


def test_no_tracker_is_told_who_where_or_of_whom(root, folder):
    lesions = pd.read_parquet(folder / "lesions.parquet")
    texts = {str(text) for name in ("patient_id", "study_id", "lesion_id") for text in lesions[name]}
    texts |= {str(root), str(HOME), sys.executable}
    files = [path for path in folder.glob("tensorboard/**/*") if path.is_file()]
    assert len(files) == 6
    files += [path for path in root.glob("mlflow/**/*") if path.is_file()]
    for path in files:
        content = path.read_bytes()
        assert [text for text in texts if text.encode() in content] == [], path
        assert f".{socket.gethostname()}." not in path.name
    service = service_of(root)
    for run in runs_of(service).values():
        content = json.dumps([run.data.params, run.data.tags])
        assert [text for text in texts if text in content] == []
        assert not {"mlflow.user", "mlflow.source.name", "mlflow.source.git.commit"} & set(run.data.tags)


def a_trial(config, folder):
    """Two trackers of a trial, from its start to its end."""
    for tracker in trackers_of(config, folder, "fusion/abc/fold=0", ["network"]):
        tracker.start_trial("trial=3", {"model.dropout": 0.1, "model.weights": "/secret"})
        for epoch, auroc in ((1, 0.6), (2, 0.7)):
            tracker.log_trial(epoch, {"val/auroc": auroc})
        tracker.end_trial({"auroc": 0.7})


@pytest.fixture
def config(root, tmp_path, monkeypatch):
    """Of two trackers, with a database of its own that others have made."""
    shutil.copy(root / "mlflow.db", tmp_path)
    monkeypatch.delenv(ADDRESS, raising=False)
    return compose(
        [
            "tracking.to=[tensorboard,mlflow]",
            "tracking.project=other",
            "model.dropout=0.1",
            f"run.root={tmp_path}",
        ]
    )


def test_a_trial_has_its_parameters_and_its_objective(config, tmp_path):
    a_trial(config, tmp_path / "trial=3")
    scalars = events(tmp_path / "trial=3", "trial=3")
    run = runs_of(service_of(tmp_path), "other")["trial=3"]
    assert [(event.step, event.value) for event in scalars.Scalars("val/auroc")] == [
        (1, pytest.approx(0.6)),
        (2, pytest.approx(0.7)),
    ]
    assert scalars.Scalars("auroc")[0].value == pytest.approx(0.7) and run.data.metrics["auroc"] == 0.7
    started = scalars.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"parameters.model.dropout" in started and b"secret" not in started
    tried = {name: value for name, value in run.data.params.items() if name.startswith("parameters.")}
    assert tried == {"parameters.model.dropout": "0.1"}


def test_a_fold_that_is_gone_on_with_is_the_same_run_of_mlflow(config, tmp_path):
    for checkpoint, status in ((None, "FAILED"), (tmp_path / "best.ckpt", "FINISHED")):
        _, tracker = trackers_of(config, tmp_path / "run", "group", [])
        logger = tracker.start_fold(0, 0)
        logger.log_metrics({"val/auroc": 0.5}, step=1)
        tracker.end_fold(0, 0, checkpoint)
        assert runs_of(service_of(tmp_path), "other")["fold=0"].info.status == status
    service = service_of(tmp_path)
    (run,) = service.search_runs([service.get_experiment_by_name("other").experiment_id])
    service.delete_run(run.info.run_id)
    _, tracker = trackers_of(config, tmp_path / "run", "group", [])
    assert tracker.start_fold(0, 0).run_id != run.info.run_id  # one that somebody has deleted stays deleted


def test_a_database_that_fails_ends_the_tracking_and_not_the_run(config, tmp_path):
    _, tracker = trackers_of(config, tmp_path / "run", "group", [])
    logger = tracker.start_fold(0, 0)
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 10_000)
    with pytest.warns(Note, match=r"mlflow\.db"):
        logger.log_metrics({"val/auroc": 0.5}, step=1)
    logger.finalize("success")
    tracker.end_fold(0, 0, tmp_path / "best.ckpt")
    assert tracker.start_fold(1, 0) is None


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_package_that_is_missing_is_refused_with_the_command_that_brings_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"tracking\.to.*pip install 'bcbm\[{name}\]'"):
        require_trackers(compose([f"tracking.to=[{name}]"]))


def test_a_server_that_does_not_answer_is_refused_before_there_is_a_folder_and_no_password_is_shown(
    monkeypatch,
):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv(ADDRESS, f"http://anna:secret@127.0.0.1:{port}")
    with pytest.raises(ConfigError, match=rf"{ADDRESS}=http://127\.0\.0\.1:{port}") as refused:
        require_trackers(compose(["tracking.to=[mlflow]"]))
    assert "secret" not in str(refused.value)


def has_server():
    try:
        return distribution("mlflow") is not None
    except PackageNotFoundError:
        return False


@pytest.mark.skipif(not has_server(), reason="the server is in the package mlflow, which is not installed")
def test_a_real_server_is_sent_the_same(tmp_path, monkeypatch):
    folder = write_run(tmp_path / "run", "split.folds=2")
    write_report(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    words = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        address.rpartition(":")[2],
    ]
    words += ["--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    words += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        try:
            wait_for(f"{address}/health", server)
            monkeypatch.setenv(ADDRESS, address)
            config = compose(["tracking.to=[mlflow]"])
            require_trackers(config)
            (tracker,) = trackers_of(config, folder, "group", ["LEAKY"])
            logger = tracker.start_fold(0, 0)
            logger.log_metrics({"val/auroc": 0.5}, step=1)
            tracker.end_fold(0, 0, folder / "best.ckpt")
            tracker.end_run(read_run(folder))
            runs, summary = runs_of(client(address)), summary_of(read_run(folder))
            assert runs["fold=0"].data.metrics == {"val/auroc": 0.5}
            assert runs["summary"].data.metrics == approximately(summary.figures)
            assert (
                runs["summary"].data.tags["LEAKY"] == "true"
                and "mlflow.user" not in runs["summary"].data.tags
            )
            files = {file.path for file in client(address).list_artifacts(runs["summary"].info.run_id)}
            assert files == {"figures", "curves", "confusion", "out_of_fold.json", "lineage.json"}
        finally:
            server.terminate()


def wait_for(address, process):
    """Until a server answers."""
    while True:
        assert process.poll() is None, process.stderr.read()
        try:
            return urlopen(address, timeout=5).close()
        except (URLError, OSError):
            continue
