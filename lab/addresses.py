"""A lab's network, the same for every lab: which addresses its nodes can have."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

from lab.providers import GATEWAY, PREFIX

NETWORK = ip_network(f"{GATEWAY}/{PREFIX}", strict=False)


def unusable(address: str) -> str:
    """Why no node can have this IPv4 address, and which ones can be; '' for one of those.

    BMCs are in nobody's way: they take what nodes leave, see lab.bmc.
    """
    found = IPv4Address(address)
    if found not in NETWORK:
        why = f"not on the lab's network {NETWORK}"
    elif address == GATEWAY:
        why = "the outside of the lab's network"
    elif found in (NETWORK.network_address, NETWORK.broadcast_address):
        why = f"no single machine's on {NETWORK}"
    else:
        return ""
    first, last = IPv4Address(GATEWAY) + 1, NETWORK.broadcast_address - 1
    return f"{address} is {why}; nodes can have {first} to {last}"
