"""The control API: what a running host answers on its ``listen`` address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, Protocol, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Router
from starlette.types import Receive, Scope, Send

from trimtab.artifacts.store import ArtifactStore
from trimtab.control import answers, openapi, views
from trimtab.control.access import Access, error_response, read_body
from trimtab.control.openapi import Described, Operation
from trimtab.control.requests import (
    DiffQuery,
    HistoryQuery,
    LetterPath,
    LettersQuery,
    Purge,
    Replay,
    Rollback,
    RulesQuery,
    ShowQuery,
)
from trimtab.errors import ChangeRefused, TrimtabError, UsageError
from trimtab.runtime.dead_letters import DeadLetters, Filters

_PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""The admin page loads nothing, talks to its own host only, and is shown in no frame."""

_NDJSON = "application/x-ndjson"

Query = TypeVar("Query", bound=msgspec.Struct)


class ControlledHost(Protocol):
    """What the control API needs of a host. Every call comes from the host's event loop but those of the stores."""

    @property
    def store(self) -> ArtifactStore:
        """The versions."""

    @property
    def dead_letters(self) -> DeadLetters:
        """The dead letters."""

    @property
    def source_routes(self) -> Mapping[str, Sequence[BaseRoute]]:
        """By name of the source: routes that are served below ``/sources/NAME`` without the control token."""

    def status(self) -> dict[str, Any]:
        """Return the document of ``status --json``."""

    def rules(self, name: str | None, after: str, limit: int) -> list[dict[str, Any]]:
        """Return the documents of ``rules --json``: of one rule, or of some behind a name."""

    async def rollback(self, name: str, to: str | None) -> dict[str, Any]:
        """Roll one artifact back. Raises :class:`UsageError` or :class:`ChangeRefused`."""

    async def rollback_generation(self, number: int) -> dict[str, Any]:
        """Roll everything back to a generation. Raises :class:`UsageError` or :class:`ChangeRefused`."""

    def replay(self, ids: Sequence[int], version: str | None) -> AsyncIterator[dict[str, Any]]:
        """Replay dead letters; one ``{"id", "outcome": "handled"|"failed", "error"}`` each. Raises UsageError."""


def create_app(host: ControlledHost, token: str) -> Starlette:
    """Return the application. Only what is below ``/api`` asks for ``token``: health, sources, the page and the OpenAPI
    document are open.
    """
    return Starlette(
        routes=[
            Described("/", _admin_page, _ADMIN_PAGE),
            Described("/openapi.json", _openapi, _OPENAPI),
            Described("/healthz", _healthz, _HEALTHZ),
            Mount("/api", routes=_api_routes(_Api(host)), middleware=[Middleware(Access, token)]),
            Mount("/sources", app=_Sources(host.source_routes)),
        ],
        exception_handlers={
            HTTPException: _http_error,
            ChangeRefused: _change_refused,
            UsageError: _bad_request,
            TrimtabError: _failed,
            Exception: _failed,
        },
    )


_ADMIN_PAGE = Operation("The admin page.", answer=str, media="text/html", token=False)
_OPENAPI = Operation("This document.", answer=dict[str, Any], token=False)
_HEALTHZ = Operation("Whether the host serves.", answer=answers.Health, token=False)


def _api_routes(api: _Api) -> list[BaseRoute]:
    return [
        Described("/status", api.status, Operation("What runs, and how it does.", answer=answers.Status)),
        Described(
            "/history",
            api.history,
            Operation("Generations, newest first.", query=HistoryQuery, answer=answers.History),
        ),
        Described("/show", api.show, Operation("A version with its bytes.", query=ShowQuery, answer=answers.Shown)),
        Described("/diff", api.diff, Operation("A unified diff.", query=DiffQuery, answer=answers.Diff)),
        Described(
            "/rollback",
            api.rollback,
            Operation("Roll back a name or a generation.", body=Rollback, answer=answers.RolledBack, errors=(409,)),
            methods=["POST"],
        ),
        Described(
            "/rules",
            api.rules,
            Operation("How rules do, in the order of their names.", query=RulesQuery, answer=list[answers.RuleStatus]),
        ),
        Described(
            "/dead-letters",
            api.letters,
            Operation("A page of dead letters.", query=LettersQuery, answer=list[answers.Letter]),
        ),
        Described(
            "/dead-letters/replay",
            api.replay,
            Operation("Replay dead letters; a line each.", body=Replay, answer=str, media=_NDJSON),
            methods=["POST"],
        ),
        Described(
            "/dead-letters/purge",
            api.purge,
            Operation("Delete dead letters.", body=Purge, answer=answers.Purged),
            methods=["POST"],
        ),
        Described(
            "/dead-letters/{id:int}", api.letter, Operation("One dead letter.", path=LetterPath, answer=answers.Letter)
        ),
    ]


# --- endpoints ---


class _Api:
    """The endpoints below ``/api``. Those of dead letters that only read are plain functions: they run in a thread."""

    def __init__(self, host: ControlledHost) -> None:
        self._host = host

    async def status(self, _request: Request) -> Response:
        return JSONResponse(self._host.status())

    async def history(self, request: Request) -> Response:
        query = _query(request, HistoryQuery)
        return JSONResponse(views.history(self._host.store, query.name, query.limit))

    async def show(self, request: Request) -> Response:
        query = _query(request, ShowQuery)
        return JSONResponse(views.show(self._host.store, query.name, query.version))

    async def diff(self, request: Request) -> Response:
        query = _query(request, DiffQuery)
        return JSONResponse(views.diff(self._host.store, query.name, query.a, query.b))

    async def rollback(self, request: Request) -> Response:
        asked = await _body(request, Rollback)
        if asked.name is not None and asked.generation is None:
            return JSONResponse(await self._host.rollback(asked.name, asked.to))
        if asked.generation is not None and asked.name is None and asked.to is None:
            return JSONResponse(await self._host.rollback_generation(asked.generation))
        raise UsageError('expected {"name": ..., "to": ...} (to may be left out) or {"generation": ...}')

    async def rules(self, request: Request) -> Response:
        query = _query(request, RulesQuery)
        return JSONResponse(self._host.rules(query.name, query.after, query.limit))

    def letters(self, request: Request) -> Response:
        query = _query(request, LettersQuery)
        filters = Filters(script=query.script, source=query.source, kind=query.kind or None, since=query.since)
        found = self._host.dead_letters.list(filters, limit=query.limit, after=query.after)
        return JSONResponse([letter.document() for letter in found])

    def letter(self, request: Request) -> Response:
        letter = self._host.dead_letters.get(_path(request, LetterPath).id)
        if letter is None:
            raise HTTPException(404, f"there is no dead letter {request.path_params['id']}; it may have been replayed")
        return JSONResponse(letter.document())

    async def replay(self, request: Request) -> Response:
        asked = await _body(request, Replay)
        if (asked.ids is None) == (asked.filter is None):
            raise UsageError('expected either "ids" or "filter"')
        ids = asked.ids or []
        if asked.filter is not None:
            ids = list(await run_in_threadpool(self._host.dead_letters.ids, asked.filter))
        outcomes = self._host.replay(ids, asked.version)
        # What is wrong with the request shows before the first outcome, while the status can still say it.
        first = await anext(outcomes, None)
        return StreamingResponse(_lines(first, outcomes), media_type=_NDJSON)

    async def purge(self, request: Request) -> Response:
        asked = await _body(request, Purge)
        return JSONResponse({"purged": await run_in_threadpool(self._host.dead_letters.purge, asked.filter)})


async def _openapi(request: Request) -> Response:
    return JSONResponse(openapi.document(request.app.routes))


async def _healthz(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _admin_page(_request: Request) -> Response:
    page = (files("trimtab.control") / "admin.html").read_bytes()
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": _PAGE_POLICY})


class _Sources:
    """The routes of the sources, ``/sources/NAME`` being the same as ``/sources/NAME/``: a POST is never redirected."""

    def __init__(self, routes: Mapping[str, Sequence[BaseRoute]]) -> None:
        self._names = sorted(name for name, routes_of in routes.items() if routes_of)
        mounts = [Mount(f"/{name}", routes=list(routes[name])) for name in self._names]
        self._router = Router(mounts, redirect_slashes=False, default=self._unknown)
        self.routes = mounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.removeprefix("/sources/") in self._names:
            scope = {**scope, "path": path + "/"}
        await self._router(scope, receive, send)

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = ", ".join(self._names) or "none is configured"
        message = f"expected the name of a source that takes requests ({known}), got {scope['path']}"
        await error_response(404, message)(scope, receive, send)


# --- requests and answers ---


def _path(request: Request, kind: type[Query]) -> Query:
    try:
        return msgspec.convert(request.path_params, kind, strict=False)
    except msgspec.ValidationError as error:
        raise HTTPException(404, f"nothing is at {request.url.path}: {error}") from error


def _query(request: Request, kind: type[Query]) -> Query:
    given = request.query_params.multi_items()
    try:
        if len(given) != len(dict(given)):
            raise ValueError("expected each parameter once")
        return msgspec.convert(dict(given), kind, strict=False)
    except ValueError as error:  # msgspec's ValidationError is one
        raise UsageError(f"the query of {request.url.path} is not valid: {error}") from error


async def _body(request: Request, kind: type[Query]) -> Query:
    body = await read_body(request)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the body of {request.url.path} is not valid: {error}") from error


async def _lines(first: dict[str, Any] | None, outcomes: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    try:
        if first is not None:
            yield msgspec.json.encode(first) + b"\n"
        async for outcome in outcomes:
            yield msgspec.json.encode(outcome) + b"\n"
    except TrimtabError as error:
        yield msgspec.json.encode({"error": {"message": str(error)}}) + b"\n"


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    messages = {404: f"nothing is at {request.url.path}", 405: f"{request.method} is not for {request.url.path}"}
    is_default = error.detail in {"Not Found", "Method Not Allowed"}
    message = messages[error.status_code] if is_default else error.detail
    return error_response(error.status_code, message, dict(error.headers or {}))


async def _change_refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ChangeRefused)  # noqa: S101 - registered for it
    return error_response(409, str(error), faults=msgspec.to_builtins(error.faults))


async def _bad_request(_request: Request, error: Exception) -> Response:
    return error_response(400, str(error))


async def _failed(_request: Request, error: Exception) -> Response:
    message = str(error) if isinstance(error, TrimtabError) else "the host failed on this request; its log says why"
    return error_response(500, message)
