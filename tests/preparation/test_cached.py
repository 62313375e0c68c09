"""What lies in the cache: listed with its cohort, removed by name, and nothing else touched."""

from commands import run_command

WORDS = ["task.modalities=[radiomics,position]", "cohort.synthetic.images=false", "prepared.jobs=1"]


def test_the_cache_lists_its_cohorts_and_removes_those_that_are_named(tmp_path):
    home = {"BCBM_CACHE": str(tmp_path)}
    done = run_command("prepare", *WORDS, "cohort.synthetic.patients=12", **home)
    assert done.returncode == 0, done.stderr
    (tmp_path / "of-somebody-else").mkdir()
    (tmp_path / "prepared-half").mkdir()
    prepared = next(path for path in tmp_path.glob("prepared-*") if (path / "lesions.parquet").is_file())
    (prepared / "ledger").mkdir()
    (prepared / "ledger" / "look.json").write_text("{}")
    names = {path.name for path in tmp_path.iterdir()} - {"of-somebody-else"}
    listed = run_command("cache", COLUMNS="200", **home).stdout
    assert all(name in listed for name in names) and "of-somebody-else" not in listed
    assert listed.count("12 patients") == 2 and "not finished" in listed
    for words in (["remove", "of-somebody-else"], ["remove", "prepared-half", "../x"], ["clear"], ["remove"]):
        refused = run_command("cache", *words, **home)
        assert refused.returncode == 2 and words[-1] in refused.stderr
        assert names < {path.name for path in tmp_path.iterdir()}
    done = run_command("cache", "remove", *names, **home)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"of-somebody-else", prepared.name}
    assert [path.name for path in prepared.rglob("*")] == ["ledger", "look.json"]
    assert "ledger alone" in run_command("cache", **home).stdout
