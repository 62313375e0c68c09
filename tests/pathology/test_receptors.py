"""Receptor cells are read as a pathologist reads them, every spelling of docs/reference/labels.md."""

import math

import pytest
from spellings import HER2, HORMONE, TWO_MEANINGS

from bcbm.pathology.receptors import read_statuses
from bcbm.pathology.statuses import Meanings

LABELS = {"positive": 1.0, "negative": 0.0}
LOW = {"yes": 1.0, "no": 0.0}
CELLS = [("ER", s) for s in HORMONE] + [
    ("PR", s) for s in HORMONE if "ER" not in s.cell and "strogen" not in s.cell
]
CELLS += [("HER2", s) for s in HER2]


def same(value, expected):
    return value == expected or (math.isnan(value) and math.isnan(expected))


@pytest.mark.parametrize(("receptor", "spelling"), CELLS, ids=lambda x: getattr(x, "cell", x))
def test_a_spelling_reads_as_a_pathologist_reads_it(receptor, spelling):
    status = read_statuses(receptor, [spelling.cell, *spelling.among])[0]
    assert same(status.label, LABELS.get(spelling.label, math.nan)), status
    assert same(status.low, LOW.get(spelling.low, math.nan)), status
    assert status.readable == (spelling.label != "unreadable") and status.why


def test_thirty_six_spellings_are_read():
    read = {spelling.cell for spelling in (*HORMONE, *HER2) if spelling.label != "unreadable"}
    assert len(read) >= 36


@pytest.mark.parametrize(
    ("receptor", "cells"), [(name, cells) for name, columns in TWO_MEANINGS.items() for cells in columns]
)
def test_a_column_of_two_meanings_is_refused_with_its_numbers(receptor, cells):
    with pytest.raises(Meanings) as caught:
        read_statuses(receptor, cells)
    assert cells[0] in str(caught.value) and caught.value.remedy


def test_a_cell_of_words_reads_the_same_whatever_stands_beside_it():
    plain = [s.cell for s in HORMONE if not s.among and "score" not in s.cell.lower() and s.cell != "0/300"]
    together = read_statuses("ER", plain)
    for cell, status in zip(plain, together, strict=True):
        alone = read_statuses("ER", [cell])[0]
        assert same(status.label, alone.label) and status.why == alone.why
