"""Where imports lead: from the words of an import statement to the library files of a generation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

PACKAGE = "__init__.py"
WHEELS = "_wheels"
"""Where the modules stand of the wheels that a script is loaded with, for one rule alone."""


def folder_of(name: str) -> str:
    """Return the folder of a file, as a path below the scripts folder; ``""`` is the scripts folder itself."""
    return name.rpartition("/")[0]


def join(folder: str, *names: str) -> str:
    """Join the parts of a path."""
    return "/".join(part for part in (folder, *names) if part)


class Tree:
    """The library files of one generation. A *path* names a file without its suffix, or a folder."""

    def __init__(self, names: Iterable[str]) -> None:
        self._files = frozenset(name for name in names if name.endswith(".py"))
        self._folders = {"", *(str(parent) for name in self._files for parent in PurePosixPath(name).parents)}

    def file(self, path: str) -> str | None:
        """Return the file to run for a path; None for a folder without one."""
        candidates = (join(path, PACKAGE), f"{path}.py")
        return next((name for name in candidates if name in self._files), None)

    def has(self, path: str) -> bool:
        """Tell whether there is something at a path."""
        return path in self._folders or self.file(path) is not None

    def base(self, folder: str, module: str, level: int) -> str | None:
        """Return the folder in which the words of an import are looked up; None when it is no library.

        ``folder`` is the importing file's; ``level`` counts the leading dots. Raises ``ImportError`` for a
        relative import of something else than a library.
        """
        if level:
            return self._relative(folder, module, level)
        first = module.partition(".")[0]
        if not first.startswith("_"):
            return WHEELS if self.has(join(WHEELS, first)) else None
        return next((base for base in (folder, "") if self.has(join(base, first))), None)

    def files(self, folder: str, module: str, names: Iterable[str], level: int) -> set[str]:
        """Return the library files that an import statement runs; what it cannot find is left out."""
        try:
            base = self.base(folder, module, level)
        except ImportError:
            return set()
        if base is None:
            return set()
        paths = [base] if level else []
        for part in module.split("."):
            paths.append(join(paths[-1] if paths else base, part))
        paths += [join(paths[-1], name) for name in names]
        return {file for path in paths if (file := self.file(path)) is not None}

    def _relative(self, folder: str, module: str, level: int) -> str:
        parts = folder.split("/") if folder else []
        if level - 1 > len(parts):
            raise ImportError(
                f"expected a library in the scripts folder, got an import with {level} dots in "
                f"{folder or 'the scripts folder'}, which leads out of it; use fewer dots"
            )
        base = "/".join(parts[: len(parts) - level + 1])
        if module and not self.has(join(base, module.partition(".")[0])):
            raise no_library(base, module)
        return base


def no_library(base: str, module: str) -> ImportError:
    """Return the error for a relative import that finds nothing."""
    return ModuleNotFoundError(
        f"expected a library (a file or folder whose name begins with _), got {module!r}, "
        f"and {base or 'the scripts folder'} has no library of that name; scripts cannot import scripts"
    )
