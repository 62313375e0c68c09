"""Which files are looked at."""

from bcbm.system.files import files_below


def test_nothing_is_looked_for_in_hidden_folders_and_bins(tmp_path):
    bins = (".Trash-1000/files/scan", "$RECYCLE.BIN/scan", "a/@eaDir/scan")
    for name in ("a/scan", *bins, "a/._scan", "a/.scan"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)] == ["a/.scan", "a/scan"]
    hidden = tmp_path / ".hidden"
    hidden.mkdir()
    (hidden / "scan").touch()
    assert files_below(hidden) == [hidden / "scan"], "one that is named itself is"
