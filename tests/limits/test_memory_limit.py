"""The memory limit of a process; each test has a process of its own to fill."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the memory limit is Linux only")

HEAD = """
import dukpy
from trimtab.sandbox.memory import *
assert limit_memory(256 << 20)
"""
BOMBS = {
    "many big blocks": "kept = []\nwhile True: kept.append(bytearray(1 << 20))",
    "one block that doubles": "text = 'a'\nwhile True: text += text",
    "small objects": "kept = []\nwhile True: kept.append([])",
    "a dictionary": "kept = {}\nwhile True: kept[len(kept)] = str(len(kept))",
    "cycles": "node = {}\nwhile True: node[1] = {0: node}; node = node[1]",
}


def run(script: str) -> list[str]:
    command = [sys.executable, "-c", HEAD + script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_memory_bomb_gets_a_memory_error_and_the_process_lives_on(bomb: str) -> None:
    script = f"""
import gc
for turn in range(2):
    try:
        exec({bomb!r}, {{}})
    except MemoryError as error:
        with lifted():
            error.__traceback__ = None
            print("caught")
    gc.collect()
assert len(bytearray(100 << 20)) == 100 << 20
print("alive")
"""
    assert run(script) == ["caught", "caught", "alive"]


def test_no_limit_counts_while_it_is_lifted() -> None:
    script = """
with lifted():
    kept = bytearray(512 << 20)
try:
    bytearray(64 << 20)
except MemoryError:
    print("limited", nearly_full())
del kept
print("free", nearly_full())
"""
    assert run(script) == ["limited", "True", "free", "False"]


def test_a_javascript_interpreter_works_under_the_limit() -> None:
    script = """
interpreter = dukpy.JSInterpreter()
try:
    interpreter.evaljs("var kept = []; for (;;) kept.push(new Array(1000).fill(1));")
except dukpy.JSRuntimeError as error:
    print("caught")
print(interpreter.evaljs("kept = []; 1 + 1"))
"""
    assert run(script) == ["caught", "2"]


def test_what_is_used_grows_with_what_is_allocated() -> None:
    assert run("before = used(); kept = bytearray(50 << 20); print(used() - before >= 50 << 20)") == ["True"]
