"""The files of the studies of a cohort, and all that is worked out of them while they are read once."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bcbm.cohort.download import Download
from bcbm.cohort.names import NameReading, read_name
from bcbm.cohort.parts import Policy, part_numbers
from bcbm.cohort.patient_labels import OWNERS, Owner
from bcbm.cohort.table import LESIONS
from bcbm.config.schema import Config
from bcbm.config.schema.cohort import Features
from bcbm.features.appearance import appearance_step
from bcbm.features.crops import CropSettings, crops_step
from bcbm.features.geometry import Form
from bcbm.features.masks import MaskPart
from bcbm.features.radiomics import radiomics_step
from bcbm.features.records import Following, Record, Study, read_once
from bcbm.features.shells import shells_step
from bcbm.features.survey import image_alone, registration_step, survey_step
from bcbm.modalities.base import LesionData
from bcbm.modalities.image import IMAGE


def studies_of(
    segmentations: pd.DataFrame,
    lesions: set[str] | None = None,
    sequences: Sequence[str] = (),
    *,
    form: Form,
) -> list[Study]:
    """The files of every study with an image, of these lesions or of all, with further sequences.

    Args:
        form: which form of a header to believe where the two disagree (cohort.form).
    """
    rows = segmentations[(segmentations["mask_path"] != "") & (segmentations["image_path"] != "")]
    rows = rows.assign(lesion_id=rows["study_id"] + "/" + rows["name"])
    if lesions is not None:
        rows = rows[rows["lesion_id"].isin(lesions)]
    for column in {"mask_value", "mask_part"} - set(rows):  # before the masks were looked at
        rows[column] = 0
    return [
        Study(
            Path(str(image)),
            {str(k): Path(str(v)) for k, v in zip(part["lesion_id"], part["mask_path"], strict=True)},
            {name: Path(str(part[f"image_{name}"].iloc[0])) for name in sequences},
            {
                lesion: MaskPart(value, number)
                for lesion, value, number in zip(
                    part["lesion_id"], part["mask_value"], part["mask_part"], strict=True
                )
                if value or number
            },
            form,
        )
        for image, part in rows.groupby("image_path")
    ]


def count_masks(studies: list[Study]) -> int:
    """How many masks the studies have together."""
    return sum(len(study.masks) for study in studies)


def read_studies(
    config: Config,
    download: Download,
    names: Mapping[str, NameReading],
    folder: Path,
    following: Collection[str],
    progress: Callable[[int], None] | None = None,
) -> None:
    """Work out, of every study, what is not there yet: its survey, and what follows in the same reading.

    Whoever needs it then finds it under `folder`.

    Args:
        names: readings that replace the program's own.
        following: any of `registration`, `radiomics` (of all lesions), `parts` (radiomics of those that are
            less than what their file holds), `shells`, `appearance` and `crops`.
        progress: called with the number of masks each study has, as it is done.

    Raises:
        OSError: `folder` cannot be written or the disk is full; what was finished stays.
    """
    features, cohort, rows = config.features, config.cohort, download.segmentations
    value = cohort.label_value or 0
    cut = (IMAGE.absent(LesionData(rows, {}, config)) == "") & _labelled(download, cohort.labels)
    cropped = {
        study.image: study
        for study in studies_of(rows[cut], sequences=config.task.sequences[1:], form=cohort.form)
    }
    radiomics = radiomics_step(folder / "radiomics", axes=features.axes)
    steps = {
        "registration": (registration_step(folder / "registration"), SoundLesions.image),
        "radiomics": (radiomics, SoundLesions.all),
        "parts": (radiomics, SoundLesions.parts),
        "shells": (shells_step(folder / "shells", features.shells), SoundLesions.lesions),
        "appearance": (appearance_step(folder / "appearance"), SoundLesions.lesions),
        "crops": (crops_step(folder / "crops", crop_settings(features)), SoundLesions.crops),
    }
    plans = []
    for study in studies_of(rows, form=cohort.form):
        words = {lesion: lesion.partition("/")[2] for lesion in study.masks}
        readings = {lesion: names.get(name) or read_name(name) for lesion, name in words.items()}
        drawn = frozenset(lesion for lesion, reading in readings.items() if reading.category in LESIONS)
        sound = SoundLesions(study, drawn, cohort.parts, value, cropped.get(study.image))
        chosen = [
            (step, partial(work_on, sound)) for name, (step, work_on) in steps.items() if name in following
        ]
        plans.append((study, [Following(*item) for item in chosen]))
    survey = survey_step(folder / "survey", value)
    read_once(plans, survey, jobs=config.prepared.jobs, progress=progress)


def _labelled(download: Download, owner: Owner) -> pd.Series:
    """Whether a segmentation may have a label, a boolean a row; without targets none needs one."""
    rows, studies = download.segmentations, download.studies
    if owner == "lesion" or not download.targets:
        return pd.Series(True, index=rows.index)
    owners = studies[OWNERS[owner]]
    labelled = owners.isin(owners[studies[download.targets].notna().any(axis=1)])
    return rows["study_id"].isin(studies.loc[labelled, "study_id"])


@dataclass(frozen=True)
class SoundLesions:
    """The lesions of a study that its survey finds sound, as `parts.divide` makes them of its masks.

    Attributes:
        study: as it is surveyed.
        drawn: its masks that are lesions by their names.
        policy: of masks in pieces.
        value: the label value that counts; 0: any.
        cropped: its masks that can be cropped, with its further images; None where none can.
    """

    study: Study
    drawn: frozenset[str]
    policy: Policy
    value: int
    cropped: Study | None

    def all(self, record: Record) -> Study | None:
        """All of them; None where there is none."""
        return self._study(self._measured(record))

    def image(self, record: Record) -> Study | None:
        """The image alone, where there is any."""
        return image_alone(self.study) if self._measured(record) else None

    def parts(self, record: Record) -> Study | None:
        """Those that are less than what their file holds."""
        measured = self._measured(record)
        return self._study(
            [lesion for lesion in measured if lesion.measures["voxels"] < lesion.measures["drawn"]]
        )

    def lesions(self, record: Record) -> Study | None:
        """Those that are lesions by their names."""
        return self._study([lesion for lesion in self._measured(record) if lesion.mask in self.drawn])

    def crops(self, record: Record) -> Study | None:
        """Those that can be cropped."""
        if self.cropped is None:
            return None
        masks, measured = self.cropped.masks, self._measured(record)
        study = self._study([lesion for lesion in measured if lesion.mask in masks])
        return study._replace(others=self.cropped.others) if study else None

    def _measured(self, record: Record) -> list["_Measured"]:
        lesions = []
        for mask in self.study.masks:
            value = self.study.parts.get(mask, MaskPart()).value or self.value
            if mask in record["divisions"] and mask in self.drawn:
                parts, _ = record["divisions"][mask]
                numbers = part_numbers(mask, len(parts), self.policy, self.study.masks.keys())
                lesions += [
                    _Measured(name, mask, MaskPart(value, number), parts[number - 1])
                    for name, number in numbers.items()
                    if isinstance(parts[number - 1], dict)
                ]
            elif mask in record["masks"]:
                lesions.append(_Measured(mask, mask, MaskPart(value), record["masks"][mask]))
        return lesions

    def _study(self, lesions: list["_Measured"]) -> Study | None:
        masks = {lesion.name: self.study.masks[lesion.mask] for lesion in lesions}
        parts = {lesion.name: lesion.part for lesion in lesions if any(lesion.part)}
        return self.study._replace(masks=masks, parts=parts) if lesions else None


class _Measured(NamedTuple):
    """A sound lesion: its lesion_id, that of its mask, what of it it is, and what it measures."""

    name: str
    mask: str
    part: MaskPart
    measures: dict[str, float]


def crop_settings(features: Features) -> CropSettings:
    """How an experiment crops."""
    return CropSettings(
        features.crop_size, features.crop_spacing, features.crop_margin, features.crop_intensity
    )
