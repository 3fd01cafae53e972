"""The log of ``trimtab run`` on stderr: for people on a terminal, JSON Lines for everything else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import structlog

from trimtab.api import Notice, hookimpl
from trimtab.cli.output import first_of


def configure(mask: Callable[[str], str] = str) -> None:
    """Set structlog up for this process. Called by the command that runs the host, again when it knows the secrets.

    ``mask``: puts ``***`` in the place of secrets in a text.
    """

    def masked(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: mask(value) if isinstance(value, str) else value for key, value in event.items()}

    terminal = sys.stderr.isatty()
    renderer: list[Any] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            masked,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
            *renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


class Announcer:
    """A plugin that writes one line for each generation, and one for each change that was refused."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()

    @hookimpl
    def trimtab_generation_committed(self, notice: Notice) -> None:
        """Say what changed and how long it took."""
        self._log.info(f"generation {notice.generation}: {_changes(notice)}", reason=notice.reason, **_times(notice))
        for left_out in first_of(_faults(notice, " was left out"), len(notice.faults)):
            self._log.error(left_out, generation=notice.generation)

    @hookimpl
    def trimtab_change_refused(self, notice: Notice) -> None:
        """Say why."""
        why = "; ".join(first_of(_faults(notice), len(notice.faults)))
        self._log.error(
            f"generation {notice.generation} refused: {why}",
            reason=notice.reason,
            changes=_changes(notice),
            **_times(notice),
        )


def _faults(notice: Notice, became: str = "") -> Iterator[str]:
    return (f"{name}{became}: {fault}" for name, fault in notice.faults.items())


def _changes(notice: Notice) -> str:
    changes = (f"{name} {change}" for name, change in sorted(notice.changes.items()))
    return ", ".join(first_of(changes, len(notice.changes))) or "nothing to load"


def _times(notice: Notice) -> dict[str, float]:
    return {f"{step}_ms": round(seconds * 1000, 1) for step, seconds in notice.seconds.items()}
