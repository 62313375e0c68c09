"""The audit of a cohort with one of each defect: every defect is found, and the download stays as it was."""

import json
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from commands import run_command

from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, IMAGE_FOLDER, RADIOMICS_WORKBOOK
from bcbm.report.pages.audit import group_findings


def command(verb: str, *words: str) -> subprocess.CompletedProcess[str]:
    return run_command(verb, *words, COLUMNS="80")


def workbook(root: Path, book: tuple[str, str], change) -> None:
    frame = pd.read_excel(root / book[0], sheet_name=book[1], dtype=object, keep_default_na=False)
    frame.columns = [column.strip() for column in frame.columns]
    change(frame).to_excel(root / book[0], sheet_name=book[1], index=False)


def rewrite(path: Path, change, target: Path | None = None) -> None:
    volume = nib.load(path)
    nib.save(nib.Nifti1Image(change(np.asarray(volume.dataobj)), volume.affine), target or path)


@pytest.fixture(scope="module")
def defective(cohort, tmp_path_factory):
    """A copy of the cohort with one of each defect, and where each should be found, by kind."""
    root = shutil.copytree(cohort, tmp_path_factory.mktemp("defects") / "Köhorte")
    images = root / IMAGE_FOLDER
    masks = [m for m in sorted(images.rglob("*_mask_*")) if m.parent.name.endswith("-0")]
    regions = ("front", "par", "occ", "temp", "cer")
    masks = [m for m in masks if any(region in m.name.lower() for region in regions)]
    masks = [m for m in masks if "margin" not in m.name and not m.name.rstrip(".nigz").endswith("0")]
    by_study: dict[str, list[Path]] = {}
    for mask in masks:
        by_study.setdefault(mask.parent.name, []).append(mask)
    victims = iter(sorted(by_study.values(), key=len, reverse=True)[0])
    places: dict[str, str] = {}

    def lesion(mask: Path) -> str:
        return f"{mask.parent.name}/{mask.name.split('_mask_')[1].removesuffix('.nii.gz')}"

    def defect(kind: str, change) -> None:
        mask = next(victims)
        change(mask)
        places[kind] = lesion(mask)

    def one_voxel(values):
        result = np.zeros_like(values)
        result[tuple(np.argwhere(values)[0])] = 1
        return result

    def corner(values):
        result = np.zeros_like(values)
        result[:3, :3, :3] = 1
        return result

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-200])

    defect("empty mask", lambda mask: rewrite(mask, np.zeros_like))
    defect("single-voxel mask", lambda mask: rewrite(mask, one_voxel))
    defect("mask outside the brain", lambda mask: rewrite(mask, corner))
    defect("mask on another grid", lambda mask: rewrite(mask, lambda values: values[:-1]))
    defect("unreadable mask", cut)
    defect("row without file", Path.unlink)
    original = next(victims)
    study = original.parent.name
    drawn_again = {"target over a lesion": "Plan9_TgtZ_220Gy80", "file without row": "L-extra"}
    for axis, (kind, name) in enumerate(drawn_again.items()):
        copy = original.with_name(f"{study}_mask_{name}.nii.gz")
        rewrite(original, lambda values, axis=axis: np.maximum(values, np.roll(values, 1, axis)), copy)
        places[kind] = lesion(copy)
    right = lesion(original).split("/")[1].lower().startswith("r")
    other = original.with_name(f"{study}_mask_{'Left' if right else 'Right'}-frontal-met.nii.gz")
    shutil.copy(original, other)
    places["name against coordinates"] = lesion(other)
    stray = original.with_name("notes.nii.gz")
    shutil.copy(original, stray)
    places["file that fits no pattern"] = str(stray.relative_to(root))
    others = [name for name in by_study if name != study]
    image = images / others[0] / f"{others[0]}_image_ss_n4.nii.gz"
    image.unlink()
    places["study without image"] = str(image.parent.relative_to(root))
    broken = images / others[1] / f"{others[1]}_image_ss_n4.nii.gz"
    cut(broken)
    places["unusable image"] = str(broken.relative_to(root))
    twice = images / others[2] / f"{others[2]}_image_ss_n4.nii.gz"
    shutil.copy(twice, twice.with_name(f"{others[2]}_image_two.nii.gz"))
    places["study with more than one image"] = str(twice.parent.relative_to(root))

    def odd(frame):
        frame.loc[frame["ID"] == others[3], "PR"] = "maybe"
        return frame[frame["ID"] != others[4]]

    workbook(root, CLINICAL_WORKBOOK, odd)
    places["odd label"], places["study without clinical row"] = f"({others[3]})", others[4]
    workbook(root, RADIOMICS_WORKBOOK, lambda frame: pd.concat([frame, frame.iloc[:1]]))
    places["row twice in a workbook"] = f"row {len(pd.read_excel(root / RADIOMICS_WORKBOOK[0])) + 1}"
    return root, places


def states(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(root.rglob("*"))}


@pytest.fixture(scope="module")
def audited(defective, tmp_path_factory):
    root, places = defective
    folder = tmp_path_factory.mktemp("audited")
    before = states(root)
    words = [f"cohort.root={root}", f"run.root={folder / 'runs'}", f"prepared.root={folder / 'prepared'}"]
    result = command("audit", *words)
    assert states(root) == before, "the audit changed the download"
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr + result.stdout
    page = next((folder / "runs").rglob("audit.html"))
    return json.loads(page.with_suffix(".json").read_text()), page.read_text(), result.stdout, places, folder


def test_every_defect_is_found_where_it_is(audited):
    content, _, screen, expected, _ = audited
    assert content["status"] == "findings"
    assert not any(Path(finding["where"]).is_absolute() for finding in content["findings"])
    for kind, where in expected.items():
        places = [finding["where"] for finding in content["findings"] if finding["kind"] == kind]
        assert any(where in place for place in places), f"{kind}: {where} is not among {places}"
        assert kind in screen
    kinds = {finding["kind"] for finding in content["findings"]}
    assert {"structure", "cavity", "margin", "examination twice"} <= kinds


def test_the_screen_shows_a_whole_example_of_each_kind_at_80_columns(audited):
    content, _, screen, *_ = audited
    lines = screen.splitlines()
    for group in group_findings(content["findings"]):
        example = group["rows"][0]
        place = next(n for n, line in enumerate(lines) if line.split(maxsplit=1)[1:] == [group["kind"]])
        assert lines[place].split()[0] == str(len(group["rows"]))
        assert f"{example['where']}: {example['found']}" in lines[place + 1]


def test_each_unusable_file_is_one_line_and_nothing_else_is_called_unusable(audited):
    content, *_ = audited
    for kind in ("empty mask", "single-voxel mask", "unreadable mask", "unusable image"):
        assert sum(finding["kind"] == kind for finding in content["findings"]) == 1, kind


def test_the_page_shows_every_finding_and_the_pictures(audited):
    content, page, _, _, folder = audited
    before, views = page.split('<section id="lesions">')
    assert before.count("data:image/png;base64,") == 6
    alike = views.split("</section>")[0]
    assert alike.count("data:image/png;base64,") == alike.count("<figcaption>Looks like") >= 2
    for finding in content["findings"]:
        assert finding["kind"] in page
    table = pd.read_csv(next(folder.rglob("table1.csv")), keep_default_na=False)
    analysed = next(step["patients"] for step in content["flow"] if step["step"] == "analysed")
    assert table.iloc[0, :2].tolist() == ["patients", str(analysed)] and "SMD" in page
    assert next(folder.rglob("table1.tex")).is_file()


def test_coordinates_agree_with_the_names_that_are_sure(audited):
    content, _, _, _, _ = audited
    side, region = content["agreement"]["hemisphere"], content["agreement"]["region"]
    assert side["of"] > 20 and side["agree"] >= side["of"] - 1  # one of them was given a wrong name
    assert region["agree"] / region["of"] >= 0.85


def test_prepare_takes_what_is_sound_and_names_what_is_not(defective, audited):
    root, places = defective
    prepared = audited[4] / "prepared"
    words = [f"cohort.root={root}", f"prepared.root={prepared}", "cohort.position=image"]
    result = command("prepare", *words, "features.radiomics=extract", "features.crop_size=16")
    assert result.returncode == 0, result.stderr
    for kind in ("empty mask", "single-voxel mask", "mask on another grid", "unreadable mask"):
        assert f"problem {places[kind]}:" in result.stdout.replace("\n", "")
    table = pd.read_parquet(prepared / "lesions.parquet")
    assert not table["excluded"].all() and (table["excluded"] == (table["reason"] != "")).all()
    entering = table[~table["excluded"]]
    radiomics = pd.read_parquet(prepared / "radiomics.parquet").loc[entering["lesion_id"]]
    assert radiomics.drop(columns=["library", "settings"]).notna().all().all()
    assert (entering["position_source"] == "image").all()
    assert not list(prepared.rglob("*.partial"))


def test_a_download_without_a_finding_is_clean(tmp_path):
    studies = [f"BCBM-RadioGenomics-{n}-0" for n in range(12)]
    rows = pd.DataFrame({"FilenamePrefix": studies, "Segmentation_Name": "mask_L-frontal-tumor"})
    rows["original_shape_VoxelVolume"] = np.arange(12) + 50.0
    root = tmp_path / "clean"
    root.mkdir()
    rows.to_excel(root / RADIOMICS_WORKBOOK[0], sheet_name=RADIOMICS_WORKBOOK[1], index=False)
    labels = pd.DataFrame({"ID": studies, "ER": list("+-" * 6), "PR": list("++--" * 3), "HER2": ""})
    labels.to_excel(root / CLINICAL_WORKBOOK[0], sheet_name=CLINICAL_WORKBOOK[1], index=False)
    result = command("audit", f"cohort.root={root}", f"run.root={tmp_path}", f"prepared.root={tmp_path}/p")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "clean" in result.stdout
    (own,) = tmp_path.glob("audit/*/audit.json")
    first = own.read_bytes()
    words = [f"cohort.root={root}", f"run.root={tmp_path}", f"prepared.root={tmp_path}/p"]
    command("audit", *words, "cohort.policy=largest")  # other lesions enter
    other = own.parent.with_name(f"{own.parent.name}-2") / "audit.json"
    assert own.read_bytes() == first and other.is_file()
    command("audit", *words)
    assert len([*tmp_path.glob("audit/*/audit.json")]) == 2


@pytest.mark.parametrize("damage", ["no folder", "no workbook", "no study"])
def test_what_cannot_be_read_at_all_is_unusable(cohort, tmp_path, damage):
    root = tmp_path / "cohort"
    if damage != "no folder":
        (root / IMAGE_FOLDER).mkdir(parents=True)
    if damage == "no study":
        for name in (CLINICAL_WORKBOOK[0], RADIOMICS_WORKBOOK[0]):
            shutil.copy(cohort / name, root / name)
    result = command("audit", f"cohort.root={root}", f"run.root={tmp_path}", f"prepared.root={tmp_path}/p")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr and str(root) in result.stderr.replace("\n", "")
