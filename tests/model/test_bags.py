"""Lesions to patients by attention: bags are drawn whole, pooled by a softmax and trained on."""

import numpy as np
import pandas as pd
import pytest
import torch
from batches import RECEPTORS, data_of, lesions_of, module_of, parts_of, place_of, predicted, trainer_of

from bcbm.config.schema.training import Data, Trainer
from bcbm.data.sampler import LesionSampler
from bcbm.model.attention import GatedAttention, any_of_bag, pool
from bcbm.statistics.aggregate import aggregate
from bcbm.statistics.metrics import auroc

torch.set_num_threads(1)

PATIENTS = [*("many",) * 100, *("few",) * 3, "one", *"abcdefgh"]


def bags_of(sampler, bag=4):
    rows = [row for row, _ in sampler]
    return [tuple(rows[i : i + bag]) for i in range(0, len(rows), bag)]


def bagged(count=36, **changes):
    """Lesions, three a patient, that share their labels."""
    table, radiomics, crops = lesions_of(count)
    table["patient_id"] = [f"P{i // 3}" for i in range(count)]
    table[RECEPTORS] = table.groupby("patient_id")[RECEPTORS].transform("first")
    arguments = {"data": Data(batch_size=8), "bag": 2, **changes}
    return data_of(table, radiomics, crops, parts_of(count), **arguments)


def test_pooling_weighs_the_logits_of_a_bag_by_a_softmax_of_its_scores():
    torch.manual_seed(0)
    logits, scores = torch.randn(2, 7, 3)
    bag = torch.tensor([5, 2, 2, 9, 5, 2, 5])
    expected = []
    for code in (2, 5, 9):
        inside = bag == code
        expected.append((scores[inside].softmax(0) * logits[inside]).sum(0))
    torch.testing.assert_close(pool(logits, scores, bag), torch.stack(expected))
    torch.testing.assert_close(pool(logits, scores + 1e4, bag), torch.stack(expected), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(pool(logits, torch.zeros(7, 3), bag)[2], logits[3])
    labels = torch.tensor([[0.0, 1], [0, 0], [0, 0], [1, 0], [1, 0], [0, 0], [0, 0]])
    assert any_of_bag(labels, bag).tolist() == [[0, 0], [1, 1], [1, 0]]


def test_pooling_logits_is_pooling_features_and_agrees_with_the_evaluation():
    torch.manual_seed(0)
    features, bag = torch.randn(9, 5), torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])
    head, scores = torch.nn.Linear(5, 1), GatedAttention(5, 1)(features)
    pooled = pool(features, scores.expand(-1, 5), bag)
    torch.testing.assert_close(pool(head(features), scores, bag), head(pooled))
    with torch.no_grad():
        probability = head(features).double().sigmoid().numpy()
        _, aggregated = aggregate("attention", probability, bag.numpy(), np.ones(9), scores.numpy())
        assert aggregated == pytest.approx(pool(head(features), scores, bag).sigmoid().numpy(), abs=1e-6)


def test_gated_attention_is_that_of_ilse_et_al():
    torch.manual_seed(0)
    module, features = GatedAttention(5, 2), torch.randn(3, 5)
    gate = (features @ module.gate.weight.T + module.gate.bias).sigmoid()
    content = (features @ module.content.weight.T + module.content.bias).tanh()
    torch.testing.assert_close(module(features), (content * gate) @ module.score.weight.T)


def test_a_bag_holds_one_patient_and_a_lesion_twice_only_if_there_are_too_few():
    sampler = LesionSampler(PATIENTS, "patient", seed=0, length=44, bag=4)
    bags = bags_of(sampler)
    owners = [{PATIENTS[row] for row in bag} for bag in bags]
    assert all(len(owner) == 1 for owner in owners)
    assert sorted(owner.pop() for owner in owners) == sorted(set(PATIENTS))  # uniform: each once
    for bag in bags:
        owner = PATIENTS[bag[0]]
        assert len(set(bag)) == min(4, PATIENTS.count(owner))
    assert len({seed for _, seed in sampler}) == 44  # a lesion drawn twice is augmented twice


def test_bags_change_with_the_epoch_and_come_back_with_it():
    sampler = LesionSampler(PATIENTS, "patient", seed=0, bag=4)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_take_whole_bags_and_share_out_the_draw_of_a_single_process(world):
    alone = bags_of(LesionSampler(PATIENTS, "patient", seed=3, length=44, bag=4))
    ranks = [LesionSampler(PATIENTS, "patient", 3, rank, world, 44, bag=4) for rank in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    together = [bag for step in zip(*(bags_of(rank) for rank in ranks), strict=True) for bag in step]
    assert together[: len(alone)] == alone and len(together) - len(alone) < world
    assert len(list(ranks[0])) == len(ranks[0])


@pytest.mark.parametrize("world", [1, 2])
def test_every_step_sees_the_same_patients_each_once_on_any_number_of_devices(world):
    steps = []
    for rank in range(world):
        data = bagged()
        data.setup()
        data.trainer = place_of(rank, world)
        steps.append([batch["row"].tolist() for batch in data.train_dataloader()])
    together = [sorted(row for rank in step for row in rank) for step in zip(*steps, strict=True)]
    data = bagged()
    data.setup()
    assert together == [sorted(batch["row"].tolist()) for batch in data.train_dataloader()]
    for batch in data.train_dataloader():
        assert batch["patient"].bincount(minlength=8).tolist().count(2) == 4


@pytest.mark.parametrize(("bag", "counts"), [(None, (1, 5)), (3, (3, 3))])
def test_a_patient_of_both_labels_counts_by_its_lesions_and_in_bags_as_positive(bag, counts):
    table, radiomics, crops = lesions_of(36)
    lesion, owner = np.arange(36) % 3, np.arange(36) // 3
    table["patient_id"] = [f"P{number}" for number in owner]
    table["ER"] = ((lesion == 0) & (owner < 7)) * 1.0  # of the patients 4 to 9 that train, three hold both
    fitted = data_of(table, radiomics, crops, parts_of(36), bag=bag, data=Data(batch_size=9)).fitted()
    assert (fitted["positives"][0], fitted["negatives"][0]) == pytest.approx(counts)
    assert fitted["pos_weight"][0] == pytest.approx(counts[1] / counts[0])


def test_a_batch_that_cuts_a_bag_is_refused():
    data = bagged(data=Data(batch_size=8), bag=3)
    data.setup()
    with pytest.raises(ValueError, match="multiple of 3"):
        data.train_dataloader()


def test_the_mean_over_devices_is_the_loss_of_all_bags():
    data = bagged(modalities=["radiomics", "position"])
    data.setup()
    torch.manual_seed(0)
    module = module_of(data, aggregate="attention").eval()
    batch = next(iter(data.train_dataloader()))
    halves = [{name: values[half] for name, values in batch.items()} for half in (slice(4), slice(4, 8))]
    results = []
    for part in (batch, *halves):
        judged = module.pooled(*module.network.with_scores(part), part)
        results.append(module.criterion(*judged)[0])
    torch.testing.assert_close((results[1] + results[2]) / 2, results[0])


def test_training_on_bags_reaches_every_parameter(tmp_path):
    data = bagged()
    data.setup()
    module = module_of(data, aggregate="attention")
    batch = next(iter(data.train_dataloader()))
    batch["known"][:, 1] = 0
    judged = module.pooled(*module.network.with_scores(batch), batch)
    module.criterion(*judged)[0].backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_scores_travel_with_the_predictions_and_the_checkpoint(tmp_path):
    data = bagged()
    module = module_of(data, aggregate="attention")
    trainer = trainer_of(tmp_path)
    trainer.fit(module, data)
    assert np.isfinite(float(trainer.callback_metrics["val/loss"]))
    trainer.save_checkpoint(tmp_path / "fold.ckpt")
    again = type(module).load_from_checkpoint(tmp_path / "fold.ckpt", weights_only=True)
    batches = trainer.predict(again, data)
    scores = predicted(batches, "score")
    assert scores.shape == (12, 3) and scores.dtype == torch.float32 and scores.std() > 0
    plain = module_of(data)
    assert not predicted(trainer_of(tmp_path).predict(plain, data), "score").any()


def cohort_of_one_telling_lesion(patients=240, lesions=5):
    """A patient is positive if one of its lesions has a mark; all else is noise."""
    rng = np.random.default_rng(0)
    count, label = patients * lesions, np.arange(patients) % 2
    radiomics = rng.normal(size=(count, 12))
    radiomics[np.arange(patients) * lesions + rng.integers(0, lesions, patients), 0] += 20 * label
    table = pd.DataFrame(
        {
            "lesion_id": [f"L{i}" for i in range(count)],
            "patient_id": [f"P{i // lesions}" for i in range(count)],
            "hemisphere": "left",
            "region": "deep",
            "content": [f"hash{i}" for i in range(count)],
            "volume": 1.0,
            "ER": np.repeat(label, lesions).astype(float),
        }
    )
    half = count // 2
    return table, radiomics, {"train": np.arange(half), "test": np.arange(half, count)}


def test_attention_finds_the_one_lesion_that_tells_where_the_mean_drowns_it(tmp_path):
    table, radiomics, parts = cohort_of_one_telling_lesion()
    truth, errors, aurocs = table["ER"].to_numpy()[parts["test"]][::5], {}, {}
    for how, bag in (("mean", 1), ("attention", 5)):
        changes = {"modalities": ["radiomics"], "targets": ["ER"], "data": Data(batch_size=40), "bag": bag}
        data = data_of(table, radiomics, None, parts, **changes)
        torch.manual_seed(0)
        module = module_of(data, aggregate=how, trainer=Trainer(learning_rate=1e-2))
        trainer = trainer_of(tmp_path, epochs=10, limit_val_batches=0)
        trainer.fit(module, data)
        batches = trainer.predict(module, data)
        score, codes = predicted(batches, "score").numpy(), np.repeat(np.arange(len(truth)), 5)
        probability = predicted(batches).double().sigmoid()
        _, probabilities = aggregate(how, probability, codes, np.ones(len(codes)), score)
        aurocs[how], errors[how] = (
            auroc(truth, probabilities[:, 0]),
            np.mean((probabilities[:, 0] - truth) ** 2),
        )
    assert aurocs["attention"] > max(0.98, aurocs["mean"]) and errors["attention"] < 0.3 * errors["mean"]
    marks = radiomics[parts["test"], 0].reshape(-1, 5).argmax(axis=1)
    assert np.mean((score.reshape(-1, 5).argmax(axis=1) == marks)[truth == 1]) > 0.9
