"""What the headers of a tree of DICOM files say: series with their frames, and what is drawn on them."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bcbm.cohort.patients import bare
from bcbm.system.content import file_sum
from bcbm.system.pool import workers

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # binary, and label maps
_DIRECTORY = "1.2.840.10008.1.3.10"
_BATCH = 256  # files that a worker reads at once
_TEXTS = {
    "uid": "SeriesInstanceUID",
    "study_uid": "StudyInstanceUID",
    "patient_id": "PatientID",
    "name": "PatientName",
    "frame_of_reference": "FrameOfReferenceUID",
    "kind": "SOPClassUID",
    "modality": "Modality",
    "date": "StudyDate",
    "time": "StudyTime",
    "sex": "PatientSex",
    "age": "PatientAge",
    "birth_date": "PatientBirthDate",
    "manufacturer": "Manufacturer",
    "acquisition": "MRAcquisitionType",
    "angiography": "AngioFlag",
    "burned_in": "BurnedInAnnotation",
    "photometric": "PhotometricInterpretation",
    "agent": "ContrastBolusAgent",
    "lossy": "LossyImageCompression",
}
_NUMBERS = {
    "number": "SeriesNumber",
    "field_strength": "MagneticFieldStrength",
    "tr": "RepetitionTime",
    "te": "EchoTime",
    "ti": "InversionTime",
    "thickness": "SliceThickness",
    "images": "ImagesInAcquisition",
    "parts": "InConcatenationTotalNumber",
}
# What all files of a volume have in common, in words; numbers up to rounding.
ALIKE = {
    "frame_of_reference": "frame of reference",
    "photometric": "photometric interpretation",
    "te": "echo time",
    "tr": "repetition time",
    "component": "magnitude and phase",
    "date": "date",
    "birth_date": "date of birth",
    "name": "name of the patient",
    "description": "description",
    "agent": "contrast agent",
}
_COMPONENTS = {"M", "MAGNITUDE", "P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"}
_ROUNDED = 0.01
_FEW = 0.5  # of the images that are here: more that lack are numbered, or counted, with another series
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
_TAGS = [
    *_TEXTS.values(),
    *_NUMBERS.values(),
    *_DESCRIPTIONS,
    *("ImageType", "ScanningSequence", "Rows", "Columns", "PixelSpacing", "NumberOfFrames"),
    *("ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber", "SOPInstanceUID"),
    *("RescaleSlope", "RescaleIntercept", "InConcatenationNumber"),
    *("ContrastBolusAgentSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("ReferencedSeriesSequence", "ReferencedFrameOfReferenceSequence", "StructureSetROISequence"),
]


class Frame(NamedTuple):
    """One slice: its file, its place in that, and where it lies.

    Attributes:
        path: of the file.
        number: of the frame in its file, from 0.
        position: of the first voxel's centre, LPS mm; empty where the header does not say.
        orientation: direction cosines of a row and of a column; empty likewise.
        spacing: between rows and between columns, mm; empty likewise.
        shape: rows, columns.
        scale: slope and intercept of its stored values, of a multi-frame file.
    """

    path: str
    number: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    shape: tuple[int, int]
    scale: tuple[float, float] = (1.0, 0.0)


@dataclass
class Series:
    """A series of images as its headers describe it; texts are "" and numbers NaN where they do not.

    `mixed` names those of ALIKE in which its files differ; of all else the first file counts. `title` is what
    the series is called, `description` that and more that says what it is, as the examination's protocol.
    """

    uid: str = ""
    study_uid: str = ""
    patient_id: str = ""
    name: str = ""
    frame_of_reference: str = ""
    kind: str = ""
    modality: str = ""
    date: str = ""
    time: str = ""
    sex: str = ""
    age: str = ""
    birth_date: str = ""
    manufacturer: str = ""
    acquisition: str = ""
    angiography: str = ""
    burned_in: str = ""
    photometric: str = ""
    agent: str = ""
    lossy: str = ""
    number: float = math.nan
    field_strength: float = math.nan
    tr: float = math.nan
    te: float = math.nan
    ti: float = math.nan
    thickness: float = math.nan
    images: float = math.nan
    parts: float = math.nan
    title: str = ""
    description: str = ""
    component: str = ""
    image_type: tuple[str, ...] = ()
    sequence: tuple[str, ...] = ()
    frames: list[Frame] = field(default_factory=list)
    mixed: set[str] = field(default_factory=set)
    instances: set[int] = field(default_factory=set)
    part_numbers: set[float] = field(default_factory=set)

    def join(self, part: "Series") -> None:
        """Take up another file of the series, and of what its header says otherwise what is `mixed`."""
        for name in ALIKE:
            own, other = getattr(self, name), getattr(part, name)
            numbers = isinstance(own, float) and math.isclose(own, other, rel_tol=_ROUNDED)
            if own == own and other == other and own != other and not numbers:
                self.mixed.add(name)
        self.mixed |= part.mixed
        if part.burned_in.upper() == "YES":
            self.burned_in = part.burned_in
        self.lossy = max(self.lossy, part.lossy)
        self.frames += part.frames
        self.instances |= part.instances
        self.part_numbers |= part.part_numbers

    @property
    def lacking(self) -> str:
        """That images of it are not here, by how they are numbered or counted, in words; "" where none lacks.

        Slices that lack at an end leave no gap. Numbers that are of something else say nothing: of several
        phases a header counts the images of all, of a reformat those that it was made of.
        """
        if self.parts > max(1, len(self.part_numbers)):
            return f"{len(self.part_numbers)} of the {self.parts:.0f} files that it was divided into are here"
        count, last = len(self.frames), max(self.instances, default=0)
        begin = min(self.instances, default=1) - 1
        phase = last - begin == count and begin % max(count, 1) == 0  # numbered on behind another one
        few = last - count < _FEW * count or (self.images == last and not phase)
        if len(self.instances) == count and last > count and few:
            first = min(set(range(1, last)) - self.instances)
            return (
                f"its images are numbered up to {last}, and {last - count} of them are not here, as {first}"
            )
        original = "DERIVED" not in self.image_type
        phases = self.images % count == 0 if original and count else self.images - count >= _FEW * count
        if self.images > count and not phases:
            return f"{count} images of it are here, and its header counts {self.images:.0f}"
        return ""

    @property
    def is_image(self) -> bool:
        """Whether it is read as a volume: magnetic resonance, a file a slice or all in one."""
        return self.kind in (MR, ENHANCED_MR)


class Drawing(NamedTuple):
    """A structure set or a segmentation, with the series and frames of reference that it is drawn on."""

    path: str
    kind: str
    series: frozenset[str]
    frames_of_reference: frozenset[str]
    patient_id: str
    study_uid: str
    name: str

    def names(self, series: Series) -> bool:
        """Whether it says that it is drawn on a series: by its uid or, without any, by its frame."""
        if self.series:
            return series.uid in self.series
        return bool({series.frame_of_reference} & self.frames_of_reference)

    def may_be_of(self, series: Series) -> bool:
        """Whether its patient is that of a series, as far as it names one; some programs copy uids."""
        return not self.patient_id or bare(self.patient_id) == bare(series.patient_id)

    def is_named_as(self, series: Series) -> bool:
        """Whether its patient's name has a word in common with that of a series, where both have one."""
        own, other = name_words(self.name), name_words(series.name)
        return not (own and other and own.isdisjoint(other))


class Scan(NamedTuple):
    """What lies in a folder tree.

    Attributes:
        series: with the frames of each.
        drawings: structure sets and segmentations.
        unreadable: files that begin as DICOM and cannot be read on.
        copies: files that are others byte by byte, of the same SOPInstanceUID; nothing else here names them.
    """

    series: list[Series]
    drawings: list[Drawing]
    unreadable: list[str]
    copies: frozenset[str] = frozenset()


def name_words(name: str) -> set[str]:
    """The words of a person's name, which programs write in more or fewer and in any order."""
    return set(re.findall(r"[^\W\d_]{2,}", name.casefold()))


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do (PS3.10: 128 bytes, then `DICM`)."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def is_headless(path: Path) -> bool:
    """Whether a file begins as DICOM files go on behind that beginning: with an element of group 2 or 8."""
    with path.open("rb") as file:
        head = file.read(8)
    explicit = head[4:6].isalpha() and head[4:6].isupper()  # a kind of value, or a length of four bytes
    return head[:2] in (b"\2\0", b"\10\0") and head[3:4] == b"\0" and (explicit or head[5:] == bytes(3))


def scan(paths: Iterable[Path], jobs: int, progress: Callable[[int], None] | None = None) -> Scan:
    """Read the headers of DICOM files, no pixel of them.

    Args:
        paths: of the files.
        jobs: processes, as joblib counts them.
        progress: called with the number of files that have been read.

    Returns:
        Series and drawings, sorted by patient, study and uid.
    """
    from joblib import delayed

    series: dict[tuple[str, str, str], Series] = {}
    drawings, unreadable, objects = [], [], []
    files = sorted(map(str, paths))
    batches = [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]
    scans = workers(jobs, "generator")(delayed(_read)(batch) for batch in batches)
    for batch, (part_scan, named) in zip(batches, scans, strict=True):
        for part in part_scan.series:
            whole = series.setdefault((part.patient_id, part.study_uid, part.uid), part)
            if whole is not part:
                whole.join(part)
        drawings += part_scan.drawings
        unreadable += part_scan.unreadable
        objects += named
        if progress:
            progress(len(batch))
    copies = _copies(objects)
    for part in series.values():
        part.frames = [frame for frame in part.frames if frame.path not in copies]
    drawings = [drawing for drawing in drawings if drawing.path not in copies]
    return Scan([series[name] for name in sorted(series)], drawings, unreadable, copies)


def _copies(objects: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The files that are an earlier one of the same SOPInstanceUID, byte by byte; no other is read whole."""
    places: dict[str, list[str]] = {}
    for uid, path in objects:
        places.setdefault(uid, []).append(path)
    copies = set()
    for paths in (paths for uid, paths in places.items() if uid and len(paths) > 1):
        sums = [file_sum(Path(path)) for path in paths]
        copies |= {path for place, path in enumerate(paths) if sums[place] in sums[:place]}
    return frozenset(copies)


def _read(paths: Sequence[str]) -> tuple[Scan, list[tuple[str, str]]]:
    """The headers of some files, those of one series together, and the SOPInstanceUID of each file."""
    import pydicom

    series: dict[tuple[str, str, str], Series] = {}
    drawings, unreadable, objects = [], [], []
    for path in paths:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
            if header.get("SOPClassUID") in (STRUCTURES, *SEGMENTATIONS):
                drawings.append(_drawing(path, header))
            elif header.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY:  # of a disk
                continue
            else:
                part = _series(header)
                whole = series.setdefault((part.patient_id, part.study_uid, part.uid), part)
                part.frames = _frames(path, header)
                if whole is not part:
                    whole.join(part)
            objects.append((_text(header, "SOPInstanceUID"), path))
        except Exception:  # whatever pydicom makes of a damaged file
            unreadable.append(path)
    return Scan(list(series.values()), drawings, unreadable), objects


def _series(header: "Dataset") -> Series:
    """The facts of a header, without its frames; KeyError where it says nothing of a series."""
    if "SeriesInstanceUID" not in header:
        raise KeyError("SeriesInstanceUID")
    values: dict[str, Any] = {name: _text(header, keyword) for name, keyword in _TEXTS.items()}
    values |= {name: _number(header, keyword) for name, keyword in _NUMBERS.items()}
    if agents := header.get("ContrastBolusAgentSequence"):
        named = next(
            filter(None, (_text(agents[0], key) for key in ("ContrastBolusAgent", "CodeMeaning"))), ""
        )
        values["agent"] = values["agent"] or named or "yes"
    shared = (header.get("SharedFunctionalGroupsSequence") or [None])[0]
    frames = header.get("PerFrameFunctionalGroupsSequence") or [None]
    for name, group, keyword in (
        ("tr", "MRTimingAndRelatedParametersSequence", "RepetitionTime"),
        ("te", "MREchoSequence", "EffectiveEchoTime"),
        ("thickness", "PixelMeasuresSequence", "SliceThickness"),
    ):
        if math.isnan(values[name]) and (item := _group(group, frames[0], shared)) is not None:
            values[name] = _number(item, keyword)
    echoes = {_number(_group("MREchoSequence", frame, shared), "EffectiveEchoTime") for frame in frames}
    kinds = (_group("MRImageFrameTypeSequence", frame, shared) for frame in frames)
    types = {_component(_texts(kind, "FrameType")) for kind in kinds}
    usage = (_group("ContrastBolusUsageSequence", frame, shared) for frame in frames)
    given = {_text(item, "ContrastBolusAgentAdministered").upper() for item in usage if item is not None}
    values["agent"] = "no" if given == {"NO"} else values["agent"]
    component = _component(_texts(header, "ImageType"))
    number = _number(header, "InstanceNumber")
    return Series(
        mixed={name for name, own in (("te", echoes), ("component", types)) if len(own) > 1},
        component=component,
        instances={int(number)} if number >= 1 else set(),
        part_numbers={_number(header, "InConcatenationNumber")} - {math.nan},
        title=_text(header, "SeriesDescription"),
        description=" ".join(filter(None, (_text(header, keyword) for keyword in _DESCRIPTIONS))),
        image_type=_texts(header, "ImageType"),
        sequence=_texts(header, "ScanningSequence"),
        **values,
    )


def _frames(path: str, header: "Dataset") -> list[Frame]:
    shape = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        place = [_numbers(header, name) for name in ("ImagePositionPatient", "ImageOrientationPatient")]
        return [Frame(path, 0, place[0], place[1], _numbers(header, "PixelSpacing"), shape)]
    if int(header.NumberOfFrames) != len(groups):
        raise ValueError("frames without a description")
    shared = (header.get("SharedFunctionalGroupsSequence") or [None])[0]
    slope, intercept = (_number(header, name) for name in ("RescaleSlope", "RescaleIntercept"))
    outer = (1.0 if math.isnan(slope) else slope, 0.0 if math.isnan(intercept) else intercept)
    frames = []
    for index, group in enumerate(groups):
        position = _group("PlanePositionSequence", group, shared)
        orientation = _group("PlaneOrientationSequence", group, shared)
        measures = _group("PixelMeasuresSequence", group, shared)
        values = _group("PixelValueTransformationSequence", group, shared)
        scale = [_number(values, name) for name in ("RescaleSlope", "RescaleIntercept")] if values else []
        frames.append(
            Frame(
                path,
                index,
                _numbers(position, "ImagePositionPatient"),
                _numbers(orientation, "ImageOrientationPatient"),
                _numbers(measures, "PixelSpacing"),
                shape,
                (scale[0], scale[1]) if scale else outer,
            )
        )
    return frames


def _group(name: str, *groups: "Dataset | None") -> "Dataset | None":
    """The item of a functional group: the frame's own, else the one that all frames share."""
    for group in groups:
        if group is not None and group.get(name):
            item: Dataset = group[name].value[0]
            return item
    return None


def _drawing(path: str, header: "Dataset") -> Drawing:
    series = {_text(item, "SeriesInstanceUID") for item in header.get("ReferencedSeriesSequence") or ()}
    kind, frames = str(header.SOPClassUID), set()
    if kind in SEGMENTATIONS:
        frames.add(_text(header, "FrameOfReferenceUID"))
    for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            for item in study.get("RTReferencedSeriesSequence") or ():
                series.add(_text(item, "SeriesInstanceUID"))
    for region in header.get("StructureSetROISequence") or ():
        frames.add(_text(region, "ReferencedFrameOfReferenceUID"))
    owner = _text(header, "PatientID"), _text(header, "StudyInstanceUID"), _text(header, "PatientName")
    return Drawing(path, kind, frozenset(series - {""}), frozenset(frames - {""}), *owner)


def _text(item: "Dataset", keyword: str) -> str:
    value = item.get(keyword)
    return "" if value is None else str(value).strip()


def _component(image_type: Sequence[str]) -> str:
    """What an image shows of the signal, where its type says it: M, P, R or I."""
    return "".join(sorted({value[0] for value in image_type[2:] if value in _COMPONENTS}))


def _texts(item: "Dataset | None", keyword: str) -> tuple[str, ...]:
    value = item.get(keyword) if item is not None else None
    return (str(value),) if isinstance(value, str) else tuple(map(str, value or ()))


def _number(item: "Dataset | None", keyword: str) -> float:
    try:
        return math.nan if item is None else float(item.get(keyword))
    except (TypeError, ValueError):
        return math.nan


def _numbers(item: "Dataset | None", keyword: str) -> tuple[float, ...]:
    value = item.get(keyword) if item is not None else None
    return (float(value),) if isinstance(value, float) else tuple(map(float, value or ()))
