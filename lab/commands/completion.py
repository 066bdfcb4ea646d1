"""`lab completion`: a shell's completion script, and what is completed where.

Names of scenarios, platforms, providers, faults and words are written into the script; labs and
their nodes are looked up when it is asked for them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import shtab

from lab import actions, audits, checks, faults, platforms, providers, scenario
from lab.grammar import parser

_SCENARIOS = {"bash": "_lab_scenarios_or_files", "zsh": "_lab_scenarios_or_files", "tcsh": "f"}
_LABS = {"bash": "_lab_labs", "zsh": "_lab_labs"}
_NODES = {"bash": "_lab_nodes", "zsh": "_lab_nodes"}
# By what stands for an argument in the help, or by its name in the code.
_COMPLETE = {
    "DIR": shtab.DIRECTORY,
    "FILE.box": shtab.FILE,
    "FILE_OR_ADDRESS": shtab.FILE,
    "html": shtab.FILE,
    "output": shtab.FILE,
    "scenario": _SCENARIOS,
    "file": _SCENARIOS,  # of lab check
    "lab": _LABS,
    "name": _LABS,
    "node": _NODES,
}
# The same in both shells.
_FOLDER = """\
_lab_folders() {
  printf '%s\\n' "${LAB_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/lab}/labs"
}

"""
_BASH = """\
# $1: the word so far. `files` in its name tells the script that slashes belong behind folders.
_lab_scenarios_or_files() {
  compgen -W "{scenarios}" -- "$1"
  compgen -f -X '!*.y*ml' -- "$1"
  compgen -d -- "$1"
}

_lab_labs() {
  local file labs=""
  for file in "$(_lab_folders)"/*/lab.json; do
    file="${file%/lab.json}"
    [ "${file##*/}" = "*" ] || labs="$labs ${file##*/}"
  done
  compgen -W "$labs" -- "$1"
}

_lab_nodes() {
  compgen -W "$(sed -n 's/^Host //p' "$(_lab_folders)"/*/ssh_config 2>/dev/null)" -- "$1"
}
"""
_ZSH = """\
_lab_scenarios_or_files() {
  _alternative 'scenarios:scenario:({scenarios})' 'files:file:_files -g "*.y(a|)ml"'
}

_lab_labs() {
  local -a labs
  labs=("$(_lab_folders)"/*/lab.json(N:h:t))
  compadd "$@" -a labs
}

_lab_nodes() {
  local -a configs nodes
  configs=("$(_lab_folders)"/*/ssh_config(N))
  (( $#configs )) && nodes=(${(f)"$(sed -n 's/^Host //p' $configs)"})
  compadd "$@" -a nodes
}
"""


def completion_(options: argparse.Namespace) -> int:
    """`lab completion`"""
    top = parser()
    choices = {
        "platform": platforms.names(),
        "drift": platforms.names(),
        "provider": [*providers.names(), providers.AUTO],
        "fault": list(faults.load().words),
        "word": sorted({*checks.load().words, *actions.action.words, *audits.TABLE}),
    }
    choices["word"] += choices["fault"]
    for action in _arguments(top):
        known = _COMPLETE.get(str(action.metavar)) or _COMPLETE.get(action.dest)
        if known:
            action.complete = known  # type: ignore[attr-defined]
        elif action.dest in choices and action.choices is None:
            action.choices = choices[action.dest]
    preamble = {"bash": _FOLDER + _BASH, "zsh": _FOLDER + _ZSH}.get(options.shell, "")
    preamble = preamble.replace("{scenarios}", " ".join(scenario.names()))
    print(shtab.complete(top, shell=options.shell, preamble=preamble))
    return 0


def _arguments(of: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument and option of a command and of those below it."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _arguments(below)
        else:
            yield action
