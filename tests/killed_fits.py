"""Runs of `bcbm.fit`, killed at random moments: `python killed_fits.py RUNS KILLS SEED key=value ...`.

Each run is a process forked from one that has loaded the stack. A run that is killed is started again with
the same words until it is finished; then another begins, until there were as many kills. Prints a line of
JSON a kill: seconds into the run, and what of the run was there.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from commands import Command, Forked


def state(root):
    """How far the run is: finished folds, a checkpoint to go on from, results."""
    folds = len(list(root.glob("*/*/fold=*/predictions.parquet")))
    return {"folds": folds, "last": bool(list(root.glob("*/*/fold=*/checkpoints/last.ckpt")))}


def killed(
    runs: Path, kills: int, seed: int, words: Sequence[str], **environment: str
) -> Iterator[dict[str, object]]:
    """Kill runs, `killed-0` and so on, so often; that of `whole` is not disturbed. Gives each kill."""

    def start(root):
        return Command("fit", f"run.root={root}", *words, **environment)

    remaining, moments = kills, random.Random(seed)
    Forked(len, "").communicate()  # the stack is loaded
    begun = time.monotonic()
    unbroken = start(runs / "whole")
    _, errors = unbroken.communicate()
    assert unbroken.returncode == 0, errors
    seconds, number = time.monotonic() - begun, 0
    while remaining:
        root = runs / f"killed-{number}"
        while True:
            process = start(root)
            moment = moments.uniform(0, 0.6 * seconds) if remaining else None
            try:
                _, errors = process.communicate(300 if moment is None else moment)
            except subprocess.TimeoutExpired:  # it is killed
                assert moment is not None, "hangs"
                remaining -= 1
                yield {"moment": moment, "run": number, **state(root)}
            else:
                assert process.returncode == 0, errors
                break
        number += 1


def main():
    runs, kills, seed, *words = sys.argv[1:]
    for kill in killed(Path(runs), int(kills), int(seed), words):
        print(json.dumps(kill), flush=True)


if __name__ == "__main__":
    main()
