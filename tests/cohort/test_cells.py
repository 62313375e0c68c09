"""Cells that are no plain values: what each counts as, and that none of them is passed over."""

import datetime
import io
import math
import re
import shutil
import zipfile

import openpyxl.comments
import pandas as pd
import pytest
from downloads import LABELS, download, lesions_of, row
from openpyxl.styles import Font, PatternFill
from rich.console import Console

from bcbm.cohort.cells import (
    LISTED,
    LONGEST,
    age,
    echo_time,
    field_strength,
    number,
    pixel_spacing,
    read_numbers,
    repetition_time,
    words,
    year,
)
from bcbm.cohort.formats.tables import read_rows
from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, RADIOMICS_WORKBOOK, read_download
from bcbm.cohort.formats.workbooks import read_workbook
from bcbm.cohort.targets import Target, read_labels
from bcbm.config.compose import compose
from bcbm.config.schema import Config
from bcbm.errors import InputError
from bcbm.modalities import MODALITIES
from bcbm.modalities.base import LesionData
from bcbm.preparation.prepare import prepare
from bcbm.system.spreadsheet import unguarded

NOTHING, BIRTHDAY = math.nan, datetime.datetime(1965, 3, 2)
NUMBERS = [
    (1.5, 1.5, ""),
    (7, 7, ""),
    (" 2.50 ", 2.5, ""),
    ("-1e-05", -1e-05, ""),
    (".5", 0.5, ""),
    ("", NOTHING, ""),
    (None, NOTHING, ""),
    ("52,5", 52.5, "decimal comma"),
    ("-0,125", -0.125, "decimal comma"),
    ("1,5e-3", 0.0015, "decimal comma"),
    ("1,234", NOTHING, "comma of two meanings"),
    ("1.234,5", NOTHING, "not a number"),
    ("\u0664\u0665", 45, "digits of another script"),
    ("\u0664\u0665\u066b\u0665", 45.5, "digits of another script"),
    ("\uff14\uff15", 45, "digits of another script"),
    ("\u22123", -3, "digits of another script"),
    ("5²", NOTHING, "not a number"),
    ("inf", NOTHING, "not a number"),
    ("n/a", NOTHING, "not a number"),
    ("NaN", NOTHING, "not a number"),
    ("1_000", NOTHING, "not a number"),
    (True, NOTHING, "not a number"),
    (math.inf, NOTHING, "not a number"),
    (BIRTHDAY, NOTHING, "date"),
    (datetime.time(1, 30), NOTHING, "date"),
]
AGES = [
    (45, 45, ""),
    ("45.7", 45.7, ""),
    ("045Y", 45, "number among other signs"),
    ("018M", 1.5, "number among other signs"),
    ("052W", 52 * 7 / 365.25, "number among other signs"),
    ("45 years old", 45, "number among other signs"),
    ("52,5 y", 52.5, "number among other signs"),
    ("\u0664\u0665", 45, "digits of another script"),
    ("> 89", 89, "bound in place of a number"),
    ("89+", 89, "bound in place of a number"),
    (">=90 y", 90, "bound in place of a number"),
    ("-1", NOTHING, "number beyond belief"),
    (450, NOTHING, "number beyond belief"),
    ("45 y 3 m", NOTHING, "not a number"),
    ("about 50", NOTHING, "not a number"),
    ("1965-03-02", NOTHING, "not a number"),
    ("3/2/1965", NOTHING, "not a number"),
    (BIRTHDAY, NOTHING, "date"),
]
YEARS = [
    (2012, 2012, ""),
    ("2012", 2012, ""),
    (BIRTHDAY, NOTHING, "number beyond belief"),
    (BIRTHDAY.replace(year=2015), 2015, "date"),
    ("1965", NOTHING, "number beyond belief"),
    ("03/15/2012", 2012, "date"),
    ("2012-03-15", 2012, "date"),
    ("20120315", 2012, "date"),
    (41000, NOTHING, "number beyond belief"),
    ("2012/2013 winter", NOTHING, "not a number"),
    ("soon", NOTHING, "not a number"),
]
SPACINGS = [
    (0.5, 0.5, ""),
    ("0.5\\0.5", 0.5, ""),
    ("[0.5, 0.5]", 0.5, ""),
    (".5\\.5", 0.5, ""),
    ("5e-1\\5e-1", 0.5, ""),
    ("0,5\\0,5", 0.5, "decimal comma"),
    ("[0,5, 0,5]", 0.5, "decimal comma"),
    ("0,5", 0.5, "decimal comma"),
    ("\u0660\u066b\u0665\\\u0660\u066b\u0665", 0.5, "digits of another script"),
    ("0.5 x 0.5", 0.5, "number among other signs"),
    ("0.5 mm", 0.5, "number among other signs"),
    ("0\\0", NOTHING, "number beyond belief"),
    ("fine", NOTHING, "not a number"),
    ("", NOTHING, ""),
    (BIRTHDAY, NOTHING, "date"),
]
FIELDS = [
    (3, 3, ""),
    ("3T", 3, "number among other signs"),
    ("1,5 Tesla", 1.5, "number among other signs"),
    (30000, NOTHING, "number beyond belief"),
]
CASES = [(number, NUMBERS), (age, AGES), (year, YEARS), (pixel_spacing, SPACINGS), (field_strength, FIELDS)]


@pytest.mark.parametrize(
    ("read", "cell", "value", "kind"),
    [(read, *case) for read, cases in CASES for case in cases],
    ids=[f"{read.__name__} {case[0]!r}" for read, cases in CASES for case in cases],
)
def test_a_cell_counts_as_what_it_means_or_as_missing_and_says_which(read, cell, value, kind):
    reading = read(cell)
    assert reading.kind == kind and reading.value == pytest.approx(value, nan_ok=True)
    assert (reading.text == "") == math.isnan(value)
    if reading.text:  # and what the lesion table keeps is a plain value, of the same meaning
        again = read(reading.text)
        assert again.kind == "" and again.value == pytest.approx(value)


def test_words_are_kept_and_a_date_among_them_is_said():
    assert words(" GE ").text == "GE" and words(None).text == ""
    assert words(BIRTHDAY).kind == "date"


def change(root, book, cells):
    """Write cells, by their heading and row, into a workbook of a download."""
    loaded = openpyxl.load_workbook(root / book[0])
    page = loaded[book[1]]
    places = {str(cell.value).strip(): cell.column for cell in page[1]}
    for (heading, line), content in cells.items():
        column = places.setdefault(heading, len(places) + 1)
        page.cell(1, column).value = page.cell(1, column).value or heading
        page.cell(line, column).value = content
    loaded.save(root / book[0])


def small(folder):
    """A download of two studies."""
    return download(folder, [("1-0", "met", *row(1)), ("2-0", "tum", *row(2))], LABELS)


def test_formulas_without_a_value_and_errors_are_named_with_sheet_row_column_and_content(tmp_path):
    root = small(tmp_path)
    formula = '=IF(3>=3,"+","-")'
    long = f"=2*1{'+1' * 500}"
    change(root, CLINICAL_WORKBOOK, {("ER", 2): formula, ("HER2", 3): "#N/A", ("Sex", 2): "#REF!"})
    change(root, RADIOMICS_WORKBOOK, {("original_a", 3): long, ("note", 2): "=1+1"})
    table, radiomics, problems = lesions_of(root)
    assert table["ER"].isna().tolist() == [True, False] and table["HER2"].isna().tolist() == [False, True]
    assert radiomics["original_a"].isna().tolist() == [False, True]
    listed = [
        (CLINICAL_WORKBOOK, "row 2, column ER", formula),
        (CLINICAL_WORKBOOK, "row 3, column HER2", "#N/A"),
        (CLINICAL_WORKBOOK, "row 2, column Sex", "#REF!"),
        (RADIOMICS_WORKBOOK, "row 3, column original_a", f"{long[:LONGEST]}..."),
    ]
    assert len(problems) == len(listed)
    for book, place, content in listed:
        (line,) = [line for line in problems if place in line and book[0] in line and book[1] in line]
        assert f"'{content}'" in line and "missing" in line


def test_merged_cells_count_as_their_value_in_each_row_and_column_and_are_listed(tmp_path):
    root = small(tmp_path)
    change(root, CLINICAL_WORKBOOK, {("ER", 2): "+", ("PR", 2): "-", ("PR", 3): "-", ("HER2", 3): "+"})
    book = openpyxl.load_workbook(root / CLINICAL_WORKBOOK[0])
    page = book[CLINICAL_WORKBOOK[1]]
    column = {str(cell.value).strip(): cell.column_letter for cell in page[1]}
    page.merge_cells(f"{column['ER']}2:{column['ER']}3")
    book.save(root / CLINICAL_WORKBOOK[0])
    table, _, problems = lesions_of(root)
    assert table["ER"].tolist() == [1, 1] and table["PR"].tolist() == [0, 0]
    (line,) = problems
    assert (
        "row 2, column ER" in line and "merged cells" in line and "'+ (rows 2 to 3)' and counts as +" in line
    )


@pytest.mark.parametrize("target", ["/xl/comments/comment1.xml", "../comments/comment1.xml"])
def test_a_cell_with_a_comment_is_listed_wherever_a_program_keeps_comments(tmp_path, target):
    root = download(tmp_path, [("1-0", "met", *row(1))], LABELS)
    path = root / CLINICAL_WORKBOOK[0]
    book = openpyxl.load_workbook(path)
    for place in ("B1", "B2", "ZZ9"):  # a heading, a label, and a note beside the table
        book[CLINICAL_WORKBOOK[1]][place].comment = openpyxl.comments.Comment("0 is positive", "A. B.")
    book.save(path)
    given = 'Target="/xl/comments/comment1.xml"'
    relations = "xl/worksheets/_rels/sheet1.xml.rels"
    rewritten(path, lambda xml: xml.replace(given, f'Target="{target}"'), relations)
    cells = read_download(root).odd_cells
    assert [(cell.row, cell.column, cell.kind) for cell in cells] == [
        (1, "ER", "cell with a comment"),
        (2, "ER", "cell with a comment"),
    ]


def rewritten(path, change, sheet="xl/worksheets/sheet1.xml"):
    """Write a workbook with another text of its first sheet's XML, or of another part."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    parts[sheet] = change(parts.get(sheet, b"").decode()).encode()
    with zipfile.ZipFile(path, "w") as book:
        for name, content in parts.items():
            book.writestr(name, content)


def prefixed(xml):
    return re.sub(r"<(/?)(?=[a-zA-Z])", r"<\1x:", xml).replace("xmlns=", "xmlns:x=")


@pytest.mark.parametrize(
    ("mark", "change"),
    [
        ('<mergeCell ref="B2:B3"/>', prefixed),
        ("<mergeCell ref='B2:B3'/>", str),
        ('<mergeCell ref="$B$2:$B$3"/>', str),
        ('<mergeCell xmlns:r="http://x/" r:uid="{1}"\nref = "b2:b3" />', str),
    ],
)
def test_merged_cells_are_seen_in_the_xml_of_any_program(tmp_path, mark, change):
    root = download(tmp_path, [("1-0", "met", *row(1))], [("1-0", "+", "-", "+"), ("2-0", "", "+", "+")])
    merged = f'</sheetData><mergeCells count="1">{mark}</mergeCells>'
    rewritten(root / CLINICAL_WORKBOOK[0], lambda xml: change(xml.replace("</sheetData>", merged)))
    tables = read_download(root)
    assert tables.studies["ER"].tolist() == [1, 1]
    assert [cell.kind for cell in tables.odd_cells] == ["merged cells"]


def test_rows_and_cells_in_any_order_are_read_by_their_numbers(tmp_path):
    labels = [(f"{number}-0", "+-"[number % 2], "+", "-") for number in range(1, 5)]
    root = download(tmp_path, [("1-0", "met", *row(1))], labels)
    sound = read_download(root).studies

    def shuffled(xml):
        head, *rows = re.findall(r"<row .*?</row>", xml, re.DOTALL)
        cells = re.findall(r"<c .*?</c>", rows[0], re.DOTALL)
        turned = rows[0].replace("".join(cells), "".join(reversed(cells)))
        return xml.replace("".join([head, *rows]), "".join([head, *reversed(rows[1:]), turned]))

    rewritten(root / CLINICAL_WORKBOOK[0], shuffled)
    assert read_download(root).studies.equals(sound)


@pytest.mark.parametrize(
    ("old", "new", "place"), [('<row r="3"', '<row r="2"', "row 2"), ('r="B3"', 'r="A3"', "cell A3")]
)
def test_a_row_or_cell_that_stands_twice_is_refused_by_its_number(tmp_path, old, new, place):
    root = download(tmp_path, [("1-0", "met", *row(1))], LABELS)
    rewritten(root / CLINICAL_WORKBOOK[0], lambda xml: xml.replace(old, new, 1))
    with pytest.raises(InputError) as refused:
        read_download(root)
    assert f"{CLINICAL_WORKBOOK[0]}, sheet {CLINICAL_WORKBOOK[1]}" in str(refused.value)
    assert place in str(refused.value) and "twice" in str(refused.value)


def test_a_formula_that_was_worked_out_counts_as_its_value(tmp_path):
    root = small(tmp_path)
    change(root, RADIOMICS_WORKBOOK, {("original_a", 3): "=2*1"})
    path = root / RADIOMICS_WORKBOOK[0]
    worked_out(path, b"2*1", b"2")
    _, radiomics, problems = lesions_of(root)
    assert radiomics["original_a"].tolist() == [1.0, 2.0] and problems == []


@pytest.mark.parametrize("formula", ["IF(Z3&gt;1,2,1)", "VLOOKUP(A3,Z:Z,1)", "YEAR(TODAY())-1", "[1]A!$A$1"])
def test_a_formula_whose_value_may_stand_for_nothing_is_said_once_a_column(tmp_path, formula):
    root = small(tmp_path)
    change(root, RADIOMICS_WORKBOOK, {("original_a", 3): f"={formula.replace('&gt;', '>')}"})
    worked_out(root / RADIOMICS_WORKBOOK[0], formula.encode(), b"2")
    _, radiomics, (line,) = lesions_of(root)
    assert radiomics["original_a"].tolist() == [1.0, 2.0]
    assert "row 3" in line and "formula that decides" in line and "counts as 2" in line


def worked_out(path, formula, value):
    """Write the value of a formula into a workbook, as a spreadsheet program saves it."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    sheet = next(name for name in parts if name.startswith("xl/worksheets/"))
    before = b"<f>%s</f><v />" % formula
    assert before in parts[sheet]
    parts[sheet] = parts[sheet].replace(before, b"<f>%s</f><v>%s</v>" % (formula, value))
    with zipfile.ZipFile(path, "w") as book:
        for name, content in parts.items():
            book.writestr(name, content)


def test_ages_dates_and_commas_reach_the_table_as_numbers_and_are_each_a_line(tmp_path):
    root = small(tmp_path)
    change(
        root, CLINICAL_WORKBOOK, {("Age", 2): "018M", ("Age", 3): BIRTHDAY, ("Pixel Spacing", 2): "0,5\\0,5"}
    )
    change(root, RADIOMICS_WORKBOOK, {("original_a", 2): "1,5", ("original_a", 3): BIRTHDAY})
    table, radiomics, problems = lesions_of(root)
    assert table["age"].tolist() == ["1.5", ""] and table["pixel_spacing"].tolist() == ["0.5\\0.5", ""]
    assert radiomics["original_a"].iloc[0] == 1.5 and math.isnan(radiomics["original_a"].iloc[1])
    facts = [
        ("Age", "'018M'", "as 1.5"),
        ("Age", "1965-03-02", "as missing"),
        ("Pixel Spacing", "'0,5", "as 0.5"),
    ]
    facts += [("original_a", "'1,5'", "as 1.5"), ("original_a", "1965-03-02", "as missing")]
    assert len(problems) == len(facts)
    for words_of_line in facts:
        assert any(all(word in line for word in words_of_line) for line in problems)


def test_a_number_that_is_shown_as_a_date_and_is_none_is_an_error_cell(tmp_path, recwarn):
    root = small(tmp_path)
    change(root, CLINICAL_WORKBOOK, {("Age", 2): 3_000_000_000, ("Age", 3): 45})
    book = openpyxl.load_workbook(root / CLINICAL_WORKBOOK[0])
    for line in (2, 3):
        book[CLINICAL_WORKBOOK[1]].cell(line, 5).number_format = "yyyy-mm-dd"
    book.save(root / CLINICAL_WORKBOOK[0])
    table, _, problems = lesions_of(root)
    assert table["age"].tolist() == ["", ""] and len(problems) == 2
    assert not [warning for warning in recwarn if issubclass(warning.category, UserWarning)]  # openpyxl's
    assert "row 2, column Age" in problems[1] and "row 3, column Age" in problems[0]


def test_a_label_by_numbers_takes_decimal_commas_and_other_digits_and_says_so():
    problems = []
    cells = pd.DataFrame({"Ki-67": ["20,5", "\u0663\u0665", "19,5 %", "1,234", "30"]})
    rows = [f"row {number}" for number in range(2, 7)]
    labels = read_labels(cells, {"ki67": Target("Ki-67", (">= 20",))}, "the sheet", rows, problems)
    assert labels["ki67"].fillna(-1).tolist() == [1, 1, 0, -1, 1]
    assert [str(problem).split("counts as ")[1] for problem in problems] == ["20.5", "35", "19.5", "missing"]


@pytest.mark.parametrize(
    ("feature", "cell"),
    [
        ("shape_Sphericity", 987.0),
        ("shape_Sphericity", -0.5),
        ("shape_Sphericity", 0),
        ("shape_VoxelVolume", -64),
        ("shape_VoxelVolume", 0),
        ("shape_MeshVolume", "-1"),
        ("firstorder_Mean", 1e300),
        ("firstorder_Mean", "-1e31"),
        ("firstorder_Mean", -999),
        ("glcm_ClusterShade", "-9999.0"),
    ],
)
def test_a_feature_that_cannot_be_is_missing_and_listed(feature, cell):
    odd = []
    cells = pd.Series({2: 0.5, 7: cell}, name=f"original_{feature}", dtype=object)
    values = read_numbers(cells, "the workbook", odd)
    assert values[0] == 0.5 and math.isnan(values[1])
    assert [(item.row, item.content, item.kind) for item in odd] == [(7, str(cell), "number beyond belief")]


def test_a_column_of_odd_cells_is_one_line_and_a_file_with_every_one(table_cohort, tmp_path):
    root = shutil.copytree(table_cohort, tmp_path / "cohort")
    rows = range(2, LISTED + 4)
    change(root, CLINICAL_WORKBOOK, {("HER2", number): '=IF(3>1,"+","-")' for number in rows})
    console = Console(file=io.StringIO(), width=300)
    words = ["task.modalities=[position]", f"cohort.root={root}", f"prepared.root={tmp_path / 'out'}"]
    prepare(compose(words), console)
    (line,) = [line for line in console.file.getvalue().splitlines() if line.startswith("problem")]
    assert f"{len(rows)} cells of HER2" in line and "row 2" in line and "cells.csv" in line
    table = pd.read_csv(tmp_path / "out" / "cells.csv", keep_default_na=False)
    assert table["row"].tolist() == list(rows) and set(table["counts_as"]) == {""}
    assert set(table["content"].map(unguarded)) == {'=IF(3>1,"+","-")'}
    assert not table["content"].str.startswith("=").any()
    with pytest.raises(InputError, match=f"{len(rows)} cells of HER2"):
        prepare(compose([*words, "cohort.strict=true"]), console)
    prepare(compose([*words[:1], f"cohort.root={table_cohort}", words[2]]), console)
    assert not (tmp_path / "out" / "cells.csv").exists()


def test_columns_of_a_model_are_whole_numbers_of_cells_and_no_part_of_one():
    """A format that leaves cells as they are gives them as they are; such as "0,5\\0,5", which is no 0."""
    table = pd.DataFrame({"year": ["2012", "20120315", "soon"], "pixel_spacing": ["0,5\\0,5", ".5\\.5", "1"]})
    table = table.assign(field_strength=["3T", "\u0663", "1.5"], manufacturer=["GE", "", "GE"])
    columns = MODALITIES["acquisition"].columns(LesionData(table, {}, Config()))
    assert columns["year"].fillna(0).tolist() == [2012, 2012, 0]
    assert columns["pixel_spacing"].tolist() == [0.5, 0.5, 1] and columns["field_strength"].tolist() == [
        3,
        3,
        1.5,
    ]


def test_times_of_the_scanner_that_are_added_to_the_workbook_are_read(table_cohort, tmp_path):
    root = shutil.copytree(table_cohort, tmp_path / "download")
    assert not {"tr", "te"} & set(read_download(root).studies)
    file, sheet = root / CLINICAL_WORKBOOK[0], CLINICAL_WORKBOOK[1]
    book = pd.read_excel(file, sheet_name=sheet, dtype=str)
    book["Repetition Time"], book["EchoTime"] = "9,4", "4.76"
    with pd.ExcelWriter(file) as writer:
        book.to_excel(writer, sheet_name=sheet, index=False)
    download = read_download(root)
    assert set(download.studies["tr"]) == {"9.4"} and "te" not in download.studies
    (problem,) = [problem for problem in download.problems if "EchoTime" in problem.found]
    assert "Echo Time" in problem.found


def test_real_tables_hold_plain_values_only(shared):
    for name in ("bcbm-radiogenomics", "bcbm-images"):
        assert read_download(shared / name).odd_cells == []


@pytest.mark.parametrize(
    ("read", "cell"),
    [
        *((age, cell) for cell in (0, "0", "000Y")),
        *((year, cell) for cell in (datetime.date.today().year + 1, "2999", "01.02.2999")),
        *((repetition_time, cell) for cell in (0, "1.9", 0.5, "2.53")),
        *((echo_time, cell) for cell in (0, "0.0025", 0.015, 2460, "1900")),
    ],
)
def test_what_stands_for_nothing_or_is_in_another_unit_counts_as_missing_and_is_listed(read, cell):
    reading = read(cell)
    assert math.isnan(reading.value) and reading.kind in ("number beyond belief", "not a number")


def test_a_sheet_is_read_once_by_a_process_unless_its_content_is_another(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "bcbm.cohort.formats.workbooks.load_workbook",
        lambda path, **words: opened.append(path) or openpyxl.load_workbook(path, **words),
    )

    def written(cell):
        book = openpyxl.Workbook()
        book.active.title = "S"
        for line in (["ID", "share"], ["a", cell]):
            book.active.append(line)
        book.active["B2"].number_format = "0%"
        book.save(tmp_path / "book.xlsx")

    def read(**words):
        return read_workbook(tmp_path, "book.xlsx", "S", needed=["ID"], used=bool, odd=[], **words)

    written(0.2)
    first = read()
    first.loc[0, "share"] = "changed"
    count = len(opened)
    assert read().loc[0, "share"] == 0.2
    assert read(percentages=lambda heading: heading == "share").loc[0, "share"] == "20 %"
    assert len(opened) == count > 0
    written(0.3)
    assert read().loc[0, "share"] == 0.3


def test_a_sign_of_per_cent_that_a_format_writes_as_text_scales_nothing(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "S"
    for line in (["ID", "plain", "quoted"], ["a", 0.2, 20]):
        book.active.append(line)
    book.active["B2"].number_format, book.active["C2"].number_format = "0%", '0"%"'
    book.save(tmp_path / "book.xlsx")
    words = {"needed": ["ID"], "used": bool, "odd": [], "percentages": bool}
    frame = read_workbook(tmp_path, "book.xlsx", "S", **words)
    assert frame.loc[0, ["plain", "quoted"]].tolist() == ["20 %", 20]


@pytest.mark.parametrize("shared", [True, False])
def test_of_a_text_that_is_struck_through_in_part_the_rest_counts_and_is_said(tmp_path, shared):
    book = openpyxl.Workbook()
    book.active.title = "S"
    for line in (["ID", "ER"], ["a", "- +"], ["b", "bold "], ["c", "-"], ["d", 0.2]):
        book.active.append(line)
    book.active["B5"].number_format, book.active["B5"].font = "0%", Font(strike=True)
    path = tmp_path / "book.xlsx"
    book.save(path)
    runs = "<r><rPr><strike/></rPr><t>- </t></r><r><rPr><b/></rPr><t>+</t></r>"
    bold = '<r><rPr><b/></rPr><t xml:space="preserve">bold </t></r>'
    texts = [
        f'<c r="{place}" t="inlineStr"><is>{text}</is></c>' for place, text in (("B2", runs), ("B3", bold))
    ]
    if shared:  # a program writes each text into a part of its own, or into its cell
        part, kind = "xl/sharedStrings.xml", "application/vnd.openxmlformats-officedocument.spreadsheetml."
        space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
        rewritten(path, lambda _: f"<sst {space}><si>{runs}</si><si>{bold}</si></sst>", part)
        override = f'<Override PartName="/{part}" ContentType="{kind}sharedStrings+xml"/></Types>'
        rewritten(path, lambda xml: xml.replace("</Types>", override), "[Content_Types].xml")
        texts = [f'<c r="{place}" t="s"><v>{number}</v></c>' for number, place in enumerate(("B2", "B3"))]
    cells = r'<c r="B2".*?</c>', r'<c r="B3".*?</c>'
    for old, new in zip(cells, texts, strict=True):
        rewritten(path, lambda xml, old=old, new=new: re.sub(old, new, xml))
    odd = []
    frame = read_workbook(tmp_path, "book.xlsx", "S", needed=["ID"], used=bool, odd=odd, percentages=bool)
    assert frame["ER"].tolist() == ["+", "bold ", "-", ""]
    assert [(cell.row, cell.content, cell.counts_as) for cell in odd] == [(2, "- +", "+"), (5, "0.2", "")]


@pytest.mark.parametrize(
    ("headings", "alike"),
    [
        (["patient", "ER", "age"], True),
        (["patient", "ER"], True),  # as where somebody has corrected some
        (["er", "Patient ", "note"], True),
        (["code", "meaning"], False),
        (["ER", "meaning"], False),
    ],
)
def test_another_sheet_of_such_rows_is_refused_by_its_name(tmp_path, headings, alike):
    book = openpyxl.Workbook()
    book.active.title = "2015"
    book.create_sheet("2019").append(headings)
    for line in (["patient", "ER", "age"], ["a", "+", 50]):
        book.active.append(line)
    book.save(tmp_path / "book.xlsx")
    columns = ("patient", "ER", "age")
    if alike:
        with pytest.raises(InputError, match="sheets of such rows: 2015, 2019"):
            read_rows(tmp_path / "book.xlsx", used=columns.__contains__, odd=[])
    else:
        assert len(read_rows(tmp_path / "book.xlsx", used=columns.__contains__, odd=[])) == 1


def test_few_rows_that_are_coloured_are_said_and_a_layout_in_colours_is_not(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "S"
    for line in (["ID", "note", "ER"], *([f"{n}", "x", "+"] for n in range(9))):
        book.active.append(line)
    red, white = (PatternFill("solid", fgColor=colour) for colour in ("FFFF0000", "FFFFFFFF"))
    for place, fill in {"A1": red, "B3": red, "C4": red, "A6": red, "C6": red, "A8": white}.items():
        book.active[place].fill = fill

    def coloured():
        book.save(tmp_path / "book.xlsx")
        odd = []
        used = ("ID", "ER").__contains__
        read_workbook(tmp_path, "book.xlsx", "S", needed=(), used=used, odd=odd)
        return [(cell.row, cell.column) for cell in odd if cell.kind == "coloured cell"]

    assert coloured() == [(4, "ER"), (6, "ID")]
    for line in range(2, 11, 2):
        book.active[f"A{line}"].fill = red
    assert not coloured()
