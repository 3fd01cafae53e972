"""Errors of a script: what they are called, where they are, and that they cost one event only."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.python_engine.python_engine_kit import Kit, costs_one_event, emitted
from trimtab.api import Fault, ScriptError

AROUND = """
from trimtab import emit
timeout = "100ms"
def bad():
    {body}
def handle(event, ctx):
    emit("out", event)
    if event == 1:
        bad()
"""
DESTRUCTIVE = {
    "an error": ("1 / 0", "ZeroDivisionError"),
    "a loop": ("while True: pass", "TimeLimitExceeded"),
    "sleep": ("import time; time.sleep(10)", "TimeLimitExceeded"),
    "recursion": ("bad()", "RecursionError"),
    "exit": ("raise SystemExit(3)", "SystemExit"),
    "sys.exit": ("import sys; sys.exit('bye')", "SystemExit"),
    "an interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "a base exception": ("raise BaseException('own')", "BaseException"),
    "generator exit": ("raise GeneratorExit", "GeneratorExit"),
    "memory": ("return bytearray(1 << 62)", "MemoryLimitExceeded"),
}


@pytest.mark.parametrize(("body", "name"), DESTRUCTIVE.values(), ids=DESTRUCTIVE)
def test_what_a_script_does_costs_that_event_and_nothing_else(kit: Kit, body: str, name: str) -> None:
    costs_one_event(kit, AROUND.format(body=body), name, {4, 5})  # of bad(), not of its caller


SWALLOWING = """
from trimtab import emit
timeout = 0.05
def handle(event, ctx):
    tries = 0
    while event == 1 and tries < 3:
        try:
            while True: pass
        except:
            tries += 1
    while event == 1: pass
    emit("out", event)
"""


def test_a_script_that_swallows_the_time_limit_is_stopped_in_the_end(kit: Kit) -> None:
    run = kit.run(kit.load(SWALLOWING), *range(3))
    assert emitted(run) == [0, 2]
    assert run.faults[1].name == "TimeLimitExceeded"


def test_a_limit_that_strikes_at_any_moment_leaves_whole_results(kit: Kit) -> None:
    instance = kit.load("""
        from time import monotonic
        from trimtab import emit
        timeout = 0.004
        def handle(event, ctx):
            until = monotonic() + 0.004 + event / 100_000
            while monotonic() < until:
                emit("out", event)
    """)
    run = kit.run(instance, *range(150))
    assert {fault.name for fault in run.faults.values()} <= {"TimeLimitExceeded"}
    assert 0 < len(run.faults) < 150
    assert emitted(run) == run.emitted["out"].indexes
    assert set(run.emitted["out"].indexes) == set(range(150)) - set(run.faults)


def test_every_event_may_fail_and_each_is_recorded_once(kit: Kit) -> None:
    run = kit.run(kit.load("def handle(event, ctx): event['nothing']"), *({"n": n} for n in range(100)))
    assert sorted(run.faults) == list(range(100))
    assert run.faults[0] == Fault("KeyError", "'nothing'", "script.py", 1, 25)


# --- the place ---------------------------------------------------------------------------------------------


def test_the_place_is_the_innermost_one_in_the_users_own_files(kit: Kit) -> None:
    source = "import json, _lib\ndef handle(event, ctx):\n    grüße = 'äöü'; _lib.parse(grüße)"
    run = kit.run(kit.load(source, **{"_lib.py": "import json\ndef parse(x):\n    y = 'é'; json.loads(x)"}), {})
    fault = run.faults[0]
    assert (fault.name, fault.file, fault.line, fault.column) == ("JSONDecodeError", "_lib.py", 3, 14)


@pytest.mark.parametrize(
    ("source", "name", "line", "column"),
    [
        ("x = 1\ny = = 2\n", "SyntaxError", 2, 5),
        ("def f():\nreturn 1\n", "IndentationError", 2, 1),
        ("x = 'ä'; y = = 1\n", "SyntaxError", 1, 14),
        ("return 1\n", "SyntaxError", 1, 1),
        ("x = 1\nnothing\n", "NameError", 2, 1),
        ("x = 1\x00\n", "SyntaxError", None, None),
    ],
)
def test_a_script_that_cannot_be_compiled_or_run_is_refused_with_its_place(
    kit: Kit, source: str, name: str, line: int | None, column: int | None
) -> None:
    fault = kit.refusal(source)
    assert (fault.name, fault.file, fault.line, fault.column) == (name, "script.py", line, column)


def test_the_encoding_is_the_declared_one_or_utf8(kit: Kit) -> None:
    handle = b"\nfrom trimtab import emit\ndef handle(event, ctx): emit('out', '\xe9')"
    assert emitted(kit.run(kit.load(b"# coding: latin-1" + handle), {})) == ["é"]
    fault = kit.refusal(b"#" + handle)
    assert (fault.name, fault.file, fault.line, fault.column) == ("UnicodeDecodeError", "script.py", 3, 38)
    assert "expected text in utf-8, got the byte 0xe9" in fault.message
    fault = kit.refusal(b"# coding: klingon" + handle)
    assert (fault.name, fault.line) == ("SyntaxError", 1)
    assert "klingon" in fault.message


def test_bytes_that_are_not_text_in_the_first_line_have_a_place_too(kit: Kit) -> None:
    fault = kit.refusal(b"x = '\xff'")
    assert (fault.name, fault.line, fault.column) == ("UnicodeDecodeError", 1, 6)


def test_line_endings_do_not_shift_places(kit: Kit) -> None:
    assert kit.refusal(b"x = 1\r\n\r\ny = nothing\r\n").line == 3


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("raise Odd('\\ud800')", "\\ud800"),
        ("raise Odd('x' * 10**6)", "x" * 4000 + "..."),
        ("raise Worse('x')", "(an error whose text cannot be made)"),
        ("raise Endless('x')", "(an error whose text cannot be made)"),
        ("raise SyntaxError('odd', (__file__, 'a', 'b', 'c'))", "odd"),
    ],
)
def test_any_error_makes_a_fault_that_can_be_sent(kit: Kit, statement: str, message: str) -> None:
    instance = kit.load(f"""
        timeout = 0.1
        class Odd(Exception): pass
        class Worse(Exception):
            def __str__(self): raise Odd
        class Endless(Exception):
            def __str__(self):
                while True: pass
        def handle(event, ctx):
            if event == 0: {statement}
    """)
    run = kit.run(instance, 0, 1)
    assert list(run.faults) == [0]
    assert run.faults[0].message == message
    run.faults[0].message.encode()


# --- open, close, top level --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", ["while True: pass", "import time; time.sleep(30)", "import sys; sys.exit(1)", "1 / 0"]
)
def test_a_top_level_and_open_and_close_are_limited_like_handlers(kit: Kit, body: str) -> None:
    started = time.monotonic()
    assert kit.refusal(body + "\n").line == 1
    instance = kit.load(f"def open():\n    {body}\ndef close():\n    {body}\ndef handle(event, ctx): pass\n")
    with pytest.raises(ScriptError) as opening:
        instance.open()
    with pytest.raises(ScriptError) as closing:
        instance.close()
    assert (opening.value.fault.line, closing.value.fault.line) == (2, 4)
    assert time.monotonic() - started < 15


# --- memory, in a process of its own -----------------------------------------------------------------------

BOMBS = {
    "big blocks": "kept = [bytearray(1 << 20) for _ in range(1 << 20)]",
    "small objects": "kept = []\n        while True: kept.append([])",
    "cycles": "node = {}\n        while True: node['n'] = {'last': node}; node = node['n']",
    "a string": "text = 'a'\n        while True: text += text",
}


@pytest.mark.skipif(sys.platform != "linux", reason="the memory limit is Linux only")
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_memory_bomb_costs_that_event_and_nothing_else(bomb: str) -> None:
    script = f"""
from trimtab.sandbox.memory import limit_memory
from tests.python_engine.python_engine_kit import Kit, emitted
kit = Kit()
instance = kit.load('''
from trimtab import emit
timeout = 30
def handle(event, ctx):
    if event == 1:
        {bomb}
    emit("out", event)
''')
assert limit_memory(128 << 20)
for turn in range(3):
    run = kit.run(instance, *range(4))
    fault = run.faults.pop(1)
    # There may have been no memory to note the line with.
    print(emitted(run), run.faults, fault.name, fault.file, fault.line in (5, 6, None))
"""
    folder = Path(__file__).parents[2]  # so that it finds the tests as a package
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["[0, 2, 3] {} MemoryLimitExceeded script.py True"] * 3
