"""Make a model of a finished run: a folder that predicts elsewhere, and holds no patient.

    python -m bcbm.export RUN [out=MODEL] [refit=all] [leaky=true]

Its networks, what was fitted with them, and a model card; MODEL is by default RUN with -model behind it.
refit=all trains once more, on all patients of the run, for as long, and with the thresholds, that its folds
have shown to be right; that model has no figures of its own. A LEAKY run is exported with leaky=true alone,
and its model says so wherever it is used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

KEYS = ("export",)
SHORT = ("out=", "leaky=", "refit=")  # for export.out, export.leaky and export.refit


def _export(words: list[str], console: "Console") -> int:
    from pathlib import Path

    from bcbm.config.compose import compose
    from bcbm.errors import ConfigError
    from bcbm.prediction.export import export
    from bcbm.terminal.command import run_folder

    folders = [word for word in words if "=" not in word or Path(word).is_dir()]
    settings = [f"export.{word}" if word.startswith(SHORT) else word for word in words if word not in folders]
    if others := [word for word in settings if not word.startswith("export.")]:
        name, hint = others[0].partition("=")[0], ""
        if name == "cohort.root":
            hint = "; of a cohort that was moved, fit again=RUN cohort.root=NEW makes the same run there"
        raise ConfigError(f"export: {name} is the run's; known: out, refit, leaky{hint}")
    if len(folders) != 1:
        raise ConfigError(f"export: {len(folders)} runs are named; name one")
    own = compose(settings).export
    run = run_folder(Path(folders[0]), console)
    out = Path(own.out or f"{run}-model").expanduser()
    export(run, out, console, leaky=own.leaky, refit=own.refit == "all")
    return 0


def main() -> int:
    """Export a run folder."""
    from bcbm.terminal.command import over_words

    return over_words(__doc__ or "", _export, KEYS)


if __name__ == "__main__":
    raise SystemExit(main())
