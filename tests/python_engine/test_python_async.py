"""Asynchronous handlers: many events under way at a time, each within its limits, and nothing of them left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.python_engine.python_engine_kit import Kit, costs_one_event, emitted
from trimtab.api import Fault, ScriptError


def test_events_are_under_way_at_the_same_time(kit: Kit) -> None:
    run = kit.run(
        kit.load("""
            import asyncio
            from trimtab import emit
            begun, gate = [], asyncio.Event()
            async def handle(event, ctx):
                begun.append(event)
                if len(begun) == 3: gate.set()
                await gate.wait()
                emit("out", [event, ctx.key])
        """),
        *({"key": n} for n in range(3)),
    )
    assert run.faults == {}
    assert emitted(run) == [[{"key": n}, n] for n in range(3)]
    assert run.emitted["out"].indexes == [0, 1, 2]


def test_a_limit_is_enough_for_a_handler_that_waits_for_others(kit: Kit) -> None:
    run = kit.run(
        kit.load("""
            import asyncio
            concurrency = 2
            now = most = 0
            from trimtab import emit
            async def handle(event, ctx):
                global now, most
                now += 1
                most = max(now, most)
                await asyncio.sleep(0)
                now -= 1
                emit("out", most)
        """),
        *range(10),
    )
    assert max(emitted(run)) == 2


def test_an_async_function_is_seen_through_a_decorator(kit: Kit) -> None:
    instance = kit.load("""
        import functools
        from trimtab import emit, handler
        def logged(function):
            @functools.wraps(function)
            def wrapper(*arguments): return function(*arguments)
            return wrapper
        @handler
        @logged
        async def on_event(event, ctx): emit("out", event)
    """)
    assert instance.handlers[0].asynchronous
    assert emitted(kit.run(instance, 1)) == [1]


def test_the_time_that_events_take_is_measured(kit: Kit) -> None:
    instance = kit.load("import asyncio\nasync def handle(event, ctx): await asyncio.sleep(0.02)")
    run = kit.run(instance, 1, 2)
    assert len(run.samples) == 2
    assert min(run.samples) > 15_000_000


def test_calls_to_the_outside_are_awaited_in_async_functions_alone(kit: Kit) -> None:
    instance = kit.load("""
        import asyncio
        from trimtab import CallError, echo, emit, handler
        @handler
        def plain(event, ctx): emit("out", echo.ask(event))
        @handler
        async def waiting(event, ctx):
            emit("out", await echo.ask(event))
            emit("out", await asyncio.gather(echo.ask(1), echo.ask(2)))
            try: await echo.ask("fail")
            except CallError as error: emit("out", error.name)
        async def open():
            assert await echo.ask(5) == 5
    """)
    instance.open()
    assert emitted(kit.run(instance, "a", handler=0)) == ["a"]
    assert emitted(kit.run(instance, "b", handler=1)) == ["b", [1, 2], "TestError"]
    where = [thread is threading.main_thread() for thread in kit.echo.threads]
    assert where == [False, True, False, False, False, False]


def test_state_and_timers_belong_to_the_event_that_is_in_flight(kit: Kit) -> None:
    instance = kit.load("""
        import asyncio
        from trimtab import emit, state, timer
        async def handle(event, ctx):
            await asyncio.sleep(0)
            state.set("seen", ctx.key)
            timer.after("1s", name="later")
            await asyncio.sleep(0)
            emit("out", state.get("seen"))
        async def on_timer(timer, ctx): pass
    """)
    run = kit.run(instance, {"key": 1}, {"key": 2})
    assert emitted(run) == [1, 2]
    assert [kit.host.state.values("script.py", key)["seen"][0] for key in "12"] == [b"1", b"2"]
    assert len(kit.host.state.values("script.py", "1")) == 3, "the value, the timer, the version"


def test_an_annotated_event_is_decoded_and_an_invalid_one_fails_alone(kit: Kit) -> None:
    instance = kit.load("""
        import msgspec
        from trimtab import emit
        class Point(msgspec.Struct): x: int
        async def handle(point: Point): emit("out", point.x)
    """)
    run = kit.run(instance, {"x": 1}, {"x": "one"})
    assert emitted(run) == [1]
    assert run.faults == {1: Fault("ValidationError", "Expected `int`, got `str` - at `$.x`", "script.py", 4)}


def test_modules_of_the_script_are_found_between_two_waits(kit: Kit) -> None:
    instance = kit.load(
        """
        import asyncio, sys
        from trimtab import emit
        async def handle(event, ctx):
            await asyncio.sleep(0)
            from _late import VALUE
            import dataclasses
            @dataclasses.dataclass
            class Local: x: "int" = VALUE
            await asyncio.sleep(0)
            emit("out", [Local().x, __name__ in sys.modules])
        """,
        **{"_late.py": "VALUE = 7"},
    )
    assert emitted(kit.run(instance, 1)) == [[7, True]]
    assert [name for name in sys.modules if ".py@" in name] == []


# --- what goes wrong in one event --------------------------------------------------------------------------

AROUND = """
import asyncio
from trimtab import emit
timeout = "200ms"
async def bad():
    {body}
async def handle(event, ctx):
    await asyncio.sleep(0)
    emit("out", event)
    if event == 1:
        await bad()
    await asyncio.sleep(0)
"""
DESTRUCTIVE = {
    "an error": ("1 / 0", "ZeroDivisionError"),
    "a loop": ("while True: pass", "TimeLimitExceeded"),
    "sleep": ("import time; time.sleep(10)", "TimeLimitExceeded"),
    "waiting": ("await asyncio.sleep(1000)", "TimeLimitExceeded"),
    "recursion": ("await bad()", "RecursionError"),
    "exit": ("raise SystemExit(3)", "SystemExit"),
    "an interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "a base exception": ("raise BaseException('own')", "BaseException"),
    "generator exit": ("raise GeneratorExit", "GeneratorExit"),
    "cancelling": ("raise asyncio.CancelledError", "CancelledError"),
    "cancelling itself": ("asyncio.current_task().cancel(); await asyncio.sleep(0)", "CancelledError"),
    "memory": ("return bytearray(1 << 62)", "MemoryLimitExceeded"),
    "exit of a task": ("await asyncio.create_task(leave())\nasync def leave(): raise SystemExit", "SystemExit"),
    "a loop in a task": (
        "await asyncio.create_task(spin())\nasync def spin():\n    while True: pass",
        "TimeLimitExceeded",
    ),
    "an error of a task": ("await asyncio.gather(fail())\nasync def fail(): 1 / 0", "ZeroDivisionError"),
    "not awaitable": ("await 5", "TypeError"),
}


@pytest.mark.parametrize(("body", "name"), DESTRUCTIVE.values(), ids=DESTRUCTIVE)
def test_what_an_async_handler_does_costs_that_event_and_nothing_else(kit: Kit, body: str, name: str) -> None:
    costs_one_event(kit, AROUND.format(body=body), name, {5, 6, 7})  # of bad() and what it calls, not of its caller


def test_a_step_that_computes_too_long_fails_although_others_wait(kit: Kit) -> None:
    run = kit.run(
        kit.load("""
            import asyncio
            from trimtab import emit
            timeout = "100ms"
            spinning = asyncio.Event()
            async def handle(event, ctx):
                if event == 0:
                    await spinning.wait()
                    emit("out", "still here")
                else:
                    spinning.set()
                    try:
                        while True: pass
                    finally: emit("out", "dropped")
        """),
        *range(2),
    )
    assert {index: fault.name for index, fault in run.faults.items()} == {1: "TimeLimitExceeded"}
    assert emitted(run) == ["still here"]


def test_what_is_done_after_the_time_is_up_does_not_count(kit: Kit) -> None:
    instance = kit.load("""
        import asyncio
        from trimtab import emit, log, state
        timeout = "50ms"
        async def handle(event, ctx):
            state.set("n", event)
            if event == 1: return
            try:
                await asyncio.sleep(1000)
            finally:
                for change in (lambda: emit("out", event), lambda: state.set("n", -1)):
                    try: change()
                    except RuntimeError as error: log.info(str(error))
                await asyncio.sleep(0)
                log.info("cleaned up")
    """)
    run = kit.run(instance, 0)
    assert run.faults[0].line == 8
    assert emitted(kit.run(instance, 1)) == []
    instance.close()
    assert [entry.message.partition(" while")[0] for entry in kit.log] == [
        "expected emit()",
        "expected state.set()",
        "cleaned up",
    ]
    assert kit.host.state.values("script.py", "null")["n"][0] == b"1"


def test_an_async_clean_up_that_hangs_costs_only_its_event(kit: Kit) -> None:
    instance = kit.load("""
        import asyncio
        from trimtab import emit
        timeout = 0.05
        async def handle(event, ctx):
            try:
                if event == 0: await asyncio.sleep(10)
            finally:
                while event == 0: pass
            emit("out", event)
    """)
    run = kit.run(instance, 0, 1)
    assert list(run.faults) == [0]
    assert emitted(run) == [1]
    assert emitted(kit.run(instance, 2)) == [2]


def test_the_place_is_the_innermost_one_in_the_users_own_files(kit: Kit) -> None:
    library = "import json\nasync def parse(x):\n    json.loads(x)\nasync def sleep():\n    import asyncio\n    await asyncio.sleep(9)"
    source = "import _lib\ntimeout = 0.05\nasync def handle(event, ctx):\n    await (_lib.parse('é') if event else _lib.sleep())"
    run = kit.run(kit.load(source, **{"_lib.py": library}), 0, 1)
    places = {index: (fault.name, fault.file, fault.line) for index, fault in run.faults.items()}
    assert places == {0: ("TimeLimitExceeded", "_lib.py", 6), 1: ("JSONDecodeError", "_lib.py", 3)}


# --- open and close ----------------------------------------------------------------------------------------


def test_open_and_close_may_be_async(kit: Kit) -> None:
    instance = kit.load("""
        import asyncio
        from trimtab import log
        async def open():
            await asyncio.sleep(0.01)
            log.info("open")
        def handle(event, ctx): log.info("handle")
        async def close():
            await asyncio.sleep(0.01)
            log.info("close")
    """)
    instance.open()
    kit.run(instance, {})
    instance.close()
    assert [entry.message for entry in kit.log] == ["open", "handle", "close"]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("await asyncio.sleep(1000)", "TimeLimitExceeded"),
        ("while True: pass", "TimeLimitExceeded"),
        ("raise SystemExit", "SystemExit"),
        ("emit('out', 1)", "RuntimeError"),
    ],
)
def test_an_async_open_that_fails_refuses_the_script_with_its_line(kit: Kit, body: str, name: str) -> None:
    instance = kit.load(f"""
        import asyncio
        from trimtab import emit
        async def open():
            {body}
        def handle(event, ctx): pass
    """)
    with pytest.raises(ScriptError) as opening:
        instance.open()
    fault = opening.value.fault
    assert (fault.name, fault.file, fault.line) == (name, "script.py", 4)


def test_an_open_that_fails_leaves_no_task_behind(kit: Kit) -> None:
    instance = kit.load("""
        import asyncio
        from trimtab import log
        async def forever():
            try: await asyncio.sleep(1000)
            finally: log.info("cancelled")
        async def open():
            asyncio.create_task(forever())
            await asyncio.sleep(0)
            1 / 0
        def handle(event, ctx): pass
    """)
    with pytest.raises(ScriptError, match="division"):
        instance.open()
    assert [entry.message for entry in kit.log] == ["cancelled"]


# --- tasks that a script starts ----------------------------------------------------------------------------


def test_close_cancels_the_tasks_that_still_run(kit: Kit) -> None:
    instance = kit.load("""
        import asyncio
        from trimtab import log
        async def forever():
            try: await asyncio.sleep(1000)
            finally: log.info("cancelled")
        async def handle(event, ctx):
            asyncio.create_task(forever())
            await asyncio.sleep(0)
    """)
    kit.run(instance, {})
    assert kit.log == []
    instance.close()
    assert [entry.message for entry in kit.log] == ["cancelled"]


def test_a_task_that_cannot_be_cancelled_is_cut_off_at_close(kit: Kit) -> None:
    instance = kit.load("""
        import asyncio
        from trimtab import log
        async def forever():
            while True:
                try: await asyncio.sleep(1000)
                except asyncio.CancelledError: log.info("no")
        async def handle(event, ctx):
            asyncio.create_task(forever())
            await asyncio.sleep(0)
    """)
    kit.run(instance, {})
    with pytest.raises(ScriptError) as closing:
        instance.close()
    assert (closing.value.fault.name, closing.value.fault.line) == ("TimeLimitExceeded", 5)
    instance.close()  # nothing is left
    assert [entry.message for entry in kit.log] == ["no"]


def test_a_task_that_nobody_waits_for_is_limited_and_its_error_is_logged(
    kit: Kit, capfd: pytest.CaptureFixture[str]
) -> None:
    instance = kit.load("""
        import asyncio
        from trimtab import emit
        timeout = "50ms"
        async def spin():
            while True: pass
        async def late(event):
            await asyncio.sleep(0.01)
            emit("out", event)
        async def handle(event, ctx):
            asyncio.create_task(spin() if event == 0 else late(event))
            if event == 2: await asyncio.sleep(0.03)
    """)
    assert kit.run(instance, 0).faults == {}
    assert kit.run(instance, 1).faults == {}
    assert emitted(kit.run(instance, 2)) == [2], "its event was still under way"
    kit.run(instance, 2)
    messages = [entry.message for entry in kit.log if entry.level == "error"]
    assert len(messages) == 2
    begin = "a task that nothing has waited for has failed: script.py:"
    assert any(message.startswith(begin + "5:") and "TimeLimitExceeded" in message for message in messages)
    assert any(message.startswith(begin + "8:") and "emit() while a handler" in message for message in messages)
    assert {entry.script for entry in kit.log} == {"script.py"}
    assert capfd.readouterr().err == ""


def test_an_event_loop_of_its_own_still_works_in_a_plain_handler(kit: Kit) -> None:
    source = """
        import asyncio
        from trimtab import emit
        async def answer():
            await asyncio.sleep(0)
            return 42
        def handle(event, ctx): emit("out", asyncio.run(answer()))
    """
    assert kit.out(source) == [42]


# --- memory, in a process of its own -----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the memory limit is Linux only")
@pytest.mark.parametrize(
    "bomb",
    [
        "kept = []\n        while True: kept.append([])",
        "node = {}\n        while True: node['n'] = {'last': node}; node = node['n']",
    ],
)
def test_a_memory_bomb_costs_that_event_and_nothing_else(bomb: str) -> None:
    script = f"""
from trimtab.sandbox.memory import limit_memory
from tests.python_engine.python_engine_kit import Kit, emitted
kit = Kit()
instance = kit.load('''
import asyncio
from trimtab import emit
timeout = 30
async def handle(event, ctx):
    await asyncio.sleep(0)
    if event == 1:
        {bomb}
    await asyncio.sleep(0)
    emit("out", event)
''')
kit.run(instance, 0)
assert limit_memory(128 << 20)
for turn in range(3):
    run = kit.run(instance, *range(4))
    fault = run.faults.pop(1)
    print(emitted(run), run.faults, fault.name, fault.file)
"""
    folder = Path(__file__).parents[2]  # so that it finds the tests as a package
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["[0, 2, 3] {} MemoryLimitExceeded script.py"] * 3
