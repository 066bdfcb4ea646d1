"""`lab inside`: a program of this machine where a lab's libvirtd is: virsh, vagrant."""

from __future__ import annotations

import argparse
import os
import sys

from lab import doctor as doctors
from lab.command import environment
from lab.commands import opened
from lab.errors import BadInput


def inside_(options: argparse.Namespace) -> int:
    """`lab inside`: becomes the program, so that terminal and exit status are its own."""
    doctors.require()
    lab = opened(options.name)
    if lab.record.provider != "vagrant":
        raise BadInput(
            f"lab {lab.name} is of provider {lab.record.provider}: it has no libvirtd of its own",
            hint="for what runs on one of its nodes: lab exec NODE -- COMMAND",
        )
    # python-vagrant takes long to import, and needs libvirt's library.
    from lab.providers import libvirtd, network
    from lab.providers.vagrant_program import settings

    network.require(lab.name)
    libvirtd.revive(lab.name)
    env = environment(settings(libvirtd.folder(lab.name) / "nodes.json"))
    argv = libvirtd.inside(lab.name, options.argv)
    sys.stdout.flush()
    os.execvpe(argv[0], argv, env)
    return 3
