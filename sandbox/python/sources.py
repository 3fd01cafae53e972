"""The source files of one script: itself and its libraries, decoded and compiled when first asked for."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import decode_source
from types import CodeType
from typing import NamedTuple

from trimtab.engine.script import Script
from trimtab.errors import Fault, ScriptError
from trimtab.sandbox.python.tree import Tree, folder_of


class Request(NamedTuple):
    """What one import statement asks for; the same three things that ``__import__`` gets."""

    module: str
    names: tuple[str, ...]
    level: int


@dataclass(frozen=True, slots=True)
class Unit:
    """One source file, compiled."""

    code: CodeType
    requests: tuple[Request, ...]
    """All its import statements, also those inside functions."""


class Sources:
    """All that may be imported as part of one script. ``texts`` holds the files in use, for naming places in them."""

    def __init__(self, script: Script, libraries: Mapping[str, bytes]) -> None:
        self._bytes = {**libraries, script.name: script.source}
        self._units: dict[str, Unit] = {}
        self.tree = Tree(libraries)
        self.texts: dict[str, str] = {}

    def unit(self, name: str) -> Unit:
        """Return a file compiled. Raises ``SyntaxError``, and :class:`ScriptError` when it is not text."""
        unit = self._units.get(name)
        if unit is None:
            text = self.texts[name] = _decode(name, self._bytes[name])
            syntax = ast.parse(text, name)
            unit = self._units[name] = Unit(compile(syntax, name, "exec", dont_inherit=True), _requests(syntax))
        return unit

    def closure(self, name: str) -> frozenset[str]:
        """Return the names of all libraries that a file imports anywhere, directly or not; compile them all."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            importer = waiting.pop()
            for request in self.unit(importer).requests:
                new = self.tree.files(folder_of(importer), *request) - found
                found |= new
                waiting += new
        return frozenset(found)


def _requests(syntax: ast.Module) -> tuple[Request, ...]:
    requests: list[Request] = []
    for node in ast.walk(syntax):
        if isinstance(node, ast.Import):
            requests += [Request(alias.name, (), 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            requests.append(Request(node.module or "", tuple(alias.name for alias in node.names), node.level))
    return tuple(requests)


def _decode(name: str, source: bytes) -> str:
    """Decode as Python does (PEP 263), with one line ending."""
    try:
        return decode_source(source)
    except SyntaxError as error:
        # Bytes that are not UTF-8 in the first two lines look like a wrong declaration; we can tell them apart.
        head = b"\n".join(source.split(b"\n")[:2])
        raise ScriptError(_not_utf8(name, head) or Fault("SyntaxError", str(error), name, 1)) from None
    except UnicodeDecodeError as error:
        raise ScriptError(_not_text(name, source, error)) from None


def _not_utf8(name: str, source: bytes) -> Fault | None:
    try:
        source.decode()
    except UnicodeDecodeError as error:
        return _not_text(name, source, error)
    return None


def _not_text(name: str, source: bytes, error: UnicodeDecodeError) -> Fault:
    before = source[: error.start]
    message = (
        f"expected text in {error.encoding}, got the byte 0x{source[error.start]:02x}; "
        "save the file as UTF-8 or declare its encoding in its first line"
    )
    return Fault("UnicodeDecodeError", message, name, before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))
