"""Answers an interpreter that asks for a module: the API, the script, its libraries, packages."""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping

import msgspec

from trimtab.sandbox.javascript.packages import IMPORT, REQUIRE, Format, ModuleNotFound, PackageFile, Packages
from trimtab.sandbox.javascript.sources import SUFFIXES, OutsideRootError, Source, find_library

API = "trimtab"
PRELUDE = "<dukpy>"
"""The file name of what dukpy evaluates: the prelude, which asks for modules by their ids."""
COMMONJS = "<input>"
"""The file name of all code that QuickJS compiles with ``new Function``."""
COMMONJS_HEAD = 2
"""Lines that ``new Function`` puts before the body."""

_FUNCTIONS = ("handle", "onTimer", "open", "close", "migrate", "processing_data")
_OPTIONS = ("source", "where", "timeout", "attempts", "backoff", "concurrency", "state", "pattern")
# A plain script defines its names at the top level of a function's body, so the body has to hand them out.
_VALUES = ", ".join(f'{name}: typeof {name} === "undefined" ? undefined : {name}' for name in (*_FUNCTIONS, *_OPTIONS))
_RETURN_NAMES = f"\nreturn {{__proto__: null, {_VALUES}}};"

_EXPORTED = re.compile(
    r"""\bexports(?:\.([A-Za-z_$][\w$]*)|\[\s*["']([A-Za-z_$][\w$]*)["']\s*\])\s*=(?!=)"""
    r"""|\bdefineProperty\(\s*(?:module\.)?exports\s*,\s*["']([A-Za-z_$][\w$]*)["']""",
    re.ASCII,
)
_EXPORTED_OBJECT = re.compile(r"\bmodule\.exports\s*=\s*\{")
_KEY = re.compile(r"""[{,]\s*(?:([A-Za-z_$][\w$]*)|["']([A-Za-z_$][\w$]*)["'])\s*(?=[,:(}])""", re.ASCII)


class Modules:
    """The modules of one interpreter, by id. The id of the user's own files is their name.

    ``sources``: the script first, then the libraries that it uses. ``libraries``: all there are.
    ``formats`` are those of the sources.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        libraries: Mapping[str, bytes],
        formats: Mapping[str, Format],
        packages: Packages,
        api: Iterable[str],
    ) -> None:
        self._sources = sources
        self._entry = next(iter(sources))
        self._libraries = libraries
        self._formats = formats
        self._packages = packages
        self._api = sorted(api)
        self._files: dict[str, PackageFile] = {}
        # All CommonJS code has one file name in stacks, so each module starts on lines of its own.
        self._starts: dict[str, int] = {}
        self._lines = 0
        self._probes = 0
        self._probe = "", ""
        self.problems: dict[str, tuple[str, str]] = {}
        """Why an ``import`` failed, which dukpy does not tell: by specifier, the importing file and the reason."""

    def resolve(self, base: str, specifier: str, *, required: bool = False) -> str:
        """Return the id of the module that ``specifier`` means in ``base``. Raises :class:`ModuleNotFound`."""
        if base == PRELUDE or specifier == API:
            return specifier
        if base not in self._sources and base not in self._files:
            base = self._entry  # code made by the script with eval or new Function
        try:
            return self._find(base, specifier, required=required)
        except ModuleNotFound as error:
            self.problems[specifier] = base, str(error)
            raise

    def probe(self, text: str) -> str:
        """Return an id under which ``text`` is compiled but never run: it imports what does not exist."""
        self._probes += 1
        self._probe = f"?{self._probes}", f'import "?"; {text}'
        return self._probe[0]

    def load(self, module: str) -> tuple[str, str, str]:
        """Return id, text and format for an ``import``. Called by dukpy, which drops the message of errors."""
        if module == API:
            return module, _reexport(API, self._api), "module"
        if module == self._probe[0]:
            return *self._probe, "module"
        try:
            text, form = self._read(module)
        except ModuleNotFound as error:
            self.problems[module] = self._entry, str(error)
            raise
        if form == "commonjs":
            text = _reexport(module, _exported_names(text)) + "\nexport default exported;"
        return module, text, "module"

    def source(self, module: str) -> dict[str, str]:
        """Return what ``require`` runs. Raises :class:`ModuleNotFound` for an ES module."""
        text, form = self._read(module)
        if form == "module":
            raise ModuleNotFound(f"{module} is an ES module, which require cannot load; use import")
        if module not in self._starts:
            self._starts[module] = self._lines
            self._lines += text.count("\n") + COMMONJS_HEAD + 1
        ending = _RETURN_NAMES if module == self._entry else ""
        return {"source": "\n" * self._starts[module] + text + ending, "folder": posixpath.dirname(module)}

    def locate(self, file: str, line: int, column: int) -> tuple[str, int, int] | None:
        """Return file, line and column of the user's for a place in a stack; None for a place of somebody else's."""
        if file == COMMONJS:
            starts = list(self._starts.items())
            position = bisect_right(starts, line - COMMONJS_HEAD - 1, key=lambda item: item[1]) - 1
            if position < 0:
                return None
            file, start = starts[position]
            line -= start + COMMONJS_HEAD
        source = self._sources.get(file)
        if source is None:
            return (file, line, column) if file in self._files else None
        place = source.mappings.original(line, column) if source.mappings else (line, column)
        return (file, *place) if place else None

    def is_package(self, file: str) -> bool:
        """Tell whether a file belongs to a package, so it is not the user's own."""
        return file in self._files

    def mention(self, base: str, specifier: str) -> tuple[int, int] | None:
        """Return line and column where a file of the user's names a module."""
        match = re.search(rf"[\"'`]{re.escape(specifier)}[\"'`]", self._text(base))
        place = self._place(base, match.start()) if match else None
        return place[1:] if place else None

    def importer(self, name: str) -> tuple[str, int, int] | None:
        """Return file, line and column where a file of the user's imports something by ``name``."""
        statement = re.compile(
            rf"""\b(?:import|export)\b[^;"'`]*?(?<![\w$])({re.escape(name)})(?![\w$])[^;"'`]*?\bfrom\b"""
        )
        found = ((base, statement.search(source.text)) for base, source in self._sources.items())
        return next((self._place(base, match.start(1)) for base, match in found if match), None)

    def _text(self, base: str) -> str:
        return self._sources[base].text if base in self._sources else ""

    def _place(self, base: str, offset: int) -> tuple[str, int, int] | None:
        text = self._text(base)
        return self.locate(base, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))

    def _find(self, base: str, specifier: str, *, required: bool) -> str:
        relative = specifier.startswith(("./", "../")) or specifier in (".", "..")
        if relative and base in self._sources:
            return self._library(base, specifier)
        if relative:
            file = self._packages.relative(specifier, self._files[base])
        else:
            conditions = REQUIRE if required else IMPORT
            file = self._packages.find(specifier, self._files.get(base, base), conditions)
        self._files[file.id] = file
        return file.id

    def _library(self, base: str, specifier: str) -> str:
        try:
            name = find_library(base, specifier, self._libraries)
        except OutsideRootError as error:
            raise ModuleNotFound(str(error)) from None
        if name is None:
            path = posixpath.normpath(posixpath.join(posixpath.dirname(base), specifier))
            raise ModuleNotFound(
                f"expected a library at {specifier!r}, found no {path} nor with an ending of {', '.join(SUFFIXES)}; "
                "a library is a file whose name, or a folder's, begins with _"
            )
        if name not in self._sources:
            raise ModuleNotFound(
                f"expected the path of library {name} as a literal text somewhere in {base}, so that a change of the "
                "library is noticed; it was put together while the script ran"
            )
        return name

    def _read(self, module: str) -> tuple[str, str]:
        if module in self._sources:
            return self._sources[module].text, self._formats[module]
        if module not in self._files:
            raise ModuleNotFound(f"no module {module!r}")
        return self._files[module].read()


def _exported_names(text: str) -> set[str]:
    """Guess what a CommonJS module exports, as Node does, so that ``import { name }`` works."""
    names = {next(filter(None, match.groups())) for match in _EXPORTED.finditer(text)}
    for match in _EXPORTED_OBJECT.finditer(text):
        literal = text[match.end() - 1 : _closing(text, match.end() - 1)]
        names |= {key[1] or key[2] for key in _KEY.finditer(literal)}
    return names - {"default", "__esModule"}


def _closing(text: str, start: int) -> int:
    """Return where the brace at ``start`` is closed. Braces in texts and comments count too: this is a guess."""
    depth = 0
    for match in re.compile("[{}]").finditer(text, start):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.end()
    return len(text)


def _reexport(module: str, names: Iterable[str]) -> str:
    literal = msgspec.json.encode(module).decode()
    lines = [f"const exported = __trimtab_require({literal});"]
    for number, name in enumerate(sorted(names)):
        lines.append(f"const _{number} = exported.{name}; export {{ _{number} as {name} }};")
    return "\n".join(lines)
