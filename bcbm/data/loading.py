"""The processes that load batches: how many there is room for, how they start and how they end."""

import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import queues
from pathlib import Path
from time import perf_counter
from types import FrameType, TracebackType
from typing import Any

from torch import multiprocessing as tensors
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset

from bcbm.config.schema import Config
from bcbm.data.dataset import Batch
from bcbm.data.sampler import EpochBatches
from bcbm.system.processes import end_with_parent, ending_signals, held_back, shielded

# Named: a process that was itself started by a fork server would start its workers from nothing, in seconds.
FORK = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
LIMIT = 300.0  # seconds that a batch may take
SHARED = Path("/dev/shm")  # where Linux keeps what processes share
AHEAD = 2  # batches that a process holds ready
IN_HAND = 2  # batches that are read, and moved to the device
TENSORS = 16  # most of a batch, each with a handle of its own
SEMAPHORES = 2**20  # bytes of shared memory that the loaders of a device take themselves
HANDLES = 128  # beside those of batches: files, sockets, what a library opens


@dataclass(frozen=True)
class LoadingPlan:
    """How batches are loaded.

    Attributes:
        workers: processes that load them.
        strategy: of `torch.multiprocessing`, how these share tensors.
        sentence: why, empty where all is as configured.
    """

    workers: int
    strategy: str
    sentence: str = ""


class LoadingError(RuntimeError):
    """A batch did not come in time."""


class TrainingLoader(DataLoader[Batch]):
    """A loader that has the first batches of the next epoch read while the last of this one is learnt from.

    Its processes end without a word when the one that reads from them is ended. A signal that asks for an
    end, which Slurm and systemd send to every process of a job, is the reader's: its loaders go on until it
    has come to a good place.

    Args:
        dataset: what is loaded.
        batches: which items, from the sampler's epoch on.
        options: of `DataLoader`.

    Attributes:
        waited: seconds for which batches were waited for so far.
    """

    def __init__(self, dataset: Dataset[Batch], batches: EpochBatches, **options: Any) -> None:
        super().__init__(dataset, batch_sampler=batches, **options)
        self.batches, self.waited = batches, 0.0
        self.unbroken: Iterator[Batch] = iter(())
        self.next_epoch: int | None = None  # that `unbroken` comes to now; None: it is in the midst of one

    def __iter__(self) -> Any:
        """The batches of the sampler's epoch; where it is not the one that comes now, reading starts anew."""
        begun, epoch = perf_counter(), self.batches.sampler.epoch
        if epoch != self.next_epoch:
            self.unbroken = self._started()
        self.next_epoch = None
        return self._batches(epoch, begun)

    def _batches(self, epoch: int, begun: float) -> Iterator[Batch]:
        for left in reversed(range(len(self))):
            batch = next(self.unbroken)
            self.next_epoch = None if left else epoch + 1
            self.waited += perf_counter() - begun
            yield batch
            begun = perf_counter()

    def _started(self) -> Iterator[Batch]:
        """Start the processes, or have them begin anew; a signal waits until they stand by themselves."""
        with held_back(signal.SIGINT, *ending_signals()), shielded():
            batches = super().__iter__()
        return _in_time(batches) if self.num_workers else batches


def _in_time(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Batches none of which may take longer than `LIMIT`, by a clock that interrupts this thread.

    DataLoader has a `timeout`; with it, it no longer looks every few seconds whether its processes live.

    Raises:
        LoadingError: one takes longer.
        RuntimeError: a process has ended, also in the middle of handing one over.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield from batches
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise LoadingError(f"no batch came in {LIMIT:.0f} s")

    while True:
        before = signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, LIMIT)
        try:
            batch = next(batches, None)
        except (EOFError, ConnectionError) as error:
            if "DataLoader worker process" in str(error):  # its own, of what it has read
                raise
            raise RuntimeError("DataLoader worker exited while it handed over a batch") from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        if batch is None:
            return
        yield batch


def loading_plan(config: Config, beside: int) -> LoadingPlan:
    """How many processes load batches, and how they share them, on this machine.

    What is on its way from them lies in shared memory and, one tensor each, behind open handles. Where the
    handles would not do, tensors are shared by name; where the memory would not do, fewer processes load, or
    the one that trains does.

    Args:
        config: the experiment.
        beside: the folds or ranks that this machine trains at once, each with loaders of its own.
    """
    strategy, free = tensors.get_sharing_strategy(), _free_shared_memory()

    def needed(workers: int) -> int:
        return beside * ((AHEAD * workers + IN_HAND) * batch_bytes(config) + SEMAPHORES)

    most = config.data.workers
    workers = most if free is None else max(n for n in range(most + 1) if not n or needed(n) <= free)
    if workers < most:
        text = f"data.workers={workers} in place of {most}: batches on their way would take "
        text += f"{megabytes(needed(most))} MB of shared memory, and {SHARED} has {megabytes(free or 0)} MB "
        return LoadingPlan(workers, strategy, f"{text}left; give it more, as with docker run --shm-size=1g")
    handles, allowed = (AHEAD * workers + IN_HAND) * TENSORS + HANDLES, _most_handles()
    if workers and strategy == "file_descriptor" and allowed is not None and handles > allowed:
        text = f"tensors are shared by name (file_system): {workers} data.workers may need {handles} open "
        return LoadingPlan(workers, "file_system", f"{text}files, and {allowed} are allowed (ulimit -n)")
    return LoadingPlan(workers, strategy)


def batch_bytes(config: Config) -> int:
    """What a batch of training takes of shared memory on a device: its crops, and a page a tensor."""
    lesions = -(-config.data.batch_size // config.trainer.ranks)
    crops = 0
    if "image" in config.task.modalities:
        channels = len(config.task.sequences) + config.model.mask_channel
        crops = channels * config.features.crop_size**3 * (2 if config.augment.where == "device" else 4)
    return lesions * (crops + 1024) + TENSORS * 4096


def _free_shared_memory() -> int | None:
    """Bytes that are left of the memory that processes share; None where it is not limited by itself."""
    if not SHARED.is_dir():
        return None
    room = os.statvfs(SHARED)
    return room.f_bavail * room.f_frsize


def _most_handles() -> int | None:
    """How many files this process may have open; None where it is not limited."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def megabytes(size: int) -> int:
    """Bytes in megabytes, rounded up."""
    return -(-size // 2**20)


def end_quietly(worker: int, strategy: str) -> None:
    """Let a process that loads batches leave the last word to the one that reads them, and end with it.

    PyTorch's own watch takes whoever is the parent when it begins for the reader: one that was killed before
    that would be waited for without end. Ctrl-C reaches every process of a terminal, and the reader ends its
    loaders itself. Python's thread that hands over the memory of a batch calls it an error if the reader is
    gone by then; other errors are shown. That thread would also lose a batch that it cannot hand over, with
    the reader waiting for it: it hands over its error.

    Args:
        worker: its number.
        strategy: how it shares tensors.
    """
    end_with_parent(lead=False)
    tensors.set_sharing_strategy(strategy)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=_end_for_reader, daemon=True).start()
    queues.Queue._on_queue_feeder_error = _hand_over_error  # type: ignore[attr-defined]
    show = sys.excepthook

    def show_unless_left(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        # In the middle of a message the end of a connection is an OSError without a number.
        half = isinstance(error, OSError) and error.errno is None
        if not (half or isinstance(error, ConnectionError | EOFError)):
            show(kind, error, trace)

    sys.excepthook = show_unless_left


def _end_for_reader() -> None:
    """End when the reader sends a signal, as PyTorch does in the end; take no notice of anybody else's."""
    reader = multiprocessing.parent_process()
    while reader is not None:  # the signals are blocked here, see `shielded`, and so can be waited for
        if signal.sigwaitinfo(ending_signals()).si_pid == reader.pid:
            os._exit(0)


def _hand_over_error(batches: "queues.Queue[Any]", error: Exception, item: tuple[Any, ...]) -> None:
    """Send the reader the error in place of the batch of this number."""
    batches.put((item[0], ExceptionWrapper((type(error), error, None), "in DataLoader worker process")))


def loading_failure(error: Exception) -> tuple[str, str] | None:
    """What became of the processes that load batches and what to do, if an error tells of them."""
    text = " ".join(str(error).split())
    if not (
        isinstance(error, LoadingError) or any(word in text for word in ("DataLoader", "workers", "ancdata"))
    ):
        return None
    fewer = "use fewer data.workers (0: the process that trains loads them itself) and run the same command"
    room = f"give {SHARED} more room (docker run --shm-size=1g), or {fewer}"
    limit = f"raise the limit of open files (ulimit -n), or {fewer}"
    if isinstance(error, LoadingError):
        return f"{text} from the processes that load them", f"check the disk that holds the crops, or {fewer}"
    if "Too many open files" in text or "ancdata" in text:
        return "the processes that load batches ran out of open files", limit
    if "Bus error" in text or "No space left on device" in text:
        return "the processes that load batches ran out of shared memory", room
    if ended := re.search(r"DataLoader worker .*?(killed by signal: [\w ]+|exited)", text):
        verb = "was " if ended[1].startswith("killed") else ""
        return f"a process that loads batches {verb}{ended[1]}", f"check whether memory ran out; {fewer}"
    return None
