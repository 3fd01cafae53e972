"""What the calls of a resource use one at a time: connections, clients. Many threads take them and give them back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, get_ident
from time import monotonic
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from trimtab.api import CallError

Kind = TypeVar("Kind", bound=Hashable)
Thing = TypeVar("Thing")

KEPT_SECONDS = 60.0
"""How long one is kept that nobody needs, where there is another of its kind."""


@dataclass(frozen=True, slots=True)
class _Idle(Generic[Kind, Thing]):
    kind: Kind
    thing: Thing
    since: float


class Pool(Generic[Kind, Thing]):
    """At most ``most`` things. Whoever has taken one uses it alone, until it is given back or dropped.

    The time limit may strike the main thread between any two of its steps. So the lock is only ever held in a
    ``with`` block, and nothing is counted in a number: a thing that is lost on the way is forgotten with its last
    reference.

    ``make`` and ``close`` may block; ``close`` must not fail.
    """

    def __init__(self, resource: str, most: int, make: Callable[[Kind], Thing], close: Callable[[Thing], None]) -> None:
        self._resource, self._most = resource, most
        self._make, self._close = make, close
        self._lock = Lock()
        self._idle: list[_Idle[Kind, Thing]] = []
        """The one that was used last comes last, and is used first."""
        self._lent: WeakKeyDictionary[Thing, int] = WeakKeyDictionary()
        """With the thread that has taken it."""
        self._making: set[int] = set()
        """Threads that make one."""
        self._waiting: deque[Lock] = deque()
        self._closed = False

    @contextmanager
    def lent(self, kind: Kind, seconds: float) -> Iterator[Thing]:
        """Lend one for the block; raises as :meth:`take`.

        It comes back only from a block that ends by itself. When the time limit breaks that off, whatever the thing is
        in the middle of, nobody uses it again.
        """
        thing, _idle = self.take(kind, seconds)
        try:
            yield thing
        except Exception:
            self.give_back(kind, thing)
            raise
        except BaseException:
            self.drop(thing)
            raise
        self.give_back(kind, thing)

    def take(self, kind: Kind, seconds: float) -> tuple[Thing, float]:
        """Return one that nobody else uses, and for how many seconds nobody has; made now where there is room.

        Waits for one, at most so many seconds. Raises :class:`CallError` if none comes, and what making one raises.
        """
        ends = monotonic() + seconds
        while True:
            turn = Lock()
            surplus: _Idle[Kind, Thing] | None = None
            with self._lock:
                kept = self._pop(kind)
                if kept is not None:
                    self._lent[kept.thing] = get_ident()
                elif self._is_full() and not self._idle:
                    turn.acquire()
                    self._waiting.append(turn)
                else:
                    surplus = self._idle.pop(0) if self._is_full() else None  # of another kind
                    self._making.add(get_ident())
            if kept is not None:
                return kept.thing, monotonic() - kept.since
            if not turn.locked():
                return self._made(kind, surplus), 0.0
            self._wait(turn, ends, seconds)

    def give_back(self, kind: Kind, thing: Thing) -> None:
        """Keep a thing for the next one that needs it; nothing is under way on it."""
        with self._lock:
            keep = not self._closed
            if keep:
                self._idle.append(_Idle(kind, thing, monotonic()))
            self._lent.pop(thing, None)
            surplus = self._outdated()
            self._tell_next()
        if not keep:
            self._close(thing)
        if surplus is not None:
            self._close(surplus.thing)

    def drop(self, thing: Thing) -> None:
        """Close a thing, whatever state it is in."""
        with self._lock:
            self._lent.pop(thing, None)
            self._tell_next()
        self._close(thing)

    def taken_here(self) -> int:
        """Return how many this thread has taken; nobody gives them back while it waits."""
        with self._lock:
            return list(self._lent.values()).count(get_ident())

    def close(self) -> list[Thing]:
        """Close what nobody uses, and whatever is given back from now on. Returns what is in use."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            lent = list(self._lent)
        for each in idle:
            self._close(each.thing)
        return lent

    # --- the lock is held ---

    def _is_full(self) -> bool:
        return len(self._idle) + len(self._lent) + len(self._making - {get_ident()}) >= self._most

    def _pop(self, kind: Kind) -> _Idle[Kind, Thing] | None:
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index].kind == kind:
                return self._idle.pop(index)
        return None

    def _outdated(self) -> _Idle[Kind, Thing] | None:
        if not self._idle or monotonic() - self._idle[0].since < KEPT_SECONDS:
            return None
        has_another = any(each.kind == self._idle[0].kind for each in self._idle[1:])
        return self._idle.pop(0) if has_another else None

    def _tell_next(self) -> None:
        if self._waiting:
            self._waiting.popleft().release()

    # --- it is not ---

    def _made(self, kind: Kind, surplus: _Idle[Kind, Thing] | None) -> Thing:
        made: Thing | None = None
        try:
            if surplus is not None:
                self._close(surplus.thing)
            made = self._make(kind)
        finally:
            with self._lock:
                self._making.discard(get_ident())
                if made is None:
                    self._tell_next()
                else:
                    self._lent[made] = get_ident()
        return made

    def _wait(self, turn: Lock, ends: float, seconds: float) -> None:
        told = False
        try:
            told = turn.acquire(timeout=max(ends - monotonic(), 0))
        finally:
            if not told:
                with self._lock:
                    if turn in self._waiting:
                        self._waiting.remove(turn)
                    else:
                        self._tell_next()  # it was told after all
        if not told:
            message = f"{self._resource}: expected one of {self._most} connections within {seconds:g} s, got none"
            hint = f"do less at once, or raise connections of [resources.{self._resource}]"
            raise CallError("TimeoutError", f"{message}; {hint}", retryable=True)
