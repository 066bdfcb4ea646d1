"""What the network lets through, tried over the network."""

from __future__ import annotations

import base64
import json
import shlex
from typing import Literal

from lab import command
from lab.arguments import PortNumber, Ports
from lab.checks import Seen, check
from lab.context import Context
from lab.vocabulary import OUTSIDE, Node, NodeOrOutside

Answer = Literal["accepted", "refused", "rejected", "silent", "absent"]

# Runs on a node or outside: argv is a list of [address, port, protocol]; prints the answers.
#   accepted  a process answers            refused  the machine was reached, nobody listens
#   rejected  "no route to host" and such   silent   nothing came back
#   absent    no machine has that address: "no route to host" is then our own kernel's word
# A UDP port that somebody listens on is silent too, and one that a firewall drops: see _reached.
_PROBE = """
import errno, json, socket, sys
def ask(address, port, protocol):
    # Several tries: a kernel answers with few "unreachable" messages a second.
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    for _ in range(4):
        with socket.socket(socket.AF_INET, kind) as s:
            s.settimeout(1)
            try:
                s.connect((address, port))
                if protocol == "udp":
                    s.send(b"?"); s.recv(1)
                return "accepted"
            except socket.timeout:
                continue
            except ConnectionRefusedError:
                return "refused"
            except OSError as e:
                if e.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES):
                    return "rejected"
                raise
    return "silent"
def there(address):
    # Whether a machine answered for the address. (A lab's network has no routers.)
    with open("/proc/net/arp") as table:
        rows = [line.split() for line in table]
    return any(row[0] == address and int(row[2], 16) for row in rows[1:])
answers = []
for address, port, protocol in json.loads(sys.argv[1]):
    answer = ask(address, port, protocol)
    if answer in ("rejected", "silent") and not there(address):
        answer = "absent"
    answers.append(answer)
print(json.dumps(answers))
"""


# Fetches a page; http.client, since it minds no proxy of the machine that it runs on.
_FETCH = """
import http.client, sys
try:
    link = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=5)
    link.request("GET", sys.argv[3])
    answer = link.getresponse()
    print(answer.status, answer.read(2000).decode(errors="replace"))
except OSError as error:
    print("no answer:", error)
"""


def _ask(context: Context, source: str, asked: list[tuple[str, int, str]]) -> list[str]:
    answers: list[str] = json.loads(_python(context, source, _PROBE, json.dumps(asked)))
    return answers


def _python(context: Context, source: str, program: str, *arguments: str) -> str:
    """What a program prints that runs on a node, or outside."""
    code = base64.b64encode(program.encode()).decode()
    start = f"import base64;exec(base64.b64decode('{code}'))"
    if source == OUTSIDE:
        argv = ["python3", "-I", "-c", start, *arguments]
        line = context.lab.provider.outside(context.lab.name, argv)
        return command.run(line, within=30).stdout
    words = " ".join(map(shlex.quote, arguments))
    return context.machine(source).run(f'python3 -I -c "{start}" {words}', check=True).stdout


def _ports(context: Context, node: str, ports: list[str], source: str) -> dict[str, str]:
    address = context.lab.address(node)
    asked = []
    for port in ports:
        number, _, protocol = port.partition("/")
        asked.append((address, int(number), protocol))
    return dict(zip(ports, _ask(context, source, asked), strict=True))


@check("{node}'s firewall lets {ports} through")
def ports_open(
    context: Context, node: Node, ports: Ports, seen_from: NodeOrOutside = OUTSIDE
) -> Seen:
    """Each port (`3121/tcp`) is reached from elsewhere, whether or not somebody listens there.

    A UDP port that is silent is reached if somebody listens on it: who listens need not answer.
    """
    answers = _ports(context, node, ports, seen_from)
    looks = {port: _reached(context, node, port, answer) for port, answer in answers.items()}
    return Seen(
        all(look.ok for look in looks.values()),
        ", ".join(f"{port} {look.text}" for port, look in looks.items()),
        hint=f"lab exec {node} -- firewall-cmd --list-all",
    )


def _reached(context: Context, node: str, port: str, answer: str) -> Seen:
    """Whether the firewall let a packet through to a port, by what came back."""
    number, _, protocol = port.partition("/")
    if answer != "silent" or protocol != "udp":
        return Seen(answer in ("accepted", "refused"), answer)
    # The kernel refuses what reaches a port that nobody listens on: then silence is a firewall's.
    host = context.machine(node).host
    places = (context.lab.address(node), "0.0.0.0")  # a socket on `::` is counted for either
    if any(host.socket(f"udp://{place}:{number}").is_listening for place in places):
        return Seen(True, "silent, and listened on")
    return Seen(False, "no answer: filtered, or nobody listens")


@check("{node}'s firewall keeps {ports} closed")
def ports_closed(
    context: Context, node: Node, ports: Ports, seen_from: NodeOrOutside = OUTSIDE
) -> Seen:
    """Each port (`3121/tcp`) is rejected by the firewall, tried from elsewhere."""
    answers = _ports(context, node, ports, seen_from)
    return Seen(
        all(answer == "rejected" for answer in answers.values()),
        ", ".join(f"{port} {answer}" for port, answer in answers.items()),
    )


@check("a connection from {source} to {to} port {port} is {outcome}")
def connection(context: Context, source: Node, to: Node, port: PortNumber, outcome: Answer) -> Seen:
    """What a TCP connection between two nodes does: accepted, refused, rejected, silent, absent."""
    (answer,) = _ask(context, source, [(context.lab.address(to), port, "tcp")])
    return Seen(answer == outcome, answer)


@check("{source} pings {to}")
def pings(context: Context, source: Node, to: Node) -> Seen:
    """One echo request by address is answered within 2 seconds."""
    done = context.machine(source).run(f"ping -n -c 1 -W 2 {context.lab.address(to)}")
    text = done.output.strip() or "it printed nothing"
    return Seen(done.exit == 0, text.splitlines()[-1])


@check("root on {source} logs in to {to} by ssh")
def ssh_works(context: Context, source: Node, to: Node) -> Seen:
    """ssh with the node's own key and a verified host key runs `hostname` there."""
    done = context.machine(source).run(
        f"ssh -o BatchMode=yes -o ConnectTimeout=5 {context.lab.address(to)} hostname"
    )
    text = done.output.strip() or "it printed nothing"
    return Seen(done.exit == 0 and done.stdout.strip() == to, text)


@check("{server} serves a page with '{text}', asked from {source}")
def page_served(
    context: Context,
    source: NodeOrOutside,
    server: Node,
    text: str,
    port: PortNumber = 80,
    path: str = "/",
) -> Seen:
    """GET by HTTP from that very address, not from where a name may lead: 200 and the text."""
    address = context.lab.address(server)
    answer = _python(context, source, _FETCH, address, str(port), path).strip()
    return Seen(answer.startswith("200 ") and text in answer, answer.replace("\n", " ")[:120])
