"""Actions: what they type, and that what goes wrong there is not lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import actions
from lab.context import Context
from lab.deadline import COMMAND
from lab.errors import BadInput, CommandFailed
from lab.lab import Lab
from lab.machine import Result

PACKAGES = ["ipmitool", "a b"]


class Machine:
    """One that has a repository of these packages."""

    def __init__(self, name: str, repository: list[str]) -> None:
        self.name, self.repository = name, repository
        self.typed: list[str] = []

    def run(self, line: str, *, within: float, check: bool) -> Result:
        assert within == COMMAND
        assert check
        self.typed.append(line)
        if not self.repository:
            raise CommandFailed(f"on {self.name}, `{line}` ended with exit status 100")
        return Result(line, 0, f"{self.name} has them", "", 1.0)

    def drop(self) -> None:
        """No connection is kept."""


def context(family: str, *machines: Machine) -> Context:
    named = {machine.name: machine for machine in machines}
    platform = SimpleNamespace(name="a-platform", family=family, agents={})
    lab = SimpleNamespace(platform=platform, machine=named.__getitem__)
    return Context(cast(Lab, lab))


def install(where: Context, nodes: list[str]) -> Any:
    word, given = actions.action.use({"install": {"nodes": nodes, "packages": PACKAGES}}, nodes)
    return word.function(where, **given)


@pytest.mark.parametrize(
    ("family", "line"),
    [
        ("debian", "apt-get install -y ipmitool 'a b'"),
        ("redhat", "yum install -y ipmitool 'a b'"),
    ],
)
def test_packages_are_installed_with_the_platforms_own_tool(family: str, line: str) -> None:
    one, two, other = (Machine(name, PACKAGES) for name in ("node1", "node2", "remote1"))
    seen = context(family, one, two, other)
    assert install(seen, ["node1", "node2"]) == "installed ipmitool, a b on node1, node2"
    assert (one.typed, two.typed, other.typed) == ([line], [line], [])
    assert [result.stdout for result in seen.typed(1)] == ["node1 has them", "node2 has them"]


def test_a_package_that_one_node_does_not_get_is_an_error() -> None:
    seen = context("debian", Machine("node1", PACKAGES), Machine("node2", []))
    with pytest.raises(CommandFailed, match="on node2"):
        install(seen, ["node1", "node2"])
    assert not seen.done


def test_an_agent_is_installed_from_the_packages_of_the_platform() -> None:
    one = Machine("node1", PACKAGES)
    seen = context("debian", one)
    seen.lab.platform.agents["fence_ipmilan"] = PACKAGES
    assert actions.install_agent(seen, ["node1"], "fence_ipmilan").startswith("installed ipmitool")
    assert one.typed == ["apt-get install -y ipmitool 'a b'"]


def test_an_agent_that_the_platform_has_not_is_named_with_those_it_has() -> None:
    seen = context("debian", Machine("node1", PACKAGES))
    seen.lab.platform.agents["fence_virsh"] = PACKAGES
    where = "boxes/a-platform/platform.yaml: agents: has no fence_kdump; those it has: fence_virsh"
    with pytest.raises(BadInput, match=where):
        actions.install_agent(seen, ["node1"], "fence_kdump")


def test_packages_are_said_once_for_every_platform() -> None:
    given = {"nodes": ["node1"], "debian": PACKAGES, "redhat": PACKAGES}
    with pytest.raises(ValueError, match="debian"):
        actions.action.use({"install": given}, ["node1"])
