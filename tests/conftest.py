"""Shared inputs: two synthetic cohorts, written once a session, and the real workbooks where they are."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when OpenMP starts: before any import of torch
# Read when ITK is loaded: its threads cost more than a small crop, and change no value.
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes would compile the same files

import fcntl
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcbm.cohort.synthetic import write_cohort
from bcbm.features.radiomics import extract_cohort
from bcbm.system.memory import seldom_collected

seldom_collected()  # before the tests' modules are imported


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Leave signals as they were: a command that was called here takes them, and a second Ctrl-C ends it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    try:
        return (yield)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Keep torch on one thread, where a test module has imported it."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def written(factory: pytest.TempPathFactory, name: str, patients: int, images: bool) -> Path:
    """A synthetic download, written once for all processes that run tests."""
    base = factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            write_cohort(
                root,
                patients=patients,
                signal=1.0,
                images=images,
                seed=0,
                extract=lambda studies: extract_cohort(studies, 1),
                jobs=1,
            )
    return root


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A download of 12 patients with images. Read only: copy it to change it."""
    return written(tmp_path_factory, "cohort-images", patients=12, images=True)


@pytest.fixture(scope="session")
def table_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A download of 40 patients, the two workbooks only. Read only: copy it to change it."""
    return written(tmp_path_factory, "cohort-table", patients=40, images=False)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real workbooks and PyRadiomics' reference, which are no part of the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"there is no real data at {folder}")
    return folder
