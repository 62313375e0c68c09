"""`bcbm VERB [key=value ...]` is `python -m bcbm.VERB [key=value ...]`; alone it lists the verbs."""

import runpy
import sys

from bcbm.terminal.help import HELP, asks_for_all, commands, print_help, show


def main() -> int:
    """Run the command that the first word names."""
    from bcbm.terminal.doors import doors, manual

    verb, *words = sys.argv[1:] or ["--help"]
    if verb in HELP:
        show(commands())
        return 0
    if verb == "--version":
        from bcbm.terminal.version import versions

        show(versions())
        return 0
    known = doors()
    if verb not in known:
        from bcbm.config.checks import nearest

        print(f"error '{verb}' is not a command; {nearest(verb, list(known))}", file=sys.stderr)
        return 2
    if HELP & set(words):
        usage, keys = manual(verb)
        print_help(usage, keys, asks_for_all(words))
        return 0
    # As `python -m` runs it: processes that it starts again, such as other ranks, then find the same module.
    sys.argv = [sys.argv[0], *words]
    runpy.run_module(f"bcbm.{verb}", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
