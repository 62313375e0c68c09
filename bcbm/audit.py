"""Say what is wrong with a cohort, on screen and as a page; changes nothing.

    python -m bcbm.audit cohort.root=DIR

Exit status: 0 clean, 1 findings, 2 unusable, 3 a fault of the program.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bcbm.terminal.words import say

if TYPE_CHECKING:
    from rich.console import Console

    from bcbm.config.schema import Config
    from bcbm.features.geometry import Form
    from bcbm.preparation.reading import SurveyedCohort

KEYS = ("cohort", "prepared", "features", "run")


def audit(config: "Config", console: "Console") -> int:
    """Inspect a cohort, write its page, `audit.json` and Table 1, return the exit status."""
    from bcbm.preparation.reading import disk_errors

    with disk_errors(config):
        return _audit(config, console)


def _audit(config: "Config", console: "Console") -> int:
    from bcbm.cohort.table import statuses_in_words
    from bcbm.preparation.audit import audit_content, same_settings
    from bcbm.preparation.prepare import report
    from bcbm.preparation.reading import read_cohort
    from bcbm.report.figures.audit import audit_figures
    from bcbm.report.pages.audit import write_page
    from bcbm.report.pages.overview import write_overview
    from bcbm.report.tables import cohort_in_words
    from bcbm.report.text_table import write_text_table
    from bcbm.system.files import free_folder, strict_json, write_whole
    from bcbm.terminal.progress import progress_bar

    cohort = read_cohort(config, console, volumes=True, register=True)
    content = audit_content(config, cohort)
    home = Path(config.run.root) / "audit" / cohort.content
    folder = free_folder(home, "audit.json", partial(same_settings, content))
    write_whole(folder / "audit.json", strict_json(content))
    with TemporaryDirectory() as drawings, progress_bar(console, "drawing the page"):
        brains = cohort.survey.brains if cohort.survey else None
        entering = cohort.table[~cohort.table["excluded"]]
        statuses = statuses_in_words(entering, cohort.download.targets)
        images, form = cohort.survey is not None, config.cohort.form
        figures = audit_figures(cohort.table, content["flow"], Path(drawings), statuses, images, form, brains)
        views = _views(cohort, form, Path(drawings)) if images else []
        write_page(content, figures, folder / "audit.html", views)
    write_text_table(cohort_in_words(content["table_one"]), folder / "table1")
    write_overview(Path(config.run.root))
    report(cohort.table, [], console)
    _print(content, console)
    say(console, f"pictures and every finding: {folder.absolute() / 'audit.html'}")
    return 1 if content["findings"] else 0


def _views(cohort: "SurveyedCohort", form: "Form", folder: Path) -> list[dict[str, str]]:
    """Studies in doubt and look-alikes of different patients, in their scans."""
    from bcbm.features.radiomics import FEATURES
    from bcbm.imaging.pictures import lesion_pictures
    from bcbm.imaging.views import doubt_views, pair_views
    from bcbm.report.pages.page import embedded
    from bcbm.report.pages.views import shown_views

    table, enters = cohort.table, ~cohort.table["excluded"].to_numpy()
    values = cohort.workbook.reindex(columns=list(FEATURES)).to_numpy(float)[enters]
    views = doubt_views(table) + pair_views(table[enters], values)
    files = lesion_pictures(table, Path(), form, [view.lesion_id for view in views], folder)
    pictures = {lesion: embedded(file.parent, file.name) for lesion, file in files.items()}
    return shown_views(views, pictures, table, {str(name): str(name) for name in table["patient_id"]})


def _print(content: dict, console: "Console") -> None:
    """The findings a kind with one example, and how coordinates and names agree."""
    from bcbm.report.pages.audit import group_findings
    from bcbm.system.words import counted

    groups = group_findings(content["findings"])
    for group in groups:
        example = group["rows"][0]
        say(console, f"{len(group['rows']):>5} {group['kind']}")
        say(console, f"      such as {example['where']}: {example['found']}")
    for part, counts in (content["agreement"] or {}).items():
        share = counts["agree"] / max(1, counts["of"])
        say(
            console,
            f"  {part}: coordinates agree with {counts['agree']} of {counts['of']} sure names, {share:.1%}",
        )
    total = len(content["findings"])
    counts = f"{counted(total, 'finding')} of {counted(len(groups), 'kind')}"
    verdict = f"[yellow]{counts}[/]" if total else "[green]clean[/]"
    console.print(f"audit: {verdict}")


def main() -> int:
    """Audit a cohort."""
    from bcbm.terminal.command import run_command

    return run_command(__doc__ or "", audit, KEYS, trains=False)


if __name__ == "__main__":
    raise SystemExit(main())
