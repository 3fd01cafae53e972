"""Lofka mode: scripts that were written for Lofka's night-watcher, as plain scripts with global names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from trimtab.api import Fault, Script, ScriptError, ScriptHost, ScriptObject, parse_duration
from trimtab.engine.script import DEFAULT_TIMEOUT
from trimtab.sandbox.javascript.instance import JavaScriptInstance
from trimtab.sandbox.javascript.interpreter import BareInterpreter, JSRuntimeError
from trimtab.sandbox.javascript.session import Program, Session
from trimtab.sandbox.javascript.sourcemap import Mappings
from trimtab.sandbox.javascript.sources import OutsideRootError, Source, find_library

_LOFKA = re.compile(
    r"\bprocessing_data\s*[=(]|\bnew\s+(?:RedisCluster|SQLConnection|MongoClient)\b"
    r"|(?:\b(?:asyncHttp|syncHttp)|\$)\s*\.\s*(?:get|post|getJSON)\s*\("
    r"|\b(?:load_library|async_execute|__global_eval)\s*\("
)
_ASYNCHRONOUS = re.compile(r"(?<![\w$])\$\s*[.\[]|\basyncHttp\b|\basync_execute\b|\bcreate_thread\b")
_NATIVE = re.compile(r"\bfunction\s+handle\b|\bhandle\s*=\s*(?:async\b|function\b|\()|\bexports\b")


class Root(ScriptObject):
    """What makes the connections of one version of a script; a plugin gives it to the engine."""

    def close(self) -> None:
        """Close every connection that the script has left open. It may make new ones."""
        raise NotImplementedError


MakeRoot = Callable[[Script, ScriptHost, float], Root]
"""Takes the script, its host, and the seconds that one event may take."""


def looks_like_lofka(name: str, text: str) -> bool:
    """Tell whether a script may be one; it is none if it turns out to be a module."""
    return name.endswith(".js") and _LOFKA.search(text) is not None and not _NATIVE.search(text)


class LofkaMode:
    """Knows scripts of Lofka's and loads them, with connections that ``make_root`` makes."""

    def __init__(self, make_root: MakeRoot) -> None:
        self._make_root = make_root
        self._library = Path(__file__).with_name("lofka.js").read_bytes()

    def takes(self, source: Source) -> bool:
        """Tell whether a script is one: plain JavaScript that uses Lofka's names and has no function ``handle``."""
        text = source.text
        if not looks_like_lofka(source.name, text):
            return False
        try:
            BareInterpreter().evaluate(b"void new Function(dukpy.text)", msgspec.json.encode({"text": text}))
        except (JSRuntimeError, MemoryError):
            return False
        return True

    def load(
        self, script: Script, sources: Mapping[str, Source], libraries: Mapping[str, bytes], host: ScriptHost,
        prelude: tuple[bytes, ...],
    ) -> JavaScriptInstance:  # fmt: skip
        """Run the top level of a script. Raises :class:`ScriptError`. ``sources``: the script first."""
        timeout = _timeout(script, host)
        root = self._make_root(script, host, timeout)
        return _LofkaInstance(
            Program(
                script,
                {**sources, script.name: _wrapped(sources[script.name])},
                libraries,
                host,
                {binding.name: binding.bind(script, host) for binding in host.bindings},
                prelude,
                extension=self._library,
                extras={"lofka": root, "script": _Facts(sources, script.name, timeout)},
                texts=True,
            ),
            root,
        )


class _LofkaInstance(JavaScriptInstance):
    """Closes what the script has left open together with each session."""

    def __init__(self, program: Program, root: Root) -> None:
        self._root = root
        try:
            super().__init__(program)
        except BaseException:
            root.close()
            raise

    def _new_session(self) -> Session:
        self._root.close()
        return super()._new_session()

    def _drop(self) -> None:
        super()._drop()
        self._root.close()


class _Facts(ScriptObject):
    """What lofka.js has to know of the script that it serves."""

    methods = frozenset({"library"})
    fields = ("lines", "timeout", "asynchronous")

    def __init__(self, sources: Mapping[str, Source], name: str, timeout: float) -> None:
        self._sources, self._name = sources, name
        self.lines = sources[name].text.count("\n") + 1
        self.timeout = timeout
        self.asynchronous = any(_ASYNCHRONOUS.search(source.text) for source in sources.values())
        """It asks for something that is asynchronous: its events wait at the same time, the others are run in turn."""

    def library(self, path: str) -> str:
        """Return the text of a library that the script mentions. Raises ``LookupError`` for all else."""
        try:
            found = find_library(self._name, path, self._sources)
        except OutsideRootError as error:
            raise LookupError(str(error)) from None
        if found is None or found == self._name:
            raise LookupError(
                f'load: expected a URL (http or https) or the path of a library such as "./_common.js", got {path!r}'
            )
        return self._sources[found].text


class _OwnLines(Mappings):
    """Places in the script itself; what it loads or evaluates lies behind its last line, and is none of its places."""

    def __init__(self, lines: int) -> None:
        super().__init__("")
        self._count = lines

    def original(self, line: int, column: int) -> tuple[int, int] | None:
        """See :class:`Mappings`."""
        return (line, column) if line <= self._count else None


def _wrapped(source: Source) -> Source:
    """Return a module that hands the script's text to lofka.js, which runs it as global code, on the same lines."""
    text = f"return __lofka({msgspec.json.encode(source.text).decode()});"
    return replace(source, text=text, mappings=_OwnLines(source.text.count("\n") + 1))


def _timeout(script: Script, host: ScriptHost) -> float:
    value = host.settings.get("lofka.timeout", DEFAULT_TIMEOUT)
    try:
        seconds = parse_duration(value)
        if seconds == 0:
            raise ValueError("expected more than 0, got 0")
    except ValueError as error:
        raise ScriptError(Fault("ValueError", f"settings: lofka.timeout: {error}", script.name)) from None
    return seconds
