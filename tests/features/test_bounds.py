"""Files that would hang or swallow the machine: refused by what they are, before anything is believed."""

import gzip
import hashlib
import os
import struct
from zipfile import ZIP_DEFLATED, ZipFile

import nibabel as nib
import numpy as np
import openpyxl
import pytest
import SimpleITK as sitk
from drawings import LPS, SHAPE, box, brain, claiming, device, endless, pipe, save, surveyed
from isal import igzip

from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK
from bcbm.cohort.formats.workbooks import MOST, read_workbook
from bcbm.errors import InputError
from bcbm.features import volumes
from bcbm.features.geometry import VolumeError
from bcbm.features.volumes import (
    UnreadableError,
    bounding_box,
    open_box,
    open_volume,
    read_stored,
    shrunk,
)
from bcbm.system.content import file_key

MASKS = {
    "pipe": (pipe, "regular file"),
    "device": (device, "regular file"),
    "folder": (lambda path: path.mkdir() or path, "regular file"),
    "headed": (lambda path: claiming((32767, 32767, 32767), path), "32767 x 32767 x 32767"),
    "scaled": (lambda path: claiming((32767, 32767, 32767), path, scaled=True), "32767 x 32767 x 32767"),
    "small file": (lambda path: claiming((1000, 1000, 1000), path), "too small"),
    "endless": (
        lambda path: endless(path, nib.Nifti1Image(box((8, 8, 6)), LPS).to_bytes()),
        "goes on behind the voxels",
    ),
}


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_that_is_no_file_or_has_no_end_costs_its_lesion_alone(tmp_path, kind):
    make, fact = MASKS[kind]
    survey = surveyed(tmp_path, brain(), {"bad": make(tmp_path / "bad.nii.gz"), "good": box((8, 8, 6))})
    assert survey.unusable == {"bad": "unreadable mask"} and list(survey.masks.index) == ["good"]
    (problem,) = survey.problems
    assert "bad.nii.gz" in problem.found and fact in problem.found


@pytest.mark.parametrize("kind", ["pipe", "headed"])
def test_an_image_that_is_none_costs_the_lesions_of_its_study(tmp_path, kind):
    make, fact = MASKS[kind]
    survey = surveyed(tmp_path, make(tmp_path / "image.nii.gz"), {"met": box((8, 8, 6))})
    assert survey.unusable == {"met": f"unusable image: {survey.problems[0].found}"}
    assert fact in survey.problems[0].found


KINDS = {
    "bytes": box((8, 8, 6)),
    "wide": box((8, 8, 6)).astype(np.float64) * 0.7,
    "ends": box((0, 0, 0)) + box((16, 20, 12)),
    "nan": np.where(box((3, 4, 5)), 1, np.nan).astype(np.float32),
    "empty": np.zeros(SHAPE, np.int16),
}


@pytest.mark.parametrize("big_endian", [False, True])  # which ITK reads in place of us
@pytest.mark.parametrize("kind", KINDS)
def test_the_box_of_what_is_drawn_is_that_of_the_whole_volume(tmp_path, kind, big_endian):
    path = save(tmp_path / "mask.nii.gz", KINDS[kind], big_endian=big_endian)
    drawn, volume = open_box(path), open_volume(path)
    expected = bounding_box(volume.values)
    if expected is None:
        assert drawn.values.size == 0
        return
    assert drawn.start.tolist() == [span.start for span in expected]
    np.testing.assert_array_equal(drawn.values, volume.values[expected])
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-8]))
    with pytest.raises(UnreadableError, match=path.name):
        open_box(path)


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("kind", ["inside", "corner", "nothing"])
def test_means_of_blocks_are_to_the_bit_those_of_itk(kind, share):
    values = np.zeros((17, 23, 30), np.int16)
    rng = np.random.default_rng(0)
    if kind == "inside":
        values[4:15, 9:20, 3:11] = rng.integers(-50, 900, (11, 11, 8))
    elif kind == "corner":
        values[16, 22, 29] = 700  # in the rest behind the last whole block
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.47, 0.5, 1.1))
    image.SetOrigin((3.7, -81.3, 12.9))
    wide = sitk.Cast(image > 0 if share else image, sitk.sitkFloat32)
    own, expected = shrunk(image, [4, 3, 5], share=share), sitk.BinShrink(wide, [4, 3, 5])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(own), sitk.GetArrayFromImage(expected))
    for value in ("GetOrigin", "GetSpacing", "GetDirection"):
        assert getattr(own, value)() == getattr(expected, value)()


def test_what_goes_on_is_left_at_once_whoever_reads_it(tmp_path, monkeypatch):
    """No more is unpacked than the header describes and a megabyte or two."""
    plain = nib.Nifti1Image(box((8, 8, 6)), LPS).to_bytes()
    scaled = bytearray(plain)
    struct.pack_into("<2f", scaled, 112, 2.0, 0.0)
    unpacked = []

    class Counting(igzip.IGzipFile):
        def read(self, size=-1):
            content = super().read(size)
            unpacked.append(len(content))
            return content

    monkeypatch.setattr(volumes.igzip, "open", lambda path: Counting(path))
    for content, read in ((plain, open_volume), (bytes(scaled), read_stored)):
        with pytest.raises(UnreadableError, match="goes on"):
            read(endless(tmp_path / "mask.nii.gz", content))
    assert sum(unpacked) < 2**23


def test_a_few_bytes_behind_the_voxels_are_no_harm(tmp_path):
    path = tmp_path / "mask.nii.gz"
    path.write_bytes(gzip.compress(nib.Nifti1Image(box((8, 8, 6)), LPS).to_bytes() + bytes(256)))
    assert open_volume(path).values.sum() == 64


def test_a_packed_volume_with_a_bit_flipped_anywhere_is_refused_or_the_same(tmp_path):
    """The library that unpacks is no part of Python: it believes a checksum no more and no less."""
    values = np.random.default_rng(0).integers(0, 1000, SHAPE).astype(np.int16)
    path, outcomes = tmp_path / "image.nii.gz", {"same": 0, "refused": 0}
    packed = gzip.compress(nib.Nifti1Image(values, LPS).to_bytes(), mtime=0)
    for bit in range(0, 8 * len(packed), len(packed) // 30):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert (open_volume(path).values == values.T).all(), bit
            outcomes["same"] += 1
        except VolumeError:
            outcomes["refused"] += 1
    assert outcomes["same"] < 10 < outcomes["refused"]  # time and system of the packer are nobody's


SHORT = {
    "scaled": ("i2", (2.0, 0.0), False, b""),
    "to one": ("u1", (1 / 255, 0.0), False, b""),
    "extended": ("i2", (1.0, 0.0), False, b"hello " * 40),
    "big endian": ("i2", (1.0, 0.0), True, b""),
    "plain": ("i2", (1.0, 0.0), False, b""),
}


def stored(kind):
    """A mask of 64 voxels as a kind of `SHORT` stores it, and the byte order of its header."""
    dtype, scaling, big, extension = SHORT[kind]
    header = nib.Nifti1Header(endianness=">" if big else "<")
    image = nib.Nifti1Image(box((8, 8, 6)).astype(header.endianness + dtype), LPS, header)
    if extension:
        image.header.extensions.append(nib.nifti1.Nifti1Extension(6, extension))
    content = bytearray(image.to_bytes())
    struct.pack_into(header.endianness + "2f", content, 112, *scaling)
    return content, header.endianness


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
@pytest.mark.parametrize("kind", SHORT)
def test_fewer_voxels_than_the_header_says_are_refused_whoever_reads_them(tmp_path, kind, ending):
    """ITK takes the missing ones for zeros."""
    content, _ = stored(kind)
    path = tmp_path / f"mask{ending}"
    pack = gzip.compress if ending == ".nii.gz" else bytes
    path.write_bytes(pack(content))
    assert (sitk.GetArrayFromImage(read_stored(path)) > 0).sum() == 64
    path.write_bytes(pack(content[:-2]))
    for read in (read_stored, open_volume):
        with pytest.raises(UnreadableError, match="fewer voxels"):
            read(path)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("kind", SHORT)
def test_more_voxels_than_the_header_says_are_refused_whoever_reads_them(tmp_path, kind, axis, ending):
    """One slice less in the header: along the last axis it is dropped, along another the rest is sheared."""
    content, order = stored(kind)
    struct.pack_into(f"{order}h", content, 42 + 2 * axis, SHAPE[axis] - 1)
    path = tmp_path / f"mask{ending}"
    path.write_bytes((gzip.compress if ending == ".nii.gz" else bytes)(content))
    for read in (read_stored, open_volume):
        with pytest.raises(UnreadableError, match="goes on behind the voxels"):
            read(path)


def test_a_second_volume_that_the_header_leaves_out_is_refused(tmp_path):
    content = bytearray(nib.Nifti1Image(np.stack([box((8, 8, 6))] * 2, -1), LPS).to_bytes())
    struct.pack_into("<h", content, 40, 3)
    path = tmp_path / "mask.nii.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(UnreadableError, match="goes on behind the voxels"):
        open_volume(path)


def test_a_plain_file_without_end_is_told_from_others_without_reading_it_all(tmp_path, monkeypatch):
    content = nib.Nifti1Image(box((8, 8, 6)), LPS).to_bytes()
    paths = [tmp_path / f"{number}.nii" for number in range(3)]
    for path, size in zip(paths, (2**33, 2**33, 2**33 + 1), strict=True):
        path.write_bytes(content)
        os.truncate(path, size)  # zeros that take no room
    hashed = []
    digest = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", lambda data=b"": hashed.append(len(data)) or digest(data))
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("it is read whole"))
    keys = [file_key(path) for path in paths]
    assert keys[0] == keys[1] != keys[2] and sum(hashed) < 2**20
    with pytest.raises(UnreadableError, match="goes on behind the voxels"):
        open_volume(paths[0])


@pytest.mark.parametrize("slope", [0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("big", [False, True], ids=["ours", "itk"])
def test_a_slope_that_says_no_scaling_means_no_intercept_either(tmp_path, slope, big):
    path = save(tmp_path / "image.nii.gz", brain().astype(">i2" if big else "<i2"), big_endian=big)
    expected = sitk.GetArrayFromImage(read_stored(path))
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into((">" if big else "<") + "2f", content, 112, slope, 5.0)
    path.write_bytes(gzip.compress(content))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_stored(path)), expected)
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.values, expected)


@pytest.mark.parametrize("read", [open_volume, read_stored])
def test_a_volume_that_memory_cannot_hold_is_not_begun(tmp_path, monkeypatch, read):
    path = save(tmp_path / "mask.nii.gz", box((8, 8, 6)))
    monkeypatch.setattr(volumes, "available_memory", lambda: 4 * np.prod(SHAPE))
    with pytest.raises(UnreadableError, match="of memory"):
        read(path)


def test_what_memory_could_not_hold_is_read_once_it_can(tmp_path, monkeypatch):
    masks = {"met": box((8, 8, 6))}
    with monkeypatch.context() as patch:
        patch.setattr(volumes, "available_memory", lambda: 10)
        assert set(surveyed(tmp_path, brain(), masks).unusable) == {"met"}
    assert surveyed(tmp_path, brain(), masks).masks.loc["met", "voxels"] == 64


def test_a_workbook_with_a_mountain_inside_is_one_problem(tmp_path):
    path = tmp_path / CLINICAL_WORKBOOK[0]
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=1) as book, book.open("sheet1.xml", "w") as part:
        for _ in range(MOST // 2**24 + 1):
            part.write(bytes(2**24))
    with pytest.raises(InputError) as caught:
        read_workbook(tmp_path, *CLINICAL_WORKBOOK, needed=["ID"], used=bool, odd=[])
    (problem,) = caught.value.problems
    assert problem.where == str(path) and "0.3 GB" in problem.found


def test_a_cell_at_the_far_corner_of_a_sheet_is_one_problem(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = CLINICAL_WORKBOOK[1]
    book.active["A1"], book.active["XFD1048576"] = "ID", "x"
    book.save(tmp_path / CLINICAL_WORKBOOK[0])
    with pytest.raises(InputError, match="XFD1048576"):
        read_workbook(tmp_path, *CLINICAL_WORKBOOK, needed=["ID"], used=bool, odd=[])


def test_a_workbook_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / CLINICAL_WORKBOOK[0])
    with pytest.raises(InputError, match="regular file"):
        read_workbook(tmp_path, *CLINICAL_WORKBOOK, needed=["ID"], used=bool, odd=[])
