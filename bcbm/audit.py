"""`python -m bcbm.audit cohort.root=DIR`: what is wrong with a cohort; changes nothing.

Exit status: 0 clean, 1 findings, 2 unusable.
"""

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bcbm.cohort.findings import agreement, burden, findings
from bcbm.cohort.table import FLOW, flow, require_modalities, settle
from bcbm.config.schema import Config
from bcbm.errors import Problem
from bcbm.features.crops import CropSettings, crop, normalised
from bcbm.features.volumes import read_mask, read_volume
from bcbm.preparation.prepare import report
from bcbm.preparation.reading import Cohort, disk_errors, read_cohort
from bcbm.system.files import write_whole

EXAMPLES = 4  # pictures of each category
EXAMPLE_CROP = CropSettings(size=48, spacing=1.0)


def audit(config: Config, console: Console) -> int:
    """Inspect a cohort, write `<run.root>/audit/<content>/audit.{html,json}`, return the exit status."""
    with disk_errors(config):
        return _audit(config, console)


def _audit(config: Config, console: Console) -> int:
    from bcbm.report.pages.audit import write_page
    from bcbm.statistics.confounders import confounders

    cohort = read_cohort(config, console, volumes=True, register=True)
    table = cohort.table
    require_modalities(table, cohort.workbook, _needed(config, cohort))
    cohort.problems += settle(table, config.cohort.policy, cohort.survey)
    related = confounders(table)
    found = [*cohort.problems, *findings(cohort.download, table), *_confounded(related)]
    content = _content(cohort, found, related)
    folder = Path(config.run.root) / "audit" / cohort.content
    write_whole(folder / "audit.json", json.dumps(content, indent=1, ensure_ascii=False).encode())
    with TemporaryDirectory() as drawings, console.status("drawing the page"):
        write_page(content, _figures(cohort, content, Path(drawings)), folder / "audit.html")
    report(table, [], console)
    _print(content, console)
    console.print(
        f"pictures and every finding: {folder / 'audit.html'}", highlight=False, markup=False, soft_wrap=True
    )
    return 1 if found else 0


def _content(cohort: Cohort, found: list[Problem], related: list[dict]) -> dict:
    """All that the page shows and audit.json holds; files are named from the download's root on."""
    table, root = cohort.table, f"{cohort.download.root}/"
    steps = [dict(zip(FLOW, step, strict=True)) for step in flow(table)]
    return {
        "cohort": {
            "name": cohort.download.root.name,
            "content": cohort.content,
            "images": cohort.download.has_images,
        },
        "status": "findings" if found else "clean",
        "counts": {name: steps[0][name] for name in FLOW[1:]},
        "flow": steps,
        "findings": [{**asdict(one), "where": one.where.removeprefix(root)} for one in found],
        "agreement": agreement(table),
        "confounders": related,
        "burden": burden(table),
    }


def _needed(config: Config, cohort: Cohort) -> set[str]:
    """The modalities whose files or rows a lesion must have here: an extraction needs no workbook."""
    there = {"image"} if cohort.download.has_images else set()
    there |= {"radiomics"} if config.features.radiomics == "workbook" else set()
    return there & set(config.task.modalities)


def _confounded(related: list[dict]) -> list[Problem]:
    return [
        Problem(
            f"{row['column']} and {row['target']}",
            f"{row['test']} {row['effect']:.2f} over {row['patients']} patients, q = {row['q']:.3f}",
            "compare any model with one that sees the acquisition only",
            "acquisition tells the label",
        )
        for row in related
        if row["q"] < 0.05
    ]


def _figures(cohort: Cohort, content: dict, folder: Path) -> dict[str, Path]:
    from bcbm.report.figures import cohort as draw

    figures = {name: folder / f"{name}.png" for name in ("flow", "burden", "volumes", "places")}
    draw.flow_figure(content["flow"], figures["flow"])
    draw.burden_figure(cohort.table, figures["burden"])
    draw.volumes_figure(cohort.table, figures["volumes"])
    draw.places_figure(cohort.table, figures["places"])
    if cohort.survey is not None and (examples := _examples(cohort.table)):
        figures["examples"] = folder / "examples.png"
        draw.examples_figure(examples, figures["examples"])
    return figures


def _examples(table: pd.DataFrame) -> dict[str, list[tuple[str, np.ndarray, np.ndarray]]]:
    """The middle slice of some crops of each category: title, image and mask (S, S); a study is read once."""
    drawn = table[(table["voxels"] > 0) & (table["image_path"] != "")]
    chosen = drawn.groupby("category").sample(n=EXAMPLES, random_state=0, replace=True).drop_duplicates()
    result: dict[str, list[tuple[str, np.ndarray, np.ndarray]]] = {}
    for path, lesions in chosen.groupby("image_path"):
        image = read_volume(Path(str(path)))
        scaled = normalised(image, "zscore")
        for row in lesions.itertuples():
            mask = read_mask(Path(str(row.mask_path)), image)
            both = crop(scaled, mask, EXAMPLE_CROP)[:, EXAMPLE_CROP.size // 2]
            result.setdefault(str(row.category), []).append((str(row.lesion_id), both[0], both[1]))
    return {category: result[category] for category in sorted(result)}


def _print(content: dict, console: Console) -> None:
    """The findings a kind with one example, and how coordinates and names agree."""
    from bcbm.report.pages.audit import group_findings

    groups = group_findings(content["findings"])
    table = Table("finding", "count", "for example", box=None, title_justify="left")
    for group in groups:
        one = group["rows"][0]
        table.add_row(group["kind"], str(len(group["rows"])), escape(f"{one['where']}: {one['found']}"))
    console.print(table)
    for part, counts in (content["agreement"] or {}).items():
        share = counts["agree"] / max(1, counts["of"])
        console.print(
            f"  {part}: coordinates agree with {counts['agree']} of {counts['of']} sure names, {share:.1%}",
            highlight=False,
        )
    total = len(content["findings"])
    verdict = f"[yellow]{total} findings of {len(groups)} kinds[/]" if total else "[green]clean[/]"
    console.print(f"audit: {verdict}", highlight=False)


def main() -> int:
    """Audit a cohort."""
    from bcbm.terminal.command import run_command

    return run_command(__doc__ or "", audit, trains=False)


if __name__ == "__main__":
    raise SystemExit(main())
