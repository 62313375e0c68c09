"""The files of a study in work: each is read and unpacked once, however many steps look at it."""

from pathlib import Path

from bcbm.features.geometry import Form
from bcbm.features.masks import MaskPart, Region, lesion_region
from bcbm.features.volumes import Box, Volume, open_box, open_volume


class Files:
    """What was read so far; of a mask no more than the box in which it is drawn.

    Args:
        form: which form of their headers to believe where the two disagree.
    """

    def __init__(self, form: Form = "agree") -> None:
        self.form = form
        self._volumes: dict[Path, Volume] = {}
        self._boxes: dict[Path, Box] = {}

    def volume(self, path: Path) -> Volume:
        """An image; VolumeError as `open_volume`."""
        if path not in self._volumes:
            self._volumes[path] = open_volume(path, self.form)
        return self._volumes[path]

    def box(self, path: Path) -> Box:
        """All that is drawn in a mask; VolumeError as `open_volume`."""
        if path not in self._boxes:
            self._boxes[path] = open_box(path, self.form)
        return self._boxes[path]

    def region(self, path: Path, part: MaskPart | None = None) -> Region:
        """The lesion that a mask, or a part of it, is; VolumeError as `open_volume`."""
        return lesion_region(self.box(path), part)
