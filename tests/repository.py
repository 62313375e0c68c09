"""Where this repository lies."""

from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
EXPERIMENTS = HOME / "experiments"
