"""A channel of Redis, where a message says that settings have changed."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any, Self

from redis import exceptions
from redis.exceptions import RedisError

from trimtab.api import OutsideError
from trimtab.plugins.center.notices import Subscription
from trimtab.plugins.redis.address import Address, Form
from trimtab.plugins.redis.clients import connected
from trimtab.plugins.redis.errors import failure


class Channel(Subscription):
    """One connection that has subscribed to a channel. Made with :meth:`subscribe`."""

    def __init__(self, messages: Any, stack: AsyncExitStack) -> None:
        self._messages = messages
        self._stack = stack

    @classmethod
    async def subscribe(cls, address: Address, seconds: float, channel: str) -> Self:
        """Connect and subscribe; in a cluster, to the first node that answers. Raises the driver's errors.

        ``seconds``: how long connecting may take, and how long the answer.
        """
        if address.form is not Form.CLUSTER:
            return await cls._at(address, seconds, channel)
        *others, last = [replace(address, form=Form.SINGLE, hosts=(host,)) for host in address.hosts]
        for node in others:
            with suppress(RedisError, OSError):
                return await cls._at(node, seconds, channel)
        return await cls._at(last, seconds, channel)

    @classmethod
    async def _at(cls, address: Address, seconds: float, channel: str) -> Self:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(connected(address, seconds))
            messages = await stack.enter_async_context(client.pubsub())
            await messages.subscribe(channel)
            if await messages.get_message(timeout=seconds) is None:
                raise exceptions.TimeoutError
            return cls(messages, stack.pop_all())

    async def heard(self, seconds: float) -> None:
        """See :class:`Subscription`. Several messages that have come are heard as one."""
        try:
            if await self._messages.get_message(timeout=seconds) is not None:
                while await self._messages.get_message(timeout=0) is not None:
                    pass
        except (RedisError, OSError) as error:
            raise OutsideError(failure(error).text, retryable=True) from None

    async def close(self) -> None:
        """See :class:`Subscription`."""
        with suppress(RedisError, OSError):
            await self._stack.aclose()
