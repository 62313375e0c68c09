"""How soon a command answers: `python tests/benchmarks/start.py [rounds=N]`.

Each in a process of its own, in turns, wall and CPU seconds, medians:
- help: `bcbm fit --help`, to be 40 times faster than importing the stack that training needs;
- fit: from Enter to the first batch on tables, whose cohort was prepared before, against what it cannot do
  without, `import lightning, pandas, torchmetrics`.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median

STACK = (
    "lightning, torch, torchio, monai.networks.nets, radiomics, SimpleITK, wandb, optuna, sklearn.ensemble"
)
# `bcbm fit`, ended as soon as the network is given a batch.
FIT = """
import os, runpy, sys
from importlib.machinery import PathFinder

class Watch:
    def find_spec(name, path=None, target=None):
        if name != "bcbm.model.module":
            return None
        spec = PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def execute(module):
            run(module)
            module.LesionModule.training_step = lambda *_: os._exit(0)
        spec.loader.exec_module = execute
        return spec

sys.meta_path.insert(0, Watch)
runpy.run_module("bcbm.fit", run_name="__main__", alter_sys=True)
"""
WAYS = {
    "help": ["-m", "bcbm", "fit", "--help"],
    "stack": ["-c", f"import {STACK}, pandas, torchmetrics"],
    "fit": ["-c", FIT],
    "bare": ["-c", "import lightning, pandas, torchmetrics"],
}
TABLES = (
    *("cohort.synthetic.patients=40", "cohort.synthetic.images=false", "tracking=csv"),
    "task.modalities=[radiomics,position]",
)


def timed(words: list[str], folder: str) -> tuple[float, float]:
    """Wall and CPU seconds of a Python."""
    environment = {**os.environ, "BCBM_CACHE": f"{folder}/cache"}
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stdout}{done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


word = next(iter(sys.argv[1:]), "rounds=5")
times: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
with tempfile.TemporaryDirectory() as folder:
    tables = [*TABLES, f"run.root={folder}/runs"]
    timed(["-m", "bcbm.prepare", *TABLES], folder)
    for _ in range(int(word.partition("=")[2])):
        for way, words in WAYS.items():
            times[way].append(timed([*words, *tables] if way == "fit" else words, folder))
for place, kind in enumerate(("wall", "CPU")):
    a, b, c, d = (median(seconds[place] for seconds in times[way]) for way in WAYS)
    print(f"{kind}: help {a:.3f} s, importing the stack {b:.2f} s: {b / a:.0f} times (goal 40)")
    print(f"{kind}: fit to its first batch {c:.2f} s, bare imports {d:.2f} s: {c / d:.2f} times (goal 3 s)")
