"""How commands find the running host of a state folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from trimtab.control import endpoint
from trimtab.errors import StateError

HOLDER = """
import sys
from pathlib import Path
from trimtab.control import endpoint
with endpoint.lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_host(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that holds the state folder."""
    command = [sys.executable, "-c", HOLDER, str(state)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


def test_the_lock_tells_who_holds_the_folder(tmp_path: Path) -> None:
    assert endpoint.holder(tmp_path) is None
    with endpoint.lock(tmp_path):
        assert endpoint.holder(tmp_path) == os.getpid()
    assert endpoint.holder(tmp_path) is None


def test_a_second_host_is_refused_with_the_process_id_of_the_first(tmp_path: Path) -> None:
    with (
        other_host(tmp_path) as process,
        pytest.raises(StateError, match=f"process id {process.pid}"),
        endpoint.lock(tmp_path),
    ):
        pass


def test_a_killed_host_leaves_the_folder_free(tmp_path: Path) -> None:
    with other_host(tmp_path) as process:
        process.kill()
        process.wait()
        with endpoint.lock(tmp_path):
            assert endpoint.holder(tmp_path) == os.getpid()


def test_a_missing_state_folder_is_made_by_the_lock_and_not_by_looking(tmp_path: Path) -> None:
    state = tmp_path / "a" / "b"
    assert endpoint.find(state) is None
    assert not state.exists()
    with endpoint.lock(state):
        assert state.is_dir()


def test_a_state_folder_that_cannot_be_made_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="expected a writable folder"), endpoint.lock(tmp_path / "file" / "state"):
        pass


def test_a_listening_host_is_found_until_it_stops(tmp_path: Path) -> None:
    with endpoint.lock(tmp_path):
        with endpoint.published(tmp_path, "http://127.0.0.1:1"):
            address = endpoint.find(tmp_path)
            assert address is not None
            assert (address.pid, address.url) == (os.getpid(), "http://127.0.0.1:1")
        with pytest.raises(StateError, match="does not listen now"):
            endpoint.find(tmp_path)
    assert endpoint.find(tmp_path) is None


def test_the_address_that_a_killed_host_left_is_not_taken_for_the_next_one(tmp_path: Path) -> None:
    with endpoint.lock(tmp_path), endpoint.published(tmp_path, "http://127.0.0.1:1"):
        left = (tmp_path / endpoint.ADDRESS).read_bytes()
    (tmp_path / endpoint.ADDRESS).write_bytes(left)
    assert endpoint.find(tmp_path) is None
    with other_host(tmp_path), pytest.raises(StateError, match="does not listen now"):
        endpoint.find(tmp_path)


def test_the_token_is_private_long_and_kept(tmp_path: Path) -> None:
    first = endpoint.token(tmp_path)
    assert len(first) >= 32
    assert endpoint.token(tmp_path) == first
    assert (tmp_path / endpoint.TOKEN).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [endpoint.TOKEN]


def test_processes_that_make_the_token_at_once_get_the_same(tmp_path: Path) -> None:
    make = f"import pathlib; from trimtab.control import endpoint as e; print(e.token(pathlib.Path({str(tmp_path)!r})))"
    with ThreadPoolExecutor(4) as pool:
        runs = pool.map(lambda _n: subprocess.check_output([sys.executable, "-c", make]), range(4))
        assert len(set(runs)) == 1


def test_an_empty_token_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / endpoint.TOKEN).write_text("\n")
    with pytest.raises(StateError, match="empty file; delete it"):
        endpoint.token(tmp_path)
