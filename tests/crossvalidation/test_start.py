"""What a run does not use it does not load, and where it is written is said whole."""

import os
import subprocess
import sys

import yaml
from repository import HOME

UNUSED = {"monai", "torchio", "nilearn", "wandb", "optuna", "sklearn", "radiomics"}


def test_training_on_tables_loads_nothing_that_reads_images_searches_or_tracks(table_cohort, tmp_path):
    words = [f"cohort.root={table_cohort}", "prepared.root=prepared", "tracking=csv", "fold=0"]
    words += ["task.modalities=[radiomics,position]", "trainer.max_epochs=1", "run.root=written"]
    command = [sys.executable, "-X", "importtime", "-m", "bcbm", "fit", *words]
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    (folder,) = tmp_path.glob("written/demo/*")
    assert (folder / "fold=0/predictions.parquet").is_file() and str(folder) in process.stdout
    assert yaml.safe_load((folder / "config.yaml").read_text())["run"]["root"] == "written"
    lines = [line for line in process.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in lines}
    assert "torch" in loaded and not loaded & UNUSED
