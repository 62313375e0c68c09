"""A page to scroll through a scan: all inside, on the right grid, and shown by a real browser."""

import base64
import gzip
import hashlib
import re

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from browser import picture

from bcbm.report.pages import viewer
from bcbm.report.pages.viewer import niivue, write_viewer

SOFTWARE = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--virtual-time-budget=4000")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Of a turned scan of fine voxels, with a bright ball of which an eighth is a lesion."""
    if niivue() is None:
        pytest.skip("the extra bcbm[viewer] is not installed")
    z, y, x = np.indices((24, 48, 48))
    ball = (x - 24) ** 2 + (y - 24) ** 2 + (2 * z - 24) ** 2 < 400
    image = sitk.GetImageFromArray((100 * ball + 5 * x * ball).astype(np.int16))
    image.SetSpacing((0.5, 0.5, 1.0))
    image.SetOrigin((7.0, -3.0, 40.0))
    image.SetDirection((0, -1, 0, 1, 0, 0, 0, 0, 1))  # as a scanner may store it
    lesion = ball & (x > 24) & (y > 24) & (z > 12)
    path = tmp_path_factory.mktemp("viewer") / "scan.html"
    write_viewer(path, "<b>study</b>", image, {"study/left <i>front": lesion}, niivue())
    return path, image, lesion


def volume(text, name):
    content = re.search(rf'id="{name}">([^<]+)<', text)[1]
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(content)))


def test_it_holds_the_scan_the_lesions_and_their_places_in_one_frame(page):
    path, image, lesion = page
    text = path.read_text()
    scan, masks = volume(text, "scan"), volume(text, "lesions")
    assert np.array_equal(scan.affine, masks.affine) and scan.shape == masks.shape == (24, 24, 24)
    assert np.allclose(nibabel.affines.voxel_sizes(scan.affine), 1)
    (place,) = re.findall(r'data-mm="([^"]+)">([^<]*)<', text)
    assert place[1] == "left &lt;i&gt;front"
    voxel = np.linalg.inv(scan.affine) @ [*map(float, place[0].split()), 1]
    assert masks.get_fdata()[tuple(voxel[:3].round().astype(int))] == 1
    centre = nibabel.affines.apply_affine(scan.affine, np.argwhere(masks.get_fdata()).mean(axis=0))
    own = np.argwhere(lesion).mean(axis=0)[::-1]
    assert centre == pytest.approx(
        np.array([-1, -1, 1]) * image.TransformContinuousIndexToPhysicalPoint(own.tolist()), abs=0.5
    )
    assert scan.get_fdata().max() == 255 and masks.get_fdata().mean() == pytest.approx(lesion.mean(), rel=0.3)


def test_it_runs_one_script_of_ours_and_loads_nothing(page):
    text = page[0].read_text()
    (script,) = re.findall(r'<script type="module">(.*?)</script>', text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert f"script-src 'sha256-{digest}' blob:" in policy and "default-src 'none'" in policy
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    source = gzip.decompress(base64.b64decode(niivue())).decode()
    assert re.search(r"export\s*\{[^}]*\bNiivue\b", source)
    assert "<b>study" not in text


def test_a_browser_without_a_network_shows_scan_and_lesion(page):
    pixels = picture(page[0], 500, 700, *SOFTWARE)
    red, green, blue = np.moveaxis(pixels, 2, 0)
    lesion = (red > 0.5) & (red > green + 0.25) & (red > blue + 0.25)
    scan = (np.ptp(pixels, axis=2) < 0.02) & (red > 0.3) & (red < 0.9)
    assert lesion.mean() > 0.001 and scan.mean() > 0.01


def test_without_the_package_or_with_another_there_is_no_viewer(monkeypatch, tmp_path):
    monkeypatch.setattr(viewer, "PACKAGE", "ipyniivue_that_is_not_there")
    assert niivue.__wrapped__() is None
    (tmp_path / "niivue_of_another_day" / "static").mkdir(parents=True)
    (tmp_path / "niivue_of_another_day" / "__init__.py").write_text("")
    (tmp_path / "niivue_of_another_day" / "static" / "widget.js").write_text("export {}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(viewer, "PACKAGE", "niivue_of_another_day")
    with pytest.warns(viewer.Note, match="niivue_of_another_day"):
        assert niivue.__wrapped__() is None
