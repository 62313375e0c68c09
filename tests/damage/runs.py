"""Run folders: tables, splits and records that a disk or a person has changed."""

import json
import shutil
from pathlib import Path

import pandas as pd

from bcbm.runs.tables import write_table
from damage.kind import kind

RUN = {"given": "run", "words": (), "command": "evaluate"}


@kind("a folder that is no run", "not a run folder", **RUN)
def _(run: Path) -> None:
    (run / "config.yaml").unlink()


@kind("a run without one of its folds", "lacks folds [3]", **RUN)
def _(run: Path) -> None:
    (run / "fold=3" / "predictions.parquet").unlink()


@kind("a fold's table cut short", "fold=1/predictions.parquet", "changed or damaged", **RUN)
def _(run: Path) -> None:
    _cut(run / "fold=1" / "predictions.parquet")


@kind("a fold's table with a flipped bit", "fold=1/predictions.parquet", "SHA-256", **RUN)
def _(run: Path) -> None:
    path = run / "fold=1" / "predictions.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@kind("a label that was changed in a fold", "fold=0/predictions.parquet", "label", **RUN)
def _(run: Path) -> None:
    _change(run / "fold=0" / "predictions.parquet", label=lambda table: 1 - table["label"])


@kind("a fold's table with a lesion twice", "fold=0/predictions.parquet", "twice", **RUN)
def _(run: Path) -> None:
    path = run / "fold=0" / "predictions.parquet"
    table = pd.read_parquet(path)
    _write(path, pd.concat([table, table.head(1)]))


@kind("a fold's table without a column", "fold=0/predictions.parquet", "threshold", **RUN)
def _(run: Path) -> None:
    path = run / "fold=0" / "predictions.parquet"
    _write(path, pd.read_parquet(path).drop(columns="threshold"))


@kind("a fold's table of another split", "fold=0/predictions.parquet", "split_hash", **RUN)
def _(run: Path) -> None:
    _change(run / "fold=0" / "predictions.parquet", split_hash=lambda table: "0" * 16)


@kind("a probability beyond 1", "fold=0/predictions.parquet", "probability", **RUN)
def _(run: Path) -> None:
    _change(run / "fold=0" / "predictions.parquet", probability=lambda table: table["probability"] + 1)


@kind("the lesion table of a run is not there", "lesions.parquet", "same fit command", **RUN)
def _(run: Path) -> None:
    (run / "lesions.parquet").unlink()


@kind("the lesion table of a run cut short", "lesions.parquet", "same fit command", **RUN)
def _(run: Path) -> None:
    _cut(run / "lesions.parquet")


@kind("a patient with two labels in a run", "lesions.parquet", "two labels of ER", **RUN)
def _(run: Path) -> None:
    path = run / "lesions.parquet"
    table = pd.read_parquet(path)
    entering = table.index[~table["excluded"] & table["patient_id"].duplicated()]
    table.loc[entering[0], "ER"] = 1 - table.loc[entering[0], "ER"]
    _write(path, table)


@kind("the split of a run is not there", "split.json", **RUN)
def _(run: Path) -> None:
    (run / "split.json").unlink()


@kind("the split of a run cut short", "split.json", "damaged", **RUN)
def _(run: Path) -> None:
    _cut(run / "split.json")


@kind("a split that was changed", "split.json", "hash", **RUN)
def _(run: Path) -> None:
    content = json.loads((run / "split.json").read_text())
    first = content["folds"][0]
    first["train"].append(first["test"].pop())
    (run / "split.json").write_text(json.dumps(content))


@kind("the environment of a run cut short", "environment.json", "damaged", **RUN)
def _(run: Path) -> None:
    _cut(run / "environment.json")


@kind("the environment of a run without its versions", "environment.json", "versions", **RUN)
def _(run: Path) -> None:
    _environment(run, versions=None)


@kind("a best figure that is no AUROC", "environment.json", "AUROC", **RUN)
def _(run: Path) -> None:
    _environment(run, best={"ER": 7})


@kind("a configuration that is not YAML", "config.yaml", "not readable as YAML", **RUN)
def _(run: Path) -> None:
    (run / "config.yaml").write_text("split: [1, 2")


@kind("a configuration that is empty", "config.yaml", **RUN)
def _(run: Path) -> None:
    (run / "config.yaml").write_text("")


@kind("a configuration that takes values from the environment", "config.yaml", "oc.env", **RUN)
def _(run: Path) -> None:
    path = run / "config.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join("seed: ${oc.env:HOME}\n" if line.startswith("seed:") else line for line in lines))


@kind("a configuration that was changed", "config.yaml", "put it back", **RUN)
def _(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("aggregate: mean", "aggregate: max"))


@kind("a figure that was changed", "results.json", "evaluate", given="run", words=(), command="compare")
def _(run: Path) -> list[str]:
    second = _second(run)
    text = (run / "results.json").read_text()
    (run / "results.json").write_text(text.replace('"auroc": 0.', '"auroc": 0.9', 1))
    return [second]


@kind("results cut short", "damaged", given="run", words=(), command="compare")
def _(run: Path) -> list[str]:
    _cut(run / "results.json")
    return [_second(run)]


@kind("a run that is not finished", "/run", "not finished", given="run", words=(), command="compare")
def _(run: Path) -> list[str]:
    second = _second(run)
    (run / "results.json").unlink()
    return [second]


@kind("two runs of different cohorts", "across=true", given="run", words=(), command="compare")
def _(run: Path) -> list[str]:
    second = _second(run)
    _environment(run, cohort="another")
    return [second]


@kind("a run compared with itself", "named twice", given="run", words=(), command="compare")
def _(run: Path) -> list[str]:
    link = run.parent / "link"
    link.symlink_to(run)
    return [str(link)]


@kind(
    "a run compared with a copy of itself", "second", "are one run", given="run", words=(), command="compare"
)
def _(run: Path) -> list[str]:
    return [_second(run)]


def _environment(run: Path, **values: object) -> None:
    """Write other values into what a run tells of its surroundings."""
    path = run / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _second(run: Path) -> str:
    """A second run beside the first."""
    return str(shutil.copytree(run, run.parent / "second"))


def _cut(path: Path) -> None:
    """Take the second half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _change(path: Path, **columns: object) -> None:
    """Write other values into columns of a table, under a sum of its own."""
    _write(path, pd.read_parquet(path).assign(**columns))


def _write(path: Path, table: pd.DataFrame) -> None:
    """Write a table with a sum of its own, as this very run would have."""
    run = json.loads((path.parents[path.parent.name != "run"] / "environment.json").read_text())["identity"]
    write_table(path, table, run)
