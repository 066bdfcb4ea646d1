"""Whether virtual machines can use KVM here. A /dev/kvm that opens is no proof.

Where the processor does not offer virtualisation to this machine (no vmx or svm flag),
/dev/kvm may exist, open and even make a VM, whose kernel then dies of an instruction that
could not be emulated. There QEMU's own emulation (TCG) is used, some ten times slower.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

MODULES = Path("/sys/module")


def missing() -> str:
    """Why KVM does not work here, as half a sentence; '' where it does."""
    flags = Path("/proc/cpuinfo").read_text()
    if not re.search(r"^flags\s*:.*\b(vmx|svm)\b", flags, re.M):
        return "the processor offers no vmx or svm"
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as error:
        return f"/dev/kvm cannot be opened ({error.strerror})"
    return ""


def not_nested() -> str:
    """Why a virtual machine cannot run others with KVM, as half a sentence; '' where it can."""
    if why := missing():
        return why
    for module in ("kvm_intel", "kvm_amd"):
        setting = MODULES / module / "parameters/nested"
        if setting.exists():
            on = setting.read_text().strip() in ("1", "Y")
            return "" if on else f"{module} was loaded without nested=1"
    return "neither kvm_intel nor kvm_amd says that it nests"
