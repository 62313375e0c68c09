"""Names that a person reads: the file is checked at the door, and what it says counts."""

import pandas as pd
import pytest

from bcbm.cohort.formats.tcia import read_download
from bcbm.cohort.names import read_name
from bcbm.cohort.overrides import read_overrides, unsure_names
from bcbm.cohort.table import build_table
from bcbm.errors import InputError


def written(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_given_word_replaces_the_reading_and_an_empty_cell_keeps_it(tmp_path):
    path = written(tmp_path / "names.csv", "name,category,hemisphere,region", "mask_L_partemp,,,temporal")
    reading = read_overrides(path)["L_partemp"]
    assert (reading.category, reading.hemisphere, reading.region) == ("lesion", "left", "temporal")
    assert reading.confidence == 1.0


def test_every_mistake_is_a_line_that_says_what_to_write(tmp_path):
    lines = ["name,region,category", "a,frntal,lesion", "a,,tumour", "b,deep,"]
    with pytest.raises(InputError) as caught:
        read_overrides(written(tmp_path / "names.csv", *lines))
    text = str(caught.value).splitlines()
    assert len(text) == 3
    assert "line 2" in text[0] and "write frontal" in text[0]
    assert "line 3 (a)" in text[1] and "'tumour'" not in text[1] and "category is 'tumour'" in text[2]


def test_a_column_of_studies_and_a_side_in_another_language_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"'study'.* every lesion of its name"):
        read_overrides(written(tmp_path / "names.csv", "study,name,region", "P1-1,met,deep"))
    with pytest.raises(InputError, match="'links'; write left or right or midline"):
        read_overrides(written(tmp_path / "names.csv", "name,hemisphere", "met,links"))


@pytest.mark.parametrize("content", ["", "hemisphere,region\nleft,deep\n", "name\nmet\n"])
def test_a_file_without_the_columns_is_refused(tmp_path, content):
    path = tmp_path / "names.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=r"names\.csv"):
        read_overrides(path)


def test_a_column_that_nearly_is_one_is_refused_and_any_other_is_passed_over(tmp_path):
    path = written(tmp_path / "names.csv", "name,hemishpere,region,lesions", "met,left,deep,3")
    with pytest.raises(InputError, match=r"'hemishpere'.*'hemisphere'"):
        read_overrides(path)
    path = written(tmp_path / "names.csv", " name, hemisphere ,region,lesions", "met,left,deep,3")
    assert read_overrides(path)["met"].hemisphere == "left"


def test_a_column_that_stands_twice_and_a_broken_row_are_one_line_each(tmp_path):
    path = written(tmp_path / "names.csv", "name,region,region", "met,deep,frontal")
    with pytest.raises(InputError, match="two columns 'region'"):
        read_overrides(path)
    path = written(tmp_path / "names.csv", "name,region", "met,deep", "other,deep,left,more")
    with pytest.raises(InputError, match=r"names\.csv") as refused:
        read_overrides(path)
    assert len(str(refused.value).splitlines()) == 1


def test_what_a_spreadsheet_of_another_country_has_saved_is_read(tmp_path):
    path = written(tmp_path / "names.csv", "\ufeffname;region", "'=met;deep", "other;frontal")
    readings = read_overrides(path)
    assert {name: reading.region for name, reading in readings.items()} == {
        "=met": "deep",
        "other": "frontal",
    }


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv.*set cohort\.names"):
        read_overrides(tmp_path / "nowhere.csv")


def test_the_list_of_unsure_names_is_a_file_to_give_back(tmp_path, shared):
    download = read_download(shared / "bcbm-radiogenomics")
    unsure = unsure_names(build_table(download)[0])
    assert 0 < len(unsure) < 0.03 * download.segmentations["name"].nunique()
    path = tmp_path / "names.csv"
    unsure.assign(region="deep").to_csv(path, index=False)
    table = build_table(download, read_overrides(path))[0]
    corrected = table[table["name"].isin(unsure["name"])]
    assert set(corrected["region"]) == {"deep"} and set(corrected["position_confidence"]) == {1.0}
    assert unsure_names(table).empty


def test_a_name_that_says_it_is_older_is_asked_about_until_a_person_has_said_what_it_is(tmp_path):
    frame = pd.DataFrame({"name": ["GTV_old", "L frontal prev", "GTV2", "R frontal"], "part_of": ""})
    readings = frame["name"].map(read_name)
    frame = frame.assign(
        category=[reading.category for reading in readings],
        name_hemisphere=[reading.hemisphere for reading in readings],
        name_region=[reading.region for reading in readings],
        name_confidence=[reading.confidence for reading in readings],
    )
    assert list(unsure_names(frame)["name"]) == ["GTV_old", "L frontal prev"]
    corrected = read_overrides(written(tmp_path / "names.csv", "name,category", "GTV_old,lesion"))
    assert corrected["GTV_old"].confidence == 1


def test_at_least_97_in_100_real_names_that_hold_anatomy_are_read_with_confidence(shared):
    table = build_table(read_download(shared / "bcbm-radiogenomics"))[0]
    names = table.drop_duplicates("name")
    anatomy = names[~((names["category"] == "target") & (names["name_confidence"] == 0))]
    assert len(unsure_names(table)) <= 0.03 * len(anatomy)


def test_the_same_name_reads_the_same_in_every_patient(shared):
    table = build_table(read_download(shared / "bcbm-radiogenomics"))[0]
    readings = table.groupby("name")[["category", "name_hemisphere", "name_region"]].nunique()
    assert isinstance(readings, pd.DataFrame) and (readings == 1).all().all()
