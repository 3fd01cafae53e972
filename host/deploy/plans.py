"""From artifacts to what a lane is told: plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from trimtab.artifacts.names import SETTINGS, is_loaded, is_rule, is_settings, kind_of, resource_name
from trimtab.artifacts.store import ArtifactStore
from trimtab.engine.engine import Plan
from trimtab.errors import ChangeRefused, ConfigurationError, Fault

Tree = dict[str, Any]
Expand = Callable[[bytes, str], Tree]
"""Takes the bytes of an artifact of the configuration file and its name, puts the environment variables in, and returns
the table. Raises :class:`ConfigurationError` for one that is not set."""


def restore_plan(store: ArtifactStore, generation: int, expand: Expand) -> Plan:
    """Return the plan that brings an empty engine to a committed generation; 0: the one without artifacts."""
    versions = store.generation_set(generation) if generation else {}
    contents = {name: store.content(version.hash) for name, version in versions.items()}
    files = {name: content for name, content in contents.items() if is_file(name)}
    return Plan(
        generation=generation,
        upserts=files,
        deletes=[],
        reload=sorted(filter(is_loaded, files)),
        settings=settings_of(contents, lenient(expand)),
        resources=resources_of(contents, lenient(expand)),
    )


def earlier_rules(store: ArtifactStore, generation: int) -> dict[str, list[bytes | None]]:
    """Return the documents of the rules that have changed since a generation, but for those that run now.

    By name, oldest first: what ran in that generation and has run since. None: the rule was not there.
    """
    changed = store.changed_since(generation)
    return {
        name: [None if version is None else store.content(version.hash) for version in versions[:-1]]
        for name, versions in changed.items()
        if is_rule(name) and versions[-1] is not None
    }


def is_file(name: str) -> bool:
    """Whether an artifact is a script, a library or a rule."""
    return kind_of(name) not in ("settings", "resource")


def settings_of(contents: Mapping[str, bytes | None], expand: Expand) -> Tree:
    """Return the settings that scripts see: those of the configuration file, then the others over them, by name."""
    merged: Tree = {}
    for name in sorted(filter(is_settings, contents)):  # "settings" comes before "settings:..."
        source = contents[name]
        if source is not None:
            merged = _merged(merged, expand(source, name) if name == SETTINGS else msgspec.json.decode(source))
    return merged


def resources_of(contents: Mapping[str, bytes | None], expand: Expand) -> dict[str, Tree | None]:
    """Return the options of the resources among some artifacts, by name such as ``sql.orders``; None: deleted."""
    found: dict[str, Tree | None] = {}
    for name, source in contents.items():
        resource = resource_name(name)
        if resource is not None:
            found[resource] = None if source is None else expand(source, name)
    return found


def strict(expand: Expand) -> Expand:
    """Return an ``expand`` that raises :class:`ChangeRefused` in the name of the artifact that cannot be expanded."""

    def expanded(source: bytes, name: str) -> Tree:
        try:
            return expand(source, name)
        except ConfigurationError as error:
            raise ChangeRefused({name: Fault("ConfigurationError", str(error))}) from error

    return expanded


def lenient(expand: Expand) -> Expand:
    """Return an ``expand`` for what ran before: what can no longer be expanded is empty. What comes next is checked."""

    def expanded(source: bytes, name: str) -> Tree:
        with suppress(ConfigurationError):
            return expand(source, name)
        return {}

    return expanded


def _merged(below: Tree, above: Tree) -> Tree:
    """Lay one tree over another, table by table."""
    both = {
        key: _merged(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }
    return below | both
