"""W&B: what the real commands leave in offline runs, what goes over the wire, and what never does."""

import contextlib
import io
import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import wandb
from batches import data_of, lesions_of, module_of, parts_of, trainer_of
from commands import run_command
from finished_runs import write_run
from lightning.pytorch.callbacks import Callback
from repository import HOME
from rich.console import Console
from wandb_files import stored_run, stored_runs
from wandb_service import KEY, wandb_service

from bcbm.comparison.compare import compare
from bcbm.config.compose import compose
from bcbm.config.schema.training import Data
from bcbm.errors import ConfigError
from bcbm.model.module import LesionModule
from bcbm.model.monitor import Monitor
from bcbm.runs.finished import read_run
from bcbm.runs.identity import fingerprint
from bcbm.statistics.metrics import patient_level
from bcbm.tracking import group_name, tags, trackers_of
from bcbm.tracking.settings import sendable
from bcbm.tracking.summary import figures, lineage, out_of_fold, summary_of
from bcbm.tracking.wandb import WandbTracker, charts, wandb_mode

WORDS = [
    *("cohort.synthetic.images=false", "cohort.synthetic.patients=40", "split.folds=2", "bootstrap=50"),
    *("trainer.max_epochs=3", "data.batch_size=64", "trainer.devices=1"),
]
NETWORKS, LINEAR = ("position", "radiomics"), "logistic_l2"
RECEPTORS = ("ER", "PR", "HER2")
MONITORED = {"train/learning_rate", "train/grad_norm", "train/lesions_per_second"}


def bcbm(verb, cache, *words, **environment):
    """A command as a user without a key gives it, unless the environment says otherwise."""
    alone = {"BCBM_CACHE": str(cache), "WANDB_API_KEY": "", "NETRC": "/nonexistent"}
    process = run_command(verb, *words, **alone | environment)
    assert process.returncode == 0, process.stderr
    return process


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def runs(cache, tmp_path_factory):
    """Two networks and a linear model by one process, tracked offline, and compared in a workspace."""
    root = tmp_path_factory.mktemp("runs")
    experiments = [f"experiments/modalities/{name}.yaml" for name in NETWORKS]
    experiments.append(f"experiments/baselines/{LINEAR}.yaml")
    bcbm("compare", cache, *experiments, "--wandb", f"run.root={root}", *WORDS, WANDB_RUN_ID="one")
    return root


def folder_of(runs, name):
    (folder,) = runs.glob(f"demo+*/{name}/*")
    return folder


def identifying(folder):
    """Every text that names a patient, a study or a lesion of a run folder."""
    lesions = pd.read_parquet(folder / "lesions.parquet")
    return {str(text) for name in ("patient_id", "study_id", "lesion_id", "name") for text in lesions[name]}


def table(folder, name):
    """A table of a run folder's summary run."""
    run = stored_runs(folder)[-1]
    (place,) = (folder / "wandb").glob(f"*{run.about.run_id}")
    content = run.table(name, place)
    return pd.DataFrame(content["data"], columns=content["columns"])


def test_experiments_of_one_process_are_runs_of_their_own(runs):
    by_name = {name: stored_runs(folder_of(runs, name)) for name in NETWORKS}
    ids = [run.about.run_id for stored in by_name.values() for run in stored]
    assert len(ids) == len(set(ids)) == 6 and "one" not in ids
    for name, stored in by_name.items():
        assert [run.about.job_type for run in stored] == ["fold", "fold", "summary"]
        assert {run.about.run_group for run in stored} == {
            f"demo+modalities/{name}-{folder_of(runs, name).name}"
        }
        assert {run.about.project for run in stored} == {"bcbm"} and {run.about.host for run in stored} == {
            "unnamed"
        }
        assert all(run.config["task"]["modalities"] == [name] for run in stored)


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_history_of_a_run_is_the_table_of_its_fold(runs, name, fold):
    folder = folder_of(runs, name)
    written = pd.read_csv(folder / f"fold={fold}" / "metrics.csv")
    run = stored_runs(folder)[fold]
    logged = pd.DataFrame(run.history)
    names = {f"{stage}/loss_{target}" for stage in ("train", "val") for target in RECEPTORS} | MONITORED
    assert names <= set(written) - {"step"}
    assert len(logged) == len(written) == 6
    for column in set(written) - {"step"}:
        np.testing.assert_allclose(logged[column], written[column], rtol=1e-6)
    assert run.summary["val/auroc"]["max"] == pytest.approx(written["val/auroc"].max())
    assert run.summary["val/loss"]["min"] == pytest.approx(written["val/loss"].min())
    assert {run.metrics[key].step_metric for key in ("*", "val/auroc", "val/loss")} == {"epoch"}
    assert (written[sorted(MONITORED)].dropna() > 0).all(axis=None)


@pytest.mark.parametrize("name", [*NETWORKS, LINEAR])
def test_the_summary_has_every_figure_of_the_results(runs, name):
    folder = folder_of(runs, name)
    run, results = stored_runs(folder)[-1], read_run(folder).results
    for target, block in results["receptors"].items():
        for key in ("auroc", "auroc_low", "auroc_high", "auprc", "brier"):
            assert run.summary[f"{target}/patient/{key}"] == block["patient"][key]
        assert run.summary[f"{target}/patient/calibration/slope"] == block["patient"]["calibration"]["slope"]
        assert run.summary[f"{target}/folds/mean"] == block["folds"]["mean"]
    assert run.summary["mean/auroc_low"] == results["mean"]["auroc_low"] and run.summary["leaky"] is False


def test_the_curves_are_those_of_the_results(runs):
    folder = folder_of(runs, "radiomics")
    results, predictions = (read_run(folder).results, read_run(folder).predictions)
    roc, calibration = table(folder, "curves/roc_table"), table(folder, "curves/calibration_table")
    assert set(roc["line"]) == {*RECEPTORS, "chance"}
    for target in RECEPTORS:
        line = roc[roc["line"] == target]
        block = results["receptors"][target]["patient"]
        assert np.trapezoid(line["y"], line["x"]) == pytest.approx(block["auroc"])
        assert calibration[calibration["line"] == target]["y"].between(0, 1).all()
        cells = table(folder, f"confusion/{target}_table").set_index(["actual", "predicted"])["patients"]
        assert cells.sum() == block["positives"] + block["negatives"]
        right = cells[f"{target}+", f"{target}+"] / cells[f"{target}+"].sum()
        assert right == pytest.approx(block["operating"]["sensitivity"])
    assert len(table(folder, "out_of_fold")) == len(predictions)
    assert len(list((folder / "wandb").rglob("media/images/figures/roc_*.png"))) == 1


class Norms(Callback):
    """The norms of all gradients, step by step, as `Monitor` should find them."""

    def __init__(self):
        self.seen = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        squares = [p.grad.double().square().sum() for p in pl_module.parameters() if p.grad is not None]
        self.seen.append(float(torch.stack(squares).sum().sqrt()))


def test_the_monitor_looks_at_gradients_and_changes_nothing(tmp_path):
    table, radiomics, _ = lesions_of(48)
    parts, modalities = parts_of(48), ["radiomics", "position"]
    weights, norms = [], Norms()
    for callbacks in ([], [norms, Monitor()]):
        data = data_of(table, radiomics, None, parts, modalities=modalities, data=Data(batch_size=2))
        torch.manual_seed(0)
        module, trainer = module_of(data), trainer_of(tmp_path, epochs=1, callbacks=callbacks)
        trainer.fit(module, data)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))
    assert len(norms.seen) == 12 and weights[0].equal(weights[1])
    logged = trainer.callback_metrics
    assert float(logged["train/grad_norm"]) == pytest.approx((norms.seen[0] + norms.seen[8]) / 2, rel=1e-5)
    assert 0 < float(logged["train/learning_rate"]) < 1e-6  # the end of the cycle
    assert float(logged["train/lesions_per_second"]) > 0


def test_a_linear_model_has_its_summary_and_no_run_a_fold(runs):
    (run,) = stored_runs(folder_of(runs, LINEAR))
    assert run.about.job_type == "summary" and LINEAR in run.about.tags


def test_the_predictions_go_under_pseudonyms_in_an_order_that_says_nothing(runs):
    folder = folder_of(runs, "position")
    sent, predictions = table(folder, "out_of_fold"), read_run(folder).predictions
    assert sent["patient"].str.fullmatch(r"P\d+").all() and sent["lesion"].str.fullmatch(r"L\d+").all()
    assert sent["patient"].nunique() == predictions["patient_id"].nunique()
    assert sorted(sent["probability"]) == pytest.approx(sorted(predictions["probability"]))
    rows = predictions.set_index(["lesion_id", "target"])["probability"]
    assert list(sent["probability"]) != list(rows)
    # A patient's lesions stay a patient's.
    sizes = sent.groupby("patient")["lesion"].nunique()
    assert sorted(sizes) == sorted(predictions.groupby("patient_id")["lesion_id"].nunique())


def test_no_id_stands_in_any_byte_of_any_run_and_no_path_in_what_is_sent(runs, cache):
    for name in (*NETWORKS, LINEAR):
        folder = folder_of(runs, name)
        texts = {"BCBM-RadioGenomics", *identifying(folder)}
        for place in (folder / "wandb").glob("offline-run-*"):
            content = stored_run(place).sent
            assert len(content) > 5000
            assert [text for text in texts if text.encode() in content] == []
            files = [path for path in place.rglob("*") if path.is_file() and "logs" not in path.parts]
            content = b"".join(path.read_bytes() for path in files)
            homes = (str(runs), str(cache), str(HOME), socket.gethostname() + '"')
            assert [text for text in homes if text.encode() in content] == []


def test_what_was_written_offline_is_sent_without_a_name_of_a_person_or_a_machine(runs, cache):
    folder = folder_of(runs, "position")
    names = {run.about.run_id for run in stored_runs(folder)}
    with wandb_service() as service:
        environment = {**os.environ, "WANDB_BASE_URL": service.address, "WANDB_API_KEY": KEY}
        environment["WANDB_PROGRAM"] = "bcbm"  # as the documentation says: else the place of W&B's command
        sync = [sys.executable, "-m", "wandb", "sync", *map(str, (folder / "wandb").glob("offline-run-*"))]
        subprocess.run(sync, cwd=cache, env=environment, check=True, capture_output=True, timeout=120)
    assert set(service.history) == names and len(names) == 3
    starts = [call for field, call in service.calls if field == "upsertBucket"]
    assert {(call["host"], call["program"]) for call in starts} == {("unnamed", "bcbm"), (None, None)}
    assert not any(call.get(name) for call in starts for name in ("commit", "repo"))
    files = {name for field, call in service.calls if field == "createRunFiles" for name in call["files"]}
    assert {name for name in files if not name.startswith("media/")} == {"config.yaml", "wandb-summary.json"}
    content = b"".join(service.received)
    assert b"ER/patient/auroc_low" in content
    texts = {*identifying(folder), str(runs), str(cache), str(HOME), f"{Path.home()}/", sys.executable}
    assert [text for text in texts if text.encode() in content] == []


def test_compare_lays_the_runs_beside_each_other_in_a_workspace(runs):
    (path,) = (runs / "compare").rglob("wandb-workspace.json")
    view = json.loads(path.read_text())
    section = view["spec"]["section"]
    (runset,) = section["runSets"]
    groups = [
        stored[0].about.run_group for stored in (stored_runs(folder_of(runs, n)) for n in (*NETWORKS, LINEAR))
    ]
    assert runset["filters"]["filters"][0]["value"] == groups
    assert runset["grouping"] == [{"section": "run", "name": "group"}]
    fold, *_, summary = stored_runs(folder_of(runs, "position"))
    panels = [panel["config"] for part in section["panelBankConfig"]["sections"] for panel in part["panels"]]
    shown = {metric for panel in panels for metric in panel["metrics"]}
    for metric in shown:  # none is empty
        place, _, key = metric.rpartition("summary_metrics.")
        assert key in (summary.summary if metric.startswith("summary_metrics.") else fold.summary), place
    assert {f"val/loss_{target}" for target in RECEPTORS} | MONITORED <= shown
    for place in ("patient/calibration/slope", "patient/brier", "folds/mean", "folds/std"):
        assert {f"summary_metrics.{target}/{place}" for target in RECEPTORS} <= shown
    assert {f"summary_metrics.{r}/patient/auroc_low" for r in RECEPTORS} | {
        "summary_metrics.mean/auroc"
    } <= shown
    assert all(panel["groupBy"] == "group" for panel in panels) and view["project"] == "bcbm"


def test_online_everything_goes_to_the_service_checkpoints_too_and_still_no_id_or_path(cache, tmp_path):
    words = ["task.modalities=[radiomics,position]", f"run.root={tmp_path}", *WORDS, "split.folds=2"]
    with wandb_service() as service:
        variables = {"WANDB_BASE_URL": service.address, "WANDB_API_KEY": KEY}
        bcbm("fit", cache, *words, "tracking.checkpoints=true", **variables)
    (folder,) = (tmp_path / "demo").iterdir()
    assert not list((folder / "wandb").glob("offline-*"))
    started = {request["name"]: request for field, request in service.calls if field == "upsertBucket"}
    assert len(started) == 3
    artifacts = [request["input"] for field, request in service.calls if field == "createArtifact"]
    models = [
        artifact["artifactCollectionName"]
        for artifact in artifacts
        if artifact["artifactTypeName"] == "model"
    ]
    assert models == [f"demo-{folder.name}-fold-{fold}" for fold in (0, 1)]
    hashes = {artifact["artifactTypeName"]: artifact["artifactCollectionName"] for artifact in artifacts}
    run = read_run(folder)
    digests = lineage(run).set_index(["kind", "part"])["hash"]
    for kind in ("cohort", "split", "lesions"):
        assert hashes[kind] == f"{kind}-{digests[kind, 'all']}"
    assert hashes["weights"].startswith("weights-")
    used = [request for field, request in service.calls if field == "useArtifact"]
    assert len(used) == 3  # weights come out of a run
    files = [json.loads(body) for body in service.received if body.startswith(b'{"fold=0": ')]
    assert files == [digests["weights"].to_dict()]
    content = b"".join(service.received)
    assert b"ER/patient/auroc_low" in content and b"grad_norm" in content and b"network.trunk" in content
    texts = {
        "BCBM-RadioGenomics",
        *identifying(folder),
        str(tmp_path),
        str(cache),
        str(HOME),
        f"{Path.home()}/",
    }
    assert [text for text in texts if text.encode() in content] == []
    loaded = next(body for body in service.received if b"network.trunk" in body)
    module = LesionModule.load_from_checkpoint(io.BytesIO(loaded), weights_only=True)
    stored = LesionModule.load_from_checkpoint(folder / "fold=0/checkpoints/best.ckpt", weights_only=True)
    assert all(
        a.equal(b) for a, b in zip(module.state_dict().values(), stored.state_dict().values(), strict=True)
    )


def test_a_service_that_refuses_does_not_stop_a_trial(tmp_path, monkeypatch):
    with wandb_service(refuse=True) as service:
        monkeypatch.setenv("WANDB_BASE_URL", service.address)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        assert wandb_mode("auto") == "online"
        in_a_child(trial, tmp_path, "auto")
    (run,) = stored_runs(tmp_path)
    assert run.about.job_type == "trial" and run.summary["objective"] == 0.7


def test_a_trial_of_a_search_has_its_parameters_and_its_objective(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "")
    monkeypatch.setenv("NETRC", "/nonexistent")
    in_a_child(trial, tmp_path, "auto")
    (run,) = stored_runs(tmp_path)
    assert (
        run.about.run_group == "fusion/abc/fold=0" and run.about.display_name == "fusion/abc/fold=0/trial=3"
    )
    assert run.config["parameters"] == {"model.dropout": 0.1} and run.config["model"]["dropout"] == 0.1
    assert [row["inner/auroc"] for row in run.history] == [0.6, 0.7]
    assert run.summary["objective"] == 0.7


def in_a_child(work, *arguments):
    """As the engine starts a trial: in a forked process, where W&B has not been started before."""
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode == 0


def trial(folder, mode):
    settings = {"model.dropout": 0.1}
    config = compose([f"tracking.mode={mode}", "model.dropout=0.1"])
    tracker = WandbTracker(config, folder, "fusion/abc/fold=0", tags(config, "hash", leaky=False))
    tracker.start_trial("trial=3", {**settings, "model.weights": "/secret"})
    for epoch, auroc in ((5, 0.6), (10, 0.7)):
        tracker.log_trial(epoch, {"inner/auroc": auroc})
    tracker.end_trial({"objective": 0.7})
    sys.stdout.flush()


def test_what_says_where_files_lie_is_not_sent(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"")
    places = ("cohort.root", "cohort.names", "prepared.root", "run.root", "run.folder", "model.weights")
    config = compose([f"{key}={tmp_path}/weights.pth" for key in places])
    config.tune = {"model.weights": [str(tmp_path)], "cohort.root": [str(tmp_path)], "model.dropout": [0.1]}
    content = sendable(config)
    assert str(tmp_path) not in json.dumps(content) and content["tune"] == {"model.dropout": [0.1]}
    assert content["model"]["encoder"] == "resnet10" and content["split"]["folds"] == config.split.folds


def test_checkpoints_are_sent_only_when_online_and_asked(tmp_path):
    for mode, checkpoints in (("online", False), ("offline", True)):
        config = compose(["tracking.mode='off'", f"tracking.checkpoints={checkpoints}"])
        tracker = WandbTracker(config, tmp_path, "group", [])
        tracker.mode, tracker.run = mode, object()
        tracker.send_checkpoint(tmp_path / "nowhere", 0, 0)  # touches neither run nor file


def test_what_a_run_is_found_by():
    assert tags(compose([]), "abc", leaky=True) == ["network", "split-abc", "LEAKY", "synthetic"]
    real = compose(["cohort.root=/data", f"model.kind={LINEAR}", "task.modalities=[position]"])
    assert tags(real, "abc", leaky=False) == [LINEAR, "split-abc"]
    assert len(group_name("a+" * 100, Path("runs/2026-01-31_12-00-00"))) == 128


def test_tracking_is_no_part_of_what_makes_a_run_the_same():
    assert fingerprint(compose([]), "c", "s") == fingerprint(compose(["tracking.checkpoints=true"]), "c", "s")


def test_online_is_for_those_with_a_key_and_a_server_that_answers(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        assert wandb_mode("auto") == "offline"
        with pytest.raises(ConfigError, match="wandb login"):
            wandb_mode("online")
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1:{port} login user password {KEY}\n")
        assert wandb_mode("auto") == wandb_mode("online") == "online"
        monkeypatch.setenv("WANDB_MODE", "disabled")
        assert wandb_mode("auto") == "off" and wandb_mode("offline") == "offline"
        monkeypatch.setenv("WANDB_MODE", "offline")
        assert wandb_mode("auto") == "offline"
        monkeypatch.delenv("WANDB_MODE")
    assert wandb_mode("auto") == "offline"  # nobody answers any more


def test_only_the_first_rank_starts_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # without a launcher a rank is left over
    monkeypatch.setenv("RANK", "1")
    assert trackers_of(compose(["tracking.mode=offline"]), tmp_path, "group", []) == []
    monkeypatch.setenv("RANK", "0")
    (tracker,) = trackers_of(compose(["tracking.mode=offline"]), tmp_path, "group", [])
    assert isinstance(tracker, WandbTracker) and tracker.mode == "offline"


def test_a_leak_is_marked_in_every_curve_and_no_secret_is_told(tmp_path):
    finished = read_run(write_run(tmp_path / "run", "split.unit=lesion", "split.repeats=2"))
    drawn = charts(summary_of(finished))
    assert all("LEAKY" in chart.spec.string_fields["title"] for chart in drawn.values())
    table = out_of_fold(finished)
    assert "SECRET" not in table.to_csv() and len(table) == len(finished.predictions)
    named_figures = figures(finished.results)
    assert (
        named_figures["leaky"] is True
        and named_figures["ER/patient/auroc"] == finished.results["receptors"]["ER"]["patient"]["auroc"]
    )
    assert named_figures["subtype/counts/HRpos_HER2neg"] > 0  # no service takes the signs in a name
    first = patient_level(finished.predictions)
    cells = pd.DataFrame(drawn["confusion/ER"].table.data)[2]
    rows = first[(first["target"] == "ER") & (first["repeat"] == 0) & first["threshold"].notna()]
    assert cells.sum() == len(rows)


@pytest.fixture
def fresh_wandb():
    """W&B as a new process has it: it keeps the address and the key that it saw first."""
    wandb.teardown()
    yield
    wandb.teardown()


def test_who_asks_for_online_is_told_when_the_service_refuses(tmp_path, monkeypatch, fresh_wandb):
    with wandb_service(refuse=True) as service:
        monkeypatch.setenv("WANDB_BASE_URL", service.address)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        tracker = WandbTracker(compose(["tracking.mode=online"]), tmp_path, "group", [])
        with pytest.raises(ConfigError, match="W&B refused"):
            tracker.start_fold(0, 0)


def test_a_workspace_is_saved_where_somebody_takes_it(tmp_path, monkeypatch, fresh_wandb):
    experiments = [
        str(write_run(tmp_path / name, f"experiment=demo+modalities/{name}")) for name in ("all", "image")
    ]
    with wandb_service() as service:
        monkeypatch.setenv("WANDB_BASE_URL", service.address)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        screen = io.StringIO()
        words = [*experiments, "--wandb", f"run.root={tmp_path}", "bootstrap=50", "tracking.entity=team"]
        with contextlib.redirect_stderr(io.StringIO()):
            assert compare(words, Console(file=screen, width=300)) == 0
    (request,) = (request for field, request in service.calls if field == "upsertView")
    assert request["entityName"] == "team" and request["displayName"] == "all-image"
    assert re.search(r"workspace: \S+/team/bcbm\?nw=", screen.getvalue())
