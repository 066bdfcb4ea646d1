"""Section 6.3 for real, and what can be wrong with it: each turns it red for its own reason."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from conftest import forget, lab
from test_sabotage import Make, Sabotaged, Steps

pytestmark = [pytest.mark.nightly, pytest.mark.takes(450)]

HOST, GUEST = "example-host", "guest1"


def parts(first: str, end: str = "") -> Callable[[Steps], None]:
    """Leave of 6.3 what is from the part with the one text on, up to that with the other."""

    def change(steps: Steps) -> None:
        texts = [json.dumps(part) for part in steps["6.3"]["parts"]]
        begin = next(n for n, text in enumerate(texts) if first in text)
        stop = next(n for n, text in enumerate(texts) if end in text) if end else None
        steps["6.3"]["parts"] = steps["6.3"]["parts"][begin:stop]

    return change


def altered_part(first: str, end: str, old: str, new: str, within: str) -> Callable[[Steps], None]:
    """The same, with something else in these parts, and no longer than that to wait for it."""

    def change(steps: Steps) -> None:
        parts(first, end)(steps)
        text = json.dumps(steps["6.3"]["parts"])
        assert old in text
        left = json.loads(text.replace(old, new))
        left[-1]["within"] = within
        steps["6.3"]["parts"] = left

    return change


@pytest.mark.parametrize("altered", ["container-guests"], indirect=True)
def test_container_guests(name: str, altered: Make) -> None:
    """A wrong key in the container, and a bundle without its image; then all of 6.3 as it is.

    The lab goes while a container of libvirt's and two of podman's run in its machine.
    """
    lxc = Sabotaged(name, altered)
    lxc.passes("4.3.1")

    # The container has another key than the host.
    scp = "scp root@example-host:/etc/pacemaker/authkey /etc/pacemaker"
    other = "dd if=/dev/urandom of=/etc/pacemaker/authkey bs=4096 count=1"
    wrong = altered_part("package_absent", "shut_down_guest", scp, other, "5s")
    lxc.fails("6.3", "authkey is the same on example-host, guest1", wrong)
    refused = altered_part("shut_down_guest", "FAKE1 ocf", "", "", "40s")
    lxc.fails("6.3", "guest node guest1 is online on example-host", refused)
    key = "/etc/pacemaker/authkey"
    lxc.on(HOST, "pcs resource disable lxc-guest1 && crm_resource --wait")
    lxc.on(HOST, f"cp {key} /var/lib/libvirt/filesystems/guest1{key} && pcs resource cleanup")
    lxc.on(HOST, "pcs resource enable lxc-guest1 && crm_resource --wait")
    lxc.passes("6.3", parts("pcs resource create FAKE1", "podman import"))
    forget(name, "6.3")

    # The bundle's image was never made.
    missing = altered_part("resource bundle create", "podman kill", "", "", "20s")
    lxc.fails("6.3", "bundle web has 2 replicas, all of them up", missing)
    lxc.on(HOST, "pcs resource delete web && pcs resource cleanup")
    lxc.passes("6.3", parts("podman import"))

    nodes = lab("status", name, "--json").json["cluster"]["nodes"]
    kinds = {node["name"]: (node["kind"], node["online"]) for node in nodes.values()}
    assert kinds == {
        HOST: ("member", True),
        GUEST: ("guest", True),
        "web-0": ("replica", True),
        "web-1": ("replica", True),
    }
