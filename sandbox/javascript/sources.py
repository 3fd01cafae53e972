"""The script and the libraries that it uses, as JavaScript text."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from trimtab.errors import Fault, ScriptError
from trimtab.sandbox.javascript.sourcemap import Mappings

SUFFIXES = (".js", ".mjs", ".cjs", ".ts")

_RELATIVE = re.compile(r"""(["'`])(\.\.?/[^"'`\n]*)\1""")
"""A text that may be the path of a library. Wider than the syntax of imports: a path too many costs a reload."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the user's."""

    name: str
    text: str
    """JavaScript."""
    mappings: Mappings | None = None
    """The way back to what the user wrote, where ``text`` was made from TypeScript."""


class OutsideRootError(ValueError):
    """A relative path leaves the scripts folder."""


def gather(
    name: str, content: bytes, libraries: Mapping[str, bytes], transpile: Callable[[str, str], Source]
) -> dict[str, Source]:
    """Return the script and every library that it mentions, directly or not, by name; the script comes first.

    ``transpile``: name and text of a TypeScript file to JavaScript.
    Raises :class:`ScriptError` for a file that is not UTF-8 or does not compile.
    """
    sources: dict[str, Source] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in sources:
            text = _decode(current, content if current == name else libraries[current])
            sources[current] = transpile(current, text) if current.endswith(".ts") else Source(current, text)
            waiting.extend(_mentioned(current, text, libraries))
    return sources


def find_library(base: str, specifier: str, names: Mapping[str, object]) -> str | None:
    """Return which of ``names`` a relative path means in file ``base``. Raises :class:`OutsideRootError`."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(base), specifier))
    if path == ".." or path.startswith("../"):
        raise OutsideRootError(f"{specifier!r} leaves the scripts folder")
    return next((candidate for candidate in _candidates(path) if candidate in names), None)


def _candidates(path: str) -> Iterator[str]:
    yield path
    for suffix in SUFFIXES:
        yield path + suffix
    if path.endswith(".js"):  # as TypeScript wants its own files to be imported
        yield path.removesuffix(".js") + ".ts"
    for suffix in SUFFIXES:
        yield f"{path}/index{suffix}"


def _mentioned(base: str, text: str, libraries: Mapping[str, bytes]) -> Iterator[str]:
    for match in _RELATIVE.finditer(text):
        try:
            library = find_library(base, match[2], libraries)
        except OutsideRootError:
            continue  # reported with its place if it is an import
        if library is not None:
            yield library


def _decode(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"expected UTF-8 text, got byte 0x{content[error.start]:02x}; save the file as UTF-8"
        raise ScriptError(Fault("UnicodeError", message, name, line)) from None
