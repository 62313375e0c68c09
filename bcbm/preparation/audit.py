"""What is wrong with a cohort, as the audit's page shows it and audit.json holds it."""

import hashlib
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from bcbm.cohort.findings import agreement, burden, findings
from bcbm.cohort.patient_labels import contradicted, converted
from bcbm.cohort.table import FLOW, flow, require_modalities, settle
from bcbm.config.schema import Config
from bcbm.errors import Problem
from bcbm.features.contradictions import contradictions
from bcbm.features.identities import identity_problems
from bcbm.features.radiomics import FEATURES
from bcbm.modalities import MODALITIES
from bcbm.modalities.base import LesionData
from bcbm.preparation.columns import RECORDS, telling_problems, tellings
from bcbm.preparation.orientation import orientation_problems
from bcbm.preparation.reading import SurveyedCohort
from bcbm.statistics.confounders import confounders
from bcbm.statistics.table_one import table_one
from bcbm.statistics.telling import Telling
from bcbm.system.files import read_json


def audit_content(config: Config, cohort: SurveyedCohort) -> dict:
    """All that the page shows and audit.json holds; files are named from the download's root on.

    The cohort's table is settled by it.
    """
    table = cohort.table
    require_modalities(table, _absent(config, cohort))
    targets = cohort.download.targets
    cohort.problems += settle(table, config.cohort.policy, cohort.survey)
    cohort.problems += contradicted(table, targets)
    cohort.notes += converted(table, targets, config.cohort.labels)
    related = confounders(table, targets)
    problems = [*cohort.problems, *cohort.notes, *findings(cohort.download, table), *_confounded(related)]
    if cohort.survey is not None:
        problems += orientation_problems(table, cohort.survey.brains)
        problems += contradictions(table, cohort.workbook, cohort.survey.masks)
    if config.cohort.root:  # radiomics of the embedded cohort may be drawn
        problems += identity_problems(cohort.workbook)
    problems += telling_problems(_tellings(config, cohort))
    return {**_content(cohort, problems, related), "settings": _settings(config)}


def same_settings(content: dict, path: Path) -> bool:
    """Whether an `audit.json` is of the settings that an audit is of; those of before name none."""
    other = read_json(path, f"remove {path.parent}")
    return other.get("settings", content["settings"]) == content["settings"]


def _settings(config: Config) -> str:
    """A sum of what decides, besides the content of a cohort, what is found in it."""
    cohort = replace(config.cohort, root=None)  # it may be moved
    return hashlib.sha256(repr((cohort, config.features, config.task)).encode()).hexdigest()[:8]


def _content(cohort: SurveyedCohort, problems: list[Problem], related: list[dict]) -> dict:
    """What there is of it but the settings."""
    table, root = cohort.table, f"{cohort.download.root}/"
    steps = [dict(zip(FLOW, step, strict=True)) for step in flow(table)]
    return {
        "cohort": {
            "name": cohort.download.root.name,
            "content": cohort.content,
            "images": cohort.download.has_images,
        },
        "status": "findings" if problems else "clean",
        "counts": {name: steps[0][name] for name in FLOW[1:]},
        "flow": steps,
        "findings": [
            {name: text.replace(root, "") for name, text in asdict(problem).items()} for problem in problems
        ],
        "agreement": agreement(table),
        "confounders": related,
        "burden": burden(table),
        "table_one": table_one(table[~table["excluded"]], cohort.download.targets),
    }


def _absent(config: Config, cohort: SurveyedCohort) -> list[pd.Series]:
    """Why lesions lack a modality that this cohort can give without an extraction, by modality."""
    values = {} if cohort.extract else {"radiomics": cohort.workbook.to_numpy(float)}
    available = {*values, *(["crops"] if cohort.download.has_images else [])}
    modalities = [MODALITIES[name] for name in MODALITIES if name in config.task.modalities]
    data = LesionData(cohort.table, values, config)
    reasons = [modality.absent(data) for modality in modalities if available.issuperset(modality.needs)]
    return [reason.mask(cohort.changed & (reason == "no radiomics"), "") for reason in reasons]


def _tellings(config: Config, cohort: SurveyedCohort) -> list[Telling]:
    """Of every column that the tables of this cohort give, over the lesions that enter."""
    enters = ~cohort.table["excluded"].to_numpy()
    values = {"radiomics": cohort.workbook.reindex(columns=list(FEATURES)).to_numpy(float)[enters]}
    data = LesionData(cohort.table[enters].reset_index(drop=True), values, config)
    return tellings(data, ["radiomics", "position", *RECORDS], cohort.download.targets)


def _confounded(related: list[dict]) -> list[Problem]:
    return [
        Problem(
            f"{row['column']} and {row['target']}",
            f"{row['test']} {row['effect']:.2f} over {row['patients']} patients, q = {row['q']:.3f}",
            "compare any model with one that sees the acquisition only",
            "acquisition predicts the label",
        )
        for row in related
        if row["q"] < 0.05
    ]
