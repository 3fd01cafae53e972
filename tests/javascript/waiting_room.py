"""A binding whose calls wait until a test, or another event, lets them go on."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from trimtab.api import Binding, CallError, Pages, Scope, Script, ScriptHost, ScriptObject
from trimtab.plugin_manager import Plugins
from trimtab.testing import ScriptRunner, TestingPlugin

PATIENCE = 30.0
"""Seconds after which a call fails for which nothing was opened: longer than any test takes."""


class Answer(ScriptObject):
    """What a call gives that returns an object."""

    methods = frozenset({"read"})
    fields = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self) -> str:
        return f"read {self.name}"


class Letters(Pages):
    """Three pages; notes whether each was read on the main thread."""

    def __init__(self, room: WaitingRoom) -> None:
        self._pages: list[list[str]] = [["a", "b"], ["c"]]
        self._room = room

    def next_page(self) -> Sequence[str]:
        self._room.read_on_main.append(threading.current_thread() is threading.main_thread())
        return self._pages.pop(0) if self._pages else []

    def close(self) -> None:
        self._room.noted.append("closed")


class Ledger(Scope):
    methods = frozenset({"put"})

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room

    def put(self, item: str) -> None:
        self._room.noted.append(f"put {item}")

    def commit(self) -> None:
        self._room.noted.append("commit")

    def rollback(self) -> None:
        self._room.noted.append("rollback")


class WaitingRoom(ScriptObject):
    """``wait`` returns when ``open`` has been called with the same name; ``meet`` when as many have come as it says."""

    methods = frozenset({"wait", "meet", "open", "note", "first", "fail", "answer", "letters"})
    outside = frozenset({"wait", "meet", "fail", "answer"})
    scopes = {"ledger": "_ledger"}  # noqa: RUF012 - as declared

    def __init__(self) -> None:
        self.noted: list[Any] = []
        self.read_on_main: list[bool] = []
        self.firsts = 0
        self.waiting = 0
        self.most = 0
        """How many waited at the same time."""
        self._lock = threading.Lock()
        self._doors: defaultdict[str, threading.Event] = defaultdict(threading.Event)
        self._barriers: dict[int, threading.Barrier] = {}

    def wait(self, name: str) -> str:
        with self._lock:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            door = self._doors[name]
        if not door.wait(PATIENCE):
            raise CallError("TimeoutError", f"nobody has opened {name}")
        with self._lock:
            self.waiting -= 1
        return name

    def meet(self, count: int) -> None:
        with self._lock:
            barrier = self._barriers.setdefault(count, threading.Barrier(count))
        barrier.wait(PATIENCE)

    def open(self, *names: str) -> None:
        with self._lock:
            for name in names:
                self._doors[name].set()

    def note(self, value: Any) -> None:
        self.noted.append(value)

    def first(self) -> int:
        """Return how often this was called."""
        self.firsts += 1
        return self.firsts

    def fail(self, message: str) -> None:
        raise CallError("SqlError", message, code="42", retryable=True)

    def answer(self, name: str) -> Answer:
        return Answer(name)

    def letters(self) -> Letters:
        return Letters(self)

    def open_all(self) -> None:
        """Let every call go on, so that no thread is left behind."""
        self.open(*self._doors)

    def _ledger(self) -> Ledger:
        return Ledger(self)


class _RoomBinding(Binding):
    name = "room"

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room

    def bind(self, script: Script, host: ScriptHost) -> WaitingRoom:
        return self._room


@contextmanager
def waiting_room(*, key: str | None = None, sink: str = "out") -> Iterator[tuple[ScriptRunner, WaitingRoom]]:
    """A runner whose scripts find ``room``."""
    room = WaitingRoom()
    plugins = Plugins.load([("room", TestingPlugin(bindings=[_RoomBinding(room)]))])
    with ScriptRunner(plugins=plugins, key=key, settings={"lofka": {"sink": sink}}) as runner:
        try:
            yield runner, room
        finally:
            room.open_all()
