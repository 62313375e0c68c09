"""What is wrong with the input: one line each, collected, shown together before work starts."""

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# How torch, oneDNN, OpenMP, SimpleITK and the system's loader say it.
NO_MEMORY = re.compile(
    "allocate memory|out of memory|bad_alloc|start new thread|failed to map segment|create a primitive",
    re.IGNORECASE,
)

SILENCE = 3.0  # seconds that something may be waited for without a word


@dataclass(frozen=True)
class Problem:
    """One defect: where it was found, what was found, what to do about it, and its kind in a few words."""

    where: str
    found: str
    remedy: str
    kind: str = "unusable input"

    def __str__(self) -> str:
        return f"{self.where}: {self.found}; {self.remedy}"


class InputError(ValueError):
    """Input that cannot be worked with; carries every problem found, one a line."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, a library's, or that a worker was killed."""
    from concurrent.futures import BrokenExecutor  # which `--help` does without

    if isinstance(error, MemoryError | BrokenExecutor):
        return True
    return isinstance(error, RuntimeError | ImportError | OSError) and bool(NO_MEMORY.search(str(error)))


@contextmanager
def readable(where: object, remedy: str) -> Iterator[None]:
    """Turn what a missing or damaged file raises into an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # whatever a library makes of such a file
        if out_of_memory(error):
            raise
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(Problem(str(where), f"is damaged ({message})", remedy)) from error


class Note(UserWarning):
    """What a user should know and need not correct; a command prints it as one line."""


@contextmanager
def note_if_long(text: str) -> Iterator[None]:
    """Say what is waited for, if what is inside takes longer than a few seconds."""
    timer = threading.Timer(SILENCE, warnings.warn, (text, Note))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says which key and what to write instead."""
