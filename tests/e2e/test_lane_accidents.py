"""Promises 2, 3 and 4 where several things go wrong at once: lanes that die around a change, scripts that fork."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import WRITES, Numbers, Project, eventually, running

KILLER = """
import os, time
from trimtab import emit
def handle(event, ctx):
    time.sleep(0.1)  # a change is prepared behind it, in the same process
    os._exit(3)
"""
FIXED = """
from trimtab import emit
def handle(event, ctx):
    emit("out", [ctx.generation, event["n"]])
"""
FORKER = """
import os, time
from trimtab import emit
def handle(event, ctx):
    if event["n"] == 3 and not os.path.exists({marker!r}):
        open({marker!r}, "w").close()
        if os.fork() == 0:
            {child}
        {parent}
    emit("out", [event["n"]])
"""
LOGGER = """
from trimtab import emit, log
def handle(event, ctx):
    log.info("seen", event=event["n"], script="mine", self=1, level="low", exc_info=True, plain=2)
    emit("out", [event["n"]])
"""
HEAVY = """
import mmap
from trimtab import emit
HELD = mmap.mmap(-1, {size}, flags=mmap.MAP_PRIVATE)
def handle(event, ctx):
    emit("out", [event["n"]])
"""


@contextmanager
def steady(numbers: Numbers) -> Iterator[None]:
    """Send an event every 50 ms while the block runs."""
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.05):
            numbers.send()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_script_that_kills_its_lane_again_and_again_can_be_replaced(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1)
    project.save("a.py", KILLER)
    numbers = Numbers(project)
    with running(project):
        with steady(numbers):
            eventually(lambda: len(project.logged("lane died")) > 2, "the lane dies again and again")
            project.save("a.py", FIXED)
            outcome = eventually(
                lambda: project.logged("generation 2") or project.logged("refused"), "an outcome of the change"
            )
            assert "refused" not in outcome[0]["event"]
            eventually(project.emitted, "the new version emits")
        eventually(lambda: project.status()["sources"]["gps"]["handled"] == numbers.sent, "every event is handled")
        letters = [int(letter["payload"][6:-1]) for letter in all_letters(project)]
        assert project.stop() == 0
    assert sorted(letters + [n for _generation, n in project.emitted()]) == list(range(numbers.sent))
    assert {generation for generation, _n in project.emitted()} == {2}


def all_letters(project: Project) -> list[dict[str, Any]]:
    return list(json.loads(project.trimtab("dead-letters", "list", "--limit", "1000", "--json").stdout))


@pytest.mark.parametrize(
    ("child", "parent"),
    [("time.sleep(20); os._exit(0)", "os._exit(5)"), ("pass", "pass"), ("os._exit(0)", "pass")],
    ids=["the child outlives the lane", "the child goes on as the lane", "the child ends"],
)
def test_a_script_that_forks_loses_no_event_and_takes_nothing_down(tmp_path: Path, child: str, parent: str) -> None:
    project = Project(tmp_path, lanes=1, extra=WRITES)
    project.save("fork.py", FORKER.format(marker=str(tmp_path / "forked"), child=child, parent=parent))
    numbers = Numbers(project)
    with running(project):
        numbers.send(100)
        assert numbers.all_out() == [[n] for n in range(100)]
        assert project.stop() == 0


def test_a_script_may_log_fields_of_any_name(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1)
    project.save("log.py", LOGGER)
    with running(project):
        project.send({"n": 7})
        entry = eventually(lambda: project.logged("seen"), "the entry is logged")[0]
        assert project.stop() == 0
    assert (entry["script"], entry["event_"], entry["script_"], entry["plain"]) == ("log.py", 7, "mine", 2)
    assert entry["level"] == "info"


def test_scripts_that_hold_nearly_all_memory_from_the_start_still_get_their_events(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1)
    project.save("heavy.py", HEAVY.format(size=490 << 20))
    numbers = Numbers(project)
    with running(project):
        numbers.send(20)
        assert numbers.all_out() == [[n] for n in range(20)]
        assert project.stop() == 0


def test_numbers_of_any_size_in_keys_and_logs_reach_the_host(tmp_path: Path) -> None:
    project = Project(tmp_path, source='key = "key"')
    project.save(
        "work.py",
        "from trimtab import log\ndef handle(event, ctx):\n    log.info('seen', big=2**70)\n    raise ValueError(ctx.key)\n",
    )
    with running(project):
        project.send({"n": 1, "key": 2**70})
        (letter,) = eventually(project.letters, "the event fails")
        assert (letter["key"], letter["fault"]["name"]) == (2**70, "ValueError")
        eventually(lambda: str(2**70) in project.log.read_text(), "the log entry arrives")
        assert [lane["restarts"] for lane in project.status()["lanes"]] == [0, 0]
