import numpy as np
import pandas as pd
import pytest
import torch
from batches import data_of, place_of

from bcbm.cohort.leaks import LeakError
from bcbm.cohort.names import HEMISPHERES, REGIONS
from bcbm.config.schema.training import Augment, Data
from bcbm.data.augmentation.mirror import mirrored
from bcbm.data.augmentation.single import LesionAugment
from bcbm.data.sampler import LesionSampler, ShardSampler
from bcbm.features.crops import CropStore
from bcbm.modalities.position import POSITION, position_coordinates, position_onehot

torch.set_num_threads(1)

SIZE = 10
STILL = Augment(flip=0, affine=0, noise=0, gamma=0)
LEFT, RIGHT = HEMISPHERES.index("left"), HEMISPHERES.index("right")


def cohort(patients=12, lesions=2, seed=0):
    rng = np.random.default_rng(seed)
    count = patients * lesions
    table = pd.DataFrame(
        {
            "lesion_id": [f"L{i}" for i in range(count)],
            "patient_id": [f"P{i // lesions}" for i in range(count)],
            "study_id": [f"S{i // lesions}" for i in range(count)],
            "hemisphere": rng.choice(HEMISPHERES, count),
            "region": rng.choice(REGIONS, count),
            "content": [f"hash{i}" for i in range(count)],
            "volume": rng.uniform(50, 5000, count),
        }
    )
    for target in ("ER", "PR", "HER2"):
        table[target] = np.repeat(rng.integers(0, 2, patients), lesions).astype(float)
    crops = rng.normal(size=(count, 2, SIZE, SIZE, SIZE)).astype(np.float16)
    crops[:, 1] = crops[:, 1] > 0.5
    radiomics = rng.normal(size=(count, 107)) * 10 ** rng.uniform(-3, 9, 107)
    return table, radiomics, crops


def parts_of(table, test=4, validation=2):
    patients = pd.factorize(table["patient_id"])[0]
    return {
        "train": np.flatnonzero(patients >= test + validation),
        "validation": np.flatnonzero((patients >= test) & (patients < test + validation)),
        "test": np.flatnonzero(patients < test),
    }


def datamodule(table, radiomics, crops, parts=None, **changes):
    arguments = {"data": Data(batch_size=4), "augment": Augment(), **changes}
    return data_of(table, radiomics, crops, parts or parts_of(table), **arguments)


def ready(*arguments, **changes):
    module = datamodule(*arguments, **changes)
    module.setup()
    return module


def rows(loader):
    return [int(row) for batch in loader for row in batch["row"]]


def test_a_patient_of_100_lesions_is_drawn_as_often_as_one_with_a_single_lesion():
    sampler = LesionSampler(["many"] * 100 + ["one"], "patient", seed=0, length=4000)
    drawn = [row for row, _ in sampler]
    assert 0.46 < drawn.count(100) / len(drawn) < 0.54


def test_even_sampling_reads_every_lesion_once():
    assert sorted(row for row, _ in LesionSampler(["a"] * 7 + ["b"], "even", seed=0)) == list(range(8))


@pytest.mark.parametrize("sampling", ["patient", "even"])
@pytest.mark.parametrize("world", [2, 3, 5])
def test_ranks_share_out_the_draw_of_a_single_process(sampling, world):
    patients = list("aaabbcdefgh")
    alone = list(LesionSampler(patients, sampling, seed=3))
    ranks = [list(LesionSampler(patients, sampling, 3, rank, world)) for rank in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    together = [item for step in zip(*ranks, strict=True) for item in step]
    assert together[: len(alone)] == alone
    assert len(together) - len(alone) < world


def test_the_draw_changes_with_the_epoch_and_comes_back_with_it():
    sampler = LesionSampler(list("abcdefgh"), "even", seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


@pytest.mark.parametrize("world", [1, 2, 3, 20])
def test_shards_hold_every_row_once(world):
    shards = [list(ShardSampler(11, rank, world)) for rank in range(world)]
    assert sorted(row for shard in shards for row in shard) == list(range(11))
    assert [len(ShardSampler(11, rank, world)) for rank in range(world)] == [len(shard) for shard in shards]


def test_a_flip_mirrors_the_last_axis_and_moves_the_hemisphere():
    crop = torch.randn(2, SIZE, SIZE, SIZE)
    flip = LesionAugment(Augment(flip=1, affine=0, noise=0, gamma=0), spacing=1.0)
    sides = position_onehot(["left", "right", "midline", "unknown"], ["deep"] * 4)
    mirror, flipped = flip(crop, seed=1)
    assert flipped and torch.equal(mirror, crop.flip(-1))
    batch = {"position": torch.from_numpy(sides), "label": torch.zeros(4)}
    followed = mirrored(batch, torch.tensor([True] * 4), {"position": POSITION.swaps})
    assert followed["position"].numpy() == pytest.approx(sides[[1, 0, 2, 3]])
    assert followed["label"] is batch["label"] and batch["position"].numpy() == pytest.approx(sides)


def test_no_chance_of_a_change_is_identity_and_the_store_is_never_written_to():
    crop = torch.randn(2, SIZE, SIZE, SIZE)
    same, flipped = LesionAugment(STILL, 1.0)(crop, seed=0)
    assert torch.equal(same, crop) and not flipped
    before = crop.clone()
    LesionAugment(Augment(flip=1, affine=1, noise=1, gamma=1), 1.0)(crop, seed=0)
    assert torch.equal(crop, before)


def test_the_mask_moves_with_the_image_and_stays_binary():
    crop = torch.zeros(2, 24, 24, 24)
    crop[:, 6:14, 8:16, 9:15] = 1.0
    move = LesionAugment(Augment(flip=0.5, affine=1, noise=0, gamma=0, shift=4), 1.0)
    moved, _ = move(crop, seed=5)
    assert set(moved[1].unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(moved[1], crop[1])
    assert ((moved[0] > 0.5) == (moved[1] > 0.5)).float().mean() > 0.97


def test_a_shift_is_in_millimetres():
    crop = torch.zeros(1, 24, 24, 24)
    crop[:, 10:14, 10:14, 10:14] = 1.0
    grid = torch.stack(torch.meshgrid(*[torch.arange(24.0)] * 3, indexing="ij"))
    for spacing in (1.0, 2.0):
        move = LesionAugment(
            Augment(flip=0, affine=1, noise=0, gamma=0, degrees=0, scale=0, shift=4), spacing
        )
        shifts = []
        for seed in range(12):
            moved, _ = move(crop, seed)
            centre = (grid * moved).sum((1, 2, 3)) / moved.sum()
            shifts.append((centre - 11.5).abs().max().item() * spacing)
        assert 2.5 < max(shifts) <= 4.05


def test_augmentation_leaves_the_global_random_state_alone():
    crop = torch.randn(2, 8, 8, 8)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    LesionAugment(Augment(affine=1, noise=1, gamma=1), 1.0)(crop, seed=9)
    assert torch.equal(torch.rand(3), expected)


def test_batches_from_a_store_are_those_from_an_array(tmp_path):
    table, radiomics, crops = cohort()
    order = np.arange(len(crops))[::-1]
    np.save(tmp_path / "a.npy", crops[order])
    store = CropStore([(tmp_path / "a.npy", int(row)) for row in order], crops.shape[-1])
    expected = list(ready(table, radiomics, crops).train_dataloader())
    batches = list(ready(table, radiomics, store, data=Data(batch_size=4, workers=2)).train_dataloader())
    for a, b in zip(batches, expected, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
    with pytest.raises(ValueError, match="23 rows of crops"):
        datamodule(table, radiomics, CropStore(store.where[:-1], store.size))


def test_batches_are_the_same_for_0_and_2_workers():
    batches = []
    for workers in (0, 2):
        loader = ready(*cohort(), data=Data(batch_size=4, workers=workers)).train_dataloader()
        loader.batches.sampler.set_epoch(2)
        batches.append(list(loader))
    assert len(batches[0]) == len(batches[1]) == 3
    for a, b in zip(*batches, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_coordinates_are_known_or_zero_and_a_flip_leaves_them_alone():
    table = pd.DataFrame({"mni_x": [-40.0, np.nan], "mni_y": [20.0, np.nan], "mni_z": [10.0, np.nan]})
    assert position_coordinates(table) == pytest.approx(np.array([[0.4, 0.2, 0.1, 1], [0, 0, 0, 0]]))
    mirrored = table.assign(mni_x=-table["mni_x"])
    assert np.array_equal(position_coordinates(table), position_coordinates(mirrored))


def test_coordinates_stand_behind_the_one_hots_where_they_are_asked_for():
    table, radiomics, crops = cohort()
    table = table.assign(mni_x=10.0, mni_y=-50.0, mni_z=20.0)
    module = datamodule(table, radiomics, crops, coordinates=True)
    module.setup()
    batch = next(iter(module.predict_dataloader()[1]))
    assert module.fitted()["position"] == batch["position"].shape[1] == 16
    assert batch["position"][0, 12:].tolist() == pytest.approx([0.1, -0.5, 0.2, 1.0])


def test_position_is_hemisphere_then_region():
    onehot = position_onehot(["right", "unknown"], ["frontal", "unknown"])
    assert onehot.shape == (2, 12) and onehot.dtype == np.float32
    assert onehot[0, RIGHT] == onehot[0, 4] == onehot[1, 3] == onehot[1, 11] == 1 and onehot.sum() == 4
    with pytest.raises(ValueError, match="'lefft'"):
        position_onehot(["left", "lefft"], ["deep", "deep"])


def test_a_shared_patient_is_a_leak_unless_meant():
    table, radiomics, crops = cohort()
    parts = parts_of(table)
    parts["test"] = np.append(parts["test"], parts["train"][0])
    parts["train"] = parts["train"][1:]
    with pytest.raises(LeakError, match="train and test share patient P6"):
        ready(table, radiomics, crops, parts)
    ready(table, radiomics, crops, parts, leaky=True)


@pytest.mark.parametrize("leaky", [False, True])
def test_shared_content_is_a_leak_always(leaky):
    table, radiomics, crops = cohort()
    table.loc[table.index[-1], "content"] = "hash9"
    with pytest.raises(LeakError, match="L23, L9"):
        ready(table, radiomics, crops, leaky=leaky)
    with pytest.raises(LeakError):
        datamodule(table, radiomics, crops, leaky=leaky).fitted()


def test_fitted_values_come_from_training_rows_alone():
    table, radiomics, crops = cohort()
    expected = datamodule(table, radiomics, crops).fitted()
    others = np.concatenate([parts_of(table)["test"], parts_of(table)["validation"]])
    radiomics[others] = 1e6
    table.loc[others, ["ER", "PR", "HER2"]] = 1.0
    assert datamodule(table, radiomics, crops).fitted() == expected


def test_fitted_values_weigh_patients_alike():
    table, radiomics, _ = cohort(patients=5, lesions=1)
    table["patient_id"] = ["A", "A", "A", "B", "C"]
    table["ER"] = [1.0, 1.0, 1.0, 0.0, 0.0]
    table["PR"] = [np.nan, np.nan, np.nan, 1.0, 1.0]
    radiomics[:, 0] = np.expm1([6.0, 6.0, 6.0, 1.0, 2.0])
    radiomics[:, 1] = 5.0
    radiomics[:, 2] = np.nan
    parts = {"train": np.arange(5)}
    fitted = datamodule(table, radiomics, None, parts, modalities=["radiomics"]).fitted()
    assert fitted["targets"] == ["ER", "PR", "HER2"] and fitted["modalities"] == ["radiomics"]
    assert fitted["pos_weight"][:2] == pytest.approx([2.0, 1.0])
    assert fitted["radiomics"]["mean"][0] == pytest.approx(3.0)
    assert fitted["radiomics"]["median"][0] == pytest.approx(2.0)
    assert fitted["radiomics"]["scale"][1:3] == [0.0, 0.0] and fitted["radiomics"]["median"][2] == 0.0
    unweighted = datamodule(table, radiomics, None, parts, modalities=["radiomics"]).fitted(
        class_weights=False
    )
    assert unweighted["pos_weight"] == [1.0, 1.0, 1.0]


def test_a_batch_holds_what_is_switched_on():
    table, radiomics, crops = cohort()
    table.loc[parts_of(table)["test"][0], "PR"] = np.nan
    module = ready(table, radiomics, crops, mask_channel=True)
    batch = next(iter(module.predict_dataloader()[1]))
    shapes = {name: tuple(value.shape) for name, value in batch.items()}
    assert shapes == {
        "row": (4,),
        "image": (4, 2, SIZE, SIZE, SIZE),
        "patient": (4,),
        "radiomics": (4, 107),
        "position": (4, 12),
        "label": (4, 3),
        "known": (4, 3),
        "weight": (4,),
        "volume": (4,),
        "present": (4, 3),
    }
    assert batch["known"][0].tolist() == [1, 0, 1] and batch["label"][0, 1] == 0
    assert batch["weight"].tolist() == [0.5] * 4
    row = int(batch["row"][2])
    assert np.array_equal(batch["image"][2].numpy(), crops[row].astype(np.float32))
    thin = ready(table, None, None, modalities=["position"], targets=["PR"])
    assert set(next(iter(thin.train_dataloader()))) == {
        "row",
        "patient",
        "position",
        "label",
        "known",
        "weight",
        "volume",
        "present",
    }
    with pytest.raises(ValueError, match="image"):
        datamodule(table, radiomics, None)


def test_ranks_train_on_the_batches_of_a_single_process_and_predict_each_row_once():
    lesions = cohort(patients=13)
    alone = ready(*lesions)
    ranks = []
    for rank in range(2):
        module = ready(*lesions)
        module.trainer = place_of(rank, 2)
        ranks.append(module)
    expected = [sorted(batch["row"].tolist()) for batch in alone.train_dataloader()]
    drawn = [[batch["row"].tolist() for batch in rank.train_dataloader()] for rank in ranks]
    assert [sorted(row for rank in step for row in rank) for step in zip(*drawn, strict=True)] == expected
    assert (
        rows(ranks[1].val_dataloader()) == rows(alone.val_dataloader()) == alone.parts["validation"].tolist()
    )
    predicted = [row for rank in ranks for row in rows(rank.predict_dataloader()[1])]
    assert sorted(predicted) == alone.parts["test"].tolist()


def test_a_training_batch_is_whole_unless_it_is_the_only_one():
    table, radiomics, crops = cohort(patients=13)
    ready_data = ready(table, radiomics, crops, data=Data(batch_size=6))
    assert [len(batch["row"]) for batch in ready_data.train_dataloader()] == [6, 6]
    only = ready(table, radiomics, crops, data=Data(batch_size=64))
    assert [len(batch["row"]) for batch in only.train_dataloader()] == [14]
