"""One kind of bad input: what is damaged, which command meets it, and what it has to say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TABLES = ("task.modalities=[radiomics,position]", "cohort.position=name")
IMAGES = ("task.modalities=[image]", "cohort.position=name", "features.crop_size=8")
Damage = Callable[[Path], Sequence[str] | None]

# How a command meets it, as the table of docs/reference says it.
REFUSED = "refused before any work"
SAID = "said, and the work goes on"
ANEW = "made anew, with the same result"


@dataclass(frozen=True)
class Kind:
    """A kind of bad input or damage.

    Attributes:
        name: what is wrong, in words.
        command: the verb that meets it.
        facts: what one line of the screen holds together, such as the file, the row, the key.
        end: how the command meets it: REFUSED, SAID or ANEW.
        lost: how many lesions do not enter for it.
        given: what is damaged: a `download`, an `export` of a scanner, a finished `run`, a `prepared` folder,
            a `model`, or nothing.
        words: of the command line, behind those that name what is given.
        damage: does it to the folder that it is given; may return further words.
    """

    name: str
    command: str
    facts: tuple[str, ...]
    end: str
    lost: int
    given: str
    words: tuple[str, ...]
    damage: Damage


KINDS: dict[str, Kind] = {}


def kind(
    name: str,
    *facts: str,
    command: str = "prepare",
    end: str = REFUSED,
    lost: int = 0,
    given: str = "download",
    words: tuple[str, ...] = TABLES,
) -> Callable[[Damage], Damage]:
    """Add a kind; see `Kind`."""

    def added(damage: Damage) -> Damage:
        assert name not in KINDS
        KINDS[name] = Kind(name, command, facts, end, lost, given, words, damage)
        return damage

    return added
