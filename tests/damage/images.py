"""Images and masks: files that cannot be read, are not what their name says, or do not fit together."""

import gzip
import os
import struct
from pathlib import Path

import nibabel as nib
import numpy as np

from bcbm.cohort.formats.tcia import IMAGE_FOLDER
from damage.given import AFFINE, FIRST, NAME, SECOND, SIZE, image_of, mask_of, save, values_of
from damage.kind import IMAGES, SAID, kind

LESION = f"{FIRST}/{NAME}"
OTHER_SESSION = FIRST[:-1] + "1"  # of the first patient
MASK = {"end": SAID, "lost": 1, "words": IMAGES}  # costs its lesion
IMAGE = {"end": SAID, "lost": 1, "words": IMAGES}  # of a patient with one lesion


@kind("a mask cut short", LESION, "download it again", **MASK)
def _(root: Path) -> None:
    path = mask_of(root, FIRST)
    path.write_bytes(path.read_bytes()[:-20])


@kind("a mask of no bytes", LESION, "download it again", **MASK)
def _(root: Path) -> None:
    mask_of(root, FIRST).write_bytes(b"")


@kind("a mask that is a web page", LESION, "download it again", **MASK)
def _(root: Path) -> None:
    mask_of(root, FIRST).write_bytes(gzip.compress(b"<html>Please log in</html>" * 40))


@kind("a mask with a flipped bit", LESION, "download it again", **MASK)
def _(root: Path) -> None:
    path = mask_of(root, FIRST)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _exchange(first: Path, second: Path) -> None:
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def _turned(path: Path) -> None:
    """Give a volume a qform that is not its sform."""
    image = nib.Nifti1Image(values_of(path), AFFINE)
    image.set_qform(np.diag([1.0, -1.0, 1.0, 1.0]), 1)
    nib.save(image, path)


def _header(path: Path, place: int, layout: str, *values: float) -> None:
    """Write numbers into the header of a packed file."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into(f"<{layout}", content, place, *values)
    path.write_bytes(gzip.compress(content))


@kind("a mask whose values are scaled, and that holds too few", LESION, "fewer voxels", **MASK)
def _(root: Path) -> None:
    path = mask_of(root, FIRST)
    save(path, values_of(path) * 255)
    _header(path, 112, "2f", 1 / 255, 0)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100]))


@kind("a voxel size that is not that of the sform", FIRST, "cohort.form=sform", "(2, 2, 2)", **IMAGE)
def _(root: Path) -> None:
    for path in (image_of(root, FIRST), mask_of(root, FIRST)):
        _header(path, 80, "3f", 2, 2, 2)
        _header(path, 252, "h", 0)


@kind("a negative voxel size", FIRST, "pixdim", "(-1, 1, 1)", **IMAGE)
def _(root: Path) -> None:
    for path in (image_of(root, FIRST), mask_of(root, FIRST)):
        _header(path, 80, "3f", -1, 1, 1)


@kind("an image and a mask in microns", FIRST, "microns", "0.001", **IMAGE)
def _(root: Path) -> None:
    for path in (image_of(root, FIRST), mask_of(root, FIRST)):
        _header(path, 123, "B", 3)


@kind("voxels that begin inside the header", LESION, "vox_offset", **MASK)
def _(root: Path) -> None:
    _header(mask_of(root, FIRST), 108, "f", 0)


@kind("voxels that begin beyond any file", LESION, "vox_offset", **MASK)
def _(root: Path) -> None:
    _header(mask_of(root, FIRST), 108, "f", 1e25)


@kind("a mask of NIfTI-2", LESION, "NIfTI-2", **MASK)
def _(root: Path) -> None:
    path = mask_of(root, FIRST)
    nib.save(nib.Nifti2Image(values_of(path), AFFINE), path)


@kind("a mask that is not packed", f"{FIRST}_mask_{NAME}.nii", "pack it with gzip", **MASK)
def _(root: Path) -> None:
    path = mask_of(root, FIRST)
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()


@kind("a mask whose name ends in capitals", f"{FIRST}_mask_{NAME}.NII.GZ", "rename it", **MASK)
def _(root: Path) -> None:
    path = mask_of(root, FIRST)
    path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.GZ")))


@kind("a study folder in other letters than its files", FIRST.lower(), FIRST, "spelling", **IMAGE)
def _(root: Path) -> None:
    (root / IMAGE_FOLDER / FIRST).rename(root / IMAGE_FOLDER / FIRST.lower())


@kind("an inverted mask", LESION, "beyond the stripped brain", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    save(mask_of(root, FIRST), 1 - values_of(mask_of(root, FIRST)))


@kind("a mask of the brain", LESION, "100%", "above 0", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    save(mask_of(root, FIRST), (values_of(image_of(root, FIRST)) > 0).astype(np.uint8))


@kind("an image that holds the lesion alone", f"{FIRST}_image", "next to no brain", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    path = image_of(root, FIRST)
    save(path, values_of(path) * values_of(mask_of(root, FIRST)))


@kind("a mask that holds fewer voxels than its header says", LESION, "fewer voxels", **MASK)
def _(root: Path) -> None:
    path = mask_of(root, FIRST)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100]))


@kind("a mask that holds more slices than its header says", LESION, "goes on behind the voxels", **MASK)
def _(root: Path) -> None:
    _header(mask_of(root, FIRST), 46, "h", SIZE - 1)


@kind("an image that holds more slices than its header says", FIRST, "goes on behind the voxels", **IMAGE)
def _(root: Path) -> None:
    _header(image_of(root, FIRST), 46, "h", SIZE - 1)


@kind(
    "a mask with voxels below 0 and not finite",
    LESION,
    "2 voxels below 0",
    "3 voxels",
    end=SAID,
    words=IMAGES,
)
def _(root: Path) -> None:
    values = values_of(mask_of(root, FIRST)).astype(np.float32)
    values[0, 0, :2], values[0, 1, :3] = -1, np.nan
    save(mask_of(root, FIRST), values)


@kind(
    "a crop in centimetres",
    *("crops", "are wider than the crop of 0.8 mm", "features.crop_spacing"),
    end=SAID,
    words=(*IMAGES, "features.crop_spacing=0.1", "augment.shift=0"),
)
def _(root: Path) -> None:
    pass


@kind("a mask that is a link to another patient's", FIRST, SECOND, "mask", end=SAID, lost=2, words=IMAGES)
def _(root: Path) -> None:
    mask_of(root, FIRST).unlink()
    mask_of(root, FIRST).symlink_to(mask_of(root, SECOND))


@kind("an empty mask", LESION, "no voxel", **MASK)
def _(root: Path) -> None:
    save(mask_of(root, FIRST), np.zeros((SIZE,) * 3, np.uint8))


@kind("a mask of one voxel", LESION, "single voxel", **MASK)
def _(root: Path) -> None:
    mask = np.zeros((SIZE,) * 3, np.uint8)
    mask[9, 9, 9] = 1
    save(mask_of(root, FIRST), mask)


@kind("a mask outside the brain", LESION, "outside the stripped brain", **MASK)
def _(root: Path) -> None:
    mask = np.zeros((SIZE,) * 3, np.uint8)
    mask[0, 2:6, 2:6] = 1
    save(mask_of(root, FIRST), mask)


@kind("a mask of another size than its image", LESION, "another grid", f"{SIZE + 1}", **MASK)
def _(root: Path) -> None:
    save(mask_of(root, FIRST), np.ones((SIZE, SIZE, SIZE + 1), np.uint8))


@kind("a mask shifted against its image", LESION, "another grid", "origin", **MASK)
def _(root: Path) -> None:
    path = mask_of(root, FIRST)
    affine = AFFINE.copy()
    affine[:3, 3] = 5
    save(path, values_of(path), affine)


@kind("a mask with other spacing than its image", LESION, "another grid", "spacing", **MASK)
def _(root: Path) -> None:
    path = mask_of(root, FIRST)
    save(path, values_of(path), AFFINE @ np.diag([1, 1, 2, 1]))


@kind("a mask with several volumes", LESION, "dimensions", **MASK)
def _(root: Path) -> None:
    save(mask_of(root, FIRST), np.ones((SIZE, SIZE, SIZE, 2), np.uint8))


@kind("a mask of several label values", LESION, "cohort.label_value", **MASK)
def _(root: Path) -> None:
    values = values_of(mask_of(root, FIRST)).copy()
    values[4] *= 2
    save(mask_of(root, FIRST), values)


@kind(
    "two lesions in one mask",
    LESION,
    "cohort.parts",
    end=SAID,
    lost=1,
    words=(*IMAGES, "cohort.parts=refuse"),
)
def _(root: Path) -> None:
    values = values_of(mask_of(root, FIRST)).copy()
    values[13:16, 13:16, 13:16] = 1
    save(mask_of(root, FIRST), values)


@kind("a mask with stray voxels", LESION, "too small to be a lesion", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    values = values_of(mask_of(root, FIRST)).copy()
    values[15, 15, 15] = 1
    save(mask_of(root, FIRST), values)


@kind("a pipe in place of a mask", LESION, "not a regular file", **MASK)
def _(root: Path) -> None:
    mask_of(root, FIRST).unlink()
    os.mkfifo(mask_of(root, FIRST))


@kind("a mask whose header claims more voxels than any memory holds", LESION, "voxels", **MASK)
def _(root: Path) -> None:
    content = bytearray(gzip.decompress(mask_of(root, FIRST).read_bytes()))
    content[42:48] = (32767).to_bytes(2, "little") * 3
    mask_of(root, FIRST).write_bytes(gzip.compress(content))


@kind("a mask that unpacks to zeros without end", LESION, "voxels", **MASK)
def _(root: Path) -> None:
    zeros = gzip.compress(bytes(1 << 24), compresslevel=1)
    with mask_of(root, FIRST).open("ab") as file:
        file.write(zeros * 8)


@kind("a mask whose qform and sform disagree", LESION, "cohort.form", **MASK)
def _(root: Path) -> None:
    _turned(mask_of(root, FIRST))


@kind("a mask whose name is not UTF-8", FIRST, "not UTF-8", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    path = mask_of(root, FIRST)
    (path.parent / os.fsdecode(f"{FIRST}_mask_l".encode() + b"\xff.nii.gz")).write_bytes(path.read_bytes())


@kind("a lesion whose mask is not there", LESION, "no mask file", **MASK)
def _(root: Path) -> None:
    mask_of(root, FIRST).unlink()


@kind("a study without its image", FIRST, "0 files", **IMAGE)
def _(root: Path) -> None:
    image_of(root, FIRST).unlink()


@kind("a study with two images", FIRST, "2 files", "_image_ss_n4", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    path = image_of(root, FIRST)
    path.with_name(f"{FIRST}_image_raw.nii.gz").write_bytes(path.read_bytes())


@kind("a file that fits no name", "t2.nii.gz", "neither an image nor a mask", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    path = image_of(root, FIRST)
    path.with_name("t2.nii.gz").write_bytes(path.read_bytes())


@kind("an image cut short", FIRST, "its lesions are excluded", **IMAGE)
def _(root: Path) -> None:
    path = image_of(root, FIRST)
    path.write_bytes(path.read_bytes()[:-200])


@kind("an image with a voxel that is not finite", FIRST, "not finite", **IMAGE)
def _(root: Path) -> None:
    values = values_of(image_of(root, FIRST)).copy()
    values[9, 9, 9] = np.nan
    save(image_of(root, FIRST), values)


@kind("an image of nothing but zeros", FIRST, "no brain", **IMAGE)
def _(root: Path) -> None:
    save(image_of(root, FIRST), np.zeros((SIZE,) * 3, np.float32))


@kind("an image of one intensity", FIRST, "one intensity only", **IMAGE)
def _(root: Path) -> None:
    save(image_of(root, FIRST), np.full((SIZE,) * 3, 7, np.float32))


@kind("an image of several volumes", FIRST, "dimensions", **IMAGE)
def _(root: Path) -> None:
    save(image_of(root, FIRST), np.ones((SIZE, SIZE, SIZE, 2), np.float32))


@kind("an image whose qform and sform disagree", FIRST, "cohort.form", **IMAGE)
def _(root: Path) -> None:
    _turned(image_of(root, FIRST))


@kind("an image whose intensities were scaled to 0 to 1", FIRST, "rescaled before", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    save(image_of(root, FIRST), values_of(image_of(root, FIRST)) / 1000)


@kind("an image that is not skull-stripped", FIRST, "not skull-stripped", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    for path in (image_of(root, FIRST), mask_of(root, FIRST)):  # 4 litres
        save(path, values_of(path), AFFINE @ np.diag([8, 8, 8, 1]))


@kind("an image without orientation", FIRST, "left and right are unknown", **IMAGE)
def _(root: Path) -> None:
    path = image_of(root, FIRST)
    image = nib.Nifti1Image(values_of(path), AFFINE)
    image.set_qform(None, 0)
    image.set_sform(None, 0)
    nib.save(image, path)


@kind("masks of two patients exchanged", FIRST, SECOND, "64 mm3", "80 mm3", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    _exchange(mask_of(root, FIRST), mask_of(root, SECOND))


@kind("a mask of another patient, copied", FIRST, SECOND, "their images are not one", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    mask_of(root, SECOND).write_bytes(mask_of(root, FIRST).read_bytes())


@kind("a mask of another session, copied", FIRST, OTHER_SESSION, "not one", end=SAID, lost=-1, words=IMAGES)
def _(root: Path) -> None:
    values = values_of(image_of(root, FIRST))
    save(image_of(root, OTHER_SESSION), np.where(values > 0, 2000 - values, 0))
    save(mask_of(root, OTHER_SESSION), values_of(mask_of(root, FIRST)))


@kind("an image of another session, copied", FIRST, OTHER_SESSION, "image", end=SAID, lost=-1, words=IMAGES)
def _(root: Path) -> None:
    save(image_of(root, OTHER_SESSION), values_of(image_of(root, FIRST)))
    mask = np.zeros((SIZE,) * 3, np.uint8)
    mask[11:15, 5:9, 5:9] = 1
    save(mask_of(root, OTHER_SESSION), mask)


@kind(
    "a lesion left out by hand, and a target drawn over it",
    LESION,
    f"{FIRST}/Plan1_TgtA",
    "left out by hand",
    end=SAID,
    words=IMAGES,
)
def _(root: Path) -> list[str]:
    save(mask_of(root, FIRST, "Plan1_TgtA"), values_of(mask_of(root, FIRST)))
    path = root.parent / "judged.csv"
    path.write_text(f"lesion,reason\n{LESION},radionecrosis\n")
    return [f"cohort.exclude={path}"]


@kind("an image whose copy was broken off", f"{FIRST}_image", "slice 11", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    values = values_of(image_of(root, FIRST)).copy()
    values.T[11, 9:], values.T[12:] = 0, 0  # as they lie in the file
    save(image_of(root, FIRST), values)


@kind("an image whose slices are out of order", f"{FIRST}_image", "slice to slice", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    values = values_of(image_of(root, FIRST)).copy()
    places = np.indices(values.shape) - (SIZE - 1) / 2
    values[(places**2).sum(0) > (SIZE / 2 - 1) ** 2] = 0  # round, as a brain is
    save(image_of(root, FIRST), values[:, :, [*range(0, SIZE, 2), *range(1, SIZE, 2)]])  # as they were taken


@kind("a mask that is an outline", LESION, "an outline", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    values = np.zeros((SIZE,) * 3, np.uint8)
    values[4:10, 4:10, 4:10], values[5:9, 5:9, 4:10] = 1, 0  # contours, slice by slice
    save(mask_of(root, FIRST), values)


@kind("a mask of its largest slice", LESION, "single slice", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    values = np.zeros((SIZE,) * 3, np.uint8)
    values[4:10, 4:10, 6] = 1
    save(mask_of(root, FIRST), values)


@kind("a mask that ends in its middle", LESION, "cut off", "100%", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    places = np.indices((SIZE,) * 3) - SIZE // 2
    ball = (places**2).sum(0) <= 64
    save(mask_of(root, FIRST), (ball & (places[2] <= 0)).astype(np.uint8))


@kind("a volume that ends inside a lesion", LESION, "edge of its image", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    values, mask = values_of(image_of(root, FIRST)).copy(), np.zeros((SIZE,) * 3, np.uint8)
    mask[4:8, 4:8, 4:8], values[:, :, 18:] = 1, values[:, :, 16:18]
    save(image_of(root, FIRST), values[:, :, 6:])
    save(mask_of(root, FIRST), mask[:, :, 6:])


@kind("a mask that is a box", LESION, "6 x 6 x 5", "all of them drawn", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    values = np.zeros((SIZE,) * 3, np.uint8)
    values[4:10, 4:10, 4:9] = 1  # as a detector marks what it has found
    save(mask_of(root, FIRST), values)


@kind("an image whose slices were written twice", f"{FIRST}_image", "the one before", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    values = values_of(image_of(root, FIRST)).copy()
    values[:, :, 1::2] = values[:, :, ::2]
    save(image_of(root, FIRST), values)


@kind("an image and masks that were resized without their header", FIRST, "1.46 ml", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    for path in (image_of(root, FIRST), mask_of(root, FIRST)):
        save(path, values_of(path)[::2, ::2])


@kind("an image of which a slice lost its scale", f"{FIRST}_image", "times as bright", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    values = values_of(image_of(root, FIRST)).copy()
    values[:, :, 10] *= 3  # as of a converter that takes one slope for all slices
    save(image_of(root, FIRST), values)


@kind("an image that begins again at 0 beyond 255", f"{FIRST}_image", "more bits", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    path = image_of(root, FIRST)
    save(path, (values_of(path).astype(int) % 256).astype(np.uint8))


@kind("a header that was lost", f"{FIRST}_image", "0 mm on", "voxels of 1 mm", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    for path in (image_of(root, FIRST), mask_of(root, FIRST)):
        save(path, values_of(path), np.eye(4))


@kind("an image of an 8-bit export", f"{FIRST}_image", "255", "cut off", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    path = image_of(root, FIRST)
    save(path, np.clip(values_of(path), 0, 255).astype(np.uint8))


@kind("an image with a spike", f"{FIRST}_image", "times the mean", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    values = values_of(image_of(root, FIRST)).copy()
    values[9, 9, 9] = 1e6
    save(image_of(root, FIRST), values)


@kind("an image and a mask in centimetres", f"{FIRST}_image", "0.1 mm", "centimetres", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    for path in (image_of(root, FIRST), mask_of(root, FIRST)):
        save(path, values_of(path), AFFINE @ np.diag([0.1, 0.1, 0.1, 1]))


@kind("another sequence in the place of the image", FIRST, "_image_flair.nii.gz", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    path = image_of(root, FIRST)
    path.rename(path.with_name(f"{FIRST}_image_flair.nii.gz"))


@kind("images of two patients exchanged", FIRST, "mean intensity", end=SAID, words=IMAGES)
def _(root: Path) -> None:
    _exchange(image_of(root, FIRST), image_of(root, SECOND))


@kind("an image under two patients", FIRST, SECOND, end=SAID, lost=3, words=IMAGES)
def _(root: Path) -> None:
    image_of(root, SECOND).write_bytes(image_of(root, FIRST).read_bytes())


@kind("images in a folder of another name", "Images", IMAGE_FOLDER, words=IMAGES)
def _(root: Path) -> None:
    (root / IMAGE_FOLDER).rename(root / "Images")


@kind("an image folder that holds no study", IMAGE_FOLDER, "no study folder", words=IMAGES)
def _(root: Path) -> None:
    (root / IMAGE_FOLDER).rename(root.parent / "elsewhere")
    (root / IMAGE_FOLDER).mkdir()


@kind("images unpacked one folder too deep", IMAGE_FOLDER, "same name", words=IMAGES)
def _(root: Path) -> None:
    (root / IMAGE_FOLDER).rename(root.parent / "elsewhere")
    (root / IMAGE_FOLDER).mkdir()
    (root.parent / "elsewhere").rename(root / IMAGE_FOLDER / IMAGE_FOLDER)


@kind("a sequence that no study has", "flare", IMAGE_FOLDER, "task.sequences", words=IMAGES)
def _(root: Path) -> list[str]:
    return ["task.sequences=[t1c,flare]"]
