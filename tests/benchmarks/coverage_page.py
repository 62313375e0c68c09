"""The table of `coverage.py` as `docs/explanation/coverage.md`."""

from pathlib import Path

import pandas as pd

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "coverage.md"


def in_words(row: dict) -> str:
    """A cell, as `100 patients, no signal, prevalence 0.3, 3 x 5 folds`."""
    parts = [
        f"{row['patients']} patients",
        "no signal" if row["about"] == 0.5 else f"AUROC {row['about']}",
        f"prevalence {row['prevalence']}",
        f"{row['repeats']} x {row['folds']} folds" if row["repeats"] > 1 else "",
        "lesions as in the real table" if row["clustered"] else "",
        "forest" if row["model"] == "forest" else "",
    ]
    return ", ".join(part for part in parts if part)


def markdown(cells: list[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def write_page(table: pd.DataFrame) -> None:
    """The table as Markdown: a line a cell, coverage (width) a method."""
    cells = table.assign(
        cell=[in_words(row) for row in table.to_dict("records")],
        text=[f"{100 * row.covered:.1f} ({row.width:.2f})" for row in table.itertuples()],
    )
    most, least = table["cohorts"].max(), table["cohorts"].min()
    lines = [
        "# Measured coverage",
        "",
        "Share in percent of 95 % intervals that held the true value, and in brackets their mean width.",
        f"Written by `.venv/bin/python tests/benchmarks/intervals.py`; {least} simulated cohorts a cell",
        f"({most} with forests), so a share is known to within 2 points. What is simulated and what the",
        "methods are: its docstring. What follows from it: [what an interval covers](intervals.md).",
        "",
    ]
    beside = ["difference", "mean of three"]
    for title, rows in (
        ("AUROC of patients", cells[cells["figure"] == "AUROC"]),
        ("Pairs and means", cells[cells["figure"].isin(beside)]),
        ("Beside the AUROC", cells[~cells["figure"].isin(["AUROC", *beside])]),
    ):
        named = rows["method"] if title.startswith("AUROC") else rows["figure"] + ", " + rows["method"]
        wide = rows.assign(named=named).pivot(index="cell", columns="named", values="text")
        wide = wide.loc[rows["cell"].unique(), named.unique()].fillna("")
        lines += [f"## {title}", "", markdown(["cohort", *wide]), "|---" * (1 + wide.shape[1]) + "|"]
        lines += [markdown([name, *row]) for name, row in wide.T.items()]
        lines.append("")
    lines += [
        "## Errors and power",
        "",
        "Share in percent of cohorts that the test of the AUROC calls better or worse than 0.5 at p < 0.05,",
        "and with signal the chance to be called better from which the least AUROC to be seen is computed.",
        "",
        "| cohort | true AUROC | called | computed |",
        "|---|---|---|---|",
    ]
    for row in cells[(cells["figure"] == "AUROC") & cells["refused"].notna()].itertuples():
        shares = [f"{100 * row.refused:.1f}", f"{100 * row.power:.1f}" if row.power == row.power else ""]
        lines.append(markdown([row.cell, f"{row.true:.3f}", *shares]))
    lines += [
        "",
        "Share in percent of cohorts in which the test tells two equally good experiments apart, and calls",
        "the mean of three better or worse than 0.5, at p < 0.05.",
        "",
        "| cohort | difference called | mean of three called |",
        "|---|---|---|",
    ]
    summed = cells[cells["figure"].isin(beside) & cells["refused"].notna()]
    called = summed.pivot(index="cell", columns="figure", values="refused").loc[summed["cell"].unique()]
    lines += [
        markdown([name, *(f"{100 * row[figure]:.1f}" for figure in beside)])
        for name, row in called.iterrows()
    ]
    PAGE.write_text("\n".join(lines) + "\n")
