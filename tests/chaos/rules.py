"""The pattern rules of a round: after a low value some high ones, in time. Scripts and rules are saved as one change.

One has every partial match end by itself. In the other one matches wait for those that began before, and drop some.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tests.chaos.workload import Event, Identity, version_of

EVERY, SKIPPING = "every.rule.json", "skipping.rule.json"
CALLED = {EVERY: "count.py", SKIPPING: "count.js"}
"""The script that gets the matches and counts them in its state. Time-outs go to the sink as they are."""
LOWEST = 4
"""Values below it begin a partial match."""
CLIMB = 5
"""By how much a value is higher that goes on with it."""
HIGHS = 5
"""How many of these complete it."""
WINDOW_MS = 1005
"""In event time, by when it must be complete. The time of no event is that of its end: these are multiples of 10."""

_SINGLE = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]}
_FUNCTIONS = {EVERY: "count.py:on_match", SKIPPING: "count.js#onMatch"}
_STRATEGIES = {EVERY: {"type": "NO_SKIP"}, SKIPPING: {"type": "SKIP_TO_FIRST", "patternName": "high"}}
_PATTERN: dict[str, Any] = {
    "name": "climb",
    "type": "COMPOSITE",
    "version": 1,
    "quantifier": _SINGLE,
    "nodes": [
        {
            "name": "low",
            "type": "ATOMIC",
            "quantifier": _SINGLE,
            "condition": {"type": "AVIATOR", "expression": "value < lowest"},
        },
        {
            "name": "high",
            "type": "ATOMIC",
            "quantifier": {**_SINGLE, "properties": ["TIMES"], "times": {"from": HIGHS, "to": HIGHS}},
            "condition": {"type": "AVIATOR", "expression": "value >= last('low').value + climb"},
        },
    ],
    "edges": [{"source": "low", "target": "high", "type": "SKIP_TILL_NEXT"}],
    "window": {"type": "FIRST_AND_LAST", "time": {"unit": "MILLISECONDS", "size": WINDOW_MS}},
}


def rules(version: int) -> dict[str, str]:
    """Return both rules; versions differ in nothing but their number, and take over what is half done."""
    return {name: _rule(name, version) for name in CALLED}


def _rule(name: str, version: int) -> str:
    document = {
        "id": name,
        "version": version,
        "source": "gps",
        "pattern": {**_PATTERN, "afterMatchStrategy": _STRATEGIES[name]},
        "parameters": {"lowest": LOWEST, "climb": CLIMB},
        "function": _FUNCTIONS[name],
        "timeouts": "emit:found",
        "on_change": "carry",
    }
    return msgspec.json.encode(document).decode()


class Finding(msgspec.Struct, frozen=True):
    """What a rule has found, and what the script adds to a match. ``kind``: match, or timeout."""

    id: str
    rule: str
    kind: str
    version: str
    key: str
    timestamp: int
    events: dict[str, list[Event]]
    count: int | None = None
    """Which match of its key it is."""
    handled_by: int | None = None
    """The version of the script."""

    @property
    def identity(self) -> Identity:
        """What tells it from all others, however often it comes."""
        return self.rule, self.kind, self.key, tuple(event.n for events in self.events.values() for event in events)

    @property
    def is_mixed(self) -> bool:
        """Whether the versions of rule and script do not belong to one change."""
        return self.handled_by is not None and self.version != version_of(rules(self.handled_by).get(self.rule, ""))
