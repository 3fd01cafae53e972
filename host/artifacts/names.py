"""Rules on the names of artifacts. Pure.

An artifact found in a folder is named by its path below that folder, with ``/``: ``alarms/overspeed.js``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

MAX_LENGTH = 255

SETTINGS = "settings"
"""Name of the artifact that holds the ``[settings]``; those of discoverer NAME are in ``settings:NAME``."""

_RESOURCE = re.compile(r"resources\.([\w-]+\.[\w-]+)")

IGNORED_FOLDERS = frozenset(
    {"node_modules", "__pycache__", ".venv", ".git", ".hg", ".svn", ".jj", ".bzr", "CVS", ".mypy_cache", ".ruff_cache"}
)

_STEPS = frozenset(("", ".", ".."))


def is_settings(name: str) -> bool:
    """Whether the artifact holds settings."""
    return name == SETTINGS or name.startswith(f"{SETTINGS}:")


def resource_name(name: str) -> str | None:
    """Return which resource an artifact holds (``sql.orders`` for ``resources.sql.orders``); None if it is none."""
    match = _RESOURCE.fullmatch(name)
    return match[1] if match else None


def artifact_name(resource: str) -> str:
    """Return the name of the artifact that holds the options of a resource: ``resources.sql.orders``."""
    return f"resources.{resource}"


def is_script(name: str) -> bool:
    """Whether the artifact handles events: it is no library, no resource, and no settings."""
    return not (is_library(name) or is_settings(name) or resource_name(name))


def is_library(name: str) -> bool:
    """Whether the artifact is only there to be imported: some part of its path begins with ``_`` or ``.``."""
    return any(part.startswith(("_", ".")) for part in name.split("/"))


def is_ignored(name: str) -> bool:
    """Whether a file or folder of this name is no artifact at all.

    These are ``*.test.*``, ``*.d.ts``, folders of packages, caches and version control, and whatever begins with
    ``..``: Kubernetes keeps the files behind a ConfigMap there, and trimtab its temporary files.
    """
    if name.startswith("..") or "/.." in name or name.endswith(".d.ts"):
        return True
    *folders, base = name.split("/")
    return ".test." in base or base in IGNORED_FOLDERS or not IGNORED_FOLDERS.isdisjoint(folders)


def name_problem(name: str) -> str | None:
    """Return what is wrong with the name of an artifact, in three parts, or None if it is a good one."""
    if len(name) > MAX_LENGTH:
        return f"expected a path name of at most {MAX_LENGTH} characters, got {len(name)}; shorten it"
    if not name.isprintable():
        return f"expected a path name of printable UTF-8 characters, got {name!a}; rename it"
    if not _STEPS.isdisjoint(name.split("/")):
        return f"expected a path name below the folder, got {name!r}; write it without '.', '..' and empty parts"
    if is_settings(name) or resource_name(name):
        return f"expected a name that the configuration does not use itself, got {name!r}; rename it"
    return None


def order(names: Iterable[str]) -> list[str]:
    """Return the handlers among script names, in the order in which they run: by path name, without libraries."""
    return sorted(name for name in names if not is_library(name))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like this one, or None if none does."""
    matches = get_close_matches(name, list(known), n=1)
    return matches[0] if matches else None
