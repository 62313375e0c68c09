"""A search handed to W&B: a sweep whose agents run `bcbm fit` without the test patients of an outer fold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from rich.console import Console

from bcbm.cohort.exclusions import read_exclusions
from bcbm.config.compose import plain
from bcbm.errors import ConfigError
from bcbm.search.objective import FINAL
from bcbm.search.space import Parameter
from bcbm.system.files import write_whole
from bcbm.terminal.words import print_line, say

if TYPE_CHECKING:
    from bcbm.cohort.splits import Split
    from bcbm.preparation.lesions import Lesions
    from bcbm.search.plan import Plan

METHODS = {"tpe": "bayes", "gp": "bayes", "random": "random"}  # W&B's way of drawing, by our sampler's
HELD_OUT = "kept to test the search"  # the reason of patients whom a trial may not see


def require_exportable(plan: "Plan") -> None:
    """Refuse a search that W&B cannot hold.

    Raises:
        ConfigError: all of what it has no room for, one a line.
    """
    problems = []
    if plan.objectives != ("auroc",):
        problems.append(f"objective: {', '.join(plan.objectives)}; W&B seeks one figure: auroc")
    if plan.sampler["kind"] not in METHODS:
        problems.append(f"sampler: W&B has no {plan.sampler['kind']}; write {', '.join(METHODS)}")
    if plan.constraints:
        problems.append(f"constraints: W&B has none; take {', '.join(plan.constraints)} out")
    if plan.trials is None:
        problems.append("W&B counts trials, not minutes; write trials")
    if problems:
        raise ConfigError("\n".join(f"export=wandb: {problem}" for problem in problems))


def export_sweep(
    plan: "Plan", lesions: "Lesions", split: "Split", studies: Sequence[str], console: Console
) -> list[Path]:
    """Write each study as a sweep of W&B into `wandb-NAME/`, here; returns the files for `wandb sweep`.

    Beside each lies the experiment that its agents fit, and who is left out: the test patients of the outer
    fold, whom no trial sees. A trial is a run of its own, cross-validated on the others in `split.inner`
    folds. W&B gets the sweep's file alone, which names no patient and no place but this folder.

    Args:
        plan: of the search, which W&B can hold, see `require_exportable`.
        lesions: of its cohort.
        split: its outer folds.
        studies: as `fold=0` and `final`, see `Search`.
        console: gets what W&B cannot hold of the search, and what to call next.
    """
    folder = Path(f"wandb-{plan.name}")
    folder.mkdir(exist_ok=True)
    written = []
    for study in studies:
        stem = f"{plan.name}-{study.replace('=', '-')}"
        content = plain(plan.config)
        del content["experiment"]
        content["split"] |= {"folds": plan.config.split.inner, "repeats": 1}
        content["split"] |= dict.fromkeys(("holdout", "later", "file"))
        content |= {"tune": {}, "fold": "all"}
        content["tracking"] |= {"to": ["wandb"], "mode": "online"}
        content["run"]["folder"] = None
        if study != FINAL:
            out = folder / f"{stem}-held-out.csv"
            tested = split.rows(lesions.entering, int(study.partition("=")[2]))["test"]
            patients = lesions.entering["patient_id"].iloc[tested].unique()
            write_whole(out, _held_out(plan.config.cohort.exclude, sorted(patients)))
            content["cohort"]["exclude"] = str(out)
        base = folder / f"{stem}.yaml"
        write_whole(base, OmegaConf.to_yaml(content))
        written.append(folder / f"{stem}-sweep.yaml")
        write_whole(written[-1], OmegaConf.to_yaml(_sweep(plan, stem, base)))
    conditional = [parameter.key for parameter in plan.space if parameter.when]
    if conditional:
        text = f"W&B knows no `when:`: it draws {', '.join(conditional)} also where they change nothing"
        print_line(console, f"[yellow]note[/] {text}")
    if plan.pruner["kind"] != "none":
        print_line(console, "[yellow]note[/] W&B stops no trial here: each is trained to its end")
    for path in written:
        say(console, f"  wandb sweep --project {plan.config.tracking.project} {path}")
    say(
        console, "then start its agents in this folder, on every machine that has one like it: wandb agent ID"
    )
    return written


def _sweep(plan: "Plan", name: str, base: Path) -> dict[str, Any]:
    """The content of a sweep's file."""
    targets = plan.config.task.targets
    metric = "mean/auroc" if len(targets) > 1 else f"{targets[0]}/patient/auroc"
    command = ["${env}", "${interpreter}", "-m", "bcbm.fit", f"experiment={base.as_posix()}"]
    return {
        "name": name,
        "method": METHODS[plan.sampler["kind"]],
        "metric": {"name": metric, "goal": "maximize"},
        "run_cap": plan.trials,
        "command": [*command, "${args_no_hyphens}"],
        "parameters": {parameter.key: _values(parameter) for parameter in plan.space},
    }


def _values(parameter: Parameter) -> Mapping[str, Any]:
    """The values of a parameter in W&B's words."""
    drawn = parameter.distribution
    if isinstance(drawn, CategoricalDistribution):
        return {"values": list(drawn.choices)}
    assert isinstance(drawn, FloatDistribution | IntDistribution)
    ends = {"min": drawn.low, "max": drawn.high}
    if isinstance(drawn, IntDistribution):
        if drawn.log:
            return {"distribution": "q_log_uniform_values", "q": 1, **ends}
        return {"values": list(range(drawn.low, drawn.high + 1, drawn.step))}
    if drawn.log:
        return {"distribution": "log_uniform_values", **ends}
    if drawn.step:
        count = round((drawn.high - drawn.low) / drawn.step)
        return {"values": [round(drawn.low + number * drawn.step, 12) for number in range(count + 1)]}
    return {"distribution": "uniform", **ends}


def _held_out(before: str | None, patients: Sequence[str]) -> str:
    """A list for `cohort.exclude`: whom the experiment leaves out itself, and these patients."""
    rows = [{"patient": patient, "reason": HELD_OUT} for patient in patients]
    if before:
        own = read_exclusions(Path(before).expanduser())
        rows += [{kind: name, "reason": reason} for _, kind, name, reason in own.itertuples()]
    table = pd.DataFrame(rows, columns=["patient", "study", "lesion", "reason"]).fillna("")
    return table.to_csv(index=False, lineterminator="\r\n")
