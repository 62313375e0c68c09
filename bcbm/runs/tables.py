"""Tables and results of a run on disk, their SHA-256 beside them; in a table stands the run that it is of."""

import hashlib
from io import BytesIO
from pathlib import Path

import pandas as pd

from bcbm.errors import InputError, Problem, readable
from bcbm.system.files import write_whole

RUN = "run"  # of a table or of results: the identity of the run that has written them
REMEDY = "remove it and run the same fit command again"


def sum_of(path: Path) -> Path:
    """Where the sum of a table, or of results, lies."""
    return path.with_suffix(".sha256")


def write_table(path: Path, table: pd.DataFrame, run: str) -> None:
    """Write a table and, before it, its sum: a table that is there has one.

    Args:
        path: of the table, `<name>.parquet`; the sum is `<name>.sha256`.
        table: to write.
        run: the identity of its run; empty where it has none, as of inner folds.
    """
    table = table.copy(deep=False)
    table.attrs = {RUN: run} if run else {}
    write_with_sum(path, table.to_parquet())


def write_with_sum(path: Path, content: bytes) -> None:
    """Write a file and, before it, its sum, as `sha256sum --check` reads it."""
    write_whole(sum_of(path), f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")
    write_whole(path, content)


def read_with_sum(path: Path, remedy: str) -> bytes:
    """A file as it was written; one of before there were sums has none to hold it against.

    Raises:
        InputError: it is not there, or not what its sum was taken of.
    """
    with readable(path, remedy):
        content, beside = path.read_bytes(), sum_of(path)
        digest = hashlib.sha256(content).hexdigest()
        if beside.is_file() and beside.read_bytes().split()[:1] != [digest.encode()]:
            found = f"was changed or damaged: its SHA-256 is not the one in {beside.name}"
            raise InputError(Problem(str(path), found, remedy))
        return content


def read_table(path: Path, remedy: str) -> pd.DataFrame:
    """A table as it was written, see `read_with_sum`.

    Raises:
        InputError: it is damaged, or not what its sum was taken of.
    """
    with readable(path, remedy):
        return pd.read_parquet(BytesIO(read_with_sum(path, remedy)))
