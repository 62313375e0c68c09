"""Losses: what is not known counts nothing, devices add up, and each follows its paper."""

import numpy as np
import pytest
import torch
from batches import (
    FITTED,
    MODALITIES,
    RECEPTORS,
    batch_of,
    data_of,
    lesions_of,
    module_of,
    parts_of,
    trainer_of,
)
from torch.nn import BCEWithLogitsLoss

from bcbm.config.schema.training import Loss, Model
from bcbm.model.losses import TargetLoss, cross_entropy, effective_weights
from bcbm.model.network import LesionNetwork

torch.set_num_threads(1)

KINDS = [
    {"kind": "bce"},
    {"kind": "focal"},
    {"kind": "class_balanced"},
    {"kind": "focal", "uncertainty": True},
    {"target_weights": {"ER": 1.0, "PR": 3.0, "HER2": 0.5}, "uncertainty": True},
]


def loss_of(fitted=FITTED, **loss):
    criterion = TargetLoss(RECEPTORS, Loss(**loss), fitted)
    if criterion.log_variance is not None:
        torch.nn.init.constant_(criterion.log_variance, 0.4)
    return criterion


def random_batch(count=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 3, generator=generator) * 2
    label, known = (torch.rand(2, count, 3, generator=generator) > 0.5).float()
    return logits, label, known


def test_loss_is_torchs_where_every_label_is_known():
    logits, label, _ = random_batch()
    loss, losses = loss_of()(logits, label, torch.ones(8, 3))
    assert losses.shape == (3,)
    weight = torch.tensor(FITTED["pos_weight"])
    torch.testing.assert_close(loss, BCEWithLogitsLoss(pos_weight=weight)(logits, label))


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_that_is_not_known_has_no_part(kind):
    logits, label, known = random_batch()
    criterion = loss_of(**kind)
    logits.requires_grad_()
    loss, losses = criterion(logits, label, known)
    loss.backward()
    assert torch.equal(logits.grad == 0, known == 0)
    other = criterion(logits, torch.where(known > 0, label, 1 - label), known)
    torch.testing.assert_close(other, (loss, losses), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_over_devices_is_the_loss_of_the_whole_batch(kind):
    logits, label, known = random_batch()
    criterion = loss_of(**kind)
    losses = criterion(logits, label, known)
    halves = [criterion(logits[i::2], label[i::2], known[i::2]) for i in range(2)]
    for part, expected in enumerate(losses):
        torch.testing.assert_close(torch.stack([half[part] for half in halves]).mean(0), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_takes_part_even_without_a_known_label(kind):
    network, criterion = LesionNetwork(RECEPTORS, MODALITIES, Model(widen=0.05), FITTED), loss_of(**kind)
    batch = batch_of(size=8)
    batch["known"][:, 1] = 0
    criterion(network(batch), batch["label"], batch["known"])[0].backward()
    parameters = [*network.parameters(), *criterion.parameters()]
    assert all(parameter.grad is not None for parameter in parameters)
    assert network.heads["PR"].weight.grad.abs().sum() == 0 < network.heads["ER"].weight.grad.abs().sum()
    if criterion.log_variance is not None:
        assert criterion.log_variance.grad[1] == 0 != criterion.log_variance.grad[0]


def test_focal_loss_is_that_of_lin_et_al():
    logits, label, known = random_batch()
    p = torch.where(label > 0, logits.sigmoid(), 1 - logits.sigmoid())
    alpha = torch.where(label > 0, torch.tensor(FITTED["pos_weight"]), torch.ones(3))
    expected = -known * alpha * (1 - p) ** 1.5 * p.log()
    torch.testing.assert_close(
        loss_of(kind="focal", focal_gamma=1.5).elementwise(logits, label, known), expected
    )
    bare = loss_of(kind="focal", focal_gamma=0.0).elementwise(logits, label, known)
    assert torch.equal(bare, loss_of().elementwise(logits, label, known))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_of_certain_lesions_has_a_finite_slope(gamma):
    logits = torch.tensor([[200.0], [-200.0], [200.0], [-200.0]], requires_grad=True)
    label = torch.tensor([[1.0], [0.0], [0.0], [1.0]])
    loss = cross_entropy(logits, label, torch.ones(4, 1), torch.ones(1), gamma)
    loss.sum().backward()
    assert loss[:, 0].tolist() == pytest.approx([0, 0, 200, 200])
    assert logits.grad[:, 0].tolist() == pytest.approx([0, 0, 1, -1])


def test_classes_are_balanced_by_the_effective_number_of_patients():
    positive, negative = effective_weights(10, 40, 0.9)
    effective = [sum(0.9**k for k in range(count)) for count in (10, 40)]  # (1 - b^n) / (1 - b)
    assert positive / negative == pytest.approx(effective[1] / effective[0])
    assert positive + negative == pytest.approx(2)
    assert effective_weights(10, 40, 0.0) == (1, 1) == effective_weights(0, 40, 0.9)
    assert np.divide(*effective_weights(10, 40, 1 - 1e-9)) == pytest.approx(4, rel=1e-5)
    logits, label, known = random_batch()
    losses = loss_of(kind="class_balanced", balanced_beta=0.9).elementwise(logits, label, known)
    weights = [effective_weights(*counts, 0.9) for counts in ((10, 10), (10, 20), (20, 10))]
    weight = torch.where(label > 0, *(torch.tensor(values) for values in zip(*weights, strict=True)))
    expected = known * weight * BCEWithLogitsLoss(reduction="none")(logits, label)
    torch.testing.assert_close(losses, expected)


def test_classes_are_counted_in_training_patients():
    table, radiomics, _ = lesions_of(8)
    table["patient_id"] = list("aaabcdee")
    table["ER"] = [1.0, 1, 1, 0, 0, np.nan, 1, 1]
    parts = {"train": np.arange(6), "test": np.arange(6, 8)}
    fitted = data_of(table, radiomics, None, parts, modalities=["radiomics"]).fitted()
    assert (fitted["positives"][0], fitted["negatives"][0], fitted["pos_weight"][0]) == (1, 2, 2)


def test_uncertainty_starts_where_fixed_weights_are_and_is_that_of_kendall_et_al():
    logits, label, known = random_batch()
    weights = {"target_weights": {"ER": 1.0, "PR": 2.0, "HER2": 1.0}}
    criterion, fixed = loss_of(uncertainty=True, **weights), loss_of(**weights)
    loss, losses = criterion(logits, label, known)
    torch.testing.assert_close(losses, fixed(logits, label, known)[1])
    share = torch.tensor([1.0, 2.0, 1.0]) * known.mean(0)
    torch.testing.assert_close(loss, (losses * np.exp(-0.4) + share * 0.2).sum() / 4)
    torch.nn.init.zeros_(criterion.log_variance)
    torch.testing.assert_close(criterion(logits, label, known), fixed(logits, label, known))


def test_the_learnt_variance_is_that_of_the_loss():
    criterion = loss_of(uncertainty=True)
    optimiser = torch.optim.Adam(criterion.parameters(), lr=0.05)
    logits, label, _ = random_batch(64)
    logits[:, 0] = 6 * (2 * label[:, 0] - 1)  # ER is right, the others are noise
    for _ in range(300):
        optimiser.zero_grad()
        loss, losses = criterion(logits, label, torch.ones(64, 3))
        loss.backward()
        optimiser.step()
    torch.testing.assert_close(criterion.log_variance.exp(), 2 * losses, rtol=0.05, atol=0)
    assert criterion.log_variance[0] < criterion.log_variance[1:].min()


def test_learnt_variances_are_logged_not_decayed_and_no_part_of_validation(tmp_path):
    table, radiomics, _ = lesions_of(24)
    data = data_of(table, radiomics, None, parts_of(24), modalities=["radiomics", "position"])
    losses = []
    for uncertainty in (False, True):
        torch.manual_seed(0)
        module = module_of(data, loss=Loss(uncertainty=uncertainty))
        if uncertainty:
            torch.nn.init.constant_(module.criterion.log_variance, 2.0)
        losses.append(trainer_of(tmp_path).validate(module, data, verbose=False)[0]["val/loss"])
    assert losses[0] == losses[1]
    trainer = trainer_of(tmp_path)
    trainer.fit(module, data)
    logged = {f"train/uncertainty_{target}" for target in RECEPTORS}
    assert logged <= set(trainer.callback_metrics)
    assert all(trainer.callback_metrics[name] > 1 for name in logged)
    undecayed = trainer.optimizers[0].param_groups[1]
    assert undecayed["weight_decay"] == 0 and any(
        p is module.criterion.log_variance for p in undecayed["params"]
    )
    trainer.save_checkpoint(tmp_path / "fold.ckpt")
    again = type(module).load_from_checkpoint(tmp_path / "fold.ckpt", weights_only=True)
    assert torch.equal(again.criterion.log_variance, module.criterion.log_variance)
    assert not torch.equal(again.criterion.log_variance, torch.full((3,), 2.0))
