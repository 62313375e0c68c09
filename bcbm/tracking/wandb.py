"""The W&B runs of an experiment or a search, and whether there are any."""

import os
import re
import secrets
import socket
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import SplitResult, urlsplit

from bcbm.config.compose import plain
from bcbm.config.schema import Config
from bcbm.errors import ConfigError
from bcbm.system.processes import rank

if TYPE_CHECKING:
    from wandb import Run

JobType = Literal["fold", "trial", "summary"]
# Where files lie on this machine, and what is said of the runs themselves.
PRIVATE = ("run", "prepared", "tracking", "cohort.root", "cohort.names", "model.weights")
CHECKPOINT = ("state_dict", "hyper_parameters", "pytorch-lightning_version", "epoch", "global_step")
LONGEST = 128  # W&B's limit on a group
PATIENCE = 120  # seconds that the end of a run waits for the service; what is unsent stays on disk


class Tracker:
    """The W&B runs of one experiment or search, one at a time; all that they share.

    Never sent: images of patients, ids, and where files lie on this machine.

    Arguments:
        config: the resolved configuration, which every run carries.
        folder: the runs are kept in its `wandb/`, sent or not.
        group: what they are grouped by: `group_name` of an experiment, or a study's name.
        tags: of every run, see `tags`.

    Raises:
        ConfigError: `tracking.mode=online`, and there is no key.
    """

    def __init__(self, config: Config, folder: Path, group: str, tags: list[str]) -> None:
        self.mode = "off" if rank() > 0 else wandb_mode(config.tracking.mode)
        self.settings = config.tracking
        self.folder = folder
        self.group = group[-LONGEST:]
        self.tags = tags
        self.content = sendable(config)

    def start(
        self, name: str, job_type: JobType, parameters: Mapping[str, object] | None = None
    ) -> "Run | None":
        """Start a run, which ends with its `finish()`; None where nothing is tracked.

        A run of this process that is still alive is finished first. Figures that are logged together with
        `epoch` are drawn over it.

        Arguments:
            name: inside the group.
            job_type: what the run is of.
            parameters: what a trial tries, by dotted key; `config.parameters` of the run.

        Raises:
            ConfigError: `tracking.mode=online`, and W&B refuses.
        """
        if self.mode == "off":
            return None
        import wandb

        try:
            run = self._init(name, job_type, parameters)
        except wandb.Error as error:
            if self.settings.mode == "online":
                said = " ".join(str(error).split())
                raise ConfigError(f"tracking.mode=online: W&B refused ({said}); try mode=auto") from None
            self.mode = "offline"  # for the rest of this experiment
            run = self._init(name, job_type, parameters)
        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch")
        run.define_metric("val/auroc", step_metric="epoch", summary="max")
        run.define_metric("val/loss", step_metric="epoch", summary="min")
        return run

    def send_checkpoint(self, run: "Run", path: Path, fold: int) -> None:
        """Send a fold's checkpoint as an artifact, where that is asked for and somebody is there to take it.

        What is sent loads like the file, without what Lightning and `model.weights` say of paths.
        """
        if not self.settings.checkpoints or self.mode != "online":
            return
        import torch
        import wandb

        content = torch.load(path, map_location="cpu", weights_only=True)
        content = {name: content[name] for name in CHECKPOINT}
        content["hyper_parameters"]["model"]["weights"] = None
        plain_name = re.sub(r"[^\w.-]", "-", f"{self.group}-fold-{fold}", flags=re.ASCII)
        artifact = wandb.Artifact(plain_name[-LONGEST:], "model", metadata={"fold": fold})
        with artifact.new_file("best.ckpt", "wb") as file:
            torch.save(content, file)
        run.log_artifact(artifact)

    def _init(self, name: str, job_type: JobType, parameters: Mapping[str, object] | None) -> "Run":
        import wandb

        quiet = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
            host="unnamed",
            program="bcbm",
            finish_timeout=PATIENCE,
        )
        tried = {name: value for name, value in (parameters or {}).items() if not _is_private(name)}
        return wandb.init(
            id=secrets.token_hex(4),  # WANDB_RUN_ID would make one run of all
            project=self.settings.project,
            entity=self.settings.entity,
            group=self.group,
            job_type=job_type,
            name=f"{self.group}/{name}"[-LONGEST:],
            tags=self.tags,
            dir=str(self.folder),
            config=self.content | ({"parameters": tried} if tried else {}),
            mode="online" if self.mode == "online" else "offline",
            reinit="finish_previous",
            settings=quiet,
        )


def group_name(experiment: str, folder: Path) -> str:
    """The group of an experiment's runs: one a run folder."""
    return f"{experiment}-{folder.name}"[-LONGEST:]


def tags(config: Config, split_hash: str, leaky: bool) -> list[str]:
    """What runs are found by: kind of model, split, and whether they are LEAKY or synthetic."""
    found = [config.model.kind, f"split-{split_hash}"]
    return found + ["LEAKY"] * leaky + ["synthetic"] * (config.cohort.root is None)


def sendable(config: Config) -> dict[str, Any]:
    """The resolved configuration without `PRIVATE`, also where `tune` names it."""
    content = plain(config)
    for name in PRIVATE:
        room, _, last = name.rpartition(".")
        del (content[room] if room else content)[last]
    content["tune"] = {name: values for name, values in content["tune"].items() if not _is_private(name)}
    return content


def _is_private(name: str) -> bool:
    return any(f"{name}.".startswith(f"{private}.") for private in PRIVATE)


def wandb_mode(mode: str) -> str:
    """Resolve auto: online only with a key and a server that answers; W&B is never let ask.

    Raises:
        ConfigError: online without a key.
    """
    address = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    if mode == "online" and not _has_key(address):
        raise ConfigError("tracking.mode=online needs a key: run `wandb login`, or set WANDB_API_KEY")
    if mode != "auto":
        return mode
    wanted = os.environ.get("WANDB_MODE")
    if wanted in {"offline", "disabled"}:
        return "offline" if wanted == "offline" else "off"
    return "online" if _has_key(address) and _answers(address) else "offline"


def _has_key(address: SplitResult) -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:  # where W&B itself looks
        return netrc(os.environ.get("NETRC") or None).authenticators(address.netloc) is not None
    except (OSError, NetrcParseError):
        return False


def _answers(address: SplitResult) -> bool:
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=3).close()
    except OSError:
        return False
    return True
