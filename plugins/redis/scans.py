"""Reading what is too much for one answer: the SCAN commands, page by page."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from trimtab.api import Caller, CallError, Pages
from trimtab.plugins.redis.resource import RedisResource

Cursor = tuple[str | None, int]
"""The node of a cluster (None: there is only one place to ask), and where to go on there; 0: at the beginning."""
Step = Callable[[Any, Cursor], tuple[int, Sequence[Any]]]
"""Asks a client for what comes at a cursor; returns where to go on, 0 at the end, and what has come."""


class Scan(Pages):
    """What one scan finds. A page is one answer; nothing but the cursor is kept between two, here and on the server.

    An element that is there all the time comes at least once.
    """

    def __init__(
        self, caller: Caller, method: str, arguments: tuple[Any, ...], step: Step, convert: Callable[[Any], Any]
    ) -> None:
        self._caller = caller
        self._method = method
        self._arguments = arguments
        self._step = step
        self._convert = convert
        self._cursors: deque[Cursor] | None = None

    def next_page(self) -> Sequence[Any]:
        """See :class:`Pages`. Answers without elements are no pages: it asks on."""
        while self._cursors is None or self._cursors:
            page: Sequence[Any] = self._caller.call(self._method, self._arguments, self._read, [])
            if page or self._cursors is None:  # only rehearsed: nothing was asked
                return page
        return []

    def close(self) -> None:
        """See :class:`Pages`."""
        self._cursors = deque()

    def _read(self, resource: RedisResource) -> Sequence[Any]:
        return list(self._convert(resource.use(self._method, self._ask)))

    def _ask(self, client: Any) -> Sequence[Any]:
        if self._cursors is None:
            self._cursors = _beginning(client, self._method)
        cursor = self._cursors[0]
        following, found = self._step(client, cursor)
        self._cursors.popleft()
        if following:
            self._cursors.appendleft((cursor[0], following))
        return found


def _beginning(client: Any, method: str) -> deque[Cursor]:
    """Keys lie on every master of a cluster; the parts of one key lie together."""
    if method != "scanIter" or not hasattr(client, "get_primaries"):
        return deque([(None, 0)])
    return deque((node.name, 0) for node in client.get_primaries())


def keys(options: dict[str, Any]) -> Step:
    """Return what scans all keys. ``options``: of the driver's ``scan``."""

    def step(client: Any, cursor: Cursor) -> tuple[int, Sequence[Any]]:
        name, at = cursor
        if name is None:
            following, found = client.scan(at, **options)
            return following, found
        node = client.get_node(node_name=name)
        if node is None:
            message = f"expected the cluster's node {name} to be there till the end of the scan, got a failover"
            raise CallError("ConnectionError", f"{message}; scan again", retryable=True)
        cursors, found = client.scan(at, target_nodes=node, **options)
        return cursors[name], found

    return step


def parts(method: str, key: str, options: dict[str, Any]) -> Step:
    """Return what scans the parts of one key. ``method``: of the driver: ``hscan``, ``sscan`` or ``zscan``."""

    def step(client: Any, cursor: Cursor) -> tuple[int, Sequence[Any]]:
        following, found = getattr(client, method)(key, cursor[1], **options)
        return following, list(found.items()) if isinstance(found, dict) else found

    return step
