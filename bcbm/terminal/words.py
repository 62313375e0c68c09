"""Words on a screen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def say(console: "Console", text: str) -> None:
    """Print a text as it stands: no markup in it, no colour by guess, no line broken."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def listed(words: Sequence[str], shown: int | None = None) -> str:
    """Words as a list in a sentence; of many, the first ones and how many more there are.

    Example:
        >>> listed(["ER", "PR", "HER2"]), listed(["ER", "PR", "HER2"], shown=1)
        ('ER, PR and HER2', 'ER and 2 more')
    """
    words = list(words)
    if shown is not None and len(words) > shown:
        words = [*words[:shown], f"{len(words) - shown} more"]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
