"""`python -m bcbm.prepare [key=value ...]`: from files to lesion table, radiomics, crops; `fit` calls it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bcbm.cohort.problems import InputError, Problem
from bcbm.cohort.synthetic import GENERATOR, write_cohort
from bcbm.cohort.table import build_table, exclude, flow, require_modalities
from bcbm.cohort.tcia import content_hash, read_download
from bcbm.config import Config
from bcbm.data.lesions import Lesions
from bcbm.features.crops import prepare_crops
from bcbm.features.radiomics import FEATURES, extract_cohort


def cache_folder() -> Path:
    """Where prepared cohorts live by default: BCBM_CACHE, else the user's cache folder."""
    base = os.environ.get("BCBM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "bcbm"
    return Path(base).expanduser()


def cohort_root(config: Config, console: Console) -> Path:
    """The download, or the embedded cohort, written once into the cache."""
    if config.cohort.root:
        return Path(config.cohort.root).expanduser()
    wanted = config.cohort.synthetic
    kind = "images" if wanted.images else "table"
    name = f"synthetic-v{GENERATOR}-{wanted.patients}-{wanted.signal:g}-{kind}-{wanted.seed}"
    root = cache_folder() / name
    if not (root / "cohort.json").is_file():
        with _bar(console, "writing the synthetic cohort") as advance:
            write_cohort(
                root,
                patients=wanted.patients,
                signal=wanted.signal,
                images=wanted.images,
                seed=wanted.seed,
                extract=lambda studies: extract_cohort(studies, config.prepared.jobs, None),
                jobs=config.prepared.jobs,
                progress=advance,
            )
    return root


def prepare(config: Config, console: Console) -> Lesions:
    """Read the cohort, make what is missing, say what is wrong and what enters.

    Raises:
        InputError: nothing can be done with this input, or `cohort.strict` and there is any problem.
    """
    download = read_download(cohort_root(config, console))
    images = "image" in config.task.modalities
    if not download.has_images and (images or config.features.radiomics == "extract"):
        what = "task.modalities holds image" if images else "features.radiomics=extract"
        remedy = "set task.modalities=[radiomics,position] and features.radiomics=workbook, "
        remedy += "or unpack the images"
        raise InputError(Problem(str(download.root), f"has no images, and {what}", remedy))
    table, radiomics, problems = build_table(download, config.cohort.categories)
    content = content_hash(download.root)
    own = config.prepared.root
    folder = Path(own).expanduser() if own else cache_folder() / f"prepared-{content}"
    if "radiomics" in config.task.modalities:
        radiomics = _radiomics(config, content, table, radiomics, folder, problems, console)
    problems += require_modalities(table, radiomics, config.task.modalities)
    store = None
    table["crop"] = -1
    if images:
        wanted = table[~table["excluded"]]
        with _bar(console, "cutting crops", len(wanted)) as advance:
            store, index, bad = prepare_crops(
                wanted,
                folder,
                size=config.features.crop_size,
                spacing=config.features.crop_spacing,
                jobs=config.prepared.jobs,
                progress=advance,
            )
        table["crop"] = table["lesion_id"].map(index.set_index("lesion_id")["crop"]).fillna(-1).astype(int)
        problems += bad
        found = {problem.where: problem.found for problem in bad}
        exclude(table, table["lesion_id"].isin(list(found)), table["lesion_id"].map(found).fillna(""))
    _keep(table, folder / "lesions.parquet")
    if config.cohort.strict and problems:
        raise InputError(*problems)
    report(table, problems, console)
    entering = table[~table["excluded"]].reset_index(drop=True)
    if entering.empty:
        raise InputError(Problem(str(download.root), "no lesion is left to analyse", "see the reasons above"))
    values = None
    if "radiomics" in config.task.modalities:
        values = radiomics.loc[entering["lesion_id"], list(FEATURES)].to_numpy()
    return Lesions(table, entering, values, store, content)


def report(table: pd.DataFrame, problems: list[Problem], console: Console) -> None:
    """Print every problem, then what enters and why the rest does not."""
    for problem in problems:
        console.print(f"[yellow]problem[/] {problem}", highlight=False, soft_wrap=True)
    for step, patients, studies, lesions in flow(table):
        counts = f"{patients:>4} patients{studies:>5} studies{lesions:>5} lesions"
        console.print(f"  {step:<42.42}{counts}", highlight=False)


def _radiomics(
    config: Config,
    content: str,
    table: pd.DataFrame,
    workbook: pd.DataFrame,
    folder: Path,
    problems: list[Problem],
    console: Console,
) -> pd.DataFrame:
    """The 107 features of every lesion: of the workbook, or extracted here and kept."""
    if config.features.radiomics == "workbook":
        missing = [name for name in FEATURES if name not in workbook.columns]
        if missing:
            remedy = "use the workbook of the download, or features.radiomics=extract"
            raise InputError(Problem("radiomics workbook", f"no column {', '.join(missing)}", remedy))
        return workbook[list(FEATURES)]
    path = folder / f"radiomics-{content}.parquet"
    kept = pd.read_parquet(path) if path.is_file() else None
    wanted = table[~table["excluded"] & (table["mask_path"] != "") & (table["image_path"] != "")]
    if kept is not None:
        wanted = wanted[~wanted["lesion_id"].isin(kept.index)]
    if kept is None or len(wanted):
        studies = [
            (
                Path(str(image)),
                {str(k): Path(str(v)) for k, v in zip(part["lesion_id"], part["mask_path"], strict=True)},
            )
            for image, part in wanted.groupby("image_path")
        ]
        with _bar(console, "extracting radiomics", len(wanted)) as advance:
            values, failures = extract_cohort(studies, config.prepared.jobs, advance)
        values["failure"] = ""
        for lesion, failure in failures.items():
            values.loc[lesion, "failure"] = failure
        _keep(values if kept is None else pd.concat([kept, values]), path)
    values = pd.read_parquet(path)
    failed = "radiomics failed: " + table["lesion_id"].map(values["failure"]).fillna("")
    broken = ~table["excluded"] & (failed != "radiomics failed: ")
    for lesion, failure in zip(table.loc[broken, "lesion_id"], failed[broken], strict=True):
        problems.append(Problem(str(lesion), failure, "the lesion is excluded"))
    exclude(table, broken, failed)
    return values.reindex(table["lesion_id"])[list(FEATURES)]


def _keep(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        frame.to_parquet(file.name)
    Path(file.name).replace(path)


@contextmanager
def _bar(console: Console, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.update(task, advance=count)


def main() -> int:
    """Prepare a cohort and say what is in it."""
    from bcbm.fit import run_command

    return run_command(__doc__ or "", lambda config, console: (prepare(config, console), 0)[1])


if __name__ == "__main__":
    raise SystemExit(main())
