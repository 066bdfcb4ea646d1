"""What NetworkManager reads, nm-settings-keyfile(5), of machines and guests of Red Hat's family.

Keyfiles alone: CentOS 7 reads them since its NetworkManager is told to (boxes/redhat/prepare), and
release 10 nothing else. Cards are known by their MAC address, whatever they are called.
"""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

from lab.providers import PREFIX

FOLDER = "etc/NetworkManager/system-connections"  # files there are ignored unless they are private


def card(name: str, address: str, mac: str = "") -> dict[str, str]:
    """A card with one address on the lab's network; by default the only one that there is."""
    return _file(name, "ethernet", _ethernet(mac) + _static(address))


def bridged(bridge: str, address: str, mac: str) -> dict[str, str]:
    """A bridge with that address, and the card that is in it."""
    port = f"master={bridge}\nslave-type=bridge\n"
    return {
        **_file(bridge, "bridge", f"[bridge]\nstp=false\n\n{_static(address)}", bridge),
        **_file(f"{bridge}-port", "ethernet", _ethernet(mac), more=port),
    }


def management(mac: str) -> dict[str, str]:
    """The card that the way in leads to. It has an address by DHCP, however late that comes."""
    settings = "[ipv4]\nmethod=auto\nnever-default=true\nignore-auto-dns=true\n\n" + _NO_IPV6
    return _file(
        "management", "ethernet", _ethernet(mac) + settings, more="autoconnect-retries=0\n"
    )


_NO_IPV6 = "[ipv6]\nmethod=ignore\n"


def _static(address: str) -> str:
    return f"[ipv4]\nmethod=manual\naddress1={address}/{PREFIX}\nnever-default=true\n\n{_NO_IPV6}"


def _ethernet(mac: str) -> str:
    return f"[ethernet]\nmac-address={mac}\n\n" if mac else ""


def _file(
    name: str, kind: str, settings: str, interface: str = "", more: str = ""
) -> dict[str, str]:
    # The same at each time, so that a seed is.
    head = f"[connection]\nid={name}\nuuid={uuid5(NAMESPACE_OID, name)}\ntype={kind}\n{more}"
    if interface:
        head += f"interface-name={interface}\n"
    return {f"{FOLDER}/{name}.nmconnection": f"{head}\n{settings}"}
