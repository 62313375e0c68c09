"""Seeds that are made from others."""

import numpy as np


def derived_seed(*numbers: int) -> int:
    """One seed from several numbers, such as a run's seed and a fold: other numbers, unrelated draws.

    Example:
        >>> derived_seed(0, 1) == derived_seed(0, 1) != derived_seed(1, 0)
        True
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
