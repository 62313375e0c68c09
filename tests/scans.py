"""Scanners' files written by the tests: MR series, structure sets and segmentations of made-up patients."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
AXIAL, SAGITTAL = (1.0, 0, 0, 0, 1, 0), (0.0, 1, 0, 0, 0, -1)
SIZE, SPACING = (20, 24, 12), (1.25, 0.75, 2.0)  # columns, rows, slices; mm


def oblique(degrees=20.0):
    """Direction cosines of an axial slice that is turned about two axes."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return (*turn[:, 0], *turn[:, 1])


def affine_of(orientation, origin=(-10.0, 5, 30), spacing=SPACING):
    """Voxel numbers x, y, z to LPS mm (4, 4)."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row, column, np.cross(row, column)], 1) * spacing
    affine[:3, 3] = origin
    return affine


def head(size=SIZE, seed=0):
    """Whole numbers (z, y, x), the lowest 0."""
    return np.random.default_rng(seed).integers(0, 900, size[::-1]).astype(np.uint16)


def base(kind, patient="MRN-1", study=None, **tags):
    """A data set with what every DICOM file has."""
    item = Dataset()
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item.SOPClassUID = item.file_meta.MediaStorageSOPClassUID = kind
    item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    item.PatientID, item.PatientName, item.PatientBirthDate, item.PatientSex = (
        patient,
        "Doe^Jane",
        "19600101",
        "F",
    )
    item.StudyInstanceUID = study or generate_uid(entropy_srcs=[patient])
    item.StudyDate, item.StudyTime, item.StudyID, item.AccessionNumber = "20200310", "101500", "1", "A1"
    for name, value in tags.items():
        setattr(item, name, value)
    return item


def pixels(item, values):
    """Give a data set its pixels, unsigned 16 bits."""
    item.Rows, item.Columns = values.shape[-2:]
    item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
    item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 16, 16, 15, 0
    item.PixelData = values.astype(np.uint16).tobytes()
    return item


def write_series(folder: Path, values=None, affine=None, *, series=None, scales=(), **tags):
    """Write a post-contrast T1, a file a slice; returns the data sets.

    `scales` are slopes and intercepts by slice; `tags` go into every file.
    """
    values = head() if values is None else values
    affine = affine_of(AXIAL) if affine is None else affine
    folder.mkdir(parents=True, exist_ok=True)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / edges
    usual = {
        "Modality": "MR",
        "Manufacturer": "SIEMENS",
        "SeriesDescription": "t1_mprage_sag post Gd",
        "ContrastBolusAgent": "Gadovist",
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "MagneticFieldStrength": 3,
        "RepetitionTime": 1900,
        "EchoTime": 2.5,
        "InversionTime": 900,
        "MRAcquisitionType": "3D",
        "SeriesNumber": 4,
        "SliceThickness": float(edges[2]),
    }
    uid, frame = series or generate_uid(), generate_uid()
    written = []
    for number, plane in enumerate(values):
        item = base(MR, **(usual | tags))
        item.SeriesInstanceUID, item.FrameOfReferenceUID, item.InstanceNumber = uid, frame, number + 1
        item.ImagePositionPatient = (affine[:3, 3] + number * affine[:3, 2]).tolist()
        item.ImageOrientationPatient = [*direction[:, 0], *direction[:, 1]]
        item.PixelSpacing = [float(edges[1]), float(edges[0])]
        if scales:
            item.RescaleSlope, item.RescaleIntercept = scales[number]
        pixels(item, plane)
        item.save_as(folder / f"{uid[-6:]}-{(number * 7) % len(values):03d}.dcm", enforce_file_format=True)
        written.append(item)
    return written


def write_enhanced(path: Path, values, affine, order, scales=()):
    """Write a multi-frame file whose frames lie in another order than their slices."""
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / edges
    item = base(
        ENHANCED, Modality="MR", SeriesDescription="T1 +C", ImageType=["ORIGINAL", "PRIMARY", "M", "NONE"]
    )
    item.SeriesInstanceUID, item.FrameOfReferenceUID, item.NumberOfFrames = (
        generate_uid(),
        generate_uid(),
        len(order),
    )
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [float(edges[1]), float(edges[0])], float(edges[2])
    plane.ImageOrientationPatient = [*direction[:, 0], *direction[:, 1]]
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([plane])
    item.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for place, number in enumerate(order):
        group, position, scale = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = (affine[:3, 3] + number * affine[:3, 2]).tolist()
        group.PlanePositionSequence = Sequence([position])
        scale.RescaleSlope, scale.RescaleIntercept = scales[place] if scales else (1, 0)
        group.PixelValueTransformationSequence = Sequence([scale])
        frames.append(group)
    item.PerFrameFunctionalGroupsSequence = Sequence(frames)
    pixels(item, values[list(order)])
    path.parent.mkdir(parents=True, exist_ok=True)
    item.save_as(path, enforce_file_format=True)


def outlines(mask):
    """Closed outlines of a plane of booleans along the edges of its pixels, each (N, 2): column, row."""
    edges = {}
    for row, column in np.argwhere(mask):
        corners = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
        for number, ((dx, dy), step) in enumerate(
            zip(corners, [(0, -1), (1, 0), (0, 1), (-1, 0)], strict=True)
        ):
            x, y = column + step[0], row + step[1]
            if not (0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x]):
                ex, ey = corners[(number + 1) % 4]
                edges.setdefault((column + dx, row + dy), []).append((column + ex, row + ey))
    lines = []
    while edges:
        point = start = next(iter(edges))
        line = []
        while True:
            line.append(point)
            following = edges[point].pop()
            if not edges[point]:
                del edges[point]
            point = following
            if point == start:
                break
        lines.append(np.array(line))
    return lines


def contour(points, affine, number, kind="CLOSED_PLANAR"):
    """A contour item from points (N, 2), column and row, on a slice."""
    item = Dataset()
    place = np.column_stack([points, np.full(len(points), float(number)), np.ones(len(points))]) @ affine.T
    item.ContourGeometricType, item.NumberOfContourPoints = kind, len(points)
    item.ContourData = [f"{value:.6f}".rstrip("0") for value in place[:, :3].ravel()]
    return item


def mask_contours(mask, affine):
    """The contours of a mask (z, y, x)."""
    return [contour(line, affine, z) for z, plane in enumerate(mask) for line in outlines(plane)]


def write_structures(path: Path, regions, images, types=None, **tags):
    """Write a structure set of {name: contours} that is drawn on a series' data sets."""
    first = images[0]
    item = base(STRUCTURES, first.PatientID, first.StudyInstanceUID, Modality="RTSTRUCT", **tags)
    item.SeriesInstanceUID, item.StructureSetLabel = generate_uid(), "set"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    series.ContourImageSequence = Sequence([])
    for image in images:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = MR, image.SOPInstanceUID
        series.ContourImageSequence.append(reference)
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = MR, first.StudyInstanceUID
    study.RTReferencedSeriesSequence = Sequence([series])
    frame.FrameOfReferenceUID = first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = Sequence([study])
    item.ReferencedFrameOfReferenceSequence = Sequence([frame])
    item.StructureSetROISequence, item.ROIContourSequence = Sequence([]), Sequence([])
    item.RTROIObservationsSequence = Sequence([])
    for number, (name, contours) in enumerate(regions.items(), 1):
        region, drawn, observation = Dataset(), Dataset(), Dataset()
        region.ROINumber, region.ROIName, region.ROIGenerationAlgorithm = number, name, "MANUAL"
        region.ReferencedFrameOfReferenceUID = first.FrameOfReferenceUID
        drawn.ReferencedROINumber, drawn.ROIDisplayColor = number, [255, 0, 0]
        drawn.ContourSequence = Sequence(contours)
        observation.ObservationNumber = observation.ReferencedROINumber = number
        observation.RTROIInterpretedType, observation.ROIInterpreter = (types or {}).get(name, ""), ""
        item.StructureSetROISequence.append(region)
        item.ROIContourSequence.append(drawn)
        item.RTROIObservationsSequence.append(observation)
    path.parent.mkdir(parents=True, exist_ok=True)
    item.save_as(path, enforce_file_format=True)
    return item


def write_segmentation(path: Path, masks, images, anatomy=(), kind="BINARY"):
    """Write a DICOM SEG of {label: mask (z, y, x)} by highdicom."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    tumour, organ = codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.AnatomicalStructure
    descriptions = [
        hd.seg.SegmentDescription(
            number,
            label,
            organ if label in anatomy else tumour,
            codes.SCT.Brain if label in anatomy else codes.SCT.Neoplasm,
            hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(masks, 1)
    ]
    stacked = np.stack(list(masks.values()), axis=-1).astype(np.uint8)
    item = hd.seg.Segmentation(
        images,
        stacked,
        kind,
        descriptions,
        generate_uid(),
        900,
        generate_uid(),
        1,
        "maker",
        "model",
        "1",
        "7",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    item.save_as(path)
    return item


def ball(centre, radius, size=SIZE, spacing=SPACING):
    """A ball, booleans (z, y, x); centre in voxels x, y, z, radius in mm."""
    grid = np.indices(size[::-1])[::-1]
    away = [(axis - place) * edge for axis, place, edge in zip(grid, centre, spacing, strict=True)]
    return sum(part**2 for part in away) <= radius**2


def scanned(folder: Path):
    """The headers of a folder."""
    from bcbm.imaging.headers import scan

    return scan([path for path in folder.rglob("*") if path.is_file()], 1)


def edit(folder: Path, change):
    """Change the data set of each file of a folder, in the order of their slices."""
    items = [(pydicom.dcmread(path), path) for path in folder.rglob("*.dcm")]
    for number, (item, path) in enumerate(sorted(items, key=lambda pair: pair[0].get("InstanceNumber", 0))):
        change(number, item)
        item.save_as(path, enforce_file_format=True)
