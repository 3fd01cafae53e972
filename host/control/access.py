"""Who may use the control API, how much they may send, and how it says no."""

from __future__ import annotations

import hmac

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

MAX_BODY = 1 << 20
"""Bytes of a request's body."""


class Access:
    """Middleware: lets only requests pass that carry the bearer token.

    A browser never sends such a token on its own, so pages of other origins cannot use the API.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 401."""
        scheme, _, token = Request(scope).headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token):
            await self._app(scope, receive, send)
            return
        message = (
            "expected the header 'Authorization: Bearer TOKEN', the token being in control.token of the state folder"
        )
        await error_response(401, message, {"WWW-Authenticate": 'Bearer realm="trimtab"'})(scope, receive, send)


async def read_body(request: Request) -> bytes:
    """Return the body. Raises ``HTTPException`` 413 when it is larger than :data:`MAX_BODY`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(
                413, f"expected a body of at most {MAX_BODY} bytes, got a larger one; send less at once"
            )
    return bytes(body)


def error_response(status: int, message: str, headers: dict[str, str] | None = None, faults: object = None) -> Response:
    """Return an error as every error looks: ``{"error": {"message": ..., "faults": ...}}``."""
    error = {"message": message} if faults is None else {"message": message, "faults": faults}
    return JSONResponse({"error": error}, status, headers)
