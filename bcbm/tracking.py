"""The run folder, which is the truth, and Weights & Biases on top of it."""

import hashlib
import json
import os
import platform
import socket
import subprocess
from datetime import datetime
from importlib.metadata import version
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from bcbm.config import HOME, ConfigError, plain, to_yaml
from bcbm.schema import Config

PACKAGES = (
    *("bcbm", "lightning", "torch", "torchio", "monai", "pyradiomics-bhklab", "SimpleITK"),
    *("numpy", "pandas", "wandb"),
)
# What may differ between two starts of the same run.
NOT_IDENTITY = ("run", "tracking", "fold", "prepared", "bootstrap")


class RunFolder:
    """`<run.root>/<experiment>/<time>/`: all that a run was and found, each file written whole or not at all.

    A fold is finished when `fold=K/predictions.parquet` stands, a run when `results.json` does.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, config: Config, cohort: str, split_file: str, split_hash: str) -> "RunFolder":
        """The folder to go on with: `run.folder`, else the newest of the same configuration, else a new one.

        Raises:
            ConfigError: `run.folder` holds a run of another configuration, cohort or split.
        """
        identity = fingerprint(config, cohort, split_hash)
        home = Path(config.run.root) / config.experiment
        known = [Path(config.run.folder)] if config.run.folder else sorted(home.glob("*"), reverse=True)
        for path in known:
            found = _identity(path)
            if found == identity:
                return cls(path)
            if found and config.run.folder:
                raise ConfigError(
                    f"{path} holds a run of another configuration, cohort or split; choose another run.folder"
                )
        now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        path = Path(config.run.folder) if config.run.folder else home / now
        while not config.run.folder and path.exists():
            path = path.with_name(path.name + "+")
        folder = cls(path)
        folder.write("config.yaml", to_yaml(config))
        folder.write("split.json", split_file)
        surroundings = environment(config, cohort, split_hash, identity)
        folder.write("environment.json", json.dumps(surroundings, indent=1))
        return folder

    def fold(self, number: int) -> Path:
        """The folder of a fold."""
        return self.path / f"fold={number}"

    def write(self, name: str, content: str | pd.DataFrame) -> None:
        """Write a file whole: beside its place first, then moved there."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        if isinstance(content, str):
            partial.write_text(content)
        else:
            content.to_parquet(partial)
        partial.replace(path)

    def predictions(self, number: int) -> pd.DataFrame | None:
        """The prediction table of a fold, or None while it is not finished."""
        path = self.fold(number) / "predictions.parquet"
        return pd.read_parquet(path) if path.is_file() else None


def fingerprint(config: Config, cohort: str, split_hash: str) -> str:
    """What makes two starts the same run: configuration, cohort content and split."""
    content = {name: value for name, value in plain(config).items() if name not in NOT_IDENTITY}
    for path in ("root", "names"):  # their content is in `cohort`
        content["cohort"].pop(path)
    text = json.dumps([content, cohort, split_hash], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def environment(config: Config, cohort: str, split_hash: str, identity: str) -> dict[str, Any]:
    """Versions, commit, seed and hashes: what it takes to run it again."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version(name) for name in PACKAGES},
        "commit": _commit(),
        "seed": config.seed,
        "cohort": cohort,
        "split": split_hash,
        "identity": identity,
    }


def _identity(path: Path) -> str:
    file = path / "environment.json"
    return str(json.loads(file.read_text()).get("identity", "")) if file.is_file() else ""


def _commit() -> str:
    command = ["git", "-C", str(HOME), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return "unknown"
    return answer.stdout.strip() or "unknown"


def wandb_mode(mode: str) -> str:
    """Resolve auto: online only with a key and a server that answers; W&B is never let ask."""
    if mode != "auto":
        return mode
    address = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    host = address.hostname or ""
    if os.environ.get("WANDB_MODE") in {"offline", "disabled"}:
        return "offline" if os.environ["WANDB_MODE"] == "offline" else "off"
    try:
        known = bool(os.environ.get("WANDB_API_KEY")) or netrc().authenticators(host) is not None
    except (OSError, NetrcParseError):
        known = False
    if not known:
        return "offline"
    try:
        socket.create_connection((host, address.port or 443), timeout=3).close()
    except OSError:
        return "offline"
    return "online"


class Tracker:
    """Weights & Biases runs of one experiment: one a fold and a summary, never two alive at once.

    Neither images nor rows of patients are sent, nor where files lie on this machine.
    """

    def __init__(self, config: Config, folder: RunFolder, tags: list[str]) -> None:
        self.mode = wandb_mode(config.tracking.mode)
        self.settings = config.tracking
        self.folder = folder
        self.group = f"{config.experiment}-{folder.path.name}"
        self.tags = tags
        content = plain(config)
        for room in ("run", "prepared", "tracking"):
            content.pop(room)
        for path in ("root", "names"):
            content["cohort"].pop(path)
        self.content = content

    def start(self, name: str, job_type: str) -> Any:
        """Start a W&B run, or return None when tracking is off."""
        if self.mode == "off":
            return None
        import wandb

        quiet = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
        )
        return wandb.init(
            project=self.settings.project,
            entity=self.settings.entity,
            group=self.group,
            job_type=job_type,
            name=f"{self.group}/{name}",
            tags=self.tags,
            dir=str(self.folder.path),
            config=self.content,
            mode="online" if self.mode == "online" else "offline",
            reinit="finish_previous",
            settings=quiet,
        )

    def summarise(self, results: dict[str, Any]) -> None:
        """A run with the final figures as summary values, and the ROC curves."""
        run = self.start("summary", "summary")
        if run is None:
            return
        import wandb

        for receptor, found in results["receptors"].items():
            for level in ("patient", "lesion"):
                for figure, value in found[level].items():
                    run.summary[f"{receptor}/{level}/{figure}"] = value
            run.summary[f"{receptor}/folds/mean"] = found["folds"]["mean"]
            run.summary[f"{receptor}/folds/std"] = found["folds"]["std"]
        run.summary["leaky"] = results["leaky"]
        run.log({"roc": wandb.Image(str(self.folder.path / "figures" / "roc.png"))})
        run.finish()
