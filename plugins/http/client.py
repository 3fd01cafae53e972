"""One request, one answer, over kept connections."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpcore
import httpx

from trimtab.api import CallError
from trimtab.plugins.http.inflating import gunzip
from trimtab.plugins.http.network import Network
from trimtab.plugins.http.policy import Policy
from trimtab.plugins.http.tls import Trust
from trimtab.plugins.http.urls import port_of, shown

_KEPT = 10
"""Idle connections that are kept; each is of one origin."""
_KEPT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server has answered, read to its end."""

    url: httpx.URL
    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. ``sent``: the server may have got the request."""

    error: CallError
    sent: bool


@dataclass(frozen=True, slots=True)
class Sending:
    """One request as it goes out."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    body: bytes | None
    ends: float
    """When the call's time is up, in monotonic seconds."""
    seconds: float
    """What the call may take."""


class Client:
    """Sends requests under one policy, one at a time. Not to be used again after a ``BaseException`` has broken off
    a call.
    """

    def __init__(self, policy: Policy, trust: Trust, limit: int) -> None:
        self._policy = policy
        self._trust = trust
        self._limit = limit
        self._network = Network(policy)
        self._pools: dict[str, httpcore.ConnectionPool] = {}

    def exchange(self, sending: Sending) -> Answer | Failure:
        """Send a request once. Raises :class:`CallError` for what another try would not change."""
        self._policy.check(sending.url)
        self._network.ended = False
        try:
            return self._exchange(sending)
        except httpcore.TimeoutException as error:
            reason = f"expected an answer within {sending.seconds:g} s, got none"
            return self._failure(sending, "TimeoutError", reason, sent=not isinstance(error, httpcore.ConnectTimeout))
        except httpcore.ConnectError as error:
            return self._failure(sending, "ConnectionError", f"expected a connection, got none: {error}", sent=False)
        except httpcore.NetworkError as error:
            return self._failure(sending, "ConnectionError", f"expected an answer, got none: {error}")
        except httpcore.ProtocolError as error:
            if self._network.ended:
                reason = "expected a whole answer, got the end of the connection"
                return self._failure(sending, "ConnectionError", reason)
            raise self._broken(sending, f"expected an answer in HTTP, got none: {error}") from None

    def check(self, url: httpx.URL, ends: float, seconds: float) -> None:
        """Connect to the host of a URL, send nothing, and disconnect. Raises :class:`CallError`."""
        sending = Sending("connect to", url, {}, None, ends, seconds)
        host = url.raw_host.decode("ascii")
        try:
            stream: httpcore.NetworkStream = self._network.connect_tcp(host, port_of(url), ends)
            if url.scheme == "https":
                stream = stream.start_tls(self._trust.context, host, ends)
            stream.close()
        except httpcore.TimeoutException:
            reason = f"expected a connection within {seconds:g} s, got none"
            raise self._failure(sending, "TimeoutError", reason).error from None
        except httpcore.ConnectError as error:
            reason = f"expected a connection, got none: {error}"
            raise self._failure(sending, "ConnectionError", reason).error from None

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()

    def _exchange(self, sending: Sending) -> Answer:
        with self._pool(sending.url.scheme).stream(
            sending.method,
            _core_url(sending.url),
            headers=[(b"host", sending.url.netloc), *_encoded(sending.headers)],
            content=sending.body,
            extensions={"timeout": dict.fromkeys(("connect", "read", "write"), sending.ends)},
        ) as response:
            body = self._read(sending, response)
        headers = _joined(response.headers)
        return Answer(sending.url, response.status, headers, self._decoded(sending, headers, body))

    def _read(self, sending: Sending, response: httpcore.Response) -> bytes:
        chunks, size = [], 0
        for chunk in response.iter_stream():
            size += len(chunk)
            if size > self._limit:
                raise self._too_large(sending)
            chunks.append(chunk)
        return b"".join(chunks)

    def _decoded(self, sending: Sending, headers: Mapping[str, str], body: bytes) -> bytes:
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding in {"identity", ""} or not body:
            return body
        if coding not in {"gzip", "x-gzip"}:
            raise self._broken(sending, f"expected a body in gzip or as it is, got one in {coding!r}")
        try:
            plain = gunzip(body, self._limit)
        except ValueError as error:
            raise self._broken(sending, f"expected a body in gzip, got {error}") from None
        if len(plain) > self._limit:
            raise self._too_large(sending)
        return plain

    def _too_large(self, sending: Sending) -> CallError:
        expected = f"expected a body of at most {self._limit} bytes, got more"
        return self._broken(
            sending, f"{expected}; ask for less, or raise max_response of [resources.{self._policy.resource}]"
        )

    def _failure(self, sending: Sending, name: str, reason: str, *, sent: bool = True) -> Failure:
        return Failure(CallError(name, f"{self._place(sending)}: {reason}", retryable=True), sent)

    def _broken(self, sending: Sending, reason: str) -> CallError:
        return CallError("HttpError", f"{self._place(sending)}: {reason}")

    def _place(self, sending: Sending) -> str:
        return f"{self._policy.resource}: {sending.method} {shown(sending.url)}"

    def _pool(self, scheme: str) -> httpcore.ConnectionPool:
        if scheme not in self._pools:
            context: ssl.SSLContext | None = self._trust.context if scheme == "https" else None
            self._pools[scheme] = httpcore.ConnectionPool(
                context, max_keepalive_connections=_KEPT, keepalive_expiry=_KEPT_SECONDS, network_backend=self._network
            )
        return self._pools[scheme]


def _core_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def _joined(items: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in items:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
