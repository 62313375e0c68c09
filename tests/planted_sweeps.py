"""Sweeps whose studies are written down without any training, and their pages."""

import json
import re
from html import unescape

from omegaconf import OmegaConf
from optuna import create_study
from optuna.trial import TrialState
from rich.console import Console

from bcbm.config.compose import plain
from bcbm.search.conclusion import conclude
from bcbm.search.constraints import set_constraints
from bcbm.search.plan import read_plan
from bcbm.search.results import read_sweep
from bcbm.search.space import default_settings, suggest
from bcbm.search.storage import open_storage

STUDIES = ("fold=0", "fold=1", "final")


def planted(home, name="fusion", words=(), studies=STUDIES, trials=12, value=None, figures=None):
    """A sweep's folder whose dropout of 0.1 is best and counts most; a trial is pruned and one fails."""
    plan = read_plan(name, words, {"trials": str(trials)})
    home.mkdir(parents=True)
    known = ["fold=0", "fold=1", "final"]
    content = {"sweep": plan.name, "study": f"{plan.name}/0", "studies": known, "trials": trials}
    content |= {"minutes": None, **plan.source, "storage": None, "config": plain(plan.config)}
    (home / "sweep.yaml").write_text(OmegaConf.to_yaml(content))
    (home / "split.json").write_text(json.dumps({"hash": "5p117"}))
    storage = open_storage(None, home)
    for study in studies:
        opened = create_study(
            study_name=f"{plan.name}/0/{study}", storage=storage, directions=plan.directions
        )
        opened.enqueue_trial(default_settings(plan.space, plan.config), user_attrs={"default": True})
        opened.sampler = plan.make_sampler(len(study))
        for number in range(trials + 1):
            trial = opened.ask()
            settings = suggest(trial, plan.space)
            trial.set_user_attr("seconds", 3.0)
            if number == 5:
                trial.set_user_attr("reason", "ValueError: no")
                opened.tell(trial, state=TrialState.FAIL)
                continue
            values = value(settings) if value else [0.9 - (settings["model.dropout"] - 0.1) ** 2]
            if len(values) == 1:
                for step in (1, 2, 3):
                    trial.report(values[0] - 0.1 / step, step)
            if number == 7 and len(values) == 1:
                opened.tell(trial, state=TrialState.PRUNED)
            else:
                measured = figures(settings) if figures else {}
                trial.set_user_attr("figures", measured)
                set_constraints(trial, plan.constraints, measured)
                opened.tell(trial, values)
    return plan


def concluded(home, plan, *words, refit=False):
    """The page of a sweep, and what was said on screen."""
    console = Console(record=True, width=200)
    page = conclude(read_sweep(home), None, plan.config, "c0h0r7", ["sweep=fusion", *words], refit, console)
    return page, console.export_text()


def text_of(page):
    html = re.sub(r"<style>.*?</style>", "", page.read_text(), flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
