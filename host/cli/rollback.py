"""``trimtab rollback``: asks the running host; on a stopped one, changes what the next start takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from trimtab.cli.output import first_of, print_json
from trimtab.cli.project import Project, open_project
from trimtab.control import endpoint
from trimtab.errors import UsageError


def rollback(config: Path, name: str | None, to: str | None, generation: int | None, *, as_json: bool) -> int:
    """Roll back one artifact, or everything."""
    if (name is None) == (generation is None) or (generation is not None and to is not None):
        raise UsageError("expected either a NAME (and --to V, if not the version before) or --generation N")
    project = open_project(config)
    client = project.client()
    if client is None:
        document = _stopped(project, name, to, generation)
    else:
        asked = {"name": name, "to": to} if generation is None else {"generation": generation}
        document = client.post("/api/rollback", asked)
    print_json(document) if as_json else _print(document, running=client is not None)
    return 0


def _stopped(project: Project, name: str | None, to: str | None, generation: int | None) -> Mapping[str, Any]:
    with project.existing_store() as store, endpoint.lock(project.state):
        from trimtab.deploy.offline import StoppedHost

        host = StoppedHost(store, project.config)
        notice = host.rollback_generation(generation) if generation is not None else host.rollback(name or "", to)
    document: Mapping[str, Any] = msgspec.to_builtins(notice)
    return document


def _print(document: Mapping[str, Any], *, running: bool) -> None:
    when = "" if running else " (runs when the host starts)"
    found = document["changes"]
    changes = ", ".join(first_of((f"{name} {change}" for name, change in found.items()), len(found)))
    print(f"generation {document['generation']}{when}: {changes}")
