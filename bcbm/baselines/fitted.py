"""A fitted traditional model as numbers: what it takes to predict, and no code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from scipy.special import expit
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from bcbm.baselines.conversion import from_primary
from bcbm.cohort.near import signed_log
from bcbm.cohort.spelling import folded


@dataclass(frozen=True)
class FittedModel:
    """One model of one target; a run's own predictions come from here, and so do those of an exported model.

    What it says of a lesion does not depend on the lesions beside it, not in the last digit either.

    Attributes:
        content: plain numbers and text, for JSON. `form`: share, primary, linear, kernel or trees; `columns`:
            a dictionary each of those it reads: `name`, the `kind` that is 1 of a column of text, the
            `median` that stands for a missing number, `mean` and `scale` behind the signed log; and what the
            form needs.
        arrays: `support` (S, F) and `dual` (S,) of a kernel; of trees the nodes of all, one after the other:
            `first` (T,), `feature`, `left`, `right` (-1 in a leaf), `threshold`, `missing_left`, `value`.
    """

    content: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def predict(self, columns: pd.DataFrame) -> np.ndarray:
        """Probabilities (N,) of N lesions.

        Args:
            columns: as they were fitted on, by name; others are not looked at.
        """
        form = self.content["form"]
        if form == "share":
            return np.full(len(columns), self.content["share"])
        if form == "primary":
            return from_primary(columns[self.content["column"]], self.content)
        values = self._standard(columns)
        if form == "linear":
            score = (values * self.content["coefficients"]).sum(axis=1) + self.content["intercept"]
        elif form == "kernel":
            near = np.exp(-self.content["gamma"] * cdist(values, self.arrays["support"], "sqeuclidean"))
            slope, intercept = self.content["sigmoid"]
            score = slope * ((near * self.arrays["dual"]).sum(axis=1) + self.content["intercept"]) + intercept
        else:
            leaves = self._leaves(values)
            if not self.content["step"]:  # a forest, whose leaves are probabilities
                return np.asarray(leaves.mean(axis=1), np.float64)
            score = self.content["start"] + self.content["step"] * leaves.sum(axis=1)
        return np.asarray(expit(score), np.float64)

    def _standard(self, columns: pd.DataFrame) -> np.ndarray:
        """What the model reads of lesions, (N, F)."""
        values = np.empty((len(columns), len(self.content["columns"])))
        for place, own in enumerate(self.content["columns"]):
            cells = columns[own["name"]]
            if own["kind"] is not None:
                values[:, place] = cells.astype(str).map(folded) == folded(own["kind"])
            else:
                logs = signed_log(cells.to_numpy(np.float64))
                missing = np.isnan(logs) & (own["median"] is not None)
                values[:, place] = np.where(missing, own["median"] or 0.0, logs)
            values[:, place] = (values[:, place] - own["mean"]) / own["scale"]
        return values

    def _leaves(self, values: np.ndarray) -> np.ndarray:
        """The value of the leaf that each lesion reaches in each tree, (N, T)."""
        tree, rows = self.arrays, np.arange(len(values))[:, None]
        if self.content["single"]:
            values = values.astype(np.float32)
        node = np.repeat(tree["first"][None], len(values), axis=0)
        for _ in range(len(tree["left"])):  # no path is longer, whatever a file says
            if not (inner := tree["left"][node] >= 0).any():
                break
            cells = values[rows, tree["feature"][node]]
            below_threshold = cells <= tree["threshold"][node]
            goes_left = np.where(np.isnan(cells), tree["missing_left"][node], below_threshold)
            below = np.where(goes_left, tree["left"][node], tree["right"][node])
            node = np.where(inner, below, node)
        leaves: np.ndarray = tree["value"][node]
        return leaves


def fitted_model(
    fitted: Pipeline, names: Mapping[str, list[str]], sigmoid: tuple[float, float] = (1.0, 0.0)
) -> FittedModel:
    """What a fitted pipeline of `bcbm.baselines.models` has learnt.

    Args:
        fitted: encode, scale, select and model.
        names: the columns that are read as `native`, `numbers` and `kinds`.
        sigmoid: slope and intercept from the decisions of an SVM to logits.
    """
    model = fitted["model"]
    if isinstance(model, DummyClassifier):
        return FittedModel({"form": "share", "share": float(model.class_prior_[1])}, {})
    content: dict[str, Any] = {"columns": _columns(fitted, names)}
    if isinstance(model, LogisticRegression):
        content |= {"form": "linear", "coefficients": model.coef_[0].tolist()}
        return FittedModel({**content, "intercept": float(model.intercept_[0])}, {})
    if isinstance(model, SVC):
        content |= {"form": "kernel", "gamma": float(model._gamma), "sigmoid": list(sigmoid)}
        arrays = {"support": model.support_vectors_, "dual": model.dual_coef_[0]}
        return FittedModel({**content, "intercept": float(model.intercept_[0])}, arrays)
    content |= {"form": "trees", "single": True, "start": 0.0, "step": 0.0}
    if isinstance(model, HistGradientBoostingClassifier):
        start = float(model._baseline_prediction.ravel()[0])
        trees = [_histogram_tree(predictor.nodes) for (predictor,) in model._predictors]
        return FittedModel({**content, "single": False, "start": start, "step": 1.0}, _joined(trees))
    if isinstance(model, RandomForestClassifier):
        return FittedModel(content, _joined([_tree(each.tree_, 1) for each in model.estimators_]))
    positive = float(model.init_.class_prior_[1])
    start = float(np.log(positive / (1 - positive)))
    trees = [_tree(each.tree_, 0) for each in model.estimators_[:, 0]]
    return FittedModel({**content, "start": start, "step": float(model.learning_rate)}, _joined(trees))


def _columns(fitted: Pipeline, names: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """How each column that was selected is read; in the order of the encoder's own columns."""
    encode, scale = fitted["encode"], fitted["scale"]
    columns: list[dict[str, Any]] = [{"name": name, "kind": None, "median": None} for name in names["native"]]
    if names["numbers"]:
        medians = np.nan_to_num(encode.named_transformers_["numbers"][-1].statistics_)
        columns += [
            {"name": name, "kind": None, "median": float(median)}
            for name, median in zip(names["numbers"], medians, strict=True)
        ]
    if names["kinds"]:
        categories = encode.named_transformers_["kinds"].categories_
        columns += [
            {"name": name, "kind": str(kind), "median": None}
            for name, kinds in zip(names["kinds"], categories, strict=True)
            for kind in kinds
        ]
    spread = zip(columns, scale.mean_.tolist(), scale.scale_.tolist(), strict=True)
    every = [own | {"mean": mean, "scale": size} for own, mean, size in spread]
    return [own for own, selected in zip(every, fitted["select"].get_support(), strict=True) if selected]


Tree = dict[str, np.ndarray]


def _tree(tree: Any, output: int) -> Tree:
    """A tree of scikit-learn; `output` is the class whose share, or the one value, a leaf holds."""
    return {
        "feature": np.maximum(tree.feature, 0),
        "left": tree.children_left,
        "right": tree.children_right,
        "threshold": tree.threshold,
        "missing_left": tree.missing_go_to_left.astype(bool),
        "value": tree.value[:, 0, output],
    }


def _histogram_tree(nodes: np.ndarray) -> Tree:
    """A tree of scikit-learn's histogram boosting."""
    leaf = nodes["is_leaf"].astype(bool)
    return {
        "feature": np.where(leaf, 0, nodes["feature_idx"]),
        "left": np.where(leaf, -1, nodes["left"].astype(np.int64)),
        "right": np.where(leaf, -1, nodes["right"].astype(np.int64)),
        "threshold": nodes["num_threshold"],
        "missing_left": nodes["missing_go_to_left"].astype(bool),
        "value": nodes["value"],
    }


def _joined(trees: list[Tree]) -> Tree:
    """All trees one after the other, children counted from the first node of the first."""
    sizes = [len(tree["value"]) for tree in trees]
    first = np.cumsum([0, *sizes[:-1]])
    joined = {name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]}
    shift = np.repeat(first, sizes)
    for name in ("left", "right"):
        joined[name] = np.where(joined[name] < 0, -1, joined[name] + shift).astype(np.int32)
    joined["feature"] = joined["feature"].astype(np.int32)
    return {"first": first.astype(np.int32), **joined}
