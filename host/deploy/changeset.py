"""Pure rules: what a set of changed artifacts means for the running generation."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trimtab.artifacts.names import is_library, is_script, is_settings, resource_name
from trimtab.artifacts.records import Kind
from trimtab.engine.engine import LoadedScript
from trimtab.errors import ChangeRefused, Fault

_COMPANY = "ChangeRefused"

Changes = dict[str, bytes | None]
"""New bytes by artifact name; None: deleted."""


def digest(content: bytes | None) -> str | None:
    """The version of some bytes; None for none."""
    return None if content is None else hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change set does: the kind of change by name, and the scripts to load."""

    kinds: dict[str, Kind]
    reload: list[str]


def effect_of(
    changes: Changes, active: Iterable[str], loaded: Mapping[str, LoadedScript], broken: Iterable[str] = ()
) -> Effect:
    """Find the scripts that a change set touches: those it holds, and those that use a library that it holds.

    ``broken``: active scripts that cannot be loaded: any library, setting or resource may be what they lack.
    """
    running = set(active)
    kinds: dict[str, Kind] = {name: _kind(name, content, running) for name, content in changes.items()}
    libraries = {name for name in changes if is_library(name)}
    reload = {name for name, content in changes.items() if content is not None and is_script(name)}
    using = {name for name, script in loaded.items() if _uses(script, libraries, running)}
    may_help = any(not is_script(name) for name in changes)
    for name in using.union(broken if may_help else ()) - changes.keys():
        reload.add(name)
        kinds[name] = "reloaded"
    return Effect(kinds, sorted(reload))


def may_help(change: tuple[str, bytes | None]) -> bool:
    """Whether a change of one artifact may make good what was refused elsewhere: it configures, or frees its name."""
    name, content = change
    return content is None or is_settings(name) or resource_name(name) is not None


def explain(changes: Changes, refusal: ChangeRefused) -> dict[str, Fault]:
    """Say for every artifact of a refused change set why it was refused: its own fault, or whose company it was in."""
    faults = dict(refusal.faults)
    for culprit, fault in refusal.faults.items():
        if fault.file in changes and fault.file not in faults:
            faults[fault.file] = fault
        for name in changes:
            together = Fault(_COMPANY, f"saved together with {culprit}, which was refused: {fault}", culprit)
            faults.setdefault(name, together)
    return faults


def company_of(fault: Fault) -> str | None:
    """The culprit where there was nothing wrong but the company, see :func:`explain`."""
    return fault.file if fault.name == _COMPANY else None


def _kind(name: str, content: bytes | None, running: set[str]) -> Kind:
    if content is None:
        return "deleted"
    return "changed" if name in running else "added"


def _uses(script: LoadedScript, changed: set[str], running: set[str]) -> bool:
    """Whether a change of these libraries touches a script; a new one may come before one of the same file name."""
    if not changed.isdisjoint(script.libraries):
        return True
    added = {posixpath.basename(name) for name in changed - running}
    return any(posixpath.basename(library) in added for library in script.libraries)
