"""Make a model of a finished run: a folder that predicts elsewhere, and holds no patient.

    python -m bcbm.export RUN [out=MODEL] [leaky=true]

Its networks, what was fitted with them, and a model card; MODEL is by default RUN with -model behind it.
A LEAKY run is exported with leaky=true alone, and its model says so wherever it is used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

TRUTHS = {"true": True, "false": False}


def _export(words: list[str], console: "Console") -> int:
    from pathlib import Path

    from bcbm.errors import ConfigError
    from bcbm.prediction.export import export
    from bcbm.terminal.command import run_folder

    options = dict(word.split("=", 1) for word in words if "=" in word and not Path(word).is_dir())
    folders = [word for word in words if word.partition("=")[0] not in options]
    if unknown := sorted(set(options) - {"out", "leaky"}):
        raise ConfigError(f"export: unknown key '{unknown[0]}'; known: out, leaky")
    if len(folders) != 1:
        raise ConfigError(f"export: {len(folders)} runs are named; name one")
    if (leaky := options.get("leaky", "false")) not in TRUTHS:
        raise ConfigError(f"leaky={leaky}: write true or false")
    run = run_folder(Path(folders[0]), console)
    out = Path(options.get("out") or f"{run}-model").expanduser()
    export(run, out, console, TRUTHS[leaky])
    return 0


def main() -> int:
    """Export a run folder."""
    from bcbm.terminal.command import over_words

    return over_words(__doc__ or "", _export)


if __name__ == "__main__":
    raise SystemExit(main())
