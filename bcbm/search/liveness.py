"""Who runs a trial, and whether nobody does any more."""

import os
import time
from typing import Any

from optuna.trial import FrozenTrial

from bcbm.system.liveness import lives, place, started

BEAT = 30.0  # seconds between two signs of life
GRACE = 150.0  # seconds without one, after which a trial elsewhere counts as left


def owner(token: str) -> dict[str, Any]:
    """The process that runs a trial, as the trial's attributes hold it.

    Args:
        token: names this run of the trial, and stands in its result.
    """
    return {"place": place(), "process": os.getpid(), "started": started(os.getpid()), "token": token}


class Watch:
    """Finds the running trials whose process is gone: at once here, elsewhere by signs of life that stop.

    The signs are counted, not timed by the other machine's clock, so it need not agree with this one's.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self.grace = grace
        self._seen: dict[int, tuple[Any, float]] = {}

    def left(self, trial: FrozenTrial) -> bool:
        """Whether nobody runs this trial any more."""
        process_owner = trial.user_attrs.get("owner")
        if process_owner and process_owner["place"] == place():
            return not lives(process_owner["process"], float(process_owner["started"]))
        sign = (process_owner and process_owner["token"], trial.user_attrs.get("beat"))
        before, since = self._seen.get(trial._trial_id, (None, 0.0))
        if sign != before:
            self._seen[trial._trial_id] = (sign, time.monotonic())
            return False
        return time.monotonic() - since > self.grace
