"""Position on real brains, against sure names: `python tests/benchmarks/position.py [all]`.

The patients of `../shared/data/bcbm-images` are halved by the first byte of the SHA-256 of their id. The even
ones were looked at, lesion by lesion, while the rule was made; the odd ones are counted only, with `all`.
Prints what a study takes (reading included, by one process), the share in doubt, and how often coordinates
agree with the names that are sure to the program's own reader, with Wilson's 95 % intervals: by the centroid,
and by the whole lesion, which is the program's rule; of all lesions, and without those whose disagreement is
the data's: by `THEIRS`, and in the half that nobody looked at where audit says so; last every disagreement.
"""

import hashlib
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from rich.console import Console
from scipy.stats import binomtest

from bcbm.cohort.download import patient_of
from bcbm.cohort.findings import doubtful_studies
from bcbm.cohort.position import place_of
from bcbm.cohort.table import LESIONS
from bcbm.config.compose import compose
from bcbm.preparation.orientation import OPEN, orientation_problems
from bcbm.preparation.reading import read_cohort

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "bcbm-images"
SURE = 0.9  # confidence of a name that is sure
ANOTHER = "AAL, Neuromorphometrics and Desikan-Killiany all have another region than its name"
ALIKE = "on the left in both sessions, which lie alike: both are mirrored, or both misnamed"
MEDIAL = f"middle cingulate and paracentral cortex, before the marginal ramus; {ANOTHER}"
THEIRS = {  # of the half that was looked at: why the data, not the rule, are at fault
    "140-0/right-frontal": f"a dot of 18 voxels in the left auditory cortex; {ANOTHER}",
    "186-0/R-inf-temporal-tumor": ALIKE,
    "186-1/R-inf-temporal-tumor": ALIKE,
    "85-0/R-frontal-post-tumor": "on the left; session 1, whose names agree with the image, lies alike",
    "71-0/L_parietal": f"middle frontal gyrus, 20 mm before the central sulcus; {ANOTHER}",
    "61-0/RtMedParietal": MEDIAL,
    "61-2/RtMedParietal": MEDIAL,
}


def half(patient: str) -> str:
    """Which half a patient belongs to, by an id that nobody chose."""
    return "counted" if hashlib.sha256(patient.encode()).digest()[0] % 2 else "looked at"


def registered() -> pd.DataFrame:
    """The lesions with sure names, once placed; says what a study takes and what audit would."""
    with TemporaryDirectory() as folder:
        words = [f"cohort.root={DATA}", "cohort=tcia", "prepared.jobs=1", f"prepared.root={folder}"]
        config, quiet = compose(words), Console(quiet=True)
        read_cohort(config, quiet, volumes=True, register=False)  # what is read again takes no time
        begin = time.perf_counter(), time.process_time()
        cohort = read_cohort(config, quiet, volumes=True, register=True)
        wall, work = time.perf_counter() - begin[0], time.process_time() - begin[1]
        table, survey = cohort.table, cohort.survey
        assert survey is not None
        proposals = orientation_problems(table, survey.brains)
    studies = table["study_id"].nunique()
    doubtful = {problem.where for problem in doubtful_studies(table)}
    doubtful |= set(table.loc[table["doubts"] != "", "study_id"])
    print(
        f"{studies} studies: {wall / studies:.2f} s each ({work / studies:.2f} s of CPU), "
        f"{len(doubtful)} in doubt ({len(doubtful) / studies:.1%}), overlap "
        f"{table['mni_overlap'].min():.3f} to {table['mni_overlap'].max():.3f}"
    )
    for problem in proposals:
        if half(patient_of(problem.where)) in halves():
            print(f"  audit: {problem}")
    table["half"] = table["patient_id"].map(half)
    table["lesion"] = table["lesion_id"].str.removeprefix("BCBM-RadioGenomics-")
    decided = [problem.where for problem in proposals if problem.remedy != OPEN]
    unseen = (table["half"] == "counted") & table["study_id"].isin(decided)
    table["theirs"] = table["lesion"].map(THEIRS).fillna("").mask(unseen, "audit: mirrored or misnamed")
    sure = table["category"].isin(LESIONS) & (table["name_confidence"] >= SURE) & table["mni_x"].notna()
    return table[sure]


def halves() -> list[str]:
    """Which halves are counted."""
    return ["looked at", "counted"] if sys.argv[1:] == ["all"] else ["looked at"]


def main() -> None:
    """Print what a study takes, then counts and disagreements a half."""
    if not DATA.is_dir():
        print(f"skipped: there are no real studies at {DATA}")
        return
    table = registered()
    points = table[["mni_x", "mni_y", "mni_z"]].to_numpy()
    regions = {
        "centroid": np.array([place_of(point).region for point in points]),
        "whole lesion": table["region"].to_numpy(str),
    }
    sides = np.where(points[:, 0] > 0, "right", "left")
    theirs = table["theirs"] != ""
    for name in halves():
        for words, rows in (
            ("all", table["half"] == name),
            ("without the data's", (table["half"] == name) & ~theirs),
        ):
            named = table["name_hemisphere"].isin(["left", "right"]) & rows
            print(f"{name}, {words}: side {counted(sides[named] == table.loc[named, 'name_hemisphere'])}")
            named = (table["name_region"] != "unknown") & rows
            for rule, region in regions.items():
                agree = counted(region[named] == table.loc[named, "name_region"])
                print(f"{name}, {words}: region by {rule} {agree}")
        for row, side, region in zip(table.itertuples(), sides, regions["whole lesion"], strict=True):
            wrong = row.name_hemisphere not in ("unknown", "midline", side)
            if row.half == name and (wrong or row.name_region not in ("unknown", region)):
                place = f"{side} {region} (MNI {row.mni_x:.0f} {row.mni_y:.0f} {row.mni_z:.0f})"
                print(f"  {row.lesion}: {place}. {row.theirs}")


def counted(agree: pd.Series) -> str:
    """How many agree, with Wilson's interval."""
    count, total = int(agree.sum()), len(agree)
    low, high = binomtest(count, total).proportion_ci(method="wilson")
    return f"{count} of {total}, {count / total:.1%} [{low:.1%}, {high:.1%}]"


if __name__ == "__main__":
    main()
