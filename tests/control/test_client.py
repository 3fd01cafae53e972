"""The client of the control API, against a real server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.still_host import FAULT, running
from trimtab.control.client import ControlClient, connect
from trimtab.errors import ChangeRefused, StateError, TrimtabError, UsageError


@pytest.fixture
def client(tmp_path: Path) -> Iterator[ControlClient]:
    with running(tmp_path):
        found = connect(tmp_path)
        assert found is not None
        yield found


def test_without_a_running_host_there_is_no_client(tmp_path: Path) -> None:
    assert connect(tmp_path) is None


def test_it_gets_documents(client: ControlClient) -> None:
    assert client.get("/api/status")["generation"] == 2
    assert client.get("/api/show", name="a.js", version=None)["content"] == "two\n"


def test_it_posts_documents(client: ControlClient) -> None:
    assert client.post("/api/rollback", {"name": "a.js", "to": "1"})["generation"] == 3


def test_a_refused_change_comes_back_with_its_faults(client: ControlClient) -> None:
    with pytest.raises(ChangeRefused) as caught:
        client.post("/api/rollback", {"name": "a.js", "to": "broken"})
    assert caught.value.faults == {"a.js": FAULT}


def test_what_the_host_does_not_understand_is_a_usage_error(client: ControlClient) -> None:
    with pytest.raises(UsageError, match=r"did you mean 'a\.js'"):
        client.get("/api/show", name="b.js")
    with pytest.raises(UsageError, match="no dead letter 7"):
        client.get("/api/dead-letters/7")


def test_a_stream_comes_line_by_line(client: ControlClient) -> None:
    outcomes = client.stream("/api/dead-letters/replay", {"ids": [5, 6]})
    assert [outcome["id"] for outcome in outcomes] == [5, 6]


def test_a_stream_that_breaks_off_raises_after_the_lines_before(client: ControlClient) -> None:
    outcomes = client.stream("/api/dead-letters/replay", {"ids": [5, 13]})
    assert next(outcomes)["id"] == 5
    with pytest.raises(TrimtabError, match="the lanes are gone"):
        next(outcomes)


def test_a_wrong_token_is_told_as_such(tmp_path: Path) -> None:
    with running(tmp_path) as url, pytest.raises(StateError, match="Authorization"):
        ControlClient(url, "wrong").get("/api/status")


def test_a_host_that_is_gone_is_a_state_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(StateError, match="gave no answer"):
        ControlClient(f"http://127.0.0.1:{port}", "token").get("/api/status")


def test_something_else_that_listens_there_is_a_state_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = ControlClient(f"http://127.0.0.1:{mute.getsockname()[1]}", "token", timeout=0.2)
        with pytest.raises(StateError, match="gave no answer"):
            client.get("/api/status")


def test_a_host_that_is_late_may_still_carry_out_the_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = ControlClient(f"http://127.0.0.1:{silent.getsockname()[1]}", "token", timeout=0.05)
        with pytest.raises(StateError, match=r"within 0\.05 s; .* may still be carried out: see trimtab history"):
            client.post("/api/rollback", {"name": "a.js"})
