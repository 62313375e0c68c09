"""Two workers against one, and what the engine costs a trial: `python tests/benchmarks/sweep_workers.py`.

Prints the median wall time of the trials (from the first one's start to the last one's end) with one and with
two workers, their ratio, and the seconds of a trial that are not its training: start, imports, storage.
Words after it go to the sweep; `rounds=N` comes first.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

SPACE = "space: {model.dropout: {float: [0.0, 0.6], step: 0.1}}"
SWEEP = f"trials: 8\nsampler: {{kind: random}}\npruner: {{kind: none}}\n{SPACE}\n"
WORDS = ["task.modalities=[radiomics,position]", "data.workers=0", "tracking=csv", "outer=final"]


def searched(folder: Path, workers: int, words: list[str]) -> pd.DataFrame:
    """The table of a sweep's trials."""
    folder.mkdir()
    file = folder / "fixed.yaml"
    file.write_text(SWEEP)
    command = [
        sys.executable,
        "-m",
        "bcbm.sweep",
        f"sweep={file}",
        f"run.root={folder}",
        f"workers={workers}",
    ]
    subprocess.run([*command, *WORDS, *words], check=True, stdout=subprocess.DEVNULL)
    return pd.read_parquet(next(folder.glob("sweeps/*/*/trials.parquet")))


rounds, words = 3, sys.argv[1:]
if words and words[0].startswith("rounds="):
    rounds, words = int(words[0].partition("=")[2]), words[1:]
taken: dict[int, list[float]] = {1: [], 2: []}
extra: list[float] = []
with tempfile.TemporaryDirectory() as home:
    for number in range(rounds):
        for workers, seconds in taken.items():
            trials = searched(Path(home) / f"{number}-{workers}", workers, words)
            seconds.append((trials["ended"].max() - trials["started"].min()).total_seconds())
            lasted = (trials["ended"] - trials["started"]).dt.total_seconds() - trials["seconds"]
            extra += lasted.tolist()
one, two = statistics.median(taken[1]), statistics.median(taken[2])
print(
    f"8 trials: one worker {one:.1f} s, two workers {two:.1f} s, ratio {two / one:.2f} (medians of {rounds})"
)
print(f"beside training: median {statistics.median(extra):.2f} s a trial, most {max(extra):.2f} s")
