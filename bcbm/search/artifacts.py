"""What a trial has left, as tables in Optuna's artifact store, where `optuna-dashboard` shows them."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial

from bcbm.system.spreadsheet import spreadsheet_csv

ARTIFACTS = "artifacts"  # the store, in the sweep's folder


def store_artifacts(trial: Trial, folder: Path, home: Path) -> None:
    """Store the curves and the predictions of the inner folds that a trial has trained, as CSV.

    Args:
        trial: not finished in Optuna yet; of one that another parent has finished nothing is stored.
        folder: where it has written.
        home: the sweep's folder.
    """
    names = {"curves.csv": "metrics.csv", "predictions.csv": "predictions.parquet"}
    store = home / ARTIFACTS
    store.mkdir(exist_ok=True)
    with TemporaryDirectory() as scratch:
        for name, source in names.items():
            if (table := _joined(folder, source)) is None:
                continue
            path = Path(scratch) / name
            path.write_text(spreadsheet_csv(table), encoding="utf-8", newline="")
            try:
                upload_artifact(
                    artifact_store=FileSystemArtifactStore(store), file_path=str(path), study_or_trial=trial
                )
            except UpdateFinishedTrialError:
                return


def _joined(folder: Path, name: str) -> pd.DataFrame | None:
    """The tables of this name of all inner folds that can be read, in one; None without any."""
    read = pd.read_csv if name.endswith(".csv") else pd.read_parquet
    tables = []
    for path in sorted(folder.glob(f"fold=*/{name}")):
        with suppress(OSError, ValueError):  # damaged since: it is a copy to look at, and no result
            tables.append(read(path).assign(fold=int(path.parent.name.removeprefix("fold="))))
    return pd.concat(tables, ignore_index=True) if tables else None
