"""The processes that load batches: how they start and how they end."""

import multiprocessing
import signal
import sys
from types import TracebackType
from typing import Any

from torch.utils.data import DataLoader

from bcbm.data.dataset import Batch
from bcbm.system.processes import end_with_parent, ending_signals, held_back

# Named: a process that was itself started by a fork server would start its workers from nothing, in seconds.
FORK = "fork" if "fork" in multiprocessing.get_all_start_methods() else None


class TrainingLoader(DataLoader[Batch]):
    """A loader whose processes end without a word when the one that reads from them is ended."""

    def __iter__(self) -> Any:
        """Start the processes, or have them go on; a signal waits until they stand on their own feet."""
        with held_back(signal.SIGINT, *ending_signals()):
            return super().__iter__()


def end_quietly(worker: int) -> None:
    """Let a process that loads batches leave the last word to the one that reads them, and end with it.

    PyTorch's own watch takes whoever is the parent when it begins for the reader: one that was killed before
    that would be waited for without end. Ctrl-C reaches every process of a terminal, and the reader ends its
    loaders itself. Python's thread that hands over the memory of a batch calls it an error if the reader is
    gone by then; other errors are shown.

    Args:
        worker: its number.
    """
    end_with_parent(lead=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    show = sys.excepthook

    def show_unless_left(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        # In the middle of a message the end of a connection is an OSError without a number.
        half = isinstance(error, OSError) and error.errno is None
        if not (half or isinstance(error, ConnectionError | EOFError)):
            show(kind, error, trace)

    sys.excepthook = show_unless_left
