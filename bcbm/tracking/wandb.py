"""Weights & Biases: the runs of an experiment or a search, and whether there are any."""

import hashlib
import json
import os
import re
import secrets
import warnings
from collections.abc import Mapping
from contextlib import suppress
from netrc import NetrcParseError, netrc
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, urlsplit

from bcbm.config.schema import Config
from bcbm.errors import ConfigError, Note
from bcbm.tracking import LONGEST, Tracker, part_name
from bcbm.tracking.service import answers, store_id, stored_id
from bcbm.tracking.settings import sendable, tried

if TYPE_CHECKING:
    import pandas as pd
    from lightning.pytorch.loggers import Logger
    from wandb import Run, Table
    from wandb.plot import CustomChart

    from bcbm.runs.finished import FinishedRun
    from bcbm.tracking.summary import Summary

JobType = Literal["fold", "trial", "summary"]
CHECKPOINT = ("state_dict", "hyper_parameters", "pytorch-lightning_version", "epoch", "global_step")
AGENT = "WANDB_SWEEP_ID"  # in the environment of what an agent of W&B starts
IMPORTED = ("wandb", "wandb.apis.public", "wandb.sdk.launch.inputs")  # by the start of a run
LASTING = Path("/var/tmp")
PATIENCE = 120  # seconds that the end of a run waits for the service; what is unsent stays on disk


class WandbTracker(Tracker):
    """The W&B runs of one experiment or search, one at a time; all that they share.

    Every run carries the configuration and is kept in the folder's `wandb/`, sent or not. Never sent: images
    of patients, ids, and where files lie on this machine.

    Raises:
        ConfigError: `tracking.mode=online`, and there is no key.
    """

    def __init__(self, config: Config, folder: Path, group: str, tags: list[str]) -> None:
        super().__init__(config, folder, group, tags)
        self.mode = wandb_mode(config.tracking.mode)
        self.settings = config.tracking
        self.content = sendable(config)
        self.run: Run | None = None
        self.again = AGENT in os.environ  # each trial of an agent waits for its figure
        os.environ.setdefault("WANDB_DATA_DIR", _staging())

    @classmethod
    def modules(cls, config: Config) -> tuple[str, ...]:
        """W&B and what a run of it imports when it starts, more than a second of every fold."""
        return () if config.tracking.mode == "off" else IMPORTED

    @classmethod
    def require(cls, config: Config) -> None:
        """Refuse `tracking.mode=online` without a key."""
        if config.tracking.mode == "online":
            wandb_mode("online")

    def start_fold(self, number: int, seed: int) -> "Logger | None":
        """A run of the fold's training, which gets its curves; an agent's trial is one run, the summary."""
        if self.again:
            return None
        self.run = self.start(part_name(number, seed), "fold")
        if self.run is None:
            return None
        from lightning.pytorch.loggers import WandbLogger

        return WandbLogger(experiment=self.run)

    def end_fold(self, number: int, seed: int, checkpoint: Path | None) -> None:
        """Send the checkpoint where that is asked for, and finish the fold's run."""
        if checkpoint is not None:
            self.send_checkpoint(checkpoint, number, seed)
        self.finish()

    def end_run(self, run: "FinishedRun") -> None:
        """A run of the summary: figures, curves, and predictions under pseudonyms."""
        self.run = self.start("summary", "summary")
        if self.run is not None:
            from bcbm.tracking.summary import summary_of

            self.send_summary(summary_of(run))
        self.finish()

    def start_trial(self, name: str, settings: Mapping[str, object]) -> None:
        """A run of the trial."""
        self.run = self.start(name, "trial", settings)

    def log_trial(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Draw the figures over the epoch."""
        if self.run is not None:
            self.run.log({"epoch": epoch, **figures})

    def end_trial(self, values: Mapping[str, float]) -> None:
        """Finish the trial's run, with its objectives in its summary."""
        if self.run is not None:
            self.run.summary.update(dict(values))
        self.finish()

    def send_summary(self, summary: "Summary") -> None:
        """Fill the summary run; curves and confusion matrices are charts over their tables."""
        import wandb

        from bcbm.tracking.summary import LINEAGE, OUT_OF_FOLD

        assert self.run is not None
        self.run.summary.update(summary.figures)
        pictures = {name: wandb.Image(str(path)) for name, path in summary.pictures.items()}
        tables = {name: _table(summary.tables[name]) for name in (OUT_OF_FOLD, LINEAGE)}
        self.run.log({**charts(summary), **pictures, **tables})
        if self.mode == "online" and answers(_address()):  # offline W&B takes no inputs of a run
            try:
                self.send_lineage(summary.tables[LINEAGE])
            except Exception as error:  # whatever the service says
                reason = next(iter(str(error).splitlines()), "")
                warnings.warn(f"W&B did not take the lineage of the run ({reason})", Note, stacklevel=2)

    def send_lineage(self, lineage: "pd.DataFrame") -> None:
        """Send an artifact a kind, which holds hashes and nothing else: weights come out of the run, the
        others went into it.
        """
        import wandb

        assert self.run is not None
        for name, rows in lineage.groupby("kind", sort=False):
            kind, hashes = str(name), dict(zip(rows["part"], rows["hash"], strict=True))
            content = json.dumps(hashes, sort_keys=True)
            digest = hashes.get("all") or hashlib.sha256(content.encode()).hexdigest()[:16]
            artifact = wandb.Artifact(f"{kind}-{digest}", kind, metadata=hashes)
            with artifact.new_file("hashes.json", "w") as file:
                file.write(content)
            if kind == "weights":
                self.run.log_artifact(artifact)
            else:
                self.run.use_artifact(artifact)

    def finish(self) -> None:
        """Finish the run that was started last."""
        if self.run is not None:
            self.run.finish()
            self.run = None

    def start(
        self, name: str, job_type: JobType, parameters: Mapping[str, object] | None = None
    ) -> "Run | None":
        """Start a run, or go on with it where it was begun before; None where nothing is tracked.

        A run of this process that is still alive is finished first. Figures that are logged together with
        `epoch` are drawn over it.

        Args:
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
                reason = " ".join(str(error).split())
                raise ConfigError(f"tracking.mode=online: W&B refused ({reason}); try mode=auto") from None
            self.mode = "offline"  # for the rest of this experiment
            wandb.teardown()  # else the id is in use
            run = self._init(name, job_type, parameters)
        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch")
        run.define_metric("val/auroc", step_metric="epoch", summary="max")
        run.define_metric("val/loss", step_metric="epoch", summary="min")
        return run

    def send_checkpoint(self, path: Path, fold: int, seed: int) -> None:
        """Send a training's checkpoint as an artifact, where that is asked for and somebody takes it.

        What is sent loads like the file, without what Lightning and `model.weights` say of paths.
        """
        if self.run is None or not self.settings.checkpoints or self.mode != "online":
            return
        import torch
        import wandb

        content = torch.load(path, map_location="cpu", weights_only=True)
        content = {name: content[name] for name in CHECKPOINT}
        content["hyper_parameters"]["model"]["weights"] = None
        plain_name = re.sub(
            r"[^\w.-]", "-", f"{self.group}-fold-{fold}" + f"-seed-{seed}" * (seed > 0), flags=re.ASCII
        )
        artifact = wandb.Artifact(plain_name[-LONGEST:], "model", metadata={"fold": fold, "seed": seed})
        with artifact.new_file("best.ckpt", "wb") as file:
            torch.save(content, file)
        self.run.log_artifact(artifact)

    def _init(self, name: str, job_type: JobType, parameters: Mapping[str, object] | None) -> "Run":
        import wandb

        quiet = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,  # all that is installed, a house's own packages too
            host="unnamed",
            program="bcbm",
            finish_timeout=PATIENCE,
        )
        trial = {"parameters": tried(parameters)} if parameters else {}
        run_id = stored_id(self.folder, "wandb", name) or secrets.token_hex(4)
        store_id(self.folder, "wandb", name, run_id)
        return wandb.init(
            id=run_id,  # WANDB_RUN_ID would make one run of all
            resume="allow",
            project=self.settings.project,
            entity=self.settings.entity,
            group=self.group,
            job_type=job_type,
            name=f"{self.group}/{name}"[-LONGEST:],
            tags=self.tags,
            dir=str(self.folder),
            config=self.content | trial,
            mode="online" if self.mode == "online" else "offline",
            reinit="finish_previous",
            settings=quiet,
        )


def charts(summary: "Summary") -> dict[str, "CustomChart"]:
    """W&B's own charts over the tables of curves and of confusion matrices."""
    import wandb

    from bcbm.tracking.summary import TITLES

    drawn = {}
    for name, table in summary.tables.items():
        if name in TITLES:
            title, xname = TITLES[name]
            spec, fields = "wandb/lineseries/v0", {"step": "x", "lineKey": "line", "lineVal": "y"}
            texts = {"title": summary.mark + title, "xname": xname}
        elif name.startswith("confusion/"):
            target = name.removeprefix("confusion/")
            spec, fields = "wandb/confusion_matrix/v1", {"Actual": "actual", "Predicted": "predicted"}
            fields["nPredictions"] = "patients"
            texts = {"title": f"{summary.mark}{target} of patients at the thresholds of their folds"}
        else:
            continue
        drawn[name] = wandb.plot_table(spec, _table(table), fields, texts)
    return drawn


def _table(table: "pd.DataFrame") -> "Table":
    import wandb

    return wandb.Table(columns=[str(name) for name in table], data=table.to_numpy())


def wandb_mode(mode: str) -> str:
    """Resolve auto: online only with a key and a server that answers; W&B is never let ask.

    Raises:
        ConfigError: online without a key.
    """
    address = _address()
    if mode == "online" and not _has_key(address):
        raise ConfigError("tracking.mode=online needs a key: run `wandb login`, or set WANDB_API_KEY")
    if mode != "auto":
        return mode
    set_mode = os.environ.get("WANDB_MODE")
    if set_mode in {"offline", "disabled"}:
        return "offline" if set_mode == "offline" else "off"
    return "online" if _has_key(address) and answers(address) else "offline"


def _staging() -> str:
    """The folder where W&B lays copies until they are sent, whose place it sends with them.

    By default that is in the home folder, which is named after a person. Offline they wait for `wandb sync`,
    so this is the one that outlives a restart of the machine, as far as there is one.
    """
    if not hasattr(os, "getuid") or not LASTING.is_dir():
        return mkdtemp(prefix="wandb-")
    folder = LASTING / f"wandb-{os.getuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid == os.getuid():
            return str(folder)
    return mkdtemp(prefix="wandb-")  # somebody else has made that one


def _address() -> SplitResult:
    return urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))


def _has_key(address: SplitResult) -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:  # where W&B itself looks
        return netrc(os.environ.get("NETRC") or None).authenticators(address.netloc) is not None
    except (OSError, NetrcParseError):
        return False
