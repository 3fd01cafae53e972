"""``trimtab init``: a folder to start from."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from trimtab.errors import UsageError

_TEMPLATES = {
    "trimtab.toml": "trimtab.toml",
    "scripts/overspeed.js": "overspeed.js",
    "scripts/standstill.py": "standstill.py.txt",
    "scripts/jsconfig.json": "jsconfig.json",
    ".gitignore": "gitignore",
}
"""By path in the new folder: the template."""


def init(folder: Path) -> int:
    """Write a configuration, two example scripts and what editors need. Existing files are kept as they are."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"expected a folder to write to, got the file {folder}; name another one")
    kept = [path for path, content in _contents() if not _write(folder / path, content)]
    for path in kept:
        print(f"kept     {folder / path} (it was there already)")
    where = "" if folder == Path() else f"cd {folder} && "
    print(f"next:    {where}trimtab run")
    return 0


def _contents() -> Iterator[tuple[str, bytes]]:
    templates = files("trimtab.cli") / "templates"
    for path, template in _TEMPLATES.items():
        yield path, (templates / template).read_bytes()
    types: Traversable = files("trimtab.sandbox.javascript") / "trimtab.d.ts"
    yield "scripts/trimtab.d.ts", types.read_bytes()


def _write(path: Path, content: bytes) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}; choose a folder that you may write to"
        ) from error
    print(f"created  {path}")
    return True
