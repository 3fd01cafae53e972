"""``trimtab try``: one script on sample events, in this process; what it would do to the outside is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from trimtab.api import CodecError
from trimtab.artifacts.names import SETTINGS, artifact_name, nearest
from trimtab.cli.output import print_line
from trimtab.cli.script_files import ScriptFiles
from trimtab.config import Config, SourceConfig, expand, load
from trimtab.engine.batch import Batch
from trimtab.engine.calls import Call
from trimtab.engine.engine import Engine, LoadedScript, Plan
from trimtab.engine.result import BatchResult
from trimtab.engine.script import LogEntry
from trimtab.errors import ChangeRefused, Fault, UsageError
from trimtab.plugin_manager import Plugins
from trimtab.runtime.stream import source_specs
from trimtab.runtime.work import END_OF_TIME, tick
from trimtab.runtime.worker import wall_clock

GENERATION = 1


def try_script(config_path: Path, script: Path, events: Path, source: str | None, *, as_json: bool) -> int:
    """Run the script on every line of ``events`` (``-``: stdin). 1 if it is refused or an event fails."""
    plugins = Plugins.load()
    config = load(config_path.absolute(), plugins)
    files = ScriptFiles(config, plugins)
    candidate = files.read(script)
    plan = Plan(
        generation=GENERATION,
        upserts={**files.libraries(script), candidate.name: candidate.source},
        deletes=[],
        reload=[candidate.name],
        settings=expand(config.settings, SETTINGS),
        resources={name: expand(source, artifact_name(name)) for name, source in config.resources.items()},
    )

    def engine_of(log: Callable[[LogEntry], None], rehearse: Callable[[Call], None]) -> Engine:
        return Engine(plugins.script_engines(), files.host(log, rehearse), source_specs(config), wall_clock)

    # A trial beforehand tells the script's own source; what its top level logs comes again below.
    loaded, faults = engine_of(lambda _entry: None, lambda _call: None).check(plan)
    if faults:
        raise ChangeRefused(faults)
    name = _source_name(source, loaded[candidate.name], config)
    printer = _Printer(as_json=as_json)
    engine = engine_of(printer.logged, printer.called)
    engine.prepare(plan)
    engine.commit()
    for number, record in _records(events):
        printer.event = number
        _run(engine, config.sources[name], record, printer)
    printer.event = None
    _print_result(engine.process(_end_of_time(name)), printer)
    for _script, fault in engine.close():
        if fault is not None:
            printer.failed(fault)
    printer.summary()
    return 1 if printer.failures else 0


class _Printer:
    """Emitted values go to stdout; logs and failures to stderr, or as further JSON Lines to stdout."""

    def __init__(self, *, as_json: bool) -> None:
        self.event: int | None = None
        """The line of the event in hand, from 1; None before the first and after the last one."""
        self.failures = 0
        self._emitted = 0
        self._calls = 0
        self._as_json = as_json

    def emitted(self, sink: str, value: bytes) -> None:
        self._emitted += 1
        print_line({"event": self.event, "sink": sink, "value": msgspec.Raw(value)})

    def called(self, call: Call) -> None:
        self._calls += 1
        arguments = msgspec.Raw(msgspec.json.encode(call.arguments, enc_hook=repr))
        print_line({"event": self.event, "resource": call.resource, "call": call.method, "arguments": arguments})

    def failed(self, fault: Fault) -> None:
        self.failures += 1
        self._note({"error": msgspec.to_builtins(fault)}, f"failed: {fault}")

    def logged(self, entry: LogEntry) -> None:
        fields = "".join(f" {name}={value!r}" for name, value in entry.fields.items())
        document = {"log": entry.level, "message": entry.message, "fields": entry.fields}
        self._note(document, f"{entry.level}: {entry.message}{fields}")

    def summary(self) -> None:
        if not self._as_json:
            calls = f"{self._calls} calls, " if self._calls else ""
            print(f"{self._emitted} values emitted, {calls}{self.failures} failures", file=sys.stderr)

    def _note(self, document: Mapping[str, object], text: str) -> None:
        if self._as_json:
            print_line({"event": self.event, **document})
        else:
            where = "" if self.event is None else f"event {self.event}: "
            print(f"{where}{text}", file=sys.stderr)


def _run(engine: Engine, source: SourceConfig, record: bytes, printer: _Printer) -> None:
    try:
        # Records that are not lines cannot be told apart in a file: their events are given as JSON.
        line = source.codec.to_json(record) if source.codec.lines and not source.codec.is_json else record
    except CodecError as error:
        printer.failed(Fault("CodecError", str(error)))
        return
    batch = Batch(
        id=0,
        generation=GENERATION,
        source=source.name,
        data=line,
        count=1,
        arrival=wall_clock(),
        partition="try",
        start=printer.event or 0,
    )
    result = engine.process(batch)
    _print_result(result, printer)
    if result.max_timestamp is not None:
        watermark = {source.name: result.max_timestamp - int(source.lateness * 1000)}
        _print_result(engine.process(_tick(batch.arrival, watermark)), printer)


def _end_of_time(source: str) -> Batch:
    """When the events have ended, every timer that is set fires: also those that would have had to wait."""
    return _tick(END_OF_TIME, {source: END_OF_TIME})


def _tick(now: int, watermarks: Mapping[str, int]) -> Batch:
    batch = tick(now).batch
    batch.generation, batch.watermarks = GENERATION, dict(watermarks)
    return batch


def _print_result(result: BatchResult, printer: _Printer) -> None:
    for sink, lines in result.emitted.items():
        for value in lines.data.splitlines():
            printer.emitted(sink, value)
    for failed in result.failed:
        printer.failed(failed.fault)


def _source_name(asked: str | None, loaded: LoadedScript, config: Config) -> str:
    """The source that the events come from: as asked, or the script's own, or the first one."""
    if not config.sources:
        raise UsageError(f"expected a source in {config.path}, got none; add one, such as [sources.events]")
    own = [handler.source for handler in loaded.handlers if handler.source is not None]
    name = asked or next(iter([*own, *config.sources]))
    if name not in config.sources:
        hint = nearest(name, config.sources)
        known = ", ".join(sorted(config.sources))
        guess = f"; did you mean {hint!r}?" if hint else ""
        raise UsageError(f"--source: expected a source of the configuration ({known}), got {name!r}{guess}")
    return name


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers in the file."""
    try:
        with closing(sys.stdin.buffer if path == Path("-") else path.open("rb")) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip(b"\r\n")
    except OSError as error:
        raise UsageError(f"expected a file of events, one JSON value a line, got {path}: {error.strerror}") from None
