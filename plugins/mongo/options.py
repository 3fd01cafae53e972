"""The keys of ``[resources.mongo.NAME]``, and of ``[sinks.NAME]`` with ``type = "mongo"``."""

from __future__ import annotations

import warnings
from typing import Annotated

import msgspec
from msgspec import Meta

from trimtab.api import Duration, check_positive_duration

_URL = 'an address such as "mongodb://host:27017/" or "mongodb+srv://host/"'
_TIMEOUT = 'a duration above 0 such as "500ms" or "2s", or a number of seconds'

Text = Annotated[str, Meta(min_length=1)]


def check_url(url: str) -> None:
    """Raise ``ValueError`` for anything but the address of a MongoDB server. Looks nothing up."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    if not url.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError(f"expected {_URL}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of the driver's, for options that it does not know
            MongoClient(url, connect=False).close()
    except (PyMongoError, TypeError, ValueError, UserWarning) as error:
        # The driver's words may hold a part of the password that lies in the address.
        reason = "escape user name and password, or give them as keys of their own" if "@" in url else str(error)
    else:
        return
    raise ValueError(f"expected {_URL}; {reason}")


class MongoPlace(msgspec.Struct, frozen=True, kw_only=True):
    """What everything that connects to a MongoDB must and may be told."""

    url: Annotated[
        str,
        Meta(
            description="The servers, with the driver's own options behind `?`: `replicaSet`, `tls`, ...",
            extra={"expected": _URL, "check": check_url},
        ),
    ]
    user: Annotated[Text | None, Meta(description="Who logs in, where it is not in `url`.")] = None
    password: Annotated[str | None, Meta(description="The password of `user`.")] = None
    database: Annotated[
        Text | None, Meta(description="The database where none is named, in place of the one that `url` may name.")
    ] = None
    timeout: Annotated[
        Duration,
        Meta(
            description="The longest that one call may take, with connecting and trying again.",
            extra={"expected": _TIMEOUT, "check": check_positive_duration},
        ),
    ] = "800ms"


class MongoOptions(MongoPlace, frozen=True, kw_only=True):
    """What a resource must and may be told."""

    connections: Annotated[
        int, Meta(ge=1, description="How many calls of one lane may be under way at once; more wait, within `timeout`.")
    ] = 16


class MongoSinkOptions(MongoPlace, frozen=True, kw_only=True):
    """What a MongoDB sink must and may be told."""

    collection: Annotated[Text, Meta(description="Where values are stored, one document each.")]
    key: Annotated[
        Text | None,
        Meta(
            description="A field that every value has: the value replaces the document that has the same there, so a "
            "value that comes again is stored once. Give the field a unique index. Without it, every value is inserted."
        ),
    ] = None
    timeout: Annotated[
        Duration,
        Meta(
            description="The longest that one write of many values may take.",
            extra={"expected": _TIMEOUT, "check": check_positive_duration},
        ),
    ] = "10s"
