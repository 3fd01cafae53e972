"""Pure rules: what a set of changed artifacts means for the running generation."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from trimtab.artifacts.names import is_library, is_loaded, is_rule, is_settings, resource_name
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
    """What a change set does: the kind of change by name, and the scripts and rules to load."""

    kinds: dict[str, Kind]
    reload: list[str]


def effect_of(
    changes: Changes, active: Container[str], loaded: Mapping[str, LoadedScript], broken: Iterable[str] = ()
) -> Effect:
    """Find what a change set touches: the scripts and rules that it holds, and those that use a library that it holds.

    A rule touches itself alone. A library, or a script, touches no rule that calls it, unless that rule was loaded with
    it and so has it among its ``libraries``.

    ``broken``: what runs and cannot be loaded: any library, setting or resource may be what it lacks.
    """
    kinds: dict[str, Kind] = {name: _kind(name, content, active) for name, content in changes.items()}
    reload = {name for name, content in changes.items() if content is not None and is_loaded(name)}
    touched = _using({name for name in changes if is_library(name)}, active, loaded)
    if any(not is_loaded(name) for name in changes):
        touched.update(broken)
    for name in touched - changes.keys():
        reload.add(name)
        kinds[name] = "reloaded"
    return Effect(kinds, sorted(reload))


def may_help(change: tuple[str, bytes | None]) -> bool:
    """Whether a change of one artifact may make good what was refused elsewhere: it configures, or frees its name."""
    name, content = change
    return content is None or is_settings(name) or resource_name(name) is not None


def may_help_each(change: tuple[str, bytes | None]) -> bool:
    """The same for what stands for itself, such as a rule: it may lack a script or a library as well."""
    return not is_rule(change[0]) or change[1] is None


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


def _kind(name: str, content: bytes | None, running: Container[str]) -> Kind:
    if content is None:
        return "deleted"
    return "changed" if name in running else "added"


def _using(libraries: set[str], running: Container[str], loaded: Mapping[str, LoadedScript]) -> set[str]:
    """What a change of these libraries touches; a new one may come before one of the same file name."""
    if not libraries:
        return set()
    added = {posixpath.basename(name) for name in libraries if name not in running}
    return {
        name
        for name, script in loaded.items()
        if not libraries.isdisjoint(script.libraries)
        or any(posixpath.basename(library) in added for library in script.libraries)
    }
