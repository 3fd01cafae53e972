"""The OpenAPI document of the control API, made from the routes themselves: none can be missing from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from starlette.convertors import StringConvertor
from starlette.routing import BaseRoute, Mount, Route

from trimtab import __version__
from trimtab.control.answers import Error

CONTROL_TOKEN, SOURCE_TOKEN = "control", "source"
"""Names of the security schemes: the token of the control API, and the one that a source has in the configuration."""

_SCHEMAS = "#/components/schemas/{name}"
_WORDS = {
    400: "The request is not understood; nothing was done.",
    401: "The token is missing or wrong.",
    404: "There is no such thing.",
    409: "The change was refused; the running generation stays.",
    413: "The body is too large.",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """What one route takes and answers. ``path``, ``query`` and ``body`` are the structs that it decodes."""

    summary: str
    answer: Any
    """The type of a good answer; of text, where ``media`` is no JSON, ``str``."""
    path: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    media: str = "application/json"
    errors: tuple[int, ...] = ()
    """Statuses beside those that follow from the rest."""
    token: bool = True
    """The control token is asked for."""


class Described(Route):
    """A route that says in the OpenAPI document what it takes and answers."""

    def __init__(
        self, path: str, endpoint: Callable[..., Any], operation: Operation, methods: list[str] | None = None
    ) -> None:
        super().__init__(path, endpoint, methods=methods)
        self.operation = operation
        # The struct of the path decodes what the pattern lets through: int() fails on thousands of digits.
        self.param_convertors = dict.fromkeys(self.param_convertors, StringConvertor())


def document(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of an application's routes.

    A :class:`Described` route is described by its operation. Any other is a plugin's: its endpoint may have an
    attribute ``openapi``, OpenAPI operations by method in lower case; without one only its methods are known.
    """
    found = list(_walk(routes))
    types = list({type_ for _, route in found if isinstance(route, Described) for type_ in _types(route.operation)})
    schemas, components = msgspec.json.schema_components([Error, *types], ref_template=_SCHEMAS)
    by_type = dict(zip([Error, *types], schemas, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {"title": "trimtab", "version": __version__, "description": "The control API of a running host."},
        "paths": {path: _operations(route, by_type) for path, route in found},
        "components": {
            "schemas": components,
            "securitySchemes": {
                CONTROL_TOKEN: {"type": "http", "scheme": "bearer", "description": "control.token of the state folder"},
                SOURCE_TOKEN: {"type": "http", "scheme": "bearer", "description": "the source's own token"},
            },
        },
    }


def _walk(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, Route]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _walk(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            yield (prefix + route.path_format).removesuffix("/") or "/", route


def _types(operation: Operation) -> Iterator[Any]:
    yield operation.answer
    if operation.body is not None:
        yield operation.body


def _operations(route: Route, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    if not isinstance(route, Described):
        unknown = {"responses": {"default": {"description": "as the source has it"}}}
        undescribed = {method.lower(): unknown for method in sorted(route.methods or {"POST"})}
        return dict(getattr(route.endpoint, "openapi", undescribed))
    methods = sorted((route.methods or set()) - {"HEAD"})
    return {method.lower(): _operation(route.operation, schemas) for method in methods}


def _operation(operation: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": operation.summary, "responses": _responses(operation, schemas)}
    parameters = [*_parameters(operation.path, "path"), *_parameters(operation.query, "query")]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        content = {"application/json": {"schema": schemas[operation.body]}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.token:
        described["security"] = [{CONTROL_TOKEN: []}]
    return described


def _parameters(struct: type[msgspec.Struct] | None, place: str) -> Iterator[dict[str, Any]]:
    for field in msgspec.structs.fields(struct) if struct is not None else ():
        schema = msgspec.json.schema(_without_none(field.type))
        if not field.required and field.default not in (None, msgspec.UNSET):
            schema["default"] = field.default
        yield {"name": field.encode_name, "in": place, "required": field.required, "schema": schema}


def _without_none(annotation: Any) -> Any:
    """A query cannot say null: a parameter is left out."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    members = tuple(member for member in get_args(annotation) if member not in (NoneType, msgspec.UnsetType))
    return Union[members]  # noqa: UP007 - computed


def _responses(operation: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    good = {"description": "Done.", "content": {operation.media: {"schema": schemas[operation.answer]}}}
    content = {"application/json": {"schema": schemas[Error]}}
    errors = {str(status): {"description": _WORDS[status], "content": content} for status in _errors(operation)}
    return {"200": good, **errors, "default": {"description": "The request failed.", "content": content}}


def _errors(operation: Operation) -> list[int]:
    follow = {
        400: operation.query is not None or operation.body is not None,
        401: operation.token,
        404: operation.path is not None,
        413: operation.body is not None,
    }
    return sorted({*operation.errors, *(status for status, does in follow.items() if does)})
