"""A real browser without a display, for pages: what it renders, says in its console and looks like."""

import shutil
import subprocess
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")
OFFLINE = ("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9")
DARK = "--blink-settings=preferredColorScheme=0"


def browse(page: Path, *flags: str) -> tuple[str, str]:
    """Open a page without a network: what the flags ask for on stdout, and the lines of its console."""
    program = next((path for path in map(shutil.which, NAMES) if path), None)
    if program is None:
        pytest.skip(f"no browser is installed, none of {', '.join(NAMES)}")
    profile = f"--user-data-dir={page.parent / '.browser'}"
    words = [program, *QUIET, *OFFLINE, profile, "--enable-logging=stderr", *flags, page.resolve().as_uri()]
    process = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    console = [line for line in process.stderr.splitlines() if "CONSOLE" in line]
    return process.stdout, "\n".join(console)


def picture(page: Path, width: int = 1000, height: int = 1600, *flags: str) -> np.ndarray:
    """A screenshot, (H, W, 3) of 0 to 1."""
    shot = page.parent / "shot.png"
    browse(page, f"--window-size={width},{height}", f"--screenshot={shot}", *flags)
    return matplotlib.image.imread(shot)[..., :3]


def share_of(pixels: np.ndarray, color: str) -> float:
    """Share of a picture that has a colour such as #c8102e."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return float((np.abs(pixels - rgb).max(axis=2) < 0.02).mean())
