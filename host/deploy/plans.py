"""The way from nothing to a generation that was committed before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trimtab.artifacts.store import ArtifactStore
from trimtab.deploy.changeset import SETTINGS, is_script
from trimtab.engine.engine import Plan
from trimtab.errors import ConfigurationError

ExpandSettings = Callable[[bytes], dict[str, Any]]


def restore_plan(store: ArtifactStore, generation: int, expand: ExpandSettings) -> Plan:
    """Return the plan that brings an empty engine to a committed generation; 0: the one without artifacts."""
    versions = store.generation_set(generation) if generation else {}
    contents = {name: store.content(version.hash) for name, version in versions.items()}
    settings = contents.pop(SETTINGS, None)
    return Plan(
        generation=generation,
        upserts=contents,
        deletes=[],
        reload=[name for name in sorted(contents) if is_script(name)],
        settings=_expanded(settings, expand),
    )


def _expanded(settings: bytes | None, expand: ExpandSettings) -> dict[str, Any]:
    if settings is None:
        return {}
    try:
        return expand(settings)
    except ConfigurationError:
        # A variable of the last run is not set any more. The settings of this start come next, and are checked.
        return {}
