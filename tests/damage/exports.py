"""Exports of a scanner: series that are no volume, drawings that do not fit, patients nobody can tell."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import generate_uid
from scans import AXIAL, affine_of, ball, edit, head, mask_contours, write_series, write_structures

from damage.kind import SAID, kind

EXPORTED = 2  # patients, each with a study and a lesion
FIRST, SECOND = "first", "second"
FRAME = "1.2.3"
EXPORT: dict[str, Any] = {"command": "ingest", "given": "export", "words": ()}
STUDY = {**EXPORT, "end": SAID, "lost": 1}  # costs its study, or its lesion


def write_export(root: Path, names: Sequence[str] = (FIRST, SECOND)) -> None:
    """An export whose every file is sound, a patient a name."""
    lesion = mask_contours(ball((12, 12, 6), 4.5), affine_of(AXIAL))
    for number, name in enumerate(names):
        values = head(seed=number)
        images = write_series(root / name / "t1", values, patient=f"MRN-{name}", study=generate_uid())
        write_structures(root / name / "rt" / "set.dcm", {"GTV left frontal": lesion}, images)


def slices(root: Path) -> list[Path]:
    """The slices of the first patient in their order."""
    files = (root / FIRST / "t1").glob("*.dcm")
    return sorted(files, key=lambda path: int(pydicom.dcmread(path).InstanceNumber))


def each(root: Path, change: Callable[[int, Any], None]) -> None:
    """Change every slice of the first patient."""
    edit(root / FIRST / "t1", change)


def drawn(root: Path, change: Callable[[Any], None]) -> None:
    """Change the first patient's structure set."""
    edit(root / FIRST / "rt", lambda _, item: change(item))


@kind("a series that lacks a slice", "P00", "4.00 mm apart", "1 missing", **STUDY)
def _(root: Path) -> None:
    slices(root)[5].unlink()


@kind("a series that lacks its first slices", "P00", "up to 12", "2 of them", "as 1", **{**STUDY, "lost": 0})
def _(root: Path) -> None:
    for path in slices(root)[:2]:
        path.unlink()


@kind("a series that lacks its last slices", "P00", "10 images", "counts 12", **{**STUDY, "lost": 0})
def _(root: Path) -> None:
    each(root, lambda number, item: setattr(item, "ImagesInAcquisition", 12))
    for path in slices(root)[-2:]:
        path.unlink()


@kind("a series of two images a slice", "P00", "where another does", **STUDY)
def _(root: Path) -> None:
    def change(number: int, item: Any) -> None:
        item.ImagePositionPatient = [*item.ImagePositionPatient[:2], number // 2]

    each(root, change)


@kind("a series under a gantry tilt", "P00", "14.0 degrees", "tilt", **STUDY)
def _(root: Path) -> None:
    def change(number: int, item: Any) -> None:
        x, y, z = item.ImagePositionPatient
        item.ImagePositionPatient = [x, y + number / 2, z]

    each(root, change)


@kind("a series with texts in its pixels", "P00", "burned into", **STUDY)
def _(root: Path) -> None:
    each(root, lambda number, item: setattr(item, "BurnedInAnnotation", "YES"))


@kind("a series whose name denies a contrast agent", "P00", "without contrast agent", **STUDY)
def _(root: Path) -> None:
    each(root, lambda number, item: setattr(item, "SeriesDescription", "AX T1 NON-CONTRAST"))


@kind("a slice whose pixels are cut short", "P00", "cannot be read", **STUDY)
def _(root: Path) -> None:
    path = slices(root)[5]
    path.write_bytes(path.read_bytes()[:-300])


@kind("a DICOM file of no sense", "1 DICOM file", "damaged", **{**STUDY, "lost": 0})
def _(root: Path) -> None:
    (root / "noise").write_bytes(bytes(128) + b"DICM" + bytes(range(250)))


@kind("a structure set in another frame of reference", "P00", "another frame of reference", **STUDY)
def _(root: Path) -> None:
    def change(item: Any) -> None:
        for part in (*item.StructureSetROISequence, *item.ReferencedFrameOfReferenceSequence):
            part.ReferencedFrameOfReferenceUID = part.FrameOfReferenceUID = "1.2.3"

    drawn(root, change)


@kind("a structure set on a series that is not there", "1 structure set", "no series", **STUDY)
def _(root: Path) -> None:
    def change(item: Any) -> None:
        (frame,) = item.ReferencedFrameOfReferenceSequence
        (study,) = frame.RTReferencedStudySequence
        (series,) = study.RTReferencedSeriesSequence
        series.SeriesInstanceUID = "1.2.3"

    drawn(root, change)


@kind("contours between slices", "P00", "gtv-left-frontal", "between slices", **STUDY)
def _(root: Path) -> None:
    def change(item: Any) -> None:
        for contour in item.ROIContourSequence[0].ContourSequence:
            points = [float(value) for value in contour.ContourData]
            contour.ContourData = [value + (place % 3 == 2) for place, value in enumerate(points)]

    drawn(root, change)


@kind("contours that overlap in part", "P00", "gtv-left-frontal", "overlap", "slice 7", **STUDY)
def _(root: Path) -> None:
    def change(item: Any) -> None:
        contours = item.ROIContourSequence[0].ContourSequence
        other = deepcopy(contours[2])
        points = [float(value) for value in other.ContourData]
        other.ContourData = [value + 2.5 * (place % 3 == 0) for place, value in enumerate(points)]
        contours.append(other)

    drawn(root, change)


@kind("a lesion of which a slice is left out", "P00", "gtv-left-frontal", "slice 7", **STUDY)
def _(root: Path) -> None:
    drawn(root, lambda item: item.ROIContourSequence[0].ContourSequence.pop(2))


@kind("two regions of one number", "P00", "drawing 1", "number 1", **STUDY)
def _(root: Path) -> None:
    def change(item: Any) -> None:
        item.StructureSetROISequence.append(deepcopy(item.StructureSetROISequence[0]))

    drawn(root, change)


@kind("a structure set of another patient's id", "1 structure set", "PatientID", **STUDY)
def _(root: Path) -> None:
    drawn(root, lambda item: setattr(item, "PatientID", f"MRN-{SECOND}"))


@kind("a structure set that was rejected", "P00", "drawing 1", "REJECTED", **STUDY)
def _(root: Path) -> None:
    drawn(root, lambda item: setattr(item, "ApprovalStatus", "REJECTED"))


@kind("two people under one PatientID", "P001", "no word in common", **{**STUDY, "lost": 0})
def _(root: Path) -> None:
    def change(_: int, item: Any) -> None:
        item.PatientID, item.PatientName = f"MRN-{FIRST}", "Roe^Anna"

    edit(root / SECOND, change)


@kind("a series that was compressed with loss", "P00", "with loss", **{**STUDY, "lost": 0})
def _(root: Path) -> None:
    each(root, lambda number, item: setattr(item, "LossyImageCompression", "01"))


@kind("a structure set that may be of two studies", "1 structure set", "several studies", **STUDY)
def _(root: Path) -> None:
    def change(item: Any) -> None:
        item.PatientID = item.StudyInstanceUID = ""
        item.ReferencedFrameOfReferenceSequence = None
        for region in item.StructureSetROISequence:
            region.ReferencedFrameOfReferenceUID = FRAME

    for name in (FIRST, SECOND):
        edit(root / name / "t1", lambda number, item: setattr(item, "FrameOfReferenceUID", FRAME))
    (root / SECOND / "rt" / "set.dcm").unlink()
    drawn(root, change)
    images = [pydicom.dcmread(path) for path in (root / SECOND / "t1").glob("*.dcm")]
    lesion = mask_contours(ball((12, 12, 6), 4.5), affine_of(AXIAL))
    write_structures(root / SECOND / "rt" / "set.dcm", {"GTV left frontal": lesion}, images)


@kind("a region whose name says nothing", "P00", "drawing 1", "1 region", **{**STUDY, "lost": 0})
def _(root: Path) -> None:
    drawn(root, lambda item: setattr(item.StructureSetROISequence[0], "ROIName", "blob"))


@kind("a slice with inverted grey levels", "P00", "photometric", **STUDY)
def _(root: Path) -> None:
    each(
        root,
        lambda number, item: setattr(item, "PhotometricInterpretation", f"MONOCHROME{1 + (number != 5)}"),
    )


@kind("a series in two frames of reference", "P00", "frame of reference", **STUDY)
def _(root: Path) -> None:
    each(root, lambda number, item: number > 5 and setattr(item, "FrameOfReferenceUID", FRAME))


@kind("a text in the pixels of one slice", "P00", "burned into", **STUDY)
def _(root: Path) -> None:
    each(root, lambda number, item: number == 5 and setattr(item, "BurnedInAnnotation", "YES"))


@kind("a voxel size of nothing", "P00", "how large its voxels are", **STUDY)
def _(root: Path) -> None:
    each(root, lambda number, item: setattr(item, "PixelSpacing", [0, 0]))


@kind("DICOM files without their beginning", "12 files", "128 bytes", **STUDY)
def _(root: Path) -> None:
    for path in slices(root):
        path.write_bytes(path.read_bytes()[132:])


@kind("a study without a patient's id", "PatientID", **EXPORT)
def _(root: Path) -> None:
    each(root, lambda number, item: setattr(item, "PatientID", ""))


@kind("patients' ids that differ in case only", "'MRN-second', 'mrn-SECOND'", "same_patients", **EXPORT)
def _(root: Path) -> None:
    each(root, lambda number, item: setattr(item, "PatientID", "mrn-SECOND"))


@kind("a list that chooses a series that is not there", "series.csv, line 2", "series 7", **EXPORT)
def _(root: Path) -> list[str]:
    path = root.parent / "series.csv"
    path.write_text("study,series,slices,chosen\nP001-1,7,12,yes\n")
    return [f"ingest.series={path}"]


def _labels(root: Path, *lines: str) -> list[str]:
    path = root.parent / "labels.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [f"labels={path}"]


@kind("a table of labels without a column of patients", "labels.csv", "Name", "'patient'", **EXPORT)
def _(root: Path) -> list[str]:
    return _labels(root, "Name,ER", "Doe,+")


@kind("a table of labels of other patients", "labels.csv", "'MRN'", "2 patients", **EXPORT)
def _(root: Path) -> list[str]:
    return _labels(root, "MRN,ER", "77,+", "78,-")


@kind("a table of labels whose numbers mean two things", "labels.csv", "column ER", "5, 8", **EXPORT)
def _(root: Path) -> list[str]:
    return _labels(root, "MRN;ER", "MRN-first;5", "MRN-second;8")


@kind("a table of labels without labels", "labels.csv", "ER status of", "none of labels", **EXPORT)
def _(root: Path) -> list[str]:
    return _labels(root, "MRN,ER status of Dr. Doe", "MRN-first,+")


@kind("a table of labels with two columns of ids", "labels.csv", "'patient' and 'MRN'", **EXPORT)
def _(root: Path) -> list[str]:
    return _labels(root, "MRN,patient,ER", "MRN-first,MRN-second,+", "MRN-second,MRN-third,-")


@kind("a table of labels with a code for unknown", "labels.csv", "column ER", "0, 1, 9", **EXPORT)
def _(root: Path) -> list[str]:
    return _labels(root, "MRN,ER", "MRN-first,1", "MRN-second,0", "MRN-third,9")


@kind("a label of one row and its ISH in another", "rows 2 and 3", "two HER2", **{**STUDY, "lost": 0})
def _(root: Path) -> list[str]:
    rows = ("MRN-first,2+,not amplified", "MRN-first,3+,", "MRN-second,0,")
    return _labels(root, "MRN,HER2,HER2 ISH", *rows)


@kind("a label with a name in it", "row 3", "ER is not understood", **{**STUDY, "lost": 0})
def _(root: Path) -> list[str]:
    return _labels(root, "MRN,ER", "MRN-first,90 %", "MRN-second,90 % (Dr. Doe)")


@kind("two labels of one patient", "rows 2 and 3", "two ER", **{**STUDY, "lost": 0})
def _(root: Path) -> list[str]:
    return _labels(root, "MRN,ER", "MRN-first,+", "MRN-first,neg", "MRN-second,+")


@kind("patients whom a table of labels lacks", "P00", "no row in the table of labels", **{**STUDY, "lost": 0})
def _(root: Path) -> list[str]:
    return _labels(root, "MRN,ER", "MRN-first,+")


@kind("masks that are no DICOM", "2 files", ".gz and .nrrd", "not read", **{**STUDY, "lost": 0})
def _(root: Path) -> None:
    for name in ("lesion2.nii.gz", "lesion3.seg.nrrd"):
        (root / FIRST / name).write_bytes(b"volume")


@kind("a folder to write into that lies in the export", "out=", "lies in the other", **EXPORT)
def _(root: Path) -> list[str]:
    return [f"out={root / 'out'}"]


@kind("DICOM files with neither beginning nor ending", "13 files", "128 bytes", **STUDY)
def _(root: Path) -> None:
    for number, path in enumerate([*slices(root), root / FIRST / "rt" / "set.dcm"]):
        path.with_name(f"IM{number:04d}").write_bytes(path.read_bytes()[132:])
        path.unlink()


@kind("a series of magnitude and phase", "P00", "magnitude and phase", **STUDY)
def _(root: Path) -> None:
    def change(number: int, item: Any) -> None:
        item.ImageType = ["ORIGINAL", "PRIMARY", "P" if number % 2 else "M", "NORM"]

    each(root, change)


@kind("a series of two repetition times", "P00", "repetition time", **STUDY)
def _(root: Path) -> None:
    each(root, lambda number, item: setattr(item, "RepetitionTime", 9000 if number > 6 else 1900))


@kind("a series of two dates", "P00", "differ in date", **STUDY)
def _(root: Path) -> None:
    each(root, lambda number, item: setattr(item, "StudyDate", "20210310" if number > 6 else "20200310"))


@kind("an age that contradicts the dates", "1 patient", "off the dates", **{**STUDY, "lost": 0})
def _(root: Path) -> None:
    def change(number: int, item: Any) -> None:
        item.PatientAge, item.PatientBirthDate, item.StudyDate = "021Y", "19600101", "20200310"

    each(root, change)


@kind("files of an export that were not fetched", "1 link", "not there", **STUDY)
def _(root: Path) -> None:
    (path,) = (root / FIRST / "rt").glob("*.dcm")
    path.unlink()
    path.symlink_to(root.parent / "nothing")
