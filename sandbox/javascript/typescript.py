"""TypeScript to JavaScript, with the compiler that comes with dukpy. Types are taken away, not checked."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import dukpy
import msgspec

from trimtab.engine.script import Limits
from trimtab.errors import Fault, ScriptError
from trimtab.sandbox.javascript.faults import JsError, memory_exceeded
from trimtab.sandbox.javascript.interpreter import BareInterpreter, JSRuntimeError
from trimtab.sandbox.javascript.sourcemap import Mappings
from trimtab.sandbox.javascript.sources import Source
from trimtab.sandbox.limits import TimeLimitExceeded

TIMEOUT = 30.0
"""Seconds to load the compiler and compile a file: the limit of our own work, not of the user's code."""

_COMPILER = Path(dukpy.__file__).parent / "jsmodules" / "typescriptServices.js"
_FORMAT = "1"
"""Part of the cache key: another number when what is below gives other results."""

_COMPILE = b"""
(() => {
  const { outputText, sourceMapText, diagnostics } = ts.transpileModule(dukpy.source, {
    fileName: dukpy.name,
    reportDiagnostics: true,
    compilerOptions: {
      module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, sourceMap: true, newLine: ts.NewLineKind.LineFeed,
    },
  });
  const [problem] = diagnostics;
  if (problem === undefined) return { code: outputText, mappings: JSON.parse(sourceMapText).mappings };
  const { line, character } = problem.file.getLineAndCharacterOfPosition(problem.start ?? 0);
  const problemText = ts.flattenDiagnosticMessageText(problem.messageText, " ");
  return { problem: problemText, line: line + 1, column: character + 1 };
})()
"""


class _Compiled(msgspec.Struct, omit_defaults=True):
    code: str = ""
    mappings: str = ""
    problem: str | None = None
    line: int = 0
    column: int = 0


class TypeScript:
    """Keeps the compiler, some 60 MB, once it has been needed."""

    def __init__(self) -> None:
        self._compiler: BareInterpreter | None = None
        self._known: dict[str, _Compiled] = {}

    def transpile(self, name: str, text: str, limits: Limits, cache: Path | None) -> Source:
        """Return the JavaScript for a file. ``cache``: a folder shared with other processes, made when needed.

        Raises :class:`ScriptError` for a file that is not valid TypeScript, or holds only declarations.
        """
        if name.endswith(".d.ts"):
            message = "expected a script, got a .d.ts file: declarations and no code; give the .ts or .js file"
            raise ScriptError(Fault("ScriptError", message, name))
        key = hashlib.sha256(f"{_FORMAT} {_COMPILER.stat().st_size}\n{text}".encode()).hexdigest()
        compiled = self._known.get(key) or _read(cache, key)
        if compiled is None:
            compiled = self._compile(name, text, limits)
            _write(cache, key, compiled)
        self._known[key] = compiled
        return Source(name, compiled.code, Mappings(compiled.mappings))

    def _compile(self, name: str, text: str, limits: Limits) -> _Compiled:
        try:
            with limits.running(TIMEOUT):
                compiled = self._run(name, text)
        except TimeLimitExceeded as error:
            self._compiler = None
            raise ScriptError(Fault("TimeLimitExceeded", f"compiling TypeScript: {error}", name)) from None
        except (JSRuntimeError, MemoryError) as error:
            self._compiler = None
            reason = JsError.of_text(str(error)) if isinstance(error, JSRuntimeError) else memory_exceeded()
            message = f"the TypeScript compiler failed: {reason.message}; split a big file"
            raise ScriptError(Fault(reason.name, message, name)) from None
        if compiled.problem is not None:
            raise ScriptError(Fault("SyntaxError", compiled.problem, name, compiled.line, compiled.column))
        return compiled

    def _run(self, name: str, text: str) -> _Compiled:
        if self._compiler is None:
            compiler = BareInterpreter()
            compiler.evaluate(_COMPILER.read_bytes() + b"\n;globalThis.ts = ts; undefined", b"{}")
            self._compiler = compiler
        result = self._compiler.evaluate(_COMPILE, msgspec.json.encode({"name": name, "source": text}))
        return msgspec.convert(result, _Compiled)


def _read(cache: Path | None, key: str) -> _Compiled | None:
    if cache is None:
        return None
    try:
        return msgspec.json.decode(_file(cache, key).read_bytes(), type=_Compiled)
    except (OSError, msgspec.DecodeError):
        return None  # not there yet, or spoiled: it is computed anew


def _write(cache: Path | None, key: str, compiled: _Compiled) -> None:
    if cache is None:
        return
    cache.mkdir(parents=True, exist_ok=True)
    partial = cache / f"{key}.{os.getpid()}.partial"
    partial.write_bytes(msgspec.json.encode(compiled))
    partial.replace(_file(cache, key))


def _file(cache: Path, key: str) -> Path:
    return cache / f"typescript-{key}.json"
