"""Forty kills, of every kind of run and any of its processes: `python tests/benchmarks/kills.py [KIND ...]`.

Each run is started in a session of its own and, at a random moment, one of its processes is killed (SIGKILL):
the command itself every other time, else a rank, a fold, a loader, a fork server. What is left of it must be
gone 10 s after the command is; the same command, started again until it ends, must end in the table of an
undisturbed run; of a sweep that is what its finished trials tried and found, whose numbers are others where
one was tried again. Prints a line a kill, and what is wrong.

To reach: 40 kills (single 9, folds 8, ddp 8, torchrun 5, prepare 5, sweep 5), 40 tables, no process left.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil

KILLS = {"single": 9, "folds": 8, "ddp": 8, "torchrun": 5, "prepare": 5, "sweep": 5}
LEFT = 10.0  # seconds after which no process may be left
MARK = "BCBM_KILLS"  # in the environment of all that a run starts
TABLES = [
    *(
        "task.modalities=[radiomics,position]",
        "cohort.synthetic.images=false",
        "cohort.synthetic.patients=40",
    ),
    *("split.folds=2", "data.batch_size=16", "data.workers=1", "trainer.patience=999", "tracking=csv"),
    *("bootstrap=50", "trainer.max_epochs=60"),
]
TWO = ["trainer.devices=2", "trainer.accelerator=cpu"]
SWEEP = """trials: 3
sampler: {kind: random}
pruner: {kind: none}
space: {model.dropout: {float: [0.0, 0.6], step: 0.1}}
"""
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
WORDS = {
    "single": ["bcbm.fit", *TABLES, "trainer.devices=1"],
    "folds": ["bcbm.fit", *TABLES, "trainer.parallel=folds", "trainer.devices=2"],
    "ddp": ["bcbm.fit", *TABLES, *TWO],
    "torchrun": [*TORCHRUN, "bcbm.fit", *TABLES, *TWO],
    "prepare": [
        "bcbm.prepare",
        "cohort.synthetic.patients=6",
        "prepared.jobs=2",
        "features.radiomics=extract",
    ],
    "sweep": ["bcbm.sweep", "sweep=FILE", "outer=final", "refit=false", *TABLES, "trainer.max_epochs=15"],
}


def start(kind: str, home: Path, cache: Path) -> subprocess.Popen[str]:
    """The command of a kind of run, in `home`."""
    home.mkdir(exist_ok=True)
    (home / "sweep.yaml").write_text(SWEEP)
    words = [word.replace("FILE", str(home / "sweep.yaml")) for word in WORDS[kind]]
    places = [f"run.root={home / 'runs'}"] if kind != "prepare" else [f"prepared.root={home / 'prepared'}"]
    if kind == "prepare":
        cache = home / "cache"
    surroundings = {**os.environ, MARK: str(home), "BCBM_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *words, *places],
        env={**surroundings, "GLOO_SOCKET_IFNAME": "lo"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(home / "errors.txt").open("a"),
        start_new_session=True,
        text=True,
    )


def processes(home: Path) -> list[psutil.Process]:
    """All that a run has started and that still lives."""
    marked = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == str(home):
                marked.append(process)
        except psutil.Error:
            continue
    return marked


def outcome(kind: str, home: Path) -> object:
    """What a run that has ended is compared by."""
    if kind == "prepare":
        tables = sorted((home / "prepared").rglob("*.parquet"))
        return [(path.name, pd.read_parquet(path).to_csv().replace(str(home), "")) for path in tables]
    if kind == "sweep":
        (path,) = (home / "runs").glob("sweeps/*/*/trials.parquet")
        trials = pd.read_parquet(path)
        done = trials[trials["state"] == "complete"]
        return done[["default", "model.dropout", "auroc"]].to_csv(index=False)
    (path,) = (home / "runs").glob("demo/*/predictions.parquet")
    return pd.read_parquet(path).to_csv()


def killed(kind: str, home: Path, cache: Path, moment: float, command: bool, draw: random.Random) -> str:
    """Start a run and kill one of its processes at a moment; which, or empty where it had ended before."""
    process = start(kind, home, cache)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        victims = [psutil.Process(process.pid)] if command else processes(home)
        victim = draw.choice(sorted(victims, key=lambda other: other.pid))
        name = "the command" if victim.pid == process.pid else " ".join(victim.cmdline()[1:4])[:60]
        victim.send_signal(signal.SIGKILL)
        try:
            process.wait(LEFT)
        except subprocess.TimeoutExpired:  # it can do without, as without Python's resource tracker
            process.wait()
            name += " (which the run went on without)"
        return name
    assert process.returncode == 0, (home / "errors.txt").read_text()
    return ""


def tried(kind: str, kills: int, place: Path, seed: int) -> list[str]:
    """Kill runs of a kind; what is wrong."""
    draw, cache, wrong = random.Random(f"{kind} {seed}"), place / "cache", list[str]()
    start(kind, place / "warm", cache).wait()
    begun = time.monotonic()
    assert start(kind, place / "whole", cache).wait() == 0, (place / "whole" / "errors.txt").read_text()
    seconds, expected = time.monotonic() - begun, outcome(kind, place / "whole")
    number, run = 0, 0
    while number < kills:
        home, ended = place / f"run={run}", False
        while not ended:
            moment, command = draw.uniform(0.1, 0.8) * seconds, kind == "sweep" or number % 2 == 0
            victim = killed(kind, home, cache, moment, command, draw) if number < kills else ""
            end = time.monotonic() + LEFT
            while (left := processes(home)) and time.monotonic() < end and victim:
                time.sleep(0.2)
            if victim:
                number += 1
                print(f"{kind} {number}: {moment:.1f} s, {victim}; {len(left)} processes left", flush=True)
                wrong += [f"{kind} {number}: {process.pid} {process.cmdline()}" for process in left]
                for process in left:
                    process.kill()
            if number >= kills:
                again = start(kind, home, cache).wait()
                assert again == 0, (home / "errors.txt").read_text()
            ended = not victim or number >= kills
        if outcome(kind, home) != expected:
            wrong.append(f"{kind}: the table of {home} is another")
        run += 1
    return wrong


if __name__ == "__main__":
    wrong = []
    for kind in sys.argv[1:] or KILLS:
        with tempfile.TemporaryDirectory() as place:
            begun = time.monotonic()
            problems = tried(kind, KILLS[kind], Path(place), seed=0)
            print(f"{kind}: {KILLS[kind]} kills in {time.monotonic() - begun:.0f} s, {len(problems)} wrong")
            wrong += problems
    print("\n".join(wrong) or "every table is that of the undisturbed run, and no process was left")
    raise SystemExit(bool(wrong))
