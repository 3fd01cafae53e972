"""The binding ``http`` when servers fail: what is sent again, what a script catches, what the next call finds."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest

from tests.http.http_servers import Reply, Site, Visit, raw_site
from tests.servers.programs import Server, free_port, program, until
from trimtab.api import CallError
from trimtab.plugins.http.asking import asked
from trimtab.plugins.http.options import HttpOptions
from trimtab.plugins.http.resource import HttpResource
from trimtab.plugins.http.response import Response
from trimtab.testing.scripts import ScriptRunner

KEY = {"headers": {"Idempotency-Key": "k"}}


@contextmanager
def resource(**options: Any) -> Iterator[HttpResource]:
    made = HttpResource(HttpOptions(**{"timeout": "30s", **options}), "http.sms", Path())
    try:
        yield made
    finally:
        made.close()


def send(made: HttpResource, url: str, method: str = "GET", **options: Any) -> Response:
    return made.send(asked(method, url, options), confined=False)


def failing(url: str, method: str = "GET", options: dict[str, Any] | None = None, **more: Any) -> CallError:
    """The error of a call, which must be plain: nothing of a driver's hangs on it."""
    with resource(**(options or {})) as made, pytest.raises(CallError) as caught:
        send(made, url, method, **more)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def in_turn(*statuses: int, headers: tuple[tuple[str, str], ...] = ()) -> Site:
    """A server that answers with each status, and then with 200."""
    left = iter(statuses)

    def answer(_visit: Visit) -> Reply:
        status = next(left, 200)
        return Reply(status, b"", headers if status != 200 else ())

    return Site(answer)


# --- what is sent again ---


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize(
    ("method", "options"),
    [("GET", {}), ("HEAD", {}), ("PUT", {"json": 1}), ("DELETE", {}), ("OPTIONS", {}), ("POST", KEY), ("PATCH", KEY)],
)
def test_what_may_be_sent_twice_is_sent_again_to_a_busy_server(
    status: int, method: str, options: dict[str, Any]
) -> None:
    site = in_turn(status, status)
    with site.serving() as url, resource() as made:
        assert send(made, url, method, **options).status == 200
    assert len(site.visits) == 3
    assert len({visit.body for visit in site.visits}) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_may_not_be_sent_twice_is_sent_once(method: str) -> None:
    site = in_turn(503)
    with site.serving() as url, resource() as made:
        assert send(made, url, method, json=1).status == 503
    assert len(site.visits) == 1


@pytest.mark.parametrize("status", [400, 404, 408, 500, 501])
def test_other_answers_are_for_the_script_to_judge(status: int) -> None:
    site = in_turn(status)
    with site.serving() as url, resource() as made:
        assert send(made, url).status == status
    assert len(site.visits) == 1


def test_the_last_answer_comes_back_when_all_tries_are_used_up() -> None:
    site = in_turn(*[503] * 9)
    with site.serving() as url, resource(retries=1) as made:
        assert send(made, url).status == 503
        assert len(site.visits) == 2
        assert send(made, url, retries=3).status == 503
        assert len(site.visits) == 6


def test_a_wait_that_the_server_asks_for_is_kept() -> None:
    site = in_turn(503, headers=(("Retry-After", "1"),))
    began = time.monotonic()
    with site.serving() as url, resource() as made:
        assert send(made, url).status == 200
    assert time.monotonic() - began >= 1


def test_a_wait_that_the_call_has_no_time_for_is_not_begun() -> None:
    site = in_turn(503, headers=(("Retry-After", "3600"),))
    with site.serving() as url, resource() as made:
        assert send(made, url).status == 503
    assert len(site.visits) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_is_not_there_is_tried_again_for_every_method(method: str) -> None:
    site = Site(port=free_port())
    with ExitStack() as stack:
        made = stack.enter_context(resource(retries=1000))
        later = Timer(0.1, lambda: stack.enter_context(site.serving()))
        later.start()
        assert send(made, site.url, method).status == 200
        later.join()
    assert len(site.visits) == 1


def test_a_server_that_is_not_there_is_a_connection_error() -> None:
    error = failing(f"http://127.0.0.1:{free_port()}/a?token=s3cret")
    assert (error.name, error.retryable) == ("ConnectionError", True)
    assert str(error).startswith("http.sms: GET http://127.0.0.1:")
    assert "s3cret" not in str(error)


def test_a_name_that_does_not_exist_is_a_connection_error() -> None:
    error = failing("http://nowhere.invalid/", retries=0)
    assert (error.name, error.retryable) == ("ConnectionError", True)
    assert "cannot be resolved" in str(error)


# --- servers that misbehave ---


def request_of(connection: socket.socket) -> bytes:
    """Read one request without a body."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        got = connection.recv(4096)
        if not got:
            raise ConnectionResetError
        seen += got
    return seen


def reset(connection: socket.socket) -> None:
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def cut(connection: socket.socket) -> None:
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


def hang_up(connection: socket.socket) -> None:
    request_of(connection)


def say_nothing(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def read_nothing(_connection: socket.socket) -> None:
    time.sleep(0.5)


def hang_up_late(connection: socket.socket) -> None:
    request_of(connection)
    time.sleep(0.05)


def drip(connection: socket.socket) -> None:
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b".")
        time.sleep(0.02)


def drip_headers(connection: socket.socket) -> None:
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        connection.sendall(b".")
        time.sleep(0.02)


def flood(connection: socket.socket) -> None:
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"2710\r\n%b\r\n" % bytes(10_000))


def babble(connection: socket.socket) -> None:
    request_of(connection)
    connection.sendall(b"SSH-2.0-hello\r\n\r\n")
    say_nothing(connection)


def counting(talk: Callable[[socket.socket], None], count: list[int]) -> Callable[[socket.socket], None]:
    def counted(connection: socket.socket) -> None:
        count.append(1)
        talk(connection)

    return counted


@pytest.mark.parametrize("talk", [reset, cut, hang_up])
def test_a_connection_that_breaks_is_a_connection_error_and_sent_again_where_that_is_safe(talk: Any) -> None:
    count: list[int] = []
    with raw_site(counting(talk, count)) as url:
        error = failing(url)
        assert (error.name, error.retryable, len(count)) == ("ConnectionError", True, 3)
        assert failing(url, "POST").name == "ConnectionError"
        assert len(count) == 4


@pytest.mark.parametrize("talk", [say_nothing, drip, drip_headers])
def test_a_call_ends_in_time_however_slowly_the_answer_comes(talk: Any) -> None:
    with raw_site(talk) as url:
        error = failing(url, options={"timeout": "200ms"})
    assert (error.name, error.retryable) == ("TimeoutError", True)
    assert str(error).endswith("expected an answer within 0.2 s, got none")


def test_a_server_that_does_not_read_ends_the_call_in_time() -> None:
    with raw_site(read_nothing) as url:
        error = failing(url, "POST", {"timeout": "200ms"}, bytes=bytes(50_000_000))
    assert error.name == "TimeoutError"


def test_a_call_of_several_tries_ends_in_time() -> None:
    with raw_site(hang_up_late) as url:
        began = time.monotonic()
        error = failing(url, options={"timeout": "500ms", "retries": 1000})
    assert error.name in {"ConnectionError", "TimeoutError"}
    assert time.monotonic() - began < 20  # a thousand tries would take longer by far


def test_what_is_not_http_is_an_http_error_and_not_sent_again() -> None:
    count: list[int] = []
    with raw_site(counting(babble, count)) as url:
        error = failing(url)
    assert (error.name, error.retryable, len(count)) == ("HttpError", False, 1)


@pytest.mark.parametrize("size", [1000, 1001])
def test_the_limit_is_the_last_size_that_comes_back(size: int) -> None:
    site = Site(lambda _visit: Reply(200, bytes(size)))
    packed = Site(lambda _visit: Reply(200, gzip.compress(bytes(size)), (("Content-Encoding", "gzip"),)))
    for each in (site, packed):
        with each.serving() as url, resource(max_response=1000) as made:
            if size == 1000:
                assert len(send(made, url).bytes) == size
                continue
            with pytest.raises(CallError, match="at most 1000 bytes") as caught:
                send(made, url)
            assert (caught.value.name, caught.value.retryable) == ("HttpError", False)
            assert "raise max_response of [resources.http.sms]" in str(caught.value)


def test_an_endless_body_is_not_read_to_its_end() -> None:
    with raw_site(flood) as url:
        assert failing(url).name == "HttpError"


def test_a_small_body_that_inflates_to_more_than_the_limit_is_not_inflated_whole() -> None:
    bomb = gzip.compress(bytes(1 << 30), 1)
    with Site(lambda _visit: Reply(200, bomb, (("Content-Encoding", "gzip"),))).serving() as url:
        error = failing(url, options={"max_response": len(bomb)})
    assert "at most" in str(error)


@pytest.mark.parametrize(
    ("coding", "body"), [("gzip", b"not gzip"), ("br", b"x"), ("gzip", gzip.compress(b"x", mtime=0)[:-4])]
)
def test_a_body_that_cannot_be_inflated_is_an_http_error(coding: str, body: bytes) -> None:
    with Site(lambda _visit: Reply(200, body, (("Content-Encoding", coding),))).serving() as url:
        assert failing(url).name == "HttpError"


# --- kept connections ---


def test_a_server_that_was_restarted_between_two_calls_gets_the_second() -> None:
    site = Site()
    with resource(retries=0) as made:
        for _ in range(3):
            with site.serving() as url:
                assert send(made, url, "POST", json=1).status == 200
    assert len(site.visits) == 3


@pytest.mark.parametrize("talk", [flood, cut, babble])
def test_a_call_after_one_that_failed_gets_its_own_answer(talk: Any) -> None:
    turns = iter([talk])

    def mixed(connection: socket.socket) -> None:
        next(turns, answer)(connection)

    def answer(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine")

    with raw_site(mixed) as url, resource(retries=0) as made:
        with pytest.raises(CallError):
            send(made, url)
        assert send(made, url).text == "mine"


@pytest.mark.parametrize("language", ["py", "js"])
def test_a_call_that_the_time_limit_breaks_off_does_not_answer_the_next_one(language: str) -> None:
    scripts = {
        "py": "from trimtab import emit, http\ntimeout = '400ms'\n"
        "def handle(url, ctx):\n    emit('out', http.get(url, timeout='30s').text)\n",
        "js": "import { emit, http } from 'trimtab';\nexport const timeout = '400ms';\n"
        "export function handle(url) { emit('out', http.get(url, { timeout: '30s' }).text); }\n",
    }

    done = Event()

    def slow(visit: Visit) -> Reply:
        if visit.path == "/slow":
            done.wait(30)
        return Reply(200, visit.path.encode())

    site = Site(slow)
    with site.serving() as url, ScriptRunner(confined=False) as runner:
        runner.load(**{f"check__{language}": scripts[language]})
        handled = runner.handle(f"{url}/a", f"{url}/slow", f"{url}/b", f"{url}/c")
        done.set()
    assert handled.emitted == ["/a", "/b", "/c"]
    assert [fault.name for fault in handled.faults] == ["TimeLimitExceeded"]
    clients = {visit.path: visit.client for visit in site.visits}
    assert clients["/a"] == clients["/slow"] != clients["/b"] == clients["/c"]


def test_a_stopped_server_ends_with_the_time_limit_and_answers_when_it_goes_on(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "index.html").write_text("hello")
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    server = Server(command, tmp_path / "log", lambda: is_open(port))
    server.start()
    script = (
        "from trimtab import emit, http\ntimeout = '200ms'\n"
        "def handle(url, ctx):\n    emit('out', http.get(url, timeout='30s').text)\n"
    )
    try:
        with ScriptRunner(confined=False) as runner:
            runner.load(check__py=script)
            server.pause()
            assert [fault.name for fault in runner.handle(f"http://127.0.0.1:{port}/").faults] == ["TimeLimitExceeded"]
            server.resume()
            until(lambda: runner.handle(f"http://127.0.0.1:{port}/").emitted == ["hello"], "the server to go on")
    finally:
        server.resume()
        server.stop()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_resource_can_be_closed_before_its_first_call() -> None:
    with resource():
        pass


# --- the sign of life ---


def test_check_connects_and_sends_nothing() -> None:
    seen: list[bytes] = []
    with raw_site(lambda connection: seen.append(connection.recv(100))) as url, resource(base_url=url) as made:
        made.check()
        until(lambda: seen == [b""], "the connection to end")


def test_check_refuses_a_server_that_is_not_there() -> None:
    with resource(base_url=f"http://127.0.0.1:{free_port()}") as made, pytest.raises(CallError) as caught:
        made.check()
    assert caught.value.name == "ConnectionError"
    assert "http.sms: connect to http://127.0.0.1:" in str(caught.value)


def test_check_without_a_base_url_asks_nobody() -> None:
    with resource() as made:
        made.check()


def test_an_ipv6_address_is_asked_for_in_brackets() -> None:
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        seen.append(request_of(connection))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with raw_site(answer, "::1") as url, resource() as made:
        assert send(made, url).status == 204
    assert f"host: {url.removeprefix('http://')}\r\n".encode() in seen[0]


# --- TLS ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of ``localhost`` that certifies itself, and its key, in one file."""
    made = tmp_path_factory.mktemp("tls") / "localhost.pem"
    command = [program("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run([*command, "-keyout", str(made), "-out", f"{made}.crt"], check=True, capture_output=True)
    made.write_text(made.read_text() + Path(f"{made}.crt").read_text())
    return made


@pytest.fixture
def encrypted(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Site(lambda visit: Reply(200, visit.headers["host"].encode())).serving(context) as url:
        yield url


def test_a_server_with_a_certificate_of_the_ca_is_asked_by_its_name(encrypted: str, certificate: Path) -> None:
    url = encrypted.replace("127.0.0.1", "localhost")
    with resource(base_url=url, verify=str(certificate)) as made:
        made.check()
        assert send(made, "/").text == url.removeprefix("https://")
        assert send(made, "/").status == 200


def test_a_server_with_another_certificate_is_refused(encrypted: str, certificate: Path) -> None:
    unknown = failing(encrypted.replace("127.0.0.1", "localhost"))
    assert (unknown.name, unknown.retryable) == ("ConnectionError", False)
    assert "set verify to a file with the CA's certificate" in str(unknown)
    other_name = failing(encrypted, options={"verify": str(certificate)})
    assert "expected a certificate of 127.0.0.1" in str(other_name)


def test_a_server_that_does_not_speak_tls_is_a_connection_error() -> None:
    with Site().serving() as url:
        assert failing(url.replace("http:", "https:"), retries=0).name == "ConnectionError"


def test_a_silent_server_ends_the_handshake_in_time() -> None:
    with raw_site(say_nothing) as url:
        assert failing(url.replace("http:", "https:"), timeout="300ms").name == "TimeoutError"
