"""Print what completes the words of `bcbm` in bash or zsh.

python -m bcbm.completion bash|zsh

bash: `source <(bcbm completion bash)`, or write it to ~/.local/share/bash-completion/completions/bcbm
zsh: `source <(bcbm completion zsh)` behind compinit, or write it to a folder of $fpath as _bcbm
"""

import sys

from bcbm.terminal.help import HELP, print_help, show


def main() -> int:
    """Print the completion of a shell."""
    from bcbm.config.checks import nearest
    from bcbm.terminal.completion import SHELLS

    words = sys.argv[1:]
    if not words or HELP & set(words):
        print_help(__doc__ or "")
        return 0
    if words[0] not in SHELLS:
        print(f"error '{words[0]}' has no completion; {nearest(words[0], list(SHELLS))}", file=sys.stderr)
        return 2
    show(SHELLS[words[0]]())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
