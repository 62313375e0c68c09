"""Counts, lists, durations and sizes in words."""

from collections.abc import Sequence


def counted(number: int, noun: str, plural: str = "") -> str:
    """A count with its noun.

    Args:
        plural: of the noun, where it is not the noun and an s.

    Example:
        >>> counted(1, "patient"), counted(1300, "study", "studies")
        ('1 patient', '1,300 studies')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


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


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever says it in few digits.

    Example:
        >>> duration(48), duration(700), duration(7200)
        ('48 s', '12 min', '2.0 h')
    """
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes in the unit that leaves one to three digits before the point.

    Example:
        >>> size(900), size(24_500_000), size(1.3e9)
        ('900 B', '24 MB', '1.3 GB')
    """
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
