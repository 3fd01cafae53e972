"""When a request is tried again. Pure: time and chance come in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

_STATUSES = frozenset({408, 425, 429})
_BUSY = frozenset({429, 502, 503, 504})
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter. All times in seconds."""

    first: float = 0.1
    """The most to wait before the second try; it doubles with each."""
    cap: float = 10.0
    """The most to wait before any try."""
    longest_request: float = 30.0
    """The most to wait because the server asks for it by ``Retry-After``."""

    def delay(self, tries: int, chance: float, asked: float | None) -> float:
        """Return how long to wait after so many failed tries (from 1).

        ``chance`` is a random number from 0 to 1, ``asked`` what the server asks for, None without a wish.
        """
        jittered = chance * min(self.cap, self.first * 2.0 ** min(tries - 1, 64))
        return max(jittered, min(asked or 0.0, self.longest_request))


def is_retryable(status: int) -> bool:
    """Whether a request that was answered with this status may succeed when it is sent again."""
    return status in _STATUSES or status >= 500


def is_idempotent(method: str, headers: Collection[str]) -> bool:
    """Whether a request may be sent twice without doing more than once: by its method, or because it has a key.

    ``headers``: their names, in lower case.
    """
    return method in _IDEMPOTENT or "idempotency-key" in headers


def is_busy(status: int) -> bool:
    """Whether the server, or one behind it, could not handle the request now: narrower than :func:`is_retryable`.

    A 500 is for the script to judge.
    """
    return status in _BUSY


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for: a number of seconds, or a date.

    ``now``: seconds since the epoch. None for no header, or one that says neither.
    """
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
