"""Imported first by a fork server: it ends with its parent, also while it imports what others share.

Python's own looks after its parent only when it has imported all, which takes a busy machine a while.
"""

import os
import signal
import sys
from types import FrameType

from bcbm.system.memory import seldom_collected

LOOK = 0.5  # seconds between two looks
SERVER, PARENT = os.getpid(), os.getppid()


def _end_if_orphaned(number: int, frame: FrameType | None) -> None:
    if os.getpid() == SERVER and os.getppid() != PARENT:  # what is forked inherits the handler, not the clock
        os._exit(1)


if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
    signal.signal(signal.SIGALRM, _end_if_orphaned)
    signal.setitimer(signal.ITIMER_REAL, LOOK, LOOK)
    seldom_collected()
