"""Explanations point at what was planted, and at nothing else."""

import base64
import json
import re
import shutil
from dataclasses import replace
from html import unescape
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from batches import data_of, lesions_of, module_of, parts_of
from rich.console import Console
from torch import nn

from bcbm.cohort.splits import Split
from bcbm.config.compose import compose, load
from bcbm.config.schema import Config
from bcbm.config.schema.training import Data, Model, Trainer
from bcbm.crossvalidation.cross_validate import run
from bcbm.crossvalidation.results import page
from bcbm.crossvalidation.trained import fold_jobs, require_checkpoints, trained_module, trained_modules
from bcbm.errors import InputError, Note
from bcbm.explanation.ablation import EncodedLesions
from bcbm.explanation.explain import explain
from bcbm.explanation.saliency import grad_cam, occlusion
from bcbm.features.radiomics import FEATURES
from bcbm.modalities.radiomics import RADIOMICS
from bcbm.model.module import LesionModule
from bcbm.preparation.fold_job import FoldJob
from bcbm.runs.folder import RunFolder
from bcbm.runs.tables import sum_of, write_with_sum

SPOT = (3, 12, 11)  # of a 16-cubed crop


class Bright(nn.Module):
    """A network that looks for one bright place: a convolution and its largest answer."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv3d(1, 2, 3, padding=1, bias=False)
        nn.init.constant_(self.convolution.weight, 0.1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, batch):
        maps = self.dropout(self.convolution(batch["image"]))
        return maps.amax(dim=(2, 3, 4)) * torch.tensor([1.0, -1.0]) + 0 * batch["position"].sum()


def lesion():
    image = torch.zeros(1, 1, 16, 16, 16)
    z, y, x = SPOT
    image[0, 0, z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] = 3.0
    return {"image": image, "position": torch.ones(1, 12)}


def peak(values):
    return np.array(np.unravel_index(int(values.argmax()), values.shape))


def test_both_maps_point_at_the_only_place_that_counts():
    network = Bright().eval()
    assert np.abs(peak(grad_cam(network, lesion(), 0)) - SPOT).max() <= 1
    assert np.abs(peak(occlusion(network, lesion(), 0)) - SPOT).max() <= 2


def test_hiding_what_speaks_against_a_target_is_negative():
    network = Bright().eval()
    hidden = occlusion(network, lesion(), 1)
    assert hidden.min() < -0.05 and float(hidden.max()) < 1e-4
    assert float(grad_cam(network, lesion(), 1).max()) == 0.0


def test_hiding_an_empty_place_changes_nothing_even_after_grad_cam():
    network = Bright()
    grad_cam(network, lesion(), 0)
    hidden = occlusion(network, lesion(), 0)
    assert not network.training and abs(float(hidden[15, 0, 0])) < 1e-5


def table(patients=40):
    rng = np.random.default_rng(0)
    count = rng.integers(1, 4, patients)
    frame = pd.DataFrame({"patient_id": np.repeat([f"P{i:02}" for i in range(patients)], count)})
    frame["lesion_id"] = frame["content"] = [f"L{i}" for i in range(len(frame))]
    frame["hemisphere"], frame["region"] = "left", "frontal"
    frame["volume"] = 1.0
    frame["ER"] = np.repeat(rng.integers(0, 2, patients).astype(float), count)
    return frame


def encoded_lesions(column=7):
    """Test lesions of a network whose logit is one radiomics column, and that column tells the label."""
    frame = table()
    radiomics = np.random.default_rng(1).normal(size=(len(frame), len(FEATURES)))
    radiomics[:, column] = frame["ER"] * 2 - 1
    rows = np.arange(len(frame))
    datamodule = data_of(
        frame,
        radiomics,
        None,
        {"train": rows[:0], "validation": rows[:0], "test": rows},
        targets=["ER"],
        modalities=["radiomics", "position"],
        data=Data(batch_size=7),
    )
    datamodule.setup()
    ones, zeros = [1.0] * len(FEATURES), [0.0] * len(FEATURES)
    fitted = {
        "targets": ["ER"],
        "pos_weight": [1.0],
        "positives": [1],
        "negatives": [1],
        "position": 12,
        "radiomics": {"median": zeros, "mean": zeros, "scale": ones},
    }
    module = LesionModule(
        task={"targets": ["ER"], "modalities": ["radiomics", "position"]},
        model=vars(Model()),
        loss={"target_weights": {"ER": 1.0}},
        trainer=vars(Trainer()),
        fitted=fitted,
        provenance={},
    )
    with torch.no_grad():
        for parameter in module.network.encoders["radiomics"].parameters():
            parameter.zero_()
        first, last = (
            part for part in module.network.encoders["radiomics"].mlp if isinstance(part, nn.Linear)
        )
        first.weight[0, column], last.weight[0, 0] = 1.0, 1.0
        heads = module.network.heads["ER"]
        trunk = next(part for part in module.network.trunk if isinstance(part, nn.Linear))
        for part in (heads, trunk):
            part.weight.zero_()
            part.bias.zero_()
        heads.weight[0, 0] = trunk.weight[0, 0] = 1.0
    return EncodedLesions(module, datamodule)


def auroc_of(patients):
    from bcbm.statistics.metrics import auroc

    return auroc(patients["label"], patients["probability"])


def test_only_the_column_that_is_read_costs_anything_when_shuffled():
    lesions, blocks = encoded_lesions(), RADIOMICS.blocks(Config())
    assert auroc_of(lesions.patients()) == 1.0
    drops = {
        name: 1 - auroc_of(patients) for name, _, patients in lesions.shuffled("radiomics", blocks, 1, seed=0)
    }
    name = FEATURES[7].removeprefix("original_")
    read = {name, f"all {name.split('_')[0]}"}
    assert {block for block, drop in drops.items() if drop > 0.2} == read
    assert all(abs(drop) < 1e-12 for block, drop in drops.items() if block not in read)


def test_a_network_that_is_explained_stays_as_it_was():
    table, radiomics, crops = lesions_of(12)
    datamodule = data_of(table, radiomics, crops, parts_of(12))
    datamodule.setup()
    module = module_of(datamodule)
    batch = next(iter(datamodule.predict_dataloader()[1]))
    before = module.eval()(batch).detach()
    weights = list(module.state_dict())
    module.train()
    EncodedLesions(module, datamodule).patients()
    assert module.training and list(module.state_dict()) == weights
    assert torch.equal(module.eval()(batch), before)


def test_without_a_modality_its_part_of_the_auroc_is_gone():
    lesions = encoded_lesions()
    assert auroc_of(lesions.without("radiomics")) == 0.5
    assert auroc_of(lesions.without("position")) == 1.0


def test_every_feature_stands_alone_and_in_its_class():
    blocks = RADIOMICS.blocks(Config())
    assert len(blocks) == 107 + 7 and len(blocks["all shape"]) == 14


@pytest.fixture(scope="module")
def explained(cohort, tmp_path_factory):
    """A small run on images, fitted and explained as the commands do it."""
    home = tmp_path_factory.mktemp("explained")
    words = [f"cohort.root={cohort}", f"prepared.root={home / 'prepared'}", f"run.root={home / 'runs'}"]
    words += ["task.modalities=[image]", "task.targets=[ER]", "split.folds=2", "trainer.max_epochs=1"]
    words += ["data.workers=0", "prepared.jobs=1", "tracking=csv", "bootstrap=50"]
    folder = RunFolder(run(compose(words), Console(quiet=True)))
    explain(folder, Console(quiet=True))
    return folder


def text_of(report):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", report.read_text(encoding="utf-8"))).split())


def test_every_picture_that_explain_draws_stands_in_the_report(explained):
    saliency = json.loads((explained.path / "explanations.json").read_text())["saliency"]
    drawn = sorted((explained.path / "explanations").glob("*.png"))
    assert len(saliency) == len(drawn) >= 2
    html = (explained.path / "report.html").read_text(encoding="utf-8")
    assert all(base64.b64encode(path.read_bytes()).decode() in html for path in drawn)
    text = text_of(explained.path / "report.html")
    assert text.count("Grad-CAM and occlusion, probability") == len(saliency)
    assert "Not in the run folder" not in text and not any(
        example["lesion_id"] in html for example in saliency
    )


def test_a_picture_that_is_gone_is_said_to_be(explained):
    path = min((explained.path / "explanations").glob("*.png"))
    content = path.read_bytes()
    path.unlink()
    text = text_of(page(explained))
    assert f"Not in the run folder, and so not here: {path.name}." in text
    assert "python -m bcbm.explain FOLDER" in text
    path.write_bytes(content)
    assert "Not in the run folder" not in text_of(page(explained))


def test_a_run_that_was_fitted_with_other_versions_is_explained_with_a_note(explained, tmp_path):
    folder = RunFolder(shutil.copytree(explained.path, tmp_path / "run"))
    place = folder.path / "environment.json"
    environment = json.loads(place.read_text())
    own = environment["versions"]["torch"]
    environment["versions"]["torch"] = "2.0.1"
    place.write_text(json.dumps(environment))
    with pytest.warns(Note, match=rf"fitted with torch 2\.0\.1 \(here {re.escape(own)}\):"):
        explain(folder, Console(quiet=True))


def test_networks_in_each_others_fold_are_not_explained(explained, tmp_path):
    """Each has been trained on the test patients of the other's fold."""
    folder = RunFolder(shutil.copytree(explained.path, tmp_path / "run"))
    paths = [folder.fold(number) / "checkpoints" / "best.ckpt" for number in (0, 1)]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, reversed(contents), strict=True):
        write_with_sum(path, content)
    with pytest.raises(InputError) as error:
        explain(folder, Console(quiet=True))
    assert str(paths[0]) in str(error.value) and "fold 1" in str(error.value)


@pytest.fixture
def job(explained, tmp_path):
    """The training of the first fold in a copy of the run."""
    folder = RunFolder(shutil.copytree(explained.path, tmp_path / "run"))
    split = Split.from_json((folder.path / "split.json").read_text())
    return FoldJob(load(folder.path / "config.yaml"), None, split, 0, folder)


def checkpoint(job):
    return job.home / "checkpoints" / "best.ckpt"


def rewritten(path, **provenance):
    """Have a checkpoint say something else of where it comes from, None: nothing, with a sum of its own."""
    content = torch.load(path, weights_only=True)
    origin = content["hyper_parameters"]["provenance"]
    content["hyper_parameters"]["provenance"] = {
        name: value for name, value in (origin | provenance).items() if value is not None
    }
    packed = BytesIO()
    torch.save(content, packed)
    write_with_sum(path, packed.getvalue())


@pytest.mark.parametrize("name", ["seed", "identity", "run"])
def test_a_network_of_another_seed_or_run_of_the_same_split_is_named(job, name):
    assert trained_module(job).provenance["identity"] == job.folder.identity != ""
    rewritten(checkpoint(job), **{name: 7})
    with pytest.raises(InputError) as error:
        trained_module(job)
    assert str(checkpoint(job)) in str(error.value) and f"{name} 7" in str(error.value)


def test_flipped_bits_in_weights_are_named(job):
    content = bytearray(checkpoint(job).read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint(job).write_bytes(content)
    with pytest.raises(InputError, match="SHA-256") as error:
        trained_module(job)
    assert str(checkpoint(job)) in str(error.value)


def test_a_checkpoint_without_its_sum_is_named_and_one_of_an_earlier_version_read_with_a_note(job):
    sum_of(checkpoint(job)).unlink()
    with pytest.raises(InputError) as error:
        require_checkpoints([job])
    assert f"{checkpoint(job)}: has no best.sha256" in str(error.value)
    rewritten(checkpoint(job), identity=None)
    sum_of(checkpoint(job)).unlink()
    with pytest.warns(Note, match="without sums"):
        require_checkpoints([job])


def test_every_bad_checkpoint_is_named_before_any_work(job):
    jobs = [job, replace(job, number=1)]
    for each in jobs:
        checkpoint(each).unlink()
    with pytest.raises(InputError) as error:
        require_checkpoints(jobs)
    assert [problem.where for problem in error.value.problems] == [str(checkpoint(each)) for each in jobs]


def test_each_network_is_read_once_with_the_choice_of_its_fold(job, monkeypatch):
    folder = job.folder
    folder.write("fold=1/tuning.json", json.dumps({"chosen": {"model.trunk": 7}}))
    jobs = fold_jobs(job.config, None, job.split, folder)
    assert [each.config.model.trunk for each in jobs[:2]] == [job.config.model.trunk, 7]
    counted = []
    whole = LesionModule.load_from_checkpoint
    monkeypatch.setattr(
        LesionModule,
        "load_from_checkpoint",
        lambda *args, **kwargs: counted.append(1) or whole(*args, **kwargs),
    )
    modules = list(trained_modules(jobs[:2]))
    assert len(counted) == len(modules) == 2
    checkpoint(jobs[1]).unlink()
    with pytest.raises(InputError, match="fold=1"):
        list(trained_modules(jobs[:2]))


def test_a_table_that_was_changed_is_not_explained(explained, tmp_path):
    folder = RunFolder(shutil.copytree(explained.path, tmp_path / "run"))
    table = folder.predictions(0)
    folder.write("fold=0/predictions.parquet", table.assign(label=1 - table["label"]))
    with pytest.raises(InputError, match="label"):
        explain(folder, Console(quiet=True))


class Command:
    """What a pickle may hold: something to be called while it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def changed(content, **hparams):
    """A checkpoint with other settings of its network."""
    settings = content["hyper_parameters"]
    return {**content, "hyper_parameters": {**settings, "model": {**settings["model"], **hparams}}}


DAMAGES = {
    "a list": lambda content, mark: [content],
    "no settings": lambda content, mark: {"state_dict": content["state_dict"]},
    "no weights": lambda content, mark: {**content, "state_dict": {}},
    "another network": lambda content, mark: changed(content, trunk=7),
    "an unknown setting": lambda content, mark: changed(content, colour="red"),
    "a word for a number": lambda content, mark: changed(content, trunk="wide"),
    "no provenance": lambda content, mark: {
        **content,
        "hyper_parameters": {**content["hyper_parameters"], "provenance": {}},
    },
    "a command": lambda content, mark: {**content, "epoch": Command(mark)},
    "an encoder of elsewhere": lambda content, mark: changed(content, encoder="../../etc/passwd"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_hostile_checkpoint_is_named_and_nothing_in_it_is_run(job, tmp_path, damage):
    path, mark = checkpoint(job), tmp_path / "mark"
    torch.save(DAMAGES[damage](torch.load(path, weights_only=True), mark), path)
    sum_of(path).unlink()
    with pytest.raises(InputError) as caught:
        trained_module(job)
    assert len(str(caught.value).splitlines()) == 1 and str(path) in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("kept", [0, 100, 0.5, -1, None])
def test_a_checkpoint_that_is_cut_or_gone_is_named(job, kept):
    path = checkpoint(job)
    content = path.read_bytes()
    path.unlink()
    if kept is not None:
        path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(InputError) as caught:
        trained_module(job)
    assert len(str(caught.value).splitlines()) == 1 and str(path) in str(caught.value)


def test_a_checkpoint_reads_no_other_file(job, tmp_path):
    """Weights to start from are read once, before training; a stranger's file may name any path there."""
    content = torch.load(checkpoint(job), weights_only=True)
    content = changed(content, weights=str(tmp_path / "elsewhere.pth"))
    content["hyper_parameters"]["loaded"] = None
    packed = BytesIO()
    torch.save(content, packed)
    write_with_sum(checkpoint(job), packed.getvalue())
    assert trained_module(job).loaded == ""
