"""Coverage-guided fuzzing of everything that reads bytes from outside: ``python -m tests.fuzz.atheris_targets``.

    python -m tests.fuzz.atheris_targets TARGET [--seconds N | --runs N] [CORPUS...]

An exception that a target does not declare, or an input that takes longer than ten seconds, ends it with a status
above 0 and leaves the input in a file ``crash-*`` or ``timeout-*``.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["trimtab", "tomllib"]):
    import msgspec

    from trimtab.api import CodecError, Script
    from trimtab.artifacts.names import is_script
    from trimtab.cep import Matcher, RuleError
    from trimtab.config import load
    from trimtab.durations import parse_duration
    from trimtab.engine.batch import Batch, Events, InvalidRecordsError, SourceSpec
    from trimtab.errors import ConfigurationError, ScriptError
    from trimtab.expressions import ExpressionError, compile_expression
    from trimtab.plugin_manager import Plugins
    from trimtab.plugins.http.bodies import inflate, split
    from trimtab.plugins.http.refusals import Refusal
    from trimtab.runtime import wire
    from trimtab.sandbox.javascript.sources import Source, gather
    from trimtab.sandbox.python.sources import Sources

PLUGINS = Plugins.load()
CODECS = PLUGINS.codecs()
SECONDS_AN_INPUT = 10


def configuration(data: bytes) -> None:
    """Any bytes are a configuration or refused."""
    path = Path(tempfile.gettempdir()) / "trimtab-fuzzed.toml"
    path.write_bytes(data)
    with contextlib.suppress(ConfigurationError):
        load(path, PLUGINS)


def expression(data: bytes) -> None:
    """Any text is an expression or refused; any event gives true or false."""
    text, _, event = data.partition(b"\0")
    try:
        compiled = compile_expression(text.decode(errors="replace"))
    except ExpressionError:
        return
    for value in ({"a": 1, "b": {"a": "x"}}, None, _json(event)):
        if compiled.test(value) not in (True, False):
            raise AssertionError(compiled)


def rule(data: bytes) -> None:
    """Any bytes are a rule or refused with their place in the JSON; any event gives matches."""
    text, _, event = data.partition(b"\0")
    try:
        matcher = Matcher(text, time="arrival", functions=lambda _call: lambda _event, _partial: True)
    except RuleError as error:
        if not all(problem.path for problem in error.problems):
            raise
        return
    for value in ({"a": 1, "b": {"a": "x"}}, None, _json(event)):
        matcher.feed(value)


def events(data: bytes) -> None:
    """Any bytes are a record or refused by each codec; any lines are events or refused."""
    for codec in CODECS.values():
        with contextlib.suppress(CodecError):
            msgspec.json.decode(codec.to_json(data))
    batch = Batch(0, 1, "gps", data, data.count(b"\n") + 1, 0)
    for spec in (SourceSpec(), SourceSpec("a.b", "ts")):
        with contextlib.suppress(InvalidRecordsError):
            Events(batch, spec, decoded=data[:1] > b"a")


def body(data: bytes) -> None:
    """Any body of a request is records, each valid, or refused."""
    for codec in CODECS.values():
        with contextlib.suppress(Refusal):
            for record in split(data, codec, ndjson=data[:1] == b"\n"):
                codec.to_json(record)
    with contextlib.suppress(Refusal):
        inflate(data, 1 << 16)


def python(data: bytes) -> None:
    """Any bytes are a Python script or refused, with its imports found."""
    library = data.partition(b"\0")[2]
    sources = Sources(Script.of("a.py", data), {"_a.py": library, "_b/__init__.py": library, "_b/_c.py": data})
    with contextlib.suppress(ScriptError, SyntaxError, RecursionError, MemoryError, ValueError, LookupError):
        sources.closure("a.py")


def javascript(data: bytes) -> None:
    """Any bytes are a JavaScript file or refused, with its libraries found."""
    with contextlib.suppress(ScriptError):
        gather("a.js", data, {"_a.js": data, "_b/index.js": data}, Source)


def lane_wire(data: bytes) -> None:
    """Any frame is a message or refused as msgspec does: the host reads what a lane with scripts in it sends."""
    for decode in (wire.decode_to_lane, wire.decode_from_lane):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            decode(data)


def words(data: bytes) -> None:
    """Any text is a duration or refused, and is a name of a script or not."""
    text = data.decode(errors="replace")
    with contextlib.suppress(ValueError):
        parse_duration(text)
    is_script(text)


def _json(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data.decode(errors="replace")


_NODE = b'{"name":"a","type":"ATOMIC","quantifier":{"consumingStrategy":"STRICT","properties":["LOOPING","GREEDY"],'
_NODE += b'"times":{"from":2,"to":3,"windowTime":null}},"condition":{"type":"AVIATOR","expression":"a > 1"}}'
_SINGLE = b'{"consumingStrategy":"SKIP_TILL_NEXT","properties":["SINGLE"]}'
RULES = [
    b'{"nodes":[{"name":"a","quantifier":{"properties":["SINGLE","OPTIONAL"]}}],"edges":[]}',
    b'{"id":"r","pattern":{"name":"r","type":"COMPOSITE","quantifier":' + _SINGLE + b',"nodes":[' + _NODE + b"],"
    b'"edges":[],"afterMatchStrategy":{"type":"SKIP_TO_LAST","patternName":"a"},'
    b'"window":{"type":"FIRST_AND_LAST","time":{"unit":"DAYS","size":1}}},"parameters":{"b":1}}\0{"a": 2}',
]
ALL = "all"
ROOT = Path(__file__).parents[2]
TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "configuration": (configuration, [(ROOT / "trimtab.toml").read_bytes(), b"a.b = [[1, 'x', 1979-05-27]]\n"]),
    "expression": (expression, [b"a > 1 && b.a =~ /x+/ ? count(a) : 'y'\0{\"a\": 2}", b"jsonpath(b, '$.a[0]') != nil"]),
    "rule": (rule, RULES),
    "events": (events, [b'{"a":{"b":1},"ts":5}\n[1e9,"\\u00e9"]', b"\x82\xa1a\x01\xa1b\xc7\x0c\xff" + b"\0" * 12]),
    "body": (body, [b'[{"a": 1},\n {"b": [2]}]', b'{"a": 1}\n\n{"a": 2}\n']),
    "python": (python, [path.read_bytes() for path in sorted((ROOT / "scripts").glob("*.py"))]),
    "javascript": (javascript, [path.read_bytes() for path in sorted((ROOT / "scripts").glob("*.js"))]),
    "lane_wire": (lane_wire, [wire.encode(wire.Commit(7))[4:], wire.encode(wire.Entering("a.js"))[4:]]),
    "words": (words, [b"200ms", b"1.5h", b"a/_b/c.test.js"]),
}


def every(data: bytes) -> None:
    """Hand the bytes after the first to the target that the first one names."""
    names = sorted(TARGETS)
    if data:
        TARGETS[names[data[0] % len(names)]][0](data[1:])


def _target(name: str) -> tuple[Callable[[bytes], None], list[bytes]]:
    if name != ALL:
        return TARGETS[name]
    return every, [
        bytes([number]) + seed for number, target in enumerate(sorted(TARGETS)) for seed in TARGETS[target][1]
    ]


def main() -> None:
    """Fuzz one target, or all at once."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.atheris_targets")
    parser.add_argument("target", choices=[ALL, *sorted(TARGETS)])
    parser.add_argument("--seconds", type=int, default=0, help="how long; 0: no end")
    parser.add_argument("--runs", type=int, default=-1, help="how many inputs; -1: no end")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("corpus", nargs="*", help="folders with inputs; new ones go to the first")
    asked = parser.parse_args()
    run, examples = _target(asked.target)
    with tempfile.TemporaryDirectory() as seeds:
        for number, example in enumerate(examples):
            (Path(seeds) / str(number)).write_bytes(example)
        limits = [f"-max_total_time={asked.seconds}", f"-runs={asked.runs}", f"-seed={asked.seed}"]
        limits += [f"-timeout={SECONDS_AN_INPUT}", "-rss_limit_mb=4096", "-max_len=16384"]
        atheris.Setup([sys.argv[0], *limits, *asked.corpus, seeds], run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
