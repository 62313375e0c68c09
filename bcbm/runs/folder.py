"""The run folder, which is the truth."""

import json
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import pandas as pd

from bcbm.config.compose import to_yaml
from bcbm.config.schema import Config
from bcbm.errors import ConfigError, Note, note_if_long
from bcbm.runs.identity import environment, fingerprint, lock_file
from bcbm.runs.owner import sole_owner
from bcbm.runs.predictions import read_predictions
from bcbm.runs.tables import RUN, write_table, write_with_sum
from bcbm.statistics.results import Results
from bcbm.system.files import read_json, strict_json, write_whole
from bcbm.system.processes import FIRST_RANK, rank, rank_variables
from bcbm.system.version import __version__
from bcbm.system.words import listed

FOR_RANKS = "BCBM_RUN_FOLDER"  # in the environment of the ranks that Lightning starts
NAME = "%Y-%m-%d_%H-%M-%S"  # of a run's folder: when it was begun
TUNING = "tuning.json"  # of a fold: what it has chosen
LOCK = "requirements.txt"  # of a run: the exact versions that pip installs again
PATIENCE = 600.0  # seconds that the other ranks wait for the first one's folder


class RunFolder:
    """`<run.root>/<experiment>/<time>/`: all that a run was and found, each file written whole or not at all.

    A fold is finished when `fold=K/predictions.parquet` stands, a run when `results.json` does.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(
        cls,
        config: Config,
        cohort: str,
        split_file: str,
        split_hash: str,
        best: dict[str, float] | None = None,
        ledger: Path | None = None,
        citation: str = "",
    ) -> "RunFolder":
        """The folder to go on with: `run.folder`, else the newest of the same configuration, else a new one.

        A new one is made by the first rank, one process at a time: starts at the same moment share it. The
        others take the one that `named_to_other_ranks` names, where Lightning has started them, or wait until
        they find it, where torchrun or Slurm has.

        Args:
            config: the experiment.
            cohort: content hash of its cohort.
            split_file: what `split.json` will hold, and `split_hash`, its hash.
            best: what a perfect reader of the cohort would reach, where that is known.
            ledger: where looks at the cohort's test patients are counted.
            citation: how the cohort is cited and licensed.

        Raises:
            ConfigError: `run.folder` holds a run of another configuration, cohort or split, or folds of a run
                that cannot be told.
        """
        identity = fingerprint(config, cohort, split_hash)
        home = Path(config.run.root) / config.experiment
        if rank() > 0:
            return cls(_of_first_rank(config, home, identity))
        opening = Path(config.run.folder or home)
        with sole_owner({f"opening a run in {opening}": opening / ".opening.owner"}, PATIENCE):
            if (path := _existing(config, home, identity)) is not None:
                return cls(path)._cited(citation)
            now = datetime.now().strftime(NAME)
            path = Path(config.run.folder) if config.run.folder else home / now
            while not config.run.folder and path.exists():
                path = path.with_name(path.name + "+")
            folder = cls(path)
            folder.write("config.yaml", to_yaml(config))
            folder.write("split.json", split_file)
            surroundings = environment(config, cohort, split_hash, identity) | {"best": best}
            surroundings["citation"] = citation
            surroundings["ledger"] = str(ledger.absolute()) if ledger else None
            folder.write(LOCK, lock_file())
            folder.write("environment.json", json.dumps(surroundings, indent=1))
            return folder

    def _cited(self, citation: str) -> "RunFolder":
        """The same folder, its environment with the citation as it is stated now."""
        path = self.path / "environment.json"
        surroundings = read_json(path, "put it back, or choose another run.folder")
        if surroundings.get("citation") != citation:
            self.write(path.name, json.dumps(surroundings | {"citation": citation}, indent=1))
        return self

    @property
    def identity(self) -> str:
        """What makes two starts this run; empty where the folder is none of a run, as of inner folds."""
        return _identity(self.path)

    def fold(self, number: int, member: int = 0) -> Path:
        """The folder of a fold, or of a further training of it with another seed."""
        fold = self.path / f"fold={number}"
        return fold / f"seed={member}" if member else fold

    def owning(self, folds: Iterable[int]) -> AbstractContextManager[None]:
        """Train those of some folds that are not finished, while no other process trains them.

        Raises:
            AlreadyRunning: another process trains one of them.
        """
        unfinished = [number for number in folds if not (self.fold(number) / "predictions.parquet").is_file()]
        return sole_owner(
            {f"fold {number} of {self.path}": self.path / f".fold={number}.owner" for number in unfinished}
        )

    def owning_last_step(self) -> AbstractContextManager[None]:
        """Make the results of a run, which no other process makes meanwhile.

        Raises:
            AlreadyRunning: another process makes them.
        """
        return sole_owner({f"the last step of {self.path}": self.path / ".results.owner"})

    @contextmanager
    def named_to_other_ranks(self) -> Iterator[None]:
        """Have the same command, started again from this process as Lightning does, open this folder.

        It ends with this process (`end_with_launcher`).
        """
        names = {FOR_RANKS: str(self.path.absolute()), FIRST_RANK: str(os.getpid())}
        before = {name: os.environ.pop(name, None) for name in names}
        os.environ.update(names)
        try:
            yield
        finally:
            for name, value in before.items():
                del os.environ[name]
                if value is not None:
                    os.environ[name] = value

    def write(self, name: str, content: str | pd.DataFrame) -> None:
        """Write a file, whole or not at all; a table as `write_table` does."""
        if isinstance(content, str):
            write_whole(self.path / name, content)
        else:
            write_table(self.path / name, content, self.identity)

    def write_results(self, results: Results) -> None:
        """Write `results.json`, the run that it is of in it and its sum beside it."""
        content = strict_json({**results, RUN: self.identity})
        write_with_sum(self.path / "results.json", content.encode())

    def predictions(self, number: int) -> pd.DataFrame | None:
        """The prediction table of a fold, or None while it is not finished."""
        path = self.fold(number) / "predictions.parquet"
        return read_predictions(path) if path.is_file() else None

    def seeds(self, number: int) -> pd.DataFrame | None:
        """The tables that each seed of a fold alone gave, with a column `seed`; None where there is one."""
        path = self.fold(number) / "seeds.parquet"
        return read_predictions(path) if path.is_file() else None


def _of_first_rank(config: Config, home: Path, identity: str) -> Path:
    """The folder that the first rank opens, which may take it a while."""
    text = f"rank {rank()} waits for the run folder that rank 0 makes in {config.run.folder or home}; "
    until = time.monotonic() + PATIENCE
    with note_if_long(f"{text}unset {listed(rank_variables())} if no launcher has started this process"):
        while (path := _existing(config, home, identity)) is None:
            if time.monotonic() > until:
                raise ConfigError(
                    f"{home}: the first rank made no run folder in {PATIENCE:.0f} s; look at its error"
                )
            time.sleep(0.1)
    return path


def _existing(config: Config, home: Path, identity: str) -> Path | None:
    """The folder of this run, if it has one already."""
    folder = config.run.folder or (os.environ.get(FOR_RANKS) if rank() > 0 else None)
    candidates = [Path(folder)] if folder else None
    for path in candidates or sorted(home.glob("*"), reverse=True):
        recorded = _identity(path)
        if recorded == identity:
            return path
        if recorded and candidates:
            raise ConfigError(
                f"{path} holds a run of another configuration, cohort or split{_made_by(path)}; "
                "choose another run.folder"
            )
        if not recorded and _begun(path):
            text = (
                f"{path} holds folds, and its environment.json, which says of which run they are, is missing "
            )
            if candidates:
                raise ConfigError(f"{text}or damaged; put it back, or choose another run.folder")
            warnings.warn(f"{text}or damaged: it is not continued", Note, stacklevel=2)
    return None


def _made_by(path: Path) -> str:
    """The version that made the run in a folder, in words, where it is not this one."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        version = str(json.loads((path / "environment.json").read_text(encoding="utf-8"))["versions"]["bcbm"])
        if version != __version__:
            return f", made by bcbm {version}, and only that version can continue it"
    return ""


def _begun(path: Path) -> bool:
    """Whether something in a folder has been trained or chosen."""
    return any(path.glob("fold=*/**/predictions.parquet")) or any(path.glob(f"fold=*/{TUNING}"))


def _identity(path: Path) -> str:
    """The identity of the run in a folder; empty where none is, or none that can be read."""
    try:
        return str(json.loads((path / "environment.json").read_text(encoding="utf-8"))["identity"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
