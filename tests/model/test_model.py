from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from batches import MODALITIES, RECEPTORS, data_of, lesions_of, module_of, parts_of, predicted, trainer_of
from torch.nn import BCEWithLogitsLoss

from bcbm.config.compose import compose
from bcbm.config.schema.training import Data, Trainer
from bcbm.errors import ConfigError
from bcbm.model.module import LesionModule
from bcbm.statistics.aggregate import aggregate
from bcbm.statistics.metrics import auroc

torch.set_num_threads(1)


@pytest.mark.parametrize("modalities", [list(c) for n in (1, 2, 3) for c in combinations(MODALITIES, n)])
@pytest.mark.parametrize("targets", [["ER"], ["PR", "HER2"], RECEPTORS])
def test_any_modalities_and_targets_train(tmp_path, modalities, targets):
    table, radiomics, crops = lesions_of(18)
    data = data_of(
        table,
        radiomics if "radiomics" in modalities else None,
        crops if "image" in modalities else None,
        parts_of(18),
        modalities=modalities,
        targets=targets,
    )
    module = module_of(data)
    before = [parameter.clone() for parameter in module.parameters()]
    trainer = trainer_of(tmp_path, epochs=3)
    trainer.fit(module, data)
    named = {f"{stage}/loss_{target}" for stage in ("train", "val") for target in targets}
    assert {"train/loss", "val/loss", *named} <= set(trainer.callback_metrics)
    changed = [not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True)]
    assert np.mean(changed) > 0.8
    assert predicted(trainer.predict(module, data)).shape == (6, len(targets))


def test_validation_loss_weighs_patients_alike_whatever_the_batches(tmp_path):
    table, radiomics, _ = lesions_of(24)
    parts = parts_of(24)
    table.loc[parts["validation"][:3], "patient_id"] = "many"
    table.loc[parts["validation"][0], "ER"] = np.nan
    table.loc[parts["validation"], "HER2"] = np.nan
    losses = []
    for size in (2, 64):
        data = data_of(
            table, radiomics, None, parts, modalities=["radiomics", "position"], data=Data(batch_size=size)
        )
        torch.manual_seed(0)
        module = module_of(data)
        losses.append(trainer_of(tmp_path).validate(module, data, verbose=False)[0])
    assert losses[0] == pytest.approx(losses[1], nan_ok=True, rel=1e-5)
    assert np.isnan(losses[0]["val/loss_HER2"])
    assert losses[0]["val/loss"] == pytest.approx((losses[0]["val/loss_ER"] + losses[0]["val/loss_PR"]) / 2)
    batch = next(iter(data.val_dataloader()))
    with torch.no_grad():
        lesion_losses = BCEWithLogitsLoss(pos_weight=module.criterion.pos_weight, reduction="none")(
            module.eval()(batch), batch["label"]
        )
    patients = (
        pd.Series(lesion_losses[:, 1].numpy()).groupby(table["patient_id"].to_numpy()[batch["row"]]).mean()
    )
    assert losses[0]["val/loss_PR"] == pytest.approx(patients.mean(), rel=1e-5)


def test_a_checkpoint_alone_gives_the_same_predictions(tmp_path):
    table, radiomics, crops = lesions_of(24)
    data = data_of(table, radiomics, crops, parts_of(24))
    module = module_of(data)
    trainer = trainer_of(tmp_path)
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "fold.ckpt")
    loaded = LesionModule.load_from_checkpoint(tmp_path / "fold.ckpt", weights_only=True)
    assert loaded.provenance == {"seed": 0} and loaded.hparams["fitted"] == data.fitted()
    expected = predicted(trainer.predict(module, data))
    assert torch.equal(predicted(trainer_of(tmp_path).predict(loaded, data)), expected)


def test_biases_and_norms_are_not_decayed(tmp_path):
    table, radiomics, crops = lesions_of(18)
    data = data_of(table, radiomics, crops, parts_of(18))
    module = module_of(data)
    trainer = trainer_of(tmp_path, epochs=1)
    trainer.fit(module, data)
    decayed, undecayed = trainer.optimizers[0].param_groups
    assert decayed["weight_decay"] == 0.05 and undecayed["weight_decay"] == 0
    assert all(parameter.ndim <= 1 for parameter in undecayed["params"])
    assert len(decayed["params"]) + len(undecayed["params"]) == len(list(module.parameters()))


def test_the_network_learns_16_lesions_by_heart(tmp_path):
    table, radiomics, crops = lesions_of(16)
    data = data_of(table, radiomics, crops, {"train": np.arange(16), "test": np.arange(0)}, data=Data(16))
    torch.manual_seed(0)
    module = module_of(data, dropout=0.0, radiomics_dropout=0.0, trainer=Trainer(learning_rate=1e-2))
    trainer = trainer_of(tmp_path, epochs=60, limit_val_batches=0)
    trainer.fit(module, data)
    batch = torch.utils.data.default_collate([data.datasets["train"][i] for i in range(16)])
    with torch.no_grad():
        logits = module.eval()(batch)
    assert ((logits > 0) == (batch["label"] > 0.5)).all()


@pytest.mark.parametrize("how", ["mean", "max", "noisy_or", "largest", "attention"])
def test_validation_auroc_is_that_of_the_patients_as_they_are_aggregated(tmp_path, how):
    table, radiomics, _ = lesions_of(90)
    table["patient_id"] = [f"P{i // 3}" for i in range(90)]
    table[RECEPTORS] = table.groupby("patient_id")[RECEPTORS].transform("first")
    parts = {"train": np.arange(30), "validation": np.arange(30, 90), "test": np.arange(0)}
    data = data_of(table, radiomics, None, parts, modalities=["radiomics", "position"])
    torch.manual_seed(0)
    module = module_of(data, aggregate=how)
    measured = trainer_of(tmp_path).validate(module, data, verbose=False)[0]
    batch = torch.utils.data.default_collate([data.datasets["validation"][i] for i in range(60)])
    with torch.no_grad():
        logits, scores = module.eval().network.with_scores(batch)
    _, probabilities = aggregate(how, logits.double().sigmoid(), batch["patient"], batch["volume"], scores)
    for column, target in enumerate(RECEPTORS):
        expected = auroc(batch["label"][::3, column], probabilities[:, column])
        assert measured[f"val/auroc_{target}"] == pytest.approx(expected)


def test_a_batch_says_which_modalities_a_lesion_has():
    table, radiomics, crops = lesions_of(12)
    present = np.ones((12, 3))
    present[0, 1] = present[3, 0] = 0
    data = data_of(table, radiomics, crops, parts_of(12), present=present)
    data.setup()
    batch = next(iter(data.predict_dataloader()[1]))
    assert batch["present"].tolist() == [[1, 0, 1], [1, 1, 1], [1, 1, 1], [0, 1, 1]]
    module = module_of(data).eval()
    logits = module(batch)
    batch["image"][3] = batch["radiomics"][0] = torch.nan
    assert torch.equal(module(batch), logits) and logits.isfinite().all()
    train = parts_of(12)["train"]
    present[train[0], 1] = 0
    expected = data_of(table, radiomics, crops, parts_of(12), present=present).fitted()
    radiomics[train[0]] = 1e6
    assert data_of(table, radiomics, crops, parts_of(12), present=present).fitted() == expected
    assert data_of(table, radiomics, crops, parts_of(12)).fitted() != expected
    with pytest.raises(ValueError, match="a column a modality"):
        data_of(table, radiomics, crops, parts_of(12), present=present[:, :2])


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("model.encoder=densenet121 features.crop_size=14", "needs at least 15 voxels"),
        ("model.encoder=densenet121 features.crop_size=28 model.max_pool=true", "needs at least 29 voxels"),
        ("model.encoder=densenet121 model.weights=a.pth", r"densenet121; .*model.encoder=resnet10\|resnet18"),
        ("model.encoder_training=frozen", "model.weights=FILE"),
        ("model.fusion_features=0", "write at least 1"),
        ("model.modality_dropout=1.0", "less than 1"),
        ("loss.focal_gamma=-1.0", "at least 0"),
        ("loss.balanced_beta=1.0", "less than 1"),
        ("data.bag=0", "write at least 1"),
        ("task.aggregate=attention data.bag=1", "write at least 2"),
        ("task.aggregate=attention data.batch_size=18", "a multiple of 4"),
        ("task.aggregate=attention trainer.devices=3", "a multiple of 12"),
        ("task.aggregate=attention data.sampling=even", "write data.sampling=patient"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_what_to_write(words, remedy):
    with pytest.raises(ConfigError, match=remedy):
        compose(words.split())


def test_settings_at_their_limits_are_taken():
    words = (
        "model.encoder=densenet121 features.crop_size=15 loss.balanced_beta=0 loss.focal_gamma=0 data.bag=1"
    )
    assert compose(words.split()).features.crop_size == 15
    assert compose(["task.aggregate=attention", "trainer.devices=2"]).data.bag == 4
