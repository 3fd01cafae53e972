"""Takes one batch of events through an interpreter, as far as Python knows: prelude.js runs the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from trimtab.api import Events, HandlerRun, HandlerSpec
from trimtab.errors import Fault
from trimtab.sandbox.javascript.faults import JsError
from trimtab.sandbox.javascript.turns import Turn

LONGEST_INTERVAL = 20.0
"""Milliseconds after which the loop tells the time limit that another event has begun; at most a tenth of the limit."""


class _Failure(JsError):
    at: int = 0


class _Report(msgspec.Struct):
    """What the loop did with the events from ``start`` up to ``next``; both count from the first that was sent."""

    start: int
    next: int
    full: bool
    faults: list[_Failure]
    sample: float | None
    at: dict[str, list[int]]


_DECODER = msgspec.json.Decoder(_Report)


class Batch(Turn):
    """Which of the selected events are done, and what became of them.

    ``turn``: number of the batch among those of one script instance. ``texts``: the handler gets JSON texts.
    """

    def __init__(
        self, spec: HandlerSpec, events: Events, selection: Sequence[int], run: HandlerRun, turn: int, *, texts: bool
    ) -> None:
        self.done = 0
        self.full = False
        """The interpreter's memory was full: it is to be replaced before the next event."""
        self.turn = turn
        self.timeout = spec.timeout
        self._handler = spec.name
        self._events = events
        self._selection = selection
        self._run = run
        self._texts = texts
        self._sent = range(0)

    @property
    def finished(self) -> bool:
        """Nothing is left to do."""
        return self.done == len(self._selection)

    @property
    def idle(self) -> bool:
        """The interpreter has done all that it was sent."""
        return self.done == self._sent.stop

    def command(self, *, single: bool) -> bytes:
        """Return the command that sends what is left, or only the next event.

        What events did to the state that were sent before and not reported is undone: they run again.
        """
        self.full = False
        self._run.undo(self._selection[self.done])
        self._sent = range(self.done, self.done + 1 if single else len(self._selection))
        selection = self._selected()
        head = {
            "do": "begin",
            "handler": self._handler,
            "number": self.turn,
            "sampled": self.turn % len(selection),
            "interval": min(LONGEST_INTERVAL, self.timeout * 100),
            "source": self._events.source,
            "generation": self._events.generation,
            "arrival": self._events.batch.arrival,
        }
        return b'%b,"events":%b}' % (msgspec.json.encode(head)[:-1], self._values(selection))

    def _values(self, selection: Sequence[int]) -> bytes:
        if self._texts:
            return msgspec.json.encode(self._events.joined(selection, b"\n").decode().split("\n"))
        return b"[%b]" % self._events.joined(selection, b",")

    def run_at(self, event: int) -> HandlerRun | None:
        """See :class:`Turn`. ``event``: counts from the first that was sent."""
        if event < 0:
            return None
        self._run.index = self._selection[self._sent.start + event]
        return self._run

    def undo(self, event: int) -> None:
        """Put back what an event has changed in the state: it has failed, and the next one has not begun."""
        self._run.undo(self._selection[self._sent.start + event])

    def ids(self) -> list[str]:
        """Return the ids of the events that were sent."""
        return [self._events.id(index) for index in self._selected()]

    def keys(self) -> list[Any]:
        """Return the keys of the events that were sent; nothing for an unkeyed source."""
        keys = self._events.keys
        return [] if keys is None else [keys[index] for index in self._selected()]

    def timestamps(self) -> list[int]:
        """Return the event times of the events that were sent; nothing for a source without event time."""
        timestamps = self._events.timestamps
        return [] if timestamps is None else [timestamps[index] for index in self._selected()]

    def parameters(self) -> list[Mapping[str, Any]]:
        """Return the parameters of the rules that the events that were sent are handled for."""
        return [self._events.parameters(index) for index in self._selected()]

    def record(self, body: bytes, locate: Callable[[JsError], Fault]) -> None:
        """Take a report. One that does not go on where the last one ended is dropped: its events run again."""
        head, _, text = body.partition(b"\n")
        report = _DECODER.decode(head)
        if self._sent.start + report.start != self.done:
            return
        for failure in report.faults:
            # Not `fail`: what it did was undone before the events behind it began.
            self._run.faults[self._selection[self._sent.start + failure.at]] = locate(failure)
        lines = text.split(b"\n")
        taken = 0
        for sink, at in report.at.items():
            indexes = at if self._whole else [self._selection[self._sent.start + i] for i in at]
            self._run.extend(sink, indexes, lines[taken : taken + len(at)])
            taken += len(at)
        if report.sample is not None:
            self._run.samples.append(int(report.sample * 1e6))
        self.done, self.full = self._sent.start + report.next, report.full

    def fail(self, fault: Fault) -> None:
        """The event in hand failed, in a way that the interpreter could not report."""
        self._run.fail(self._selection[self.done], fault)
        self.done += 1

    def fail_last(self, fault: Fault) -> None:
        """What the events left behind failed after all of them had been handled: the last one stands for it."""
        self._run.fail(self._selection[-1], fault)

    def fail_rest(self, fault: Fault) -> None:
        """No event that is left can be handled."""
        for index in self._selection[self.done :]:
            self._run.fail(index, fault)
        self.done = len(self._selection)

    @property
    def _whole(self) -> bool:
        return self._sent.start == 0 and len(self._selection) == self._events.count

    def _selected(self) -> Sequence[int]:
        return self._selection[self._sent.start : self._sent.stop]
