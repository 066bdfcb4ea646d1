"""Which provider a new lab gets, in every case; and that no case is looked at without need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab import boxes, doctor_vagrant, images, kvm, memory, platforms, scenario
from lab.errors import BadInput, CannotRun
from lab.model import Scenario
from lab.providers import Order, choice
from lab.providers.choice import Choice

CONTAINERS = ("scale", "container-guests", "configuration-explained")  # not on virtual machines
WALK = scenario.load(scenario.find("guest-walkthrough"))


def reason(text: str, asked: list[str] | None = None) -> Callable[[], str]:
    def look() -> str:
        if asked is not None:
            asked.append(text)
        return text

    return look


def of(name: str) -> Scenario:
    return scenario.load(scenario.find(name))


def test_a_host_needs_room_for_the_guests_inside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """All scenarios' hosts have it; where guests run beside them it is not asked for."""
    monkeypatch.setattr(kvm, "missing", lambda: "")
    monkeypatch.setattr(kvm, "not_nested", lambda: "")
    debian, centos = platforms.load("debian-12"), platforms.load("centos-7")
    for name in scenario.names():
        for platform in (debian, centos):
            assert choice.cramped(scenario.load(scenario.find(name)), platform) == "", name
    host = WALK.nodes["example-host"].model_copy(update={"memory": 1024})
    small = WALK.model_copy(update={"nodes": {"example-host": host}})
    reason = "example-host has memory: 1024, and with the virtual machines inside it needs 1408"
    assert choice.cramped(small, debian) == reason
    assert "needs 1920" in choice.cramped(small, centos)
    assert choice.choice("", small, debian) == choice.Choice("podman", reason)
    with pytest.raises(BadInput, match=reason):
        choice.choice("vagrant", small, debian)
    monkeypatch.setattr(kvm, "not_nested", lambda: "no KVM")
    assert choice.cramped(small, debian) == ""


def test_where_nothing_is_against_them_machines_are_virtual() -> None:
    assert choice.chosen(WALK, reason(""), reason(""), reason("")).provider == "vagrant"


@pytest.mark.parametrize(
    ("kvm", "vagrant", "box", "why"),
    [
        ("no KVM", "", "", "no KVM"),
        ("", "no Vagrant", "", "no Vagrant"),
        ("", "", "no box", "no box"),
        ("no KVM", "no Vagrant", "no box", "no KVM"),
        ("", "no Vagrant", "no box", "no Vagrant"),
    ],
)
def test_the_first_reason_against_them_decides(kvm: str, vagrant: str, box: str, why: str) -> None:
    found = choice.chosen(WALK, reason(kvm), reason(vagrant), reason(box))
    assert found == Choice("podman", why)


def test_what_takes_long_is_not_looked_at_once_it_is_decided() -> None:
    asked: list[str] = []
    choice.chosen(WALK, reason("", asked), reason("no Vagrant", asked), reason("no box", asked))
    assert asked == ["", "no Vagrant"]
    asked.clear()
    choice.chosen(of("scale"), reason("no KVM", asked))
    assert asked == []


@pytest.mark.parametrize("name", scenario.names())
def test_scenarios_that_need_containers(name: str) -> None:
    found = choice.chosen(of(name), reason(""))
    assert found.provider == ("podman" if name in CONTAINERS else "vagrant")
    assert (found.why.startswith(("slim machines", "guests that are containers"))) is (
        name in CONTAINERS
    )


def test_the_reason_names_the_machines() -> None:
    assert choice.chosen(of("scale"), reason("")).why.endswith("here remote1 … remote16")


# Room


@pytest.fixture
def qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose KVM works, and where QEMU takes 100 MiB, 7 more for a guest of ours."""
    monkeypatch.setattr(kvm, "missing", lambda: "")
    monkeypatch.setattr(memory, "virtual", lambda own, limited=False, **_: own + 100 + 7 * limited)


@pytest.mark.usefixtures("qemu")
@pytest.mark.parametrize(
    ("nests", "needed"), [(True, 3072 + 100), (False, 3072 + 100 + 512 + 107)], ids=str
)
def test_guests_beside_their_host_take_memory_too(
    monkeypatch: pytest.MonkeyPatch, nests: bool, needed: int
) -> None:
    monkeypatch.setattr(kvm, "not_nested", lambda: "" if nests else "no")
    monkeypatch.setattr(memory, "available", lambda: needed)
    assert choice.crowded(WALK.nodes, WALK.guests) == ""
    monkeypatch.setattr(memory, "available", lambda: needed - 1)
    assert choice.crowded(WALK.nodes, WALK.guests) == (
        f"virtual machines would need {needed} MiB of memory, and {needed - 1} MiB are free"
    )


@pytest.mark.usefixtures("qemu")
@pytest.mark.parametrize(("free", "provider"), [(100_000, "vagrant"), (3000, "podman")])
def test_machines_that_have_no_room_are_containers(
    monkeypatch: pytest.MonkeyPatch, free: int, provider: str
) -> None:
    monkeypatch.setattr(doctor_vagrant, "without", lambda: "")
    monkeypatch.setattr(choice, "boxless", lambda _platform: "")
    monkeypatch.setattr(memory, "available", lambda: free)
    found = choice.choice("auto", WALK, platforms.load(platforms.DEFAULT))
    assert found.provider == provider
    assert ("3000 MiB are free" in found.why) is (provider == "podman")
    # Who asks for virtual machines gets them, or is told by the provider.
    assert choice.choice("vagrant", WALK, platforms.load(platforms.DEFAULT)).provider == "vagrant"


# A wish


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    monkeypatch.setattr(kvm, "missing", lambda: "no KVM here")
    return platforms.DEFAULT


@pytest.mark.parametrize("wish", ["", "auto"])
def test_no_wish(platform: str, wish: str) -> None:
    found = choice.choice(wish, WALK, platforms.load(platform))
    assert found == Choice("podman", "no KVM here")


@pytest.mark.parametrize("wish", ["podman", "vagrant"])
def test_a_wish_is_granted_without_a_word(platform: str, wish: str) -> None:
    assert choice.choice(wish, WALK, platforms.load(platform)) == Choice(wish, "")


def test_a_wish_for_what_there_is_not(platform: str) -> None:
    with pytest.raises(BadInput, match="choose one of: auto, podman, vagrant"):
        choice.choice("cloud", WALK, platforms.load(platform))


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_wish_that_cannot_be(platform: str, name: str) -> None:
    with pytest.raises(BadInput, match=r"provider vagrant: .* containers") as caught:
        choice.choice("vagrant", of(name), platforms.load(platform))
    assert caught.value.hint == "--provider podman"
    assert choice.choice("podman", of(name), platforms.load(platform)) == Choice("podman")


CENTOS, STREAM = "centos-7", "centos-stream-10"  # a box with a name, an image


@pytest.fixture
def lacking(platform: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What this machine has not, of programs; and Vagrant, where that is among them."""
    assert platform
    found: set[str] = set()
    monkeypatch.setattr("shutil.which", lambda name: None if name in found else f"/bin/{name}")

    def without() -> str:
        return "the provider vagrant lacks vagrant" if "vagrant" in found else ""

    monkeypatch.setattr(doctor_vagrant, "without", without)
    monkeypatch.setenv("LAB_MIRROR", "http://mirror.test")
    return found


@pytest.mark.usefixtures("lacking")
@pytest.mark.parametrize("name", [CENTOS, STREAM])
def test_a_platform_with_a_box_is_for_virtual_machines(name: str) -> None:
    """Whether KVM works or not: there is no other way."""
    found = choice.choice("auto", WALK, platforms.load(name))
    assert found == Choice("vagrant", "podman has no machines of boxes")
    assert choice.choice("vagrant", WALK, platforms.load(name)) == Choice("vagrant")
    with pytest.raises(BadInput, match="podman has no machines of boxes"):
        choice.choice("podman", WALK, platforms.load(name))


@pytest.mark.parametrize("wish", ["", "auto", "vagrant"])
def test_a_box_that_cannot_be_fetched(
    lacking: set[str], monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    monkeypatch.delenv("LAB_MIRROR")
    assert lacking == set()
    with pytest.raises(CannotRun, match="is, only you can say") as caught:
        choice.choice(wish, WALK, platforms.load(STREAM))
    assert caught.value.hint.startswith(f"lab images build {STREAM} --from FILE_OR_ADDRESS")
    with pytest.raises(CannotRun, match="in no mirror") as caught:
        choice.choice(wish, WALK, platforms.load(CENTOS))
    assert "LAB_MIRROR" in caught.value.hint
    # AlmaLinux's has a name, and its release is on every mirror.
    assert choice.choice(wish, WALK, platforms.load("almalinux-9")).provider == "vagrant"


def test_a_box_that_no_node_can_be_made_of(lacking: set[str], tmp_path: Path) -> None:
    lacking |= {"virt-customize", "virt-cat"}
    platform = platforms.load(CENTOS)
    with pytest.raises(CannotRun, match="lacks virt-customize, virt-cat") as caught:
        choice.choice("auto", WALK, platform)
    assert caught.value.hint == "install: guestfs-tools"
    folder = tmp_path / f"{CENTOS}-{images.key(platform)}"
    folder.mkdir()
    (folder / "versions").touch()  # made once, it takes nothing more
    assert choice.choice("auto", WALK, platform).provider == "vagrant"


def test_a_box_without_vagrant(lacking: set[str]) -> None:
    lacking.add("vagrant")
    with pytest.raises(CannotRun, match="from a box, and the provider vagrant lacks") as caught:
        choice.choice("auto", WALK, platforms.load(CENTOS))
    assert caught.value.hint == "run: lab doctor --fix --provider vagrant"


@pytest.mark.parametrize("wish", ["", "auto", "podman", "vagrant"])
def test_where_no_provider_is_left(platform: str, wish: str) -> None:
    with pytest.raises(BadInput, match="centos-7 starts from the box"):
        choice.choice(wish, of("scale"), platforms.load("centos-7"))


def test_the_provider_itself_refuses_slim_machines_before_it_makes_anything(
    tmp_path: Path,
) -> None:
    from lab.providers.vagrant import Vagrant

    machines = of("scale").nodes
    order = Order("nemo", machines, {}, images.Images("p", "k", tmp_path), tmp_path, {})
    with pytest.raises(BadInput, match="provider vagrant: slim machines are containers"):
        Vagrant().up(order)
    assert list(tmp_path.iterdir()) == []


# A box


def test_a_box_is_at_hand_only_when_it_is_whole_and_of_this_recipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    platform = platforms.load(platforms.DEFAULT)
    assert choice.boxless(platform) == f"{platform.name} has no images yet"
    folder = tmp_path / f"{platform.name}-{images.key(platform)}"
    folder.mkdir()
    (folder / "versions").touch()
    made = images.built(platform)
    assert made
    (folder / "box.new").mkdir()  # half of one
    assert choice.boxless(platform) == f"{platform.name} has no box yet"
    boxes.folder(made).mkdir(parents=True)
    assert choice.boxless(platform) == ""
