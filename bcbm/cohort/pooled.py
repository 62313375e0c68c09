"""Several cohorts as one, each a site whose patients are its own."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pandas as pd

from bcbm.cohort.download import Download
from bcbm.cohort.patients import in_common
from bcbm.cohort.spelling import folded
from bcbm.errors import Problem
from bcbm.system.words import counted


def site_names(roots: list[Path]) -> list[str]:
    """What each site is called: the name of its folder, numbered where two have one."""
    names = [root.stem if root.is_file() else root.name for root in map(Path.absolute, roots)]
    return [
        f"{name}{names[: place + 1].count(name)}" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def of_site(site: str, problem: Problem) -> Problem:
    """A problem of one of several sites, whose tables may bear one name."""
    return problem if site in problem.where else replace(problem, where=f"{site}: {problem.where}")


def pooled(sites: Mapping[str, Download]) -> Download:
    """One download of several: patients and studies carry the name of their site, as does the column site.

    Args:
        sites: the downloads by the names of their sites; a study whose own table names a site keeps that.
    """
    problems = [
        *_patients_of_several(sites),
        *_sites_of_several(sites),
        *(
            of_site(site, problem) if problem.where.startswith(part.clinical) else problem
            for site, part in sites.items()
            for problem in part.problems
        ),
    ]
    segmentations, studies = [], []
    for site, download in sites.items():
        rows = download.segmentations.copy()
        rows["study_id"] = f"{site}-" + rows["study_id"]
        segmentations.append(rows)
        cases = download.studies.copy()
        for name in ("study_id", "patient_id"):
            cases[name] = f"{site}-" + cases[name].astype(str)
        own = cases["site"] if "site" in cases else pd.Series("", index=cases.index)
        cases["site"] = own.where(own != "", site)
        studies.append(cases)
    parts = list(sites.values())
    targets = list(dict.fromkeys(target for part in parts for target in part.targets))
    joined = pd.concat(studies, ignore_index=True)
    texts = joined.select_dtypes(exclude="number").columns
    joined[texts] = joined[texts].fillna("")
    rows = pd.concat(segmentations, ignore_index=True)
    paths = rows.columns[rows.columns.str.startswith(("image_", "mask_path"))]
    rows[paths] = rows[paths].fillna("")
    if "mask_value" in rows:
        rows["mask_value"] = rows["mask_value"].fillna(0).astype(int)
    return Download(
        root=Path(os.path.commonpath([part.root.absolute() for part in parts])),
        clinical=" and ".join(dict.fromkeys(part.clinical for part in parts)),
        images=parts[0].images,
        has_images=any(part.has_images for part in parts),
        segmentations=rows,
        features=pd.concat([part.features for part in parts], ignore_index=True),
        studies=joined,
        targets=targets,
        problems=problems,
        disagreements=[problem for part in parts for problem in part.disagreements],
        odd_cells=[
            replace(cell, table=f"{site}: {cell.table}")
            for site, part in sites.items()
            for cell in part.odd_cells
        ],
        citation=" ".join(dict.fromkeys(part.citation for part in parts if part.citation)),
        label_readings=[reading for part in parts for reading in part.label_readings],
    )


def unlabelled(sites: Mapping[str, Download], targets: Sequence[str]) -> list[Problem]:
    """The targets that a site has no labels of, and another has.

    Args:
        sites: the downloads by the names of their sites.
        targets: those to predict.
    """
    remedy = "they count as missing; if it has them, call their column as the others do"
    return [
        Problem(site, f"has no labels of {target}, which other sites have", remedy, "site without labels")
        for target in targets
        for site, download in sites.items()
        if target not in download.studies and any(target in part.studies for part in sites.values())
    ]


def _patients_of_several(sites: Mapping[str, Download]) -> Iterator[Problem]:
    """Pairs of sites at which ids of patients agree, up to how they are spelt."""
    ids = {site: download.studies["patient_id"] for site, download in sites.items()}
    for first, second in combinations(ids, 2):
        if common := in_common(ids[second], ids[first]):
            count = counted(len(common), "patient")
            found = f"have ids in common, of {count}, such as {common[0]}: they count as others at each"
            remedy = "if these are the same people, make one cohort of both"
            yield Problem(f"{first} and {second}", found, remedy, "patients of two sites")


def _sites_of_several(sites: Mapping[str, Download]) -> Iterator[Problem]:
    """Pairs of cohorts whose tables name a site alike, or one of which names it as the other is called."""
    names = {
        site: {*map(folded, {site, *download.studies.get("site", pd.Series(dtype=str))})} - {""}
        for site, download in sites.items()
    }
    for first, second in combinations(names, 2):
        if common := sorted(names[first] & names[second]):
            found = f"name a site alike: {', '.join(common)}; it counts as one"
            remedy = "if these are several hospitals, write names that tell them apart into the column site"
            yield Problem(f"{first} and {second}", found, remedy, "one site of two cohorts")
