"""Make a model of a finished run: a folder that predicts elsewhere, and holds no patient.

    python -m bcbm.export RUN [out=MODEL] [leaky=true]

Its networks, what was fitted with them, and a model card; MODEL is by default RUN with -model behind it.
A LEAKY run is exported with leaky=true alone, and its model says so wherever it is used.
"""

import sys

TRUTHS = {"true": True, "false": False}


def main() -> int:
    """Export a run folder."""
    from bcbm.terminal.command import errors_in_words, run_folder
    from bcbm.terminal.help import HELP, print_help

    words = sys.argv[1:]
    if not words or HELP & set(words):
        print_help(__doc__ or "")
        return 0

    def work() -> int:
        from pathlib import Path

        from rich.console import Console

        from bcbm.errors import ConfigError
        from bcbm.prediction.export import export

        options = dict(word.split("=", 1) for word in words if "=" in word and not Path(word).is_dir())
        folders = [word for word in words if word.partition("=")[0] not in options]
        if unknown := sorted(set(options) - {"out", "leaky"}):
            raise ConfigError(f"export: unknown key '{unknown[0]}'; known: out, leaky")
        if len(folders) != 1:
            raise ConfigError(f"export: {len(folders)} runs are named; name one")
        if (leaky := options.get("leaky", "false")) not in TRUTHS:
            raise ConfigError(f"leaky={leaky}: write true or false")
        console = Console(highlight=False)
        run = run_folder(Path(folders[0]), console)
        out = Path(options.get("out") or f"{run}-model").expanduser()
        export(run, out, console, TRUTHS[leaky])
        return 0

    return errors_in_words(work)


if __name__ == "__main__":
    raise SystemExit(main())
