"""The versions of this package, Python and torch, and the devices to train on."""

import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bcbm.system.version import __version__


def versions() -> str:
    """One line each, without loading torch."""
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "not installed"
    place = Path(__file__).resolve().parents[1]
    return (
        f"bcbm {__version__} ({place})\nPython {platform.python_version()}\ntorch {torch}\ndevice {_device()}"
    )


def _device() -> str:
    """The GPUs that the driver lists, else what the processor is."""
    if (command := shutil.which("nvidia-smi")) is not None:
        try:
            words = [command, "--query-gpu=name", "--format=csv,noheader"]
            answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=5)
        except (OSError, subprocess.SubprocessError):
            return "nvidia-smi does not answer; CPU"
        return ", ".join(answer.stdout.splitlines()) or "CPU"
    return "MPS" if sys.platform == "darwin" and platform.machine() == "arm64" else "CPU"
