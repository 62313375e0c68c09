"""Fusion against each modality alone on the embedded cohort: `python tests/benchmarks/modalities.py`.

Prints patient-level AUROC (mean of receptors), the part of the way from 0.5 to the best, and wall time.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = {
    "image+radiomics+position": [],
    "image": ["task.modalities=[image]"],
    "radiomics": ["task.modalities=[radiomics]"],
    "position": ["task.modalities=[position]"],
}

with tempfile.TemporaryDirectory() as folder:
    for name, words in RUNS.items():
        root = Path(folder) / name
        start = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "bcbm.fit",
            "tracking=csv",
            f"run.root={root}",
            *words,
            *sys.argv[1:],
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        results = json.loads(next(root.glob("*/*/results.json")).read_text())
        found = results["receptors"]
        mean = sum(block["patient"]["auroc"] for block in found.values()) / len(found)
        receptors = "  ".join(
            f"{receptor} {block['patient']['auroc']:.2f}" for receptor, block in found.items()
        )
        print(
            f"{name:<26} AUROC {mean:.3f} ({receptors}), {results['reached']:.0%} of the way, "
            f"{time.perf_counter() - start:.0f} s"
        )
