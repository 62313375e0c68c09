"""The page of `bcbm ingest`: a picture of every study, and what was refused and why."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bcbm.report.pages.page import embedded, write_html


def write_page(
    path: Path,
    records: Sequence[Mapping[str, Any]],
    refused: Sequence[tuple[str, str]],
    folders: Mapping[str, Path],
    series: Mapping[str, str],
    faces: str,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the HTML file.
        records: of the studies that were taken.
        refused: what was not, or is in doubt, and why.
        folders: of the studies, each with `<study>.png`.
        series: what was taken of a study, in words; of earlier exports nothing is known.
        faces: a warning that faces can be seen; "" where they cannot.
    """
    pictures = {study: embedded(folder, f"{study}.png") for study, folder in folders.items()}
    write_html(
        "ingest.html.j2",
        path,
        records=records,
        refused=refused,
        pictures=pictures,
        series={record["study"]: series.get(record["study"], "") for record in records},
        faces=faces,
        patients=len({record["study"].partition("-")[0] for record in records}),
        lesions=sum(len(record["lesions"]) for record in records),
    )
