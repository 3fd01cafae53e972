"""What stands in for a script that ran before and cannot be opened any more."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from trimtab.api import ScriptInstance
from trimtab.engine.batch import Events
from trimtab.engine.run import HandlerRun
from trimtab.engine.script import HandlerSpec
from trimtab.errors import Fault


class BrokenInstance(ScriptInstance):
    """Fails every event with the fault that kept the script from opening, so that none is lost silently."""

    decodes = False
    libraries: frozenset[str] = frozenset()

    def __init__(self, fault: Fault, handlers: Sequence[HandlerSpec] = (HandlerSpec("handle"),)) -> None:
        self._fault = fault
        self.handlers = [structs.replace(spec, asynchronous=False, attempts=1) for spec in handlers]

    def open(self) -> None:
        """Nothing to open."""

    def process(self, handler: int, events: Events, selection: Sequence[int], run: HandlerRun) -> None:  # noqa: ARG002
        """Fail every event."""
        for index in selection:
            run.fail(index, self._fault)

    def settings_changed(self) -> None:
        """Nothing depends on them."""

    def close(self) -> None:
        """Nothing to close."""
