"""One's own patients on the way to a table of lesions: several sites, what a person leaves out, radiomics."""

import json
import os
import shutil
import warnings

import pandas as pd
import pytest
from fits import fit
from layouts import write_bids, write_manifest
from rich.console import Console

from bcbm.cohort.download import Download
from bcbm.cohort.exclusions import read_exclusions
from bcbm.cohort.formats.tcia import RADIOMICS_WORKBOOK, read_download
from bcbm.cohort.given_radiomics import with_radiomics
from bcbm.config.compose import compose
from bcbm.errors import InputError, Note
from bcbm.preparation.prepare import prepare

QUIET = Console(quiet=True)
CITED = {
    "tcia": "Data: BCBM-RadioGenomics (TCIA, doi 10.7937/RRSE-W278). Licence CC BY 4.0.",
    "manifest": "Data: its files name no licence",
    "bids": "Data: Invented. Licence CC0.",
}
TABLES = ("task.modalities=[radiomics,position]",)


def words(tmp_path, root, *more):
    return [
        f"cohort.root={root}",
        f"prepared.root={tmp_path / 'prepared'}",
        "prepared.jobs=1",
        *TABLES,
        *more,
    ]


def test_what_a_person_leaves_out_is_in_the_table_with_the_reason(table_cohort, tmp_path, capsys):
    table = read_download(table_cohort).segmentations
    lesion, study = table["study_id"].iloc[0] + "/" + table["name"].iloc[0], table["study_id"].iloc[-1]
    path = tmp_path / "judged.csv"
    rows = [f",,{lesion},moved in the scanner", f",{study},,no contrast", "Nobody,,,gone"]
    path.write_text("\n".join(["patient,study,lesion,reason", *rows]) + "\n")
    plain = prepare(compose(words(tmp_path, table_cohort)), QUIET)
    lesions = prepare(compose(words(tmp_path, table_cohort, f"cohort.exclude={path}")), Console(width=200))
    reasons = lesions.table.set_index("lesion_id")["reason"]
    assert reasons[lesion] == "by hand: moved in the scanner"
    left_out = lesions.table.loc[lesions.table["study_id"] == study, "reason"]
    assert (left_out == "by hand: no contrast").any()
    assert lesions.table["excluded"].sum() > plain.table["excluded"].sum()
    screen = capsys.readouterr().out
    assert "by hand: no contrast" in screen and "judged.csv row 4" in screen and "Nobody" in screen
    assert lesions.cohort != plain.cohort


def test_an_exclusion_says_whom_and_why(table_cohort, tmp_path):
    path = tmp_path / "judged.csv"
    path.write_text("patient,study,reason\nA,B,both\n,,nobody\nA,,\n")
    with pytest.raises(InputError) as raised:
        prepare(compose(words(tmp_path, table_cohort, f"cohort.exclude={path}")), QUIET)
    told = [str(problem) for problem in raised.value.problems]
    assert [line.split(":")[0] for line in told] == [f"judged.csv row {row}" for row in (2, 3, 4)]


def test_a_list_of_exclusions_with_a_column_that_keeps_rows_is_said(table_cohort, tmp_path):
    patient = read_download(table_cohort).studies["patient_id"].iloc[0]
    path = tmp_path / "judged.csv"
    path.write_text(f"patient,reason,exclude\n{patient},fine,no\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_exclusions(path)  # a word alone says nothing
    path.write_text(f"patient,reason,exclude\n{patient},fine,no\nB,moved,yes\n")
    with pytest.warns(Note, match=r"'exclude' is not read .*every row leaves out"):
        read_exclusions(path)


def test_labels_of_primaries_are_said_beside_what_is_left_out(table_cohort, tmp_path, capsys):
    path = write_manifest(read_download(table_cohort), tmp_path / "ours")
    table = pd.read_csv(path)
    first = table["patient"] == table["patient"].iloc[0]
    specimens = {
        "specimen": {True: "primary", False: "metastasis"},
        "biopsy": {True: "liver", False: "brain"},
    }
    table.copy().assign(**{name: first.map(of) for name, of in specimens.items()}).to_csv(path, index=False)
    judged = tmp_path / "judged.csv"
    judged.write_text(f"patient,reason\n{table['patient'].iloc[-1]},moved\n")
    prepare(compose(words(tmp_path, path.parent, f"cohort.exclude={judged}")), Console(width=200))
    screen = capsys.readouterr().out
    assert "column 'specimen' is not read: of 1 study the labels are the primary" in screen
    assert "column 'biopsy' is not read: labels from liver count as those of the brain" in screen


def test_labels_under_another_heading_are_named(table_cohort, tmp_path):
    path = write_manifest(read_download(table_cohort), tmp_path / "ours")
    pd.read_csv(path).rename(columns={"ER": "ER Allred"}).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"no labels of ER; call the column .* ER; there is ER Allred"):
        prepare(compose(words(tmp_path, path.parent)), QUIET)


def test_two_sites_are_one_cohort_whose_patients_are_their_own(table_cohort, tmp_path):
    download = read_download(table_cohort)
    here = write_manifest(download, tmp_path / "here").parent
    there = write_manifest(download, tmp_path / "there").parent
    table = pd.read_csv(there / "manifest.csv")
    features = [name for name in table if name.startswith("original_")]
    table[features] *= 1 + 0.1 * (
        table.index.to_numpy()[:, None] % 7 + 1
    )  # other lesions, or they were copies
    table.to_csv(there / "manifest.csv", index=False)
    one = prepare(compose(words(tmp_path, here)), QUIET)
    both = prepare(compose(words(tmp_path, f"[{here}, {there}]", "split.holdout=site")), QUIET)
    assert set(both.entering["site"]) == {"here", "there"}
    assert both.entering["patient_id"].nunique() == 2 * one.entering["patient_id"].nunique()
    assert both.table["lesion_id"].is_unique
    sites = both.entering.groupby("patient_id")["site"].nunique()
    assert (sites == 1).all()


def test_radiomics_of_another_table_take_the_place_of_the_cohorts_own(table_cohort, tmp_path):
    download = read_download(table_cohort)
    table = pd.concat([download.segmentations[["study_id", "name"]], download.features], axis=1)
    table = table.rename(columns={"study_id": "Study", "name": "Name"})
    table["diagnostics_Versions_Numpy"] = "1.26"
    settings = [f"{{'binWidth': 25, 'label': {row % 3}}}" for row in range(len(table))]
    table["diagnostics_Configuration_Settings"] = settings
    table["original_firstorder_Mean"] += 1
    path = tmp_path / "features.csv"
    pd.concat([table, table.iloc[:1]]).to_csv(path, index=False)
    plain = prepare(compose(words(tmp_path, table_cohort)), QUIET)
    lesions = prepare(compose(words(tmp_path, table_cohort, f"cohort.radiomics={path}")), QUIET)
    change = lesions.values["radiomics"] - plain.values["radiomics"]
    assert (change.sum(axis=1).round(6) == 1).all() and (abs(change) > 1e-9).sum() == len(change)
    assert not [line for line in map(str, with_radiomics(download, path).problems) if "different" in line]
    settings[0] = "{'binWidth': 5, 'label': 0}"
    table.assign(diagnostics_Configuration_Settings=settings).to_csv(path, index=False)
    said = [line for line in map(str, with_radiomics(download, path).problems) if "different" in line]
    assert len(said) == 1 and "features.csv" in said[0] and "2 different diagnostics_Config" in said[0]
    own = [f"hash of {study}" for study in table["Study"]]
    for voxels in ("Image", "Mask"):
        column = f"diagnostics_{voxels}-original_Hash"
        alike = [
            own[0] if study == table["Study"].iloc[-1] else text
            for study, text in zip(table["Study"], own, strict=True)
        ]
        for texts, expected in ((own, 0), (alike, 1)):  # of a program that read one image twice
            table.assign(**{column: texts}).to_csv(path, index=False)
            said = [line for line in map(str, with_radiomics(download, path).problems) if column in line]
            assert len(said) == expected and all("rows of 2 studies" in line for line in said)
    table.drop(columns="Name").to_csv(path, index=False)
    with pytest.raises(InputError, match="whose it is"):
        prepare(compose(words(tmp_path, table_cohort, f"cohort.radiomics={path}")), QUIET)


def test_radiomics_by_the_file_of_a_mask_are_of_that_mask_alone(tmp_path):
    places = ["P1/ses-1", "P2/ses-1", "P2/ses-1", "P3/ses-1", ""]
    paths = [f"/here/{place}/mask.nii.gz" if place else "" for place in places]
    rows = pd.DataFrame(
        {"study_id": list("abcde"), "name": "x", "mask_path": paths, "mask_value": [0, 1, 2, 0, 0]}
    )
    blank = Download(tmp_path, "", tmp_path, True, rows, pd.DataFrame(index=rows.index), pd.DataFrame(), [])
    lines = ["Mask,original_firstorder_Mean"]
    lines += [f"C:\\data\\P{number}\\ses-1\\mask.nii.gz,{number}" for number in (1, 2, 3)]
    (path := tmp_path / "features.csv").write_text("\n".join([*lines, ",7"]) + "\n")
    download = with_radiomics(blank, path)
    means = download.features["original_firstorder_Mean"]
    assert means[[0, 3]].tolist() == [1, 3] and means[[1, 2, 4]].isna().all()
    said = "\n".join(map(str, download.problems))
    assert all(fact in said for fact in ("b/x: its mask is that of other lesions", "c/x: its mask", "row 5"))
    # And where a column says which label value a row is of, of that one.
    labels = [("P1", "", 1), ("P2", 2, 22), ("P2", 1, 21), ("P2", 3, 23), ("P3", 1, 3)]
    lines = ["Mask,Label,original_firstorder_Mean"]
    lines += [f"/there/{patient}/ses-1/mask.nii.gz,{label},{mean}" for patient, label, mean in labels]
    path.write_text("\n".join(lines) + "\n")
    download = with_radiomics(blank, path)
    assert download.features["original_firstorder_Mean"].tolist()[:4] == [1, 21, 22, 3]
    (line,) = map(str, download.problems)
    assert "row 5" in line and "label value 3" in line
    rows["mask_value"] = 0
    rows.loc[2, "mask_path"] = ""
    for value, expected in ((2, 22), (3, 23)):  # as `cohort.label_value` chooses
        means = with_radiomics(blank, path, value).features["original_firstorder_Mean"]
        assert means[1] == expected and means[0] == 1 and pd.isna(means[3])


def test_a_table_of_radiomics_that_is_older_than_masks_is_said(tmp_path):
    masks = [tmp_path / f"P{number}" / "mask.nii.gz" for number in range(3)]
    (path := tmp_path / "features.csv").write_text("study,name,original_firstorder_Mean\na,x,1\n")
    for number, mask in enumerate(masks):
        mask.parent.mkdir()
        mask.touch()
        os.utime(mask, times=(number and 4e8, number and 4e8))
    rows = pd.DataFrame({"study_id": list("abc"), "name": "x", "mask_path": map(str, masks), "mask_value": 0})
    blank = Download(tmp_path, "", tmp_path, True, rows, pd.DataFrame(index=rows.index), pd.DataFrame(), [])
    for made, said in ((2e8, 1), (6e8, 0)):
        os.utime(path, times=(made, made))
        lines = [line for line in map(str, with_radiomics(blank, path).problems) if "is older than" in line]
        assert len(lines) == said and all("2 of 3 masks, such as mask.nii.gz" in line for line in lines)


def test_radiomics_of_another_image_than_the_lesions_are_said(tmp_path):
    places = [f"/here/P{number}/ses-1" for number in range(5)]
    masks = {"mask_path": [f"{place}/mask.nii.gz" for place in places]}
    images = {"image_path": [f"{place}/t1c.nii.gz" for place in places]}
    rows = pd.DataFrame({"study_id": list("abcde"), "name": "x", **masks, **images, "mask_value": 0})
    blank = Download(tmp_path, "", tmp_path, True, rows, pd.DataFrame(index=rows.index), pd.DataFrame(), [])
    given = [f"D:\\P{number}\\ses-1\\t1c.nii.gz" for number in range(5)]
    given[1], given[3], given[4] = given[2], "D:\\P3\\ses-1\\flair.nii.gz", "D:\\P4\\ses-1\\normalised.nii.gz"
    table = pd.DataFrame({"Image": given, "Mask": masks["mask_path"], "original_firstorder_Mean": range(5)})
    table.to_csv(path := tmp_path / "features.csv", index=False)
    (line,) = map(str, with_radiomics(blank, path).problems)
    assert all(fact in line for fact in ("features.csv: 2 rows", "row 3: ", "P2/", "P1/"))


def test_a_study_that_has_lost_its_masks_is_counted(table_cohort, tmp_path, capsys):
    root = shutil.copytree(table_cohort, tmp_path / "cohort")
    book, sheet = RADIOMICS_WORKBOOK
    rows = pd.read_excel(root / book, sheet_name=sheet)
    lost = sorted(rows["FilenamePrefix"].unique())[:7]
    rows[~rows["FilenamePrefix"].isin(lost)].to_excel(root / book, sheet_name=sheet, index=False)
    prepare(compose(words(tmp_path, root)), Console(width=400))
    assert f"7 studies without a segmentation: {lost[0]}, " in capsys.readouterr().out


def test_a_burden_of_one_lesion_a_patient_is_said(table_cohort, tmp_path):
    more = ("task.modalities=[burden]", "model.kind=logistic_l2")
    with pytest.warns(Note, match=r"burden.*cohort\.policy=largest"):
        prepare(compose([*words(tmp_path, table_cohort, "cohort.policy=largest"), *more]), QUIET)


def test_studies_keep_their_receptors_and_the_page_counts_the_patients_of_both(table_cohort, tmp_path):
    path = write_manifest(read_download(table_cohort), tmp_path / "own")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    later = table.groupby("patient")["study"].transform("min") != table["study"]
    table["ER"] = table["ER"].mask(later, table["ER"].map({"+": "-", "-": "+", "": ""}))  # it converts
    table.to_csv(path, index=False)
    own = ["task.targets=[ER]", "cohort.labels=study"]
    folder, more = tmp_path / "run", ("model.kind=logistic_l2", "permutations=1")
    screen, _ = fit(tmp_path, *TABLES, *own, f"cohort.root={path.parent}", f"run.folder={folder}", *more)
    predictions = pd.read_parquet(folder / "predictions.parquet").set_index("lesion_id")
    signs = table.set_index(table["study"] + "/" + table["name"])["ER"][predictions.index]
    assert predictions["label"].tolist() == pytest.approx(signs.map({"+": 1, "-": 0}).tolist(), nan_ok=True)
    patients = predictions.groupby("patient_id")["label"]
    both = int((patients.nunique() == 2).sum())
    block = json.loads((folder / "results.json").read_text())["receptors"]["ER"]["patient"]
    assert block["both"] == both > 10 and block["positives"] == patients.max().sum()
    assert f"ER: {both} patients with both labels" in screen and f"counted as positive: ER {both}" in screen
    page = " ".join((folder / "report.html").read_text().split())
    assert f"{both} of ER." in page and "a study share its label" in page
    lost = prepare(compose(words(tmp_path, path.parent, "task.targets=[ER]")), QUIET)
    environment = json.loads((folder / "environment.json").read_text())
    assert lost.cohort != environment["cohort"] and lost.entering["ER"].notna().sum() < signs.ne("").sum()


def test_one_cohort_in_three_layouts_gives_the_same_probabilities_to_the_bit(cohort, tmp_path):
    download = read_download(cohort)
    manifest = write_manifest(download, tmp_path / "manifest").parent
    write_bids(download, tmp_path / "bids")
    tables = {}
    for name, root in (("tcia", cohort), ("manifest", manifest), ("bids", tmp_path / "bids")):
        more = (
            "task.modalities=[image]",
            "features.crop_size=16",
            "model=small",
            "cohort.same_patients=keep",
        )
        fit(tmp_path, f"cohort.root={root}", f"run.folder={tmp_path / name}", *more)
        page = " ".join((tmp_path / name / "report.html").read_text().split())
        assert CITED[name] in page
        tables[name] = pd.read_parquet(tmp_path / name / "predictions.parquet")
    for name in ("manifest", "bids"):
        for column in ("fold", "target", "probability", "patient_probability", "threshold", "label"):
            pd.testing.assert_series_equal(tables[name][column], tables["tcia"][column], check_exact=True)
    assert tables["manifest"]["lesion_id"].equals(tables["tcia"]["lesion_id"])
