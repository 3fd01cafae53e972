"""A Redis hash, as a place that holds something, and as one where settings are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from redis.exceptions import RedisClusterException, RedisError

from trimtab.api import OutsideError, parse_duration
from trimtab.plugins.center.notices import Ear
from trimtab.plugins.center.options import RedisHashOptions
from trimtab.plugins.center.redis_channel import Channel
from trimtab.plugins.center.values import artifact, from_text, nested
from trimtab.plugins.manifest.polled import Place
from trimtab.plugins.redis.address import Address
from trimtab.plugins.redis.clients import connected
from trimtab.plugins.redis.errors import failure


class WatchedHash(Place):
    """The fields of one hash, which is looked at again when a message on a channel says so."""

    def __init__(self, address: Address, key: str, channel: str | None, timeout: float, place: str) -> None:
        """``timeout`` in seconds; ``place`` begins every message."""
        self.place = place
        self.key = key
        self._address = address
        self._timeout = timeout
        self._channel = channel
        self._ear = Ear(self._subscribe) if channel is not None else None

    async def fields(self) -> Mapping[bytes, bytes]:
        """Return all fields. Raises :class:`OutsideError`, also for a hash that is not there.

        A server that has lost its data must not pass for one where all was deleted.
        """
        if self._ear is not None:
            await self._ear.listen()
        with self._errors(f"to answer HGETALL {self.key}"):
            async with connected(self._address, self._timeout) as client:
                fields: dict[bytes, bytes] = await client.hgetall(self.key)
        if not fields:
            raise self._failure(f"to have the hash {self.key}", "no such key; what was there stays as it was")
        return fields

    async def pause(self, seconds: float) -> None:
        """Wait for a message on the channel."""
        if self._ear is None or not await self._ear.heard(seconds):
            await super().pause(seconds)

    async def _subscribe(self) -> Channel:
        with self._errors(f"to let us listen to {self._channel}"):
            return await Channel.subscribe(self._address, self._timeout, self._channel or "")

    @contextmanager
    def _errors(self, expected: str) -> Iterator[None]:
        try:
            yield
        except (RedisError, RedisClusterException, OSError) as error:
            raise self._failure(expected, failure(error).text) from None

    def _failure(self, expected: str, got: str) -> OutsideError:
        return OutsideError(f"{self.place}: expected Redis ({self._address}) {expected}, got {got}", retryable=True)


class RedisHash(WatchedHash):
    """The settings in the fields of one hash: dotted path to JSON, or to text."""

    def __init__(self, options: RedisHashOptions, place: str, name: str) -> None:
        super().__init__(options.address(), options.key, options.channel, parse_duration(options.timeout), place)
        self._name = name

    async def read(self) -> Mapping[str, bytes]:
        """Return the one artifact. Raises :class:`OutsideError`."""
        fields = await self.fields()
        try:
            pairs = ((name.decode(), from_text(value.decode())) for name, value in fields.items())
            return {self._name: artifact(nested(pairs))}
        except ValueError as error:  # also for what is not UTF-8
            raise OutsideError(f"{self.place}: {self.key}: {error}", retryable=True) from None
