"""One ``[resources.http.NAME]`` in one process."""

from __future__ import annotations

import random
import time
from pathlib import Path

import httpx

from trimtab.api import CallError, Resource, check_positive_duration, parse_duration
from trimtab.plugins.http.allow import Entry
from trimtab.plugins.http.asking import Asked, basic, checked_headers
from trimtab.plugins.http.client import Answer, Client, Failure, Sending
from trimtab.plugins.http.options import HttpOptions
from trimtab.plugins.http.policy import Policy
from trimtab.plugins.http.response import Response
from trimtab.plugins.http.retries import Backoff, is_busy, is_idempotent, retry_after
from trimtab.plugins.http.tls import Trust
from trimtab.plugins.http.urls import below, host_of, origin, parse_url, port_of
from trimtab.plugins.pool import Pool

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ALWAYS = {"user-agent": "trimtab", "accept": "*/*", "accept-encoding": "gzip"}


class HttpResource(Resource):
    """Sends the requests of scripts: below a base URL, within a policy, again where that is safe and there is time."""

    def __init__(self, options: HttpOptions, name: str, folder: Path) -> None:
        self._name = name
        self._options = options
        try:
            self._base, self._own = _base(options)
            self._entries = _entries(options, self._base)
            self._trust = Trust(_certificates(options.verify, folder))
            check_positive_duration(options.timeout)
        except ValueError as error:
            raise CallError("ValueError", f"resources.{name}: {error}") from None
        self._seconds = parse_duration(options.timeout)
        self._backoff = Backoff(first=0.05, cap=1.0, longest_request=float("inf"))
        self._clients: Pool[bool, Client] = Pool(name, options.connections, self._make, Client.close)
        """Those of confined scripts and those of others: a connection that one may use is none of the other's."""

    def send(self, asked: Asked, *, confined: bool) -> Response:
        """Return the answer to a request, or to the last redirect that it may follow. Raises :class:`CallError`.

        ``confined``: for a script that may reach only what the configuration declares.
        """
        request = asked.at(below(self._base, asked.url, self._name))
        call = _Budget(
            request.timeout or self._seconds, self._options.retries if request.retries is None else request.retries
        )
        with self._clients.lent(confined, call.seconds) as client:
            answer = self._reach(client, request, call)
            for _ in range(request.redirects):
                location = answer.headers.get("location")
                if answer.status not in _REDIRECTS or location is None:
                    break
                request = request.redirected(answer.status, self._target(answer.url, location))
                answer = self._reach(client, request, call)
        return Response(answer.status, str(answer.url), answer.headers, answer.body)

    def check(self) -> None:
        """Connect to the host of the base URL, if there is one; send nothing."""
        if self._base is not None:
            with self._clients.lent(False, self._seconds) as client:
                client.check(self._base, time.monotonic() + self._seconds, self._seconds)

    def close(self) -> None:
        """See :class:`Resource`."""
        self._clients.close()

    def _make(self, confined: bool) -> Client:
        policy = Policy(self._name, tuple(self._options.allow), self._entries, confined)
        return Client(policy, self._trust, self._options.max_response)

    def _reach(self, client: Client, request: Asked, call: _Budget) -> Answer:
        """Send a request until there is an answer, or no more time or tries."""
        headers = self._headers(request.url) | request.headers
        sending = Sending(request.method, request.url, headers, request.body, call.ends, call.seconds)
        while True:
            outcome = client.exchange(sending)
            pause = self._pause(sending, outcome, call)
            if pause is None:
                break
            time.sleep(pause)
            call.tries += 1
        if isinstance(outcome, Failure):
            raise outcome.error
        return outcome

    def _pause(self, sending: Sending, outcome: Answer | Failure, call: _Budget) -> float | None:
        """Return how long to wait before the request is sent again, None for never."""
        asked = None
        idempotent = is_idempotent(sending.method, sending.headers)
        if isinstance(outcome, Failure):
            again = idempotent or not outcome.sent
        else:
            again = idempotent and is_busy(outcome.status)
            asked = retry_after(outcome.headers.get("retry-after"), time.time())
        if not again or call.tries > call.retries:
            return None
        pause = self._backoff.delay(call.tries, random.random(), asked)
        return pause if time.monotonic() + pause < call.ends else None

    def _headers(self, url: httpx.URL) -> dict[str, str]:
        """Return the headers that the configuration sends to a URL: its own only to its own server."""
        if self._base is None or origin(url) == origin(self._base):
            return _ALWAYS | self._own
        return _ALWAYS

    def _target(self, url: httpx.URL, location: str) -> httpx.URL:
        try:
            return below(None, url.join(parse_url(location)), self._name)
        except ValueError as error:
            raise CallError("HttpError", f"{self._name}: expected a redirect to a URL, got another ({error})") from None


class _Budget:
    """What one call may use up."""

    def __init__(self, seconds: float, retries: int) -> None:
        self.seconds = seconds
        self.ends = time.monotonic() + seconds
        self.retries = retries
        self.tries = 1


def _base(options: HttpOptions) -> tuple[httpx.URL | None, dict[str, str]]:
    """Return the base URL without its credentials, and the headers that go there."""
    own = checked_headers(options.headers)
    if options.base_url is None:
        if options.token or options.user or options.password:
            raise ValueError("expected a base_url, got credentials without one; say which server they are for")
        return None, own
    base = parse_url(options.base_url)
    if base.scheme not in {"http", "https"} or not base.host or base.query or base.fragment:
        raise ValueError('expected base_url as "http://host/path" or "https://host/path", got something else')
    user = base.username if options.user is None else options.user
    password = base.password if options.password is None else options.password
    if (user or password) and options.token:
        raise ValueError("expected one way of authentication, got a user and a token")
    if options.token:
        own["authorization"] = f"Bearer {options.token}"
    elif user or password:
        own["authorization"] = basic(user, password)
    return base.copy_with(userinfo=b""), own


def _entries(options: HttpOptions, base: httpx.URL | None) -> tuple[Entry, ...]:
    entries = []
    for text in options.allow:
        try:
            entries.append(Entry.parse(text))
        except ValueError as error:
            raise ValueError(f"allow: {error}") from None
    if base is not None:
        entries.append(Entry(host_of(base), frozenset({port_of(base)})))
    return tuple(entries)


def _certificates(verify: bool | str, folder: Path) -> Path | None:
    if verify is True:
        return None
    if verify is False:
        raise ValueError("verify: expected a file with certificates, or true, got false; name the file of your CA")
    return folder / verify
