"""What bindings hand to scripts beside plain values: objects whose methods scripts call, the same in every language."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from asyncio import Future

_BEFORE_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def snake_case(name: str) -> str:
    """``queryOne`` to ``query_one``: how a method that scripts call is named in Python."""
    return _BEFORE_CAPITAL.sub("_", name).lower()


def camel_case(name: str) -> str:
    """``query_one`` to ``queryOne``: how a method is named for scripts."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


call_outside: ContextVar[Callable[[Callable[[], Any]], Future[Any]] | None]
call_outside = ContextVar("call_outside", default=None)
"""What makes the calls to the outside of an asynchronous handler, in the context in which it runs."""


def _awaitable(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: ScriptObject, *arguments: Any, **options: Any) -> Any:
        make = call_outside.get()
        if make is None:
            return method(self, *arguments, **options)
        return make(partial(method, self, *arguments, **options))

    return call


class ScriptObject:
    """Something that scripts call. Subclasses say what scripts may reach; all else stays hidden from JavaScript.

    Arguments and results are JSON values, ``bytes`` (``Uint8Array`` in JavaScript), ``datetime``, ``date``, ``time``
    and ``Decimal`` (text in JavaScript; a JavaScript ``Date`` arrives as aware ``datetime``), and other script objects.
    Keyword-only parameters come from JavaScript as one object after the positional ones. Called on the lane's main
    thread; any call may be broken off by a ``BaseException``, the time limit.
    """

    methods: ClassVar[frozenset[str]] = frozenset()
    """Names of the methods that scripts may call, as in Python; scripts use camelCase, in Python either. ``__call__``
    makes the object itself callable."""
    fields: ClassVar[tuple[str, ...]] = ()
    """Attributes that scripts may read: plain values that do not change."""
    scopes: ClassVar[Mapping[str, str]] = {}
    """Methods that take a function, call it with a :class:`Scope`, and return what it returns; for each, the method
    that returns a new scope: JavaScript's half calls that one, the function, and then ``commit`` or ``rollback``."""
    any_method: ClassVar[bool] = False
    """Any other name is a method too: :meth:`call_any` gets it."""
    outside: ClassVar[frozenset[str]] = frozenset()
    """Methods that wait for an outside system. Called in an asynchronous handler, they return an awaitable (a promise
    in JavaScript) and run in a thread. ``call_any`` among them stands for any other name."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in cls.outside & vars(cls).keys():
            setattr(cls, name, _awaitable(vars(cls)[name]))

    def __getattr__(self, name: str) -> Any:
        """Find a method by its name in camelCase. Called by Python for names that it has not found."""
        if not name.startswith("_"):
            python_name = snake_case(name)
            if python_name != name and (python_name in self.methods or python_name in self.scopes):
                return getattr(self, python_name)
            if self.any_method:
                return lambda *arguments, **options: self.call_any(name, *arguments, **options)
        raise AttributeError(f"{type(self).__name__} has no {name!r}; expected one of {', '.join(self._known())}")

    def call_any(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call a method that is not in :attr:`methods`; see :attr:`any_method`."""
        raise NotImplementedError

    def _known(self) -> list[str]:
        methods = sorted(camel_case(name) for name in {*self.methods, *self.scopes} - {"__call__"})
        return [*methods, *self.fields]


class Scope(ScriptObject):
    """What a function gets that works inside a scope: a transaction, a pipeline. Ended exactly once."""

    @abstractmethod
    def commit(self) -> Any:
        """The function has returned. What this returns, if anything, is the result in place of the function's."""

    @abstractmethod
    def rollback(self) -> None:
        """The function has thrown, or its time is up. Must not fail."""


class Pages(ScriptObject):
    """Many values, read page by page: iterable in every language; ``toArray()`` reads them all. Read once.

    In an asynchronous handler, they are iterated with ``async for`` (``for await``).
    """

    methods = frozenset({"to_array", "close"})
    outside = frozenset({"to_array", "next_page"})

    @abstractmethod
    def next_page(self) -> Sequence[Any]:
        """Return the next values; empty at the end, and from then on."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held outside. May be called more than once, and after the end."""

    def __iter__(self) -> Iterator[Any]:
        """Yield every value; closes at the end and when the loop is left."""
        if call_outside.get() is not None:
            raise TypeError("expected `async for` in an asynchronous handler, got `for`; or: await it.to_array()")
        try:
            while page := self.next_page():
                yield from page
        finally:
            self.close()

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Do the same in an asynchronous handler, where each page is awaited."""
        make = call_outside.get()
        if make is None:
            raise TypeError("expected `for` outside of an asynchronous handler, got `async for`")
        try:
            while page := await make(self.next_page):
                for value in page:
                    yield value
        finally:
            self.close()

    def to_array(self) -> list[Any]:
        """Return every value that is left."""
        return list(self)
