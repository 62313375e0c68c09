"""How soon a command answers: `python tests/benchmarks/start.py [rounds=N]`.

`python -m bcbm.fit --help` against a Python that imports the stack that training needs, each in a process of
its own, in turns; wall and CPU seconds, ratios of the medians. To reach: 40 times.
"""

import resource
import subprocess
import sys
import time
from statistics import median

STACK = (
    "lightning, torch, torchio, monai.networks.nets, radiomics, SimpleITK, wandb, optuna, sklearn.ensemble"
)
WAYS = {"help": ["-m", "bcbm.fit", "--help"], "stack": ["-c", f"import {STACK}, pandas, torchmetrics"]}


def timed(words: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a Python."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


word = next(iter(sys.argv[1:]), "rounds=5")
times: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
for _ in range(int(word.partition("=")[2])):
    for way, words in WAYS.items():
        times[way].append(timed(words))
for place, kind in enumerate(("wall", "CPU")):
    a, b = (median(one[place] for one in times[way]) for way in ("help", "stack"))
    print(f"{kind}: help {a:.3f} s, importing the stack {b:.2f} s: {b / a:.0f} times (goal 40)")
