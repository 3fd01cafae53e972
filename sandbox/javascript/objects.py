"""What one interpreter holds of the script objects: which there are, and how long they last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

from trimtab.api import Pages, Scope, ScriptObject
from trimtab.engine.script import DEFAULT_TIMEOUT, Limits
from trimtab.sandbox.javascript.interpreter import Answer
from trimtab.sandbox.javascript.methods import Shape
from trimtab.sandbox.javascript.values import Kind, decode, encode, encode_as

_CLOSED = (
    "expected an object that is in use, but this one was closed when its event was done, or the function that it was "
    "made for; get a new one for each event"
)


class Objects:
    """The script objects that JavaScript knows, by number.

    What is made while the script is loaded and opened lasts as long as the interpreter. Anything else lasts as long
    as its event, or as Python holds it: a connector keeps what it has connected. Scopes and pages that are left open
    are ended with their event, or when ``open()`` returns.

    ``tag``: see :func:`decode`. ``complain`` is told of a scope or of pages that could not be ended.
    """

    def __init__(self, tag: str, limits: Limits, complain: Callable[[str], None]) -> None:
        self._tag = tag
        self._limits = limits
        self._complain = complain
        self._next = count(1)
        self._numbers: dict[int, int] = {}
        """By ``id()``; it may be that of an object that is gone."""
        self._known: WeakValueDictionary[int, ScriptObject] = WeakValueDictionary()
        """All, by number, while somebody holds them."""
        self._held: dict[int, ScriptObject] = {}
        """Those that last, and those of the event in hand."""
        self._passing: list[int] = []
        self._open: dict[int, Scope | Pages] = {}
        self._lasting = False
        self._shapes: dict[type, Shape] = {}
        self._described: list[Mapping[str, Any]] = []

    def answers(self) -> dict[str, Answer]:
        """Return the answers to what objects.js asks, by kind of question."""
        return {
            "object": lambda body: self._answer(self._held[int(body)]),
            "shape": lambda body: encode(self._described[int(body)]),
            "call": self._call,
            "commit": self._commit,
            "next": self._next_page,
            "end": lambda body: self._end(int(body)),
            "release": lambda _body: self.release(),
        }

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """What is made inside the block lasts as long as the interpreter."""
        self._lasting = True
        try:
            yield
        finally:
            self._lasting = False

    def add(self, roots: Mapping[str, ScriptObject]) -> dict[str, int]:
        """Take objects that last as long as the interpreter. Returns their numbers."""
        with self.lasting():
            return {name: self._number(root)[0] for name, root in roots.items()}

    def release(self) -> None:
        """Let go of what was made for an event: nothing of the script is running any more."""
        for number in reversed(self._open.copy()):
            self._end(number)
        while self._passing:
            number = self._passing.pop()
            identity = id(self._held.pop(number, None))
            if number not in self._known:  # nobody else holds it
                self._numbers.pop(identity, None)

    # --- what objects.js asks ---

    def _call(self, body: bytes) -> bytes:
        number, name, text = body.split(b"\n", 2)
        thing = self._find(number, name)
        values = decode(text, self._tag)
        method = self._shapes[type(thing)].methods.get(name)
        if method is None:
            return self._answer(thing.call_any(decode(name, self._tag), *values))
        return self._answer(method.call(thing, values))

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

    def _next_page(self, body: bytes) -> bytes:
        number = int(body)
        pages = self._open.get(number)
        if not isinstance(pages, Pages):
            raise ReferenceError(_CLOSED)
        try:
            page = pages.next_page()
        except Exception:
            self._end(number)
            raise
        if not page:
            self._end(number)
        return encode(page)

    # --- objects ---

    def _answer(self, result: Any) -> bytes:
        if not isinstance(result, ScriptObject):
            return encode(result)
        number, fresh = self._number(result)
        fields = [getattr(result, name) for name in result.fields]
        return encode_as(Kind.OBJECT, [number, self._shape(result).number, fresh, *fields])

    def _shape(self, thing: ScriptObject) -> Shape:
        shape = self._shapes.get(type(thing))
        if shape is None:
            shape = self._shapes[type(thing)] = Shape.of(thing, len(self._described))
            self._described.append(shape.description)
        return shape

    def _number(self, thing: ScriptObject) -> tuple[int, bool]:
        """Return the number of an object, and whether it is new and to be released."""
        number = self._numbers.get(id(thing))
        if number is not None and self._known.get(number) is thing:
            return number, False
        number = next(self._next)
        if isinstance(thing, Scope | Pages):
            self._open[number] = thing
        self._held[number] = self._known[number] = thing
        self._numbers[id(thing)] = number
        if not self._lasting:
            self._passing.append(number)
        return number, True

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
