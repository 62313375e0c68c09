"""Two models on the same patients, tested pair by pair."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bcbm.errors import ConfigError, InputError, Problem
from bcbm.prediction.model import read_model
from bcbm.report.words import number, signed, with_interval
from bcbm.statistics.area import contrast, cross_validated_area
from bcbm.statistics.external import bootstrap_difference
from bcbm.statistics.frozen import delong_difference
from bcbm.statistics.paired import benjamini_hochberg
from bcbm.statistics.results import AurocBlock
from bcbm.system.files import strict_json, write_whole
from bcbm.system.words import counted
from bcbm.terminal.words import print_line, say
from bcbm.validation.cohorts import FrozenCohort, frozen_cohort
from bcbm.validation.request import requested

CONTENT = "models-compared.json"


class ModelDifference(TypedDict):
    """A target and cohort: the AUROC of both models on the same patients, and the first less the second.

    Its interval and p are DeLong's; `bootstrap_low` and `bootstrap_high` draw patients; q is over all tests.
    """

    cohort: str
    target: str
    patients: int
    left_out: int
    first: AurocBlock
    second: AurocBlock
    difference: float
    low: float
    high: float
    p: float
    q: float
    bootstrap_low: float
    bootstrap_high: float


def compare_models(words: Sequence[str], console: Console) -> list[ModelDifference]:
    """Do what the words of `compare` with two models ask for; writes `models-compared.json` into out=DIR.

    Raises:
        ConfigError: they do not name two models and a cohort, or change a setting of the models.
        InputError: a model or a cohort cannot be used, or no target can be compared.
    """
    request = requested("compare", words, models=2)
    models = [read_model(place) for place in request.models]
    if models[0].identity == models[1].identity:
        raise ConfigError("compare: both models are the same; name two")
    for place, model in zip(request.models, models, strict=True):
        if model.leaky:
            print_line(console, f"[bold red]LEAKY[/] {escape(str(place))} was exported from a LEAKY run")
    tests: list[ModelDifference] = []
    for name in request.cohorts:
        sides = []
        for place, model in zip(request.models, models, strict=True):
            say(console, f"cohort {name}, model {place}")
            sides.append(frozen_cohort(model, request.config(place, name), name, console))
        tests += paired_tests(sides[0], sides[1])
    if not tests:
        found = "have no target in common of which both classes are among the patients that both predict"
        raise InputError(Problem(" and ".join(map(str, request.models)), found, "test on another cohort"))
    for test, q in zip(tests, benjamini_hochberg([test["p"] for test in tests]), strict=True):
        test["q"] = float(q)
    config = request.config(request.models[0], next(iter(request.cohorts)))
    out = Path(config.validate.out).expanduser() / CONTENT
    identities = [model.identity for model in models]
    write_whole(out, strict_json({"models": identities, "tests": tests}))
    _print(tests, console)
    say(console, f"the same figures: {out.absolute()}")
    return tests


def paired_tests(first: FrozenCohort, second: FrozenCohort) -> list[ModelDifference]:
    """Every target that both predict and that has at least two patients of each class among those of both."""
    tests: list[ModelDifference] = []
    tables = [side.patients.set_index(["target", "patient_id"]) for side in (first, second)]
    for target in [name for name in first.labels if name in second.labels]:
        rows = [table.loc[table.index.get_level_values("target") == target].droplevel(0) for table in tables]
        names = rows[0].index.intersection(rows[1].index)
        everybody = rows[0].index.union(rows[1].index)
        one, other = (table.loc[names].reset_index() for table in rows)
        if one["label"].value_counts().reindex([0, 1], fill_value=0).min() < 2:
            continue
        labels, values = one["label"].to_numpy(), [side["probability"].to_numpy() for side in (one, other)]
        draws, seed = first.config.bootstrap, first.config.seed
        low, high = bootstrap_difference(labels, values[0], values[1], draws, seed)
        delong = delong_difference(labels, values[0], values[1])
        tests.append(
            {
                "cohort": first.name,
                "target": str(target),
                "patients": len(names),
                "left_out": len(everybody) - len(names),
                "first": _area(one),
                "second": _area(other),
                "difference": delong["difference"],
                "low": delong["low"],
                "high": delong["high"],
                "p": delong["p"],
                "q": delong["p"],
                "bootstrap_low": low,
                "bootstrap_high": high,
            }
        )
    return tests


def _area(rows: pd.DataFrame) -> AurocBlock:
    tested = contrast([cross_validated_area(rows)], [1.0], 0.5)
    return {"auroc": tested.estimate, "auroc_low": tested.low, "auroc_high": tested.high}


def _print(tests: Sequence[ModelDifference], console: Console) -> None:
    title = "Two frozen models on the same patients, AUROC; q over all tests"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("cohort, target", "first", "second", "first - second", "q"):
        table.add_column(heading, justify="left" if heading.startswith("cohort") else "right")
    for test in tests:
        ends = f"[{signed(test['low'])}, {signed(test['high'])}]"
        table.add_row(
            f"{escape(test['cohort'])}, {test['target']}",
            escape(with_interval(test["first"]).replace(" [", "\n[")),
            escape(with_interval(test["second"]).replace(" [", "\n[")),
            escape(f"{signed(test['difference'])}\n{ends}"),
            number(test["q"], 3),
        )
    console.print(table)
    for test in tests:
        ends = f"[{signed(test['bootstrap_low'])}, {signed(test['bootstrap_high'])}]"
        text = f"{test['cohort']}, {test['target']}: {counted(test['patients'], 'patient')}, bootstrap {ends}"
        left_out = f"; predicted by one model alone: {test['left_out']}" if test["left_out"] else ""
        say(console, text + left_out)
