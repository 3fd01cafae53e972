"""The keys of ``[sources.NAME]`` and ``[sinks.NAME]`` with ``type = "http"``."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from trimtab.api import parse_duration

# What a header may hold, so that a secret read from a file with its line end fails at start, not at the first request.
Token = Annotated[str, Meta(pattern=r"\A[!-~]+\Z")]
HeaderName = Annotated[str, Meta(pattern=r"\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")]
HeaderValue = Annotated[str, Meta(pattern=r"\A([!-~]([ -~]*[!-~])?)?\Z")]

_TOKEN = "visible ASCII characters, without a space or line end"  # noqa: S105 - words, not a token
_HEADERS = "a table of header names and their values, in ASCII, without line ends"
_URL = 'an address such as "http://host:8080/path" (http or https)'


def check_url(url: str) -> None:
    """Raise ``ValueError`` for anything but the URL of an HTTP server."""
    import httpx

    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"expected {_URL}")


def check_timeout(value: str | int | float) -> None:
    """Raise ``ValueError`` for anything but a duration above 0."""
    if parse_duration(value) == 0:
        raise ValueError("expected more than 0 seconds")


class HttpSourceOptions(msgspec.Struct, frozen=True):
    """What an HTTP source may be told."""

    token: Annotated[
        Token | None,
        Meta(
            description="Bearer token that requests must carry. Without one, whoever reaches the port may send.",
            extra={"expected": _TOKEN, "default": "none"},
        ),
    ] = None
    max_body: Annotated[
        int, Meta(ge=1, description="The most bytes that the body of a request may have, also after inflating it.")
    ] = 16 << 20


class HttpSinkOptions(msgspec.Struct, frozen=True):
    """What an HTTP sink must and may be told."""

    url: Annotated[
        str,
        Meta(
            description="Where values are sent: POST with a JSON array.", extra={"expected": _URL, "check": check_url}
        ),
    ]
    headers: Annotated[
        dict[HeaderName, HeaderValue],
        Meta(description="Headers of every request.", extra={"expected": _HEADERS, "default": "none"}),
    ] = {}
    token: Annotated[
        Token | None,
        Meta(description="Bearer token that requests carry.", extra={"expected": _TOKEN, "default": "none"}),
    ] = None
    batch: Annotated[int, Meta(ge=1, description="The most values in one request.")] = 500
    timeout: Annotated[
        str | int | float,
        Meta(
            description='How long one try of a request may take: "200ms", "5s" or seconds.',
            extra={
                "expected": 'a duration above 0 such as "200ms" or "10s", or a number of seconds',
                "check": check_timeout,
            },
        ),
    ] = "10s"
    attempts: Annotated[
        int, Meta(ge=1, description="How often a request is tried before the sink reports that it failed.")
    ] = 5
