"""Pictures of a cohort: who enters, who owns the table, how large, where, and what it looks like."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.report.figures.saving import save_png
from bcbm.system.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Example = tuple[str, npt.NDArray[Any], npt.NDArray[Any]]  # title, image (S, S), mask (S, S)

ENTERS, OUT, QUIET, OUTLINE = "#1f4e79", "#c9ced6", "#5b626c", "#ffd23f"
CATEGORIES = {
    "lesion": "#1f4e79",
    "target": "#4f9bd0",
    "retreatment": "#79706e",
    "margin": "#e0a030",
    "cavity": "#b5549b",
    "structure": "#4d9a6a",
    "other": "#8a8f96",
}
REGIONS = {
    "frontal": "#1f77b4",
    "parietal": "#e0861a",
    "temporal": "#2f9e5f",
    "occipital": "#c8102e",
    "cerebellum": "#8a5cc2",
    "brainstem": "#8c5a3c",
    "deep": "#d65fa8",
    "unknown": "#8a8f96",
}
HEMISPHERES = {"left": "#1f4e79", "right": "#7fb2d9", "midline": "#e0a030", "unknown": "#c9ced6"}
FEW, SOME = 10, 100  # mm3: about the fewest voxels that have a shape, and a cube of under 5 mm
WIDTH = 8.6  # inches
DPI = 150


def flow_figure(flow: list[dict[str, Any]], path: Path, statuses: Sequence[Sequence[str]] = ()) -> None:
    """Write the flow diagram of a page as a PNG; arguments as of `draw_flow`."""
    _save(draw_flow(flow, statuses, WIDTH, 9.5), path)


def draw_flow(
    flow: list[dict[str, Any]], statuses: Sequence[Sequence[str]], width: float, size: float
) -> Figure:
    """The way from the download to the analysis as boxes; what leaves it stands to the right.

    In the form that STARD (Bossuyt et al., BMJ 351:h5527, 2015) and TRIPOD ask for: what was found, what was
    left out and why, what was analysed, and how it parts by the reference standard.

    Args:
        flow: {step, patients, studies, lesions} a step, as `audit.json` has it.
        statuses: of each target its name and its patients by status, a line each; a box each at the bottom.
        width: of the figure, inches.
        size: of the letters, points.
    """
    from matplotlib.figure import Figure

    line, gap, inner = 1.8 * size / 72, 2 * size / 72, 1.7 * size / 72  # inches
    trunk, branch = (0.02 * width, 0.47 * width), (0.53 * width, 0.45 * width)
    below = (width * 0.96 + gap) / max(1, len(statuses)) - gap
    out = [step["step"].startswith("excluded: ") for step in flow]
    boxes = [
        _lines(
            [step["step"].removeprefix("excluded: "), _counts(step)], branch[1] if leaves else trunk[1], size
        )
        for step, leaves in zip(flow, out, strict=True)
    ]
    last = [_lines(texts, below, size) for texts in statuses]
    heights = [len(lines) * line + inner for lines in boxes]
    deepest = max((len(lines) for lines in last), default=0) * line + inner
    total = sum(heights) + gap * len(flow) + (deepest + gap if last else 0)
    figure = Figure(figsize=(width, total), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, width), ylim=(total, 0))
    axes.axis("off")
    middle = trunk[0] + trunk[1] / 2
    top, above = gap / 2, 0.0
    arrow = {"arrowstyle": "->", "color": QUIET, "linewidth": size / 10}
    for lines, height, leaves in zip(boxes, heights, out, strict=True):
        centre = top + height / 2
        if leaves:
            axes.annotate("", (branch[0], centre), (middle, centre), arrowprops=arrow)
            _box(axes, (branch[0], top, branch[1], height), lines, size, edge=OUT, face="#f6f7f9")
        else:
            if above:
                axes.annotate("", (middle, top), (middle, above), arrowprops=arrow)
            _box(axes, (trunk[0], top, trunk[1], height), lines, size, edge=ENTERS, face="#e8f0f8")
            above = top + height
        top += height + gap
    fork: dict[str, Any] = {"color": QUIET, "linewidth": size / 10}
    lefts = [trunk[0] + place * (below + gap) for place in range(len(last))]
    if last:
        ends = [lefts[0] + below / 2, middle, lefts[-1] + below / 2]
        axes.plot([middle, middle], [above, top - gap / 2], **fork)
        axes.plot([min(ends), max(ends)], [top - gap / 2] * 2, **fork)
    for left, lines in zip(lefts, last, strict=True):
        axes.annotate("", (left + below / 2, top), (left + below / 2, top - gap / 2), arrowprops=arrow)
        _box(axes, (left, top, below, deepest), lines, size, edge=ENTERS, face="#ffffff")
    return figure


def burden_figure(table: pd.DataFrame, path: Path) -> None:
    """Write the number of lesions a patient, the largest first; the part that enters is coloured.

    Both bars of a patient start at the axis, so that each can be read where it is logarithmic.
    """
    segmented = table.groupby("patient_id").size().sort_values(ascending=False, kind="stable")
    enters = table[~table["excluded"].astype(bool)].groupby("patient_id").size()
    enters = enters.reindex(segmented.index, fill_value=0)
    figure, axes = _canvas(3.6)
    rank = np.arange(1, len(segmented) + 1)
    axes.bar(rank, segmented, width=0.9, color=OUT, label="found")
    axes.bar(rank, enters, width=0.9, color=ENTERS, label="enters")
    if len(segmented) and segmented.max() > 20 * segmented.median():
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)
        axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="patients, the largest first", ylabel="lesions", xlim=(0.2, len(segmented) + 0.8))
    if enters.sum():
        shares = enters.sort_values(ascending=False).cumsum() / enters.sum()
        owners = int((shares < 0.5).sum()) + 1
        owner_text = f"{owners} of {(enters > 0).sum()} patients"
        text = f"half of the {enters.sum():,} lesions that enter belong to {owner_text}"
        axes.set_title(text, loc="left", fontsize=10, color=QUIET)
    axes.legend(frameon=False, fontsize=9)
    _finish(axes)
    _save(figure, path)


def volumes_figure(table: pd.DataFrame, path: Path) -> None:
    """Write a histogram of all volumes, in mm3 on a logarithmic axis, stacked by category."""
    known = table[table["volume"] > 0]
    figure, axes = _canvas(3.6)
    if known.empty:
        return _nothing(figure, axes, "no volume is known", path)
    low, high = np.log10(min(known["volume"].min(), FEW)), np.log10(max(known["volume"].max(), SOME))
    edges = np.logspace(np.floor(low * 10) / 10, np.ceil(high * 10) / 10 + 0.1, 45)
    names = [name for name in CATEGORIES if (known["category"] == name).any()]
    parts = [known.loc[known["category"] == name, "volume"] for name in names]
    labels = [f"{name} ({len(part):,})" for name, part in zip(names, parts, strict=True)]
    colors = [CATEGORIES[name] for name in names]
    axes.hist(parts, list(edges), stacked=True, color=colors, label=labels, edgecolor="white", linewidth=0.3)
    for mark in (FEW, SOME):
        below = (known["volume"] < mark).mean()
        axes.axvline(mark, color="#222222", linewidth=1, linestyle=(0, (4, 3)))
        above = axes.get_xaxis_transform()
        note = axes.text(mark, 1.01, f"{below:.0%} under {mark} mm³ ", transform=above)
        note.set(ha="right", va="bottom", fontsize=8.5, color=QUIET)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.10g}")
    axes.set(xlabel="volume, mm³", ylabel="segmentations, excluded ones too")
    axes.legend(frameon=False, fontsize=9)
    _finish(axes)
    _save(figure, path)


def places_figure(table: pd.DataFrame, path: Path) -> None:
    """Write where the lesions that enter lie: on a glass brain, or, without MNI coordinates, as bars."""
    enters = table[~table["excluded"].astype(bool)]
    coordinates = ["mni_x", "mni_y", "mni_z"]
    if set(coordinates) <= set(enters.columns) and enters[coordinates].notna().all(axis=1).any():
        _glass_brain(enters.dropna(subset=coordinates), coordinates, len(enters), path)
    else:
        _region_bars(enters, path)


def examples_figure(examples: dict[str, list[Example]], path: Path) -> None:
    """Write a grid of slices, one row a category, each with the outline of its mask.

    Args:
        examples: category -> (title, image (S, S), mask (S, S)), first axis downwards, one pixel size.
        path: the PNG to write.
    """
    rows = {category: slices for category, slices in examples.items() if slices}
    if not rows:
        return _nothing(*_canvas(1.2), "no example to show", path)
    from matplotlib.figure import Figure

    columns = max(4, max(map(len, rows.values())))  # few examples stay small
    side = WIDTH / columns
    figure = Figure(figsize=(WIDTH, len(rows) * (side + 0.25)), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, (category, slices) in zip(grid, rows.items(), strict=True):
        for axes in line:
            axes.axis("off")
        for axes, (title, image, mask) in zip(line, slices, strict=False):
            _slice(axes, image, mask)
            axes.set_title(_wrapped(title, int(side * 16)), fontsize=7.5, color=QUIET, parse_math=False)
        name = line[0].text(-0.04, 0.5, category, transform=line[0].transAxes, rotation=90)
        name.set(ha="right", va="center", fontsize=10, fontweight="bold")
        name.set_color(CATEGORIES.get(category, QUIET))
    _save(figure, path)


def _glass_brain(rows: pd.DataFrame, coordinates: list[str], total: int, path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from nilearn.plotting import plot_glass_brain  # seconds to import

    height = 3.9
    figure = Figure(figsize=(WIDTH, height))
    brain = plot_glass_brain(None, display_mode="ortho", figure=figure, axes=(0, 0.14, 1, 0.78))
    rows = rows.sample(frac=1, random_state=0)  # no region lies on top of all others
    colors = [REGIONS.get(region, REGIONS["unknown"]) for region in rows["region"]]
    size = float(np.clip(4000 / len(rows), 5, 30))
    brain.add_markers(rows[coordinates].to_numpy(float), colors, size, alpha=0.65, linewidths=0)
    present = rows["region"].value_counts()
    handles = [
        Line2D([], [], marker="o", linestyle="", color=color, label=f"{name} ({present[name]:,})")
        for name, color in REGIONS.items()
        if name in present
    ]
    figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False, fontsize=9, handletextpad=0.1)
    text = f"{len(rows):,} of {total:,} lesions that enter, in MNI space"
    figure.text(0.01, 0.97, text, fontsize=10, color=QUIET, va="top")
    _save(figure, path)


def _region_bars(rows: pd.DataFrame, path: Path) -> None:
    figure, axes = _canvas(3.3)
    counts = pd.crosstab(rows["region"], rows["hemisphere"])
    counts = counts.reindex(index=list(REGIONS), columns=list(HEMISPHERES), fill_value=0)
    start = np.zeros(len(counts))
    for hemisphere, color in HEMISPHERES.items():
        part = counts[hemisphere].to_numpy(float)
        label = f"{hemisphere} ({part.sum():,.0f})"
        axes.barh(list(counts.index), part, left=start, color=color, label=label, height=0.75)
        start += part
    for row, count in enumerate(start):
        axes.text(count, row, f" {count:,.0f}", va="center", fontsize=8.5, color=QUIET)
    axes.invert_yaxis()
    axes.set(xlabel="lesions that enter")
    axes.margins(x=0.08)
    axes.legend(frameon=False, fontsize=9)
    _finish(axes)
    _save(figure, path)


def _slice(axes: Axes, image: npt.NDArray[Any], mask: npt.NDArray[Any]) -> None:
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, [1, 99.5]) if finite.size else (0.0, 1.0)
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")
    inside = mask > 0
    if inside.any() and not inside.all():
        axes.contour(inside.astype(float), [0.5], colors=OUTLINE, linewidths=1.1)


def _wrapped(title: str, width: int) -> str:
    """A lesion id in lines of at most `width` characters, broken after the study first."""
    parts = title.replace("/", "/\n").split("\n")
    return "\n".join(line for part in parts for line in textwrap.wrap(part, width, break_on_hyphens=False))


def _counts(step: dict[str, Any]) -> str:
    units = {"patients": "patient", "studies": "study", "lesions": "lesion"}
    return ", ".join(counted(step[plural], singular, plural) for plural, singular in units.items())


def _lines(texts: Sequence[str], width: float, size: float) -> list[str]:
    """Texts in lines that a box of so many inches holds, its letters of so many points."""
    letters = int(width * 72 / size / 0.58)
    return [line for text in texts for line in textwrap.wrap(text, letters)]


def _box(
    axes: Axes,
    at: tuple[float, float, float, float],
    lines: Sequence[str],
    size: float,
    *,
    edge: str,
    face: str,
) -> None:
    from matplotlib.patches import FancyBboxPatch

    left, top, width, height = at
    style = "round,pad=0,rounding_size=0.06"
    patch = FancyBboxPatch((left, top), width, height, boxstyle=style, edgecolor=edge, facecolor=face)
    axes.add_patch(patch)
    words = axes.text(left + width / 2, top + height / 2, "\n".join(lines), parse_math=False)
    words.set(ha="center", va="center", fontsize=size, linespacing=1.5)


def _canvas(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _finish(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)


def _nothing(figure: Figure, axes: Axes, text: str, path: Path) -> None:
    axes.axis("off")
    axes.text(0.5, 0.5, text, ha="center", va="center", color=QUIET)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    save_png(figure, path, dpi=DPI)
