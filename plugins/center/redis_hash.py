"""A Redis hash, as a place where settings are."""

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
from trimtab.plugins.redis.clients import connected
from trimtab.plugins.redis.errors import failure


class RedisHash(Place):
    """The settings in the fields of one hash: dotted path to JSON, or to text."""

    def __init__(self, options: RedisHashOptions, place: str, name: str) -> None:
        self._key = options.key
        self._address = options.address()
        self._timeout = parse_duration(options.timeout)
        self._place = place
        self._name = name
        self._channel = options.channel
        self._ear = Ear(self._subscribe) if options.channel is not None else None

    async def read(self) -> Mapping[str, bytes]:
        """Return the one artifact. Raises :class:`OutsideError`, also for a hash that is not there.

        A server that has lost its data must not pass for one whose settings were deleted.
        """
        if self._ear is not None:
            await self._ear.listen()
        with self._errors(f"to answer HGETALL {self._key}"):
            async with connected(self._address, self._timeout) as client:
                fields: dict[bytes, bytes] = await client.hgetall(self._key)
        if not fields:
            raise self._failure(f"to have the hash {self._key}", "no such key; the settings stay as they were")
        try:
            pairs = ((name.decode(), from_text(value.decode())) for name, value in fields.items())
            return {self._name: artifact(nested(pairs))}
        except ValueError as error:  # also for what is not UTF-8
            raise OutsideError(f"{self._place}: {self._key}: {error}", retryable=True) from None

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
        return OutsideError(f"{self._place}: expected Redis ({self._address}) {expected}, got {got}", retryable=True)
