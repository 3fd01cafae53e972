"""``http``, as Python scripts see it.

Types are those of plain handlers. In ``async def handle``, every request is to be awaited: ``await`` gives what is
declared here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any, Protocol, TypedDict, Unpack

Plain = str | int | float | bool | Decimal | date | time | None
"""What a parameter, a form field or a header may be; None leaves it out."""


class Options(TypedDict, total=False):
    """What may be given by name with a request. At most one body: json, form, text or bytes."""

    params: Mapping[str, Plain | Sequence[Plain]]
    """Put behind the query of the URL; a list repeats the name."""
    headers: Mapping[str, Plain]
    json: Any
    """A body as JSON."""
    form: Mapping[str, Plain | Sequence[Plain]]
    """A body as an HTML form sends it, URL-encoded."""
    text: str
    """A body as text, in UTF-8."""
    bytes: bytes
    """A body as it is."""
    auth: Sequence[str]
    """``[user, password]`` for basic authentication."""
    bearer: str
    """A bearer token."""
    timeout: str | float
    """What the call may take with its retries and redirects: ``"500ms"``, or seconds. Default: the resource's."""
    redirects: int
    """How many redirects to follow. Default 0: the redirect is the answer."""
    retries: int
    """How often to send the request again where that is safe. Default: the resource's."""


class Response(Protocol):
    """An answer, of any status, read to its end."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def ok(self) -> bool:
        """Whether the status is from 200 to 299."""

    @property
    def url(self) -> str:
        """Where it came from in the end."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name; the values of a name that came twice are joined by ", "."""

    @property
    def text(self) -> str:
        """The body as text, in the charset that it says, else UTF-8."""

    @property
    def bytes(self) -> bytes:
        """The body, inflated."""

    def json(self) -> Any:
        """Return the JSON value of the body, None for an empty one. Raises ``HttpError`` where it is none."""


class Requests(Protocol):
    """Sends requests. Each waits for the answer.

    Errors have a ``name``: ``ConnectionError`` and ``TimeoutError`` (both retryable), ``PolicyError`` (the
    configuration does not allow it; its message shows the line that would), ``HttpError`` (an answer that is none, or
    too large).
    """

    def get(self, url: str, /, **options: Unpack[Options]) -> Response:
        """Send a GET request to a URL, or to a path below the resource's ``base_url``."""

    def head(self, url: str, /, **options: Unpack[Options]) -> Response:
        """Send a HEAD request."""

    def post(self, url: str, /, **options: Unpack[Options]) -> Response:
        """Send a POST request."""

    def put(self, url: str, /, **options: Unpack[Options]) -> Response:
        """Send a PUT request."""

    def patch(self, url: str, /, **options: Unpack[Options]) -> Response:
        """Send a PATCH request."""

    def delete(self, url: str, /, **options: Unpack[Options]) -> Response:
        """Send a DELETE request."""

    def request(self, method: str, url: str, /, **options: Unpack[Options]) -> Response:
        """Send a request of any method."""


class Http(Requests, Protocol):
    """Requests to any URL that may be reached (resource ``http.default``), and those of declared resources."""

    def __call__(self, name: str) -> Requests:
        """Return the requests of ``[resources.http.NAME]``."""
