"""Where studies are kept: a journal in the sweep's folder, a database, or Optuna's gRPC proxy."""

import json
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential

from bcbm.errors import InputError, Problem

JOURNAL = "journal.log"
PATIENCE = 600.0  # seconds to wait for a lost storage
_BLOCK = 4096  # bytes read at once from the end of a journal

Answer = TypeVar("Answer")


class DamagedJournal(InputError):
    """A journal with a line that is no record, before its end."""


def open_storage(address: str | None, folder: Path) -> BaseStorage:
    """The storage at an address; None: `journal.log` in the folder.

    Args:
        address: `sqlite:///FILE`, `postgresql+psycopg://USER@HOST/NAME` or `grpc://HOST:PORT`.

    Raises:
        InputError: it cannot be opened.
    """
    if not address:
        return _journal(folder / JOURNAL)
    if address in {"sqlite://", "sqlite:///:memory:"}:
        reason = "lives in this process, where no trial can see it"
        raise InputError(Problem(address, reason, "write sqlite:///FILE, or leave storage out"))
    try:
        if address.startswith("grpc://"):
            host, _, port = address.removeprefix("grpc://").rstrip("/").partition(":")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                proxy = GrpcStorageProxy(host=host, port=int(port or 13000))
            proxy.get_all_studies()
            return patient(proxy)
        return patient(get_storage(_database(address.replace("postgresql://", "postgresql+psycopg://"))))
    except ImportError as error:
        remedy = "pip install 'bcbm[sweep]' brings PostgreSQL's driver and gRPC"
        raise InputError(Problem(hidden(address), f"its driver is missing ({error})", remedy)) from None
    except Exception as error:
        remedy = "write sqlite:///FILE, postgresql+psycopg://USER@HOST/NAME or grpc://HOST:PORT"
        details = getattr(error, "details", None)  # of gRPC
        message = str(details()) if callable(details) else str(error.__cause__ or error)
        reason = f"cannot be opened ({hidden(message.splitlines()[0])})"
        raise InputError(Problem(hidden(address), reason, remedy)) from error


def require_begun(address: str) -> None:
    """Refuse a database in a file that is not there, in whose place an empty one would be made.

    Raises:
        InputError: of a search that was begun in it.
    """
    file = address.removeprefix("sqlite:///").partition("?")[0]
    if file != address and not Path(file).is_file():
        remedy = "start from the folder in which the search was begun, or write the whole path"
        raise InputError(Problem(address, "the search was begun in it, and it is not there", remedy))


def hidden(address: str) -> str:
    """An address as it may be shown and written down: without its password, however it is written.

    SQLAlchemy's own hiding shows a password in the query, and what follows an @ inside one.
    """
    shown = re.sub(r"((?:^|/)[^:/@]*:)[^/]*@", r"\1***@", address)
    return re.sub(r"([?&][^=&]*pass[^=&]*=)[^&]*", r"\1***", shown, flags=re.IGNORECASE)


def _database(address: str, tries: int = 5) -> RDBStorage:
    """A database; parents that start at once may be in each other's way while they make its tables."""
    engine: dict[str, Any] = {"pool_pre_ping": True}
    if address.startswith("sqlite"):
        engine["connect_args"] = {"timeout": 60}
    for left in reversed(range(tries)):
        try:
            return RDBStorage(address, engine_kwargs=engine)
        except (ProgrammingError, IntegrityError, OperationalError):
            if not left:
                raise
            time.sleep(0.5)
    raise AssertionError


def _journal(path: Path) -> JournalStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    lock = RepairingLock(path)
    if lock.acquire():
        lock.release()
    try:
        return JournalStorage(RecordsBackend(str(path), lock_obj=lock))
    except DamagedJournal:
        raise
    except Exception as error:  # whatever Optuna makes of a line that is no record of its own
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DamagedJournal:
    message = " ".join(str(error).split()) or type(error).__name__
    remedy = "run the same sweep command again, which takes up what its trials have found"
    return DamagedJournal(Problem(str(path), f"is damaged before its end ({message})", remedy))


class RecordsBackend(JournalFileBackend):
    """The lines of a journal, which may be damaged at any time while it is read."""

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The records from a line on.

        Raises:
            DamagedJournal: one of them is none.
        """
        try:
            for record in super().read_logs(log_number_from):
                if not is_record(record):
                    raise ValueError("a line is no record")
                yield record
        except ValueError as error:
            raise _damaged(Path(self._file_path), error) from None


class RepairingLock(JournalFileOpenLock):
    """The lock of a journal, which repairs it when it is taken: a writer may have been killed within a line.

    The lock is a file made with O_EXCL, which NFS (3 and later) keeps exclusive. Optuna's other lock, a
    symbolic link, finds out how old it is through its target: where that fails, as on a machine that mounts
    the folder elsewhere, a dead holder's lock is never taken over.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._journal = path

    def acquire(self) -> bool:
        """Take the lock, then repair."""
        taken = super().acquire()
        try:
            repair(self._journal)
        except BaseException:
            self.release()
            raise
        return taken


def repair(journal: Path) -> bool:
    """Move an incomplete record from a journal's end to `journal.log.torn`; whether there was any."""
    with journal.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        intact = _intact_length(file, size)
        if intact == size:
            return False
        file.seek(intact)
        with journal.with_name(f"{journal.name}.torn").open("ab") as torn:
            torn.write(file.read() + b"\n")
            torn.flush()
            os.fsync(torn.fileno())
        file.truncate(intact)
        os.fsync(file.fileno())
    return True


def _intact_length(file: BinaryIO, size: int) -> int:
    """Bytes up to the end of the last line that is a record."""
    start, tail = size, b""
    while start or tail:
        while start and b"\n" not in tail[:-1]:
            step = min(start, _BLOCK)
            start -= step
            file.seek(start)
            tail = file.read(step) + tail
        last = tail.rfind(b"\n", 0, len(tail) - 1) + 1
        if tail.endswith(b"\n") and is_record(_parsed(tail[last:])):
            return start + len(tail)
        tail = tail[:last]
    return 0


def records(journal: Path) -> list[dict[str, Any]]:
    """All that can be read of a journal, damaged or not."""
    return [record for line in journal.read_bytes().splitlines() if is_record(record := _parsed(line))]


def is_record(content: Any) -> bool:
    """Whether a line of a journal holds what Optuna writes."""
    return isinstance(content, dict) and {"op_code", "worker_id"} <= content.keys()


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def patiently(call: Callable[[], Answer], patience: float = PATIENCE) -> Answer:
    """Call, again and again while the storage does not answer, and return its answer."""
    retrying = Retrying(
        retry=retry_if_exception(_lost),
        wait=wait_exponential(multiplier=0.1, max=2.0),
        stop=stop_after_delay(patience),
        before_sleep=_warn_once,
        reraise=True,
    )
    return retrying(call)


def _warn_once(state: RetryCallState) -> None:
    if state.attempt_number == 1:
        logging.getLogger("bcbm").warning("the storage does not answer; waiting for it")


def _lost(raised: BaseException) -> bool:
    """Whether an error means that the storage is away, not that a request to it was wrong."""
    error: BaseException | None = raised if isinstance(raised, Exception) else None  # Ctrl-C is not an error
    while error is not None:
        if isinstance(error, OperationalError | InterfaceError):
            return True
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return True
        code = getattr(error, "code", None)  # of a gRPC error, whose library need not be there
        if callable(code) and getattr(code(), "name", "") == "UNAVAILABLE":
            return True
        error = (
            error.__cause__ or error.__context__
        )  # Optuna asks again in another way, which fails in another
    return False


def patient(storage: BaseStorage) -> BaseStorage:
    """The same storage, each of whose calls waits out a lost connection."""

    def waiting(name: str) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return patiently(lambda: getattr(storage, name)(*args, **kwargs))

        return call

    calls = [name for name, member in vars(BaseStorage).items() if callable(member) and name[0] != "_"]
    kind = type("PatientStorage", (BaseStorage,), {name: waiting(name) for name in calls})
    patient_storage: BaseStorage = kind()
    return patient_storage
