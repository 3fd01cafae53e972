"""The binding ``http``: one contract, in every language, against a real server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.http.http_servers import Reply, Site, Visit
from trimtab.errors import ChangeRefused, Fault
from trimtab.testing.scripts import ScriptRunner

LANGUAGES = ("py", "js")
JSON = ("content-type", "application/json")


def echo(visit: Visit) -> Reply:
    """Answer with what came."""
    seen = {
        "method": visit.method,
        "path": visit.path,
        "headers": visit.headers,
        "body": visit.body.decode("latin-1"),
    }
    return Reply(201, json.dumps(seen).encode(), (JSON,))


def source(language: str, statement: str) -> str:
    """A script that emits ``result``; ``url`` is the event. Statements are Python; ``|`` stands before JavaScript's."""
    python, _, javascript = statement.partition(" | ")
    if language == "py":
        return (
            f"from trimtab import emit, http\ndef handle(url, ctx):\n    result = {python}\n    emit('out', result)\n"
        )
    return (
        'import { emit, http } from "trimtab";\n'
        f"export function handle(url) {{\n  const result = {javascript or python};\n  emit('out', result);\n}}\n"
    )


@contextmanager
def runner(language: str, statement: str, **more: Any) -> Iterator[ScriptRunner]:
    with ScriptRunner(**{"confined": False, **more}) as made:
        made.load(**{f"check__{language}": source(language, statement)})
        yield made


def result(language: str, statement: str, url: str, **more: Any) -> Any:
    """What the script emits."""
    with runner(language, statement, **more) as made:
        handled = made.handle(url)
    assert handled.faults == []
    (value,) = handled.emitted
    return value


def fault(language: str, statement: str, url: str, **more: Any) -> Fault:
    """The error that ends the script."""
    with runner(language, statement, **more) as made:
        (found,) = made.handle(url).faults
    return found


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site(echo)
    with made.serving():
        yield made


# --- what is sent ---

SENT = {
    "get": ("http.get(url + '/a?b=1').json()", {"method": "GET", "path": "/a?b=1", "body": ""}),
    "params": (
        (
            "http.get(url + '/a?b=1', params={'q': ['x y', 2], 'on': True, 'no': None}).json()"
            " | http.get(url + '/a?b=1', {params: {q: ['x y', 2], on: true, no: null}}).json()"
        ),
        {"path": "/a?b=1&q=x+y&q=2&on=true"},
    ),
    "json": (
        "http.post(url, json={'a': [1, None, 'é']}).json() | http.post(url, {json: {a: [1, null, 'é']}}).json()",
        {"method": "POST", "body": '{"a":[1,null,"Ã©"]}', "content-type": "application/json"},
    ),
    "json null": (
        "http.post(url, json=None).json() | http.post(url, {json: null}).json()",
        {"body": "null", "content-type": "application/json"},
    ),
    "form": (
        "http.post(url, form={'a': 'x&y', 'b': [1, 2]}).json() | http.post(url, {form: {a: 'x&y', b: [1, 2]}}).json()",
        {"body": "a=x%26y&b=1&b=2", "content-type": "application/x-www-form-urlencoded"},
    ),
    "text": (
        "http.put(url, text='é').json() | http.put(url, {text: 'é'}).json()",
        {"method": "PUT", "body": "Ã©", "content-type": "text/plain; charset=utf-8"},
    ),
    "bytes": (
        "http.patch(url, bytes=b'\\0\\xff').json() | http.patch(url, {bytes: new Uint8Array([0, 255])}).json()",
        {"method": "PATCH", "body": "\0\xff", "content-type": "application/octet-stream"},
    ),
    "no body": ("http.post(url).json()", {"body": "", "content-length": "0"}),
    "delete": ("http.delete(url).json()", {"method": "DELETE"}),
    "request": ("http.request('report', url).json()", {"method": "REPORT"}),
    "headers": (
        (
            "http.post(url, text='<a/>', headers={'Content-Type': 'text/xml', 'X-N': 7}).json()"
            " | http.post(url, {text: '<a/>', headers: {'Content-Type': 'text/xml', 'X-N': 7}}).json()"
        ),
        {"content-type": "text/xml", "x-n": "7", "user-agent": "trimtab"},
    ),
    "auth": (
        "http.get(url, auth=['me', 's:é']).json() | http.get(url, {auth: ['me', 's:é']}).json()",
        {"authorization": "Basic bWU6czrDqQ=="},
    ),
    "bearer": (
        "http.get(url, bearer='t0k').json() | http.get(url, {bearer: 't0k'}).json()",
        {"authorization": "Bearer t0k"},
    ),
    "credentials in the URL": (
        "http.get(url.replace('//', '//me:s%3Aecret@')).json()",
        {"authorization": "Basic bWU6czplY3JldA=="},
    ),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("statement", "expected"), SENT.values(), ids=SENT)
def test_a_request_goes_out_as_it_was_written(
    language: str, statement: str, expected: dict[str, Any], site: Site
) -> None:
    seen = result(language, statement, site.url)
    found = {**seen["headers"], **seen}
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_named_resource_sends_below_its_base_url_with_its_headers_and_token(language: str, site: Site) -> None:
    sms = {"base_url": f"{site.url}/v1/", "headers": {"X-Site": "north"}, "token": "t0k"}
    seen = result(language, "http('sms').get('/send').json()", "", resources={"http.sms": sms}, confined=True)
    assert seen["path"] == "/v1/send"
    assert seen["headers"]["x-site"] == "north"
    assert seen["headers"]["authorization"] == "Bearer t0k"


def test_what_a_script_says_goes_before_what_the_resource_says(site: Site) -> None:
    sms = {"base_url": site.url, "headers": {"x-site": "north"}, "user": "me", "password": "secret"}
    statement = "http('sms').get('/', headers={'X-Site': 'south'}, bearer='t0k').json()"
    seen = result("py", statement, "", resources={"http.sms": sms})
    assert (seen["headers"]["x-site"], seen["headers"]["authorization"]) == ("south", "Bearer t0k")


def test_credentials_of_a_resource_go_to_its_own_server_only(site: Site) -> None:
    sms = {"base_url": "http://sms.test", "token": "t0k", "headers": {"x-api-key": "k"}}
    seen = result("py", "http('sms').get(url).json()", site.url, resources={"http.sms": sms})
    assert not {"authorization", "x-api-key"} & set(seen["headers"])


def test_calls_share_a_connection(site: Site) -> None:
    with runner("py", "[http.get(url).status, http.post(url, json=1).status]") as made:
        assert made.handle(site.url, site.url).emitted == [[201, 201]] * 2
    assert len({visit.client for visit in site.visits}) == 1


def test_nothing_is_remembered_between_calls() -> None:
    site = Site(lambda _visit: Reply(headers=(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))))
    with site.serving() as url:
        statement = "[http.get(url).headers['set-cookie'], http.get(url).status]"
        assert result("py", statement, url) == ["a=1, b=2", 200]
    assert "cookie" not in site.visits[1].headers


# --- what comes back ---


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("status", [204, 302, 404, 500])
def test_any_status_is_an_answer(language: str, status: int) -> None:
    with Site(lambda _visit: Reply(status)).serving() as url:
        answer = result(language, "[http.get(url).status, http.get(url).ok, http.get(url).text]", url)
    assert answer == [status, status == 204, ""]


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_answer_has_its_url_headers_text_and_bytes(language: str) -> None:
    reply = Reply(200, "né".encode("latin-1"), (("Content-Type", "text/plain; charset=ISO-8859-1"), ("X-Many", "1")))
    statement = "[r.url, r.headers['x-many'], r.text, len(r.bytes)] if (r := http.get(url)) else 0"
    statement += " | (r => [r.url, r.headers['x-many'], r.text, r.bytes.length])(http.get(url))"
    with Site(lambda _visit: reply).serving() as url:
        assert result(language, statement, f"{url}/a?b=1") == [f"{url}/a?b=1", "1", "né", 2]


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain", "é".encode(), "é"),
        ("text/plain", b"a\xff", "a�"),
        ("text/plain; charset=nonsense", b"a", "a"),
        ("text/plain; charset=base64", b"YQ==", "YQ=="),
        ('text/plain; charset="utf-16-le"', "é".encode("utf-16-le"), "é"),
    ],
)
def test_text_is_in_the_charset_that_is_said_else_utf8(kind: str, body: bytes, text: str) -> None:
    with Site(lambda _visit: Reply(200, body, (("content-type", kind),))).serving() as url:
        assert result("py", "http.get(url).text", url) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_json_of_an_empty_body_is_null(language: str, site: Site) -> None:
    assert result(language, "http.head(url).json()", site.url) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_body_that_is_not_json_is_an_error_that_shows_it(language: str) -> None:
    with Site(lambda _visit: Reply(502, b"<html>", (("content-type", "text/html"),))).serving() as url:
        found = fault(language, "http.get(url, retries=0).json() | http.get(url, {retries: 0}).json()", url)
    assert found.name == "HttpError"
    assert found.message.startswith("expected JSON (status 502), got text/html that is none: '<html>'")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_compressed_body_is_inflated(language: str) -> None:
    reply = Reply(200, gzip.compress(b'{"a":1}'), (("Content-Encoding", "gzip"), JSON))
    site = Site(lambda _visit: reply)
    with site.serving() as url:
        assert result(language, "http.get(url).json()", url) == {"a": 1}
    assert site.visits[0].headers["accept-encoding"] == "gzip"


# --- redirects ---


def maze(visit: Visit) -> Reply:
    """Redirect /STATUS to /end, and /loop to itself."""
    status = visit.path.removeprefix("/")
    if status.isdigit():
        return Reply(int(status), b"moved", (("Location", "end?x=1"),))
    return Reply(302, b"", (("Location", "/loop"),)) if status == "loop" else echo(visit)


@pytest.mark.parametrize("language", LANGUAGES)
def test_redirects_are_not_followed_unless_that_is_asked_for(language: str) -> None:
    with Site(maze).serving() as url:
        assert result(language, "http.get(url + '/302').headers['location']", url) == "end?x=1"
        statement = "http.get(url + '/302', redirects=1).json() | http.get(url + '/302', {redirects: 1}).json()"
        assert result(language, statement, url)["path"] == "/end?x=1"


@pytest.mark.parametrize(
    ("method", "status", "then", "body"),
    [
        ("POST", 301, "GET", ""),
        ("POST", 302, "GET", ""),
        ("POST", 303, "GET", ""),
        ("POST", 307, "POST", '{"a":1}'),
        ("POST", 308, "POST", '{"a":1}'),
        ("PUT", 302, "PUT", '{"a":1}'),
        ("PUT", 303, "GET", ""),
    ],
)
def test_a_redirect_keeps_method_and_body_as_its_status_says(method: str, status: int, then: str, body: str) -> None:
    with Site(maze).serving() as url:
        seen = result("py", f"http.request('{method}', url, json={{'a': 1}}, redirects=1).json()", f"{url}/{status}")
    assert (seen["method"], seen["body"], "content-type" in seen["headers"]) == (then, body, body != "")


def test_a_redirect_loop_ends_with_the_last_answer() -> None:
    site = Site(maze)
    with site.serving() as url:
        assert result("py", "http.get(url + '/loop', redirects=3).status", url) == 302
    assert len(site.visits) == 4


def test_credentials_do_not_follow_to_another_server(site: Site) -> None:
    with Site(lambda _visit: Reply(302, b"", (("Location", f"{site.url}/there"),))).serving() as url:
        statement = "http.get(url, bearer='t0k', headers={'Cookie': 'a=1', 'x-n': '1'}, redirects=1).json()"
        seen = result("py", statement, url)
    assert not {"authorization", "cookie"} & set(seen["headers"])
    assert seen["headers"]["x-n"] == "1"


# --- wrong use ---

WRONG = {
    "two bodies": ("http.post(url, json=1, text='x') | http.post(url, {json: 1, text: 'x'})", "got json and text"),
    "no text": ("http.post(url, text=1) | http.post(url, {text: 1})", "expected text, got int"),
    "no object": ("http.get(url, params='a=1') | http.get(url, {params: 'a=1'})", "expected params as an object"),
    "two authentications": (
        "http.get(url, auth=['a', 'b'], bearer='c') | http.get(url, {auth: ['a', 'b'], bearer: 'c'})",
        "got auth and bearer",
    ),
    "half a pair": ("http.get(url, auth=['s3cret']) | http.get(url, {auth: ['s3cret']})", "auth as [user, password]"),
    "a line end": (
        "http.get(url, headers={'x': 'a\\r\\nb: c'}) | http.get(url, {headers: {x: 'a\\r\\nb: c'}})",
        "without line ends, got 'x'",
    ),
    "another host": (
        "http.get(url, headers={'Host': 'admin'}) | http.get(url, {headers: {Host: 'admin'}})",
        "got 'Host'; leave it out",
    ),
    "a tunnel": ("http.request('CONNECT', url)", "expected a method such as GET"),
    "no time": ("http.get(url, timeout=0) | http.get(url, {timeout: 0})", "expected a timeout above 0"),
    "no unit": ("http.get(url, timeout='5') | http.get(url, {timeout: '5'})", 'a duration such as "200ms"'),
    "less than none": ("http.get(url, redirects=-1) | http.get(url, {redirects: -1})", "redirects as a number from 0"),
    "no URL": ("http.get(7)", "expected a URL as text, got int"),
    "a path without a base": ("http.get('/a')", "write http://..., or give the resource a base_url"),
    "a host without a scheme": ("http.get('//a/b')", 'expected "http://host/path" or "/path"'),
    "no host": ("http.get('http:///a')", "expected a URL with a host"),
    "a bad port": ("http.get('http://a:b/')", "expected a URL, got one that is not valid"),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("statement", "message"), WRONG.values(), ids=WRONG)
def test_wrong_use_is_an_error_of_the_script(language: str, statement: str, message: str, site: Site) -> None:
    found = fault(language, statement, site.url)
    assert found.name in {"TypeError", "ValueError", "RangeError"}
    assert message in found.message
    assert "s3cret" not in found.message
    assert site.visits == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_option_that_is_not_known_is_refused_with_those_that_are(language: str, site: Site) -> None:
    found = fault(language, "http.get(url, body=1) | http.get(url, {body: 1})", site.url)
    assert found.name == "TypeError"
    assert "expected options among params, headers, json" in found.message


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_resource_that_is_not_declared_is_refused(language: str) -> None:
    found = fault(language, "http('smx').get('/')", "", resources={"http.sms": {"base_url": "http://a"}})
    assert found.name == "PolicyError"
    assert "did you mean 'sms'?" in found.message


BAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "allow": ({"allow": ["a", "b:c"]}, "allow: expected"),
    "allow names the entry": ({"allow": ["a", "b/c"]}, "got 'b/c'"),
    "verify": ({"verify": "missing.pem"}, "missing.pem' ([Errno 2] No such file"),
    "no certificate": ({"verify": "empty.pem"}, "expected a file with certificates (PEM)"),
    "never verified": ({"verify": False}, "name the file of your CA"),
    "base_url": ({"base_url": "ftp://a"}, "expected base_url"),
    "a query": ({"base_url": "http://a/?b=1"}, "expected base_url"),
    "whose token": ({"token": "s3cret"}, "which server they are for"),
    "two credentials": ({"base_url": "http://a", "token": "s3cret", "user": "me"}, "one way of authentication"),
    "our header": ({"headers": {"Host": "s3cret"}}, "got 'Host'"),
    "timeout": ({"timeout": "soon"}, "expected a duration"),
}


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_options_that_cannot_be_meant_refuse_the_change(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    with pytest.raises(ChangeRefused) as refused:
        ScriptRunner(resources={"http.sms": options}, folder=tmp_path)
    assert message in str(refused.value)
    assert "s3cret" not in str(refused.value)


# --- seen from outside ---


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_rehearsed_call_is_shown_and_answered_with_an_empty_200(language: str, site: Site) -> None:
    calls: list[Any] = []
    statement = "[r.status, r.text, r.json()] if (r := http.post(url, json={'a': 1})) else 0"
    statement += " | (r => [r.status, r.text, r.json()])(http.post(url, {json: {a: 1}}))"
    assert result(language, statement, site.url, rehearsed=calls) == [200, "", None]
    assert [(call.resource, call.method, call.arguments) for call in calls] == [
        ("http.default", "post", (site.url, {"json": {"a": 1}}))
    ]
    assert site.visits == []


def test_calls_are_counted_by_resource(site: Site) -> None:
    with runner("py", "http.get(url).status", resources={"http.sms": {"base_url": site.url}}) as made:
        (count,) = made.handle(site.url, site.url).calls
    assert (count.script, count.resource, count.calls, count.failed) == ("check.py", "http.default", 2, 0)
