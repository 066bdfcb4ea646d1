"""Commands on a lab's nodes: a shell, a command, the ssh config."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from lab import doctor as doctors
from lab.commands import opened


def ssh_(options: argparse.Namespace) -> int:
    """`lab ssh`: becomes ssh, so that the terminal is its own."""
    doctors.require()
    _become_ssh(options.name, options.node, [])
    return 3


def exec_(options: argparse.Namespace) -> int:
    """`lab exec`: becomes ssh, so that the exit status is the command's own.

    ssh hands over one line, for a shell there: several words arrive as those words, one is a line.
    """
    doctors.require()
    words = options.argv
    _become_ssh(options.name, options.node, [shlex.join(words) if len(words) > 1 else words[0]])
    return 3


def ssh_config_(options: argparse.Namespace) -> int:
    """`lab ssh-config`"""
    print(opened(options.lab, "lab ssh-config NAME").access.ssh_config)
    return 0


def _become_ssh(name: str, node: str, command: list[str]) -> None:
    lab = opened(name)
    lab.require_node(node)
    sys.stdout.flush()
    os.execvp("ssh", ["ssh", "-F", str(lab.access.ssh_config), node, *command])
