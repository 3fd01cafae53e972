"""A small client of the control API, for the command line: ``http.client``, because it is imported in no time."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from trimtab.control import endpoint
from trimtab.errors import ChangeRefused, Fault, StateError, TrimtabError, UsageError


class ControlClient:
    """Talks to one running host. Every call blocks, for at most ``timeout`` seconds without an answer."""

    def __init__(self, url: str, token: str, *, timeout: float = 60.0) -> None:
        self._address = urlsplit(url)
        self._token = token
        self._timeout = timeout

    def get(self, path: str, **query: Any) -> Any:
        """Return the document at ``path``. Raises what :meth:`post` raises."""
        given = {name: value for name, value in query.items() if value is not None}
        with self._request("GET", f"{path}?{urlencode(given)}" if given else path) as response:
            return msgspec.json.decode(response.read())

    def post(self, path: str, document: Mapping[str, Any]) -> Any:
        """Send a document and return the answer.

        Raises :class:`UsageError` for a request that the host does not understand, :class:`ChangeRefused` for a
        change that was refused, :class:`StateError` when the host cannot be reached.
        """
        with self._request("POST", path, msgspec.json.encode(document)) as response:
            return msgspec.json.decode(response.read())

    def stream(self, path: str, document: Mapping[str, Any]) -> Iterator[Any]:
        """Send a document and give one value for each line of the answer, as it comes."""
        with self._request("POST", path, msgspec.json.encode(document)) as response:
            for line in response:
                value = msgspec.json.decode(line)
                if "error" in value and "id" not in value:
                    raise TrimtabError(value["error"]["message"])
                yield value

    @contextlib.contextmanager
    def _request(self, method: str, path: str, body: bytes | None = None) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=self._timeout)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise _error(response.status, response.read())
            yield response
        except TimeoutError as error:
            raise StateError(
                f"the host at {self._address.geturl()} gave no answer within {self._timeout:g} s; "
                "the request may still be carried out: see trimtab history before you try again"
            ) from error
        except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
            url = self._address.geturl()
            raise StateError(
                f"the host at {url} gave no answer: {error or type(error).__name__}; is it stopping? try again"
            ) from error
        finally:
            connection.close()


def connect(state: Path) -> ControlClient | None:
    """Return a client of the host that runs on the state folder, or None when none runs."""
    address = endpoint.find(state)
    return None if address is None else ControlClient(address.url, endpoint.token(state))


def _error(status: int, body: bytes) -> TrimtabError:
    try:
        error = msgspec.json.decode(body)["error"]
        message, faults = str(error["message"]), msgspec.convert(error.get("faults", {}), dict[str, Fault])
    except (msgspec.MsgspecError, LookupError, TypeError, AttributeError):
        return StateError(f"expected an answer of a trimtab host, got status {status}; is something else listening?")
    if status == 409:
        return ChangeRefused(faults)
    return UsageError(message) if status in {400, 404} else StateError(message)
