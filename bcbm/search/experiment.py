"""The final study's choice as an experiment of its own, ready to be run."""

import shlex
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

from bcbm.config.compose import compose, flattened, plain
from bcbm.config.schema import Config
from bcbm.errors import ConfigError
from bcbm.runs.identity import NOT_IDENTITY
from bcbm.search.objective import FINAL
from bcbm.search.results import SweepResult
from bcbm.system.files import write_whole

PLACES = (*NOT_IDENTITY, "experiment")  # where results go is not part of an experiment
ABSENT = object()


def write_experiment(
    sweep: SweepResult, config: Config, facts: Mapping[str, str], outer_words: str | None = None
) -> Path | None:
    """Write `<base>_<sweep>.yaml` into the sweep's folder, if the final study has chosen; returns the file.

    It extends the base and holds whatever differs from it: the words of the sweep's command, and the choice.
    `chosen_by` in it makes every run of it say that its settings have seen all patients of this cohort.

    Args:
        sweep: as read.
        config: its base experiment, with those words.
        facts: provenance by name, for the top of the file.
        outer_words: the result of the outer folds, once there is one; inner folds alone support no claim.
    """
    best = sweep.best.get(FINAL)
    if best is None:
        return None
    parent, inherited = _parent(config)
    changed = {
        name: value
        for name, value in flattened(plain(config)).items()
        if name.split(".")[0] not in PLACES and value != inherited.get(name, ABSENT)
    }
    content: dict[str, Any] = {"extends": parent} if parent else {}
    earlier = [config.chosen_by] if config.chosen_by else []
    chosen_by = ", ".join([*earlier, f"{sweep.plan['sweep']} on {config.experiment}, {sweep.folder.name}"])
    for name, value in {**changed, **best.settings, "chosen_by": chosen_by}.items():
        section = content
        *sections, last = name.split(".")
        for part in sections:
            section = section.setdefault(part, {})
        section[last] = value
    base, objective = config.experiment, sweep.plan["objective"][0]
    name = f"{base}_{sweep.plan['sweep']}".replace("/", "-").replace("+", "-")
    path = sweep.folder / f"{name}.yaml"
    default = "" if best.default is None else f", where {base} as it is has {best.default:.3f}"
    claim = (
        outer_words
        or f"none yet; these are the settings that the sweep {sweep.plan['sweep']} chose for {base}."
    )
    lines = [
        *wrap(f"Claim: {claim}", 100, subsequent_indent="  "),
        f"Run:   {shlex.join(['python', '-m', 'bcbm.fit', f'experiment={path.name}'])}",
        "",
        f"Chosen on all patients: study {sweep.studies[FINAL].study_name}, trial {best.trial}:",
        f"{objective} {best.value:.3f} over the inner folds{default}.",
        "The best of many trials is optimistic, and so is a run of this file on the same patients: the",
        "honest figure is in report.html of the sweep's folder.",
        "",
        *(
            line
            for name, text in facts.items()
            for line in wrap(f"{name}: {text}", 100, subsequent_indent="  ")
        ),
    ]
    header = "\n".join(f"# {line}".rstrip() for line in lines)
    body = yaml.safe_dump(content, sort_keys=False, default_flow_style=False)
    write_whole(path, f"{header}\n\n{body}")
    return path


def facts(
    sweep: SweepResult, config: Config, cohort: str, split: str, surroundings: Mapping[str, Any]
) -> dict[str, str]:
    """Provenance of a sweep, by name.

    Args:
        cohort: hash of the cohort's content, and `split`, of its outer folds.
        surroundings: of `bcbm.runs.identity.environment`.
    """
    plan = sweep.plan
    counts = sweep.trials["study"].value_counts().to_dict() if len(sweep.trials) else {}
    words = {
        name: ", ".join([plan[name]["kind"], *(f"{k} {v}" for k, v in plan[name].items() if k != "kind")])
        for name in ("sampler", "pruner")
    }
    return {
        "sweep": f"{plan['sweep']} on {config.experiment}, {sweep.folder.name}",
        "objective": ", ".join(plan["objective"]),
        **words,
        "trials": ", ".join(f"{counts[study]} of {study}" for study in sweep.studies if study in counts),
        "seed": str(config.seed),
        "cohort": cohort,
        "split": split,
        "date": date.today().isoformat(),
        "commit": surroundings["commit"],
        "versions": ", ".join(f"{name} {version}" for name, version in surroundings["versions"].items()),
    }


def _parent(config: Config) -> tuple[str | None, dict[str, Any]]:
    """The experiment to extend and its values; None and no values where its name does not lead to it."""
    name = config.experiment.split("+")[0]
    words = [f"cohort.root={config.cohort.root}"] if config.cohort.root else []
    try:
        return name, flattened(plain(compose([f"experiment={name}", *words]))) | {"cohort.root": None}
    except ConfigError:  # it lies elsewhere
        return None, {}
