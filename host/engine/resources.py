"""The resources of one process: made and replaced with the generations, and the one way in which scripts call them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from trimtab.artifacts.names import artifact_name, nearest
from trimtab.engine.breaker import Breakers
from trimtab.engine.calls import Call, CallCount
from trimtab.errors import CallError, Fault

if TYPE_CHECKING:
    from trimtab.api import Resource, ResourceKind
    from trimtab.engine.script import Limits

Result = TypeVar("Result")

CHECK_SECONDS = 5.0
"""What the outside system may take for a sign of life before a change that needs it is refused."""
MOST_SAMPLES = 64
"""Times kept for one script and resource until they are fetched."""


@dataclass(slots=True, eq=False)
class _Declared:
    """One resource: what it is made from, and what was made, if it was needed yet.

    Threads share it. They change it by single operations of sets and dictionaries, which are whole or not at all.
    """

    options: msgspec.Struct
    _create: Callable[[], Resource]
    _made: dict[None, Resource] = field(default_factory=dict)
    is_for_many: bool = False
    """It stands for many outside systems: one that fails says nothing of the others."""
    _users: set[int] = field(default_factory=set)
    """The calls that are under way."""
    _ended: bool = False

    @property
    def resource(self) -> Resource:
        """The resource, made now if it was not yet. Raises :class:`CallError`."""
        made = self._made.get(None)
        return self.make_now() if made is None else made

    def make_now(self) -> Resource:
        """Make the resource. Raises :class:`CallError`."""
        made = self._create()
        first = self._made.setdefault(None, made)
        if first is not made:  # another thread was quicker
            made.close()
        return first

    def enter(self, user: int) -> bool:
        """Keep it open until the user has left. False: it has ended, and must not be used."""
        self._users.add(user)
        if not self._ended:
            return True
        self.leave(user)
        return False

    def leave(self, user: int) -> None:
        """A call is over."""
        self._users.discard(user)
        if self._ended:
            self._close_unused()

    def end(self) -> None:
        """Close what was made: now, or when the last call that is under way is over, in its thread."""
        self._ended = True
        self._close_unused()

    def _close_unused(self) -> None:
        if not self._users and (made := self._made.pop(None, None)) is not None:
            made.close()


_opening: ContextVar[dict[str, _Declared] | None] = ContextVar("opening", default=None)
"""The prepared resources, for scripts that are loaded and opened: other threads go on with the running ones."""


class Resources:
    """What scripts call. Calls come from any thread, all else from one, the main thread.

    ``clock``: nanoseconds that only grow. ``rehearse``: gets every call in place of the outside system, which is then
    left alone (``trimtab try``).
    """

    def __init__(
        self,
        kinds: Mapping[str, ResourceKind[Any]],
        folder: Path,
        clock: Callable[[], int],
        rehearse: Callable[[Call], None] | None = None,
        breakers: Breakers | None = None,
    ) -> None:
        self._kinds = kinds
        self._folder = folder
        self._clock = clock
        self._rehearse = rehearse
        self.breakers = Breakers() if breakers is None else breakers
        """Of the resources."""
        self._running: dict[str, _Declared] = {}
        self._candidates: dict[str, _Declared] | None = None
        self._retired: dict[str, list[_Declared]] = {}
        self._over: deque[tuple[str, str, int, bool]] = deque()
        """Calls that were not counted yet: script, resource, nanoseconds, and whether it failed."""

    # --- what bindings call ---

    def require(self, name: str) -> Resource:
        """Return a resource by name such as ``sql.orders``. Raises :class:`CallError` if it is not declared.

        Calls in the name of scripts go through :meth:`call`.
        """
        return self._find(name).resource

    def declared(self, kind: str) -> list[Any]:
        """Return the options of every resource of a kind that the generation has."""
        return [made.options for name, made in list(self._here().items()) if name.partition(".")[0] == kind]

    def call(self, call: Call, work: Callable[[Any], Result], rehearsed: Result, own: Resource | None = None) -> Result:
        """Return what ``work`` returns for the resource that the call names: the running generation's, or ``own``.

        Where calls are rehearsed, the call is only shown, and ``rehearsed`` is returned. Raises :class:`CallError` for
        a resource that is not declared, and whatever ``work`` raises.
        """
        if self._rehearse is not None:
            if own is None:
                self.require(call.resource)
            self._rehearse(call)
            return rehearsed
        if own is not None:
            return self._timed(call, work, own)
        used = self._enter(call)
        try:
            return self._guarded(call, work, used)
        finally:
            used.leave(id(call))

    def _guarded(self, call: Call, work: Callable[[Any], Result], used: _Declared) -> Result:
        """Make a call, unless too many of the last ones to this resource have failed."""
        if used.is_for_many:
            return self._timed(call, work, used.resource)
        breaker = self.breakers.of(call.resource)
        era = breaker.admit()
        if era is None:
            raise CallError(
                "CircuitOpenError",
                f"{call.resource}: expected an outside system that answers, got too many failures of late; it is left "
                "alone for some seconds and then tried again",
                retryable=True,
            )
        is_bad = True
        try:
            result = self._timed(call, work, used.resource)
            is_bad = False
            return result
        except Exception as error:
            is_bad = isinstance(error, CallError) and error.retryable
            raise
        finally:
            breaker.record(era, not is_bad, is_bad)

    def _enter(self, call: Call) -> _Declared:
        while not (found := self._find(call.resource)).enter(id(call)):
            pass  # it was replaced, and closed, in this moment
        return found

    def _timed(self, call: Call, work: Callable[[Any], Result], resource: Resource) -> Result:
        failed = True
        started = self._clock()
        try:
            result = work(resource)
            failed = False
        finally:
            self._over.append((call.script, call.resource, self._clock() - started, failed))
        return result

    def counted(self) -> list[CallCount]:
        """Return what was counted since the last time."""
        counts: dict[tuple[str, str], CallCount] = {}
        for _ in range(len(self._over)):
            script, resource, nanoseconds, failed = self._over.popleft()
            count = counts.get((script, resource))
            if count is None:
                count = counts[script, resource] = CallCount(script, resource)
            count.calls += 1
            count.failed += failed
            if len(count.samples) < MOST_SAMPLES:
                count.samples.append(nanoseconds)
        return list(counts.values())

    # --- generations ---

    def prepare(self, changes: Mapping[str, Mapping[str, Any] | None], *, made: bool = True) -> dict[str, Fault]:
        """Declare resources beside the running ones, by their options; None: without it. Connects to nothing.

        ``made``: they are made now, which may import a driver; else each when it is needed. Returns the faults of
        those that cannot be declared or made, by artifact; the others are prepared.
        """
        self.abort()
        declared: dict[str, _Declared] = {}
        faults: dict[str, Fault] = {}
        for name, options in changes.items():
            if options is not None:
                try:
                    declared[name] = self._declare(name, options, made=made)
                except (CallError, msgspec.ValidationError, LookupError) as error:
                    faults[artifact_name(name)] = _fault(error)
        kept = {name: each for name, each in list(self._running.items()) if name not in changes}
        self._candidates = kept | declared
        return faults

    def check(self, names: list[str], limits: Limits) -> dict[str, Fault]:
        """Ask prepared resources for a sign of life, each under a limit. Returns the faults, by artifact."""
        faults: dict[str, Fault] = {}
        there = self._there()
        for name in names:
            fault = self._check(there[name], limits) if name in there else None
            if fault is not None:
                faults[artifact_name(name)] = fault
        return faults

    def _check(self, declared: _Declared, limits: Limits) -> Fault | None:
        try:
            with limits.running(CHECK_SECONDS):
                declared.resource.check()
        except CallError as error:
            return _fault(error)
        except BaseException as error:
            if not limits.is_exceeded(error):
                raise
            return Fault("TimeoutError", f"expected an answer within {CHECK_SECONDS:g} s, got none")
        return None

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Inside the block, calls go to the prepared resources, if there are any."""
        outside = _opening.set(self._there())
        try:
            yield
        finally:
            _opening.reset(outside)

    def commit(self) -> None:
        """Let calls go to the prepared resources from now on. The others wait for :meth:`close_retired`."""
        candidates, self._candidates = self._candidates, None
        if candidates is not None:
            running, self._running = self._running, candidates
            self._retire(running, candidates)

    def abort(self) -> None:
        """Drop the prepared resources."""
        candidates, self._candidates = self._candidates, None
        if candidates is not None:
            self._retire(candidates, self._running)

    def close_retired(self) -> None:
        """Close the resources that were replaced or dropped; one that a thread is calling, when that call is over."""
        retired, self._retired = self._retired, {}
        for several in retired.values():
            for declared in several:
                declared.end()

    def close(self) -> None:
        """Close every resource, as :meth:`close_retired` does."""
        self.abort()
        running, self._running = self._running, {}
        self._retire(running, {})
        self.close_retired()

    def _retire(self, resources: Mapping[str, _Declared], kept: Mapping[str, _Declared]) -> None:
        for name, declared in list(resources.items()):
            if kept.get(name) is not declared:
                self.breakers.forget(name)
                self._retired.setdefault(name, []).append(declared)

    def _there(self) -> dict[str, _Declared]:
        return self._running if self._candidates is None else self._candidates

    # --- one resource ---

    def _here(self) -> dict[str, _Declared]:
        opening = _opening.get()
        return self._running if opening is None else opening

    def _find(self, name: str) -> _Declared:
        here = self._here()
        found = here.get(name)
        if found is not None:
            return found
        if (retired := self._retired.get(name)) is not None:  # for the close() of scripts that went together with it
            return retired[-1]
        kind, _, rest = name.partition(".")
        if kind in self._kinds and rest in self._kinds[kind].implied:
            return here.setdefault(name, self._declare(name, {}, made=False))
        raise self._undeclared(name, kind, rest)

    def _declare(self, name: str, given: Mapping[str, Any], *, made: bool) -> _Declared:
        kind_name, _, rest = name.partition(".")
        kind = self._kinds[kind_name]
        options = msgspec.convert(given, kind.options)
        make = partial(kind.create, options, name, self._folder)
        declared = _Declared(options, make, is_for_many=rest in kind.implied)
        if made:
            declared.make_now()
        return declared

    def _undeclared(self, name: str, kind: str, rest: str) -> CallError:
        declared = sorted(other.partition(".")[2] for other in list(self._here()) if other.startswith(f"{kind}."))
        hint = nearest(rest, declared)
        message = f"expected a resource that the configuration declares ({', '.join(declared) or 'there is none'})"
        message += f", got {kind}({rest!r}); "
        message += f"did you mean {hint!r}? Else declare" if hint else "declare"
        return CallError("PolicyError", f"{message} [resources.{name}] in trimtab.toml")


def _fault(error: Exception) -> Fault:
    return Fault(error.name if isinstance(error, CallError) else type(error).__name__, str(error))
