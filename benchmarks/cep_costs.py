"""``python -m benchmarks.cep_costs``: what rules and partial matches cost beside the events. Prints a line of JSON."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.cep_loop import Loop
from benchmarks.cep_work import START, reading, write_rule
from trimtab.cep import Matcher
from trimtab.cep.conditions import Conditions
from trimtab.cep.placed import place
from trimtab.cep.rule import read_rule
from trimtab.cep.stream import KeyedStream

OPEN = 100_000
RULES = 10_000
CHANGES = 1000
SINGLE_EVENTS = 200_000
THRESHOLD = 90


def memory() -> dict[str, float]:
    """Bytes for each of many open partial matches, each of a key of its own, with its event."""
    resident = _bytes_each(_resident)
    tracemalloc.start()
    traced = _bytes_each(lambda: tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return {"resident_bytes": resident, "traced_bytes": traced}


def _bytes_each(used: Callable[[], int]) -> float:
    loop = Loop(1, THRESHOLD)
    gc.collect()
    before = used()
    for first in range(0, OPEN, 500):
        lines = [reading(number, number // 10, number % 1000, 95, 0.5) for number in range(first, first + 500)]
        loop.take("\n".join(lines).encode())
    loop.stream.advance(START + OPEN // 10)
    assert len(loop.stream.open) == OPEN
    gc.collect()
    return (used() - before) / OPEN


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def rules() -> dict[str, float]:
    """Microseconds of processor time for each of many rules: to load it, to remove it from the others, to add it."""
    documents = [msgspec.json.encode(write_rule(number, RULES, THRESHOLD)) for number in range(RULES)]
    conditions, stream = Conditions(), KeyedStream(event_time=True)
    started = time.process_time()
    placed = [place(read_rule(document), conditions) for document in documents]
    loaded = time.process_time()
    for each in placed:
        stream.add(each)
    some = placed[:: RULES // CHANGES]
    begun = time.process_time()
    for each in some:
        stream.remove(each)
    removed = time.process_time()
    for each in some:
        stream.add(each)
    added = time.process_time()
    return {
        "load_us": (loaded - started) / RULES * 1e6,
        "remove_us": (removed - begun) / CHANGES * 1e6,
        "add_us": (added - removed) / CHANGES * 1e6,
    }


def single_events() -> dict[str, float]:
    """Microseconds of processor time for an event that is fed to a matcher by itself, with a step of the clock."""
    matcher = Matcher(write_rule(0, 1, THRESHOLD), key="rack")
    values = [msgspec.json.decode(reading(n % 1000, n, 0, n * 7 % 100, 0.5)) for n in range(SINGLE_EVENTS)]
    started = time.process_time()
    for value in values:
        matcher.feed(value)
        matcher.advance(value["ts"])
    return {"matcher_us": (time.process_time() - started) / SINGLE_EVENTS * 1e6}


def main() -> None:
    """Measure everything once."""
    print(msgspec.json.encode({**memory(), **rules(), **single_events()}).decode())


if __name__ == "__main__":
    main()
