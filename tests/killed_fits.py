"""Runs of `bcbm.fit`, killed at random moments: `python killed_fits.py RUNS KILLS SEED key=value ...`.

The stack is loaded once, each run is a process forked from it. A run that is killed is started again with the
same words until it is finished; then another begins, until there were as many kills. Prints a line of JSON a
kill: seconds into the run, and what of the run was there.
"""

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

STACK = [
    "bcbm.model.fold",
    "bcbm.baselines",
    "bcbm.crossvalidation.results",
    "bcbm.preparation.prepare",
    "bcbm.tracking.summary",
]


def fit(words):
    """The command, its words and its silence."""
    from bcbm.fit import main

    sys.argv = ["bcbm.fit", *words]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    raise SystemExit(main())


def start(context, words):
    process = context.Process(target=fit, args=(words,))
    process.start()
    return process


def state(root):
    """How far the run is: finished folds, a checkpoint to go on from, results."""
    folds = len(list(root.glob("*/*/fold=*/predictions.parquet")))
    return {"folds": folds, "last": bool(list(root.glob("*/*/fold=*/checkpoints/last.ckpt")))}


def main():
    runs, kills, seed, *words = sys.argv[1:]
    runs, remaining, moments = Path(runs), int(kills), random.Random(int(seed))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(STACK)
    first = context.Process(target=time.sleep, args=(0,))
    first.start()
    first.join()  # the stack is loaded
    begun = time.monotonic()
    unbroken = start(context, [f"run.root={runs / 'whole'}", *words])
    unbroken.join()
    assert unbroken.exitcode == 0
    seconds, number = time.monotonic() - begun, 0
    while remaining:
        root = runs / f"killed-{number}"
        while True:
            process = start(context, [f"run.root={root}", *words])
            moment = moments.uniform(0, 0.6 * seconds) if remaining else None
            process.join(moment)
            if process.exitcode is not None:
                assert process.exitcode == 0
                break
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            remaining -= 1
            print(json.dumps({"moment": moment, "run": number, **state(root)}), flush=True)
        number += 1


if __name__ == "__main__":
    main()
