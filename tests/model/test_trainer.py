"""How a fold is trained: every option of `trainer` does what it says, and what is written can be trusted."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from batches import data_of, lesions_of, module_of, parts_of, trainer_of
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from torch._dynamo.utils import counters
from torch.nn.utils import get_total_norm

from bcbm.cohort.splits import split_as
from bcbm.config.compose import compose, override
from bcbm.config.schema.training import Augment, Data, Trainer
from bcbm.crossvalidation.dispatch import train
from bcbm.errors import ConfigError, InputError
from bcbm.model.checkpoints import Average, Interruption, Keeper
from bcbm.model.encoders import ENCODERS, Encoder
from bcbm.model.epoch_choice import EpochChoice
from bcbm.model.module import LesionModule
from bcbm.model.trainer import curves
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.prepare import prepare
from bcbm.runs.folder import RunFolder

PREDICTIONS = "predictions.parquet"
STILL = {"model.dropout": 0.0, "model.radiomics_dropout": 0.0}


@pytest.fixture(scope="module")
def images(cohort, tmp_path_factory):
    """A cohort with images, its configuration, lesions and folds."""
    places = [f"cohort.root={cohort}", f"prepared.root={tmp_path_factory.mktemp('prepared')}"]
    small = ["features.crop_size=16", "features.crop_spacing=2", "split.folds=2", "trainer.max_epochs=2"]
    config = compose([*places, *small, "data.workers=0", "prepared.jobs=1", "tracking=csv"])
    lesions = prepare(config, Console(quiet=True))
    return config, lesions, split_as(lesions.entering, config)


def folder_of(images, root, callbacks=(), **settings):
    """Train fold 0 with other settings; returns the folder of the fold."""
    config, lesions, split = images
    config = override(config, {name.replace("__", "."): value for name, value in settings.items()})
    train(FoldJob(config, lesions, split, 0, RunFolder(root)), Console(quiet=True), callbacks=callbacks)
    return root / "fold=0"


def probabilities(folder):
    return pd.read_parquet(folder / "predictions.parquet")["probability"].to_numpy()


def test_two_batches_accumulated_are_one_of_twice_the_size(images, tmp_path):
    still = {name.replace(".", "__"): value for name, value in STILL.items()}
    single = folder_of(images, tmp_path / "whole", data__batch_size=16, **still)
    halves = folder_of(images, tmp_path / "halves", data__batch_size=8, trainer__accumulate=2, **still)
    np.testing.assert_allclose(probabilities(halves), probabilities(single), atol=1e-4)


def test_gradients_are_clipped_to_the_norm_that_is_asked_for(images, tmp_path):
    class Norms(Callback):
        def __init__(self):
            self.norms = []

        def on_before_zero_grad(self, trainer, module, optimizer):
            grads = [p.grad for p in module.parameters() if p.grad is not None]
            self.norms += [float(get_total_norm(grads))] * bool(grads)

    free, clipped = Norms(), Norms()
    folder_of(images, tmp_path / "free", callbacks=[free])
    folder_of(images, tmp_path / "clipped", callbacks=[clipped], trainer__clip=0.01)
    assert max(free.norms) > 0.02 and max(clipped.norms) < 0.0101


def test_channels_last_changes_no_number(images, tmp_path):
    plain = folder_of(images, tmp_path / "plain")
    last = folder_of(images, tmp_path / "last", trainer__channels_last=True)
    np.testing.assert_allclose(probabilities(last), probabilities(plain), atol=1e-4)


def test_mixed_precision_is_near_and_not_the_same(images, tmp_path):
    plain = probabilities(folder_of(images, tmp_path / "plain"))
    mixed = probabilities(folder_of(images, tmp_path / "mixed", trainer__precision="bf16-mixed"))
    assert not np.array_equal(mixed, plain)
    np.testing.assert_allclose(mixed, plain, atol=0.1)


@pytest.mark.parametrize("kind", ["bce", "focal"])
def test_a_checkpoint_alone_makes_the_probabilities_of_the_table(images, tmp_path, kind):
    short = {"trainer__max_epochs": 1, "loss__kind": kind}
    raw = pd.read_parquet(folder_of(images, tmp_path / "raw", calibration="none", **short) / PREDICTIONS)
    home = folder_of(images, tmp_path / "calibrated", calibration="logistic", **short)
    table = pd.read_parquet(home / PREDICTIONS)
    module = LesionModule.load_from_checkpoint(home / "checkpoints/best.ckpt", weights_only=True)
    negatives, positives = (np.array(module.hparams["fitted"][n]) for n in ("negatives", "positives"))
    for column, (target, calibrator) in enumerate(module.calibrators.items()):
        rows = (table["target"] == target).to_numpy()
        assert calibrator.weight == pytest.approx(negatives[column] / positives[column], rel=1e-6)
        assert calibrator.gamma == (2.0 if kind == "focal" else 0.0)
        for name in ("probability", "patient_probability"):
            assert calibrator(raw.loc[rows, name]) == pytest.approx(table.loc[rows, name].to_numpy())
            assert (raw.loc[rows, name].rank() == table.loc[rows, name].rank()).all()
    assert list(module.calibrators) == ["ER", "PR", "HER2"]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="torch.compile needs a compiler, and gcc is not here")
def test_a_compiled_encoder_gives_the_same_and_its_checkpoint_loads_without_it(images, tmp_path, monkeypatch):
    shallow = Encoder(build="batches:shallow_encoder", last_stage=())  # a ResNet compiles for a minute
    monkeypatch.setitem(ENCODERS.entries, "resnet10", shallow)
    plain = folder_of(images, tmp_path / "plain", trainer__max_epochs=1)
    counters.clear()
    quick = folder_of(images, tmp_path / "compiled", trainer__max_epochs=1, trainer__compile=True)
    assert counters["stats"]["unique_graphs"] > 0
    np.testing.assert_allclose(probabilities(quick), probabilities(plain), atol=1e-3)
    best = LesionModule.load_from_checkpoint(quick / "checkpoints/best.ckpt", weights_only=True)
    assert set(best.state_dict()) == set(
        torch.load(plain / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    )


def test_a_profile_leaves_a_trace_of_some_steps(images, tmp_path):
    folder = folder_of(images, tmp_path, trainer__profile=True)
    traces = sorted(folder.glob("*.json"))
    assert traces and any("training_step" in str(json.loads(path.read_text())) for path in traces)


def test_what_limits_a_fold_is_said_and_logged(images, tmp_path, capsys):
    config, lesions, split = images
    train(FoldJob(config, lesions, split, 0, RunFolder(tmp_path)), Console())
    screen = capsys.readouterr().out
    assert "of the training waited for data" in screen and "GiB of memory" in screen
    waits = pd.read_csv(tmp_path / "fold=0/metrics.csv")["train/data_wait"].dropna()
    assert len(waits) == 2 and waits.between(0, 1).all()


@pytest.mark.parametrize(
    ("text", "epochs"),
    [("epoch,loss\n0,1.5\n1,1.25\n2,1.0\n", [0, 1]), ("", []), ("loss\n1\n", []), ('"\n', [])],
)
def test_curves_go_on_behind_the_epoch_and_torn_ones_start_anew(tmp_path, text, epochs):
    (tmp_path / "metrics.csv").write_text(text)
    logger = curves(tmp_path, 1)
    logger.log_metrics({"epoch": 2, "loss": 0.5})
    logger.save()
    assert pd.read_csv(tmp_path / "metrics.csv")["epoch"].tolist() == [*epochs, 2]


class Leave(Callback):
    """Asks for the end at an epoch's start, as a signal would."""

    def __init__(self, interruption, epoch):
        self.interruption, self.epoch = interruption, epoch

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == self.epoch:
            self.interruption.received = 15


@pytest.mark.parametrize(("ema", "workers"), [(False, 0), (True, 0), (False, 1)])
def test_a_training_that_was_left_ends_where_an_unbroken_one_does(tmp_path, ema, workers):
    """Three modalities, augmentation and dropout; with and without a moving average of the weights."""
    table, radiomics, crops = lesions_of(24)

    def trained(folder, leave):
        torch.manual_seed(0 if leave is not None else 99)  # going on, the first weights do not matter
        if not folder.exists():
            torch.manual_seed(0)
        loading = Data(batch_size=4, workers=workers)
        data = data_of(table, radiomics, crops, parts_of(24), augment=Augment(), data=loading)
        module, average = module_of(data), Average(decay=0.8) if ema else None
        interruption = Interruption()
        settings = Trainer(max_epochs=6, min_epochs=1, smoothing=3)
        keeper = Keeper(folder, interruption, EpochChoice(settings), average)
        callbacks = [interruption, keeper, *([average] if average else [])]
        callbacks += [Leave(interruption, leave)] if leave is not None else []
        trainer = trainer_of(tmp_path, epochs=6, callbacks=callbacks, enable_checkpointing=True)
        begun = keeper.last if keeper.last.is_file() else None
        trainer.fit(module, data, ckpt_path=begun, weights_only=True)
        return keeper, module

    keeper, unbroken = trained(tmp_path / "whole", None)
    left, _ = trained(tmp_path / "left", 2)
    assert left.interrupted and left.last.is_file() and not keeper.interrupted
    again, module = trained(tmp_path / "left", None)
    assert vars(again.choice) == vars(keeper.choice) and again.step == keeper.step
    assert len(keeper.choice.scores) == 6
    for ours, theirs in ((keeper.best, again.best), (unbroken.state_dict(), module.state_dict())):
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    again.take_best(module)
    loaded = LesionModule.load_from_checkpoint(again.write_best(module), weights_only=True)
    assert all(torch.equal(value, keeper.best[name]) for name, value in loaded.state_dict().items())


def test_a_moving_average_is_what_is_validated_and_kept(images, tmp_path):
    plain = folder_of(images, tmp_path / "plain")
    averaged = folder_of(images, tmp_path / "averaged", trainer__ema=0.9)
    a, b = (
        torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
        for folder in (plain, averaged)
    )
    moved = [name for name in a if not torch.equal(a[name], b[name])]
    assert set(a) == set(b) and len(moved) > 0.5 * len(a)


class Evil:
    """What a pickle does when it is trusted."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["last.ckpt", "weights.pth"])
def test_a_file_of_torch_that_would_run_code_is_refused_and_does_not(images, tmp_path, name):
    harm = tmp_path / "harm"
    evil = tmp_path / "run" / "fold=0" / "checkpoints" / name
    evil.parent.mkdir(parents=True)
    torch.save({"state_dict": Evil(harm), "epoch": 1, "hyper_parameters": {"provenance": {}}}, evil)
    settings = {} if name == "last.ckpt" else {"model__weights": str(evil), "model__encoder": "resnet18"}
    with pytest.raises((InputError, ConfigError), match=name):
        folder_of(images, tmp_path / "run", **settings)
    assert not harm.exists()


def test_a_yaml_that_would_run_code_is_refused_and_does_not(tmp_path):
    harm, evil = tmp_path / "harm", tmp_path / "evil.yaml"
    evil.write_text(f"seed: !!python/object/apply:os.mkdir ['{harm}']\n")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        compose([f"experiment={evil}"])
    with pytest.raises(ConfigError):
        compose([f"tune=!!python/object/apply:os.mkdir ['{harm}']"])
    assert not harm.exists()


def test_workers_are_forked_so_that_a_fold_beside_others_starts_them_at_once():
    table, radiomics, crops = lesions_of(24)
    data = data_of(table, radiomics, crops, parts_of(24), data=Data(batch_size=8, workers=1))
    data.setup()
    assert data.train_dataloader().multiprocessing_context.get_start_method() == "fork"
