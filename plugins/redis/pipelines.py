"""Commands that are sent together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trimtab.api import Caller, Scope
from trimtab.plugins.redis.arguments import Command, command
from trimtab.plugins.redis.rehearsal import rehearsed
from trimtab.plugins.redis.resource import RedisResource

_REDIRECTS = 5
"""How often a transaction follows its keys to another node of the cluster. A node without them does nothing of it."""


class Pipeline(Scope):
    """Collects commands, by the same names and arguments as they are sent elsewhere. They return nothing here."""

    methods = frozenset({"command"})
    any_method = True

    def __init__(self, caller: Caller, plain: Callable[[Any], Any], *, transaction: bool) -> None:
        self._caller = caller
        self._plain = plain
        self._transaction = transaction
        self._commands: list[Command] = []

    def call_any(self, name: str, *arguments: Any, **options: Any) -> None:
        """Collect a command."""
        self._commands.append(command(name, arguments, options))

    def command(self, name: str, *words: Any) -> None:
        """Collect a command as it is: its name, and all that follows it."""
        self._commands.append(Command(name.upper(), "execute_command", (name, *words), {}))

    def commit(self) -> list[Any]:
        """Send what was collected, and return the answers. Raises :class:`CallError` for the first that is an error."""
        commands, self._commands = self._commands, []
        shown = tuple(sent.name for sent in commands)
        empty = [rehearsed(sent.name) for sent in commands]
        answers: list[Any] = self._caller.call(
            "pipeline", shown, lambda resource: self._send(resource, commands), empty
        )
        return answers

    def rollback(self) -> None:
        """Forget what was collected."""
        self._commands = []

    def _send(self, resource: RedisResource, commands: Sequence[Command]) -> list[Any]:
        answers = resource.use("a pipeline", lambda client: self._execute(resource, client, commands))
        return [
            self._plain(resource.answer(answer, _place(n, sent))) for n, (answer, sent) in _numbered(answers, commands)
        ]

    def _execute(self, resource: RedisResource, client: Any, commands: Sequence[Command]) -> list[Any]:
        from redis.exceptions import AskError

        for _ in range(_REDIRECTS):
            try:
                return self._execute_once(resource, client, commands)
            except AskError:  # or that it has moved for good
                continue
        return self._execute_once(resource, client, commands)

    def _execute_once(self, resource: RedisResource, client: Any, commands: Sequence[Command]) -> list[Any]:
        with resource.pipeline(client, transaction=self._transaction) as pipeline:
            for number, sent in enumerate(commands, 1):
                try:
                    sent.send(pipeline)
                except (TypeError, ValueError) as error:
                    raise type(error)(f"command {number} of the pipeline: {error}") from None
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            return answers


def _numbered(answers: Sequence[Any], commands: Sequence[Command]) -> Any:
    return enumerate(zip(answers, commands, strict=True), 1)


def _place(number: int, sent: Command) -> str:
    return f"{sent.name} (command {number} of the pipeline)"
