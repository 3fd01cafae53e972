"""``timer``: calls ``on_timer`` of the script later, for the key of the event."""

from __future__ import annotations

from typing import Any

from trimtab.api import Binding, Duration, Hand, HandlerRun, Script, ScriptHost, ScriptObject, Timer, parse_duration

TIMES = ("event", "processing")


class ScriptTimer(ScriptObject):
    """Sets and cancels the timers of this script for the key of the event in hand."""

    methods = frozenset({"at", "after", "cancel"})

    def __init__(self, hand: Hand) -> None:
        self._hand = hand

    def at(self, when: float, data: Any = None, *, name: str | None = None, time: str | None = None) -> str:
        """Call ``on_timer`` when the time ``when`` has come, in ms since the epoch. Returns the timer's name.

        ``time``: "event", when the watermark of the event's source has passed it, or "processing", by the clock; None:
        event time where the source has a timestamp. A timer of the same ``name`` is replaced; without a name each is
        another one. ``data`` comes back to ``on_timer``.
        """
        if isinstance(when, bool) or not isinstance(when, int | float) or when != when or abs(when) > 1e15:
            raise TypeError(f"timer.at expected a time in ms since the epoch, got {when!r}")
        return self._set(self._hand.current("timer.at()"), int(when), data, name, time)

    def after(self, delay: Duration, data: Any = None, *, name: str | None = None, time: str | None = None) -> str:
        """Call ``on_timer`` after a while: seconds, or text such as "5m"; counted from the timestamp of the event in
        event time, from now in processing time. See :meth:`at`.
        """
        run = self._hand.current("timer.after()")
        seconds = parse_duration(delay)
        start = run.events.timestamp(run.index) if _time(run, time) == "event" else run.state.store.now
        return self._set(run, start + round(seconds * 1000), data, name, time)

    def cancel(self, name: str) -> bool:
        """Cancel a timer; return whether there was one."""
        return self._hand.current("timer.cancel()").transaction().cancel_timer(name)

    def _set(self, run: HandlerRun, at: int, data: Any, name: str | None, time: str | None) -> str:
        if name is not None and (not isinstance(name, str) or not name):
            raise TypeError(f"timer: expected a name, as text that is not empty, got {name!r}")
        if not run.state.handles_timers:
            raise TypeError(
                "timer: expected a function on_timer(timer, ctx) in the script (onTimer in JavaScript), got none; "
                "it is what the timer calls"
            )
        transaction = run.transaction()
        chosen = transaction.new_timer_name(run.events.id(run.index)) if name is None else name
        timer = Timer(at, _time(run, time), run.events.source, data)
        transaction.set_timer(chosen, timer)
        return chosen


def _time(run: HandlerRun, time: str | None) -> Any:
    if time is None:
        return "event" if run.events.has_event_time else "processing"
    if time not in TIMES:
        raise ValueError(f'timer: expected time "event" or "processing", got {time!r}')
    return time


class TimerBinding(Binding):
    """Gives scripts ``timer``."""

    name = "timer"

    def bind(self, _script: Script, host: ScriptHost) -> ScriptTimer:
        """See :class:`Binding`."""
        return ScriptTimer(host.hand)
