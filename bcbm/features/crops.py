"""Crops: a fixed cube around every lesion, in one memory-mapped file that workers share without copies."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from joblib import Parallel, delayed

from bcbm.cohort.problems import Problem
from bcbm.cohort.tcia import gzip_trailer
from bcbm.features.volumes import read_mask, read_volume


def prepare_crops(
    lesions: pd.DataFrame,
    folder: Path,
    *,
    size: int,
    spacing: float,
    jobs: int,
    progress: Callable[[int], None] | None = None,
) -> tuple[Path, pd.DataFrame, list[Problem]]:
    """Make, or find, the crop store of these lesions with these settings.

    Arguments:
        lesions: columns lesion_id, study_id, image_path, mask_path.
        size: edge of the cube, voxels.
        spacing: edge of a voxel, mm.

    Returns:
        The path of a `.npy` array, float16 (N, 2, size, size, size): image, z-scored inside the brain, and
        mask (0 or 1), axes z, y, x in LPS orientation; an index with columns lesion_id, crop (the row, -1
        where there is none); a problem for each lesion without a crop.
    """
    name = _address(lesions, size, spacing)
    store, index_path = folder / f"crops-{name}.npy", folder / f"crops-{name}.parquet"
    if not (index_path.is_file() and store.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".crops-{name}.{os.getpid()}.npy"
        shape = (len(lesions), 2, size, size, size)
        np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape).flush()
        studies = [group for _, group in lesions.reset_index(drop=True).groupby("study_id")]
        work = (delayed(_crop_study)(group, partial, size, spacing) for group in studies)
        found: list[tuple[str, int, str, str]] = []
        try:
            for group, rows in zip(studies, Parallel(n_jobs=jobs, return_as="generator")(work), strict=True):
                found += rows
                if progress:
                    progress(len(group))
            partial.replace(store)
        finally:
            partial.unlink(missing_ok=True)
        index = pd.DataFrame(found, columns=["lesion_id", "crop", "problem", "remedy"])
        temporary = index_path.with_suffix(f".{os.getpid()}.tmp")
        index.to_parquet(temporary)
        temporary.replace(index_path)
    index = pd.read_parquet(index_path)
    bad = index[index["crop"] < 0]
    problems = [Problem(str(row.lesion_id), str(row.problem), str(row.remedy)) for row in bad.itertuples()]
    return store, index[["lesion_id", "crop"]], problems


def _address(lesions: pd.DataFrame, size: int, spacing: float) -> str:
    """The store's name: settings and content (packed checksums) of every file that goes in."""
    digest = hashlib.sha256(json.dumps([size, spacing]).encode())
    images = {path: gzip_trailer(Path(path)) for path in sorted(set(lesions["image_path"]))}
    for lesion in lesions.itertuples():
        digest.update(str(lesion.lesion_id).encode() + images[str(lesion.image_path)])
        digest.update(gzip_trailer(Path(str(lesion.mask_path))))
    return digest.hexdigest()[:16]


def _crop_study(
    lesions: pd.DataFrame, store: Path, size: int, spacing: float
) -> list[tuple[str, int, str, str]]:
    """Write the crops of one study into the store; one bad lesion does not stop its neighbours."""
    array = np.lib.format.open_memmap(store, mode="r+")
    image_path = Path(str(lesions["image_path"].iloc[0]))
    result: list[tuple[str, int, str, str]] = []
    try:
        image = normalised(read_volume(image_path))
    except ValueError as error:
        remedy = "download the image again; its lesions are excluded"
        return [(str(lesion), -1, str(error), remedy) for lesion in lesions["lesion_id"]]
    for label, lesion in lesions.iterrows():
        row = int(str(label))
        try:
            mask = read_mask(Path(str(lesion["mask_path"])), image)
            array[row] = crop(image, mask, size, spacing)
            result.append((str(lesion["lesion_id"]), row, "", ""))
        except ValueError as error:
            result.append((str(lesion["lesion_id"]), -1, str(error), "mend the mask; the lesion is excluded"))
    array.flush()
    return result


def normalised(image: sitk.Image) -> sitk.Image:
    """Z-score inside the brain (the voxels that skull stripping left above 0); outside is 0.

    Raises:
        ValueError: no brain, or a single intensity in it.
    """
    values = sitk.GetArrayFromImage(image)
    brain = values > 0
    spread = values[brain].std() if brain.any() else 0.0
    if not np.isfinite(values).all() or not spread > 0:
        raise ValueError("the image holds no brain: nothing above 0, one intensity only, or not finite")
    values = np.where(brain, (values - values[brain].mean()) / spread, 0).astype(np.float32)
    result = sitk.GetImageFromArray(values)
    result.CopyInformation(image)
    return result


def crop(image: sitk.Image, mask: sitk.Image, size: int, spacing: float) -> np.ndarray:
    """Resample a cube centred on the lesion: (2, size, size, size), image and mask; 0 beyond the volume."""
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(mask)
    axes = np.reshape(image.GetDirection(), (3, 3))  # columns; oblique scans are not along x, y, z
    origin = np.array(shape.GetCentroid(1)) - axes @ np.full(3, (size - 1) / 2 * spacing)
    grid = sitk.ResampleImageFilter()
    grid.SetSize([size] * 3)
    grid.SetOutputSpacing([spacing] * 3)
    grid.SetOutputOrigin(origin.tolist())
    grid.SetOutputDirection(image.GetDirection())
    grid.SetInterpolator(sitk.sitkLinear)
    planes = [grid.Execute(image)]
    planes.append(grid.Execute(sitk.Cast(mask, sitk.sitkFloat32)) > 0.5)
    return np.stack([sitk.GetArrayFromImage(plane).astype(np.float16) for plane in planes])
