"""``python -m benchmarks.cep_loop EVENTS MATCHES RULES THRESHOLD``: what a lane does with events that meet rules.

Prints a line of JSON as ``FlinkCep.java`` does: seconds, processor seconds, events, matches.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from benchmarks.cep_work import LATENESS, write_rule
from trimtab.cep.conditions import Conditions
from trimtab.cep.matcher import as_match
from trimtab.cep.placed import Placed, place
from trimtab.cep.rule import read_rule
from trimtab.cep.stream import Incoming, KeyedStream, Result
from trimtab.engine.batch import Batch, Events, SourceSpec
from trimtab.engine.rule_streams import StreamId, feed
from trimtab.plugins.files.lines import BLOCK_SIZE

END = 1 << 60
SOURCE = SourceSpec(key="rack", timestamp="ts")
STREAM = StreamId("racks", None, event_time=True)


def place_rules(rules: int, threshold: int) -> list[Placed]:
    """Return so many compiled rules."""
    conditions = Conditions()
    return [place(read_rule(write_rule(number, rules, threshold)), conditions) for number in range(rules)]


def batches(file: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines, without the last newline; as many as a file is read in."""
    while data := file.read(BLOCK_SIZE):
        yield (data + file.readline())[:-1]


class Loop:
    """Takes batches through rules."""

    def __init__(self, rules: int, threshold: int) -> None:
        self.stream = KeyedStream(event_time=True)
        self._bytes = 0
        for placed in place_rules(rules, threshold):
            self.stream.add(placed)
        self.events = self.matches = 0
        self._encode = msgspec.json.Encoder().encode
        self._highest = 0

    def run(self, events: Path, matches: Path) -> None:
        """Read events and write matches; at the end time ends too, as in Flink."""
        with events.open("rb") as source, matches.open("wb") as sink:
            for batch in batches(source):
                self._write(self.take(batch), sink)
            self._write(self.stream.advance(END), sink)

    def take(self, batch: bytes) -> list[Result]:
        """Take lines of events, as a lane does, and let the watermark follow them."""
        count = batch.count(b"\n") + 1
        record = Batch(id=1, generation=1, source="racks", data=batch, count=count, arrival=0, start=self._bytes)
        self._bytes += len(batch) + 1
        events = Events(record, SOURCE, decoded=False, fields=self.stream.fields)
        late: list[Incoming] = []
        feed(self.stream, events, STREAM, late)
        assert not late
        self.events += count
        self._highest = max(self._highest, events.max_timestamp or 0)
        return self.stream.advance(self._highest - LATENESS - 1)

    def _write(self, results: list[Result], sink: BinaryIO) -> None:
        found = [result for result in results if result.found.kind == "match"]
        self.matches += len(found)
        sink.writelines(self._line(result) for result in found)

    def _line(self, result: Result) -> bytes:
        return self._encode({"rule": result.placed.rule.id, "events": as_match(result).events}) + b"\n"


def main() -> None:
    """Measure once."""
    events, matches, rules, threshold = sys.argv[1:]
    loop = Loop(int(rules), int(threshold))
    started, worked = time.perf_counter(), time.process_time()
    loop.run(Path(events), Path(matches))
    took = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - worked}
    print(msgspec.json.encode({**took, "events": loop.events, "matches": loop.matches}).decode())


if __name__ == "__main__":
    main()
