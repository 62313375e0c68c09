"""Radiomics of the shells around the lesions of a cohort."""

import numpy as np
import pandas as pd
from rich.console import Console

from bcbm.config.schema import Config
from bcbm.errors import Problem
from bcbm.features.radiomics import provenance
from bcbm.features.shells import SHELL_FEATURES, extract_shells, shell_columns, shell_names
from bcbm.preparation.reading import SurveyedCohort
from bcbm.preparation.studies import count_masks
from bcbm.system.files import write_whole
from bcbm.system.words import counted, listed
from bcbm.terminal.progress import progress_bar

SHOWN = 3  # lesions that a note names


def measured_shells(config: Config, cohort: SurveyedCohort, console: Console) -> np.ndarray:
    """The features of the K shells of every lesion of the table, (N, 93 K), NaN where there are none.

    They are written to `shells.parquet`; a note a shell says how many lesions lack it, and why.
    """
    table, edges = cohort.table, config.features.shells
    studies = cohort.drawn_studies(config.cohort.form)
    place = cohort.folder / "shells"
    with progress_bar(console, "extracting radiomics of shells", count_masks(studies), place) as advance:
        shells = extract_shells(studies, edges, place, config.prepared.jobs, advance)
    nothing = np.full((len(edges), len(SHELL_FEATURES)), np.nan)
    values = np.stack([shells.values.get(lesion, nothing).ravel() for lesion in table["lesion_id"]])
    written = pd.DataFrame(values, table["lesion_id"], shell_columns(edges))
    write_whole(cohort.folder / "shells.parquet", written.assign(**provenance()).to_parquet())
    for shell in shell_names(edges):
        unmeasured = [
            f"{lesion} ({reason})"
            for lesion in table.loc[~table["excluded"], "lesion_id"]
            if (reason := shells.missing.get(lesion, {}).get(shell, ""))
        ]
        if unmeasured:
            found = f"{counted(len(unmeasured), 'lesion')} without its features: {listed(unmeasured, SHOWN)}"
            problem = Problem(f"shell {shell} mm", found, "they count as missing", "shell without features")
            cohort.notes.append(problem)
    return values
