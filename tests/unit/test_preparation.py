"""What a scenario borrows, has on some platforms only, and shows to depart from the book."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab import plan as plans
from lab import scenario
from lab.errors import BadInput
from lab.model import BorrowedStep
from lab.plan import PlannedStep
from lab.platform import Platform

OTHER = """\
title: O
about: A
chapter: "4"
nodes:
  host1: {address: 192.168.122.101}
  host2: {address: 192.168.122.102}
steps:
  - {section: "4.1", title: One, where: host1, book: [echo one]}
  - {section: "4.2", title: Two, where: host1, book: [echo two]}
  - {section: "4.3", title: Three, where: host2, book: [echo three]}
"""
OWN = """\
title: T
about: A
chapter: "5"
nodes:
  host1: {address: 192.168.122.107}
prepare:
  - WISH
steps:
  - section: "5.1"
    title: Own
    where: host1
    parts:
      - act:
          - run: {node: host1, command: echo new}
        expect:
          - dc: host1
"""
UNTIL = '{scenario: other, until: "4.2"}'
NEW = Platform(
    name="new",
    title="New",
    family="debian",
    suite="none",
    versions={"pcs": "0.12"},
    packages={},
)
OLD = NEW.model_copy(update={"name": "old", "versions": {"pcs": "0.11"}})
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write both scenarios, with edits of the own one; its path."""

    def write(wish: str = UNTIL, *edits: tuple[str, str], other: str = OTHER) -> Path:
        (tmp_path / "other.yaml").write_text(other)
        text = OWN.replace("WISH", wish)
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / "own.yaml"
        path.write_text(text)
        return path

    return write


def refused(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        scenario.load(path)
    return caught.value.message.removeprefix(f"{path.parent}/")


def planned(path: Path, platform: Platform = NEW) -> list[PlannedStep]:
    return plans.plan(scenario.load(path), platform)


# -- borrowed sections ---------------------------------------------------------------------


def test_sections_until_one_come_first_as_they_are_there(write: Write) -> None:
    steps = planned(write())
    assert [(s.section, s.origin) for s in steps] == [
        ("4.1", "other"),
        ("4.2", "other"),
        ("5.1", ""),
    ]
    assert [c.text for s in steps for c in s.commands] == ["echo one", "echo two"]


def test_named_sections_in_the_order_that_they_are_named_in(write: Write) -> None:
    steps = planned(write('{scenario: other, sections: ["4.2", "4.1"]}'))
    assert [s.section for s in steps] == ["4.2", "4.1", "5.1"]


def test_what_is_borrowed_was_borrowed_there_too(write: Write, tmp_path: Path) -> None:
    path = write()
    chain = OWN.replace("WISH", '{scenario: own, until: "5.1"}').replace('"5.1"\n', '"6.1"\n')
    (tmp_path / "third.yaml").write_text(chain)
    steps = scenario.load(tmp_path / "third.yaml").steps
    assert path.stem == "own"
    assert [(s.section, s.origin) for s in steps if isinstance(s, BorrowedStep)] == [
        ("4.1", "other"),
        ("4.2", "other"),
        ("5.1", "own"),
    ]


def test_sections_that_wait_for_one_of_its_own(write: Write) -> None:
    second = '  - {section: "5.2", title: Two, where: host1, book: [echo own two]}\n'
    path = write('{scenario: other, until: "4.2", after: "5.1"}')
    path.write_text(path.read_text() + second)
    assert [s.section for s in planned(path)] == ["5.1", "4.1", "4.2", "5.2"]


@pytest.mark.parametrize(
    ("wish", "says"),
    {
        '{scenario: othre, until: "4.1"}': "there is no scenario 'othre'",
        '{scenario: other, until: "4.9"}': "has no section '4.9'; sections: 4.1, 4.2, 4.3",
        '{scenario: other, sections: ["4.9"]}': "has no section '4.9'; sections: 4.1, 4.2, 4.3",
        '{scenario: other, sections: ["4.1"], until: "4.1"}': "exactly one of: sections, until",
        '{scenario: other, until: "4.1", after: "4.1"}': "'4.1' is none of its sections: 5.1",
        "{scenario: other}": "exactly one of: sections, until",
        '{scenario: other, until: "4.3"}': "section 4.3: there is no node 'host2'; nodes: host1",
        '{scenario: other, sections: ["4.1", "4.1"]}': "section 4.1 would stand here twice",
        '{scenario: own, until: "5.1"}': "own borrows from own itself",
    }.items(),
)
def test_what_cannot_be_borrowed(write: Write, wish: str, says: str) -> None:
    message = refused(write(wish))
    assert says in message


@pytest.mark.parametrize(
    ("wish", "says"),
    {
        '{scenario: other, until: "4.3"}': "until: section 4.3: there is no node",
        '{scenario: other, sections: ["4.9"]}': "sections: other has no section '4.9'",
        '{scenario: other, until: "4.1", after: "4.1"}': "after: '4.1' is none of its sections",
        '{scenario: remote-walktrough, until: "4.1"}': "scenario: there is no scenario 'remote-wal",
        '{scenario: own, until: "5.1"}': "scenario: own borrows from own itself",
        '{scenario: "", until: "4.1"}': "scenario: '' is not a scenario's name: write",
        '{scenario: ../../etc/passwd, until: "4.1"}': "scenario: '../../etc/passwd' is not a scen",
        '{scenario: "..", until: "4.1"}': "scenario: '..' is not a scenario's name: write that of",
    }.items(),
)
def test_the_place_of_what_cannot_be_borrowed(write: Write, wish: str, says: str) -> None:
    assert refused(write(wish)).startswith(f"own.yaml:7: prepare [1], {says}")


def test_what_is_borrowed_is_wrong_where_it_stands(write: Write) -> None:
    path = write(other=OTHER.replace("steps:", "steppes:"))
    where = f"own.yaml:7: prepare [1], scenario: {path.with_name('other.yaml')}:"
    assert refused(path).startswith(where)


def test_a_plan_names_the_file_that_was_borrowed_from(write: Write) -> None:
    book = OTHER.replace(
        "book: [echo one]", "book: [echo one], expect: [printed: {command: 2, text: x}]"
    )
    assert book != OTHER
    path = write(other=book)
    with pytest.raises(BadInput) as caught:
        planned(path)
    assert caught.value.message.startswith(f"{path.with_name('other.yaml')}:")


def test_a_circle(write: Write) -> None:
    circle = OTHER.replace("steps:", 'prepare: [{scenario: own, until: "5.1"}]\nsteps:')
    assert "own borrows from other itself" in refused(write(other=circle))


# -- on some platforms only ----------------------------------------------------------------

RUN = "          - run: {node: host1, command: echo new}\n"
EXPECT = "          - dc: host1\n"


def on_new(line: str, why: str = "pcs 0.12 has it, no earlier one") -> str:
    return line.replace("- ", f"- when: pcs >= 0.12\n            why: {why}\n            ", 1)


@pytest.mark.parametrize(("platform", "count"), [(NEW, 1), (OLD, 0)])
def test_an_entry_on_some_platforms(write: Write, platform: Platform, count: int) -> None:
    part = planned(write(UNTIL, (RUN, on_new(RUN))), platform)[-1].parts[0]
    assert [use.why for use in part.acts] == ["pcs 0.12 has it, no earlier one"] * count
    part = planned(write(UNTIL, (EXPECT, on_new(EXPECT))), platform)[-1].parts[0]
    assert [use.text for use in part.expect] == ["host1 is the DC"] * count


def test_a_part_on_some_platforms(write: Write) -> None:
    part = f"      - when: pcs < 0.12\n        why: gone since then\n        act:\n  {RUN}"
    path = write(UNTIL, ("    parts:\n", f"    parts:\n{part}"))
    assert len(planned(path, OLD)[-1].parts) == 2
    assert len(planned(path, NEW)[-1].parts) == 1


def test_nothing_is_left_of_a_section(write: Write) -> None:
    path = write(UNTIL, (RUN, on_new(RUN)), (EXPECT, on_new(EXPECT)))
    with pytest.raises(BadInput, match=r"own.yaml:9: section 5\.1: nothing of it is left on old"):
        planned(path, OLD)


@pytest.mark.parametrize(
    ("edit", "line", "says"),
    [
        ((RUN, on_new(RUN).replace("why: pcs 0.12 has it, no earlier one", "")), 14, "give both"),
        ((RUN, on_new(RUN, "so")), 15, "'so' is not a reason: write"),
        ((RUN, on_new(RUN).replace("pcs >=", "psc >=")), 14, "psc is not known"),
        ((EXPECT, on_new(EXPECT).replace("pcs >=", "psc >=")), 16, "psc is not known"),
        (("    where: host1\n", "    where: host1\n    when: pcs > 1\n    why: for no reason\n"), 9,
         "a section is never left out"),
        (("      - act:\n", "      - when: pcs > 1\n        act:\n"), 13, "give both"),
        (("      - act:\n", "      - when: pcs > 1\n        why: for no reason\n"
          "        book: [echo]\n        act:\n"), 13, "commands of the book are never left out"),
    ],
    ids=["no reason", "poor reason", "act", "expect", "a section", "part", "part with a command"],
)  # fmt: skip
def test_bad_conditions(write: Write, edit: tuple[str, str], line: int, says: str) -> None:
    message = refused(write(UNTIL, edit))
    assert message.startswith(f"own.yaml:{line}: ")
    assert says in message


# -- departures ----------------------------------------------------------------------------


def departing(text: str) -> tuple[str, str]:
    entry = f"{{kind: output, book: it says one thing, now: it says another, {text}}}"
    return (EXPECT, f"{EXPECT}        departs:\n          - {entry}\n")


def test_a_departure_is_awaited_with_the_expectations(write: Write) -> None:
    *_, last = (
        planned(write(UNTIL, departing("shown_by: {printed: {text: x}}")))[-1].parts[0].expect
    )
    assert last.text == "command 1 prints 'x'"
    assert last.departs is not None
    assert last.departs.now == "it says another"


def test_a_departure_on_some_platforms(write: Write) -> None:
    path = write(UNTIL, departing("when: pcs >= 0.12, shown_by: {printed: {text: x}}"))
    assert len(planned(path, NEW)[-1].parts[0].expect) == 2
    assert len(planned(path, OLD)[-1].parts[0].expect) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shown_by: {pritned: {text: x}}", "departs [1], shown_by: unknown check 'pritned'"),
        ("when: soon, shown_by: {printed: {text: x}}", "departs [1], when: 'soon' is not"),
        ("when: pcs > 1", "shown_by: this key is missing"),
    ],
)
def test_bad_departures(write: Write, text: str, says: str) -> None:
    assert says in refused(write(UNTIL, departing(text)))
