"""Lesions of a run that are worth a look, and where their pictures lie."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bcbm.errors import readable
from bcbm.system.files import read_json, write_whole

VIEWS = "views"  # folder of a run that holds them, and its list
REMEDY = "remove it, and run the same fit command again"
Kind = Literal["error", "look-alike", "doubt"]


@dataclass(frozen=True)
class View:
    """A lesion to look at: as an error of a target, as what looks most like another lesion, or in doubt.

    `like` is the lesion that a look-alike stands beside. Nothing else is recorded, as other tables own it.
    """

    kind: Kind
    lesion_id: str
    target: str = ""
    like: str = ""


def write_views(run: Path, views: Sequence[View], pictures: Mapping[str, Path]) -> None:
    """Record the views of a run whose pictures are there, by lesion, PNG files of `views/`."""
    drawn = [
        {**asdict(view), "file": pictures[view.lesion_id].name}
        for view in views
        if view.lesion_id in pictures
    ]
    write_whole(run / VIEWS / "views.json", json.dumps(drawn, indent=1))


def read_views(run: Path) -> tuple[list[View], dict[str, str]]:
    """The views of a run, and by lesion the names of their pictures in `views/`; none where none was drawn.

    Raises:
        InputError: the record is damaged.
    """
    path = run / VIEWS / "views.json"
    if not path.is_file():
        return [], {}
    content = read_json(path, REMEDY, list)
    with readable(path, REMEDY):
        files = {str(entry["lesion_id"]): str(entry.pop("file")) for entry in content}
        return [View(**entry) for entry in content], files
