"""Shared inputs: two synthetic cohorts, written once a session, and the real workbooks where they are."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when OpenMP starts: before any import of torch

import sys
from pathlib import Path

import pytest

from bcbm.cohort.synthetic import write_cohort
from bcbm.features.radiomics import extract_cohort


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Keep torch on one thread, where a test module has imported it."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A download of 12 patients with images. Read only: copy it to change it."""
    root = tmp_path_factory.mktemp("cohort") / "images"
    write_cohort(
        root, patients=12, signal=1.0, images=True, seed=0, extract=lambda s: extract_cohort(s, 1), jobs=1
    )
    return root


@pytest.fixture(scope="session")
def table_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A download of 40 patients, the two workbooks only. Read only: copy it to change it."""
    root = tmp_path_factory.mktemp("cohort") / "table"
    write_cohort(
        root, patients=40, signal=1.0, images=False, seed=0, extract=lambda s: extract_cohort(s, 1), jobs=1
    )
    return root


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real workbooks and PyRadiomics' reference, which are no part of the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"there is no real data at {folder}")
    return folder
