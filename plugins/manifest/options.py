"""The keys of ``[discoverers.NAME]`` with ``type = "manifest"`` and ``type = "settings-http"``."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from trimtab.api import check_positive_duration
from trimtab.plugins.http.options import HeaderName, HeaderValue, Token, check_url

Period = Annotated[
    str | int | float,
    Meta(
        extra={
            "expected": 'a duration above 0 such as "200ms" or "10s", or a number of seconds',
            "check": check_positive_duration,
        }
    ),
]
"""A duration that is not 0."""


class DocumentPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a JSON document on an HTTP server is, and how to ask for it."""

    url: Annotated[
        str,
        Meta(
            description="Where the JSON document is.",
            extra={"expected": 'an address such as "http://host:8080/path" (http or https)', "check": check_url},
        ),
    ]
    token: Annotated[
        Token | None,
        Meta(
            description="Bearer token of requests to the server of `url`; others never get it.",
            extra={"expected": "visible ASCII characters, without a space or line end", "default": "none"},
        ),
    ] = None
    headers: Annotated[
        dict[HeaderName, HeaderValue],
        Meta(
            description="Headers of requests to the server of `url`; others never get them.",
            extra={
                "expected": "a table of header names and their values, in ASCII, without line ends",
                "default": "none",
            },
        ),
    ] = {}
    timeout: Annotated[Period, Meta(description="How long one document may take, redirects included.")] = "10s"
    max_size: Annotated[int, Meta(ge=1, description="The most bytes that one document may have.")] = 1 << 20


class DocumentOptions(DocumentPlace, frozen=True, kw_only=True):
    """What a discoverer that looks at a JSON document on an HTTP server must and may be told."""

    interval: Annotated[Period, Meta(description="How often it is looked at, give or take a tenth.")] = "30s"
