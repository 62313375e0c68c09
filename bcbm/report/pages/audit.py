"""The audit as one page that needs nothing else: pictures inside, no script, no network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bcbm.report.figures.registered import MOST
from bcbm.report.pages.page import embedded, write_html
from bcbm.report.tables import cohort_in_words

SHOWN = 20  # rows of a long table that are open at once
MARKED = 0.05  # false discovery rate of the marked confounders
FEW_LEVELS = 4  # kinds of a column that need no unfolding
CAPTIONS = {
    "burden": "A figure pooled over lesions is a figure of the patients on the left; that is why patients, "
    "not lesions, are split and counted.",
    "volumes": "Volumes of all segmentations by category. Under 10 mm³ a lesion is a handful of voxels, too "
    "few for a shape or a texture; under 100 mm³ most of a crop is surroundings.",
    "places": "Where the lesions that enter lie, by region.",
    "examples": "Slices with the outline of the mask. Look for outlines beside the lesion, mirrored, or on "
    "another structure.",
    "registered": f"At most {MOST} registered studies, those in doubt first (red), then those whose brain "
    "overlaps the template's least. The line is the template's brain; the patient's left is on the right.",
}


def write_page(
    audit: dict[str, Any], figures: dict[str, Path], path: Path, views: Sequence[Mapping[str, str]] = ()
) -> None:
    """Write the page of an audit, whole or not at all.

    Args:
        audit: the content of `audit.json`.
        figures: PNG files by name, of flow, burden, volumes, places, registered and examples; others are
            ignored.
        path: the HTML file to write; its folder is made.
        views: lesions worth a look, see `shown_views`.
    """
    write_html(
        "audit_page.html.j2",
        path,
        audit=audit,
        views=views,
        patients=cohort_in_words(audit["table_one"]) if "table_one" in audit else None,
        groups=group_findings(audit["findings"]),
        marked=sum(test["q"] < MARKED for test in audit["confounders"]),
        pictures={name: embedded(file.parent, file.name) for name, file in figures.items()},
        captions={name: text for name, text in CAPTIONS.items() if name in figures},
        shown=SHOWN,
        limit=MARKED,
        few_levels=FEW_LEVELS,
    )


def group_findings(findings: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Findings by kind, the largest group first: kind, rows, and the remedy where all rows share it."""
    kinds: dict[str, list[dict[str, str]]] = {}
    for finding in findings:
        kinds.setdefault(finding["kind"], []).append(finding)
    groups = []
    for kind, rows in sorted(kinds.items(), key=lambda item: -len(item[1])):
        remedies = {row["remedy"] for row in rows}
        groups.append({"kind": kind, "rows": rows, "remedy": remedies.pop() if len(remedies) == 1 else ""})
    return groups
