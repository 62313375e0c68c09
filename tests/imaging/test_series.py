"""DICOM series as volumes: what is read to the last digit, and what is refused, in words."""

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from scans import (
    AXIAL,
    SAGITTAL,
    affine_of,
    base,
    edit,
    head,
    oblique,
    pixels,
    scanned,
    write_enhanced,
    write_series,
)

from bcbm.errors import InputError
from bcbm.imaging.choice import Candidate, choose, choose_named, doubt, known_words, listing
from bcbm.imaging.volume import SeriesError, read_series


def series_in(folder):
    (series,) = scanned(folder).series
    return series


def affine(image):
    result = np.eye(4)
    result[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    result[:3, 3] = image.GetOrigin()
    return result


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, oblique()], ids=["axial", "sagittal", "oblique"])
def test_a_series_is_the_same_to_the_integer_and_lies_where_it_did(tmp_path, orientation):
    values, grid = head(), affine_of(orientation)
    write_series(tmp_path, values, grid)
    image = read_series(series_in(tmp_path))
    assert image.GetPixelID() == sitk.sitkInt16
    assert np.array_equal(sitk.GetArrayFromImage(image), values)
    assert abs(affine(image) - grid).max() < 1e-4


def test_slope_and_intercept_count_slice_by_slice(tmp_path):
    values = head()
    scales = [(1.0, 0.0), *((1.25 + number, -3.0) for number in range(1, len(values)))]
    write_series(tmp_path, values, scales=scales)
    expected = np.stack([plane * slope + shift for plane, (slope, shift) in zip(values, scales, strict=True)])
    assert np.array_equal(
        sitk.GetArrayFromImage(read_series(series_in(tmp_path))), expected.astype(np.float32)
    )


def test_a_multi_frame_file_is_read_in_the_order_of_its_slices(tmp_path):
    values, grid = head(), affine_of(oblique())
    order = np.random.default_rng(1).permutation(len(values)).tolist()
    scales = [(1.0 + number, float(number)) for number in order]
    write_enhanced(tmp_path / "all.dcm", values, grid, order, scales)
    image = read_series(series_in(tmp_path))
    number = np.arange(len(values))[:, None, None]
    assert np.array_equal(sitk.GetArrayFromImage(image), values * (1.0 + number) + number)
    assert abs(affine(image) - grid).max() < 1e-4


def missing(folder):
    next(path for path in folder.iterdir() if path.stem.endswith(f"-{7 * 4 % 12:03d}")).unlink()


def moved(step):
    def change(number, item):
        item.ImagePositionPatient = [
            float(a) + b for a, b in zip(item.ImagePositionPatient, step(number), strict=True)
        ]

    return lambda folder: edit(folder, change)


def tagged(**tags):
    def change(number, item):
        for name, value in tags.items():
            setattr(item, name, value(number) if callable(value) else value)

    return lambda folder: edit(folder, change)


def coloured(folder):
    def change(number, item):
        item.SamplesPerPixel, item.PhotometricInterpretation, item.PlanarConfiguration = 3, "RGB", 0
        item.PixelData = item.PixelData * 3

    edit(folder, change)


def turned(number):
    return list(AXIAL if number < 6 else SAGITTAL)


REFUSED = {
    "a missing slice": (missing, ["4.00 mm", "2.00 mm", "1 missing"]),
    "mixed increments": (moved(lambda n: (0, 0, 0.7 * (n == 5))), ["2.70 mm", "increments are mixed"]),
    "a gantry tilt": (moved(lambda n: (0, 0.5 * n, 0)), ["14.0 degrees", "gantry tilt"]),
    "mixed orientations": (tagged(ImageOrientationPatient=turned), ["mixed orientations"]),
    "mixed pixel spacings": (tagged(PixelSpacing=lambda n: [1, 1 + n % 2]), ["mixed pixel spacings"]),
    "a gap between slices": (tagged(SliceThickness=1.5), ["1.50 mm thick", "2.00 mm apart", "0.50 mm"]),
    "two images in one place": (
        moved(lambda n: (0, 0, -2.0 * (n % 2))),
        ["6 of 12 slices", "where another does"],
    ),
    "no positions": (tagged(ImagePositionPatient=None), ["where it lies"]),
    "colour": (coloured, ["colour"]),
    "a localiser": (tagged(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), ["localiser"]),
    "another modality": (tagged(Modality="CT"), ["modality CT"]),
    "a burned-in name": (tagged(BurnedInAnnotation="YES"), ["burned into"]),
    "a name burned into one slice": (tagged(BurnedInAnnotation=lambda n: "YES" * (n == 7)), ["burned into"]),
    "positions of two numbers": (tagged(ImagePositionPatient=[1.0, 2.0]), ["where it lies"]),
    "a pixel spacing of one number": (tagged(PixelSpacing=0.5), ["how large its voxels"]),
    "a negative pixel spacing": (tagged(PixelSpacing=[-1, 1]), ["how large its voxels"]),
    "a mosaic": (tagged(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), ["mosaic"]),
    "a subtraction by its description": (tagged(SeriesDescription="T1 post - pre"), ["a subtraction"]),
    "a subtraction by its type": (tagged(ImageType=["DERIVED", "PRIMARY", "SUBTRACT"]), ["a subtraction"]),
    "mixed echo times": (tagged(EchoTime=lambda n: 2.5 + 30 * (n > 5)), ["echo time"]),
    "mixed frames of reference": (
        tagged(FrameOfReferenceUID=lambda n: f"1.2.{n % 2}"),
        ["frame of reference"],
    ),
    "mixed grey levels": (
        tagged(PhotometricInterpretation=lambda n: f"MONOCHROME{1 + (n != 7)}"),
        ["photometric interpretation"],
    ),
    "images before and after an agent": (
        tagged(ContrastBolusAgent=lambda n: "Gadovist" * (n > 5)),
        ["differ in contrast agent"],
    ),
    "images of two descriptions": (
        tagged(SeriesDescription=lambda n: f"t1_mprage {'pre' if n < 6 else 'post'}"),
        ["differ in description"],
    ),
    "patients of two names": (tagged(PatientName=lambda n: f"Doe^{n // 6}"), ["name of the patient"]),
    "patients of two dates of birth": (
        tagged(PatientBirthDate=lambda n: f"19{50 + n % 2}0101"),
        ["date of birth"],
    ),
}


def test_echo_times_that_differ_by_rounding_are_one(tmp_path):
    write_series(tmp_path)
    tagged(EchoTime=lambda n: 2.5 + 0.001 * n)(tmp_path)
    assert not Candidate(series_in(tmp_path), 1).refused


def test_a_multi_frame_file_of_more_frames_than_it_describes_is_not_read(tmp_path):
    write_enhanced(tmp_path / "all.dcm", head(), affine_of(AXIAL), list(range(12)))

    def change(number, item):
        item.PerFrameFunctionalGroupsSequence = item.PerFrameFunctionalGroupsSequence[:-2]

    edit(tmp_path, change)
    headers = scanned(tmp_path)
    assert len(headers.unreadable) == 1 and not headers.series[0].frames


def test_a_multi_frame_file_is_scaled_by_what_its_whole_header_says(tmp_path):
    values = head()
    write_enhanced(tmp_path / "all.dcm", values, affine_of(AXIAL), list(range(12)))

    def change(number, item):
        for frame in item.PerFrameFunctionalGroupsSequence:
            frame.pop("PixelValueTransformationSequence", None)
        item.RescaleSlope, item.RescaleIntercept = 2, 5

    edit(tmp_path, change)
    image = read_series(series_in(tmp_path))
    assert np.array_equal(sitk.GetArrayFromImage(image), 2.0 * values + 5)


def echo(frame, number):
    frame.MREchoSequence = [pydicom.Dataset()]
    frame.MREchoSequence[0].EffectiveEchoTime = 2.5 if number % 2 else 80.0


def component(frame, number):
    frame.MRImageFrameTypeSequence = [pydicom.Dataset()]
    frame.MRImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "PHASE MAP" if number % 2 else "M"]


@pytest.mark.parametrize(("change", "words"), [(echo, "echo time"), (component, "magnitude and phase")])
def test_a_multi_frame_file_of_several_images_is_refused(tmp_path, change, words):
    write_enhanced(tmp_path / "all.dcm", head(), affine_of(AXIAL), list(range(12)))

    def each_frame(_, item):
        for number, frame in enumerate(item.PerFrameFunctionalGroupsSequence):
            change(frame, number)

    edit(tmp_path, each_frame)
    assert f"differ in {words}" in Candidate(series_in(tmp_path), 1).refused


def test_an_agent_that_a_multi_frame_file_denies_was_not_given(tmp_path):
    write_enhanced(tmp_path / "all.dcm", head(), affine_of(AXIAL), list(range(12)))

    def change(_, item):
        item.SeriesDescription = "AX T1"
        item.ContrastBolusAgentSequence = [pydicom.Dataset()]
        item.ContrastBolusAgentSequence[0].ContrastBolusAgent = "NONE"

    edit(tmp_path, change)
    assert Candidate(series_in(tmp_path), 1).contrast == ""


def test_an_agent_that_was_not_administered_was_not_given_and_a_part_that_is_not_here_is_said(tmp_path):
    write_enhanced(tmp_path / "all.dcm", head(), affine_of(AXIAL), list(range(12)))

    def change(_, item):
        item.SeriesDescription = "AX T1"
        item.InConcatenationNumber, item.InConcatenationTotalNumber = 1, 2
        item.ContrastBolusAgentSequence = [pydicom.Dataset()]
        item.ContrastBolusAgentSequence[0].ContrastBolusAgent = "Gadovist"

    edit(tmp_path, change)
    assert Candidate(series_in(tmp_path), 1).contrast == "yes"
    assert series_in(tmp_path).lacking == "1 of the 2 files that it was divided into are here"

    def deny(_, item):
        usage = pydicom.Dataset()
        usage.ContrastBolusAgentAdministered = "NO"
        for frame in item.PerFrameFunctionalGroupsSequence:
            frame.ContrastBolusUsageSequence = [usage]
        item.InConcatenationTotalNumber = 1

    edit(tmp_path, deny)
    assert Candidate(series_in(tmp_path), 1).contrast == "" and series_in(tmp_path).lacking == ""


@pytest.mark.parametrize("kind", REFUSED)
def test_a_series_that_is_no_volume_is_refused_in_words(tmp_path, kind):
    damage, facts = REFUSED[kind]
    write_series(tmp_path)
    damage(tmp_path)
    candidate = Candidate(series_in(tmp_path), 1)
    assert all(fact in candidate.refused for fact in facts), candidate.refused
    assert choose([candidate]) and not candidate.chosen


def test_files_of_several_sizes_and_damaged_pixels_are_refused(tmp_path):
    write_series(tmp_path / "sizes")
    edit(tmp_path / "sizes", lambda n, item: pixels(item, np.zeros((24, 20 + n % 2))))
    assert "mixed sizes" in Candidate(series_in(tmp_path / "sizes"), 1).refused
    write_series(tmp_path / "cut")
    for path in (tmp_path / "cut").iterdir():
        path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(SeriesError, match="cannot be read") as error:
        read_series(series_in(tmp_path / "cut"))
    assert str(tmp_path) not in str(error.value)


def test_two_series_in_one_folder_stay_two(tmp_path):
    first, second = head(seed=1), head(seed=2)
    study = "1.2.840.7"
    write_series(tmp_path, first, series="1.2.3.1000001", StudyInstanceUID=study, SeriesNumber=3)
    write_series(tmp_path, second, series="1.2.3.1000002", StudyInstanceUID=study, SeriesNumber=9)
    candidates = [Candidate(series, index) for index, series in enumerate(scanned(tmp_path).series, 1)]
    assert "1 and 2" in choose(candidates), "two alike are a question"
    table = listing({"P001-1": candidates})
    table["chosen"] = ["no", "yes"]
    table.to_csv(tmp_path / "series.csv", index=False)
    assert choose_named(tmp_path / "series.csv", {"P001-1": candidates}) == {}
    (taken,) = [candidate for candidate in candidates if candidate.chosen]
    assert np.array_equal(sitk.GetArrayFromImage(read_series(taken.series)), second)


def study_of(tmp_path, **described):
    """A study with a series a keyword, its tags as the value."""
    for number, (name, tags) in enumerate(described.items(), 1):
        usual = {"ContrastBolusAgent": "", "StudyInstanceUID": "1.2.9", "SeriesNumber": number}
        write_series(tmp_path / name, series=f"1.2.3.1{number:06d}", **(usual | tags))
    return [Candidate(series, index) for index, series in enumerate(scanned(tmp_path).series, 1)]


def test_the_post_contrast_t1_of_a_study_is_chosen_and_every_other_has_its_reason(tmp_path):
    candidates = study_of(
        tmp_path,
        native={"SeriesDescription": "t1_mprage_sag_pre"},
        flair={"SeriesDescription": "AX T2 FLAIR +C", "EchoTime": 90, "RepetitionTime": 9000},
        unstated={"SeriesDescription": "MPRAGE"},
        flat={"SeriesDescription": "AX T1 POST GD", "MRAcquisitionType": "2D"},
        volume={"SeriesDescription": "Sag 3D BRAVO +C"},
        unnamed={
            "SeriesDescription": "series",
            "EchoTime": 100,
            "RepetitionTime": 5000,
            "ContrastBolusAgent": "Gd",
        },
    )
    assert choose(candidates) == ""
    assert [candidate.chosen for candidate in candidates] == [False, False, False, False, True, False]
    reasons = [candidate.why for candidate in candidates]
    assert reasons[0] == "without contrast agent" and reasons[1] == reasons[5] == "not T1-weighted"
    assert "no contrast" in reasons[2] and "before it: 5" in reasons[3] and "post-contrast T1" in reasons[4]


@pytest.mark.parametrize(
    "tags",
    [
        *({"SeriesDescription": f"AX T1 {words}"} for words in ("NON-CONTRAST", "W/O", "o. KM", "ohne KM")),
        *({"SeriesDescription": f"AX T1 {words}"} for words in ("vor KM", "sans gado", "not enhanced")),
        *(
            {"SeriesDescription": f"AX T1 {words}"}
            for words in ("-GD", "(-C)", "contrast refused", "KM nein", "C-", "3D C- TRA", "sans injection")
        ),
        *(
            {"SeriesDescription": f"AX T1 {words}"}
            for words in (
                "prä KM",
                "kein KM",
                "SEM CONTRASTE",
                "uten kontrast",
                "s/ contraste",
                "GD 0",
            )
        ),
        *(
            {"ContrastBolusAgent": text}
            for text in (
                "kein KM",
                "KEINE",
                "sin contraste",
                "aucun",
                "ninguno",
                "geen",
                "NATIVE",
                "PRE CONTRAST",
            )
        ),
        *(
            {"SeriesDescription": "AX T1", "ProtocolName": name}
            for name in ("BRAIN POST-OP", "Brain post SRS")
        ),
        *({"ContrastBolusAgent": text} for text in ("NO CONTRAST", "N/A", "None given", "0 ml", "-", "w/o")),
        *({"ContrastBolusAgent": text} for text in ("GADAVIST 0 ml", "Dotarem 0.0ML", "refused")),
    ],
    ids=lambda tags: [*tags.values()][-1],
)
def test_a_contrast_agent_that_is_denied_was_not_given(tmp_path, tags):
    (candidate,) = study_of(tmp_path, only={"SeriesDescription": "AX T1"} | tags)
    assert "contrast agent" in choose([candidate]) and not candidate.chosen


@pytest.mark.parametrize(
    "agent",
    [
        *("Gadovist", "7.5 ml", "GADOBUTROL 10 ML", "YES", "0.1 mmol/kg", "Gadavist 0.5 ml"),
        *("Gadovist pre-filled syringe", "Dotarem sans incident"),
    ],
)
def test_a_contrast_agent_or_its_dose_was_given(tmp_path, agent):
    (candidate,) = study_of(tmp_path, only={"SeriesDescription": "AX T1", "ContrastBolusAgent": agent})
    assert choose([candidate]) == "" and candidate.chosen


@pytest.mark.parametrize(
    "protocol", ["BRAIN W AND W/O", "BRAIN WO/W CONTRAST", "MRI brain with and without", "WWO"]
)
def test_an_examination_with_and_without_contrast_says_nothing_of_its_series(tmp_path, protocol):
    named = {"with": "AX T1 GAD", "without": "AX T1"}
    tags = {name: {"SeriesDescription": text, "ProtocolName": protocol} for name, text in named.items()}
    with_agent, plain = study_of(tmp_path, **tags)
    assert (with_agent.contrast, plain.contrast) == ("yes", "")
    assert choose([with_agent, plain]) == "" and with_agent.chosen


def test_a_series_called_post_contrast_counts_before_a_finer_one_of_such_an_examination(tmp_path):
    tags = {"ProtocolName": "BRAIN TUMOR CONTRAST"}
    called = tags | {"SeriesDescription": "Ax T1 SE +C", "MRAcquisitionType": "2D"}
    first, second = study_of(tmp_path, plain=tags | {"SeriesDescription": "Ax T1 SE"}, called=called)
    assert choose([first, second]) == "" and second.chosen


@pytest.mark.parametrize(
    ("words", "contrast"),
    [
        *((words, "no") for words in ("T1 W W/O GD", "T1-w w/o gd", "T1 GD 0")),
        *((words, "yes") for words in ("T1 post contrast 0 min", "T1 +C 0", "T1 GD sub01", "T1 W GD")),
        *((words, "") for words in ("T1 WITH AND WITHOUT", "T1 pre and post gd")),
    ],
)
def test_what_a_series_is_called_decides_before_its_agent(tmp_path, words, contrast):
    (candidate,) = study_of(tmp_path, only={"SeriesDescription": words, "ContrastBolusAgent": "Gadovist"})
    assert candidate.contrast == contrast and not candidate.refused


@pytest.mark.parametrize("words", ["AX T1 KM SUBTR", "t1 gd difference", "DYN T1 KM SUB1"])
def test_a_subtraction_by_its_name_is_refused(tmp_path, words):
    (candidate,) = study_of(tmp_path, only={"SeriesDescription": words})
    assert candidate.refused == "a subtraction"


@pytest.mark.parametrize(
    ("counted", "first", "last", "said"),
    [
        (40, 19, 40, "numbered up to 40, and 18 of them are not here, as 1"),
        (40, 1, 13, "13 images of it are here, and its header counts 40"),
        (40, 1, 30, "30 images of it are here, and its header counts 40"),
        (40, 1, 20, ""),  # of two phases
        (20, 1, 20, ""),
        ("", 141, 160, ""),  # numbered with other series
        (40, 21, 40, ""),  # behind another phase
    ],
)
def test_images_that_lack_at_an_end_are_said_by_their_numbers(tmp_path, counted, first, last, said):
    write_series(tmp_path, np.zeros((last - first + 1, 8, 8), np.int16), ImagesInAcquisition=counted)
    edit(tmp_path, lambda number, item: setattr(item, "InstanceNumber", int(item.InstanceNumber) + first - 1))
    assert said in (lacking := series_in(tmp_path).lacking) and bool(said) == bool(lacking)


@pytest.mark.parametrize("words", ["AX T1 +C - 3D", "T1 + C- MPR", "T1 apres injection", "t1 C+"])
def test_a_hyphen_behind_a_sign_of_contrast_denies_nothing(tmp_path, words):
    (candidate,) = study_of(tmp_path, only={"SeriesDescription": words})
    assert choose([candidate]) == "" and candidate.chosen


def test_a_series_called_post_contrast_counts_before_a_finer_one_of_which_only_the_agent_says_so(tmp_path):
    candidates = study_of(
        tmp_path,
        fine={"SeriesDescription": "SAG MPRAGE", "ContrastBolusAgent": "Gadovist"},
        called={
            "SeriesDescription": "AX T1 POST",
            "MRAcquisitionType": "2D",
            "ContrastBolusAgent": "Gadovist",
        },
    )
    assert choose(candidates) == "" and candidates[1].chosen


def test_a_series_that_masks_are_drawn_on_counts_before_a_finer_one(tmp_path):
    candidates = study_of(
        tmp_path,
        fine={"SeriesDescription": "MPRAGE post"},
        drawn={"SeriesDescription": "t1 se", "MRAcquisitionType": "2D"},
    )
    candidates[1].drawings = 1
    assert choose(candidates) == "" and candidates[1].chosen
    assert "masks are drawn on it" in candidates[1].why


def test_a_drawing_on_another_series_than_the_contrasted_one_is_said(tmp_path):
    candidates = study_of(
        tmp_path, drawn={"SeriesDescription": "SAG MPRAGE"}, post={"SeriesDescription": "AX T1 POST GD"}
    )
    assert choose(candidates[1:]) == "" and doubt(candidates[1:]) == ""
    candidates[1].chosen, candidates[0].drawings = False, 1
    assert choose(candidates) == "" and candidates[0].chosen
    assert "series 1" in doubt(candidates) and "series 2" in doubt(candidates)


def test_without_contrast_by_its_name_is_not_taken_though_an_agent_stands_in_all_headers(tmp_path):
    agent = {"ContrastBolusAgent": "Gadovist"}
    candidates = study_of(
        tmp_path,
        fine=agent | {"SeriesDescription": "t1_mprage C-"},
        post=agent | {"SeriesDescription": "AX T1", "MRAcquisitionType": "2D"},
    )
    assert choose(candidates) == "" and candidates[1].chosen
    assert listing({"P001-1": candidates})["description"].tolist() == ["t1 mprage -c", "ax t1"]


def test_a_series_of_another_date_in_one_study_is_said(tmp_path):
    post = {"SeriesDescription": "AX T1 POST GD"}
    candidates = study_of(
        tmp_path, first=post, later=post | {"MRAcquisitionType": "2D", "StudyDate": "20210505"}
    )
    assert choose(candidates) == ""
    assert "another date" in doubt(candidates)


def test_another_date_and_an_agent_that_only_another_series_states_are_both_said(tmp_path):
    candidates = study_of(
        tmp_path,
        drawn={"SeriesDescription": "SAG MPRAGE"},
        later={"SeriesDescription": "AX T1 POST GD", "StudyDate": "20210505"},
    )
    candidates[0].drawings = 1
    assert choose(candidates) == "" and candidates[0].chosen
    said = doubt(candidates)
    assert "another date" in said and "does not state a contrast agent, which series 2 does" in said


def test_a_list_of_an_earlier_export_chooses_no_other_series_of_as_many_slices(tmp_path):
    earlier = study_of(tmp_path / "earlier", post={"SeriesDescription": "MPRAGE post"})
    table = listing({"P001-1": earlier}).assign(chosen="yes")
    table.to_csv(tmp_path / "series.csv", index=False)
    assert choose_named(tmp_path / "series.csv", {"P001-1": earlier}) == {} and earlier[0].chosen
    described = {"pre": {"SeriesDescription": "MPRAGE pre"}, "post": {"SeriesDescription": "MPRAGE post"}}
    whole = study_of(tmp_path / "whole", **described)
    with pytest.raises(InputError, match="line 2: series 1 of P001-1 has description 'mprage pre' now"):
        choose_named(tmp_path / "series.csv", {"P001-1": whole})


def test_a_list_of_series_that_does_not_fit_is_refused_line_by_line(tmp_path):
    candidates = study_of(tmp_path, one={}, two={})
    table = pd.concat([listing({"P001-1": candidates}), listing({"P001-1": candidates})], ignore_index=True)
    table["chosen"] = ["yes", "yes", "perhaps", "yes"]
    table.loc[3, "slices"] = 7
    table.to_csv(tmp_path / "series.csv", index=False)
    with pytest.raises(InputError) as error:
        choose_named(tmp_path / "series.csv", {"P001-1": candidates})
    text = str(error.value)
    assert len(error.value.problems) == 3
    assert (
        "line 4" in text and "perhaps" in text and "line 5" in text and "7 slices" in text and "1, 2" in text
    )
    (tmp_path / "series.csv").write_text("study,series\nP001-1,1\n")
    with pytest.raises(InputError, match="chosen"):
        choose_named(tmp_path / "series.csv", {"P001-1": candidates})


def test_no_word_of_a_description_is_passed_on_but_the_fields_own():
    assert known_words("MUELLER^Anna 19600101 T1_MPRAGE +C, Dr. Post, sag") == "t1 mprage post sag +c"


def test_a_directory_and_files_that_are_not_dicom_are_no_series(tmp_path):
    base("1.2.840.10008.1.3.10").save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    (tmp_path / "notes.dcm").write_text("no DICOM")
    write_series(tmp_path / "series")
    headers = scanned(tmp_path)
    assert len(headers.series) == 1 and headers.unreadable == [str(tmp_path / "notes.dcm")]


@pytest.mark.parametrize(
    ("vendor", "spacing"), [("ge", (1, 1, 1)), ("siemens", (1, 1, 1)), ("philips", (1.0417, 1.0417, 0.6))]
)
def test_real_series_of_three_vendors_are_read(shared, vendor, spacing):
    if not (shared / "dicom-mr").is_dir():
        pytest.skip(f"there are no DICOM series at {shared}")
    series = series_in(shared / "dicom-mr" / vendor)
    image = read_series(series)
    assert np.allclose(image.GetSpacing(), spacing, atol=1e-4) and image.GetSize()[2] == 4
    assert np.ptp(sitk.GetArrayViewFromImage(image)) > 100


def test_a_real_series_with_a_missing_slice_is_refused(shared, tmp_path):
    if not (shared / "dicom-mr").is_dir():
        pytest.skip(f"there are no DICOM series at {shared}")
    for path in sorted((shared / "dicom-mr" / "philips").rglob("*.dcm")):
        if "0003" not in path.name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    refused = Candidate(series_in(tmp_path), 1).refused
    assert "1.20 mm" in refused and "0.60 mm" in refused
