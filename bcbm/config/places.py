"""Where settings lie, conf/, experiments/ and sweeps/: in the checkout, in the wheel, or with the user."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from bcbm.errors import ConfigError


def checkout() -> Path | None:
    """The repository that this code runs from; None where it was installed from a wheel."""
    root = Path(str(files("bcbm"))).resolve().parent
    return root if (root / "pyproject.toml").is_file() and (root / "experiments").is_dir() else None


def settings_folder() -> Path:
    """The folder that holds conf/, experiments/ and sweeps/: the checkout, or a part of the wheel."""
    return checkout() or Path(str(files("bcbm"))).resolve() / "settings"


def experiment_folders(own: str | None = None) -> list[Path]:
    """The folders in which an experiment is looked up by its name, in order.

    Args:
        own: the user's (`experiments=DIR`), looked into before ours.

    Raises:
        ConfigError: the user's is not a folder.
    """
    folders = [settings_folder() / "experiments"]
    if own:
        folder = Path(own).expanduser().resolve()
        if not folder.is_dir():
            raise ConfigError(f"experiments={own}: there is no folder {folder}; name one that holds *.yaml")
        folders.insert(0, folder)
    return folders


def experiment_file(name: str, own: str | None = None) -> Path:
    """The file of an experiment, given by its name or as a path; it need not be there."""
    given = Path(name)
    if given.suffix in {".yaml", ".yml"}:
        return given
    paths = [folder / f"{name}.yaml" for folder in experiment_folders(own)]
    return next((path for path in paths if path.is_file()), paths[0])


def experiment_name(file: Path, own: str | None = None) -> str:
    """The name by which an experiment's file is looked up, or its path where it lies elsewhere."""
    file = file.resolve()
    for folder in experiment_folders(own):
        if file.is_relative_to(folder):
            return file.relative_to(folder).with_suffix("").as_posix()
    return str(file)


def experiment_files(own: str | None = None) -> dict[str, Path]:
    """The file of every experiment that can be named, by name: single ones first, then those of groups."""
    paths: dict[str, Path] = {}
    for folder in experiment_folders(own):
        for path in sorted(folder.glob("*.yaml")) + sorted(folder.glob("*/*.yaml")):
            paths.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return paths


def sweep_file(name: str) -> Path:
    """The file of a sweep, given by its name in sweeps/ or as a path; it need not be there."""
    given = Path(name)
    return given if given.suffix in {".yaml", ".yml"} else settings_folder() / "sweeps" / f"{name}.yaml"


def sweep_names() -> list[str]:
    """The sweeps that can be named."""
    return sorted(path.stem for path in (settings_folder() / "sweeps").glob("*.yaml"))


def group_choices() -> dict[str, list[str]]:
    """The files to choose from in every group of conf/."""
    folders = sorted(path for path in (settings_folder() / "conf").iterdir() if path.is_dir())
    return {folder.name: sorted(path.stem for path in folder.glob("*.yaml")) for folder in folders}


def names_sweeps(words: Sequence[str]) -> bool:
    """Whether a word is the folder of a search."""
    return any((Path(word).expanduser() / "sweep.yaml").is_file() for word in words)
