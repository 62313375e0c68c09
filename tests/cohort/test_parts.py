"""Masks of several lesions in the lesion table: what is split, under which id, and what goes with it."""

import pandas as pd
import pytest
from downloads import LABELS, P, download, row

from bcbm.cohort.formats.tcia import read_download
from bcbm.cohort.measurements import MASK_COLUMNS, Division, Survey
from bcbm.cohort.names import read_name
from bcbm.cohort.parts import divide
from bcbm.cohort.table import build_table, flow, settle
from bcbm.errors import Problem

BOTH = f"{P}-1-0/both"


def measures(voxels):
    return dict.fromkeys(MASK_COLUMNS, 1.0) | {"voxels": voxels, "volume": 2.0 * voxels, "drawn": 100}


def survey(divisions, overlaps=(), masks=()):
    """A survey of divided masks, of pairs (one, other, shared) and of further masks of 100 voxels."""
    table = {lesion: measures(100) for lesion in (*divisions, *masks)}
    pairs = [(one, other, shared, shared) for one, other, shared in overlaps]
    return Survey(
        pd.DataFrame.from_dict(table, orient="index", columns=list(MASK_COLUMNS), dtype=float),
        pd.DataFrame(pairs, columns=["one", "other", "shared", "dice"]),
        {},
        [],
        divisions,
    )


TWO = Division([measures(60), measures(38)], strays=2)


def table_of(root, measured, policy="split", names=None):
    """The settled table by lesion_id, and the divided survey."""
    names = {name: read_name(reading) for name, reading in (names or {}).items()}
    divided, measured = divide(read_download(root), measured, policy, names)
    table, _, _ = build_table(divided, names, measured)
    settle(table, "lesions+targets", measured)
    return table.set_index("lesion_id", drop=False), measured


@pytest.fixture
def root(tmp_path):
    """A mask that is there, and a row of another session without files that agrees with it."""
    lesions = [("1-0", "both", *row(1)), ("1-0", "other", *row(2)), ("1-1", "both", *row(1))]
    files = [("1-0", "both"), ("1-0", "other")]
    return download(tmp_path, lesions, [*LABELS, ("1-1", "+", "-", "+")], files)


def test_the_mask_keeps_its_row_and_the_parts_follow_it(root):
    table, measured = table_of(root, survey({BOTH: TWO}, masks=[f"{P}-1-0/other"]))
    assert list(table.index[:3]) == [BOTH, f"{BOTH}/1", f"{BOTH}/2"]
    assert table.loc[BOTH, "reason"] == "split into its parts" and table.loc[BOTH, "in_workbook"]
    parts = table.loc[[f"{BOTH}/1", f"{BOTH}/2"]]
    assert parts["voxels"].tolist() == [60, 38] and parts["mask_part"].tolist() == [1, 2]
    assert not parts["excluded"].any() and not parts["in_workbook"].any() and (parts["part_of"] == BOTH).all()
    assert parts["content"].nunique() == 2 and (parts["mask_path"] == table.loc[BOTH, "mask_path"]).all()
    assert {note.kind for note in measured.notes} == {"several lesions in one mask", "stray voxels"}
    assert {step[0]: step[3] for step in flow(table)}["excluded: split into its parts"] == 2


@pytest.mark.parametrize(
    ("policy", "reason"), [("split", "split into its parts"), ("refuse", "several lesions in one mask")]
)
def test_a_row_without_files_of_the_same_mask_shares_its_fate(root, policy, reason):
    table, _ = table_of(root, survey({BOTH: TWO}, masks=[f"{P}-1-0/other"]), policy)
    assert table.loc[f"{P}-1-1/both", "reason"] == reason == table.loc[BOTH, "reason"]


def test_what_a_mask_shares_with_another_is_said_of_its_parts(root):
    other = f"{P}-1-0/other"
    overlaps = [(BOTH, other, 1.0), (f"{BOTH}/2", other, 1.0)]
    measured = survey({BOTH: TWO}, overlaps, masks=[other])
    table, _ = table_of(root, measured)
    assert table.loc[f"{BOTH}/2", "duplicate_of"] == other and not table.loc[f"{BOTH}/1", "excluded"]
    table, divided = table_of(root, measured, "largest")
    assert divided.overlaps.empty and table.loc[[BOTH, other], "reason"].tolist() == ["", ""]


def test_stray_voxels_alone_change_no_name(root):
    table, measured = table_of(root, survey({BOTH: Division([measures(98)], strays=2)}), "refuse")
    assert table.loc[BOTH, ["voxels", "mask_part", "reason"]].tolist() == [98, 1, ""]
    assert [note.kind for note in measured.notes] == ["stray voxels"] and measured.problems == []


def test_a_part_that_cannot_be_used_has_its_own_reason(root):
    outside = Problem(f"{BOTH}/2", "part 2 lies outside", "correct it", "mask outside the brain")
    measured = survey({BOTH: Division([measures(60), outside], strays=0)})
    table, divided = table_of(root, measured)
    assert table.loc[[f"{BOTH}/1", f"{BOTH}/2"], "reason"].tolist() == ["", "mask outside the brain"]
    assert divided.problems == [outside]


def test_what_is_no_lesion_by_its_name_stays_whole(root):
    table, measured = table_of(root, survey({BOTH: TWO}), names={"both": "Lenses"})
    assert table.loc[BOTH, "reason"] == "category structure" and table.loc[BOTH, "voxels"] == 100
    assert f"{BOTH}/1" not in table.index and measured.notes == []


def test_a_part_takes_no_name_that_another_has(tmp_path):
    root = download(
        tmp_path, [("1-0", "both", *row(1)), ("1-0", "both/2", *row(2))], LABELS, [("1-0", "both")]
    )
    table, measured = table_of(root, survey({BOTH: TWO}))
    assert table.loc[BOTH, "reason"] == "several lesions in one mask" and table.index.is_unique
    assert f"{BOTH}/2" in measured.problems[0].remedy
