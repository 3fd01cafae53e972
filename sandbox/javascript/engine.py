"""The script engine for JavaScript and TypeScript."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from trimtab.api import ANYWHERE, Reach, Script, ScriptEngine, ScriptHost, ScriptInstance
from trimtab.sandbox.javascript.instance import JavaScriptInstance
from trimtab.sandbox.javascript.lofka import LofkaMode, MakeRoot, looks_like_lofka
from trimtab.sandbox.javascript.session import Program
from trimtab.sandbox.javascript.sources import SUFFIXES, Source, gather
from trimtab.sandbox.javascript.typescript import TypeScript

PRELUDE = ("prelude.js", "objects.js", "events.js", "tickets.js", "pattern.js")
NO_PATTERNS = b"""() => {
  const begin = () => {
    throw new Error("expected a script that exports what it begins as `pattern`, got one that does not");
  };
  return { begin, api: { begin }, exported: () => undefined };
}"""
"""Stands for pattern.js, which takes 0.6 ms to load, in scripts that never say ``pattern``: they cannot export one."""


class JavaScriptEngine(ScriptEngine):
    """Gives each version of a script an interpreter of its own.

    TypeScript is compiled once for each content: the result is kept in ``ScriptHost.cache`` for other processes.
    Compiling takes about a second for the first file, so lanes should find it there.

    ``lofka``: makes the connections of scripts in Lofka mode; without it there is no such mode.
    """

    name = "javascript"
    suffixes = SUFFIXES

    def __init__(self, lofka: MakeRoot | None = None) -> None:
        self._lofka = LofkaMode(lofka) if lofka else None
        self.prelude = tuple(Path(__file__).with_name(name).read_bytes() for name in PRELUDE)
        self._typescript = TypeScript()

    def load(self, script: Script, libraries: Mapping[str, bytes], host: ScriptHost) -> ScriptInstance:
        """Compile the script and what it imports, and run its top level."""

        def transpile(name: str, text: str) -> Source:
            return self._typescript.transpile(name, text, host.limits, host.cache)

        sources = gather(script.name, script.source, libraries, transpile)
        if self._lofka and self._lofka.takes(sources[script.name]):
            return self._lofka.load(script, sources, libraries, host, (*self.prelude[:-1], NO_PATTERNS))
        if host.confined is None:
            host = replace(host, confined=True)
        bindings = {binding.name: binding.bind(script, host) for binding in host.bindings}
        patterns = any("pattern" in source.text for source in sources.values())
        prelude = self.prelude if patterns else (*self.prelude[:-1], NO_PATTERNS)
        return JavaScriptInstance(Program(script, sources, libraries, host, bindings, prelude))

    def reaches(self, name: str, source: bytes) -> Reach:
        """See :class:`ScriptEngine`. Scripts of Lofka's name their servers in their code."""
        is_lofka = self._lofka is not None and looks_like_lofka(name, source.decode("utf-8", "replace"))
        return ANYWHERE if is_lofka else Reach()
