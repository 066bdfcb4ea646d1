"""What the runner makes of a section: its order, verdicts, deadlines, events and records."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

import pytest
from pydantic import BaseModel, create_model

from lab import evidence, faults
from lab.auditor import Auditor
from lab.checks import Seen
from lab.context import Context
from lab.errors import BadInput, CommandFailed, CommandTimeout, LabError, Unreachable
from lab.events import (
    Acted,
    Audited,
    Checked,
    ClusterChanged,
    CommandEnded,
    CommandStarted,
    Event,
    EvidenceCollected,
    FaultHealed,
    FaultInjected,
    Progress,
    Recovered,
    RunEnded,
    StepEnded,
    StepStarted,
    Verdict,
    Waiting,
)
from lab.lab import Lab
from lab.machine import Result
from lab.model import Announcement, Departure
from lab.plan import PlannedCommand, PlannedPart, PlannedStep, Use, key
from lab.platform import Platform
from lab.record import Record
from lab.reporter import Reporter
from lab.runner import Runner
from lab.status import ClusterStatus, FailedAction, NodeStatus, NoStatus, ResourceStatus
from lab.vocabulary import Word

HOST = "example-host"
PASSWORD = "correct horse battery staple"
SHORT = 0.25  # seconds: a deadline that is to pass
Kind = TypeVar("Kind", bound=Event)


@dataclass
class FakeLab:
    """A lab whose machines answer from a script; an unscripted command raises."""

    answers: dict[str, Any] = field(default_factory=dict)
    statuses: list[ClusterStatus | Exception] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    typed: list[tuple[str, str | None]] = field(default_factory=list)  # with standard input
    record: Record = field(default_factory=lambda: Record("a-lab", "", "", ""))
    saved: list[list[str]] = field(default_factory=list)
    folder: Path = Path("/nowhere")  # no BMC has a log there
    slowness: float = 1.0

    @property
    def provider(self) -> FakeLab:
        return self

    def pace(self) -> float:
        return self.slowness

    @property
    def access(self) -> FakeLab:
        return self

    def secret(self, name: str) -> str:
        if name != "hacluster":
            raise BadInput(f"there is no secret {name}")
        return PASSWORD

    def without_secrets(self, text: str) -> str:
        return text.replace(PASSWORD, "(secret hacluster)")

    def machine(self, node: str) -> FakeLab:
        assert node == HOST
        return self

    def run(self, command: str, *, within: float, stdin: str | None = None) -> Result:
        assert within > 0
        self.log.append(f"command {command}")
        self.typed.append((command, stdin))
        answer = self.answers[command]
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer = answer()
        code, output = answer if isinstance(answer, tuple) else (0, answer)
        return Result(command, code, output, "", 0.0)

    def status(self) -> ClusterStatus:
        if not self.statuses:
            raise NoStatus("there is no cluster")
        found = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(found, Exception):
            raise found
        return found

    def drop(self) -> None:
        pass

    @property
    def scenario(self) -> FakeLab:
        return self

    platform = Platform(name="none", title="", family="debian", suite="", versions={}, packages={})
    cluster_nodes = (HOST,)
    names = (HOST,)
    guests = MappingProxyType[str, Any]({})
    name = "a-lab"

    def save(self) -> None:
        self.saved.append(list(self.record.done))


class Stage:
    """A fake lab with a runner, and all that the runner says."""

    def __init__(self) -> None:
        self.lab = FakeLab()
        self.events: list[Event] = []
        self.runner = Runner(cast(Lab, self.lab), [self.events.append], "a-folder")

    def run(self, *parts: PlannedPart) -> StepEnded:
        return self.runner.step(section("1.1", *parts))

    def all(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]

    def one(self, kind: type[Kind]) -> Kind:
        (event,) = self.all(kind)
        return event

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def answers(self, **answers: Any) -> None:
        self.lab.answers |= answers


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sections that evidence was collected of."""
    done: list[str] = []

    def collect(_lab: Lab, folder: str, name: str) -> Path:
        done.append(name)
        return Path(folder) / f"evidence-{name}"

    monkeypatch.setattr(evidence, "collect", collect)
    return done


@pytest.fixture
def stage(collected: list[str]) -> Stage:
    assert not collected
    return Stage()


# -- plans ----------------------------------------------------------------------------------


def section(number: str, *parts: PlannedPart) -> PlannedStep:
    return PlannedStep(number, f"Title of {number}", parts)


def part(
    *commands: PlannedCommand,
    before: tuple[Use, ...] = (),
    acts: tuple[Use, ...] = (),
    expect: tuple[Use, ...] = (),
    within: float = 5.0,
    faults: tuple[Use, ...] = (),
    healed: tuple[Use, ...] = (),
) -> PlannedPart:
    return PlannedPart(len(commands), before, commands, acts, expect, within, faults, healed)


def command(
    text: str, *, exit: tuple[int, ...] = (0,), secret: str = "", **more: Any
) -> PlannedCommand:
    facts: dict[str, Any] = {"adapted": False, "book": (text,), "why": "", **more}
    return PlannedCommand((HOST,), text, exit, secret, **facts)


def check(look: Callable[..., Any], *, remember: Callable[..., Any] | None = None) -> Use:
    """A check that is `look`; what it returns may be a Seen, or whether it is true."""

    def looked(context: Context, **arguments: Any) -> Seen:
        seen = look(context, **arguments)
        return seen if isinstance(seen, Seen) else Seen(bool(seen), f"saw {seen}")

    return Use(Word(look.__name__, f"it is {look.__name__}", looked, BaseModel, remember), {})


def yes(_context: Context) -> bool:
    return True


def no(_context: Context) -> bool:
    return False


def later(look: int, error: Exception | None = None) -> Use:
    """Not true until that many looks were made; before, it raises the error."""
    looks = 0

    def true_later(_context: Context) -> bool:
        nonlocal looks
        looks += 1
        if looks < look and error:
            raise error
        return looks >= look

    return check(true_later)


def raises(error: BaseException) -> Use:
    def raising(_context: Context) -> bool:
        raise error

    return check(raising)


class Breakable:
    """Faults of a lab of which each is a name in a set: what is broken."""

    def __init__(self, stage: Stage, folder: Path, words: dict[str, Word]) -> None:
        self.stage, self.folder, self.words = stage, folder, words
        self.broken: set[str] = set()
        self.left = ""  # what healing leaves
        stage.lab.folder = folder

    def fault(self, name: str, error: BaseException | None = None) -> Use:
        """A fault of that name. `error` is raised when half of it is there."""

        def inject(_context: Context) -> None:
            assert self.recorded, "it is written down before it is injected"
            self.stage.lab.log.append(f"inject {name}")
            self.broken.add(name)
            if error:
                raise error

        def heal(_context: Context) -> str:
            self.stage.lab.log.append(f"heal {name}")
            if not self.left:
                self.broken.discard(name)
            return self.left

        word = Word(name, f"{name} is broken", inject, create_model(name), heal=heal)
        self.words[name] = word
        return Use(word, {})

    @property
    def recorded(self) -> list[str]:
        """The files of faults that stand."""
        return sorted(path.name for path in self.folder.glob("faults/*.json"))


@pytest.fixture
def breakable(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Breakable:
    words = dict(faults.load().words)
    monkeypatch.setattr(faults.fault, "words", words)
    return Breakable(stage, tmp_path, words)


def act(do: Callable[[Context], str]) -> Use:
    return Use(Word("doing", "do it", do, BaseModel), {})


# -- order ----------------------------------------------------------------------------------


def test_order(stage: Stage) -> None:
    def noted(what: str) -> Callable[[Context], bool]:
        def note(_context: Context) -> bool:
            stage.lab.log.append(what)
            return True

        return note

    def acted(_context: Context) -> str:
        stage.lab.log.append("act")
        return "done"

    def remember(_context: Context) -> str:
        stage.lab.log.append("remember")
        return "memory"

    def with_memory(_context: Context, before: str) -> bool:
        stage.lab.log.append(f"expect with {before}")
        return True

    stage.answers(one="", two="")
    ended = stage.run(
        part(
            command("one"),
            command("two"),
            before=(check(noted("before")),),
            acts=(act(acted),),
            expect=(check(with_memory, remember=remember), check(noted("expect"))),
        )
    )
    assert ended.verdict == "passed"
    wanted = ["before", "remember", "command one", "command two", "act"]
    assert stage.lab.log == [*wanted, "expect with memory", "expect"]
    assert stage.kinds() == [
        "StepStarted", "Checked", "CommandStarted", "CommandEnded", "CommandStarted",
        "CommandEnded", "Acted", "Checked", "Checked", "StepEnded",
    ]  # fmt: skip
    assert [event.phase for event in stage.all(Checked)] == ["before", "expect", "expect"]


def test_parts_one_after_the_other_each_with_results_of_its_own(stage: Stage) -> None:
    def only_mine(context: Context) -> bool:
        return [done.stdout for (done,) in context.done] == ["second"]

    stage.answers(one="first", two="second")
    ended = stage.run(part(command("one")), part(command("two"), expect=(check(only_mine),)))
    assert ended.verdict == "passed"


def test_a_failing_before_types_nothing(stage: Stage) -> None:
    ended = stage.run(part(command("one"), before=(check(no),), within=0.0))
    assert ended.verdict == "failed"
    assert not stage.lab.typed
    assert ended.problem == "expected beforehand within 0 s: it is no; seen: saw False"


# -- commands -------------------------------------------------------------------------------


def test_a_failing_command_stops_the_section(stage: Stage) -> None:
    stage.answers(one=(3, "no such thing\n"))
    ended = stage.run(part(command("one"), command("two"), expect=(check(yes),)), part())
    assert ended.verdict == "failed"
    assert ended.problem == f"on {HOST}, `one` ended with exit status 3, not 0"
    assert [typed for typed, _ in stage.lab.typed] == ["one"]
    assert not stage.all(Checked)
    event = stage.one(CommandEnded)
    assert (event.exit, event.output, event.ok) == (3, "no such thing\n", False)


def test_an_exit_status_that_is_expected(stage: Stage) -> None:
    stage.answers(one=(255, "refused"))
    assert stage.run(part(command("one", exit=(1, 255)))).verdict == "passed"
    assert stage.one(CommandEnded).ok


def test_success_where_a_failure_is_expected(stage: Stage) -> None:
    stage.answers(one="")
    ended = stage.run(part(command("one", exit=(1, 255))))
    assert ended.verdict == "failed"
    assert "exit status 0, not 1 or 255" in ended.problem


@pytest.mark.parametrize(
    "error",
    [
        CommandTimeout("it did not end within 300 s", output="half of it"),
        Unreachable("no connection"),
    ],
)
def test_a_command_without_an_end(stage: Stage, error: CommandFailed) -> None:
    stage.answers(one=error)
    ended = stage.run(part(command("one", exit=(0, 255)), command("two")))
    assert (ended.verdict, ended.problem) == ("failed", error.message)
    event = stage.one(CommandEnded)
    assert (event.exit, event.ok, event.output) == (None, False, error.output)
    assert event.problem == error.message


def test_a_command_that_is_left_out(stage: Stage) -> None:
    left_out = command("", adapted=True, book=("yum",), why="there is no yum")
    ended = stage.run(part(left_out))
    assert ended.verdict == "passed"
    assert not stage.lab.typed
    started = stage.one(CommandStarted)
    assert (started.omitted, started.book, started.why) == (True, ("yum",), "there is no yum")
    assert not stage.all(CommandEnded)


def test_counts(stage: Stage) -> None:
    stage.answers(one="", two="", three="")
    commands = (
        command("one"),
        command("two", adapted=True, book=("2",), why="so"),
        command("three", adapted=True, book=(), why="so"),
    )
    ended = stage.run(PlannedPart(2, (), commands, (), (), 1.0))
    assert (ended.verbatim, ended.adapted, ended.added) == (1, 1, 1)


def test_a_section_says_which_plan_it_was_run_by(stage: Stage) -> None:
    stage.answers(one="", two="")
    first, again, other = (stage.run(part(command(text))).plan for text in ("one", "one", "two"))
    assert first == again == key(section("1.1", part(command("one"))), stage.lab.platform)
    assert first != other


# -- secrets --------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["done", (1, "wrong"), CommandTimeout("late", output="")])
def test_a_secret_is_read_from_standard_input_and_told_to_nobody(stage: Stage, answer: Any) -> None:
    stage.answers(login=answer)
    stage.run(part(command("login", secret="hacluster")))
    assert stage.lab.typed == [("login", f"{PASSWORD}\n")]
    assert stage.one(CommandStarted).secret == "hacluster"
    assert PASSWORD not in json.dumps([event.to_json() for event in stage.events])


def test_a_secret_that_a_command_prints_is_told_to_nobody(stage: Stage) -> None:
    stage.answers(show=(1, f"it is {PASSWORD}\n"))
    stage.run(part(command("show"), acts=(act(lambda _: PASSWORD),)))
    assert stage.one(CommandEnded).output == "it is (secret hacluster)\n"
    assert PASSWORD not in json.dumps([event.to_json() for event in stage.events])


def test_secrets_are_taken_out_of_every_text_of_an_event() -> None:
    told: list[Event] = []
    report = Reporter([told.append], hide=lambda text: text.replace("xyzzy", "(secret)"))
    event = Acted(section="1.1", text="t xyzzy", seconds=0.5, output="xyzzy", problem="no xyzzy")
    report(event)
    (found,) = told
    assert isinstance(found, Acted)
    assert (found.text, found.output, found.problem) == ("t (secret)", "(secret)", "no (secret)")
    assert (found.at, found.seconds, found.section) == (event.at, 0.5, "1.1")


def test_other_commands_have_no_standard_input(stage: Stage) -> None:
    stage.answers(one="")
    stage.run(part(command("one")))
    assert stage.lab.typed == [("one", None)]


# -- checks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["before", "expect"])
@pytest.mark.parametrize(
    "error", [ValueError("odd"), KeyError("x"), AssertionError("no"), RuntimeError("unexpected")]
)
def test_a_check_that_crashes_is_an_error(
    stage: Stage, collected: list[str], error: Exception, phase: str
) -> None:
    crashing = part(before=(raises(error),)) if phase == "before" else part(expect=(raises(error),))
    started = time.monotonic()
    ended = stage.run(crashing)
    assert ended.verdict == "error"
    assert time.monotonic() - started < 1  # it does not wait for it to get better
    seen = stage.one(Checked)
    assert seen.verdict == "error"
    assert type(error).__name__ in seen.seen
    assert str(error) in ended.problem
    assert (stage.lab.record.done, collected) == ([], ["1.1"])


def test_a_check_that_returns_no_answer_is_an_error(stage: Stage) -> None:
    nothing = Use(Word("nothing", "nothing", lambda _: None, BaseModel), {})
    assert stage.run(part(expect=(nothing,))).verdict == "error"


@pytest.mark.parametrize(
    "error", [Unreachable("no connection"), NoStatus("not running"), OSError("no route")]
)
def test_what_cannot_be_looked_at_is_not_true_yet(stage: Stage, error: Exception) -> None:
    ended = stage.run(part(expect=(later(3, error),)))
    assert ended.verdict == "passed"
    assert [event.seen for event in stage.all(Waiting)] == [str(error)] * 2
    assert stage.one(Checked).verdict == "passed"


def test_what_cannot_be_looked_at_until_the_deadline(stage: Stage) -> None:
    ended = stage.run(part(expect=(raises(Unreachable("no connection")),), within=SHORT))
    assert ended.verdict == "failed"
    assert stage.one(Checked).seen == "no connection"
    assert "seen: no connection" in ended.problem


@pytest.mark.parametrize("phase", ["before", "expect"])
def test_deadlines_hold(stage: Stage, phase: str) -> None:
    one = part(before=(check(no),), within=SHORT)
    if phase == "expect":
        one = part(expect=(check(no),), within=SHORT)
    started = time.monotonic()
    ended = stage.run(one)
    took = time.monotonic() - started
    assert ended.verdict == "failed"
    assert SHORT <= took < SHORT + 0.5
    left = [event.left for event in stage.all(Waiting)]
    assert left == sorted(left, reverse=True)
    assert all(0 <= seconds <= SHORT for seconds in left)


def test_one_deadline_for_all_that_a_part_expects(stage: Stage) -> None:
    """What the first one has used up is not given to the second one again."""
    within = 4 * SHORT
    started = time.monotonic()

    def slow(_context: Context) -> bool:
        return time.monotonic() - started > within / 2

    stage.run(part(expect=(check(slow), check(no)), within=within))
    assert time.monotonic() - started < within * 1.4


def test_commands_do_not_use_up_the_deadline(stage: Stage) -> None:
    def slow() -> str:
        time.sleep(SHORT)
        return ""

    stage.answers(one=slow)
    ended = stage.run(part(command("one"), before=(check(yes),), expect=(later(2),), within=SHORT))
    assert ended.verdict == "passed"


def test_slow_machines_have_more_time(stage: Stage) -> None:
    def late(_context: Context) -> bool:
        return time.monotonic() - started > SHORT * 2

    started = time.monotonic()
    stage.lab.slowness = 10.0
    assert stage.run(part(before=(check(late),), within=SHORT)).verdict == "passed"
    started = time.monotonic()
    assert stage.run(part(expect=(check(late),), within=SHORT)).verdict == "passed"
    stage.lab.slowness = 1.0
    started = time.monotonic()
    assert stage.run(part(expect=(check(late),), within=SHORT)).verdict == "failed"


def test_there_is_a_look_even_after_the_deadline(stage: Stage) -> None:
    assert stage.run(part(expect=(check(yes),), within=0.0)).verdict == "passed"


def test_the_first_false_expectation_ends_the_section(stage: Stage) -> None:
    def looked_at(_context: Context) -> bool:
        raise AssertionError("it was judged")

    ended = stage.run(part(expect=(check(no), check(looked_at)), within=0.0))
    assert ended.verdict == "failed"
    assert [event.what for event in stage.all(Checked)] == ["it is no"]


def test_a_hint_is_passed_on(stage: Stage) -> None:
    def hinting(_context: Context) -> Seen:
        return Seen(False, "broken", hint="mend it")

    stage.run(part(expect=(check(hinting),), within=0.0))
    assert stage.one(Checked).hint == "mend it"


def test_what_shows_a_departure_is_told_as_such(stage: Stage) -> None:
    departure = Departure(
        kind="output", book="it says one thing", now="it says another", shown_by={"yes": None}
    )
    stage.run(part(expect=(check(yes), replace(check(yes), departs=departure))))
    assert [event.departs for event in stage.all(Checked)] == ["", "it says another"]
    assert stage.one(StepEnded).verdict == "passed"


def test_a_departure_that_is_none_any_more_fails_the_section(stage: Stage) -> None:
    departure = Departure(
        kind="output", book="it says one thing", now="it says another", shown_by={"no": None}
    )
    ended = stage.run(part(expect=(replace(check(no), departs=departure),), within=0.05))
    assert ended.verdict == "failed"
    assert stage.one(Checked).departs == "it says another"


def test_whose_section_it_is(stage: Stage) -> None:
    borrowed = replace(section("1.1", part(expect=(check(yes),))), origin="another")
    stage.runner.run([borrowed, section("1.2", part(expect=(check(yes),)))])
    assert [event.origin for event in stage.all(StepStarted)] == ["another", ""]
    assert [event.origin for event in stage.all(StepEnded)] == ["another", ""]


def test_a_check_that_remembers_but_cannot_is_no_pass(stage: Stage, collected: list[str]) -> None:
    def forgetful(_context: Context) -> str:
        raise Unreachable("no connection")

    def unreached(_context: Context, before: str) -> bool:
        return bool(before)

    stage.answers(one="")
    ended = stage.run(part(command("one"), expect=(check(unreached, remember=forgetful),)))
    assert (ended.verdict, ended.problem) == ("failed", "no connection")
    assert not stage.lab.typed
    assert collected == ["1.1"]


# -- actions --------------------------------------------------------------------------------


def test_an_action(stage: Stage) -> None:
    stage.run(part(acts=(act(lambda _: "rebooted it"),)))
    acted = stage.one(Acted)
    assert (acted.text, acted.problem) == ("rebooted it", "")


def test_an_action_that_fails(stage: Stage, collected: list[str]) -> None:
    def failing(_context: Context) -> str:
        raise LabError("it does not come back")

    ended = stage.run(part(acts=(act(failing),), expect=(check(yes),)))
    assert (ended.verdict, ended.problem) == ("failed", "do it: it does not come back")
    assert stage.one(Acted).problem == "it does not come back"
    assert not stage.all(Checked)
    assert collected == ["1.1"]


def test_an_action_that_crashes_is_an_error(stage: Stage, collected: list[str]) -> None:
    def crashing(_context: Context) -> str:
        raise KeyError("guest7")

    ended = stage.run(part(acts=(act(crashing),)))
    assert ended.verdict == "error"
    assert "KeyError: 'guest7'" in ended.problem
    assert collected == ["1.1"]


def test_a_secret_that_there_is_not(stage: Stage) -> None:
    ended = stage.run(part(command("login", secret="root")))
    assert (ended.verdict, ended.problem) == ("failed", "there is no secret root")


# -- several sections -----------------------------------------------------------------------


def failing(number: str) -> PlannedStep:
    return section(number, part(expect=(check(no),), within=0.0))


def passing(number: str) -> PlannedStep:
    return section(number, part(expect=(check(yes),)))


def crashing(number: str) -> PlannedStep:
    return section(number, part(expect=(raises(ValueError("odd")),)))


def verdicts(stage: Stage) -> list[tuple[str, str]]:
    return [(event.section, event.verdict) for event in stage.all(StepEnded)]


def test_after_a_failure_the_rest_is_skipped(stage: Stage, collected: list[str]) -> None:
    steps = [passing("1.1"), failing("1.2"), passing("1.3"), passing("1.4")]
    assert stage.runner.run(steps) == "failed"
    assert verdicts(stage) == [
        ("1.1", "passed"), ("1.2", "failed"), ("1.3", "skipped"), ("1.4", "skipped"),
    ]  # fmt: skip
    assert [e.problem for e in stage.all(StepEnded)[2:]] == ["section 1.2 failed"] * 2
    assert [e.section for e in stage.all(StepStarted)] == ["1.1", "1.2"]
    assert collected == ["1.2"]
    assert stage.lab.record.done == ["1.1"]


def test_keep_going(stage: Stage, collected: list[str]) -> None:
    steps = [failing("1.1"), passing("1.2"), failing("1.3")]
    assert stage.runner.run(steps, keep_going=True) == "failed"
    assert verdicts(stage) == [("1.1", "failed"), ("1.2", "passed"), ("1.3", "failed")]
    assert collected == ["1.1", "1.3"]
    assert stage.lab.record.done == ["1.2"]


@pytest.mark.parametrize("steps", [[crashing, failing], [failing, crashing]])
def test_an_error_is_worse_than_a_failure(
    stage: Stage, steps: list[Callable[[str], PlannedStep]]
) -> None:
    made = [make(f"1.{number}") for number, make in enumerate(steps)]
    assert stage.runner.run(made, keep_going=True) == "error"
    assert stage.one(RunEnded).verdict == "error"


def test_a_run_ends_once(stage: Stage) -> None:
    assert stage.runner.run([passing("1.1"), passing("1.2")]) == "passed"
    assert stage.events[-1] is stage.one(RunEnded)
    assert stage.one(RunEnded).verdict == "passed"


# -- records and evidence -------------------------------------------------------------------


def test_done_sections_are_saved_as_they_pass(stage: Stage) -> None:
    stage.runner.run([passing("1.1"), passing("1.2"), failing("1.3")])
    assert stage.lab.saved == [["1.1"], ["1.1", "1.2"]]


def test_evidence_only_of_failures(stage: Stage, collected: list[str]) -> None:
    stage.runner.run([passing("1.1"), failing("1.2")])
    assert collected == ["1.2"]
    event = stage.one(EvidenceCollected)
    assert (event.section, event.folder) == ("1.2", "a-folder/evidence-1.2")


def test_no_folder_no_evidence(stage: Stage, collected: list[str]) -> None:
    stage.runner.evidence_folder = ""
    stage.runner.run([failing("1.1")])
    assert not collected


@pytest.mark.parametrize("error", [OSError(28, "No space left"), LabError("gone")])
def test_evidence_that_cannot_be_had_hides_no_verdict(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def collect(*_: object) -> Path:
        raise error

    monkeypatch.setattr(evidence, "collect", collect)
    assert stage.runner.run([failing("1.1"), passing("1.2")]) == "failed"
    assert verdicts(stage) == [("1.1", "failed"), ("1.2", "skipped")]
    assert str(error) in stage.one(Progress).text
    assert not stage.all(EvidenceCollected)


@pytest.mark.parametrize("phase", ["before", "command", "act", "expect"])
def test_ctrl_c_goes_through_and_nothing_is_done(
    stage: Stage, collected: list[str], phase: str
) -> None:
    def stop(_context: Context) -> str:
        raise KeyboardInterrupt

    stop_it = KeyboardInterrupt()
    stage.answers(one=stop_it, two="")
    interrupted = {
        "before": part(before=(raises(stop_it),)),
        "command": part(command("one")),
        "act": part(acts=(act(stop),)),
        "expect": part(command("two"), expect=(raises(stop_it),)),
    }[phase]
    with pytest.raises(KeyboardInterrupt):
        stage.runner.run([section("1.1", interrupted), passing("1.2")])
    assert (stage.lab.record.done, stage.lab.saved, collected) == ([], [], [])
    assert not stage.all(StepEnded)


# -- seconds --------------------------------------------------------------------------------


def slow_look(_context: Context) -> bool:
    time.sleep(0.1)
    return True


def test_what_is_true_at_once_cost_the_cluster_nothing(stage: Stage) -> None:
    ended = stage.run(part(expect=(check(slow_look),)))
    assert (ended.cluster, stage.one(Checked).waited) == (0.0, 0.0)
    assert ended.harness >= 0.1


def test_what_comes_true_later_cost_the_cluster_that_time(stage: Stage) -> None:
    started = time.monotonic()
    ended = stage.run(part(expect=(later(3),)))
    took = time.monotonic() - started
    assert ended.cluster == pytest.approx(stage.one(Checked).waited)
    assert 0.2 <= ended.cluster <= took
    assert ended.cluster + ended.harness == pytest.approx(took, abs=0.05)


def test_waiting_beforehand_is_not_the_sections(stage: Stage) -> None:
    ended = stage.run(part(before=(later(3),)))
    assert ended.cluster == 0.0
    assert ended.harness >= 0.2
    assert stage.one(Checked).waited >= 0.2


def test_commands_and_actions_cost_the_cluster(stage: Stage) -> None:
    def slow() -> str:
        time.sleep(0.1)
        return ""

    stage.answers(one=slow)
    ended = stage.run(part(command("one"), acts=(act(lambda _: slow()),)))
    assert 0.2 <= ended.cluster < 0.4
    assert 0.1 <= stage.one(CommandEnded).seconds < 0.2
    assert 0.1 <= stage.one(Acted).seconds < 0.2


def test_each_section_has_seconds_of_its_own(stage: Stage) -> None:
    stage.runner.run([section("1.1", part(expect=(later(3),))), passing("1.2")])
    assert [event.cluster > 0 for event in stage.all(StepEnded)] == [True, False]


# -- the cluster's changes ------------------------------------------------------------------


def online(*names: str, dc: str = HOST) -> ClusterStatus:
    return ClusterStatus(dc=dc, nodes={n: NodeStatus(n, "member", True) for n in names})


def asks(context: Context) -> bool:
    context.status()
    return True


def test_the_cluster_is_told_of_when_it_changes(stage: Stage) -> None:
    stage.lab.statuses = [online(HOST), online(HOST), online(HOST, "guest1"), online(HOST)]
    looks = tuple(check(asks) for _ in range(4))
    stage.run(part(expect=looks))
    assert [event.changes for event in stage.all(ClusterChanged)] == [
        (f"DC: none → {HOST}", f"node {HOST}: absent → online"),
        ("node guest1: absent → online",),
        ("node guest1: online → absent",),
    ]


def test_changes_beside_what_is_awaited_are_told_of(stage: Stage) -> None:
    """While a check that does not ask the cluster is awaited, the cluster is looked at too."""
    stage.lab.statuses = [online(HOST), online(HOST, "guest1"), online(HOST, "guest1")]
    stage.run(part(expect=(check(asks), later(6))))
    assert stage.all(ClusterChanged)[1].changes == ("node guest1: absent → online",)


def test_a_cluster_that_does_not_answer_meanwhile(stage: Stage) -> None:
    stage.lab.statuses = [online(HOST), NoStatus("not running")]
    assert stage.run(part(expect=(check(asks), later(3)))).verdict == "passed"
    assert len(stage.all(ClusterChanged)) == 1


def test_the_last_section_is_remembered_for_the_next(stage: Stage) -> None:
    stage.lab.statuses = [online(HOST)]
    asking = part(expect=(check(asks),))
    stage.runner.run([section("1.1", asking), section("1.2", asking)])
    assert [event.section for event in stage.all(ClusterChanged)] == ["1.1"]


def test_a_lab_that_is_carried_on_with_may_have_a_cluster(stage: Stage) -> None:
    auditor = audited(stage)
    stage.lab.statuses = [online(HOST)]
    stage.runner.look()
    assert len(stage.all(ClusterChanged)) == 1
    stage.runner.run([passing("1.1")])
    assert [expects for _, _, expects in auditor.asked] == [True]


def test_a_look_at_no_cluster_is_no_problem(stage: Stage) -> None:
    stage.lab.statuses = [NoStatus("not running")]
    stage.runner.look()
    assert not stage.events


def test_every_event_is_plain_data(stage: Stage) -> None:
    stage.lab.statuses = [online(HOST)]
    stage.answers(one="out")
    stage.runner.run(
        [section("1.1", part(command("one"), expect=(check(asks), later(2)))), failing("1.2")]
    )
    kinds = {json.loads(json.dumps(event.to_json()))["event"] for event in stage.events}
    assert {"Waiting", "ClusterChanged", "EvidenceCollected", "RunEnded"} <= kinds


def test_results_are_counted_as_the_book_counts_its_commands(stage: Stage) -> None:
    """A check's `command: 2` means the book's second one, whatever a platform adds or replaces."""

    def by_number(context: Context) -> bool:
        return [context.typed(n)[0].stdout for n in (1, 2, 3)] == ["b", "", "d"]

    stage.answers(added="+", a="a", b="b", d="d")
    ended = stage.run(
        part(
            command("added", adapted=True, book=()),
            command("a", adapted=True, book=("one",)),
            command("b", adapted=True, book=("one",)),
            command("", adapted=True, book=("two",)),
            command("d"),
            expect=(check(by_number),),
        )
    )
    assert ended.verdict == "passed"


# -- faults ---------------------------------------------------------------------------------


def test_the_order_with_a_fault(stage: Stage, breakable: Breakable) -> None:
    def noted(what: str) -> Use:
        def note(_context: Context) -> bool:
            stage.lab.log.append(f"{what}, broken: {sorted(breakable.broken)}")
            return True

        return check(note)

    def acted(_context: Context) -> str:
        stage.lab.log.append("act")
        return "done"

    stage.answers(one="")
    ended = stage.run(
        part(
            command("one"),
            before=(noted("before"),),
            acts=(act(acted),),
            faults=(breakable.fault("disk"), breakable.fault("cable")),
            expect=(noted("expect"),),
            healed=(noted("healed"),),
        )
    )
    assert (ended.verdict, ended.problem) == ("passed", "")
    assert stage.lab.log == [
        "before, broken: []", "command one", "act", "inject disk", "inject cable",
        "expect, broken: ['cable', 'disk']", "heal cable", "heal disk", "healed, broken: []",
    ]  # fmt: skip
    assert breakable.recorded == []
    wanted = ["FaultInjected", "FaultInjected", "Checked", "FaultHealed", "FaultHealed", "Checked"]
    assert [kind for kind in stage.kinds() if "Fault" in kind or kind == "Checked"][1:] == wanted
    injected = [(event.number, event.text) for event in stage.all(FaultInjected)]
    assert injected == [(1, "disk is broken"), (2, "cable is broken")]
    healed = [(event.number, event.text, event.problem) for event in stage.all(FaultHealed)]
    assert healed == [(2, "cable is broken", ""), (1, "disk is broken", "")]


def test_a_fault_whose_injection_cannot_be_told_is_healed(
    stage: Stage, breakable: Breakable
) -> None:
    def listener(event: Event) -> None:
        if isinstance(event, FaultInjected):
            raise OSError("no space left on device")

    stage.runner.report.listeners.append(listener)
    assert stage.run(part(faults=(breakable.fault("disk"),))).verdict == "error"
    assert stage.lab.log == ["inject disk", "heal disk"]
    assert (breakable.broken, breakable.recorded) == (set(), [])


def test_what_is_remembered_for_healed_is_from_before_the_commands(
    stage: Stage, breakable: Breakable
) -> None:
    def remember(_context: Context) -> int:
        return len(stage.lab.typed)

    def looked(_context: Context, before: int) -> bool:
        return before == 0

    stage.answers(one="")
    mended = check(looked, remember=remember)
    ended = stage.run(part(command("one"), faults=(breakable.fault("disk"),), healed=(mended,)))
    assert ended.verdict == "passed"


@pytest.mark.parametrize("fails", ["failure", "crash"])
def test_the_fault_is_healed_whatever_fails(
    stage: Stage, breakable: Breakable, collected: list[str], fails: str
) -> None:
    bad = check(no) if fails == "failure" else raises(ValueError("odd"))
    one = part(faults=(breakable.fault("disk"),), expect=(bad,), healed=(check(yes),), within=0.0)
    ended = stage.run(one)
    assert ended.verdict == ("failed" if fails == "failure" else "error")
    assert "disk" not in ended.problem  # what failed is the problem
    assert (breakable.broken, breakable.recorded) == (set(), [])
    assert stage.one(FaultHealed).problem == ""
    assert len(stage.all(Checked)) == 1  # what must hold once it is healed was not looked at
    assert collected == ["1.1"]


def test_the_fault_is_healed_on_ctrl_c(stage: Stage, breakable: Breakable) -> None:
    one = part(faults=(breakable.fault("disk"),), expect=(raises(KeyboardInterrupt()),))
    with pytest.raises(KeyboardInterrupt):
        stage.run(one)
    assert (breakable.broken, breakable.recorded) == (set(), [])
    assert stage.kinds()[-2:] == ["FaultHealed", "Recovered"]


def test_a_fault_that_is_not_healed_fails_the_section(
    stage: Stage, breakable: Breakable, collected: list[str]
) -> None:
    breakable.left = "it still burns"
    one = part(faults=(breakable.fault("disk"),), expect=(check(yes),), healed=(check(yes),))
    ended = stage.run(one)
    assert ended.verdict == "failed"
    assert ended.problem == "the fault is not healed: disk is broken: it still burns"
    assert stage.one(FaultHealed).problem == ended.problem
    assert [event.phase for event in stage.all(Checked)] == ["expect"]
    assert breakable.recorded == ["1.json"]  # for `lab fault heal`
    assert (stage.lab.record.done, collected) == ([], ["1.1"])


def test_a_fault_that_is_not_healed_hides_no_earlier_problem(
    stage: Stage, breakable: Breakable
) -> None:
    breakable.left = "it still burns"
    ended = stage.run(part(faults=(breakable.fault("disk"),), expect=(check(no),), within=0.0))
    assert ended.problem == "expected within 0 s: it is no; seen: saw False"
    assert "it still burns" in stage.one(FaultHealed).problem


def test_a_fault_that_cannot_be_injected(stage: Stage, breakable: Breakable) -> None:
    broken = breakable.fault("cable", LabError("no such cable"))
    ended = stage.run(
        part(faults=(breakable.fault("disk"), broken), expect=(check(yes),), healed=(check(yes),))
    )
    assert (ended.verdict, ended.problem) == ("failed", "no such cable")
    assert stage.lab.log == ["inject disk", "inject cable", "heal cable", "heal disk"]
    assert (breakable.broken, breakable.recorded) == (set(), [])
    assert not stage.all(Checked)
    assert stage.one(FaultInjected).text == stage.one(FaultHealed).text == "disk is broken"


def test_healed_has_a_deadline_of_its_own(stage: Stage, breakable: Breakable) -> None:
    started = time.monotonic()

    def late(_context: Context) -> bool:
        return time.monotonic() - started > SHORT * 0.8

    def later_still(_context: Context) -> bool:
        return time.monotonic() - started > SHORT * 1.6

    ended = stage.run(
        part(
            faults=(breakable.fault("disk"),),
            expect=(check(late),),
            healed=(check(later_still),),
            within=SHORT,
        )
    )
    assert ended.verdict == "passed"


# -- the time line of a recovery ------------------------------------------------------------


def serving(*nodes: str) -> ClusterStatus:
    role = "Started" if nodes else "Stopped"
    web = ResourceStatus("web", "ocf:x:y", role, nodes, bool(nodes))
    return ClusterStatus(
        dc=HOST, nodes={HOST: NodeStatus(HOST, "member", True)}, resources={"web": web}
    )


def test_the_time_line_is_told_when_all_is_healed(stage: Stage, breakable: Breakable) -> None:
    # Two histories begin with a look each: for what the act may break, and for the faults.
    stage.lab.statuses = [*[serving(HOST)] * 3, serving(), serving(HOST)]
    began = time.time()
    ended = stage.run(
        part(
            acts=(act(lambda context: context.status().dc),),
            faults=(breakable.fault("disk"), breakable.fault("cable")),
            expect=(check(asks),),
            healed=(check(asks),),
        )
    )
    assert ended.verdict == "passed"
    event = stage.one(Recovered)
    assert stage.kinds()[-2:] == ["Recovered", "StepEnded"]
    assert event.text == "disk is broken, cable is broken"
    assert began <= event.began <= stage.all(FaultInjected)[0].at
    assert list(event.phases) == ["detected", "fenced", "recovered", "reintegrated"]
    detected, recovered = event.phases["detected"], event.phases["recovered"]
    assert detected is not None
    assert recovered is not None
    assert 0 <= detected <= recovered <= time.time() - event.began
    assert event.phases["fenced"] is None
    assert stage.runner.observer.history is None  # what comes later is no part of it


def test_the_time_line_of_what_commands_break(stage: Stage) -> None:
    """Where no fault is, but the time line is asked for."""
    stage.lab.statuses = [serving(HOST), serving(HOST), serving()]

    def recovery(context: Context) -> bool:
        context.status()
        assert context.observer is not None
        assert context.observer.history is not None
        return context.observer.history.phases()["detected"] is not None

    asked = Use(Word("recovery", "it recovers", check(recovery).word.function, BaseModel), {})
    stage.answers(one="", two="")
    ended = stage.run(part(command("one"), command("two"), before=(check(asks),), expect=(asked,)))
    assert (ended.verdict, ended.problem) == ("passed", "")
    event = stage.one(Recovered)
    assert event.text == "one, two"
    assert event.phases["detected"] is not None


def test_no_fault_no_time_line(stage: Stage) -> None:
    stage.lab.statuses = [serving(HOST), serving()]
    stage.run(part(expect=(check(asks), check(asks))))
    assert not stage.all(Recovered)


def test_the_time_line_of_a_section_that_fails_is_told_too(
    stage: Stage, breakable: Breakable
) -> None:
    one = part(faults=(breakable.fault("disk"),), expect=(check(no),), within=0.0)
    stage.runner.run([section("1.1", one), passing("1.2")])
    assert stage.one(Recovered).phases == dict.fromkeys(
        ["detected", "fenced", "recovered", "reintegrated"]
    )


RECOVERY = Use(Word("recovery", "it recovers", check(yes).word.function, BaseModel), {})


@pytest.mark.parametrize(("cut", "told"), [("one", []), ("two", ["one"]), ("", ["one, two"])])
def test_only_what_was_typed_has_a_time_line(stage: Stage, cut: str, told: list[str]) -> None:
    stage.answers(**{text: KeyboardInterrupt() if text == cut else "" for text in ("one", "two")})
    with suppress(KeyboardInterrupt):
        stage.run(part(command("one"), command("two"), expect=(RECOVERY,)))
    assert [event.text for event in stage.all(Recovered)] == told


@pytest.mark.parametrize(
    "answer", [(1, "no such process"), CommandTimeout("it hangs"), Unreachable("it is gone")]
)
def test_what_did_not_end_as_it_should_has_no_time_line(stage: Stage, answer: Any) -> None:
    stage.answers(one=answer)
    assert stage.run(part(command("one"), expect=(RECOVERY,))).verdict == "failed"
    assert stage.all(CommandEnded)
    assert not stage.all(Recovered)


@pytest.mark.parametrize("works", [True, False])
def test_the_time_line_of_what_an_action_breaks(stage: Stage, works: bool) -> None:
    def do(_context: Context) -> str:
        if not works:
            raise CommandFailed("it cannot be done")
        return "done"

    stage.run(part(acts=(act(do),), expect=(RECOVERY,)))
    assert [event.text for event in stage.all(Recovered)] == ["do it"] * works


def test_only_faults_that_stood_have_a_time_line(stage: Stage, breakable: Breakable) -> None:
    disk, cable = breakable.fault("disk"), breakable.fault("cable", LabError("no such cable"))
    stage.answers(one=(1, ""))
    stage.run(part(command("one"), faults=(disk,)))  # it never came to the fault
    stage.run(part(faults=(cable,)))
    assert not stage.all(Recovered)
    stage.run(part(faults=(disk, cable)))
    assert stage.one(Recovered).text == "disk is broken"


# -- audits ---------------------------------------------------------------------------------


@dataclass
class FakeAuditor:
    """Finds what it is told to find."""

    found: dict[str, str]
    asked: list[tuple[str, Announcement, bool]] = field(default_factory=list)

    def audit(
        self, section: str, announce: Announcement, *, expects_cluster: bool
    ) -> list[Audited]:
        self.asked.append((section, announce, expects_cluster))
        return [
            Audited(section=section, audit=name, verdict=cast(Verdict, verdict), seen=f"saw {name}")
            for name, verdict in self.found.items()
        ]


def audited(stage: Stage, **found: str) -> FakeAuditor:
    auditor = FakeAuditor(found)
    stage.runner = Runner(
        cast(Lab, stage.lab), [stage.events.append], "a-folder", cast(Auditor, auditor)
    )
    return auditor


def test_audits_that_pass(stage: Stage) -> None:
    auditor = audited(stage, groups="passed", cores="passed")
    step = PlannedStep("1.1", "T", (part(expect=(check(yes),)),), Announcement(failed=["x start"]))
    assert stage.runner.step(step).verdict == "passed"
    assert auditor.asked == [("1.1", step.announce, False)]  # no cluster was seen
    assert stage.kinds()[-3:] == ["Audited", "Audited", "StepEnded"]


@pytest.mark.parametrize("verdict", ["failed", "error"])
def test_an_audit_fails_a_section(stage: Stage, collected: list[str], verdict: str) -> None:
    audited(stage, groups="passed", cores=verdict, crashes="failed")
    ended = stage.run(part(expect=(check(yes),)))
    assert (ended.verdict, ended.problem) == (verdict, "audit cores: saw cores")
    assert len(stage.all(Audited)) == 3  # those after it are told too
    assert (stage.lab.record.done, collected) == ([], ["1.1"])


def test_a_section_that_failed_is_not_audited(stage: Stage) -> None:
    auditor = audited(stage, groups="failed")
    ended = stage.run(part(expect=(check(no),), within=0.0))
    assert "it is no" in ended.problem
    assert not auditor.asked


def test_an_auditor_that_crashes_is_an_error(stage: Stage) -> None:
    audited(stage)

    def crashing(*_: object, **__: object) -> list[Audited]:
        raise KeyError("node7")

    stage.runner.auditor.audit = crashing  # type: ignore[union-attr, method-assign]
    ended = stage.run(part(expect=(check(yes),)))
    assert ended.verdict == "error"
    assert "KeyError: 'node7'" in ended.problem


def test_a_cluster_is_expected_once_it_was_seen_until_it_was_stopped(stage: Stage) -> None:
    def stops(context: Context) -> bool:
        context.stopped()
        return True

    auditor = audited(stage)
    stage.lab.statuses = [online(HOST), NoStatus("not running")]
    stage.runner.run(
        [
            passing("1.1"),
            section("1.2", part(expect=(check(asks),))),
            passing("1.3"),
            section("1.4", part(expect=(check(stops),))),
        ]
    )
    assert [expects for _, _, expects in auditor.asked] == [False, True, True, False]


def test_a_failure_names_the_machines_that_ended_by_themselves(stage: Stage) -> None:
    """In this section, not in an earlier one."""

    def ends(name: str) -> Callable[..., bool]:
        def looked(_context: Context) -> bool:
            stage.runner.observer.ended += [f"{name} is off by itself (failed)"]
            return name == "node1"

        return looked

    assert stage.run(part(expect=(check(ends("node1")),))).problem == ""
    failed = stage.run(part(expect=(check(ends("node2")),), within=SHORT))
    assert failed.problem.endswith(" (node2 is off by itself (failed))")


def test_a_failure_names_what_failed_in_the_cluster(stage: Stage) -> None:
    """What is awaited in vain is seldom the reason: the cluster may have given up."""
    action = FailedAction("guest1_start_0", HOST, "Error occurred", "Connection timed out")

    def waits(context: Context) -> Seen:
        assert context.observer is not None
        context.observer.notice(ClusterStatus(nodes=online(HOST).nodes, failed=(action,)))
        return Seen(False, "offline")

    failed = stage.run(part(expect=(check(waits),), within=SHORT))
    assert failed.problem.endswith(
        f"seen: offline (failed action: guest1_start_0 on {HOST}: Error occurred "
        "(Connection timed out))"
    )
