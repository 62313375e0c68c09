"""Words of the command line and files of experiments."""

from pathlib import Path

from damage.kind import kind

ALONE = {"given": "", "command": "fit"}
CARD = "network: resnet10\nsource: here\nlicence: MIT\ntrained_on: nothing\ntest_patients: no\n"


@kind("a word without its value", "'seed'", "key=value", words=("seed",), **ALONE)
@kind("a key misspelt", "'trainer.max_epoch'", "trainer.max_epochs", words=("trainer.max_epoch=3",), **ALONE)
@kind("a key of nothing", "'colour'", words=("colour=red",), **ALONE)
@kind("a word for a number", "'seed'", "many", words=("seed=many",), **ALONE)
@kind("a number out of its bounds", "split.folds=1", "at least 2", words=("split.folds=1",), **ALONE)
@kind("a word in place of a list", "task.targets=[ER]", words=("task.targets=ER",), **ALONE)
@kind("a list in a list", "task.targets", "['ER']", words=("task.targets=[[ER]]",), **ALONE)
@kind("a value for a group of keys", "split.unit=", words=("split=3",), **ALONE)
@kind(
    "a key by its old and its new name",
    "task.receptors",
    "write task.targets",
    words=("task.receptors=[ER]", "task.targets=[PR]"),
    **ALONE,
)
@kind("an unknown target", "task.targets", "'HER3'", "HER2", words=("task.targets=[HER3]",), **ALONE)
@kind("an unknown modality", "task.modalities", "'imge'", "image", words=("task.modalities=[imge]",), **ALONE)
@kind("a fold that is not there", "fold=99", "to 4", words=("fold=99",), **ALONE)
@kind("an experiment that is not there", "experiment=dmo", "demo", words=("experiment=dmo",), **ALONE)
@kind("a file of a group that is not there", "model=smal", "small", words=("model=smal",), **ALONE)
@kind(
    "an image for a model of tables",
    "model.kind=logistic_l2",
    "image",
    words=("model.kind=logistic_l2",),
    **ALONE,
)
@kind(
    "a batch that devices cannot share",
    "data.batch_size",
    "2",
    words=("trainer.devices=2", "data.batch_size=7"),
    **ALONE,
)
@kind(
    "two settings that give the folds",
    "split.file",
    "split.holdout",
    words=("split.file=a", "split.holdout=age"),
    **ALONE,
)
@kind(
    "shells that do not lie around each other",
    "features.shells=[6.0, 3.0]",
    "[3, 6]",
    words=("features.shells=[6,3]",),
    **ALONE,
)
@kind(
    "shells as channels without what they lie around",
    "model.shell_channels",
    "model.mask_channel=true",
    words=("model.shell_channels=true", "features.shells=[3]"),
    **ALONE,
)
@kind("YAML that is broken on the command line", "task.targets=[ER", words=("task.targets=[ER",), **ALONE)
def _(place: Path) -> None:
    """Nothing but the words."""


@kind("weights of a network without their card", "net.pth", "net.yaml", "licence", **ALONE)
def _(place: Path) -> list[str]:
    return _weights(place, b"weights", "")


@kind("a card that names a network that is not known", "net.yaml", "'resnet11'", "resnet10", **ALONE)
def _(place: Path) -> list[str]:
    return _weights(place, b"weights", CARD.replace("resnet10", "resnet11"))


@kind("weights of a network that hold code", "net.pth", "tensors alone", "code", **ALONE)
def _(place: Path) -> list[str]:
    return _weights(place, b"cos\nmkdir\n(S'ran'\ntR.", CARD)


@kind("an experiment without any key", "mine.yaml", "empty", **ALONE)
def _(place: Path) -> list[str]:
    return _experiment("# cut off\n")


@kind("an experiment that leaves a key open", "mine.yaml", "set seed=", **ALONE)
def _(place: Path) -> list[str]:
    return _experiment("seed: ???")


@kind("a key of a file with a dot", "mine.yaml", "'split.folds'", "{split: {folds: VALUE}}", **ALONE)
def _(place: Path) -> list[str]:
    return _experiment("split.folds: 3")


@kind("an experiment whose YAML is broken", "mine.yaml", "not readable as YAML", **ALONE)
def _(place: Path) -> list[str]:
    return _experiment("split: [1, 2")


@kind("an experiment that is a list", "mine.yaml", "keys and values", **ALONE)
def _(place: Path) -> list[str]:
    return _experiment("- split")


@kind("an experiment that takes values from the environment", "mine.yaml", "oc.env", **ALONE)
def _(place: Path) -> list[str]:
    return _experiment("experiments: ${oc.env:HOME}")


@kind("an experiment that extends itself", "mine.yaml", "extends itself", **ALONE)
def _(place: Path) -> list[str]:
    return _experiment("extends: mine", "experiment=mine")


@kind("an experiment with a key by its old and its new name", "mine.yaml", "loss.receptor_weights", **ALONE)
def _(folder: Path) -> list[str]:
    return _experiment("loss: {receptor_weights: {ER: 2.0}, target_weights: {PR: 2.0}}")


@kind("an experiment with an unknown key", "mine.yaml", "'split.fold'", "split.folds", **ALONE)
def _(place: Path) -> list[str]:
    return _experiment("split: {fold: 3}")


def _experiment(text: str, word: str = "experiment=mine.yaml") -> list[str]:
    """An experiment of one's own, in the folder where the command is called."""
    Path("mine.yaml").write_text(text)
    return [word, "experiments=."]


def _weights(place: Path, content: bytes, card: str) -> list[str]:
    """A file of weights, with a card unless that is empty, in the folder where the command is called."""
    (place / "net.pth").write_bytes(content)
    if card:
        (place / "net.yaml").write_text(card)
    return ["features.encoder=net.pth", "task.modalities=[deep_features]", "run.root=runs"]
