"""A validation as one page: the headline first, the rest folded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bcbm.imaging.views import drawn_views
from bcbm.report.figures.errors import pseudonyms, with_lesions
from bcbm.report.figures.points import with_primary
from bcbm.report.figures.run import decision_figure, reliability_figure
from bcbm.report.pages.page import embedded, write_html
from bcbm.report.pages.subgroups import subgroup_content
from bcbm.report.pages.views import shown_views
from bcbm.report.words import REFITTED, number
from bcbm.statistics import beside_auroc
from bcbm.statistics.external import ExternalResults
from bcbm.statistics.results import Results
from bcbm.system.words import listed
from bcbm.validation.checklist import filled_checklist
from bcbm.validation.cohorts import FrozenCohort
from bcbm.validation.figures import forest_figure

if TYPE_CHECKING:
    from bcbm.validation.validate import Validation

SURE = 0.05  # false discovery rate under which a target counts as predicted
SHIFTED = 0.5  # standardised difference that counts as a shift of an input
FEATURES = 10  # most shifted ones that are listed


def write_page(path: Path, validation: "Validation", cohorts: Sequence[FrozenCohort]) -> Path:
    """Write the page, and its figures into `figures/` beside it; returns the page.

    Args:
        path: the HTML file.
        validation: of these cohorts.
        cohorts: whose predictions the curves are of.
    """
    folder = path.parent / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    forest_figure(validation, folder / "forest.png")
    shown = []
    for place, (block, cohort) in enumerate(zip(validation["cohorts"], cohorts, strict=True)):
        known = known_targets(block["results"])
        tests = block["results"]["subgroups"]
        shown.append(
            {
                **block,
                "known": known,
                "curves": _curves(folder, place, validation, cohort) if known else {},
                "subgroups": subgroup_content(tests, known) if tests else None,
                "views": _views(folder / f"views-{place}", cohort),
                "shifted": shifted(block["shift"]["radiomics"]),
            }
        )
    write_html(
        "validation.html.j2",
        path,
        validation=validation,
        cohorts=shown,
        beside=beside_auroc("patient"),
        verdict=verdict(validation),
        leak=leak(validation),
        forest=embedded(folder, "forest.png"),
        checklist=filled_checklist(validation, cohorts),
        features=FEATURES,
        refitted=REFITTED if validation["refitted"] else "",
    )
    return path


def leak(validation: "Validation") -> str:
    """Why a validation is LEAKY, in words."""
    if validation["held_out"]:
        return "sites share lesions, or copies of lesions"
    return "the model was exported from a LEAKY run"


def known_targets(results: ExternalResults) -> list[str]:
    """Targets that have figures."""
    return [target for target, block in results["receptors"].items() if "patient" in block]


def below_chance(results: ExternalResults) -> list[str]:
    """Targets whose AUROC has an interval below 0.5: their labels may say positive of what is negative."""
    blocks = results["receptors"]
    return [name for name in known_targets(results) if blocks[name]["patient"]["auroc_high"] < 0.5]


def verdict(validation: "Validation") -> tuple[str, str]:
    """The result in a line, and its kind: clean, warn or leaky."""
    if validation["leaky"]:
        return f"LEAKY: {leak(validation)}. No figure here is a result.", "leaky"
    parts, held = [], False
    for cohort in validation["cohorts"]:
        blocks = {name: cohort["results"]["receptors"][name] for name in known_targets(cohort["results"])}
        above = [
            name
            for name, block in blocks.items()
            if block["patient"]["auroc"] > 0.5 and block["patient"]["q"] < SURE
        ]
        words = f"better than chance for {listed(above)}" if above else "not shown to be better than chance"
        if below := below_chance(cohort["results"]):
            words += f", below chance for {listed(below)}: are its labels exchanged?"
        parts.append(f"{cohort['name']}: {words if blocks else 'no figure'}")
        held |= bool(above)
    return "; ".join(parts), "clean" if held else "warn"


def shifted(radiomics: Sequence[Mapping[str, Any]]) -> str:
    """How many features have shifted, in words; empty where none is read."""
    if not radiomics:
        return ""
    moved = [row for row in radiomics if abs(row["difference"]) >= SHIFTED]
    text = f"{len(moved)} of {len(radiomics)} radiomics features are shifted by {SHIFTED:g} or more"
    return f"{text}, most {radiomics[0]['feature']} ({number(radiomics[0]['difference'])})"


def _views(folder: Path, cohort: FrozenCohort) -> list[dict[str, str]]:
    """Lesions worth a look, where the images were read; patients under pseudonyms."""
    lesions = cohort.lesions
    rows = with_lesions(cohort.predictions, lesions.entering)
    views, files = drawn_views(rows, lesions, cohort.config.cohort.form, folder)
    pictures = {lesion: embedded(folder, file.name) for lesion, file in files.items()}
    patients = pseudonyms(lesions.table["patient_id"], lesions.cohort)
    return shown_views(views, pictures, lesions.table, patients, rows)


def _curves(folder: Path, place: int, validation: "Validation", cohort: FrozenCohort) -> dict[str, str]:
    """Calibration and decision curves, as addresses that hold them."""
    results, split = validation["cohorts"][place]["results"], {"unit": validation["unit"]}
    blocks = {target: results["receptors"][target] for target in known_targets(results)}
    drawn = cast(Results, {"receptors": blocks, "leaky": validation["leaky"], "split": split})
    predictions = with_primary(cohort.predictions, cohort.lesions.entering)
    pictures = {}
    for name, draw in {"calibration": reliability_figure, "decision": decision_figure}.items():
        file = f"{name}-{place}.png"
        draw(predictions, drawn, folder / file)
        pictures[name] = embedded(folder, file)
    return pictures
