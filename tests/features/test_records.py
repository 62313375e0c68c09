"""What is worked out once is read back as it was written, or made again and said so."""

import json
from pathlib import Path

import numpy as np
import pytest

from bcbm.errors import InputError, Note
from bcbm.features.crops import CropSettings, CropStore, prepare_crops
from bcbm.features.radiomics import extract_cohort
from bcbm.features.records import Step, Study, each_study
from bcbm.features.survey import register_cohort, survey_cohort

CONTENT = {"values": {"S/met": [0.1, -7.25e-9, float("nan")]}, "failures": {"S/täter": "is empty"}}


def measure(study, path, files):
    """Works out a record with a file beside it."""
    Path(f"{path}.bin").write_bytes(bytes(range(40)))
    return {**CONTENT, "files": [".bin"]}


def kept(folder):
    """A study, and what `each_study` gives of it: its record and its file's bytes."""
    (image := folder / "image").write_bytes(b"voxels")
    ((_, path, record),) = each_study([Study(image, {})], Step(measure, folder / "kept", {}), jobs=1)
    return json.dumps(record), Path(f"{path}.bin").read_bytes()


def spoilt(content):
    """A file's content with one bit in another state, for every ninth bit; cut off; and what is no record."""
    for bit in range(0, 8 * len(content), 9):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)
    yield from (content[: len(content) // 2], b"", b"{}", b"null", b"[]", b"3", b'{"record": {}}', b"\xff")


@pytest.mark.parametrize("other", ["study", "kind"])
def test_a_record_under_the_name_of_another_is_made_again_and_said(tmp_path, other):
    """Records are whole, but of another study, or of another kind of the same."""
    studies = []
    for number in range(2):
        (image := tmp_path / f"image{number}").write_bytes(bytes([number]))
        studies.append(Study(image, {"S/met": image}))

    def label(study, path, files):
        Path(f"{path}.bin").write_bytes(content := study.image.read_bytes())
        return {"label": content.hex(), "files": [".bin"]}

    def labels(settings):
        records = each_study(studies, Step(label, kept, settings), jobs=1)
        return {path: record["label"] for _, path, record in records}

    kept = tmp_path / "kept"
    expected = labels({"kind": 1})
    places = list(expected) if other == "study" else [min(expected), min(labels({"kind": 2}))]
    first, second = places
    for ending in (".json", ".bin"):
        Path(f"{first}{ending}").write_bytes(Path(f"{second}{ending}").read_bytes())
    with pytest.warns(Note, match=r"kept: 1 record .* made again"):
        assert labels({"kind": 1}) == expected


def test_a_file_replaced_while_it_is_read_leaves_no_record_of_either(tmp_path):
    (image := tmp_path / "image").write_bytes(b"before")

    def label(study, path, files):
        study.image.write_bytes(b"behind")
        return {"label": study.image.read_bytes().hex()}

    with pytest.raises(InputError, match=r"image: .*changed while it was read"):
        list(each_study([Study(image, {})], Step(label, tmp_path / "kept", {}), jobs=1))
    assert not list((tmp_path / "kept").glob("*.json"))


@pytest.mark.filterwarnings("ignore::bcbm.errors.Note")
@pytest.mark.parametrize("ending", [".json", ".bin"])
def test_whatever_happens_to_a_record_it_gives_what_was_written(tmp_path, ending):
    expected = kept(tmp_path)
    (file,) = (tmp_path / "kept").glob(f"*{ending}")
    original = file.read_bytes()
    for content in spoilt(original):
        file.write_bytes(content)
        assert kept(tmp_path) == expected
        assert file.read_bytes() == original


def test_records_that_are_made_again_are_counted_with_their_folder(tmp_path, recwarn):
    kept(tmp_path)
    kept(tmp_path)
    assert not recwarn.list
    (file,) = (tmp_path / "kept").glob("*.json")
    earlier = {**CONTENT, "sizes": {".bin": 40}}  # as versions without sums wrote it
    file.write_text(json.dumps(earlier))
    with pytest.warns(Note, match=r"kept: 1 record .* made again"):
        kept(tmp_path)


@pytest.mark.filterwarnings("ignore::bcbm.errors.Note")
def test_a_changed_figure_in_any_kind_of_record_is_made_again(cohort, tmp_path):
    """A digit is changed in the records that preparation keeps of a real study, which then still are JSON."""
    image = next(iter(sorted(cohort.rglob("*_image_*.nii.gz"))))
    masks = sorted(image.parent.glob("*_mask_*.nii.gz"))[:2]
    study = Study(image, {f"S/{number}": mask for number, mask in enumerate(masks)})
    settings = CropSettings(size=8, spacing=2.0)

    def worked_out():
        survey = survey_cohort([study], tmp_path / "survey", 1)
        register_cohort([study], survey, tmp_path / "registration", 1, overlap=0.5)
        values, _ = extract_cohort([study[:2]], 1, folder=tmp_path / "radiomics")
        places, _ = prepare_crops([study], tmp_path / "crops", settings, jobs=1)
        crops = CropStore(list(places.values()), settings.size)
        crops = np.stack([crops[number] for number in range(len(crops))])
        return [survey.masks, survey.points, values, crops]

    first = worked_out()
    files = sorted(tmp_path.rglob("*.json"))
    assert len(files) == 4
    for file in files:
        text = file.read_text()
        digit = next(place for place in range(len(text) - 1, 0, -1) if text[place] in "12345678")
        file.write_text(text[:digit] + str(int(text[digit]) + 1) + text[digit + 1 :])
    (store,) = tmp_path.rglob("*.npy")
    values = np.load(store)
    values[0, 0, 4, 4, 4] = np.nan
    np.save(store, values)
    for before, after in zip(first, worked_out(), strict=True):
        np.testing.assert_array_equal(before, after)
