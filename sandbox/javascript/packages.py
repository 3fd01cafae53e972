"""Finds third-party packages in ``node_modules`` folders beside the scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

Format = Literal["module", "commonjs"]

IMPORT = ("import", "default")
REQUIRE = ("require", "default")
"""Conditions of a package's ``exports``: how the package is asked for."""

_NAME = re.compile(r"((?:@[\w.-]+/)?[\w.-]+)(/.*)?", re.ASCII)
_ES_SYNTAX = re.compile(r"^(?:import|export)\b", re.MULTILINE)
_FILE_ENDINGS = ("", ".js", ".mjs", ".cjs", ".json")


class ModuleNotFound(LookupError):
    """An import leads nowhere, or somewhere it must not."""


@dataclass(frozen=True, slots=True)
class PackageFile:
    """One file of a package."""

    id: str
    """Path below the scripts folder."""
    path: Path
    """The real one."""
    top: Path
    """The folder that it must not leave, real: a scripts folder, or a ``node_modules`` that is a link out of it."""

    def read(self) -> tuple[str, Format]:
        """Return the text and its format, ``module`` or ``commonjs``. Raises :class:`ModuleNotFound`."""
        try:
            text = self.path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ModuleNotFound(f"{self.id} cannot be read: {error}") from None
        if self.path.suffix == ".json":
            return f"module.exports = {text}", "commonjs"
        return text, self._format(text)

    def _format(self, text: str) -> Format:
        if self.path.suffix in (".mjs", ".cjs"):
            return "module" if self.path.suffix == ".mjs" else "commonjs"
        folders = _upwards(self.path.parent, self.top)
        nearest = next((folder for folder in folders if (folder / "package.json").is_file()), self.top)
        declared = _manifest(nearest).get("type")
        if declared == "module" or (declared != "commonjs" and _ES_SYNTAX.search(text)):
            return "module"
        return "commonjs"


class Packages:
    """The packages that the files below some scripts folders may import."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = roots
        self._files: dict[Path, PackageFile] = {}

    def find(self, specifier: str, base: str | PackageFile, conditions: Sequence[str]) -> PackageFile:
        """Return the file that ``specifier`` means in ``base``: a script's or library's name, or a package's file.

        Raises :class:`ModuleNotFound`, saying where it looked.
        """
        match = _NAME.fullmatch(specifier)
        if match is None or ".." in specifier.split("/"):
            raise ModuleNotFound(f"expected a package, a library's relative path or 'trimtab', got {specifier!r}")
        name, subpath = match[1], (match[2] or "")
        looked = []
        for folder, top in self._folders(base):
            looked.append(_shown(folder, top))
            if (folder / name).is_dir():
                real = top.resolve()
                inside = real if (folder / name).resolve().is_relative_to(real) else folder.resolve()
                return self._file(_entry(folder / name, subpath, conditions), folder / name, inside, specifier)
        places = ", ".join(looked) or "nothing: the host has no scripts folder on disk"
        raise ModuleNotFound(
            f"expected a package {name!r} beside the scripts, looked in: {places}; install it there with npm"
        )

    def relative(self, specifier: str, base: PackageFile) -> PackageFile:
        """Return the file that a relative path means in a package's file. Raises :class:`ModuleNotFound`."""
        target = base.path.parent / specifier
        return self._file(_existing(target), target, base.top, specifier)

    def _folders(self, base: str | PackageFile) -> Iterator[tuple[Path, Path]]:
        """Yield the ``node_modules`` folders to look in, nearest first, each with the top it lies below."""
        starts = (
            [(base.path.parent, base.top)]
            if isinstance(base, PackageFile)
            else [((root / base).parent, root) for root in self._roots]
        )
        for start, top in starts:
            yield from ((folder / "node_modules", top) for folder in _upwards(start, top))
            if top.name == "node_modules":
                yield top, top

    def _file(self, found: Path | None, wanted: Path, top: Path, specifier: str) -> PackageFile:
        if found is None:
            raise ModuleNotFound(f"{specifier!r} has no file to load: looked for {self._id(wanted, top)}")
        real = found.resolve()
        if not real.is_relative_to(top):
            raise ModuleNotFound(f"{specifier!r} is a link that leaves the scripts folder; copy the package there")
        if real not in self._files:
            name = self._id(found, top)
            taken = any(file.id == name for file in self._files.values())
            self._files[real] = PackageFile(real.as_posix() if taken else name, real, top)
        return self._files[real]

    def _id(self, path: Path, top: Path) -> str:
        for root in (*self._roots, top, top.parent):
            for start in (root, root.resolve()):
                if path.is_relative_to(start):
                    return path.relative_to(start).as_posix()
        return path.as_posix()


def _upwards(folder: Path, top: Path) -> Iterator[Path]:
    yield folder
    while folder != top and folder != folder.parent:
        folder = folder.parent
        yield folder


def _shown(folder: Path, top: Path) -> str:
    return folder.relative_to(top).as_posix() if folder.is_relative_to(top) else folder.name


def _entry(package: Path, subpath: str, conditions: Sequence[str]) -> Path | None:
    manifest = _manifest(package)
    if "exports" in manifest:
        target = _exported(manifest["exports"], f".{subpath}", conditions)
        if target is None:
            how = " and ".join(conditions)
            raise ModuleNotFound(f"package {package.name!r} exports no '.{subpath}' for {how}; see its package.json")
        return _existing(package / target)
    if subpath:
        return _existing(package / subpath.lstrip("/"))
    mains = [manifest.get(field) for field in (("module", "main") if conditions is IMPORT else ("main",))]
    paths = [package / main for main in mains if isinstance(main, str) and main]
    return next(filter(None, map(_existing, [*paths, package / "index"])), None)


def _exported(exports: Any, subpath: str, conditions: Sequence[str]) -> str | None:
    """Return the path that a package's ``exports`` give for a subpath (``.``: the package itself)."""
    if isinstance(exports, Mapping) and any(key.startswith(".") for key in exports):
        return _exported(exports.get(subpath), ".", conditions)
    if isinstance(exports, Mapping):
        chosen = (_exported(value, subpath, conditions) for key, value in exports.items() if key in conditions)
        return next(filter(None, chosen), None)
    return exports if isinstance(exports, str) and subpath == "." else None


def _existing(path: Path) -> Path | None:
    for ending in _FILE_ENDINGS:
        candidate = path.with_name(path.name + ending) if ending else path
        if candidate.is_file():
            return candidate
    if not path.is_dir():
        return None
    main = _manifest(path).get("main")
    inner = path / main if isinstance(main, str) and main not in ("", ".", "./") else path / "index"
    return _existing(inner) if inner != path else None


def _manifest(package: Path) -> dict[str, Any]:
    try:
        manifest = msgspec.json.decode((package / "package.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return manifest if isinstance(manifest, dict) else {}
