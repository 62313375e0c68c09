"""What a cohort format is: how its folder is recognised and read, and what makes it another cohort."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bcbm.system.content import file_key
from bcbm.system.files import files_below

if TYPE_CHECKING:  # names of formats are known without tables
    from bcbm.cohort.download import Download
    from bcbm.cohort.targets import Target


def files_content(root: Path) -> str:
    """A name for the content of all files below a folder, wherever it lies; for each see `file_key`."""
    digest = hashlib.sha256()
    for path in files_below(root):
        digest.update(os.fsencode(path.relative_to(root)) + b"\0" + file_key(path))
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Format:
    """A layout of cohorts.

    Attributes:
        words: what a folder of this format holds, for messages.
        recognises: whether a folder is one, from the names of its files.
        read: the download in a folder, with a label column for every target that it has and the images of
            further sequences (such as `flair`) where the run needs them. It raises InputError for what cannot
            be read at all, and collects everything else as the download's problems, and cells that are no
            plain values, as `cohort.cells` reads them, as its `odd_cells`.
        content: a hash of the files that make the cohort what it is; another hash is another cohort.
        lesion_labels: whether lesions of a study can have labels of their own (`cohort.labels=lesion`).
    """

    words: str
    recognises: Callable[[Path], bool]
    read: "Callable[[Path, Mapping[str, Target], Sequence[str]], Download]"
    content: Callable[[Path], str] = files_content
    lesion_labels: bool = False
