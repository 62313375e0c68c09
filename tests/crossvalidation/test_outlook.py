"""What a run says of its cohort before it trains."""

import re

import pytest
from rich.console import Console

from bcbm.cohort.splits import split_as
from bcbm.config.compose import compose
from bcbm.crossvalidation.outlook import outlook
from bcbm.preparation.prepare import prepare
from bcbm.statistics.power import planned_area, sample_size, smallest_auroc

WORDS = ["task.modalities=[radiomics,position]"]
COHORT = [*WORDS, "cohort.synthetic.images=false", "cohort.synthetic.patients=60"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    config = compose([*COHORT, f"prepared.root={tmp_path_factory.mktemp('prepared')}"])
    return config, prepare(config, Console(quiet=True))


def test_the_least_auroc_counts_folds_repeats_and_targets(prepared):
    config, lesions = prepared
    counts = lesions.entering.groupby("patient_id")["ER"].first().value_counts()
    for repeats, targets in ((1, ["ER", "PR", "HER2"]), (3, ["ER"])):
        config.split.repeats, config.task.targets = repeats, targets
        first, second = outlook(config, lesions, split_as(lesions.entering, config))
        expected = smallest_auroc(planned_area(counts[1], counts[0], 5, repeats), len(targets))
        assert f"ER {expected:.2f}" in first and ("corrected over 3" in first) == (len(targets) == 3)
        columns = int(re.search(r"on (\d+) columns", second)[1])
        assert columns > 107
        assert f"ER {sample_size(counts[1] / counts.sum(), columns, 0.75):,} (here {counts.sum()})" in second
