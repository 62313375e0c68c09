"""Fusions: who is missing is not heard, every parameter learns, and each does what it is for."""

import numpy as np
import pytest
import torch
from batches import FITTED, MODALITIES, RECEPTORS, batch_of

from bcbm.config.schema.training import Model
from bcbm.model.fusion import FUSIONS, drop_modalities
from bcbm.model.network import LesionNetwork

torch.set_num_threads(1)


def network_of(fusion, modalities=MODALITIES, **model):
    torch.manual_seed(0)
    return LesionNetwork(RECEPTORS, modalities, Model(widen=0.05, fusion=fusion, **model), FITTED)


def fusion_of(name, widths=(5, 3, 4), **model):
    torch.manual_seed(0)
    return FUSIONS[name](widths, Model(fusion_features=8, dropout=0.0, trunk=6, **model))


def features_of(count=6, widths=(5, 3, 4)):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(count, width, generator=generator) for width in widths]


def backward(network, batch):
    network(batch).square().sum().backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_stands_in_place_of_a_missing_modality_changes_nothing(fusion):
    network, batch = network_of(fusion).eval(), batch_of(4, size=8)
    batch["present"] = torch.tensor([[0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 1.0]])
    expected = network(batch)
    for column, modality in enumerate(MODALITIES):
        batch[modality][batch["present"][:, column] == 0] = torch.nan
    torch.testing.assert_close(network(batch), expected, rtol=0, atol=0)
    assert all(gradient.isfinite().all() for gradient in backward(network.train(), batch).values())


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_fusion_alone_is_proof_against_nan_too(fusion):
    module, features, present = fusion_of(fusion), features_of(), torch.ones(6, 3)
    present[2, 1] = 0
    expected = module(features, present)
    features[1][2] = torch.nan
    features = [part.requires_grad_() for part in features]
    fused = module(features, present)
    torch.testing.assert_close(fused, expected, rtol=0, atol=0)
    fused.sum().backward()
    assert all(part.grad.isfinite().all() for part in features) and (features[1].grad[2] == 0).all()


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("missing", [(), (0,), (1, 2), (0, 1, 2)])
def test_every_parameter_takes_part_whoever_is_missing_in_all_of_the_batch(fusion, missing):
    network, batch = network_of(fusion), batch_of(3, size=8)
    batch["present"] = torch.ones(3, 3)
    batch["present"][:, list(missing)] = 0
    gradients = backward(network, batch)
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())


@pytest.mark.parametrize("fusion", FUSIONS)
def test_without_a_word_all_modalities_are_there(fusion):
    network, batch = network_of(fusion).eval(), batch_of(3, size=8)
    assert torch.equal(network(batch), network({**batch, "present": torch.ones(3, 3)}))


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("modality", ["radiomics", "position"])
def test_one_modality_is_enough_and_lesions_without_it_are_all_alike(fusion, modality):
    network, batch = network_of(fusion, [modality]).eval(), batch_of(4)
    assert network(batch).shape == (4, 3)
    logits = network({**batch, "present": torch.tensor([[1.0], [0.0], [0.0], [1.0]])})
    assert torch.equal(logits[1], logits[2]) and not torch.equal(logits[0], logits[3])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_lesion_is_fused_alike_in_any_batch(fusion):
    module, features = fusion_of(fusion).eval(), features_of()
    present = torch.ones(6, 3)
    present[1, 0] = present[4, 2] = 0
    alone = torch.cat([module([part[[i]] for part in features], present[[i]]) for i in range(6)])
    torch.testing.assert_close(module(features, present), alone)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_who_is_missing_is_zero_behind_a_norm_that_has_learnt_a_shift(fusion):
    module, present = fusion_of(fusion), torch.tensor([[1, 0, 1]] * 6).float()
    for norm in module.norms:
        torch.nn.init.constant_(norm.bias, 3.0)
    parts = module.normalised(features_of(), present)
    assert not parts[1].any() and parts[0].all() and parts[2].all()


def test_dropping_leaves_one_of_those_who_were_there():
    torch.manual_seed(0)
    present = (torch.rand(4000, 3) > 0.3).float()
    dropped = drop_modalities(present, 0.6)
    assert (dropped <= present).all()
    assert torch.equal(dropped.sum(1) > 0, present.sum(1) > 0)
    dropped = drop_modalities(torch.ones(20000, 3), 0.2)
    assert dropped.mean(0).tolist() == pytest.approx([0.8 + 0.2**3 / 3] * 3, abs=0.01)
    assert (drop_modalities(torch.ones(9, 1), 0.9) == 1).all()


def test_modalities_are_dropped_in_training_alone_and_only_where_asked_for():
    batch = batch_of(4, size=8)
    for chance, draws in ((0.0, False), (0.5, True)):
        network = network_of("concat", dropout=0.0, radiomics_dropout=0.0, modality_dropout=chance)
        state = torch.get_rng_state()
        trained = network(batch)
        assert torch.equal(torch.get_rng_state(), state) is not draws
        assert torch.equal(trained, network.eval()(batch)) is not draws


def test_concatenation_keeps_its_length():
    module = fusion_of("concat")
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0.0]])
    lengths = module(features_of(), present).norm(dim=1)
    assert lengths[:5].tolist() == pytest.approx([12**0.5] * 5, rel=1e-3) and lengths[5] == 0


def test_gates_share_one_whole_between_those_who_are_there():
    module, features = fusion_of("gated"), features_of()
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0.0]])
    weights = module.weights(module.normalised(features, present), present)
    assert weights.sum(1).tolist() == pytest.approx([1, 1, 1, 1, 1, 0])
    assert ((weights > 0) == (present > 0)).all()


def test_late_fusion_is_the_mean_of_the_logits_of_those_who_are_there():
    network, batch = network_of("late").eval(), batch_of(4, size=8)
    alone = [network({**batch, "present": torch.eye(3)[[i] * 4]}) for i in range(3)]
    mean = network({**batch, "present": torch.tensor([[1.0, 0.0, 1.0]] * 4)})
    torch.testing.assert_close(network(batch), sum(alone) / 3)
    torch.testing.assert_close(mean, (alone[0] + alone[2]) / 2)


def test_bilinear_fusion_is_the_product_of_liu_et_al():
    module, features = fusion_of("bilinear", fusion_rank=2), features_of()
    parts = module.normalised(features, torch.ones(6, 3))
    total = 0.0
    for r in range(2):
        product = 1.0
        for factor, part in zip(module.factors, parts, strict=True):
            weight = factor.weight[r * 8 : (r + 1) * 8], factor.bias[r * 8 : (r + 1) * 8, None]
            product = product * (torch.cat([part, torch.ones(6, 1)], dim=1) @ torch.cat(weight, dim=1).T)
        total = total + product / 2
    torch.testing.assert_close(module(features, torch.ones(6, 3)), module.norm(total))


@pytest.mark.parametrize(("name", "solves"), [("bilinear", True), ("concat", False)])
def test_products_let_a_linear_head_tell_whether_two_modalities_agree(name, solves):
    rng = np.random.default_rng(0)
    sign = rng.choice([-1.0, 1.0], (400, 2))
    widths = (4, 4)
    features = [
        torch.tensor(np.outer(column, [1, -1, 0.5, -0.5]) + 0.3 * rng.normal(size=(400, 4))).float()
        for column in sign.T
    ]
    with torch.no_grad():
        fused = fusion_of(name, widths)(features, torch.ones(400, 2)).numpy()
    design, agree = np.hstack([fused, np.ones((400, 1))]), sign.prod(axis=1)
    solution = np.linalg.lstsq(design[:200], agree[:200], rcond=None)[0]
    right = np.mean(np.sign(design[200:] @ solution) == agree[200:])
    assert right > 0.9 if solves else right < 0.65


def test_modality_dropout_teaches_to_do_without_a_modality():
    torch.manual_seed(0)
    label = torch.randint(0, 2, (256, 1)).float()
    batch = batch_of(256, size=1)
    batch["radiomics"] = torch.randn(256, 107)
    batch["radiomics"][:, :20] += 2 * (2 * label - 1)  # strong, and missing later
    batch["position"] = torch.eye(12)[(3 * label[:, 0] + torch.randint(0, 5, (256,))).long()]  # weak
    losses = {}
    for chance in (0.0, 0.5):
        sizes = Model(modality_dropout=chance, dropout=0.0, radiomics_dropout=0.0)
        torch.manual_seed(1)
        network = LesionNetwork(["ER"], ["radiomics", "position"], sizes, FITTED)
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(60):
            optimiser.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(network(batch), label).backward()
            optimiser.step()
        without = {**batch, "present": torch.tensor([[0.0, 1.0]]).expand(256, 2)}
        with torch.no_grad():
            logits = network.eval()(without)
        losses[chance] = float(torch.nn.functional.binary_cross_entropy_with_logits(logits, label))
    assert losses[0.5] < 0.9 * losses[0.0]
