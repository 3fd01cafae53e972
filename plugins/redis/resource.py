"""The connections of one ``[resources.redis.NAME]`` in one process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from trimtab.api import CallError, Resource, parse_duration
from trimtab.plugins.pool import Pool
from trimtab.plugins.redis.address import Address, Form
from trimtab.plugins.redis.commands import checked
from trimtab.plugins.redis.options import RedisOptions

Result = TypeVar("Result")


def create_resource(options: RedisOptions, name: str, _folder: Path) -> RedisResource:
    """Make the resource. Imports the driver, so that no handler's time goes into that. Raises :class:`CallError`."""
    import trimtab.plugins.redis.clients  # noqa: F401

    try:
        address = options.address()
    except ValueError as error:
        raise CallError("ValueError", f"resources.{name}.url: {error}") from None
    return RedisResource(address, parse_duration(options.timeout), options.connections, name)


class RedisResource(Resource):
    """A client for each call that is under way, made when it is first needed.

    The driver throws a connection away when it breaks or when the answer does not come in time, and looks before each
    use whether the server has closed it. It does not when the time limit strikes in the middle of its own code: then
    the connection could hold the answer to an earlier question. So a client whose call did not end is not used again;
    it shares its connections with no other call.
    """

    def __init__(self, address: Address, timeout: float, connections: int, name: str) -> None:
        self._address = address
        self._timeout = timeout
        self._name = name
        self._clients: Pool[None, Any] = Pool(name, connections, self._connect, _close)

    def use(self, command: str, work: Callable[[Any], Result]) -> Result:
        """Return what ``work`` returns for the driver's client. ``command``: its name, for messages.

        Raises :class:`CallError`; ``TypeError`` and ``ValueError`` for arguments that cannot be meant.
        """
        from redis.exceptions import DataError

        from trimtab.plugins.redis.errors import DRIVER

        try:
            with self._clients.lent(None, self._timeout) as client:
                return work(client)
        except DataError as error:
            raise TypeError(f"{command}: {error}") from None
        except DRIVER as error:
            raise self._error(error, command) from None

    def pipeline(self, client: Any, *, transaction: bool) -> Any:
        """Return a pipeline of the driver for ``client``; its commands are checked as all others are."""
        pipeline = client.pipeline(transaction=transaction)
        pipeline.execute_command = self._checking(pipeline.execute_command)
        if transaction and self._address.form is Form.CLUSTER:  # the driver leaves the answers of these as they came
            node = client.get_redis_connection(client.get_default_node())
            pipeline.cluster_response_callbacks = {**node.response_callbacks, **client.cluster_response_callbacks}
        return pipeline

    def answer(self, answer: Any, command: str) -> Any:
        """Return one answer of a pipeline; raises :class:`CallError` for one that is an error."""
        if isinstance(answer, Exception):
            raise self._error(answer, command)
        return answer

    def check(self) -> None:
        """See :class:`Resource`. A cluster must serve all its slots; behind Sentinels, the master answers."""
        self.use("PING", self._ping)

    def close(self) -> None:
        """See :class:`Resource`."""
        self._clients.close()

    def _ping(self, client: Any) -> None:
        if self._address.form is not Form.CLUSTER:
            client.ping()
        elif (state := client.cluster_info(target_nodes="random")["cluster_state"]) != "ok":
            raise CallError(
                "RedisError", f"expected {self} to serve all slots, got the state {state!r}", retryable=True
            )

    def _connect(self, _kind: None) -> Any:
        from trimtab.plugins.redis.clients import make_client

        client = make_client(self._address, self._timeout)
        client.execute_command = self._checking(client.execute_command)
        return client

    def _checking(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """Put the check of every command in front of where all the driver's methods send theirs."""
        return partial(self._execute, execute)

    def _execute(self, execute: Callable[..., Any], *words: Any, **options: Any) -> Any:
        options.pop("keys", None)  # for the driver's cache, which is off
        return execute(*checked(words, self._timeout), **options)

    def _error(self, error: Exception, command: str) -> CallError:
        from trimtab.plugins.redis.errors import failure

        failed = failure(error)
        hint = f"; see that it runs, and [resources.{self._name}]" if failed.name == "ConnectionError" else ""
        if failed.name == "TimeoutError":
            hint = f" ({self._timeout:g} s); see timeout in [resources.{self._name}]"
        message = f"expected {self} to answer {command}, got {failed.text}{hint}"
        return CallError(failed.name, message, code=failed.code, retryable=failed.retryable)

    def __str__(self) -> str:
        return f"{self._name} ({self._address})"


def _close(client: Any) -> None:
    sentinels = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    for each in (client, *(sentinels.sentinels if sentinels else ())):  # the driver leaves those open
        with suppress(Exception):  # the server may be gone, and the client broken off at any place
            each.close()
