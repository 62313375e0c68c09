"""MLflow: runs on the server of MLFLOW_TRACKING_URI, or in a database beside the run folders."""

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from urllib.parse import urlsplit

from lightning.pytorch.loggers import MLFlowLogger

from bcbm.config.compose import flattened
from bcbm.config.schema import Config
from bcbm.errors import ConfigError, Note
from bcbm.runs.owner import sole_owner
from bcbm.tracking import LONGEST, require_package
from bcbm.tracking.logging import LoggingTracker
from bcbm.tracking.service import store_id, stored_id
from bcbm.tracking.settings import sendable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from bcbm.tracking.summary import Summary

ADDRESS = "MLFLOW_TRACKING_URI"
FILE, ARTIFACTS = "mlflow.db", "mlflow"  # in run.root
BATCH = 1000  # figures that MLflow takes in one call
PATIENCE = 60.0  # seconds that a process waits for another that makes the database
# Nothing of its use goes to its makers, a server that is away is not waited for, and the screen is ours.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class MLflowTracker(LoggingTracker[MLFlowLogger]):
    """An MLflow run a part, in the experiment `tracking.project`.

    It gets no name of a user, a program or a machine. A server that fails later ends the tracking, and never
    the run.
    """

    def __init__(self, config: Config, folder: Path, group: str, tags: list[str]) -> None:
        super().__init__(config, folder, group, tags)
        self.address = os.environ.get(ADDRESS) or _database(config)
        self.away = False
        self.experiment = self.attempt(_experiment, config, self.address)

    @classmethod
    def require(cls, config: Config) -> None:
        """Refuse to go without MLflow, or with a server that does not answer.

        Raises:
            ConfigError: it is not installed, or does not answer.
        """
        require_package("mlflow")
        if address := os.environ.get(ADDRESS):
            try:
                client(address).search_experiments(max_results=1)
            except Exception as error:  # whatever a server, a proxy or a database says
                raise ConfigError(
                    f"{ADDRESS}={_shown(address)}: {_reason(error, address)}; start that server, or unset "
                    f"{ADDRESS} to write {_database(config)}"
                ) from None

    def open(self, part: str, kind: str) -> MLFlowLogger | None:
        """The logger of its run: a new one, or the one that was begun before."""
        run_id = self.attempt(self._run, part, kind)
        return None if run_id is None else _Logger(self, run_id)

    def _run(self, part: str, kind: str) -> str:
        """The id of the MLflow run of a part."""
        service, before = client(self.address), stored_id(self.folder, "mlflow", part)
        if before is not None and _is_there(service, before):
            service.update_run(before, status="RUNNING")
            return before
        tags = {"mlflow.runName": f"{self.group}/{part}"[-LONGEST:], "group": self.group, "kind": kind}
        run = service.create_run(self.experiment or "", tags=tags | dict.fromkeys(self.tags, "true"))
        run_id = str(run.info.run_id)
        settings = flattened(sendable(self.config)) | self.parameters
        texts = {name: str(value) for name, value in settings.items()}
        MLFlowLogger(tracking_uri=self.address, run_id=run_id).log_hyperparams(texts)
        store_id(self.folder, "mlflow", part, run_id)
        return run_id

    def send_summary(self, logger: MLFlowLogger, summary: "Summary") -> None:
        """Figures as metrics, pictures as files, tables as MLflow's, what went into the run as data sets."""
        self.attempt(_send, logger, summary)

    def attempt(
        self, call: Callable[Arguments, Result], *values: Arguments.args, **named: Arguments.kwargs
    ) -> Result | None:
        """What a call to MLflow gives; None where it fails, or one before it has."""
        if self.away:
            return None
        try:
            return call(*values, **named)
        except Exception as error:  # whatever a server, a proxy or a database says
            self.away = True
            text = f"MLflow at {_shown(self.address)}: {_reason(error, self.address)}: it gets nothing more "
            warnings.warn(f"{text}of this run, all of which is in the run folder", Note, stacklevel=2)
            return None


class _Logger(MLFlowLogger):
    """Lightning's, which goes on without MLflow."""

    def __init__(self, tracker: MLflowTracker, run_id: str) -> None:
        super().__init__(tracking_uri=tracker.address, run_id=run_id)
        self.tracker = tracker

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.tracker.attempt(super().log_metrics, metrics, step)

    def finalize(self, status: str = "success") -> None:
        self.tracker.attempt(super().finalize, status)


def client(address: str) -> "MlflowClient":
    """MLflow's client, with `ENVIRONMENT` where the user has not said otherwise."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    return MlflowClient(address)


def _experiment(config: Config, address: str) -> str:
    """The id of the experiment, which is made, and the database, by one process at a time."""
    root = Path(config.run.root).absolute()
    local = address == _database(config)
    if local:
        root.mkdir(parents=True, exist_ok=True)
    owner = {f"opening {FILE}": root / f".{FILE}.owner"} if local else {}
    with sole_owner(owner, PATIENCE):
        service = client(address)
        experiment = service.get_experiment_by_name(config.tracking.project)
        if experiment is not None:
            return str(experiment.experiment_id)
        place = (root / ARTIFACTS).as_uri() if local else None
        return str(service.create_experiment(config.tracking.project, place))


def _database(config: Config) -> str:
    return f"sqlite:///{Path(config.run.root).absolute() / FILE}"


def _is_there(service: "MlflowClient", run_id: str) -> bool:
    """Whether a run of before is on this server, and not deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(service.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _send(logger: MLFlowLogger, summary: "Summary") -> None:
    from mlflow.entities import Dataset, DatasetInput

    from bcbm.tracking.summary import LINEAGE

    service, run_id = logger.experiment, str(logger.run_id)
    figures = list(summary.figures.items())
    for start in range(0, len(figures), BATCH):
        logger.log_metrics(dict(figures[start : start + BATCH]))
    for name, path in summary.pictures.items():
        service.log_artifact(run_id, str(path), str(Path(name).parent))
    for name, table in summary.tables.items():
        service.log_table(run_id, table, f"{name}.json")
    lineage = summary.tables[LINEAGE]
    inputs = lineage[lineage["part"] == "all"]
    pairs = zip(inputs["kind"], inputs["hash"], strict=True)
    datasets = [DatasetInput(Dataset(kind, digest, "hash", "bcbm"), []) for kind, digest in pairs]
    service.log_inputs(run_id, datasets)


def _shown(address: str) -> str:
    """An address without its user and password."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _reason(error: Exception, address: str) -> str:
    """The first line of an error, without the password that an address may hold."""
    text = next(iter(str(error).splitlines()), "") or type(error).__name__
    return text.replace(f"{urlsplit(address).netloc.rpartition('@')[0]}@", "") if "@" in address else text
