"""Traditional models on the tables, and the permutation of their whole pipeline."""

from bcbm.baselines.folds import train_baseline
from bcbm.baselines.permutation import permuted_aurocs

__all__ = ["permuted_aurocs", "train_baseline"]
