"""What pruning saves in the shipped `fusion` sweep: `python tests/benchmarks/sweep_pruning.py [seeds=N]`.

A seed a line, for the search with the shipped pruner and without one: the best inner AUROC and the epochs
trained; then the means. To reach: the full search's best minus 0.01 in at most 60 % of its epochs. Further
words go to the sweep.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import yaml

from bcbm.config.places import sweep_file


def searched(home: Path, content: dict[str, object], words: list[str]) -> tuple[float, float]:
    """Best AUROC and epochs of a search."""
    home.mkdir()
    file = home / "fusion.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    command = [sys.executable, "-m", "bcbm.sweep", f"sweep={file}", f"run.root={home}", "outer=final"]
    subprocess.run([*command, "tracking=csv", *words], check=True, stdout=subprocess.DEVNULL)
    trials = pd.read_parquet(next(home.glob("sweeps/*/*/trials.parquet")))
    return trials["auroc"].max(), trials["epochs"].sum()


seeds, words = 3, sys.argv[1:]
if words and words[0].startswith("seeds="):
    seeds, words = int(words[0].partition("=")[2]), words[1:]
shipped = yaml.safe_load(sweep_file("fusion").read_text())
rows = []
with tempfile.TemporaryDirectory() as folder:
    for seed in range(seeds):
        shipped["sampler"] = {**shipped["sampler"], "seed": seed}
        pruned = searched(Path(folder) / f"{seed}-pruned", shipped, words)
        full = searched(Path(folder) / f"{seed}-full", {**shipped, "pruner": {"kind": "none"}}, words)
        rows.append([*full, *pruned, pruned[0] - full[0], pruned[1] / full[1]])
        print(
            "seed {}: full {:.3f} in {:.0f} epochs, pruned {:.3f} in {:.0f}".format(seed, *rows[-1][:4]),
            flush=True,
        )
means = pd.DataFrame(rows).mean()
print(f"mean of {seeds}: best {means[4]:+.3f} against the full search, {means[5]:.0%} of its epochs")
