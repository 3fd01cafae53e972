"""What makes a handler, what it gets, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import trimtab
from tests.python_engine.python_engine_kit import Kit, emitted
from trimtab.api import Fault, HandlerSpec, ScriptError

ECHO = """
from trimtab import emit
def handle(event, ctx):
    emit("out", event)
"""


def test_a_plain_function_handles_every_event(kit: Kit) -> None:
    assert kit.out(ECHO, {"a": 1}, [2], "three", None) == [{"a": 1}, [2], "three", None]


def test_a_plain_function_takes_its_options_from_the_module(kit: Kit) -> None:
    instance = kit.load("source, where, timeout = 'gps', 'speed > 60', '200ms'\ndef handle(event, ctx): pass")
    assert instance.handlers == [HandlerSpec("handle", "gps", "speed > 60", 0.2)]


def test_marked_functions_are_handlers_in_the_order_of_their_definition(kit: Kit) -> None:
    instance = kit.load("""
        from trimtab import emit, handler
        @handler(source="gps", where="speed > 60", timeout=0.5)
        def second_by_name(event, ctx): emit("out", 1)
        def handle(event, ctx): emit("out", "not me")
        @handler
        def first_by_name(event, ctx): emit("out", 2)
    """)
    assert instance.handlers == [
        HandlerSpec("second_by_name", "gps", "speed > 60", 0.5),
        HandlerSpec("first_by_name"),
    ]
    assert emitted(kit.run(instance, {}, handler=0)) == [1]
    assert emitted(kit.run(instance, {}, handler=1)) == [2]


def test_retries_and_limits_are_options_too(kit: Kit) -> None:
    options = "attempts, backoff, concurrency, state = 3, '1s', 7, 'discard'"
    instance = kit.load(f"{options}\ndef handle(event, ctx): pass\nasync def on_timer(timer, ctx): pass")
    assert instance.handlers == [
        HandlerSpec("handle", attempts=3, backoff=1.0, concurrency=7),
        HandlerSpec("on_timer", attempts=3, backoff=1.0, concurrency=7, asynchronous=True, timer=True),
    ]
    assert instance.discards_state
    instance = kit.load("""
        from trimtab import handler, state
        @handler(attempts=3, backoff="1s", concurrency=7, state="keep")
        async def first(event, ctx): pass
        @handler(timeout="5s", state="discard")
        def on_timer(timer): pass
    """)
    assert instance.handlers == [
        HandlerSpec("first", attempts=3, backoff=1.0, concurrency=7, asynchronous=True),
        HandlerSpec("on_timer", timeout=5.0, timer=True),
    ]
    assert instance.discards_state


def test_a_state_that_is_no_text_is_not_the_option(kit: Kit) -> None:
    for source in ("from trimtab import state", "state = 5", "state = 'keep'"):
        assert not kit.load(f"{source}\ndef handle(event, ctx): pass").discards_state


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ("state['n'] += 1", {"n": 2, "by": "v1"}),
        ("return {'n': 9}", {"n": 9, "by": "v1"}),
        (
            "return 5",
            "script.py:1: ScriptError: migrate: expected a dict of values by name, got int; return one or nothing",
        ),
        ("1 / 0", "script.py:3:5: ZeroDivisionError: division by zero"),
        ("while True: pass", "TimeLimitExceeded"),
        ("emit('out', 1)", "RuntimeError"),
    ],
)
def test_migrate_gives_what_it_returns_or_has_changed(kit: Kit, body: str, result: Any) -> None:
    instance = kit.load(f"""
        def migrate(state, version):
            state["by"] = version
            {body}
        from trimtab import emit
        def handle(event, ctx): pass
    """)
    assert instance.migrates
    (migrated,) = instance.migrate([({"n": 1}, "v1")])
    if isinstance(migrated, Fault):
        assert result in str(migrated)
    else:
        assert migrated | {"by": "v1"} == result


def test_a_handler_may_take_only_the_event(kit: Kit) -> None:
    assert kit.out("from trimtab import emit\ndef handle(event): emit('out', event)", 5) == [5]


def test_the_context_tells_all_about_the_event(kit: Kit) -> None:
    source = """
        from trimtab import emit
        def handle(event, ctx):
            emit("out", [ctx.id, ctx.source, ctx.key, ctx.timestamp, ctx.generation, ctx.script, len(ctx.version)])
    """
    # Ids are byte offsets: the first event takes 11 bytes with its newline.
    assert kit.out(source, {"key": "a"}, {"key": "b"}) == [
        ["gps::0", "gps", "a", 1_700_000_000_000, 7, "script.py", 12],
        ["gps::12", "gps", "b", 1_700_000_000_000, 7, "script.py", 12],
    ]


def test_a_context_stays_what_it_is_after_its_event(kit: Kit) -> None:
    source = """
        from trimtab import emit
        kept = []
        def handle(event, ctx):
            kept.append(ctx)
            emit("out", [one.key for one in kept])
    """
    assert kit.out(source, {"key": 1}, {"key": 2}) == [[1], [1, 2]]


def test_only_the_selected_events_are_handled_and_indexes_are_those_of_the_batch(kit: Kit) -> None:
    run = kit.run(kit.load(ECHO), *range(10), selection=[2, 5, 9])
    assert emitted(run) == [2, 5, 9]
    assert run.emitted["out"].indexes == [2, 5, 9]


def test_one_event_of_a_batch_is_timed_and_in_time_each_part_of_a_batch_gets_its_turn(kit: Kit) -> None:
    instance = kit.load("""
        import time
        def handle(event, ctx):
            if event == 3: time.sleep(0.02)
    """)
    samples = [sample for _ in range(40) for sample in kit.run(instance, *range(10)).samples]
    assert len(samples) == 40
    assert 2 <= sum(sample > 20_000_000 for sample in samples) <= 8


def test_open_and_close_run_once(kit: Kit) -> None:
    instance = kit.load("""
        from trimtab import log
        def open(): log.info("open")
        def handle(event, ctx): log.info("handle")
        def close(): log.info("close")
    """)
    instance.open()
    kit.run(instance, {})
    instance.close()
    assert [entry.message for entry in kit.log] == ["open", "handle", "close"]


def test_a_builtin_that_the_script_imports_is_not_its_open(kit: Kit) -> None:
    kit.load("from io import open\nfrom os import close\ndef handle(event, ctx): pass").open()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "expected a function handle(event, ctx) or one marked with @handler, got none"),
        ("handle = 5", "expected a function handle(event, ctx) or one marked with @handler, got none"),
        ("def handle(a, b, c): pass", "expected handle(event, ctx), got handle(a, b, c)"),
        ("def handle(): pass", "expected handle(event, ctx), got handle()"),
        ("def handle(event, ctx): yield 1", "expected a function that runs to its end, got a generator"),
        ("source = 5\ndef handle(event, ctx): pass", "expected source to be text, got 5"),
        ("where = True\ndef handle(event, ctx): pass", "expected where to be text, got True"),
        ("timeout = 'soon'\ndef handle(event, ctx): pass", "timeout: expected a duration"),
        ("timeout = 0\ndef handle(event, ctx): pass", "expected timeout to be longer than zero, got 0"),
        ("def handle(event: 'Nobody', ctx): pass", "name 'Nobody' is not defined"),
        ("attempts = 0\ndef handle(event, ctx): pass", "expected attempts to be a whole number from 1 on, got 0"),
        ("attempts = True\ndef handle(event, ctx): pass", "expected attempts to be a whole number from 1 on, got True"),
        ("concurrency = '9'\ndef handle(event, ctx): pass", "expected concurrency to be a whole number from 1 on"),
        ("backoff = 0\ndef handle(event, ctx): pass", "expected backoff to be longer than zero, got 0; leave it out"),
        ("backoff = 'soon'\ndef handle(event, ctx): pass", "backoff: expected a duration"),
        ("state = 'forget'\ndef handle(event, ctx): pass", 'expected state to be "keep" or "discard", got \'forget\''),
        (
            "def on_timer(timer, ctx): pass",
            "expected a function handle(event, ctx) or one marked with @handler, got none",
        ),
        ("def handle(event, ctx): pass\ndef on_timer(): pass", "expected on_timer(timer, ctx), got on_timer()"),
        (
            "def handle(event): pass\ndef migrate(state): pass",
            "expected migrate(state, from_version), got migrate(state)",
        ),
        (
            "def handle(event): pass\nasync def migrate(state, v): pass",
            "expected a plain function, got an async function",
        ),
        (
            "from trimtab import handler\n@handler(state='forget')\ndef handle(event): pass",
            'expected state to be "keep" or "discard"',
        ),
        (
            "from trimtab import handler\ndef handle(event): pass\n@handler(source='gps')\ndef on_timer(timer): pass",
            "expected no source and no where, got a handler of timers with one",
        ),
    ],
)
def test_what_cannot_be_a_handler_is_refused(kit: Kit, source: str, message: str) -> None:
    fault = kit.refusal(source)
    assert message in fault.message
    assert fault.file == "script.py"


def test_a_refused_handler_is_named_with_its_line(kit: Kit) -> None:
    assert kit.refusal("x = 1\n\ndef handle(a, b, c): pass").line == 3
    assert kit.refusal("handle = lambda: 1\n\ndef close(): pass").line == 1


# --- emit, settings, log -----------------------------------------------------------------------------------


def test_a_value_is_taken_as_it_is_when_emitted(kit: Kit) -> None:
    source = """
        from trimtab import emit
        def handle(event, ctx):
            value = [1]
            emit("out", value)
            value.append(2)
            emit("out", value)
    """
    assert kit.out(source) == [[1], [1, 2]]


@pytest.mark.parametrize(
    ("call", "name", "message"),
    [
        ("emit('nowhere', 1)", "LookupError", "unknown sink 'nowhere'; expected one of: alarms, out"),
        ("emit('out', object())", "TypeError", "expected a value that JSON can hold"),
        ("emit('out', chr(0xd800))", "TypeError", "expected a value that JSON can hold"),
        ("emit('out', __import__('msgspec').Raw(b'1\\n2'))", "TypeError", "expected a value that JSON can hold"),
    ],
)
def test_what_cannot_be_emitted_fails_its_event(kit: Kit, call: str, name: str, message: str) -> None:
    run = kit.run(kit.load(f"from trimtab import emit\ndef handle(event, ctx):\n    {call}"), {})
    assert run.faults[0].name == name
    assert message in run.faults[0].message
    assert emitted(run) == []


def test_what_a_failed_event_had_emitted_is_dropped(kit: Kit) -> None:
    run = kit.run(kit.load(ECHO + "    1 / event\n"), 1, 0, 2)
    assert emitted(run) == [1, 2]
    assert run.emitted["out"].indexes == [0, 2]


@pytest.mark.parametrize("place", ["emit('out', 1)", "def open(): emit('out', 1)"], ids=["top level", "open"])
def test_emit_outside_of_a_handler_says_where_it_belongs(kit: Kit, place: str) -> None:
    with pytest.raises(ScriptError, match="call it in the handler"):
        kit.load(f"from trimtab import emit\n{place}\ndef handle(event, ctx): pass").open()


def test_settings_are_those_of_the_running_generation(kit: Kit) -> None:
    instance = kit.load("""
        from trimtab import emit, settings
        def handle(event, ctx): emit("out", [settings.get("max_speed"), settings.get("no.such", "default")])
    """)
    assert emitted(kit.run(instance, {})) == [[100, "default"]]
    kit.settings.tree = {"max_speed": 120}
    instance.settings_changed()
    assert emitted(kit.run(instance, {})) == [[120, "default"]]


def test_a_script_cannot_change_the_settings(kit: Kit) -> None:
    kit.out("from trimtab import settings\ndef handle(event, ctx): settings.get('mail')['to'].append('c')")
    assert kit.settings.get("mail.to") == ["a", "b"]


def test_log_tells_the_script_and_takes_fields_either_way(kit: Kit) -> None:
    instance = kit.load("""
        from trimtab import log
        def handle(event, ctx):
            log.info("named", speed=1, message="too")
            log.warn("mapped", {"speed": 2})
            log.error(3, {"what": {1, 2}.__class__, "when": object})
    """)
    assert kit.run(instance, {}).faults == {}
    assert [(entry.level, entry.message) for entry in kit.log] == [
        ("info", "named"),
        ("warn", "mapped"),
        ("error", "3"),
    ]
    assert kit.log[0].fields == {"speed": 1, "message": "too"}
    assert kit.log[1].fields == {"speed": 2}
    assert kit.log[2].fields == {"what": "<class 'set'>", "when": "<class 'object'>"}
    assert {entry.script for entry in kit.log} == {"script.py"}
    assert {len(entry.version) for entry in kit.log} == {64}


def test_log_refuses_fields_that_have_no_names(kit: Kit) -> None:
    run = kit.run(kit.load("from trimtab import log\ndef handle(event, ctx): log.info('a', 5)"), {})
    assert "expected the fields of log.info as an object, got int" in run.faults[0].message


# --- typed events ------------------------------------------------------------------------------------------

KINDS = {
    "struct": "import msgspec\nclass Point(msgspec.Struct): x: int",
    "dataclass": "from dataclasses import dataclass\n@dataclass\nclass Point: x: int",
}


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"], ids=["value", "text"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_annotated_event_is_decoded_and_an_invalid_one_fails_alone(kit: Kit, kind: str, future: str) -> None:
    instance = kit.load(
        f"{future}{kind}\nfrom trimtab import emit\ndef handle(event: Point, ctx): emit('out', event.x + 1)\n"
    )
    assert emitted(kit.run(instance, {"x": 1}, {"x": 2})) == [2, 3]
    run = kit.run(instance, {"x": 1}, {"x": "one"}, {}, {"x": 4})
    assert emitted(run) == [2, 5]
    assert {index: fault.name for index, fault in run.faults.items()} == dict.fromkeys((1, 2), "ValidationError")
    assert run.faults[1].message == "Expected `int`, got `str` - at `$.x`"
    line = 1 + bool(future) + kind.count("\n") + 2
    assert (run.faults[1].file, run.faults[1].line) == ("script.py", line)
    assert emitted(kit.run(instance, {"x": 1}, {}, {"x": 4}, selection=[0, 2])) == [2, 5]


def test_an_event_that_does_not_fit_is_a_fault_of_the_handler_that_asked_for_it(kit: Kit) -> None:
    instance = kit.load("""
        import msgspec
        from trimtab import handler
        class Point(msgspec.Struct): x: int
        @handler
        def first(event, ctx): pass
        @handler(
            timeout="1s",
        )
        async def second(event: Point, ctx): pass
    """)
    assert kit.run(instance, {}, handler=0).faults == {}
    message = "handler second: Object missing required field `x`"
    assert kit.run(instance, {}, handler=1).faults == {0: Fault("ValidationError", message, "script.py", 9)}


def test_an_event_that_does_not_fit_has_a_message_that_can_be_sent(kit: Kit) -> None:
    instance = kit.load("""
        import msgspec
        class Point(msgspec.Struct):
            def __post_init__(self): raise ValueError("\\ud800")
        def handle(event: Point, ctx): pass
    """)
    kit.run(instance, {}).faults[0].message.encode()


@pytest.mark.parametrize("annotation", ["dict", "Any", "object", "dict[str, Any]", "Mapping[str, Any]"])
def test_an_annotation_that_says_nothing_new_leaves_plain_values(kit: Kit, annotation: str) -> None:
    source = f"""
        from typing import Any, Mapping
        from trimtab import emit
        def handle(event: {annotation}, ctx): emit("out", event)
    """
    assert kit.out(source, {"a": 1}) == [{"a": 1}]


def test_types_of_a_script_can_still_be_resolved_while_it_handles(kit: Kit) -> None:
    source = """
        from __future__ import annotations
        import msgspec
        from trimtab import emit
        class Point(msgspec.Struct): x: Number
        Number = int
        def handle(event, ctx): emit("out", msgspec.convert(event, Point).x)
    """
    assert kit.out(source, {"x": 1}) == [1]


@pytest.mark.parametrize("call", [lambda: trimtab.state.get("a"), lambda: trimtab.timer.after("1s")])
def test_outside_of_a_host_state_and_timer_say_that_they_need_one(call: Callable[[], object]) -> None:
    with pytest.raises(
        RuntimeError, match=r"(state\.get|timer\.after) works only in a script that a trimtab host runs"
    ):
        call()
