"""Resources follow the generations: made beside the running ones, switched at the commit, closed when they are not needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from trimtab.api import Caller, CallError, Resource, ResourceBinding, ResourceKind, ScriptHost, ScriptObject
from trimtab.engine.calls import Call
from trimtab.engine.resources import Resources
from trimtab.errors import ChangeRefused
from trimtab.plugin_manager import Plugins
from trimtab.sandbox.limits import SignalLimits
from trimtab.testing import ScriptRunner, TestingPlugin

LIMITS = SignalLimits()


class ShelfOptions(msgspec.Struct, frozen=True):
    place: str = "cellar"
    answers: bool = True


class Shelf(Resource):
    """Something outside that can be asked where it is."""

    def __init__(self, options: ShelfOptions, name: str, events: list[str]) -> None:
        if options.place == "nowhere":
            raise CallError("PolicyError", f"{name}: expected a place, got 'nowhere'; name one")
        self.options = options
        self._events = events

    def check(self) -> None:
        if self.options.place == "forever":
            while True:
                pass
        if not self.options.answers:
            raise CallError("ConnectionError", f"{self.options.place} does not answer", retryable=True)

    def ask(self) -> str:
        if not self.options.answers:
            raise CallError("ConnectionError", f"{self.options.place} does not answer", code=7, retryable=True)
        return self.options.place

    def close(self) -> None:
        self._events.append(f"closed {self.options.place}")


class ShelfObject(ScriptObject):
    methods = frozenset({"where_is"})

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def where_is(self, thing: str) -> str:
        return self._caller.call("whereIs", (thing,), lambda shelf: f"{thing}@{shelf.ask()}", "")


class ShelfBinding(ResourceBinding):
    name = "shelf"

    def connect(self, caller: Caller, host: ScriptHost) -> ScriptObject:
        return ShelfObject(caller)


@pytest.fixture
def events() -> list[str]:
    """What became of the shelves, in order."""
    return []


@pytest.fixture
def plugins(events: list[str]) -> Plugins:
    def create(options: ShelfOptions, name: str, _folder: Path) -> Shelf:
        return Shelf(options, name, events)

    kind = ResourceKind("shelf", ShelfOptions, create, implied=frozenset({"default"}))
    return Plugins.load([("shelf", TestingPlugin(resource_kinds=[kind], bindings=[ShelfBinding()]))])


@pytest.fixture
def runner(plugins: Plugins) -> Iterator[ScriptRunner]:
    with ScriptRunner({"shelf.tools": {"place": "attic"}}, plugins=plugins) as runner:
        yield runner


def resources(plugins: Plugins) -> Resources:
    return Resources(plugins.resource_kinds(), Path(), lambda: 0)


ASK_PY = """
from trimtab import emit, shelf
tools = shelf("tools")
def handle(event, ctx):
    emit("out", tools.where_is(event))
"""
ASK_JS = """
import { emit, shelf } from "trimtab";
const tools = shelf("tools");
export function handle(event) { emit("out", tools.whereIs(event)); }
"""
BOTH = pytest.mark.parametrize("source", [{"ask__py": ASK_PY}, {"ask__js": ASK_JS}], ids=["py", "js"])


@BOTH
def test_a_script_that_holds_a_resource_calls_the_one_of_the_running_generation(
    runner: ScriptRunner, events: list[str], source: dict[str, str]
) -> None:
    runner.load(**source)
    assert runner.handle("saw").emitted == ["saw@attic"]
    runner.declare(shelf__tools={"place": "shed"})
    assert runner.handle("saw").emitted == ["saw@shed"]
    assert events == ["closed attic"]


@BOTH
def test_an_undeclared_resource_refuses_the_script_with_the_line_that_would_allow_it(
    runner: ScriptRunner, source: dict[str, str]
) -> None:
    misspelt = {name: text.replace('"tools"', '"tolls"') for name, text in source.items()}
    with pytest.raises(ChangeRefused) as refused:
        runner.load(**misspelt)
    (fault,) = refused.value.faults.values()
    assert fault.name == "PolicyError"
    assert fault.message == (
        "expected a resource that the configuration declares (tools), got shelf('tolls'); did you mean 'tools'? "
        "Else declare [resources.shelf.tolls] in trimtab.toml"
    )
    assert fault.line == 3


@BOTH
def test_a_call_of_a_resource_that_is_gone_fails_the_event_alone(runner: ScriptRunner, source: dict[str, str]) -> None:
    runner.load(**source)
    runner.declare(shelf__tools=None)
    handled = runner.handle("saw")
    assert [fault.name for fault in handled.faults] == ["PolicyError"]
    runner.declare(shelf__tools={"place": "shed"})
    assert runner.handle("saw").emitted == ["saw@shed"]


@BOTH
def test_what_the_other_side_does_wrong_fails_the_event_with_its_name(
    runner: ScriptRunner, source: dict[str, str]
) -> None:
    runner.load(**source)
    runner.declare(shelf__tools={"place": "shed", "answers": False})
    (fault,) = runner.handle("saw").faults
    assert (fault.name, fault.message) == ("ConnectionError", "shed does not answer")


@pytest.mark.parametrize(
    "source",
    [
        {
            "ask__py": """
from trimtab import CallError, emit, shelf
def handle(event, ctx):
    try:
        shelf("tools").where_is(event)
    except CallError as error:
        emit("out", [error.name, error.message, error.code, error.retryable])
"""
        },
        {
            "ask__js": """
import { emit, shelf } from "trimtab";
export function handle(event) {
  try { shelf("tools").whereIs(event); }
  catch (error) { emit("out", [error.name, error.message, error.code, error.retryable]); }
}
"""
        },
    ],
    ids=["py", "js"],
)
def test_scripts_catch_errors_with_name_message_code_and_retryable(
    runner: ScriptRunner, source: dict[str, str]
) -> None:
    runner.load(**source)
    runner.declare(shelf__tools={"place": "shed", "answers": False})
    assert runner.handle("saw").emitted == [["ConnectionError", "shed does not answer", 7, True]]


@BOTH
def test_calls_are_counted_and_timed_per_script_and_resource(runner: ScriptRunner, source: dict[str, str]) -> None:
    runner.load(**source)
    (count,) = runner.handle("saw", "axe").calls
    script = next(iter(source)).replace("__", ".")
    assert (count.script, count.resource, count.calls, count.failed) == (script, "shelf.tools", 2, 0)
    assert len(count.samples) == 2
    assert all(sample > 0 for sample in count.samples)


@BOTH
def test_rehearsed_calls_are_shown_and_leave_the_outside_alone(plugins: Plugins, source: dict[str, str]) -> None:
    shown: list[Call] = []
    with ScriptRunner({"shelf.tools": {"answers": False}}, plugins=plugins, rehearsed=shown) as runner:
        runner.load(**source)
        assert runner.handle("saw").emitted == [""]
    assert [(call.resource, call.method, call.arguments) for call in shown] == [("shelf.tools", "whereIs", ("saw",))]


def test_resources_that_cannot_be_made_are_told_and_the_others_can_be_dropped(
    plugins: Plugins, events: list[str]
) -> None:
    made = resources(plugins)
    assert made.prepare({"shelf.tools": {"place": "attic"}}) == {}
    made.commit()
    faults = made.prepare({"shelf.tools": {"place": "shed"}, "shelf.a": {"place": "nowhere"}, "shelf.b": {"place": 1}})
    assert {name: fault.name for name, fault in faults.items()} == {
        "resources.shelf.a": "PolicyError",
        "resources.shelf.b": "ValidationError",
    }
    made.abort()
    made.close_retired()
    assert made.call(Call("s", "shelf.tools", "ask"), Shelf.ask, "") == "attic"
    assert events == ["closed shed"]


def test_an_aborted_generation_closes_what_it_made_and_nothing_else(plugins: Plugins, events: list[str]) -> None:
    made = resources(plugins)
    made.prepare({"shelf.tools": {"place": "attic"}})
    made.commit()
    made.prepare({"shelf.tools": {"place": "shed"}})
    made.abort()
    made.close_retired()
    assert events == ["closed shed"]
    made.close()
    assert events == ["closed shed", "closed attic"]


def test_inside_prepared_calls_go_to_the_next_generation(plugins: Plugins) -> None:
    made = resources(plugins)
    made.prepare({"shelf.tools": {"place": "attic"}})
    made.commit()
    made.prepare({"shelf.tools": {"place": "shed"}})
    call = Call("s", "shelf.tools", "ask")
    with made.prepared():
        assert made.call(call, Shelf.ask, "") == "shed"
    assert made.call(call, Shelf.ask, "") == "attic"


def test_a_dropped_resource_is_there_until_the_scripts_that_went_with_it_are_closed(
    plugins: Plugins,
) -> None:
    made = resources(plugins)
    made.prepare({"shelf.tools": {"place": "attic"}})
    made.commit()
    made.prepare({"shelf.tools": None})
    made.commit()
    call = Call("s", "shelf.tools", "ask")
    assert made.call(call, Shelf.ask, "") == "attic"
    made.close_retired()
    with pytest.raises(CallError, match="declares"):
        made.call(call, Shelf.ask, "")


def test_an_implied_resource_is_there_without_being_declared(plugins: Plugins) -> None:
    made = resources(plugins)
    made.require("shelf.default")
    assert made.call(Call("s", "shelf.default", "ask"), Shelf.ask, "") == "cellar"


def test_a_sign_of_life_is_asked_for_under_a_limit(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.engine.resources.CHECK_SECONDS", 0.05)
    made = resources(plugins)
    made.prepare({"shelf.a": {}, "shelf.b": {"answers": False}, "shelf.c": {"place": "forever"}})
    faults = made.check(["shelf.a", "shelf.b", "shelf.c"], LIMITS)
    assert {name: fault.name for name, fault in faults.items()} == {
        "resources.shelf.b": "ConnectionError",
        "resources.shelf.c": "TimeoutError",
    }
