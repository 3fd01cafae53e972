"""The accidents that are made by hand do happen: a round that meets none would prove nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.clock import Clock
from tests.chaos.disk import no_growth, small_disk

TELL = "import time\nwhile input(): print(int(time.time()), int(time.monotonic() * 1000), flush=True)"
GROW = """
import os
file = os.open("some.db-wal", os.O_WRONLY | os.O_APPEND)
while input():
    try:
        print(os.write(file, bytes(100_000)), flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""


class Talk:
    """A Python program that answers each line with one."""

    def __init__(self, source: str, folder: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", source],
            cwd=folder,
            env={**os.environ, **environment},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go on\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_the_clock_of_a_running_process_drops_back_and_its_monotonic_one_goes_on(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    talk = Talk(TELL, tmp_path, clock.environment)
    try:
        before, went_on = map(int, talk.ask().split())
        assert abs(before - time.time()) < 300
        clock.set_back(3600)
        after, goes_on = map(int, talk.ask().split())
        assert -3600 <= after - before < -3000
        assert goes_on >= went_on
        clock.set_back(0)
        assert int(talk.ask().split()[0]) >= before
    finally:
        talk.end()


def test_files_of_a_process_do_not_grow_for_a_while(tmp_path: Path) -> None:
    (tmp_path / "some.db-wal").touch()
    talk = Talk(GROW, tmp_path, {})
    try:
        assert talk.ask() == "100000"
        with no_growth(talk.process.pid, tmp_path):
            assert talk.ask() == os.strerror(errno.EFBIG)
        assert talk.ask() == "100000"
    finally:
        talk.end()


def test_a_full_disk_takes_nothing_until_there_is_room_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "state") as disk:
        if disk is None:
            return  # nobody may mount one here; rounds do without it
        with disk.full(), pytest.raises(OSError, match="No space left"):
            (tmp_path / "state" / "file").write_bytes(bytes(100_000))
        (tmp_path / "state" / "file").write_bytes(bytes(100_000))
    assert not (tmp_path / "state" / "file").exists()
