"""The keys of ``[sources.NAME]`` and ``[sinks.NAME]`` with ``type = "http"``, and of ``[resources.http.NAME]``."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from trimtab.api import Duration, check_positive_duration
from trimtab.plugins.http.allow import EXPECTED as _ENTRY
from trimtab.plugins.http.allow import Entry

# What a header may hold, so that a secret read from a file with its line end fails at start, not at the first request.
Token = Annotated[str, Meta(pattern=r"\A[!-~]+\Z")]
HeaderName = Annotated[str, Meta(pattern=r"\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")]
HeaderValue = Annotated[str, Meta(pattern=r"\A([!-~]([ -~]*[!-~])?)?\Z")]

CALL_OPTIONS = (
    *("params", "headers", "json", "form", "text", "bytes"),
    *("auth", "bearer", "timeout", "redirects", "retries"),
)
"""What scripts may give by name with a request."""

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


def check_allow(entries: list[str]) -> None:
    """Raise ``ValueError`` for a list with an entry that is none."""
    for entry in entries:
        Entry.parse(entry)


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
                "check": check_positive_duration,
            },
        ),
    ] = "10s"
    attempts: Annotated[
        int, Meta(ge=1, description="How often a request is tried before the sink reports that it failed.")
    ] = 5


class HttpOptions(msgspec.Struct, frozen=True):
    """What an HTTP resource may be told."""

    base_url: Annotated[
        str | None,
        Meta(
            description="Where paths such as `/orders` are asked for.",
            extra={"expected": _URL, "check": check_url, "default": "none"},
        ),
    ] = None
    headers: Annotated[
        dict[HeaderName, HeaderValue],
        Meta(
            description="Headers of every request; with a `base_url`, of those to it.",
            extra={"expected": _HEADERS, "default": "none"},
        ),
    ] = {}
    token: Annotated[
        Token | None,
        Meta(description="Bearer token for the `base_url`.", extra={"expected": _TOKEN, "default": "none"}),
    ] = None
    user: Annotated[
        str | None, Meta(description="User for the `base_url` (basic authentication).", extra={"default": "none"})
    ] = None
    password: Annotated[str | None, Meta(description="The user's password.", extra={"default": "none"})] = None
    timeout: Annotated[Duration, Meta(description="What one call may take, with its retries and redirects.")] = "2s"
    retries: Annotated[int, Meta(ge=0, description="How often a request is sent again where that is safe.")] = 2
    connections: Annotated[
        int, Meta(ge=1, description="How many calls of one lane may be under way at once; more wait, within `timeout`.")
    ] = 100
    max_response: Annotated[
        int, Meta(ge=1, description="The most bytes that the body of a response may have, also after inflating it.")
    ] = 10 << 20
    allow: Annotated[
        list[str],
        Meta(
            description="What confined scripts may reach beside the `base_url`. Without a port: 80 and 443.",
            extra={"expected": f"a list of {_ENTRY}", "check": check_allow, "default": "none"},
        ),
    ] = []
    verify: Annotated[
        bool | str,
        Meta(
            description="A file with the certificates (PEM) that servers must be certified by; true: the usual ones.",
            extra={"expected": "the path of a PEM file, or true"},
        ),
    ] = True

    def __repr__(self) -> str:
        """Show no value: some are secrets."""
        return "HttpOptions(...)"
