"""What a page holds is passed on with it: nothing gets in that was not drawn for it."""

import json
import os

import numpy as np
import pandas as pd
import pytest
from finished_runs import write_run
from matplotlib.image import imsave

from bcbm.errors import InputError
from bcbm.report.pages.page import embedded
from bcbm.report.pages.run import write_report

SECRET = b"the key of a server"


@pytest.fixture
def folder(tmp_path):
    """Pictures in `pictures/`, and beside it what is nobody's business."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "pictures" / "inner").mkdir(parents=True)
    for place in (tmp_path, tmp_path / "pictures", tmp_path / "pictures" / "inner"):
        imsave(place / "a.png", np.zeros((4, 4)))
    (tmp_path / "pictures" / "text.png").write_bytes(SECRET)
    (tmp_path / "pictures" / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "pictures" / "folder.png").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pictures" / "pipe.png")
    return tmp_path / "pictures"


def test_a_picture_of_the_folder_is_embedded(folder):
    assert embedded(folder, "a.png").startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    "name",
    [
        *("../secret.txt", "../a.png", "inner/a.png", "./a.png", "", ".", "..", "text.png", "link.png"),
        *("folder.png", "pipe.png", "nothing.png", 3, None),
    ],
)
def test_nothing_else_is(folder, name):
    with pytest.raises(InputError) as caught:
        embedded(folder, name, "explain the run again")
    assert str(folder) in str(caught.value) and SECRET.decode() not in str(caught.value)


def test_an_absolute_name_is_not_embedded_either(folder):
    with pytest.raises(InputError, match=r"secret\.txt"):
        embedded(folder, str(folder.parent / "secret.txt"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run", "split.folds=2")


@pytest.mark.parametrize(
    "change",
    [
        {"saliency": [{"file": "{outside}"}]},
        {"saliency": [{"file": "../../secret.txt"}]},
        {"saliency": "all"},
        {"saliency": [{"file": "a.png", "lesion_id": "nobody's"}]},
        {"modalities": 3},
        {"run": "another"},
    ],
)
def test_explanations_of_a_stranger_put_no_file_into_the_report(run, change):
    (run.parent / "secret.txt").write_bytes(SECRET)
    lesion = str(pd.read_parquet(run / "lesions.parquet").loc[3, "lesion_id"])
    example = {"target": "ER", "lesion_id": lesion, "method": "Grad-CAM", "probability": 0.8, "label": 1.0}
    content = {"modalities": [], "radiomics": [], "saliency": []} | change
    if isinstance(content["saliency"], list):
        content["saliency"] = [{**example, **place} for place in content["saliency"]]
    text = json.dumps(content).replace("{outside}", str(run.parent / "secret.txt"))
    (run / "explanations.json").write_text(text)
    with pytest.raises(InputError):
        write_report(run)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("content", [b"", b'[{"target": "ER", "tell', b"{}", b"null", b"[1]", b"\xff\xfe"])
def test_a_damaged_record_of_the_columns_is_one_line(run, content):
    (run / "explanations.json").unlink(missing_ok=True)
    (run / "columns.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        write_report(run)
    assert len(str(caught.value).splitlines()) == 1 and str(run) in str(caught.value)
