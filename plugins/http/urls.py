"""URLs: from what a script writes to what is asked for, and to what may be shown."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlencode

import httpx

from trimtab.api import CallError
from trimtab.plugins.http.allow import normal

_PORTS = {"http": 80, "https": 443}
_UPWARDS = re.compile(r"(?:^|[/\\])\.\.(?:[/\\;]|$)")
"""A segment ``..``, as any server may see it."""


def port_of(url: httpx.URL) -> int:
    """Return the port of a URL, also where it is the default of the scheme."""
    return url.port or _PORTS.get(url.scheme, 0)


def host_of(url: httpx.URL) -> str:
    """Return the host of a URL in its one spelling, in ASCII."""
    return normal(url.raw_host.decode("ascii"))


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Return scheme, host and port: credentials are of one origin."""
    return url.scheme, host_of(url), port_of(url)


def shown(url: httpx.URL) -> str:
    """Return a URL without the parts that may hold secrets."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))


def parse_url(text: str) -> httpx.URL:
    """Read a URL, absolute or below a ``base_url``. Raises ``ValueError``."""
    try:
        return httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"expected a URL, got one that is not valid: {error}") from None


def below(base: httpx.URL | None, url: httpx.URL, resource: str) -> httpx.URL:
    """Return an absolute URL as it is; a path is one below ``base``.

    Raises ``ValueError`` where there is no base, and :class:`CallError` for a path that could lead out of it: what a
    script has put into a path may come from an event, and the credentials of the base are sent along.
    """
    if url.scheme:
        if not url.host and url.scheme in _PORTS:
            raise ValueError(f"{resource}: expected a URL with a host, got {shown(url)!r}")
        return url
    if url.host:
        raise ValueError(f'{resource}: expected "http://host/path" or "/path", got {shown(url)!r}')
    if base is None:
        message = f"{resource}: expected an absolute URL, got {shown(url)!r}"
        raise ValueError(f"{message}; write http://..., or give the resource a base_url")
    if _UPWARDS.search(unquote(url.path)):
        message = f"{resource}: expected a path below {shown(base)}, got {shown(url)!r}; write it without '..'"
        raise CallError("PolicyError", message)
    return base.copy_with(raw_path=base.raw_path.rstrip(b"/") + b"/" + url.raw_path.lstrip(b"/"))


def with_params(url: httpx.URL, params: list[tuple[str, str]]) -> httpx.URL:
    """Return the URL with parameters behind those that its query has already."""
    if not params:
        return url
    added = urlencode(params).encode()
    return url.copy_with(query=url.query + b"&" + added if url.query else added)
