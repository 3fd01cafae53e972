"""What a script asks for: its arguments, checked before anything else happens. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, time
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from trimtab.api import parse_duration
from trimtab.plugins.http.options import CALL_OPTIONS
from trimtab.plugins.http.urls import origin, parse_url, with_params

_BODIES = ("json", "form", "text", "bytes")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[ -~\t]*")
_OURS = frozenset({"connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"})
"""Headers that say where a request goes and how it is cut: a script could slip past the policy with them."""
_CREDENTIALS = ("authorization", "cookie")
_MAKES_GET = frozenset({301, 302, 303})


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a script. ``timeout`` (seconds) and ``retries``: None for those of the resource."""

    method: str
    url: httpx.URL
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes | None = None
    timeout: float | None = None
    redirects: int = 0
    retries: int | None = None

    def at(self, url: httpx.URL) -> Asked:
        """Return the same request for a URL; a user and password in it become a header, unless there is one."""
        if not url.userinfo:
            return replace(self, url=url)
        headers = {"authorization": basic(url.username, url.password), **self.headers}
        return replace(self, url=url.copy_with(userinfo=b""), headers=headers)

    def redirected(self, status: int, url: httpx.URL) -> Asked:
        """Return the request that a redirect asks for: with credentials only where it stays with the same origin."""
        headers = dict(self.headers)
        if origin(url) != origin(self.url):
            for name in _CREDENTIALS:
                headers.pop(name, None)
        target = replace(self, url=url.copy_with(userinfo=b""), headers=headers)
        if status not in _MAKES_GET or self.method in {"GET", "HEAD"} or (status != 303 and self.method != "POST"):
            return target
        kept = {name: value for name, value in headers.items() if not name.startswith("content-")}
        return replace(target, method="GET", headers=kept, body=None)


def asked(method: str, url: str, options: Mapping[str, Any]) -> Asked:
    """Check what a script asks for. Raises ``TypeError`` and ``ValueError``."""
    given = {name: value for name, value in options.items() if value is not None or name == "json"}
    unknown = sorted(given.keys() - set(CALL_OPTIONS))
    if unknown:
        raise TypeError(f"expected options among {', '.join(CALL_OPTIONS)}, got {', '.join(unknown)}")
    if not isinstance(url, str):
        raise TypeError(f"expected a URL as text, got {type(url).__name__}")
    kind, body = _body(given)
    headers = (
        ({"content-type": kind} if kind else {}) | _authorization(given) | checked_headers(given.get("headers", {}))
    )
    verb = _method(method)
    return Asked(
        verb,
        with_params(parse_url(url), _pairs("params", given.get("params", {}))),
        headers,
        b"" if body is None and verb in {"POST", "PUT", "PATCH"} else body,
        _timeout(given["timeout"]) if "timeout" in given else None,
        _count("redirects", given.get("redirects", 0)),
        _count("retries", given["retries"]) if "retries" in given else None,
    )


def basic(user: str, password: str) -> str:
    """Return the value of ``Authorization`` for a user and password."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def checked_headers(headers: Any) -> dict[str, str]:
    """Return headers by lower-case name. Raises ``TypeError`` and ``ValueError``, also for the host's own."""
    if not isinstance(headers, Mapping):
        raise TypeError(f"expected headers as an object of names and values, got {type(headers).__name__}")
    checked = {}
    for name, value in headers.items():
        if value is None:
            continue
        text = _text("headers", value)
        if not isinstance(name, str) or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(text):
            raise ValueError(f"expected headers in ASCII without line ends, got {name!r}; encode its value")
        if name.lower() in _OURS:
            raise ValueError(f"expected headers other than {', '.join(sorted(_OURS))}, got {name!r}; leave it out")
        checked[name.lower()] = text.strip()
    return checked


def _method(method: Any) -> str:
    if not isinstance(method, str) or not _TOKEN.fullmatch(method) or method.upper() == "CONNECT":
        raise ValueError(f"expected a method such as GET, got {method!r}")
    return method.upper()


def _body(given: Mapping[str, Any]) -> tuple[str | None, bytes | None]:
    """Return the media type and the bytes of the body."""
    kinds = [kind for kind in _BODIES if kind in given]
    if len(kinds) > 1:
        raise TypeError(f"expected one body at most, got {' and '.join(kinds)}")
    if not kinds:
        return None, None
    value = given[kinds[0]]
    if kinds[0] == "json":
        return "application/json", _json(value)
    if kinds[0] == "form":
        return "application/x-www-form-urlencoded", urlencode(_pairs("form", value)).encode()
    if kinds[0] == "text" and isinstance(value, str):
        return "text/plain; charset=utf-8", value.encode()
    if kinds[0] == "bytes" and isinstance(value, bytes | bytearray | memoryview):
        return "application/octet-stream", bytes(value)
    raise TypeError(f"expected {kinds[0]}, got {type(value).__name__}; there are {', '.join(_BODIES)}")


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, UnicodeEncodeError, RecursionError) as error:
        raise TypeError(f"expected a value that JSON can hold, got one it cannot: {error}") from None


def _authorization(given: Mapping[str, Any]) -> dict[str, str]:
    if "auth" in given and "bearer" in given:
        raise TypeError("expected one way of authentication, got auth and bearer")
    if "auth" in given:
        pair = given["auth"]
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise TypeError("expected auth as [user, password], got something else")  # which may be a secret
        return {"authorization": basic(*pair)}
    if "bearer" in given:
        if not isinstance(given["bearer"], str) or not re.fullmatch(r"[!-~]+", given["bearer"]):
            raise ValueError("expected bearer as visible ASCII characters, got something else")
        return {"authorization": f"Bearer {given['bearer']}"}
    return {}


def _pairs(what: str, values: Any) -> list[tuple[str, str]]:
    if not isinstance(values, Mapping):
        raise TypeError(f"expected {what} as an object of names and values, got {type(values).__name__}")
    return [
        (str(name), _text(what, each)) for name, value in values.items() for each in _each(value) if each is not None
    ]


def _each(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _text(what: str, value: Any) -> str:
    """Return a value as text, the same from every language."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, date | time):  # and datetime
        return value.isoformat()
    raise TypeError(f"expected values of {what} as text, numbers or dates, got {type(value).__name__}")


def _timeout(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds == 0:
        raise ValueError("expected a timeout above 0 seconds, got 0")
    return seconds


def _count(what: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"expected {what} as a number from 0, got {value!r}")
    return value
