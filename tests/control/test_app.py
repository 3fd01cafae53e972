"""The control API, through its ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.control.still_host import FAULT, StillHost
from trimtab.control.access import MAX_BODY
from trimtab.control.app import create_app
from trimtab.runtime.dead_letters import DeadLetter

TOKEN = "the token"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[StillHost]:
    still = StillHost(tmp_path)
    yield still
    still.close()


def call(host: StillHost, method: str, path: str, *, token: str | None = TOKEN, **arguments: Any) -> httpx.Response:
    """Send one request to the application."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(host, TOKEN), raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://host", headers=headers) as client:
            return await client.request(method, path, **arguments)

    return asyncio.run(send())


def message(response: httpx.Response) -> str:
    """The message of an error, which every error has."""
    return str(response.json()["error"]["message"])


@pytest.mark.parametrize("token", [None, "", "wrong", "the toke", "the token2", "t\u00f6ken"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/status"), ("POST", "/api/rollback"), ("GET", "/api/nowhere"), ("POST", "/api/dead-letters/purge")],
)
def test_without_the_token_nothing_below_api_answers(
    host: StillHost, token: str | None, method: str, path: str
) -> None:
    response = call(host, method, path, token=None, headers={"Authorization": f"Bearer {token}".encode()})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert "Authorization: Bearer TOKEN" in message(response)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_of_the_token_may_be_written_in_any_case(host: StillHost, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    assert call(host, "GET", "/api/status", token=None, headers=headers).status_code == 200


def test_health_is_open(host: StillHost) -> None:
    assert call(host, "GET", "/healthz", token=None).json() == {"status": "ok"}


def test_the_admin_page_is_one_file_that_loads_nothing_from_elsewhere(host: StillHost) -> None:
    response = call(host, "GET", "/", token=None)
    assert response.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "://" not in response.text
    assert "src=" not in response.text
    assert TOKEN not in response.text


def test_status_is_what_the_host_says(host: StillHost) -> None:
    assert call(host, "GET", "/api/status").json() == host.status()


def test_history_shows_generations_and_for_a_name_its_versions(host: StillHost) -> None:
    everything = call(host, "GET", "/api/history").json()
    assert [generation["number"] for generation in everything["generations"]] == [2, 1]
    one = call(host, "GET", "/api/history", params={"name": "a.js", "limit": 1}).json()
    assert [version["seq"] for version in one["versions"]] == [1, 2]
    assert [generation["number"] for generation in one["generations"]] == [2]


def test_show_gives_the_active_or_the_named_version(host: StillHost) -> None:
    assert call(host, "GET", "/api/show", params={"name": "a.js"}).json()["content"] == "two\n"
    assert call(host, "GET", "/api/show", params={"name": "a.js", "version": "1"}).json()["content"] == "one\n"


def test_bytes_that_are_no_text_are_shown_in_base64(host: StillHost) -> None:
    host.store.stage("a.js", b"\xff", "folder")
    shown = call(host, "GET", "/api/show", params={"name": "a.js", "version": "3"}).json()
    assert (shown["content"], shown["content_encoding"]) == ("/w==", "base64")


def test_diff_goes_from_the_version_before_to_the_active_one(host: StillHost) -> None:
    lines = call(host, "GET", "/api/diff", params={"name": "a.js"}).json()["lines"]
    assert lines[-2:] == ["-one", "+two"]
    assert call(host, "GET", "/api/diff", params={"name": "a.js", "a": "2", "b": "2"}).json()["lines"] == []
    back = call(host, "GET", "/api/diff", params={"name": "a.js", "a": "2", "b": "1"}).json()["lines"]
    assert back[-2:] == ["-two", "+one"]
    first = call(host, "GET", "/api/diff", params={"name": "a.js", "b": "1"}).json()
    assert first["a"] is None
    assert first["lines"][-1] == "+one"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/show", "name"),
        ("/api/show?name=b.js", "did you mean 'a.js'"),
        ("/api/show?name=a.js&version=zzzz", "expected the number of a version"),
        ("/api/show?name=a.js&colour=red", "colour"),
        ("/api/history?limit=0", "limit"),
        ("/api/history?limit=many", "limit"),
        ("/api/dead-letters?kind=strange", "kind"),
        ("/api/dead-letters?since=yesterday", "since"),
        ("/api/dead-letters?limit=1001", "limit"),
        (f"/api/dead-letters?after={'9' * 30}", "after"),
        ("/api/dead-letters?since=null", "since"),
        ("/api/dead-letters?kind=null", "kind"),
        ("/api/dead-letters?limit=1&limit=2", "each parameter once"),
    ],
)
def test_a_query_that_is_not_valid_is_answered_with_what_was_expected(
    host: StillHost, path: str, expected: str
) -> None:
    response = call(host, "GET", path)
    assert response.status_code == 400
    assert expected in message(response)


def test_a_rollback_is_handed_to_the_host(host: StillHost) -> None:
    one = call(host, "POST", "/api/rollback", json={"name": "a.js", "to": "1"})
    assert one.json() == {"generation": 3, "changes": {"a.js": "changed"}}
    assert call(host, "POST", "/api/rollback", json={"generation": 1}).json()["generation"] == 3


def test_a_refused_rollback_is_409_with_the_faults_by_name(host: StillHost) -> None:
    response = call(host, "POST", "/api/rollback", json={"name": "a.js", "to": "broken"})
    assert response.status_code == 409
    assert response.json()["error"]["faults"]["a.js"]["line"] == 2
    assert "a.js:2:1: SyntaxError" in message(response)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"{}",
        b"\xff",
        b'{"name": 1}',
        b'{"to": "1"}',
        b'{"name": "a.js", "generation": 1}',
        b'{"generation": 1, "to": "2"}',
        b'{"generation": 99}',
        b'{"generation": -1}',
        b'{"generation": 999999999999999999999999999999}',
        b'{"nam": "a.js"}',
    ],
)
def test_a_rollback_that_is_not_understood_is_400(host: StillHost, body: bytes) -> None:
    response = call(host, "POST", "/api/rollback", content=body)
    assert response.status_code == 400
    assert message(response)


@pytest.mark.parametrize("sized", [True, False])
def test_a_body_that_is_too_large_is_413(host: StillHost, sized: bool) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b" " * (MAX_BODY // 8)

    content = b" " * (MAX_BODY + 1) if sized else parts()
    assert call(host, "POST", "/api/rollback", content=content).status_code == 413


def letter(position: int, **fields: Any) -> DeadLetter:
    about: dict[str, Any] = {"event_id": f"e{position}", "position": position, "at": position, **fields}
    return DeadLetter(kind="handler", payload=b"{}", source="gps", fault=FAULT, **about)


def test_dead_letters_are_listed_in_pages_with_filters(host: StillHost) -> None:
    host.dead_letters.add_many([letter(n, script="b.py" if n % 2 else "a.js") for n in range(1, 7)])
    params = {"script": "a.js", "after": 2, "limit": 1}
    found = call(host, "GET", "/api/dead-letters", params=params).json()
    assert [each["id"] for each in found] == [4]
    assert found[0]["payload"] == "{}"


def test_one_dead_letter_is_shown_and_an_unknown_one_is_404(host: StillHost) -> None:
    host.dead_letters.add_many([letter(1)])
    assert call(host, "GET", "/api/dead-letters/1").json()["fault"]["name"] == "SyntaxError"
    response = call(host, "GET", "/api/dead-letters/2")
    assert response.status_code == 404
    assert "no dead letter 2" in message(response)
    assert call(host, "GET", f"/api/dead-letters/{'9' * 30}").status_code == 404


def test_a_replay_answers_one_line_for_each_letter(host: StillHost) -> None:
    response = call(host, "POST", "/api/dead-letters/replay", json={"ids": [3, 1]})
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert [line.startswith(f'{{"id":{n}') for line, n in zip(response.text.splitlines(), (3, 1), strict=True)]


def test_a_replay_of_a_filter_takes_the_letters_that_match(host: StillHost) -> None:
    host.dead_letters.add_many([letter(1, script="a.js"), letter(2, script="b.py")])
    response = call(host, "POST", "/api/dead-letters/replay", json={"filter": {"script": "b.py"}})
    assert response.text.count("\n") == 1
    assert '"id":2' in response.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": [1], "filter": {}},
        {"ids": ["x"]},
        {"ids": [1 << 63]},
        {"ids": [1], "version": "unknown"},
        {"filter": {"kind": "x"}},
    ],
)
def test_a_replay_that_cannot_begin_is_400(host: StillHost, body: dict[str, Any]) -> None:
    assert call(host, "POST", "/api/dead-letters/replay", json=body).status_code == 400


def test_a_replay_that_breaks_off_says_so_in_its_last_line(host: StillHost) -> None:
    lines = call(host, "POST", "/api/dead-letters/replay", json={"ids": [1, 13, 2]}).text.splitlines()
    assert len(lines) == 2
    assert "the lanes are gone" in lines[1]


def test_purge_deletes_what_matches_and_never_by_an_empty_body(host: StillHost) -> None:
    host.dead_letters.add_many([letter(1, script="a.js"), letter(2, script="b.py")])
    for too_wide in ({}, {"filter": {"skript": "a.js"}}):
        assert call(host, "POST", "/api/dead-letters/purge", json=too_wide).status_code == 400
    assert call(host, "POST", "/api/dead-letters/purge", json={"filter": {"script": "a.js"}}).json() == {"purged": 1}
    assert call(host, "POST", "/api/dead-letters/purge", json={"filter": {}}).json() == {"purged": 1}


@pytest.mark.parametrize("path", ["/sources/gps", "/sources/gps/"])
def test_a_source_takes_requests_without_the_control_token(host: StillHost, path: str) -> None:
    response = call(host, "POST", path, token=None, content=b"12345")
    assert (response.status_code, response.json()) == (202, {"took": 5})


def test_a_source_may_take_more_than_the_control_api_does(host: StillHost) -> None:
    assert call(host, "POST", "/sources/gps", token=None, content=b" " * (MAX_BODY * 2)).status_code == 202


@pytest.mark.parametrize("path", ["/sources/tail", "/sources/nobody", "/sources/", "/sources/gps/deeper"])
def test_an_unknown_source_is_404(host: StillHost, path: str) -> None:
    response = call(host, "POST", path)
    assert response.status_code == 404
    assert message(response)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/api/nowhere", 404),
        ("GET", "/api/dead-letters/abc", 404),
        ("GET", "/api/rollback", 405),
        ("POST", "/api/status", 405),
        ("GET", "/sources/gps", 405),
        ("DELETE", "/healthz", 405),
    ],
)
def test_a_wrong_path_or_method_is_answered_in_json(host: StillHost, method: str, path: str, status: int) -> None:
    response = call(host, method, path)
    assert response.status_code == status
    assert message(response)
    assert ("Allow" in response.headers) == (status == 405)


def test_an_unforeseen_failure_tells_nothing_of_the_inside(host: StillHost) -> None:
    host.dead_letters.close()
    response = call(host, "GET", "/api/dead-letters")
    assert response.status_code == 500
    assert "Traceback" not in response.text
    assert message(response)
