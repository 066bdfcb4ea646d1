"""A guest's boot: from `virsh start` to the ssh banner, and to an answer on port 3121.

Both are asked for on the host, by one program there that also starts the guest.
"""

from __future__ import annotations

import json
import shlex
import statistics

from bench import labs
from bench.rows import Options, Row, Say, summary
from lab import kvm

SAMPLES = 5
LONGEST = 300
PORT = 3121
_PROBE = """
import json, socket, subprocess, sys, time
name, address, longest = sys.argv[1], sys.argv[2], float(sys.argv[3])
def answers(port):
    try:
        with socket.create_connection((address, port), 1) as s:
            return port != 22 or s.recv(4) == b"SSH-"
    except OSError:
        return False
started = time.monotonic()
subprocess.run(["virsh", "start", name], check=True, stdout=subprocess.DEVNULL)
took = {}
while len(took) < 2 and time.monotonic() < started + longest:
    for port in (22, int(sys.argv[4])):
        if port not in took and answers(port):
            took[port] = time.monotonic() - started
    time.sleep(0.02)
print(json.dumps(took))
"""


def run(options: Options, say: Say) -> list[Row]:
    """One host and one guest; it is shut down in between."""
    banner: list[float] = []
    answer: list[float] = []
    with labs.fresh("boot") as lab:
        lab.up(say)
        labs.run(lab, labs.sections(lab, "4.2.4"), say)
        host, address = lab.machine(labs.HOST), lab.address(labs.GUEST)
        words = ["python3", "-I", "-c", _PROBE, labs.GUEST, address, str(LONGEST), str(PORT)]
        for number in range(1 if options.quick else SAMPLES):
            lab.machine(labs.GUEST).close()
            lab.guests(labs.HOST).shut_down(labs.GUEST, within=LONGEST)
            done = host.run(shlex.join(words), within=LONGEST + 30, check=True)
            took = json.loads(done.stdout)
            banner.append(took["22"])
            answer.append(took[str(PORT)])
            say(f"{number + 1}: ssh {banner[-1]:.1f} s, port {PORT} {answer[-1]:.1f} s")
        own = lab.machine(labs.GUEST).run("systemd-analyze time").stdout.splitlines()
    kind = "TCG" if kvm.missing() else "KVM"
    return [
        Row(
            "boot",
            f"guest ({kind}): virsh start to an answer on port {PORT}, median",
            statistics.median(answer),
            aim=15.0,
            details={"answer": summary(answer), "guest": own[:1]},
        ),
        Row(
            "",
            f"guest ({kind}): virsh start to the ssh banner, median",
            statistics.median(banner),
            details={"banner": summary(banner)},
        ),
    ]
