"""A record of a run that is damaged is named in one line, with what to do; none is taken for another."""

import pytest
from finished_runs import write_run

from bcbm.errors import InputError
from bcbm.runs.chosen_columns import models_of
from bcbm.runs.finished import read_run
from bcbm.system.files import read_json

DAMAGED = [b"", b"{", b'{"chosen": {"model.dr', b"null", b"[1]", b"7", b"\xff\xfe\x00", b"{}"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run", "split.folds=2")


@pytest.mark.parametrize("content", DAMAGED[:-1])
def test_json_that_is_no_record_is_named(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_json(path, "make it anew")
    (problem,) = caught.value.problems
    assert problem.where == str(path) and problem.remedy == "make it anew"
    with pytest.raises(InputError, match=r"nothing\.json"):
        read_json(tmp_path / "nothing.json", "make it anew")


def test_a_list_is_a_record_where_one_is_expected(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("[1]")
    assert read_json(path, "", list) == [1]


@pytest.mark.parametrize("content", DAMAGED)
def test_what_a_fold_has_chosen_and_its_model_are_read_in_words(run, content):
    path = run / "fold=0" / "tuning.json"
    path.write_bytes(content)
    finished = read_run(run)
    with pytest.raises(InputError, match=r"tuning\.json.*same fit command again"):
        _ = finished.chosen
    path.rename(path.with_name("model.json"))
    with pytest.raises(InputError, match=r"model\.json.*same fit command again"):
        models_of(path.with_name("model.json"))


@pytest.mark.parametrize("name", ["environment.json", "split.json", "results.json", "config.yaml"])
@pytest.mark.parametrize("content", DAMAGED)
def test_a_run_whose_records_are_damaged_is_not_read(run, name, content):
    path = run / name
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        with pytest.raises(InputError) as caught:
            read_run(run)
    finally:
        path.write_bytes(before)
    assert str(run) in str(caught.value) and len(str(caught.value).splitlines()) == 1
