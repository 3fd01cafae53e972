"""Rules on the names of artifacts. Pure.

An artifact found in a folder is named by its path below that folder, with ``/``: ``alarms/overspeed.js``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal

MAX_LENGTH = 255

SETTINGS = "settings"
"""Name of the artifact that holds the ``[settings]``; those of discoverer NAME are in ``settings:NAME``."""

WHEEL = ".whl"
"""What the names of Python wheels end in, which are libraries of the rules that name them."""
RULE = ".rule.json"
"""What the names of rules end in."""

ArtifactKind = Literal["script", "library", "rule", "settings", "resource"]
"""What an artifact is, by its name alone."""

_RESOURCE = re.compile(r"resources\.([\w-]+\.[\w-]+)")

IGNORED_FOLDERS = frozenset(
    {"node_modules", "__pycache__", ".venv", ".git", ".hg", ".svn", ".jj", ".bzr", "CVS", ".mypy_cache", ".ruff_cache"}
)

_STEPS = frozenset(("", ".", ".."))


def kind_of(name: str) -> ArtifactKind:
    """Return what an artifact of this name is."""
    if name.endswith(RULE):
        return "rule"
    if is_settings(name):
        return "settings"
    if resource_name(name):
        return "resource"
    return "library" if is_library(name) else "script"


def is_rule(name: str) -> bool:
    """Whether the artifact is a pattern rule: a JSON document, which runs beside the scripts."""
    return name.endswith(RULE)


def is_settings(name: str) -> bool:
    """Whether the artifact holds settings."""
    return name == SETTINGS or (name.startswith(f"{SETTINGS}:") and not is_rule(name))


def resource_name(name: str) -> str | None:
    """Return which resource an artifact holds (``sql.orders`` for ``resources.sql.orders``); None if it is none."""
    match = _RESOURCE.fullmatch(name)
    return match[1] if match else None


def artifact_name(resource: str) -> str:
    """Return the name of the artifact that holds the options of a resource: ``resources.sql.orders``."""
    return f"resources.{resource}"


def is_script(name: str) -> bool:
    """Whether the artifact is a script that handles events: no library, rule, resource or settings."""
    return kind_of(name) == "script"


def is_loaded(name: str) -> bool:
    """Whether lanes load the artifact: a script or a rule. Libraries come along with them; the rest configures."""
    return kind_of(name) in ("script", "rule")


def is_library(name: str) -> bool:
    """Whether the artifact is only there to be imported: some part of its path begins with ``_`` or ``.``."""
    return not is_rule(name) and (_is_hidden(name) or name.endswith(WHEEL))


def is_ignored(name: str) -> bool:
    """Whether a file or folder of this name is no artifact at all.

    These are ``*.test.*``, ``*.d.ts``, folders of packages, caches and version control, and whatever begins with
    ``..``: Kubernetes keeps the files behind a ConfigMap there, and trimtab its temporary files. So is a rule where a
    script would be a library: nobody imports rules.
    """
    if name.startswith("..") or "/.." in name or name.endswith(".d.ts") or (is_rule(name) and _is_hidden(name)):
        return True
    *folders, base = name.split("/")
    return ".test." in base or base in IGNORED_FOLDERS or not IGNORED_FOLDERS.isdisjoint(folders)


def _is_hidden(name: str) -> bool:
    return name.startswith(("_", ".")) or "/_" in name or "/." in name


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
    """Return the handlers among script names, in the order in which they run: by path name, without the rest."""
    return sorted(filter(is_script, names))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like this one, or None if none does."""
    matches = get_close_matches(name, list(known), n=1)
    return matches[0] if matches else None
