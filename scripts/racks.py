"""Racks that heat up: what looks for them are rows of the table `rules` in `racks.db`, see docs/scenarios.md."""

import json

from trimtab import emit, sql

# The rule to begin with: two readings, one right after the other, each hotter than the one before.
HEATING = {
    "name": "heating",
    "type": "COMPOSITE",
    "version": 1,
    "quantifier": {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]},
    "nodes": [
        {
            "name": "warm",
            "type": "ATOMIC",
            "quantifier": {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]},
            "condition": {"type": "AVIATOR", "expression": "temp > limit"},
        },
        {
            "name": "hotter",
            "type": "ATOMIC",
            "quantifier": {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]},
            "condition": {"type": "AVIATOR", "expression": "temp > last('warm').temp"},
        },
    ],
    "edges": [{"source": "warm", "target": "hotter", "type": "STRICT"}],
    "window": {"type": "FIRST_AND_LAST", "time": {"unit": "SECONDS", "size": 20}},
    "afterMatchStrategy": {"type": "SKIP_PAST_LAST_EVENT"},
}
ROW = {"id": "heating", "version": 1, "pattern": json.dumps(HEATING), "parameters": '{"limit": 45}'}


def open():  # noqa: A001 - what the host calls
    racks = sql("racks")
    racks.execute(
        "create table if not exists rules (id text primary key, version integer not null, pattern text not null, "
        "function text not null, parameters text, binding_keys text, effective_at integer)"
    )
    racks.execute(
        "insert into rules (id, version, pattern, function, parameters) "
        "values (:id, :version, :pattern, 'racks.py:on_match', :parameters) on conflict do nothing",
        ROW,
    )


def on_match(match, ctx):
    hottest = match["events"]["hotter"][-1]
    alarm = {"alarm": match["rule"], "rack": ctx.key, "temp": hottest["temp"], "at": ctx.timestamp}
    emit("racks", {**alarm, **ctx.parameters})
