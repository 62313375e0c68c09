"""Pictures of where a network looks, of the surest lesions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bcbm.config.schema import Config
from bcbm.runs.finished import EXPLANATIONS
from bcbm.runs.folder import RunFolder


def examples_of(table: pd.DataFrame, config: Config) -> pd.DataFrame:
    """The lesions to look into: of each target and label the surest right and the surest wrong prediction."""
    table = table[(table["repeat"] == 0) & table["label"].notna()].sort_values(["probability", "lesion_id"])
    groups = [
        rows.iloc[sorted({0, len(rows) - 1})]
        for target in config.task.targets
        for _, rows in table[table["target"] == target].groupby("label")
    ]
    return pd.concat(groups, ignore_index=True).assign(number=lambda rows: range(1, len(rows) + 1))


def draw(
    folder: RunFolder, networks: Sequence[Any], datamodule: Any, examples: pd.DataFrame, targets: list[str]
) -> list[dict[str, Any]]:
    """A picture a lesion: the crop's middle slice, Grad-CAM and occlusion over it, the mean over seeds."""
    from torch.utils.data import default_collate

    from bcbm.explanation.saliency import grad_cam, occlusion
    from bcbm.report.figures.saliency import saliency_figure

    dataset = datamodule.datasets["test"]
    places = {datamodule.lesions["lesion_id"].iloc[row]: place for place, row in enumerate(dataset.rows)}
    drawn = []
    for row in examples.itertuples():
        lesion = default_collate([dataset[places[row.lesion_id]]])
        head = targets.index(str(row.target))
        mask = np.asarray(datamodule.crops[int(dataset.rows[places[row.lesion_id]])][-1], np.float32)
        file = f"{row.target}-{row.number}.png"
        path = folder.path / EXPLANATIONS / file
        maps = {
            name: np.mean([method(network, lesion, head).numpy() for network in networks], axis=0)
            for name, method in (("Grad-CAM", grad_cam), ("occlusion", occlusion))
        }
        saliency_figure(lesion["image"][0, 0].numpy(), mask, maps, path)
        drawn.append(
            {"file": file, "target": row.target, "lesion_id": row.lesion_id}
            | {"method": "Grad-CAM and occlusion", "probability": row.probability, "label": row.label}
        )
    return drawn
