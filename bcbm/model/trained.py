"""A trained network: how it lies in memory, and what it predicts as a table."""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from bcbm.model.module import LesionModule


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
