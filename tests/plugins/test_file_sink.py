from __future__ import annotations

import asyncio
import errno
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from trimtab.api import SinkContext, SinkError
from trimtab.plugins.files.sink import LOOK_SECONDS, FileSink, FileSinkOptions, create_sink
from trimtab.testing import FakeClock


@asynccontextmanager
async def opened(path: Path, clock: FakeClock) -> AsyncIterator[FileSink]:
    sink = FileSink(path, "alarms", clock)
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


def use(path: Path, test: Callable[[FileSink, FakeClock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = FakeClock()
        async with opened(path, clock) as sink:
            await test(sink, clock)

    asyncio.run(run())


def test_lines_are_appended_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"0\n")

    async def test(sink: FileSink, _clock: FakeClock) -> None:
        await sink.write(b"1\n2\n", 2)
        assert path.read_bytes() == b"0\n1\n2\n"  # at once, not only when closed
        await sink.write(b"3\n", 1)

    use(path, test)
    assert path.read_bytes() == b"0\n1\n2\n3\n"


def test_the_path_is_relative_to_the_configuration(tmp_path: Path) -> None:
    sink = create_sink(FileSinkOptions("out.jsonl"), SinkContext("alarms", tmp_path))
    asyncio.run(sink.open())
    asyncio.run(sink.close())
    assert (tmp_path / "out.jsonl").exists()


def test_a_torn_last_line_gets_its_newline_before_anything_else(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'1\n{"torn')

    async def test(sink: FileSink, _clock: FakeClock) -> None:
        await sink.write(b"2\n", 1)

    use(path, test)
    assert path.read_bytes() == b'1\n{"torn\n2\n'


def test_a_folder_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(
        SinkError, match=r"sinks\.alarms\.path: .* got No such file or directory .*; create its folder"
    ) as e:
        asyncio.run(FileSink(tmp_path / "no" / "out.jsonl", "alarms").open())
    assert not e.value.retryable
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("make", "reason"), [(os.mkfifo, "got a pipe"), (os.mkdir, "got Is a directory")])
def test_what_is_not_a_file_is_refused(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    make(tmp_path / "out")
    with pytest.raises(SinkError, match=reason):
        asyncio.run(FileSink(tmp_path / "out", "alarms").open())


def test_a_file_that_was_rotated_away_is_made_anew_within_a_second(tmp_path: Path) -> None:
    path, old = tmp_path / "out.jsonl", tmp_path / "out.jsonl.1"

    async def test(sink: FileSink, clock: FakeClock) -> None:
        await sink.write(b"1\n", 1)
        path.rename(old)
        await sink.write(b"2\n", 1)
        clock.advance(LOOK_SECONDS)
        await sink.write(b"3\n", 1)

    use(path, test)
    assert (old.read_bytes(), path.read_bytes()) == (b"1\n2\n", b"3\n")


def test_another_file_in_its_place_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"

    async def test(sink: FileSink, clock: FakeClock) -> None:
        (tmp_path / "new").write_bytes(b"0\n")
        (tmp_path / "new").rename(path)
        clock.advance(LOOK_SECONDS)
        await sink.write(b"1\n", 1)

    use(path, test)
    assert path.read_bytes() == b"0\n1\n"


def test_a_rotation_that_cannot_be_followed_is_an_error_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "out.jsonl"

    async def test(sink: FileSink, clock: FakeClock) -> None:
        folder.rename(tmp_path / "moved")
        clock.advance(LOOK_SECONDS)
        for _ in range(2):
            with pytest.raises(SinkError) as e:
                await sink.write(b"1\n", 1)
            assert e.value.retryable
        folder.mkdir()
        await sink.write(b"1\n", 1)

    use(path, test)
    assert path.read_bytes() == b"1\n"


def test_a_full_disk_is_an_error_that_may_pass() -> None:
    async def test(sink: FileSink, _clock: FakeClock) -> None:
        with pytest.raises(SinkError, match="got No space left on device") as e:
            await sink.write(b"1\n", 1)
        assert e.value.retryable

    use(Path("/dev/full"), test)


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from trimtab.api import SinkError
from trimtab.plugins.files.sink import FileSink

async def main():
    sink = FileSink(Path(sys.argv[1]), "alarms")
    await sink.open()
    await sink.write(b"1234567\\n", 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12, resource.RLIM_INFINITY))
    try:
        await sink.write(b"234567\\n" * 2, 2)
    except SinkError as error:
        print(error.retryable, error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await sink.write(b"2\\n", 1)
    await sink.close()

asyncio.run(main())
"""


def test_a_write_that_fails_in_the_middle_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("True sinks.alarms.path: expected a file to append to, got File too large")
    assert path.read_bytes() == b"1234567\n2\n"


def test_a_sink_that_was_closed_may_be_closed_again(tmp_path: Path) -> None:
    async def test(sink: FileSink, _clock: FakeClock) -> None:
        await sink.close()

    use(tmp_path / "out.jsonl", test)


class Synced(list[int]):
    """The inodes that were synced."""

    def fsync(self, descriptor: int) -> None:
        self.append(os.fstat(descriptor).st_ino)


def test_a_flush_syncs_the_file_and_a_rotation_what_was_written_to_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "out.jsonl", Synced()
    monkeypatch.setattr(os, "fsync", synced.fsync)

    async def test(sink: FileSink, clock: FakeClock) -> None:
        await sink.write(b"1\n", 1)
        await sink.flush()
        assert synced == [path.stat().st_ino]
        await sink.write(b"2\n", 1)
        old = path.rename(tmp_path / "old").stat().st_ino
        clock.advance(LOOK_SECONDS)
        await sink.write(b"3\n", 1)
        assert synced == [old, old]
        await sink.flush()
        assert synced == [old, old, path.stat().st_ino]

    use(path, test)


def test_a_flush_that_fails_may_be_tried_again_and_a_device_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(sink: FileSink, _clock: FakeClock) -> None:
        await sink.write(b"1\n", 1)
        await sink.flush()

    use(Path(os.devnull), test)

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SinkError, match="got Input/output error at") as e:
        use(tmp_path / "out.jsonl", test)
    assert e.value.retryable
