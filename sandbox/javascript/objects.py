"""What one interpreter holds of the script objects: which there are, and how long they last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

from trimtab.api import Pages, Scope, ScriptHost, ScriptObject
from trimtab.engine.objects import call_outside
from trimtab.engine.script import DEFAULT_TIMEOUT
from trimtab.sandbox.javascript.interpreter import Answer, failure
from trimtab.sandbox.javascript.methods import Shape
from trimtab.sandbox.javascript.turns import Loading, Ticket, Turn
from trimtab.sandbox.javascript.values import Kind, decode, encode, encode_as

if TYPE_CHECKING:
    from asyncio import Future

    from trimtab.sandbox.javascript.turns import CallOutside

_CLOSED = (
    "expected an object that is in use, but this one was closed when its event was done, or the function that it was "
    "made for; get a new one for each event"
)


class _Life(IntEnum):
    """How long objects.js is to know an object."""

    TURN = 0
    FRESH = 1
    """As long as the turn, and Python is to be told when an event is over that has made one."""
    LASTING = 2
    """Another turn has made it, and Python keeps it."""


Read = Callable[[Callable[[], Any]], bytes]
"""Makes a call and returns the answer that its result is."""


class Objects:
    """The script objects that JavaScript knows, by number.

    What is made while the script is loaded and opened lasts as long as the interpreter. Anything else lasts as long
    as its turn, or as Python holds it: a connector keeps what it has connected. Scopes and pages that are left open
    are ended with their event, or when ``open()`` returns.

    ``tag``: see :func:`decode`. ``complain`` is told of a scope or of pages that could not be ended.
    """

    def __init__(self, tag: str, host: ScriptHost, complain: Callable[[str], None]) -> None:
        self.turn: Turn = Loading()
        """What the interpreter is entered for now, or was last."""
        self._tag = tag
        self._limits = host.limits
        self._hand = host.hand
        self._complain = complain
        self._next = count(1)
        self._numbers: dict[int, int] = {}
        """By ``id()``; it may be that of an object that is gone."""
        self._known: WeakValueDictionary[int, ScriptObject] = WeakValueDictionary()
        """All, by number, while somebody holds them."""
        self._held: dict[int, ScriptObject] = {}
        """Those that last, and those of turns that are not over."""
        self._made: dict[Turn, dict[int, None]] = {}
        """What each turn that is not over has made, in order."""
        self._open: dict[int, Scope | Pages] = {}
        self._calls = count(1)
        self._shapes: dict[type, Shape] = {}
        self._described: list[Mapping[str, Any]] = []

    def answers(self) -> dict[str, Answer]:
        """Return the answers to what objects.js asks, by kind of question."""
        return {
            "object": lambda body: self._answer(self._held[int(body)]),
            "shape": lambda body: encode(self._described[int(body)]),
            "call": lambda body: self._call(body, self.turn.outside()),
            "direct": lambda body: self._call(body, None),
            "commit": self._commit,
            "next": self._next_page_now,
            "page": lambda body: self._next_page(int(body), self.turn.outside()),
            "end": lambda body: self._end(int(body)),
            "release": lambda _body: self.release(self.turn),
        }

    def add(self, roots: Mapping[str, ScriptObject]) -> dict[str, int]:
        """Take objects that last as long as the interpreter. Returns their numbers."""
        return {name: self._number(root)[0] for name, root in roots.items()}

    def release(self, turn: Turn) -> None:
        """Let go of what was made for a turn that is over, now or when none of its calls is under way any more."""
        if turn.waiting:
            return
        for number in reversed(self._made.pop(turn, {})):
            if number in self._open:
                self._end(number)
            elif not turn.lasts:
                self._let_go(number)

    def release_all(self) -> None:
        """Let go of everything: the interpreter is gone."""
        for turn in list(self._made):
            self.release(turn)

    def _let_go(self, number: int) -> None:
        identity = id(self._held.pop(number, None))
        if number not in self._known:  # nobody else holds it
            self._numbers.pop(identity, None)

    # --- what objects.js asks ---

    def _call(self, body: bytes, outside: CallOutside | None) -> bytes:
        event, number, name, text = body.split(b"\n", 3)
        self._hand.run = self.turn.run_at(int(event))
        thing = self._find(number, name)
        values = decode(text, self._tag)
        method = self._shapes[type(thing)].methods.get(name)
        if method is None:
            call = partial(thing.call_any, decode(name, self._tag), *values)
        else:
            call = partial(method.call, thing, values)
        return self._answer(call()) if outside is None else self._call_outside(outside, call, self._read)

    def _commit(self, body: bytes) -> bytes:
        number = int(body)
        scope = self._open.get(number)
        if not isinstance(scope, Scope):
            raise ReferenceError(_CLOSED)
        try:
            result = scope.commit()
        except Exception:
            self._forget(number)
            raise
        self._forget(number)  # not where it was broken off: then it is to be rolled back
        return self._answer(result)

    def _next_page_now(self, body: bytes) -> bytes:
        if self.turn.outside() is not None:
            raise TypeError("expected `for await` in an async function, got `for`; or: await it.toArray()")
        return self._next_page(int(body), None)

    def _next_page(self, number: int, outside: CallOutside | None) -> bytes:
        pages = self._open.get(number)
        if not isinstance(pages, Pages):
            raise ReferenceError(_CLOSED)
        read = partial(self._read_page, number)
        return read(pages.next_page) if outside is None else self._call_outside(outside, pages.next_page, read)

    def _read_page(self, number: int, get: Callable[[], Any]) -> bytes:
        try:
            page = get()
        except Exception:
            self._end(number)
            raise
        if not page:
            self._end(number)
        return encode(page)

    # --- calls that are waited for ---

    def _call_outside(self, outside: CallOutside, call: Callable[[], Any], read: Read) -> bytes:
        """Make a call that may go to the outside: if it does, the answer stands for a promise."""
        token = call_outside.set(outside)
        try:
            result = call()
        finally:
            call_outside.reset(token)
        if not isinstance(result, Awaitable):
            return read(lambda: result)
        future = cast("Future[Any]", result)
        ticket = self.turn
        if not isinstance(ticket, Ticket):
            return b"[%d,%b]" % (Kind.SETTLED, _settled(read, future.result))
        number = next(self._calls)
        ticket.waiting.add(number)
        future.add_done_callback(partial(self._done, ticket, number, read))
        return encode_as(Kind.PENDING, number)

    def _done(self, ticket: Ticket, number: int, read: Read, future: Future[Any]) -> None:
        ticket.waiting.discard(number)
        if ticket.live:
            self.turn = ticket
            ticket.answered(number, _settled(read, future.result))
        else:
            _ = future.cancelled() or future.exception()  # nobody wants to know
            self.release(ticket)

    # --- objects ---

    def _read(self, get: Callable[[], Any]) -> bytes:
        return self._answer(get())

    def _answer(self, result: Any) -> bytes:
        if not isinstance(result, ScriptObject):
            return encode(result)
        number, life = self._number(result)
        fields = [getattr(result, name) for name in result.fields]
        return encode_as(Kind.OBJECT, [number, self._shape(result).number, life, *fields])

    def _shape(self, thing: ScriptObject) -> Shape:
        shape = self._shapes.get(type(thing))
        if shape is None:
            shape = self._shapes[type(thing)] = Shape.of(thing, len(self._described))
            self._described.append(shape.description)
        return shape

    def _number(self, thing: ScriptObject) -> tuple[int, _Life]:
        """Return the number of an object, and how long it lasts."""
        number = self._numbers.get(id(thing))
        if number is not None and self._known.get(number) is thing:
            return number, _Life.TURN if number in self._made.get(self.turn, ()) else _Life.LASTING
        number = next(self._next)
        if isinstance(thing, Scope | Pages):
            self._open[number] = thing
        self._held[number] = self._known[number] = thing
        self._numbers[id(thing)] = number
        self._made.setdefault(self.turn, {})[number] = None
        return number, _Life.TURN if self.turn.lasts else _Life.FRESH

    def _find(self, number: bytes, name: bytes) -> ScriptObject:
        key = int(number)
        thing = self._held.get(key)
        if thing is None:
            thing = self._known.get(key)
        if thing is None:
            raise ReferenceError(f"{decode(name, self._tag)}: {_CLOSED}")
        return thing

    def _forget(self, number: int) -> None:
        self._open.pop(number, None)
        self._numbers.pop(id(self._known.pop(number, None)), None)
        self._held.pop(number, None)

    def _end(self, number: int) -> None:
        """Roll a scope back, or close pages, unless that has been done."""
        try:
            with self._limits.running(DEFAULT_TIMEOUT):
                thing = self._open.get(number)
                self._forget(number)
                if isinstance(thing, Scope):
                    thing.rollback()
                elif thing is not None:
                    thing.close()
        except BaseException as error:
            if not isinstance(error, Exception) and not self._limits.is_exceeded(error):
                raise
            self._complain(f"a scope or pages could not be ended: {error}")


def _settled(read: Read, get: Callable[[], Any]) -> bytes:
    try:
        return read(get)
    except Exception as error:  # noqa: BLE001 - whatever it is, the script gets it
        return failure(error)
