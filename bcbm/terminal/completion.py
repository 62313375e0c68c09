"""What completes the words of `bcbm` in a shell: commands, keys and, behind a key, what it may be."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin

from bcbm.config.checks import settings
from bcbm.config.places import experiment_files, group_choices, sweep_names
from bcbm.config.schema import Config
from bcbm.system.lazy import imported
from bcbm.terminal.doors import doors

BASH = """\
# Completes the words of bcbm in bash.
_bcbm() {{
  local word=${{COMP_LINE:0:COMP_POINT}} words="" key=""
  word=${{word##*[[:space:]]}}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W "{verbs}" -- "$word")
    return
  fi
  case $word in
{choices}
  *=*) key=${{word%%=*}}= words="" ;;
  *)
    words="{keys}"
    compopt -o nospace
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word"; compgen -d -S / -- "$word")
    return
    ;;
  esac
  word=${{word#"$key"}}
  if [[ -n $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  else
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
  # readline replaces only what stands behind a "=" that breaks words.
  [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${{COMPREPLY[@]/#/$key}}")
}}
complete -F _bcbm bcbm"""

ZSH = """\
#compdef bcbm
# Completes the words of bcbm in zsh.
_bcbm() {{
  if ((CURRENT == 2)); then
    compadd -- {verbs}
    return
  fi
  case $PREFIX in
{choices}
  *=*) compset -P '*=' && _files ;;
  *)
    compadd -S '' -- {keys}
    _files
    ;;
  esac
}}
if [[ $funcstack[1] == _bcbm ]]; then _bcbm "$@"; else compdef _bcbm bcbm; fi"""


def bash() -> str:
    """The completion of bash."""
    lines = [f'  {key}=*) key={key}= words="{" ".join(values)}" ;;' for key, values in _choices().items()]
    return BASH.format(verbs=" ".join(doors()), keys=" ".join(_keys()), choices="\n".join(lines))


def zsh() -> str:
    """The completion of zsh."""
    lines = [
        f"  {key}=*) compset -P '{key}=' && compadd -- {' '.join(values)} ;;"
        for key, values in _choices().items()
    ]
    return ZSH.format(verbs=" ".join(doors()), keys=" ".join(_keys()), choices="\n".join(lines))


SHELLS: Mapping[str, Callable[[], str]] = {"bash": bash, "zsh": zsh}


def _keys() -> list[str]:
    """Every key and group, each with the sign that its value follows."""
    names = [name for name, _, _ in settings(Config())]
    return [
        f"{name}="
        for name in [*names, *group_choices(), "sweep", "against", "across", "out", "leaky", "image", "mask"]
    ]


def _choices() -> dict[str, list[str]]:
    """What stands behind a key, where it is one of few words."""
    choices = {"experiment": list(experiment_files()), "sweep": sweep_names(), **group_choices()}
    for name, _, item in settings(Config()):
        if address := item.metadata["among"]:
            choices[name] = list(imported(address))
        elif values := _literals(item.type):
            choices[name] = values
    return choices


def _literals(kind: Any) -> list[str]:
    """The words that a type names: of a Literal, of one or nothing, and of a bool."""
    if kind is bool:
        return ["true", "false"]
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    return [word for part in get_args(kind) for word in _literals(part)]
