"""Scenarios: what is wrong with a file, where, and what the valid choices are; and plans."""

from __future__ import annotations

import copy
import functools
import json
import operator
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lab import plan as plans
from lab import platforms, scenario
from lab.errors import BadInput
from lab.model import Scenario
from lab.plan import PlannedCommand, PlannedStep
from lab.platform import Platform
from lab.yamlfile import Document, Place

GOOD = """\
title: T
about: A
chapter: "4"
nodes:
  host1: {address: 192.168.122.101, hypervisor: true}
  plain: {address: 192.168.122.102}
guests:
  guest1: {host: host1, address: 192.168.122.103}
steps:
  - section: "4.1"
    title: One
    where: host1
    book:
      - echo one
      - echo two
      - echo three
    adapt:
      - when: family == debian
        replaces: 1
        run: [echo other]
        why: because it is another one
    act:
      - reboot: host1
    expect:
      - dc: host1
  - section: "4.10"
    title: Two
    parts:
      - where: plain
        book: [echo four]
        within: 10s
        expect:
          - nodes_online: {nodes: [host1, plain]}
      - expect:
          - no_dc:
"""
DEBIAN = Platform(
    name="made-up-debian",
    title="Made up",
    family="debian",
    suite="none",
    versions={"pacemaker": "2.1.5", "pcs": "0.11.5"},
    packages={},
)
CENTOS = platforms.load("centos-7")  # what the book was written on

Edit = tuple[str, str]
Refused = Callable[..., str]


def edited(*edits: Edit) -> str:
    text = GOOD
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def planned(path: Path, *edits: Edit, platform: Platform = DEBIAN) -> list[PlannedStep]:
    path.write_text(edited(*edits))
    return plans.plan(scenario.load(path), platform)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.yaml"


@pytest.fixture
def refused(path: Path) -> Refused:
    """Load GOOD with these edits: the message, which starts with `s.yaml:LINE: `."""

    def refused(*edits: Edit) -> str:
        path.write_text(edited(*edits))
        with pytest.raises(BadInput) as caught:
            scenario.load(path)
        assert caught.value.exit_code == 2
        message = caught.value.message
        assert message.startswith(f"{path}:")
        return message.removeprefix(f"{path.parent}/")

    return refused


def test_good(path: Path) -> None:
    path.write_text(GOOD)
    loaded = scenario.load(path)
    assert loaded.names == ["host1", "plain", "guest1"]
    assert [step.section for step in loaded.steps] == ["4.1", "4.10"]


def with_fault(entry: str) -> Edit:
    """A fault on line 25; nothing else moves before it."""
    return "- reboot: host1", f"- reboot: host1\n    fault:\n      - {entry}"


def announcing(what: str) -> Edit:
    """An announcement on line 13."""
    return "    where: host1\n", f"    where: host1\n    announce: {{{what}}}\n"


# Each row: what is edited, the line that is wrong, what the message says after it.
BAD = {
    "unknown key at the top": (
        ("about: A", "about: A\nsteppes: []"),
        3,
        "steppes: unknown key; did you mean 'steps'? "
        "valid: about, chapter, fleet, guests, nodes, prepare, steps, title",
    ),
    "misspelt key at the top": (
        ("about: A", "abuot: A"),
        2,
        "abuot: unknown key; did you mean 'about'? "
        "valid: about, chapter, fleet, guests, nodes, prepare, steps, title (and 1 more)",
    ),
    "unknown key of a node": (
        ("plain: {address: 192.168.122.102}", "plain: {address: 192.168.122.102, memry: 512}"),
        6,
        "nodes, plain, memry: unknown key; did you mean 'memory'? "
        "valid: address, cpus, hypervisor, memory, role, slim",
    ),
    "unknown key in a step": (
        ("    act:\n", "    acts:\n"),
        22,
        "section 4.1, acts: unknown key; did you mean 'act'? "
        "valid: act, adapt, announce, before, book, departs, expect, fault, healed, parts, "
        "section, title, when, where, why, within",
    ),
    "unknown key in a part": (
        ("within: 10s", "withn: 10s"),
        31,
        "section 4.10, parts [1], withn: unknown key; did you mean 'within'? "
        "valid: act, adapt, before, book, departs, expect, fault, healed, when, where, why, within",
    ),
    "unknown key in an adaptation": (
        ("        why: bec", "        reason: bec"),
        21,
        "section 4.1, adapt [1], reason: unknown key; valid: after, before, replaces, run, "
        "when, why (and 1 more)",
    ),
    "unknown key of a command": (
        ("- echo two", "- {run: echo two, wher: plain}"),
        15,
        "section 4.1, book [2], wher: unknown key; did you mean 'where'? "
        "valid: exit, run, stdin, where",
    ),
    "no reason given": (
        ("        why: because it is another one\n", ""),
        18,
        "section 4.1, adapt [1], why: this key is missing",
    ),
    "reason too short": (
        ("because it is another one", "because"),
        21,
        "section 4.1, adapt [1], why: needs at least 10 characters",
    ),
    "unknown check": (
        ("- dc: host1", "- quorom:"),
        25,
        "section 4.1, expect [1]: unknown check 'quorom'; did you mean 'quorum'? valid: *dc, *",
    ),
    "unknown action": (
        ("- reboot: host1", "- rebot: host1"),
        23,
        "section 4.1, act [1]: unknown action 'rebot'; did you mean 'reboot'? valid: "
        "*create_guest, *reboot, *",
    ),
    "a check is no action": (
        ("- reboot: host1", "- dc: host1"),
        23,
        "section 4.1, act [1]: unknown action 'dc'; valid: *",
    ),
    "argument missing": (
        ("- dc: host1", "- dc: {}"),
        25,
        "section 4.1, expect [1]: dc: node is missing; arguments: node",
    ),
    "argument unknown": (
        ("- dc: host1", "- dc: {node: host1, soon: true}"),
        25,
        "section 4.1, expect [1]: dc: soon is no argument of it; arguments: node",
    ),
    "argument of the wrong kind": (
        ("nodes: [host1, plain]", "nodes: host1"),
        33,
        "section 4.10, parts [1], expect [1]: nodes_online: nodes should be a list; "
        "arguments: nodes",
    ),
    "two checks in one entry": (
        ("- dc: host1", "- {dc: host1, no_dc: }"),
        25,
        "section 4.1, expect [1]: one check an entry, this one has 2 keys",
    ),
    "a check that is only a word": (
        ("- dc: host1", "- dc"),
        25,
        "section 4.1, expect [1]: should be a word, a colon and its arguments, such as *",
    ),
    "a command that is none": (
        ("- echo two", "- 7"),
        15,
        "section 4.1, book [2]: should be a command: write its text, or {run: *",
    ),
    "a kind of guest that there is not": (
        ("{host: host1,", "{host: host1, kind: lxc,"),
        8,
        "guests, guest1, kind: should be one of: vm, container",
    ),
    "a section without a number": (
        ('"4.10"', "intro"),
        26,
        "section intro, section: 'intro' is not the number of a section: write \"4.1.2\" or *",
    ),
    "unknown node in a step's where": (
        ("    where: host1", "    where: host2"),
        12,
        "section 4.1, where: there is no node 'host2'; nodes: host1, plain, guest1",
    ),
    "unknown node in the where of a step with parts": (
        ("    title: Two", "    title: Two\n    where: host2"),
        28,
        "section 4.10, where: there is no node 'host2'; nodes: host1, plain, guest1",
    ),
    "unknown node in a part's where": (
        ("- where: plain", "- where: pain"),
        29,
        "section 4.10, parts [1], where: there is no node 'pain'; nodes: host1, plain, guest1",
    ),
    "unknown node in a command's where": (
        ("- echo two", "- {run: echo two, where: host2}"),
        15,
        "section 4.1, book [2], where: there is no node 'host2'; nodes: host1, plain, guest1",
    ),
    "unknown node in an adaptation's where": (
        ("run: [echo other]", "run: [{run: echo other, where: host2}]"),
        20,
        "section 4.1, adapt [1], run [1], where: there is no node 'host2'; "
        "nodes: host1, plain, guest1",
    ),
    "unknown node as an argument": (
        ("- dc: host1", "- dc: host2"),
        25,
        "section 4.1, expect [1]: dc: node: there is no node 'host2'; nodes: host1, plain, guest1",
    ),
    "unknown node in a list of them": (
        ("nodes: [host1, plain]", "nodes: [host1, pain]"),
        33,
        "section 4.10, parts [1], expect [1]: nodes_online: nodes: there is no node 'pain'; "
        "nodes: host1, plain, guest1",
    ),
    "commands without a place": (
        ("    where: host1\n", ""),
        12,
        "section 4.1, book: commands need `where:`, the node they are typed on",
    ),
    "replaces a command that is not there": (
        ("replaces: 1", "replaces: 4"),
        19,
        "section 4.1, adapt [1], replaces: there is no command 4; the book has 3 here",
    ),
    "replaces command 0": (
        ("replaces: 1", "replaces: 0"),
        19,
        "section 4.1, adapt [1], replaces: there is no command 0; the book has 3 here",
    ),
    "replaces some that are there and one that is not": (
        ("replaces: 1", "replaces: [1, 4]"),
        19,
        "section 4.1, adapt [1], replaces: there is no command 4; the book has 3 here",
    ),
    "after a command that is not there": (
        ("replaces: 1", "after: 4"),
        19,
        "section 4.1, adapt [1], after: there is no command 4; the book has 3 here",
    ),
    "replaces nothing": (
        ("replaces: 1", "replaces: []"),
        19,
        "section 4.1, adapt [1], replaces: *",
    ),
    "an adaptation for every platform": (
        ("when: family == debian", 'when: ""'),
        18,
        "section 4.1, adapt [1], when: must not be empty",
    ),
    "a part with nothing in it": (
        ("      - expect:\n          - no_dc:\n", "      - {}\n"),
        34,
        "section 4.10, parts [2]: a part needs before, book, act, fault, expect or departs",
    ),
    "two places": (
        ("replaces: 1", "replaces: 1\n        after: 2"),
        18,
        "section 4.1, adapt [1]: give exactly one of: replaces, before, after",
    ),
    "no place": (
        ("        replaces: 1\n", ""),
        18,
        "section 4.1, adapt [1]: give exactly one of: replaces, before, after",
    ),
    "duplicate section": (('"4.10"', '"4.1"'), 26, "section 4.1: this section stands here twice"),
    "duplicate key": (("about: A", "about: A\nabout: B"), 3, "the key 'about' stands here twice"),
    "malformed": (("about: A", "about: [A"), 3, "expected ',' or ']', but got ':'"),
    "bad duration": (
        ("within: 10s", "within: soon"),
        31,
        "section 4.10, parts [1], within: 'soon' is not a duration: write 90s, 2min or 500ms",
    ),
    "negative duration": (
        ("within: 10s", "within: -10"),
        31,
        "section 4.10, parts [1], within: -10 is not a duration: write 90s, 2min or 500ms",
    ),
    "unreadable when": (
        ("when: family == debian", "when: family is debian"),
        18,
        "section 4.1, adapt [1], when: 'family is debian' is not a condition: "
        "write NAME OPERATOR VALUE, such as pcs >= 0.10, joined by `and`",
    ),
    "unknown name in when": (
        ("when: family == debian", "when: pcsd >= 0.10"),
        18,
        "section 4.1, adapt [1], when: 'pcsd >= 0.10': pcsd is not known of debian-12; "
        "valid: family, guests, platform, *pcs, *",
    ),
    "no version in when": (
        ("when: family == debian", "when: pcs >= new"),
        18,
        "section 4.1, adapt [1], when: 'pcs >= new': new is not a version",
    ),
    "a guest on a machine that runs none": (
        ("host: host1", "host: plain"),
        8,
        "guests, guest1, host: 'plain' is no hypervisor; hypervisors: host1",
    ),
    "a guest on a machine that is not there": (
        ("host: host1", "host: host2"),
        8,
        "guests, guest1, host: 'host2' is no hypervisor; hypervisors: host1",
    ),
    "a guest that is a machine too": (
        ("  guest1:", "  plain:"),
        8,
        "guests, plain: plain is both a machine and a guest",
    ),
    "a container that is to be a cluster node": (
        ("192.168.122.103}", "192.168.122.103, kind: container, role: cluster}"),
        8,
        "guests, guest1: role: a container can only be a guest; role: cluster needs kind: vm",
    ),
    "a container that is to be a remote node": (
        ("192.168.122.103}", "192.168.122.103, kind: container, role: remote}"),
        8,
        "guests, guest1: role: a container can only be a guest; role: remote needs kind: vm",
    ),
    "an address twice": (
        ("192.168.122.103", "192.168.122.101"),
        8,
        "guests, guest1, address: this is the address of host1 too",
    ),
    "an address on another network": (
        ("192.168.122.103", "192.168.123.103"),
        8,
        "guests, guest1, address: 192.168.123.103 is not on the lab's network 192.168.122.0/24; "
        "nodes can have 192.168.122.2 to 192.168.122.254",
    ),
    "the address of the outside": (
        ("{address: 192.168.122.102}", "{address: 192.168.122.1}"),
        6,
        "nodes, plain, address: 192.168.122.1 is the outside of the lab's network; *",
    ),
    "the address of everybody": (
        ("{address: 192.168.122.102}", "{address: 192.168.122.255}"),
        6,
        "nodes, plain, address: 192.168.122.255 is no single machine's on *",
    ),
    "the address of the network": (
        ("{address: 192.168.122.102}", "{address: 192.168.122.0}"),
        6,
        "nodes, plain, address: 192.168.122.0 is no single machine's on *",
    ),
    "no address": (
        ("192.168.122.103", "10.0.0.300"),
        8,
        "guests, guest1, address: '10.0.0.300' is not an IPv4 address",
    ),
    "a node's name that no machine can have": (
        ("  plain:", "  Plain_1:"),
        6,
        "nodes, Plain_1: 'Plain_1' is not a name that a machine can have, such as node1: *",
    ),
    "parts and commands of one's own": (
        ("    title: Two", "    title: Two\n    book: [echo]"),
        26,
        "section 4.10: a section has either parts or its own book/act/fault/expect, not both",
    ),
    "YAML 1.1's booleans": (
        ("hypervisor: true", "hypervisor: yes"),
        5,
        "nodes, host1, hypervisor: should be true or false",
    ),
    "a section that YAML takes for a number": (
        ('"4.10"', "5"),
        26,
        "section 5, section: should be text (a number: in quotes)",
    ),
    "unknown node in a where of several": (
        ("    where: host1\n", "    where: [host1, host2]\n"),
        12,
        "section 4.1, where: there is no node 'host2'; nodes: host1, plain, guest1",
    ),
    "unknown node in a command's where of several": (
        ("- echo two", "- {run: echo two, where: [plain, host2]}"),
        15,
        "section 4.1, book [2], where: there is no node 'host2'; nodes: host1, plain, guest1",
    ),
    "unknown node in an adaptation's where of several": (
        ("run: [echo other]", "run: [{run: echo other, where: [plain, host2]}]"),
        20,
        "section 4.1, adapt [1], run [1], where: there is no node 'host2'; *",
    ),
    "a where that is no name": (
        ("    where: host1\n", "    where: {host1: plain}\n"),
        12,
        "section 4.1, where: should be a list",
    ),
    "unknown fault": (
        with_fault("freze: {node: host1, process: corosync}"),
        25,
        "section 4.1, fault [1]: unknown fault 'freze'; did you mean 'freeze'? valid: *",
    ),
    "a check is no fault": (
        with_fault("dc: host1"),
        25,
        "section 4.1, fault [1]: unknown fault 'dc'; valid: *",
    ),
    "a fault's argument unknown": (
        with_fault("freeze: {node: host1, proces: corosync}"),
        25,
        "section 4.1, fault [1]: freeze: proces is no argument of it; arguments: node, process",
    ),
    "a fault's argument missing": (
        with_fault("freeze: host1"),
        25,
        "section 4.1, fault [1]: freeze: process is missing; arguments: node, process",
    ),
    "a fault's argument of the wrong kind": (
        with_fault("loss: {node: host1, percent: all}"),
        25,
        "section 4.1, fault [1]: loss: percent should be a whole number; arguments: node, percent",
    ),
    "a fault of an unknown node": (
        with_fault("cut: host2"),
        25,
        "section 4.1, fault [1]: cut: node: there is no node 'host2'; nodes: host1, plain, guest1",
    ),
    "an unknown node in the second part of a network": (
        with_fault("partition: {groups: [[host1], [plain, host2]]}"),
        25,
        "section 4.1, fault [1]: partition: groups: there is no node 'host2'; "
        "nodes: host1, plain, guest1",
    ),
    "a partition that is no list of lists": (
        with_fault("partition: {groups: [host1, plain]}"),
        25,
        "section 4.1, fault [1]: partition: groups should be a list; arguments: groups",
    ),
    "two faults in one entry": (
        with_fault("{cut: host1, power_off: plain}"),
        25,
        "section 4.1, fault [1]: one fault an entry, this one has 2 keys",
    ),
    "healed without a fault": (
        ("- dc: host1", "- dc: host1\n    healed:\n      - no_dc:"),
        10,
        "section 4.1: healed: there is no fault here that could be healed",
    ),
    "healed without a fault, in a part": (
        ("      - expect:\n", "      - healed: [{dc: host1}]\n        expect:\n"),
        34,
        "section 4.10, parts [2]: healed: there is no fault here that could be healed",
    ),
    "unknown check in what is healed": (
        with_fault("cut: host1\n    healed:\n      - quorom:"),
        27,
        "section 4.1, healed [1]: unknown check 'quorom'; did you mean 'quorum'? valid: *",
    ),
    "a fault beside parts": (
        ("    title: Two", "    title: Two\n    fault: [{cut: host1}]"),
        26,
        "section 4.10: a section has either parts or its own book/act/fault/expect, not both",
    ),
    "an unknown node is announced": (
        announcing("nodes: {host1: offline, host2: offline}"),
        13,
        "section 4.1, announce, nodes: there is no node 'host2'; nodes: host1, plain, guest1",
    ),
    "an unknown audit is announced": (
        announcing("violated: {crash: 10s}"),
        13,
        "section 4.1, announce, violated, crash: there is no audit 'crash'; "
        "audits: cluster_answers, *, crashes",
    ),
    "a bad duration is announced": (
        announcing("violated: {equal_cib: soon}"),
        13,
        "section 4.1, announce, violated, equal_cib: 'soon' is not a duration: "
        "write 90s, 2min or 500ms",
    ),
    "unknown key of an announcement": (
        announcing("fails: [vm monitor]"),
        13,
        "section 4.1, announce, fails: unknown key; did you mean 'failed'? "
        "valid: crashes, failed, nodes, violated",
    ),
    "cores are announced to pass": (
        announcing("violated: {cores: 10s}"),
        13,
        "section 4.1, announce, violated, cores: what happened does not pass; "
        "announce what may be said: crashes: [...]",
    ),
    "crashes are announced to pass": (
        announcing("violated: {single_dc: 10s, crashes: 10s}"),
        13,
        "section 4.1, announce, violated, crashes: what happened does not pass; *",
    ),
    "what is announced of crashes is no regular expression": (
        announcing("crashes: [fine, 'x(']"),
        13,
        "section 4.1, announce, crashes [2]: 'x(' is not a regular expression: *",
    ),
    "a phase of a recovery that there is not": (
        ("- dc: host1", "- dc: host1\n      - recovery: {phases: [detected, mended]}"),
        26,
        "section 4.1, expect [2]: recovery: phases should be one of: detected, fenced, recovered, "
        "reintegrated; arguments: phases",
    ),
    "a platform that there is not in when": (
        ("family == debian", "platform == debian-99"),
        18,
        "section 4.1, adapt [1], when: 'platform == debian-99': platform is one of: almalinux-9,*",
    ),
    "a pattern that is none": (
        ("- dc: host1", '- answers: {pattern: "("}'),
        25,
        "section 4.1, expect [1]: answers: pattern '(' is not a regular expression: *; arguments*",
    ),
    "a port without its protocol": (
        ("- dc: host1", '- ports_open: {node: host1, ports: ["3121"]}'),
        25,
        "section 4.1, expect [1]: ports_open: ports '3121' is not a port: write 3121/tcp or 5405*",
    ),
    "ports seen from nowhere": (
        ("- dc: host1", "- ports_open: {node: host1, ports: [1/tcp], seen_from: inside}"),
        25,
        "section 4.1, expect [1]: ports_open: seen_from: there is no node 'inside'; nodes: host1*",
    ),
    "a port that is too high": (
        ("- dc: host1", "- connection: {source: host1, to: plain, port: 99999, outcome: silent}"),
        25,
        "section 4.1, expect [1]: connection: port should be from 1 to 65535, not 99999; *",
    ),
    "a state of a guest that is none": (
        ("- dc: host1", "- domain_state: {guest: plain, state: running}"),
        25,
        "section 4.1, expect [1]: domain_state: guest: plain is no guest; guests: guest1",
    ),
    "a state that no guest has": (
        ("- dc: host1", "- domain_state: {guest: guest1, state: up}"),
        25,
        "section 4.1, expect [1]: domain_state: state should be one of: running, *",
    ),
    "a guest node that is none": (
        ("- dc: host1", "- guest_online: {guest: plain, host: host1}"),
        25,
        "section 4.1, expect [1]: guest_online: guest: plain is no guest; guests: guest1",
    ),
    "a guest to create that is none": (
        ("- reboot: host1", "- create_guest: plain"),
        23,
        "section 4.1, act [1]: create_guest: guest: plain is no guest; guests: guest1",
    ),
    "a section of the CIB that there is not": (
        ("- dc: host1", "- cib_knows: {node: plain, sections: [foo]}"),
        25,
        "section 4.1, expect [1]: cib_knows: sections should be one of: nodes, status; *",
    ),
    "a role that there is not": (
        ("- dc: host1", "- resource_role: {resource: a, role: started}"),
        25,
        "section 4.1, expect [1]: resource_role: role should be one of: Started, *",
    ),
    "a role that there is not, to last": (
        ("- dc: host1", "- role_lasts: {resource: a, role: up, seconds: 8}"),
        25,
        "section 4.1, expect [1]: role_lasts: role should be one of: Started, *",
    ),
    "a state of a node that there is not": (
        ("- dc: host1", "- node_state: {node: plain, state: asleep}"),
        25,
        "section 4.1, expect [1]: node_state: state 'asleep' is not a node's state: write absent*",
    ),
    "software that no platform knows": (
        ("- dc: host1", "- software_version: {node: plain, software: pacemakerd}"),
        25,
        "section 4.1, expect [1]: software_version: software should be one of: pacemaker, *",
    ),
    "an operation that there is not": (
        ("- dc: host1", "- failed_action: {resource: a, operation: begin}"),
        25,
        "section 4.1, expect [1]: failed_action: operation should be one of: start, *",
    ),
    "a fence agent that no platform has": (
        ("- reboot: host1", "- install_agent: {nodes: [host1], agent: fence_virt}"),
        23,
        "section 4.1, act [1]: install_agent: agent should be one of: fence_ipmilan, *",
    ),
    "a mode that is none": (
        ("- dc: host1", '- file: {node: host1, path: /etc, mode: "755"}'),
        25,
        "section 4.1, expect [1]: file: mode '755' is not an octal mode: write four digits, such*",
    ),
    "a socket that is none": (
        ("- dc: host1", "- listening: {node: host1, socket: 3121/tcp}"),
        25,
        "section 4.1, expect [1]: listening: socket '3121/tcp' is not a socket: write tcp://3121*",
    ),
    "a text that every file has": (
        ("- dc: host1", '- file: {node: host1, path: /etc, contains: ""}'),
        25,
        "section 4.1, expect [1]: file: contains must not be empty; *",
    ),
    "an exit status that there is not": (
        ("- reboot: host1", "- run: {node: host1, command: echo, exits: [256]}"),
        23,
        "section 4.1, act [1]: run: exits should be from 0 to 255, not 256; *",
    ),
    "no time at all to run in": (
        ("- reboot: host1", "- run: {node: host1, command: echo, within: 0}"),
        23,
        "section 4.1, act [1]: run: within should be from 1 to 1000000, not 0; *",
    ),
    "a loss of more than there is": (
        with_fault("loss: {node: host1, percent: 500}"),
        25,
        "section 4.1, fault [1]: loss: percent should be from 1 to 100, not 500; arguments: node*",
    ),
    "a delay back in time": (
        with_fault("delay: {node: host1, milliseconds: -1}"),
        25,
        "section 4.1, fault [1]: delay: milliseconds should be from 1 to 60000, not -1; *",
    ),
    "a partition in one part": (
        with_fault("partition: {groups: [[host1, plain]]}"),
        25,
        "section 4.1, fault [1]: partition: groups should be two groups of nodes or more, none*",
    ),
    "a blocked port that is none": (
        with_fault("block_port: {node: host1, port: x}"),
        25,
        "section 4.1, fault [1]: block_port: port 'x' is not a port: write 3121/tcp or 5405/udp;*",
    ),
    "a state that no node has is announced": (
        announcing("nodes: {host1: sleeping}"),
        13,
        "section 4.1, announce, nodes, host1: 'sleeping' is not a node's state: write *",
    ),
    "a failure of no operation is announced": (
        announcing("failed: [remote1]"),
        13,
        "section 4.1, announce, failed [1]: 'remote1' is not RESOURCE OPERATION, such as vm moni*",
    ),
    "no exit status is right": (
        ("- echo two", "- {run: echo two, exit: []}"),
        15,
        "section 4.1, book [2], exit: must not be empty",
    ),
    "exit statuses that there are not": (
        ("- echo two", "- {run: echo two, exit: [-1, 300]}"),
        15,
        "section 4.1, book [2], exit [1]: should be from 0 to 255, not -1 (and *",
    ),
    "an empty command": (
        ("- echo two", '- ""'),
        15,
        "section 4.1, book [2]: must not be empty",
    ),
    "replaces the same twice": (
        ("replaces: 1", "replaces: [1, 1]"),
        19,
        "section 4.1, adapt [1], replaces: 1 stands here twice",
    ),
    "on one node twice": (
        ("    where: host1\n", "    where: [host1, host1]\n"),
        12,
        "section 4.1, where: host1 stands here twice",
    ),
    "no processor": (
        ("hypervisor: true", "cpus: 0"),
        5,
        "nodes, host1, cpus: should be from 1 to 512, not 0",
    ),
    "fewer processors than none": (
        ("{host: host1, ", "{host: host1, cpus: -3, "),
        8,
        "guests, guest1, cpus: should be from 1 to 512, not -3",
    ),
    "no time at all": (
        ("within: 10s", "within: 0s"),
        31,
        "section 4.10, parts [1], within: should be more than 0",
    ),
    "more memory than there is in the world": (
        ("hypervisor: true", "memory: 12345678901234567890123456"),
        5,
        "nodes, host1, memory: should be from 64 to 1048576, not *",
    ),
    "a secret that no lab has": (
        ("- echo two", "- {run: echo two, stdin: root}"),
        15,
        "section 4.1, book [2], stdin: should be one of: hacluster, bmc",
    ),
}


@pytest.mark.parametrize(("edit", "line", "says"), BAD.values(), ids=BAD)
def test_bad(refused: Refused, edit: Edit, line: int, says: str) -> None:
    pattern = ".*".join(map(re.escape, f"s.yaml:{line}: {says}".split("*")))
    assert re.fullmatch(pattern, refused(edit))


def test_a_scenario_without_sections(path: Path) -> None:
    path.write_text(GOOD[: GOOD.index("steps:")] + "steps: []\n")
    with pytest.raises(BadInput, match=r"s\.yaml:9: steps: must not be empty"):
        scenario.load(path)


@pytest.mark.parametrize("text", ["", "- title: T\n"], ids=["empty", "list"])
def test_no_mapping(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        scenario.load(path)
    assert caught.value.exit_code == 2
    assert caught.value.message == (
        f"{path}:1: a scenario is a mapping; its keys: about, chapter, fleet, guests, nodes, "
        "prepare, steps, title"
    )


def test_binary_file_and_no_file(path: Path) -> None:
    path.write_bytes(b"\x7fELF\xff\xfe\x00")
    for wrong in (path, path.with_name("none.yaml"), path.parent):
        with pytest.raises(BadInput, match="cannot be read") as caught:
            scenario.load(wrong)
        assert caught.value.exit_code == 2
        assert str(wrong) in caught.value.message


def test_find_by_name_and_by_path(path: Path) -> None:
    path.write_text(GOOD)
    assert scenario.find(str(path)) == path
    assert scenario.find("guest-walkthrough").name == "guest-walkthrough.yaml"
    assert "guest-walkthrough" in scenario.names()


def test_unknown_scenario() -> None:
    with pytest.raises(BadInput) as caught:
        scenario.find("guest-walktrough")
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith(
        "there is no scenario 'guest-walktrough'; did you mean guest-walkthrough? scenarios: "
    )
    assert ", ".join(scenario.names()) in caught.value.message
    with pytest.raises(BadInput, match=r"there is no scenario file \./none\.yaml"):
        scenario.find("./none.yaml")


def test_what_is_there_and_no_file(tmp_path: Path) -> None:
    folder, pipe = tmp_path / "dir.yaml", tmp_path / "fifo.yaml"
    folder.mkdir()
    os.mkfifo(pipe)
    with pytest.raises(BadInput, match=r"dir\.yaml is a folder; a scenario is a YAML file"):
        scenario.find(str(folder))
    for one in (pipe, Path("/dev/null")):
        with pytest.raises(BadInput, match=f"{one} is a pipe or a device; a scenario is a YAML f"):
            scenario.find(str(one))


def test_where_it_stands_is_no_part_of_a_scenario(tmp_path: Path) -> None:
    """As `lab up` asks whether a lab was made of the same one."""
    first, other = tmp_path / "first.yaml", tmp_path / "other.yaml"
    first.write_text(GOOD)
    other.write_text(f"# the same\n{GOOD}")
    assert scenario.load(first) == scenario.load(other)
    other.write_text(GOOD.replace("echo two", "echo 2"))
    assert scenario.load(first) != scenario.load(other)


# Plans


def texts(step: PlannedStep) -> list[str]:
    return [command.text for command in step.commands]


def test_plan_without_adaptations_is_the_book(path: Path) -> None:
    one, two = planned(path, platform=CENTOS)
    assert texts(one) == ["echo one", "echo two", "echo three"]
    assert [c.nodes for c in one.commands] == [("host1",)] * 3
    assert [c.book for c in one.commands] == [("echo one",), ("echo two",), ("echo three",)]
    assert (one.verbatim, one.adapted) == (3, 0)
    assert [c.nodes for c in two.commands] == [("plain",)]
    assert [part.within for part in two.parts] == [10.0, 30.0]
    assert [use.text for use in one.parts[0].acts] == ["reboot host1"]
    assert [use.word.name for part in two.parts for use in part.expect] == ["nodes_online", "no_dc"]


def test_replaces(path: Path) -> None:
    one, _ = planned(path)
    assert texts(one) == ["echo other", "echo two", "echo three"]
    first = one.commands[0]
    assert (first.adapted, first.book, first.why) == (
        True,
        ("echo one",),
        "because it is another one",
    )
    assert (one.verbatim, one.adapted) == (2, 1)


def test_one_command_becomes_several(path: Path) -> None:
    one, _ = planned(path, ("run: [echo other]", "run: [a, {run: b, where: plain, exit: [0, 3]}]"))
    assert texts(one) == ["a", "b", "echo two", "echo three"]
    assert [(c.nodes, c.exit) for c in one.commands[:2]] == [
        (("host1",), (0,)),
        (("plain",), (0, 3)),
    ]
    assert (one.verbatim, one.adapted) == (2, 1)


def test_several_commands_become_one(path: Path) -> None:
    one, _ = planned(path, ("replaces: 1", "replaces: [1, 3]"))
    assert texts(one) == ["echo other", "echo two"]
    assert one.commands[0].book == ("echo one", "echo three")
    assert (one.verbatim, one.adapted) == (1, 2)


def test_left_out(path: Path) -> None:
    one, _ = planned(path, ("run: [echo other]", "run: []"))
    first = one.commands[0]
    assert (first.omitted, first.adapted, first.book) == (True, True, ("echo one",))
    assert not any(command.omitted for command in one.commands[1:])
    assert (one.verbatim, one.adapted) == (2, 1)


@pytest.mark.parametrize(
    ("place", "order"),
    [
        ("before: 2", ["echo one", "echo other", "echo two", "echo three"]),
        ("after: 2", ["echo one", "echo two", "echo other", "echo three"]),
        ("after: 3", ["echo one", "echo two", "echo three", "echo other"]),
    ],
)
def test_beside_a_command_that_stays(path: Path, place: str, order: list[str]) -> None:
    one, _ = planned(path, ("replaces: 1", place))
    assert texts(one) == order
    added = one.commands[order.index("echo other")]
    assert (added.adapted, added.book, added.why) == (True, (), "because it is another one")
    assert (one.verbatim, one.adapted) == (3, 0)


def test_beside_a_command_that_is_replaced(path: Path) -> None:
    more = """adapt:
      - {when: pcs >= 0.10, before: 1, run: [first], why: this one comes first}
      - {when: pcs >= 0.10, after: 1, run: [last], why: this one comes last}
      - {when: pcs < 0.10, after: 1, run: [never], why: this one never comes}"""
    one, _ = planned(path, ("adapt:", more))
    assert texts(one) == ["first", "echo other", "last", "echo two", "echo three"]


def test_equal_commands_are_counted_each(path: Path) -> None:
    one, _ = planned(
        path,
        ("echo two", "echo one"),
        ("replaces: 1", "replaces: [1, 2]"),
    )
    assert (one.verbatim, one.adapted) == (1, 2)


def test_two_adaptations_of_one_command_are_refused(path: Path) -> None:
    more = (
        "adapt:\n      - {when: pcs >= 0.10, replaces: [2, 1], run: [x], why: another adaptation}"
    )
    with pytest.raises(BadInput) as caught:
        planned(path, ("adapt:", more))
    assert caught.value.message == (
        f"{path}:20: section 4.1, adapt [2], replaces: command 1 is replaced by 'pcs >= 0.10' and "
        "by 'family == debian' on made-up-debian"
    )
    planned(path, ("adapt:", more), platform=CENTOS)  # there neither applies
    with pytest.raises(BadInput, match=r"4\.1, adapt \[2\], .* on debian-12"):
        plans.check(scenario.load(path))


def test_a_part_of_which_nothing_is_left(path: Path) -> None:
    """On one platform only: `lab check` says so, and who plans for another one need not mind."""
    part = "      - {when: pacemaker >= 2.0, why: it is for later ones, expect: [no_dc: ]}\n"
    path.write_text(GOOD[: GOOD.index("      - where: plain")] + part)
    loaded = scenario.load(path)
    plans.plan(loaded, DEBIAN)
    with pytest.raises(BadInput) as caught:
        plans.check(loaded)
    assert caught.value.message == (f"{path}:26: section 4.10: nothing of it is left on centos-7")


@pytest.mark.parametrize(
    ("edit", "line", "says"),
    [
        (("- dc: host1", "- printed: {command: 9, text: x}"), 25, "expect [1]: printed: *9; 3 is"),
        (
            ("- dc: host1", "- answers: {command: 4, pattern: x}"),
            25,
            "expect [1]: answers: *4; 3 is",
        ),
        (
            ("    act:\n", "    before: [printed: x]\n    act:\n"),
            22,
            "before [1]: printed: *1; none is",
        ),
    ],
    ids=["typed", "no action's", "before"],
)
def test_a_check_of_a_command_that_is_not_typed(
    path: Path, edit: Edit, line: int, says: str
) -> None:
    with pytest.raises(BadInput) as caught:
        planned(path, edit)
    says = says.replace("*", "there is no command ")
    assert caught.value.message == (
        f"{path}:{line}: section 4.1, {says} typed here before it on made-up-debian"
    )


def test_commands_of_actions_are_counted_on(path: Path) -> None:
    run = "run: {node: host1, command: echo}"
    on_debian = f"- {{when: family == debian, why: it is for Debian, {run}}}"
    check = ("- dc: host1", "- printed: {command: 4, text: x}")
    planned(path, ("- reboot: host1", f"- {run}"), check)
    planned(path, ("- reboot: host1", on_debian), check)
    with pytest.raises(BadInput, match="there is no command 4; 3 is typed here before it on cent"):
        planned(path, ("- reboot: host1", on_debian), check, platform=CENTOS)


@pytest.mark.parametrize("name", scenario.names())
def test_every_scenario_can_be_planned_everywhere(name: str) -> None:
    plans.check(scenario.load(scenario.find(name)))


def test_condition_that_this_platform_cannot_tell(path: Path) -> None:
    expected = r"yaml:18: section 4\.1, adapt \[1\], when: .*libvirt is not known of made-up-debian"
    with pytest.raises(BadInput, match=expected):
        planned(path, ("family == debian", "libvirt >= 4"))


def test_reason_is_one_line(path: Path) -> None:
    reason = ("why: because it is another one", "why: |\n          because it\n          is so")
    one, _ = planned(path, reason)
    assert one.commands[0].why == "because it is so"


def test_secret_of_a_command(path: Path) -> None:
    one, _ = planned(path, ("- echo two", "- {run: echo two, stdin: hacluster}"))
    assert [command.secret for command in one.commands] == ["", "hacluster", ""]


TWO = ("    where: host1\n", "    where: [host1, plain]\n")


def test_several_nodes_at_once_are_one_command(path: Path) -> None:
    one, two = planned(path, TWO)
    assert [command.nodes for command in one.commands] == [("host1", "plain")] * 3
    assert (one.verbatim, one.adapted, one.added) == (2, 1, 0)
    assert [command.nodes for command in two.commands] == [("plain",)]


def test_a_part_and_a_command_have_nodes_of_their_own(path: Path) -> None:
    one, two = planned(
        path,
        TWO,
        ("- echo two", "- {run: echo two, where: [plain, guest1]}"),
        ("run: [echo other]", "run: [a, {run: b, where: [guest1, host1]}, {run: c, where: plain}]"),
        ("- where: plain", "- where: [plain, guest1]"),
    )
    assert [(command.text, command.nodes) for command in one.commands] == [
        ("a", ("host1", "plain")),
        ("b", ("guest1", "host1")),
        ("c", ("plain",)),
        ("echo two", ("plain", "guest1")),
        ("echo three", ("host1", "plain")),
    ]
    assert (one.verbatim, one.adapted, one.added) == (2, 1, 0)
    assert [command.nodes for command in two.commands] == [("plain", "guest1")]


def test_what_is_added_on_several_nodes_is_counted_once(path: Path) -> None:
    one, _ = planned(path, TWO, ("replaces: 1", "after: 1"))
    assert [command.nodes for command in one.commands] == [("host1", "plain")] * 4
    assert (one.verbatim, one.adapted, one.added) == (3, 0, 1)


def test_what_is_left_out_on_several_nodes_is_counted_once(path: Path) -> None:
    one, _ = planned(path, TWO, ("run: [echo other]", "run: []"))
    assert one.commands[0].omitted
    assert (one.verbatim, one.adapted, one.added) == (2, 1, 0)


def test_faults_and_what_must_hold_when_they_are_healed(path: Path) -> None:
    one, _ = planned(
        path,
        with_fault(
            "partition: {groups: [[host1, guest1], [plain]]}\n      - cut: plain\n"
            "    healed:\n      - no_dc:\n      - dc: plain"
        ),
    )
    (part,) = one.parts
    assert [use.word.name for use in part.faults] == ["partition", "cut"]
    assert [use.text for use in part.faults] == [
        "the network is partitioned: host1, guest1 | plain",
        "the network cable of plain is pulled",
    ]
    assert all(use.word.heal for use in part.faults)
    assert [use.text for use in part.healed] == ["the cluster has no DC yet", "plain is the DC"]
    assert [use.text for use in part.expect] == ["host1 is the DC"]


def test_a_section_that_is_but_a_fault(path: Path) -> None:
    one, _ = planned(path)
    assert one.parts[0].faults == one.parts[0].healed == ()
    text = GOOD[: GOOD.index("    where: host1")] + "    fault: [{cut: plain}]\n"
    path.write_text(text)
    (step,) = plans.plan(scenario.load(path), DEBIAN)
    assert [use.text for use in step.parts[0].faults] == ["the network cable of plain is pulled"]


def test_an_announcement(path: Path) -> None:
    said = (
        "nodes: {plain: offline unclean}, failed: [vm monitor], violated: {equal_cib: 2min}, "
        "crashes: [attrd.*signal]"
    )
    one, two = planned(path, announcing(said))
    assert one.announce.nodes == {"plain": "offline unclean"}
    assert one.announce.failed == ["vm monitor"]
    assert one.announce.violated == {"equal_cib": 120.0}
    assert (one.announce.crashes, two.announce.crashes) == (["attrd.*signal"], [])
    assert (two.announce.nodes, two.announce.failed, two.announce.violated) == ({}, [], {})


# The book's chapter 4

FIREWALL = [
    "firewall-cmd --permanent --add-service=high-availability",
    "firewall-cmd --reload",
]
KEY_FOLDER = ["mkdir -p --mode=0750 /etc/pacemaker", "chgrp haclient /etc/pacemaker"]
HOSTS = "cat << END >> /etc/hosts\n192.168.122.10    guest1\nEND"
VERIFY = "ssh -p 3121 guest1"
CREATE = "pcs resource create vm-guest1 VirtualDomain "
BOOK = {
    "4.1.1": FIREWALL,
    "4.1.2": ["yum install -y pacemaker corosync pcs resource-agents"],
    "4.1.3": ["pcs cluster setup --force --local --name mycluster example-host"],
    "4.1.4": [*KEY_FOLDER, "dd if=/dev/urandom of=/etc/pacemaker/authkey bs=4096 count=1"],
    # `pcs status` is shown twice: before there is a DC, and after.
    "4.1.5": ["pcs cluster start", "pcs status corosync", "pcs status", "pcs status"],
    "4.1.6": [
        "pcs property set stonith-enabled=false",
        "pcs property set no-quorum-policy=ignore",
        "pcs status",
        "pcs cluster stop --force",
    ],
    "4.1.7": [
        "yum install -y kvm libvirt qemu-system qemu-kvm bridge-utils virt-manager",
        "systemctl enable libvirtd.service",
    ],
    "4.2.1": [],
    "4.2.2": FIREWALL,
    "4.2.3": [],
    "4.2.4": [
        "yum install -y pacemaker pacemaker-remote resource-agents",
        "systemctl enable pacemaker_remote.service",
        *KEY_FOLDER,
        "scp root@example-host:/etc/pacemaker/authkey /etc/pacemaker",
        "systemctl start pacemaker_remote",
        "systemctl status pacemaker_remote",
    ],
    # It works in one way and fails in two, each of which the book shows.
    "4.2.5": [HOSTS, VERIFY, VERIFY, VERIFY],
    "4.3.1": ["pcs cluster start"],
    "4.3.2": [
        "virsh list --all",
        "virsh dumpxml guest1 > /etc/pacemaker/guest1.xml",
        CREATE + 'hypervisor="qemu:///system" config="/etc/pacemaker/guest1.xml" '
        "meta remote-node=guest1",
    ],
    "4.3.3": [
        *(f"pcs resource create FAKE{n} ocf:pacemaker:Dummy" for n in range(1, 6)),
        "pcs constraint location FAKE3 prefers guest1",
    ],
    "4.3.4": [
        "kill -9 $(pidof pacemaker-remoted)",
        "pcs resource disable vm-guest1 --wait",
        "pcs resource cleanup guest1",
        "pcs resource enable vm-guest1",
    ],
    "4.3.5": [],  # names tools, does not print commands
}
ON_GUEST = {"4.2.2", "4.2.4"}


@cache
def chapter_4() -> Scenario:
    return scenario.load(scenario.find("guest-walkthrough"))


def walkthrough(platform: Platform) -> list[PlannedStep]:
    return plans.plan(chapter_4(), platform)


def joined(text: str) -> str:
    """A command that the book breaks with a backslash, in one line."""
    return re.sub(r"\\\n\s*", "", text)


def test_chapter_4_has_every_section_in_order() -> None:
    assert [step.section for step in walkthrough(platforms.load("debian-12"))] == list(BOOK)
    assert len(BOOK) == 17


@pytest.mark.parametrize("section", BOOK)
def test_chapter_4_is_the_books_to_the_letter(section: str) -> None:
    step = next(step for step in chapter_4().steps if step.section == section)
    book = [command.run for part in (step.parts or [step]) for command in part.book]
    assert [joined(text) for text in book] == BOOK[section]


def test_chapter_4_as_the_book_was_written_needs_no_adaptation() -> None:
    plan = walkthrough(CENTOS)
    adapted = [command for step in plan for command in step.commands if command.adapted]
    assert adapted == []
    assert {step.section: list(map(joined, texts(step))) for step in plan} == BOOK
    assert sum(step.verbatim for step in plan) == sum(map(len, BOOK.values()))
    assert sum(step.adapted for step in plan) == 0


def test_chapter_4_is_typed_where_the_book_types_it() -> None:
    def place(section: str, command: PlannedCommand) -> str:
        on_guest = section in ON_GUEST or "pacemaker-remoted" in command.text
        return "guest1" if on_guest else "example-host"

    for step in walkthrough(CENTOS):
        for command in step.commands:
            assert command.nodes == (place(step.section, command),), command.text


def test_chapter_4_on_debian_deviates_with_a_reason_or_not_at_all() -> None:
    plan = walkthrough(platforms.load("debian-12"))
    for step in plan:
        for command in step.commands:
            assert bool(command.why) == command.adapted, command.text
            if not command.adapted:
                assert joined(command.text) in BOOK[step.section]
        assert step.verbatim + step.adapted == len(BOOK[step.section]), step.section
    adapted = {step.section for step in plan if step.adapted}
    assert adapted == {"4.1.2", "4.1.3", "4.1.7", "4.2.4", "4.3.2"}


def test_every_section_of_chapter_4_proves_something() -> None:
    for step in walkthrough(CENTOS):
        assert any(part.expect for part in step.parts), step.section


def test_chapter_4_uses_each_tool_that_the_book_names_on_the_guest() -> None:
    step = walkthrough(CENTOS)[-1]
    runs = [use.arguments for part in step.parts for use in part.acts if use.word.name == "run"]
    assert {run["node"] for run in runs} == {"guest1"}
    tools = {run["command"].split()[0] for run in runs}
    assert tools == {"crm_mon", "crm_resource", "crm_attribute", "crm_master"}


# Whatever is written


ODD: list[Any] = [7, -1, "", "x y", None, True, [], {}, [7], [""], {"a": 1}, [[1]], 10**30]


def places(data: Any, here: Place = ()) -> Iterator[Place]:
    """Every place in a file."""
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield (*here, key)
            yield from places(value, (*here, key))


def said_of(path: Path) -> str:
    """What `lab check` says of a file; nothing of a good one."""
    try:
        plans.check(scenario.load(path))
    except BadInput as error:
        return error.message
    return ""


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_any_value_anywhere_is_taken_or_refused_in_words(path: Path, odd: Any) -> None:
    """No traceback, and nothing that pydantic says."""
    path.write_text(GOOD)
    data = Document(path).data
    refused = 0
    for *above, key in places(data):
        edited = copy.deepcopy(data)
        functools.reduce(operator.getitem, above, edited)[key] = odd
        path.write_text(json.dumps(edited))
        if said := said_of(path):
            refused += 1
            assert said.startswith(f"{path}:1: ")
            assert not re.search(r"Input|String|Value error|\bvalid (dict|list)", said)
    assert refused > 20
