"""Gets documents by HTTP that seldom change: one that has not changed is asked for, but not sent again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from ssl import SSLContext

import httpx

from trimtab.api import OutsideError, parse_duration
from trimtab.plugins.manifest.options import DocumentPlace

_AT_ONCE = 8
"""Requests under way at a time."""
_REDIRECTS = 5
_EXCERPT = 200
"""Characters of a refusal that an error shows."""


@dataclass(frozen=True, slots=True)
class _Document:
    content: bytes
    validators: Mapping[str, str]
    """Headers that ask for it only if it has changed."""


class Fetcher:
    """Remembers the documents of the last session that came to its end; ``place`` begins every message."""

    def __init__(self, options: DocumentPlace, place: str) -> None:
        self.options = options
        self.url = httpx.URL(options.url)
        self.place = place
        self._known: Mapping[httpx.URL, _Document] = {}
        self._tls: SSLContext | None = None

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Give what gets documents, over connections that are closed at the end."""
        if self._tls is None:  # reading the certificates takes long enough to be felt
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)
        headers = {"accept-encoding": "identity", "user-agent": "trimtab"}
        # The deadline of a request is asyncio's: httpx knows one for each read, which a slow answer never meets.
        async with httpx.AsyncClient(verify=self._tls, headers=headers, timeout=None) as client:  # noqa: S113
            session = Session(self, client, self._known)
            yield session
        self._known = session.documents


class Session:
    """Gets documents, some of them at the same time."""

    def __init__(self, fetcher: Fetcher, client: httpx.AsyncClient, known: Mapping[httpx.URL, _Document]) -> None:
        self.documents: dict[httpx.URL, _Document] = {}
        self._options, self._origin, self._place = fetcher.options, _origin(fetcher.url), fetcher.place
        self._client = client
        self._known = known
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def get(self, url: httpx.URL, sha256: str | None = None) -> bytes:
        """Return a document: the same ``bytes`` object as the last time if it has not changed.

        ``sha256``: what its content must hash to, in lower-case hex. Content that is known and does is not asked for.
        Raises :class:`OutsideError`: no answer in time, another status than 200, too large, another hash.
        """
        known = self._known.get(url)
        if sha256 is None:
            document = await self._ask(url, known)
        elif known is not None and _digest(known) == sha256:
            document = known
        else:
            document = await self._ask(url, None)
            if _digest(document) != sha256:
                expected = f"content with the SHA-256 {sha256}, got {_digest(document)}"
                raise self._failure(url, f"expected {expected}; publish the script before the list that names it")
        self.documents[url] = document
        return document.content

    async def _ask(self, url: httpx.URL, known: _Document | None) -> _Document:
        timeout = parse_duration(self._options.timeout)
        async with self._slots:
            try:
                async with asyncio.timeout(timeout):
                    return await self._follow(url, known)
            except TimeoutError:
                raise self._failure(url, f"expected a whole answer within {timeout:g} s, got none") from None
            except httpx.RequestError as error:
                said = f"{type(error).__name__} ({error})" if str(error) else type(error).__name__
                raise self._failure(url, f"expected an answer, got {said}") from None

    async def _follow(self, asked: httpx.URL, known: _Document | None) -> _Document:
        url = asked
        for _ in range(_REDIRECTS + 1):
            async with self._client.stream("GET", url, headers=self._headers(url, known)) as response:
                if not response.has_redirect_location:
                    return await self._document(response, known)
                try:
                    url = leads_to(url, response.headers["location"])
                except ValueError as error:
                    raise self._failure(asked, f"expected a document, got a redirect: {error}") from None
        raise self._failure(asked, f"expected a document after at most {_REDIRECTS} redirects, got one more")

    def _headers(self, url: httpx.URL, known: _Document | None) -> dict[str, str]:
        headers = dict(known.validators) if known is not None else {}
        if _origin(url) == self._origin:
            headers |= self._options.headers
            if self._options.token is not None:
                headers["authorization"] = f"Bearer {self._options.token}"
        return headers

    async def _document(self, response: httpx.Response, known: _Document | None) -> _Document:
        if response.status_code == 304 and known is not None:
            return known
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > self._options.max_size:
                limit = f"at most {self._options.max_size} bytes"
                raise self._failure(response.url, f"expected {limit}, got more; raise max_size if they are meant")
        if response.status_code != 200:
            excerpt = content[: 4 * _EXCERPT].decode(errors="replace")[:_EXCERPT]
            raise self._failure(response.url, f"expected a status of 200, got {response.status_code} {excerpt!r}")
        whole = bytes(content)
        same = known is not None and known.content == whole
        return _Document(known.content if known and same else whole, _validators(response.headers))

    def _failure(self, url: httpx.URL, reason: str) -> OutsideError:
        return OutsideError(f"{self._place}: GET {shown(url)}: {reason}", retryable=True)


def leads_to(url: httpx.URL, reference: str) -> httpx.URL:
    """Return the URL that a document at ``url`` refers to.

    Raises ``ValueError`` for what is no HTTP URL, and for plain HTTP in a document that came encrypted.
    """
    try:
        target = url.join(reference)
    except httpx.InvalidURL as error:
        raise ValueError(f"expected a URL, got one that is not valid: {error}") from None
    if target.scheme not in ("http", "https") or not target.host:
        raise ValueError(f"expected an http or https URL, got {shown(target)}")
    if url.scheme == "https" and target.scheme == "http":
        raise ValueError(f"expected an https URL, because what names it came by https, got {shown(target)}")
    return target


def shown(url: httpx.URL) -> str:
    """Return a URL for messages: without what may be a secret in it."""
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _digest(document: _Document) -> str:
    return hashlib.sha256(document.content).hexdigest()


def _validators(headers: httpx.Headers) -> dict[str, str]:
    if etag := headers.get("etag"):
        return {"if-none-match": etag}
    modified, now = _seconds(headers.get("last-modified")), _seconds(headers.get("date"))
    # Within the same second it may change again, and look as if it had not.
    if modified is not None and now is not None and modified < now:
        return {"if-modified-since": headers["last-modified"]}
    return {}


def _seconds(date: str | None) -> float | None:
    parts = parsedate_tz(date or "")
    return mktime_tz(parts) if parts is not None else None
