from dataclasses import asdict
from itertools import combinations

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.nn import BCEWithLogitsLoss

from bcbm.cohort.names import HEMISPHERES, REGIONS
from bcbm.data.datamodule import LesionDataModule
from bcbm.model.encoders import RadiomicsEncoder, image_encoder
from bcbm.model.losses import masked_bce
from bcbm.model.module import LesionModule
from bcbm.model.network import LesionNetwork
from bcbm.schema import Augment, Data, Loss, Model, Task, Trainer

torch.set_num_threads(1)

RECEPTORS, MODALITIES = ["ER", "PR", "HER2"], ["image", "radiomics", "position"]
FITTED = {
    "receptors": RECEPTORS,
    "modalities": MODALITIES,
    "pos_weight": [1.0, 2.0, 0.5],
    "position": 12,
    "radiomics": {"median": [0.0] * 107, "mean": [0.0] * 107, "scale": [1.0] * 107},
}
STILL = Augment(flip=0, affine=0, noise=0, gamma=0)


def batch_of(count=4, size=12, channels=1):
    generator = torch.Generator().manual_seed(0)
    return {
        "row": torch.arange(count),
        "image": torch.randn(count, channels, size, size, size, generator=generator),
        "radiomics": torch.randn(count, 107, generator=generator),
        "position": torch.eye(12)[torch.arange(count) % 12],
        "label": torch.randint(0, 2, (count, 3), generator=generator).float(),
        "known": torch.ones(count, 3),
        "weight": torch.ones(count),
    }


def lesions_of(count=30, size=10, signal=3.0):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "lesion_id": [f"L{i}" for i in range(count)],
            "patient_id": [f"P{i}" for i in range(count)],
            "hemisphere": rng.choice(HEMISPHERES, count),
            "region": rng.choice(REGIONS, count),
            "content": [f"hash{i}" for i in range(count)],
        }
    )
    for receptor in RECEPTORS:
        table[receptor] = rng.integers(0, 2, count).astype(float)
    crops = rng.normal(size=(count, 2, size, size, size))
    radiomics = rng.normal(size=(count, 107))
    crops[:, 0, 3:7, 3:7, 3:7] += signal * table["ER"].to_numpy()[:, None, None, None]
    radiomics[:, 0] += signal * table["PR"]
    radiomics[:, 1] -= signal * table["HER2"]
    return table, radiomics, crops.astype(np.float16)


def data_of(table, radiomics, crops, parts, **changes):
    arguments = {
        "receptors": RECEPTORS,
        "modalities": MODALITIES,
        "data": Data(batch_size=8),
        "augment": STILL,
        "crop_spacing": 1.0,
        "seed": 0,
    }
    return LesionDataModule(
        lesions=table, radiomics=radiomics, crops=crops, parts=parts, **{**arguments, **changes}
    )


def module_of(data, seed=0, trainer=None, **model):
    return LesionModule(
        task=asdict(Task(receptors=data.receptors, modalities=data.modalities)),
        model=asdict(Model(**{"widen": 0.125, **model})),
        loss=asdict(Loss()),
        trainer=asdict(trainer or Trainer()),
        fitted=data.fitted(),
        provenance={"seed": seed},
    )


def trainer_of(folder, epochs=2, **changes):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return L.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        use_distributed_sampler=False,
        **{**quiet, "enable_checkpointing": False, **changes},
    )


def parts_of(count):
    third = count // 3
    return {
        "train": np.arange(third, count - third // 2),
        "validation": np.arange(count - third // 2, count),
        "test": np.arange(third),
    }


def probabilities(batches):
    rows = torch.cat([batch["row"] for batch in batches])
    return torch.cat([batch["probability"] for batch in batches])[rows.argsort()]


def test_loss_is_torchs_where_every_label_is_known():
    batch, logits, weight = batch_of(), torch.randn(4, 3), torch.tensor([1.0, 2.0, 0.5])
    losses = masked_bce(logits, batch["label"], batch["known"], weight, torch.ones(3))
    assert losses.shape == (3,)
    torch.testing.assert_close(losses.mean(), BCEWithLogitsLoss(pos_weight=weight)(logits, batch["label"]))


def test_a_missing_label_has_no_gradient():
    logits = torch.randn(4, 3, requires_grad=True)
    known = torch.ones(4, 3)
    known[1, 2] = known[3, 0] = 0
    masked_bce(logits, torch.zeros(4, 3), known, torch.ones(3), torch.ones(3)).sum().backward()
    assert torch.equal(logits.grad == 0, known == 0)


def test_the_mean_over_devices_is_the_loss_of_the_whole_batch():
    batch, logits = batch_of(8), torch.randn(8, 3)
    known = (torch.rand(8, 3) > 0.5).float()
    both = [
        masked_bce(logits[half], batch["label"][half], known[half], torch.ones(3), torch.ones(3))
        for half in (slice(0, 8, 2), slice(1, 8, 2))
    ]
    whole = masked_bce(logits, batch["label"], known, torch.ones(3), torch.ones(3))
    torch.testing.assert_close(torch.stack(both).mean(0), whole)


def test_every_head_takes_part_even_without_a_known_label():
    network = LesionNetwork(RECEPTORS, MODALITIES, Model(widen=0.125), FITTED)
    batch = batch_of()
    batch["known"][:, 1] = 0
    masked_bce(network(batch), batch["label"], batch["known"], torch.ones(3), torch.ones(3)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.heads["PR"].weight.grad.abs().sum() == 0 < network.heads["ER"].weight.grad.abs().sum()


@pytest.mark.parametrize("encoder", ["resnet10", "resnet18", "resnet50"])
@pytest.mark.parametrize("channels", [1, 2])
def test_image_encoder_takes_one_lesion_that_ends_in_one_voxel(encoder, channels):
    model = Model(encoder=encoder, widen=0.05, mask_channel=channels == 2)
    assert image_encoder(model).train()(torch.randn(1, channels, 16, 16, 16)).shape == (1, 32)


def test_radiomics_are_imputed_standardised_and_clipped():
    fitted = {"median": [1.0, 0.0, 2.0, 0.0], "mean": [0.0, 0.0, 5.0, 1.0], "scale": [2.0, 1.0, 0.0, 1.0]}
    encoder = RadiomicsEncoder(fitted, hidden=4, features=3, dropout=0.0)
    values = torch.tensor([[torch.nan, 1e30, 7.0, -np.expm1(1.0)], [np.expm1(2.0), -1e30, torch.nan, 0.0]])
    wanted = torch.tensor([[0.5, 4.0, 0.0, -2.0], [1.0, -4.0, 0.0, -1.0]])
    torch.testing.assert_close(encoder.standardise(values), wanted)
    assert encoder(values).shape == (2, 3)


@pytest.mark.parametrize("modalities", [list(c) for n in (1, 2, 3) for c in combinations(MODALITIES, n)])
@pytest.mark.parametrize("receptors", [["ER"], ["PR", "HER2"], RECEPTORS])
def test_any_modalities_and_receptors_train(tmp_path, modalities, receptors):
    table, radiomics, crops = lesions_of(18)
    data = data_of(
        table,
        radiomics if "radiomics" in modalities else None,
        crops if "image" in modalities else None,
        parts_of(18),
        modalities=modalities,
        receptors=receptors,
    )
    module = module_of(data)
    before = [parameter.clone() for parameter in module.parameters()]
    trainer = trainer_of(tmp_path, epochs=3)
    trainer.fit(module, data)
    named = {f"{stage}/loss_{receptor}" for stage in ("train", "val") for receptor in receptors}
    assert {"train/loss", "val/loss", *named} <= set(trainer.callback_metrics)
    changed = [not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True)]
    assert np.mean(changed) > 0.8
    assert probabilities(trainer.predict(module, data)).shape == (6, len(receptors))


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
        each = BCEWithLogitsLoss(pos_weight=module.pos_weight, reduction="none")(
            module.eval()(batch), batch["label"]
        )
    patients = pd.Series(each[:, 1].numpy()).groupby(table["patient_id"].to_numpy()[batch["row"]]).mean()
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
    wanted = probabilities(trainer.predict(module, data))
    assert torch.equal(probabilities(trainer_of(tmp_path).predict(loaded, data)), wanted)


class Kill(L.Callback):
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            raise RuntimeError("killed")


def test_a_resumed_training_ends_where_an_unbroken_one_does(tmp_path):
    table, radiomics, crops = lesions_of(24)
    results = []
    for broken in (False, True):
        torch.manual_seed(0)
        data = data_of(table, radiomics, crops, parts_of(24), augment=Augment())
        module, path = module_of(data), None
        if broken:
            keep = ModelCheckpoint(tmp_path, save_last=True, enable_version_counter=False)
            with pytest.raises(RuntimeError, match="killed"):
                killed = trainer_of(tmp_path, epochs=3, callbacks=[keep, Kill()], enable_checkpointing=True)
                killed.fit(module, data)
            torch.manual_seed(99)
            module, path = module_of(data), tmp_path / "last.ckpt"
        trainer_of(tmp_path, epochs=3).fit(module, data, ckpt_path=path, weights_only=True)
        results.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))
    torch.testing.assert_close(*results)


def test_biases_and_norms_are_not_decayed(tmp_path):
    table, radiomics, crops = lesions_of(18)
    data = data_of(table, radiomics, crops, parts_of(18))
    module = module_of(data)
    trainer = trainer_of(tmp_path, epochs=1)
    trainer.fit(module, data)
    decayed, kept = trainer.optimizers[0].param_groups
    assert decayed["weight_decay"] == 0.05 and kept["weight_decay"] == 0
    assert all(parameter.ndim <= 1 for parameter in kept["params"])
    assert len(decayed["params"]) + len(kept["params"]) == len(list(module.parameters()))


def test_the_network_learns_16_lesions_by_heart(tmp_path):
    table, radiomics, crops = lesions_of(16)
    data = data_of(table, radiomics, crops, {"train": np.arange(16), "test": np.arange(0)}, data=Data(16))
    torch.manual_seed(0)
    module = module_of(data, dropout=0.0, radiomics_dropout=0.0, trainer=Trainer(learning_rate=1e-2))
    trainer = trainer_of(tmp_path, epochs=60, limit_val_batches=0)
    trainer.fit(module, data)
    batch = torch.utils.data.default_collate([data.datasets["train"][i] for i in range(16)])
    with torch.no_grad():
        predicted = module.eval()(batch).sigmoid()
    assert ((predicted > 0.5) == (batch["label"] > 0.5)).all()
