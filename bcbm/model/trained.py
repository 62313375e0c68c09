"""A trained network: read from its checkpoint, and what it predicts as a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from bcbm.cohort.splits import Split
from bcbm.errors import InputError, Problem, readable
from bcbm.model.module import LesionModule


def trained_module(path: Path, number: int, split: Split) -> LesionModule:
    """The network of a fold; its checkpoint says that it has not seen the fold's test patients.

    Nothing in the file is run, and no other file is read, whatever it names.

    Raises:
        InputError: it is missing or damaged, holds more than tensors and plain values, or is of another fold.
    """
    remedy = "remove its fold and run the same fit command again"
    with readable(path, remedy):
        if not path.is_file():
            raise FileNotFoundError("there is no such file")
        module = LesionModule.load_from_checkpoint(path, weights_only=True, map_location="cpu", loaded="")
        fold, split_hash = module.provenance["fold"], module.provenance["split_hash"]
    if (fold, split_hash) != (number, split.hash):
        found = f"was trained in fold {fold} of split {split_hash}, not in fold {number} of {split.hash}"
        raise InputError(Problem(str(path), found, remedy))
    return module


def lay_out(module: LesionModule) -> None:
    """Store the weights of the image encoder as its settings say, on which the last digits depend."""
    if module.network.image is not None and module.settings.channels_last:
        module.network.image.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def predicted_rows(batches: Sequence[Mapping[str, Tensor]], targets: Sequence[str]) -> pd.DataFrame:
    """Row of the lesion table, probability and attention score a target, of the answers of `predict_step`."""
    if not batches:
        return pd.DataFrame()
    columns = {"row": torch.cat([batch["row"] for batch in batches]).numpy()}
    logit = torch.cat([batch["logit"] for batch in batches]).double()
    score = torch.cat([batch["score"] for batch in batches]).double()
    for column, target in enumerate(targets):
        columns[target] = logit[:, column].sigmoid().numpy()
        columns[f"score_{target}"] = score[:, column].numpy()
    return pd.DataFrame(columns)
