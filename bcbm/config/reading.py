"""YAML as it is read here: words that are words, and nothing that looks elsewhere for its value."""

import re
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from bcbm.errors import ConfigError

RESOLVER = re.compile(r"\$\{.*:", re.DOTALL)  # ${oc.env:NAME} and the like; ${other.key} is none
# All that is no text in YAML 1.2; 1.1 makes a truth of `off` and a number of `1:30` and of `007`.
SCALARS = {
    "tag:yaml.org,2002:null": ("~|null|Null|NULL|", "~nN\0"),
    "tag:yaml.org,2002:bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "tag:yaml.org,2002:int": ("-?(0|[1-9][0-9]*)", "-0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "tag:yaml.org,2002:merge": ("<<", "<"),
}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # in C where it is there
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for tag, (pattern, first) in SCALARS.items():
    letters = ["" if letter == "\0" else letter for letter in first]
    _Loader.add_implicit_resolver(tag, re.compile(f"^(?:{pattern})$"), letters)


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a file; one without any is empty.

    Raises:
        ConfigError: it is no YAML, no keys and values, or takes a value from elsewhere.
    """
    try:
        text = path.read_text(encoding="utf-8")
        OmegaConf.create(text)  # refuses a key that stands twice, and aliases without end
        content = read_value(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except Exception as error:  # the parser's own errors
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values")
    return {str(name): value for name, value in content.items()}


def read_value(text: str) -> Any:
    """What a text of YAML says.

    Raises:
        ConfigError: it takes a value from elsewhere.
    """
    content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with other words
    require_values(content)
    return content


def require_values(content: Any) -> None:
    """Refuse nested values that would be taken from the environment, or from whatever else a resolver reads.

    A file that is passed on could otherwise carry a secret of whoever runs it into his report.

    Raises:
        ConfigError: naming it.
    """
    if isinstance(content, dict):
        for item in content.items():
            require_values(list(item))
    elif isinstance(content, list | tuple):
        for item in content:
            require_values(item)
    elif isinstance(content, str) and RESOLVER.search(content):
        raise ConfigError(
            f"'{content}' would be taken from the environment or another place; write the value"
        )
