"""How to reach a lab's machines: fresh keys, known hosts, one OpenSSH config, passwords.

All of it is made for one lab and dies with it:

    ssh_config, known_hosts     what ssh, scp, Ansible, fabric and testinfra are given
    id_ed25519                  the key that opens every machine
    secrets.json                passwords by name; commands read them from standard input
    keys/N/                     a machine's own host key, and its root's key to the others
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from lab import command, kvm, stored
from lab.errors import CannotRun
from lab.fields import Family, Secret
from lab.model import Scenario
from lab.providers import Provider, networkd, networkmanager

SECRETS: tuple[str, ...] = get_args(Secret)
_LENGTHS = {"bmc": 12}  # random bytes of a password: IPMI 2.0 takes 20 characters of it


class Access:
    """The way into one lab, kept in the lab's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ssh_config = folder / "ssh_config"
        self.known_hosts = folder / "known_hosts"
        self.key = folder / "id_ed25519"
        self._secrets = folder / "secrets.json"
        self._known: dict[str, str] | None = None

    def create(self, lab: str, scenario: Scenario, provider: Provider) -> None:
        """Make every key and password, and the config. What is there already is kept."""
        _make_key(self.key, f"lab {lab}")
        for node in scenario.names:
            home = self.folder / "keys" / node
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make_key(home / "host", node)
            if not scenario.is_slim(node):  # nobody logs in from there to anywhere
                _make_key(home / "root", f"root@{node}")
        self.create_secrets()
        self.known_hosts.write_text(self._known_hosts(scenario))
        self.ssh_config.write_text(self._config(lab, scenario, provider))

    def create_secrets(self) -> None:
        """Make every password that is not there yet."""
        found = self._read() if self._secrets.exists() else {}
        if missing := [name for name in SECRETS if name not in found]:
            made = {name: secrets.token_urlsafe(_LENGTHS.get(name, 18)) for name in missing}
            draft = self._secrets.with_name("secrets.json.new")
            _write_private(draft, json.dumps(found | made).encode())
            draft.replace(self._secrets)
            self._known = None

    def secret(self, name: str) -> str:
        """A password of this lab."""
        return self._read()[name]

    def _read(self) -> dict[str, str]:
        """The passwords by name. Raises CannotRun where their file is damaged."""
        try:
            return stored.read(self._secrets, dict[str, str])
        except ValueError as error:
            raise CannotRun(
                f"{self._secrets} is damaged: {error}",
                hint=f"start over: lab down {self.folder.name}, then lab up",
            ) from error

    def without_secrets(self, text: str) -> str:
        """The text with each password replaced by its name."""
        if self._known is None and self._secrets.exists():
            self._known = self._read()
        for name, secret in (self._known or {}).items():
            text = text.replace(secret, f"(secret {name})")
        return text

    def nodes(self) -> list[str]:
        """Every machine in the config; none where that was not made yet."""
        if not self.ssh_config.exists():
            return []
        return re.findall(r"^Host (\S+)$", self.ssh_config.read_text(), re.MULTILINE)

    def host_key(self, node: str) -> str:
        """The public key that a node shows: kind and key."""
        return " ".join(self._public(self.folder / "keys" / node / "host").split()[:2])

    def seed(
        self,
        scenario: Scenario,
        node: str,
        identity: Mapping[str, str] | None = None,
        family: Family = "debian",
    ) -> bytes:
        """A tar file that, unpacked at /, makes a bare machine this node.

        `identity`: what its provider adds, path to content. `family`: of its platform.
        """
        keys = self.folder / "keys"
        files: list[tuple[str, int, str | bytes]] = [
            ("etc/hostname", 0o644, f"{node}\n"),
            ("etc/hosts", 0o644, _hosts(scenario, node)),
            ("etc/ssh/ssh_host_ed25519_key", 0o600, (keys / node / "host").read_bytes()),
            ("etc/ssh/ssh_host_ed25519_key.pub", 0o644, self._public(keys / node / "host")),
        ]
        if scenario.is_slim(node):
            files.append(("root/.ssh/authorized_keys", 0o600, self._public(self.key)))
            return _tar(files)
        authorized = self._public(self.key) + "".join(
            self._public(keys / name / "root")
            for name in scenario.names
            if not scenario.is_slim(name)
        )
        files += [
            ("etc/ssh/ssh_known_hosts", 0o644, self._known_hosts(scenario)),
            ("root/.ssh/authorized_keys", 0o600, authorized),
            ("root/.ssh/id_ed25519", 0o600, (keys / node / "root").read_bytes()),
        ]
        if node in scenario.nodes and scenario.nodes[node].hypervisor and kvm.missing():
            # libvirtd takes a /dev/kvm that is there, while QEMU says that there is no KVM, for
            # a cache out of date, and asks QEMU anew at every turn: 14 s for a `virsh define`.
            unit = "etc/systemd/system/libvirtd.service.d/lab-no-kvm.conf"
            files.append((unit, 0o644, "[Service]\nExecStartPre=/usr/bin/rm -f /dev/kvm\n"))
        added = dict(identity or {})
        if guest := scenario.guests.get(node):
            if family == "redhat":
                added |= networkmanager.card("lab", guest.address)
            else:
                network = networkd.static("eth0", guest.address)
                added["etc/systemd/network/lab.network"] = network
        for path, content in added.items():
            private = path.startswith(networkmanager.FOLDER)
            files.append((path, 0o600 if private else 0o644, content))
        return _tar(files)

    def _public(self, key: Path) -> str:
        return key.with_name(key.name + ".pub").read_text()

    def _known_hosts(self, scenario: Scenario) -> str:
        lines = []
        for name in scenario.names:
            lines.append(f"{name},{scenario.address(name)} {self.host_key(name)}\n")
        return "".join(lines)

    def _config(self, lab: str, scenario: Scenario, provider: Provider) -> str:
        common = {
            "User": "root",
            "IdentityFile": f'"{self.key}"',
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": f'"{self.known_hosts}"',
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "HostKeyAlgorithms": "ssh-ed25519",
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "3",
            "ConnectTimeout": "10",
            "LogLevel": "ERROR",
        }
        blocks = []
        for name, machine in scenario.nodes.items():
            blocks.append((name, provider.ssh_options(lab, name, machine)))
        for name, guest in scenario.guests.items():
            options = {"HostName": guest.address, "HostKeyAlias": name, "ProxyJump": guest.host}
            blocks.append((name, options))
        text = f"# How to reach the machines of lab {lab}: ssh -F THIS-FILE NODE\n"
        for name, options in blocks:
            lines = {"HostName": name, **options, **common}
            text += f"\nHost {name}\n" + "".join(f"    {k} {v}\n" for k, v in lines.items())
        return text


def _hosts(scenario: Scenario, node: str) -> str:
    """Its /etc/hosts: itself and the cluster nodes. Guests and remote nodes the book adds."""
    known = {name: scenario.address(name) for name in [*scenario.cluster_nodes, node]}
    return "127.0.0.1 localhost\n" + "".join(f"{a} {name}\n" for name, a in known.items())


def _make_key(path: Path, comment: str) -> None:
    if not path.exists():
        command.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
            within=20,
        )


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _tar(files: list[tuple[str, int, str | bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        folder = tarfile.TarInfo("root/.ssh")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        tar.addfile(folder)
        for name, mode, content in files:
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = mode, len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
