"""Seeds that are made from others."""

import numpy as np


def derived_seed(*numbers: int) -> int:
    """One seed from several numbers, such as a run's seed and a fold: other numbers, unrelated draws.

    Example:
        >>> derived_seed(0, 1) == derived_seed(0, 1) != derived_seed(1, 0)
        True
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def fold_seed(seed: int, fold: int, member: int = 0) -> int:
    """The seed of all that is drawn when a fold is trained; `member` counts its trainings."""
    return derived_seed(seed, fold, *([member] if member else []))
