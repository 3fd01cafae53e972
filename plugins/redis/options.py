"""The keys of ``[resources.redis.NAME]``, and of sources and sinks of type ``redis-stream``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trimtab.api import parse_duration
from trimtab.plugins.redis.address import EXPECTED, Address, check_address, parse_address

SHORTEST = 0.001
"""Seconds; a socket takes no shorter timeout."""


def check_positive(value: str | int | float) -> None:
    """Raise ``ValueError`` for anything but a duration of a millisecond or more."""
    if parse_duration(value) < SHORTEST:
        raise ValueError("expected 1 ms or more")


_DURATION = {"expected": 'a duration above 0 such as "200ms" or "2s", or a number of seconds', "check": check_positive}
_PLACE = "Where Redis is: one server, a cluster, or the master that Sentinels know."


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What everything that connects to a Redis must and may be told."""

    url: Annotated[str, Meta(description=_PLACE, extra={"expected": EXPECTED, "check": check_address})]
    user: Annotated[
        str | None, Meta(description="User to log in as, if not the default one.", extra={"default": "none"})
    ] = None
    password: Annotated[
        str | None,
        Meta(
            description="Password to log in with. It is not sent to Sentinels.",
            extra={"expected": 'text; keep it out of the file: "${REDIS_PASSWORD}"', "default": "none"},
        ),
    ] = None

    def address(self) -> Address:
        """Return where it is, and how to log in."""
        return parse_address(self.url, self.user, self.password)


class RedisOptions(Place, frozen=True, kw_only=True):
    """What a resource may be told."""

    timeout: Annotated[
        str | int | float,
        Meta(description="How long connecting may take, and how long one answer.", extra=_DURATION),
    ] = "2s"
    connections: Annotated[
        int, Meta(ge=1, description="How many calls of one lane may be under way at once; more wait, for `timeout`.")
    ] = 16


class RedisSourceOptions(Place, frozen=True, kw_only=True):
    """What a source of type ``redis-stream`` must and may be told."""

    stream: Annotated[str, Meta(min_length=1, description="Key of the stream.")]
    group: Annotated[str, Meta(min_length=1, description="The consumer group; made when it is not there.")] = "trimtab"
    consumer: Annotated[
        str | None,
        Meta(
            description="Name in the group; no two hosts that run may have the same.",
            extra={"default": "made of the machine's name and the folder of the configuration"},
        ),
    ] = None
    field: Annotated[
        str | None,
        Meta(
            description="The field of an entry that holds the event. Without it: the field `event` where an entry has "
            "no other, else all fields as one object.",
            extra={"default": "none"},
        ),
    ] = None
    start: Annotated[Literal["beginning", "end"], Meta(description="Where a group that is made begins to read.")] = (
        "beginning"
    )
    claim_after: Annotated[
        str | int | float,
        Meta(
            description="Entries that another consumer has taken and let lie for so long are taken over.",
            extra=_DURATION,
        ),
    ] = "60s"
    batch: Annotated[int, Meta(ge=1, le=100_000, description="The most entries that are read at once.")] = 500


class RedisSinkOptions(Place, frozen=True, kw_only=True):
    """What a sink of type ``redis-stream`` must and may be told."""

    stream: Annotated[str, Meta(min_length=1, description="Key of the stream.")]
    field: Annotated[
        str, Meta(min_length=1, description="The one field of each entry: it holds the value as JSON text.")
    ] = "event"
    maxlen: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="About how many entries the stream keeps; older ones are dropped. Without it: all.",
            extra={"default": "none"},
        ),
    ] = None
