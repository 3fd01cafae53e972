"""What a round feeds to the host: two scripts that do the same in two languages, and events of two sources.

Each counts the matches of a rule besides.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

TIMER_MS = 60
"""How long each timer runs: in event time for the file, in processing time for what is posted."""
EVENT_MS = 10
"""Event time between two lines of the file."""
BRIEF_MS = 30
"""How long one of the values is kept."""
EPOCH_MS = 1_700_000_000_000
BOTH = ("count.py", "count.js")
HIGHEST = 9
"""The highest value of an event. It begins no partial match."""

PYTHON = """
from trimtab import emit, state, timer

VERSION = {version}


def handle(event, ctx):
    if event["do"] == "end":
        return
    if event["do"] == "audit":
        emit("out", row("audit", ctx, event["n"], state=state.items()))
        return
    count = state.incr("count")
    state.set("last", event["n"], ttl="1h")
    state.set("brief", event["n"], ttl="{brief}ms")
    if count % 5:
        state.incr("since")
    else:
        state.delete("since")
    if event["do"] == "fail":
        raise ValueError("as planned")
    timer.after("{timer}ms", event["n"], name=str(event["n"]))
    emit("out", row("count", ctx, event["n"], count=count))


def on_timer(timer, ctx):
    emit("out", row("timer", ctx, timer["data"], at=timer["at"], fired=state.incr("fired")))


def on_match(match, ctx):
    emit("found", {{**match, "count": state.incr("matches"), "handled_by": VERSION}})


def row(kind, ctx, n, **facts):
    return {{"script": "count.py", "kind": kind, "key": ctx.key, "n": n, "id": ctx.id, "version": VERSION, **facts}}
"""
JAVASCRIPT = """
import {{ emit, state, timer }} from "trimtab";

const VERSION = {version};

export function handle(event, ctx) {{
  if (event.do === "end") return;
  if (event.do === "audit") {{
    emit("out", row("audit", ctx, event.n, {{ state: state.items() }}));
    return;
  }}
  const count = state.incr("count");
  state.set("last", event.n, {{ ttl: "1h" }});
  state.set("brief", event.n, {{ ttl: "{brief}ms" }});
  if (count % 5) state.incr("since");
  else state.delete("since");
  if (event.do === "fail") throw new Error("as planned");
  timer.after("{timer}ms", event.n, {{ name: String(event.n) }});
  emit("out", row("count", ctx, event.n, {{ count }}));
}}

export function onTimer(timer, ctx) {{
  emit("out", row("timer", ctx, timer.data, {{ at: timer.at, fired: state.incr("fired") }}));
}}

export function onMatch(match, ctx) {{
  emit("found", {{ ...match, count: state.incr("matches"), handled_by: VERSION }});
}}

function row(kind, ctx, n, facts) {{
  return {{ script: "count.js", kind, key: ctx.key, n, id: ctx.id, version: VERSION, ...facts }};
}}
"""


def scripts(version: int) -> dict[str, str]:
    """Return both scripts; versions differ in nothing but their number."""
    sources = dict(zip(BOTH, (PYTHON, JAVASCRIPT), strict=True))
    return {name: source.format(version=version, timer=TIMER_MS, brief=BRIEF_MS) for name, source in sources.items()}


def version_of(text: str) -> str:
    """Return what a host calls a version of a script or rule."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


Identity = tuple[str, str, str, int | tuple[int, ...]]
"""Of what was emitted: script or rule, kind, key, number of the event; of what a rule has found those of all its events."""


class Row(msgspec.Struct, frozen=True):
    """What a script emits: for an event, for a timer, or its whole state when it is asked for that."""

    script: str
    kind: str
    key: str
    n: int
    id: str
    version: int
    count: int | None = None
    at: int | None = None
    fired: int | None = None
    state: dict[str, Any] | None = None

    @property
    def identity(self) -> Identity:
        """What tells it from all others, however often it comes."""
        return self.script, self.kind, self.key, self.n


@dataclass(frozen=True, slots=True)
class Event:
    """``n`` is its own; ``do``: count, fail (after it has changed the state), audit (emit the state) or end."""

    n: int
    key: str
    do: str = "count"
    ts: int | None = None
    """Event time in ms; None: posted, so without one."""
    value: int = HIGHEST
    """What rules look at."""

    def line(self) -> str:
        """Return the event as the host gets it."""
        stamp = {} if self.ts is None else {"ts": self.ts}
        return msgspec.json.encode({"n": self.n, "key": self.key, "do": self.do, "value": self.value, **stamp}).decode()


class Workload:
    """The events of one round, in the order in which each source gets them. Keys belong to one source each."""

    FILE_KEYS = tuple(f"f{index}" for index in range(5))
    POST_KEYS = tuple(f"p{index}" for index in range(3))

    def __init__(self, rng: random.Random, lines: int, posts: int) -> None:
        self._rng = rng
        self._made = 0
        self._stamp = EPOCH_MS
        self.lines = [self._line(rng.choice(self.FILE_KEYS), self._deed()) for _ in range(lines)]
        self.posts = [self._post(rng.choice(self.POST_KEYS), self._deed()) for _ in range(posts)]
        self._last: list[Event] = []

    def closing(self) -> Sequence[Event]:
        """One more event a key, behind all others, and one whose time is behind every timer and every window."""
        last = self._for_each_key("count")
        self._stamp += 1000 * TIMER_MS
        last.append(self._line("end", "end"))
        self._last += last
        return last

    def audits(self) -> Sequence[Event]:
        """One event a key that asks for its state."""
        last = self._for_each_key("audit")
        self._last += last
        return last

    def all(self) -> Sequence[Event]:
        """Everything made so far, in the order of each source."""
        return [*self.lines, *self.posts, *self._last]

    def _for_each_key(self, do: str) -> list[Event]:
        return [*(self._line(key, do) for key in self.FILE_KEYS), *(self._post(key, do) for key in self.POST_KEYS)]

    def _deed(self) -> str:
        return "fail" if self._rng.random() < 0.02 else "count"

    def _line(self, key: str, do: str) -> Event:
        self._stamp += EVENT_MS
        return Event(self._number(), key, do, self._stamp, self._value(do))

    def _post(self, key: str, do: str) -> Event:
        return Event(self._number(), key, do, value=self._value(do))

    def _value(self, do: str) -> int:
        return self._rng.randint(0, HIGHEST) if do in ("count", "fail") else HIGHEST

    def _number(self) -> int:
        self._made += 1
        return self._made
