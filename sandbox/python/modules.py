"""The modules of one version of one script, and the ``import`` statement as they see it."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

from trimtab.engine.script import Script
from trimtab.sandbox.python.sources import Sources
from trimtab.sandbox.python.tree import PACKAGE, folder_of, join, no_library

FACADE = "trimtab"


class Modules:
    """Loads a script and its libraries, each once, all apart from those of every other version.

    ``facade`` is what the script gets as ``trimtab``. Modules are keyed by their path in the tree; the script itself
    has none, so nothing can import it.
    """

    def __init__(self, script: Script, sources: Sources, facade: ModuleType) -> None:
        self._sources = sources
        self._facade = facade
        self._prefix = f"{script.name}@{script.version[:12]}#{id(self):x}"
        self._by_path: dict[str, ModuleType] = {}
        self._by_name: dict[str, ModuleType] = {}

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Have the modules in ``sys.modules`` inside the block, where dataclasses, typing and msgspec look for them.

        Their names there are unique in the process, and gone after the block.
        """
        sys.modules.update(self._by_name)
        try:
            yield
        finally:
            for name in self._by_name:
                sys.modules.pop(name, None)

    def run(self, script: str) -> dict[str, Any]:
        """Run the script's top level and return its namespace. Call it inside :meth:`registered`."""
        module = self._new(self._prefix)
        self._execute(module, script)
        return vars(module)

    @property
    def files(self) -> frozenset[str]:
        """The library files that were loaded so far."""
        found = (self._sources.tree.file(path) for path in self._by_path)
        return frozenset(file for file in found if file is not None)

    def forget(self) -> None:
        """Let go of all modules, and at once of what they hold: functions and their module hold each other."""
        for module in self._by_name.values():
            vars(module).clear()
        self._by_path.clear()
        self._by_name.clear()

    def _new(self, name: str) -> ModuleType:
        module = self._by_name[name] = sys.modules[name] = ModuleType(name)
        return module

    def _execute(self, module: ModuleType, file: str) -> None:
        folder = folder_of(file)
        namespace = vars(module)
        namespace["__file__"] = file
        namespace["__builtins__"] = vars(builtins) | {"__import__": partial(self._import, folder)}
        exec(self._sources.unit(file).code, namespace)  # noqa: S102 - what a script engine is for

    # --- the import statement ---

    def _import(
        self,
        folder: str,
        name: str,
        _globals: Mapping[str, object] | None = None,
        _locals: Mapping[str, object] | None = None,
        names: Iterable[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Do what ``__import__`` does, for a file in ``folder``."""
        wanted = tuple(names or ())
        base = self._sources.tree.base(folder, name, level)
        if base is not None:
            return self._import_library(base, name, wanted, level)
        if name.partition(".")[0] == FACADE:
            return self._import_facade(name, wanted)
        return __import__(name, fromlist=wanted)

    def _import_facade(self, name: str, names: tuple[str, ...]) -> ModuleType:
        beyond = tuple(wanted for wanted in names if wanted not in vars(self._facade))
        real = __import__(name, fromlist=beyond)
        return real if names and name != FACADE else self._facade

    def _import_library(self, base: str, name: str, names: tuple[str, ...], level: int) -> ModuleType:
        chain = [self._module(base)] if level else []
        path = base
        for part in name.split(".") if name else ():
            path = join(path, part)
            module = self._module(path)
            if chain:
                setattr(chain[-1], part, module)
            chain.append(module)
        if not names:
            return chain[0]
        self._add_submodules(chain[-1], path, names, must_exist=not name)
        return chain[-1]

    def _add_submodules(self, package: ModuleType, path: str, names: tuple[str, ...], *, must_exist: bool) -> None:
        if "*" in names:
            names = tuple(getattr(package, "__all__", ()))
        for name in names:
            if hasattr(package, name):
                continue
            if self._sources.tree.has(join(path, name)):
                setattr(package, name, self._module(join(path, name)))
            elif must_exist:
                raise no_library(path, name)

    def _module(self, path: str) -> ModuleType:
        module = self._by_path.get(path)
        return self._load(path) if module is None else module

    def _load(self, path: str) -> ModuleType:
        tree = self._sources.tree
        if not tree.has(path):
            raise ModuleNotFoundError(f"No module named {path.replace('/', '.')!r} among the libraries")
        module = self._by_path[path] = self._new(f"{self._prefix}.{path.replace('/', '.')}")
        file = tree.file(path)
        if file is None or file.endswith(PACKAGE):
            module.__path__ = []
        if file is not None:
            try:
                self._execute(module, file)
            except BaseException:
                del self._by_path[path]
                sys.modules.pop(module.__name__, None)
                del self._by_name[module.__name__]
                raise
        return module
