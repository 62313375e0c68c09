"""What a run does not use it does not load."""

import subprocess
import sys

from repository import HOME

UNUSED = {"monai", "torchio", "nilearn", "wandb", "optuna", "sklearn", "radiomics"}


def test_training_on_tables_loads_nothing_that_reads_images_searches_or_tracks(table_cohort, tmp_path):
    words = [
        f"cohort.root={table_cohort}",
        f"prepared.root={tmp_path / 'prepared'}",
        "tracking=csv",
        "fold=0",
    ]
    words += ["task.modalities=[radiomics,position]", "trainer.max_epochs=1", f"run.root={tmp_path / 'runs'}"]
    command = [sys.executable, "-X", "importtime", "-m", "bcbm.fit", *words]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True)
    assert done.returncode == 0 and list(tmp_path.glob("runs/demo/*/fold=0/predictions.parquet")), done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in lines}
    assert "torch" in loaded and not loaded & UNUSED
