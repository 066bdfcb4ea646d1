"""Machines as system containers of podman: systemd as PID 1, a network of the lab's own.

What a lab `L` with a machine `N` has here:

    container  lab-L-N, labelled lab=L                    its machine
    folder     /run/lab/labs/L/N, in the machine /run/lab   its seed and its ssh socket
    cgroups    lab.L.N                                    where v1 is needed: see controllers
    namespaces /run/lab/net/L, /run/lab/net/L.N            its switch and its cable
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from lab import lock
from lab.errors import Busy, CommandFailed, LabError
from lab.fields import Family, GuestPlace
from lab.images import Images
from lab.model import Machine
from lab.paths import RUN
from lab.providers import (
    LOCK,
    MACHINERY,
    WAIT,
    Order,
    cgroups,
    controllers,
    network,
    podman_images,
    slim,
)
from lab.providers.containers import (
    await_makers,
    check_room,
    listed,
    podman,
    remove,
    remove_volumes,
    volume,
    volumes,
)
from lab.providers.podman_images import Copy

FOLDER = RUN / "labs"


class Podman(network.Switch):
    """The embedded provider: needs no KVM and no image from outside."""

    name = "podman"

    def up(self, order: Order) -> None:
        with lock.hold(LOCK, MACHINERY, within=WAIT):
            network.create(order.lab, order.machines)
            cgroups.enter()  # after it: a mount namespace sees what was shared before it was made
            image = slim_image = _import(order.images)
            full = [node for node, machine in order.machines.items() if not machine.slim]
            many = [node for node in order.machines if node not in full]
            if many:
                slim_image = slim.image(image, order.images, podman, _limits())
            there = self.running(order.lab)
            # Under the lock until they are there: no other lab takes the room that was found.
            check_room(sum(node not in there for node in full))
            self._make(order, full, there, image)
        with lock.hold(LOCK, MACHINERY, within=WAIT, shared=True):
            self._make(order, many, there, slim_image)

    def _make(
        self, order: Order, nodes: Sequence[str], there: Mapping[str, bool], image: str
    ) -> None:
        """See to it that these machines run. `there`: those that exist, and whether they do."""
        for node in nodes:
            folder = FOLDER / order.lab / node
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            seed = folder / "seed.tar"
            seed.touch(mode=0o600)
            seed.write_bytes(order.seeds[node])
        with ThreadPoolExecutor(8) as pool:
            jobs = [
                pool.submit(self.power_on, order.lab, node)
                if node in there
                else pool.submit(self._create, order, node, image)
                for node in nodes
                if not there.get(node)
            ]
        for job in jobs:
            job.result()

    def _create(self, order: Order, node: str, image: str) -> None:
        machine = order.machines[node]
        name = _name(order.lab, node)
        run = ["run", "--detach", "--name", name, "--hostname", node]
        labels = ["--label", f"lab={order.lab}", "--label", f"node={node}"]
        init, first = "/sbin/init", "--systemd=always"
        if machine.slim:
            labels += ["--label", slim.LABEL]
            init, first = slim.INIT, f"--pidfile={_pid(order.lab, node)}"
        kind = [first, "--privileged", "--no-hosts", "--dns=none"]
        mounts = [
            "--volume",
            f"{FOLDER / order.lab / node}:/run/lab",
            "--volume",
            f"{order.images.packages}:/srv/packages:ro",
        ]
        groups: list[Path] = []
        if machine.hypervisor:
            mounts += ["--volume", f"{order.images.folder}:/srv/images:ro"]
            # A volume is no overlay file system, so that podman there can stack its own on it.
            mounts += [
                "--volume",
                f"{volume(order.lab, name)}:/var/lib/containers",
            ]
            groups = controllers.create(_groups(order.lab, node))
            may_mount = "".join(f"{one}\n" for one in controllers.hierarchies())
            (FOLDER / order.lab / node / "controllers").write_text(may_mount)
        wire = [f"--network=ns:{network.namespace(order.lab, node)}"]
        # Of hundreds that are made at once podman 4.3 now and then fails with one ("name is already
        # in use", by itself): that one is made once more.
        for last in (False, True):
            try:
                podman(
                    [*run, *labels, *kind, *_limits(), *wire, *mounts, image, init],
                    prefix=controllers.within(groups),
                )
                if machine.slim:
                    slim.seed(_pid(order.lab, node), network.namespace(order.lab, node))
                return
            except BaseException as error:
                # A container that never started must not be taken for a machine.
                remove([e for e in listed(order.lab) if e["Labels"]["node"] == node])
                if last or not isinstance(error, CommandFailed):
                    raise

    def down(self, lab: str) -> None:
        if not cgroups.entered():  # containers outlive the namespace when this machine is rebooted
            with lock.hold(LOCK, MACHINERY, within=WAIT):
                cgroups.enter()
        # Shared, since a large lab takes minutes.
        with lock.hold(LOCK, MACHINERY, within=WAIT, shared=True):
            await_makers(lab)
            remove(listed(lab))
            remove_volumes(lab)
            controllers.remove(controllers.found(_groups(lab)))
            network.remove(lab)
            shutil.rmtree(FOLDER / lab, ignore_errors=True)
            if left := self.leftovers(lab):
                raise LabError(f"of lab {lab} this could not be removed: {', '.join(left)}")
        # Only tidying: whoever is at work with podman now has a lab, and tidies up after it.
        with suppress(Busy), lock.hold(LOCK, MACHINERY):
            self._tidy()

    def _tidy(self) -> None:
        if not self.labs():
            cgroups.leave()
            network.remove_folder()
            if FOLDER.exists():
                FOLDER.rmdir()

    def users(self) -> dict[str, set[str]]:
        """Each set of images that machines are made of, and the labs that these belong to."""
        found: dict[str, set[str]] = {}
        for entry in listed():
            found.setdefault(podman_images.original(entry["Image"]), set()).add(
                entry["Labels"]["lab"]
            )
        return found

    def prune(
        self, kept: Callable[[], Collection[str]], *, dry_run: bool
    ) -> tuple[list[Copy], list[Copy]]:
        """Remove podman's copies of all sets of images but the `kept`, which are asked for when no
        machine is being made; all that there were, and those of them that could not be removed.
        """
        with lock.hold(LOCK, MACHINERY, within=WAIT):
            cgroups.enter()
            try:
                doomed = podman_images.orphans(podman, kept())
                return doomed, [] if dry_run else podman_images.remove(podman, doomed)
            finally:
                self._tidy()

    def labs(self) -> set[str]:
        folders = {path.name for path in FOLDER.iterdir()} if FOLDER.exists() else set()
        return folders | network.labs() | {entry["Labels"]["lab"] for entry in listed()}

    def leftovers(self, lab: str) -> list[str]:
        found = [f"container {entry['Names'][0]}" for entry in listed(lab)]
        found += [f"volume {name}" for name in volumes(lab)]
        found += [f"network namespace {path}" for path in network.found(lab)]
        found += [f"cgroup {path}" for path in controllers.found(_groups(lab))]
        if (FOLDER / lab).exists():
            found.append(f"folder {FOLDER / lab}")
        return found

    def running(self, lab: str) -> dict[str, bool]:
        return {e["Labels"]["node"]: e["State"] == "running" for e in listed(lab)}

    def power_on(self, lab: str, node: str) -> None:
        network.require(lab, node)
        groups = controllers.found(_groups(lab, node))
        network.card(lab, node, on=True)
        podman(["start", _name(lab, node)], prefix=controllers.within(groups))

    def power_off(self, lab: str, node: str) -> None:
        # Its kernel is this machine's, and has power still: it would say goodbye on each connection
        # of what is killed, refuse new ones, and answer a ping.
        network.require(lab, node)
        network.card(lab, node, on=False)
        podman(["kill", "--signal=KILL", _name(lab, node)], check=False)
        podman(["wait", _name(lab, node)])

    def boot(self, lab: str, node: str) -> str:
        form = "{{if .State.Running}}{{.State.Pid}} {{.State.StartedAt}}{{end}}"
        done = podman(["inspect", "--format", form, _name(lab, node)], check=False)
        return done.strip()

    def guests(self) -> GuestPlace:
        return "inside"

    def identity(self, _machine: Machine, _number: int, _family: Family) -> dict[str, str]:
        return {}

    def ssh_options(self, lab: str, node: str, machine: Machine) -> dict[str, str]:
        if machine.slim:
            return {"ProxyCommand": slim.login(_pid(lab, node), network.namespace(lab, node))}
        socket = FOLDER / lab / node / "ssh"
        return {"ProxyCommand": f"socat - UNIX-CONNECT:{socket}"}


def _pid(lab: str, node: str) -> Path:
    return FOLDER / lab / node / "pid"


def _name(lab: str, node: str) -> str:
    return f"lab-{lab}-{node}"


def _groups(lab: str, node: str = "*") -> str:
    return f"lab.{lab}.{node}"  # neither name can have a dot


def _import(images: Images) -> str:
    """The container image of a platform's root file system, made once; its name."""
    name = f"localhost/lab/{images.platform}:{images.key}"
    try:
        podman(["image", "inspect", "--format={{.Id}}", name])
    except CommandFailed:
        podman(["import", "--quiet", str(images.rootfs), name], within=300)
    return name


def _limits() -> list[str]:
    """Limits that podman may set even where root has no CAP_SYS_RESOURCE.

    Its defaults are above this process's hard limits there, and setting them fails.
    """
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    _, processes = resource.getrlimit(resource.RLIMIT_NPROC)
    many = 1 << 20
    files = many if files == resource.RLIM_INFINITY else files
    # podman lowers its own limit of processes before it starts a container, to a number that
    # depends on its version: well below what any machine gives root is always allowed.
    processes = 32768 if processes == resource.RLIM_INFINITY else min(processes, 32768)
    limits = [f"--ulimit=nofile={files}:{files}", f"--ulimit=nproc={processes}:{processes}"]
    # Where the pids controller belongs to cgroup v1, podman's default limit cannot be set.
    return [*limits, "--pids-limit=-1"]
