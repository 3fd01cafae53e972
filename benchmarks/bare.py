"""The same work without a host: ``python -m benchmarks.bare LOOP EVENTS ALARMS`` prints the seconds it took."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.workload import PYTHON_HANDLER

BATCH = 512


def python(events: Path, alarms: Path) -> None:
    """Decode each line, call the handler of the workload, write what it emits."""
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    with events.open("rb") as lines, alarms.open("wb") as out:
        write = out.write

        def emit(_sink: str, value: Any) -> None:
            write(encode(value) + b"\n")

        namespace: dict[str, Any] = {"emit": emit}
        exec(PYTHON_HANDLER.replace("from trimtab import emit", ""), namespace)
        handle = namespace["handle"]
        for line in lines:
            handle(decode(line), None)


def dukpy(events: Path, alarms: Path) -> None:
    """Hand batches of lines to a loop in JavaScript that parses them, calls the handler and gives back the alarms."""
    from dukpy import _dukpy
    from dukpy.evaljs import JSInterpreter

    interpreter = JSInterpreter()
    interpreter.evaljs(
        """
        var out = [];
        function emit(sink, value) { out.push(JSON.stringify(value)); }
        function handle(event, ctx) {
          if (event.speed > 60) emit("alarms", { id: event.vehicle_id, at: event.ts, speed: event.speed });
        }
        function run() { out = []; for (const event of dukpy.batch) handle(event, null); return out.join("\\n"); }
        1
        """
    )
    with events.open("rb") as lines, alarms.open("wb") as out:
        while batch := [line for _, line in zip(range(BATCH), lines, strict=False)]:
            data = b'{"batch":[' + b",".join(batch) + b"]}"
            result = _dukpy.eval_string(interpreter, b"run()", data, False, "<bare>")
            out.write(msgspec.json.decode(result, type=str).encode() + b"\n")


def bytewax(events: Path, alarms: Path) -> None:
    """A Bytewax dataflow: file source, flat_map, file sink, one worker."""
    import bytewax.operators as op
    from bytewax.connectors.files import FileSink, FileSource
    from bytewax.dataflow import Dataflow
    from bytewax.testing import run_main

    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode

    def alarm(line: str) -> list[tuple[str, str]]:
        event = decode(line)
        if event["speed"] > 60:
            value = {"id": event["vehicle_id"], "at": event["ts"], "speed": event["speed"]}
            return [("", encode(value).decode())]
        return []

    flow = Dataflow("bare")
    alarms.touch()
    stream = op.input("events", flow, FileSource(events, batch_size=1000))
    op.output("alarms", op.flat_map("alarm", stream, alarm), FileSink(alarms))
    run_main(flow)


LOOPS = {"python": python, "dukpy": dukpy, "bytewax": bytewax}


def main() -> None:
    """Run one loop and print its seconds."""
    loop, events, alarms = sys.argv[1:]
    started = time.perf_counter()
    LOOPS[loop](Path(events), Path(alarms))
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
