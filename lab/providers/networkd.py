"""What systemd-networkd reads, systemd.network(5), of virtual machines and of guests."""

from __future__ import annotations

from lab.providers import PREFIX

# A pulled cable is no partition: the address stays.
STATIC = "LinkLocalAddressing=no\nIPv6AcceptRA=no\nConfigureWithoutCarrier=yes\n"


def static(card: str, address: str) -> str:
    """A card with one address on the lab's network, and nothing else."""
    return f"[Match]\nName={card}\n\n[Network]\nAddress={address}/{PREFIX}\n{STATIC}"
