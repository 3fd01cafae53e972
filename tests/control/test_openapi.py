"""The OpenAPI document that the control API serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from tests.control.still_host import StillHost
from tests.control.test_app import call
from trimtab.control.app import create_app
from trimtab.control.openapi import Described, document
from trimtab.runtime.dead_letters import Kind


@pytest.fixture
def host(tmp_path: Path) -> Iterator[StillHost]:
    still = StillHost(tmp_path)
    yield still
    still.close()


@pytest.fixture
def served(host: StillHost) -> dict[str, Any]:
    """The document, got without a token."""
    response = call(host, "GET", "/openapi.json", token=None)
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def routes(found: Sequence[BaseRoute], prefix: str = "") -> Iterator[tuple[str, Route]]:
    for route in found:
        if isinstance(route, Mount):
            yield from routes(list(route.routes), prefix + route.path)
        elif isinstance(route, Route):
            yield prefix + route.path, route


def operations(served: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in served["paths"].items():
        yield from ((f"{method.upper()} {path}", operation) for method, operation in methods.items())


def references(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(tree.get("$ref"), str):
            yield tree["$ref"]
        for value in tree.values():
            yield from references(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from references(value)


def test_every_route_of_the_application_is_in_the_document_and_no_other(
    host: StillHost, served: dict[str, Any]
) -> None:
    found = {
        f"{method} {path.replace(':int', '').removesuffix('/') or '/'}"
        for path, route in routes(create_app(host, "token").routes)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert found >= {"GET /api/status", "POST /sources/gps"}
    assert {name for name, _ in operations(served)} == found


def test_every_route_of_our_own_says_what_it_takes_and_answers(host: StillHost) -> None:
    plain = [path for path, route in routes(create_app(host, "token").routes) if not isinstance(route, Described)]
    assert plain == ["/sources/gps/"]


def test_exactly_what_is_below_api_asks_for_the_control_token(served: dict[str, Any]) -> None:
    for name, operation in operations(served):
        assert ({"control": []} in operation.get("security", [])) == ("/api/" in name), name
        assert ("401" in operation["responses"]) == ("/api/" in name), name


def test_every_reference_leads_to_a_schema(served: dict[str, Any]) -> None:
    found = set(references(served))
    assert "#/components/schemas/Status" in found
    assert {name.removeprefix("#/components/schemas/") for name in found} <= served["components"]["schemas"].keys()


def test_a_parameter_is_named_bounded_and_defaulted_as_the_host_reads_it(served: dict[str, Any]) -> None:
    by_name = {each["name"]: each for each in served["paths"]["/api/dead-letters"]["get"]["parameters"]}
    assert set(by_name) == {"script", "source", "kind", "since", "limit", "after"}
    assert by_name["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
    assert sorted(by_name["kind"]["schema"]["enum"]) == sorted(get_args(Kind))
    letter = served["paths"]["/api/dead-letters/{id}"]["get"]
    assert [(each["name"], each["in"], each["required"]) for each in letter["parameters"]] == [("id", "path", True)]
    show = served["paths"]["/api/show"]["get"]["parameters"]
    assert [each["name"] for each in show if each["required"]] == ["name"]


class Speaking:
    """An endpoint of a plugin that describes itself."""

    openapi: ClassVar = {"put": {"summary": "Take it.", "responses": {"204": {"description": "Taken."}}}}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await Response(status_code=204)(scope, receive, send)


def test_an_endpoint_of_a_plugin_may_describe_itself() -> None:
    app = Starlette(routes=[Mount("/sources/a", routes=[Route("/", Speaking())])])
    assert document(app.routes)["paths"] == {"/sources/a": Speaking.openapi}


def test_an_endpoint_that_does_not_is_there_with_its_methods() -> None:
    def silent(_request: Request) -> Response:
        return Response()

    paths = document([Route("/a/{which}", silent, methods=["DELETE"])])["paths"]
    assert list(paths["/a/{which}"]) == ["delete"]


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 30, "-1", "1.5", "0x1", "\u0661", "%00", "1%0a"])
def test_a_number_that_no_letter_can_have_is_404(host: StillHost, number: str) -> None:
    response = call(host, "GET", f"/api/dead-letters/{number}")
    assert response.status_code == 404
    assert msgspec.json.decode(response.content)["error"]["message"]
