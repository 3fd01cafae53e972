"""What a scan of the scripts folders finds, and what it refuses."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab.api import DiscovererContext, OutsideError, Snapshot
from trimtab.plugins.folder.discoverer import FolderDiscoverer
from trimtab.plugins.folder.look import MAX_FILES
from trimtab.plugins.folder.reading import MAX_SIZE


def discoverer(*folders: Path) -> FolderDiscoverer:
    base = folders[0].parent
    suffixes = frozenset((".js", ".py"))
    return FolderDiscoverer(DiscovererContext(base, folders, folders[0] / ".trimtab", suffixes))


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    folder.mkdir()
    return folder


def put(folder: Path, **files: str) -> None:
    """Write files: ``a__b="x"`` writes ``a/b.js``."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def scan(*folders: Path) -> Snapshot:
    return asyncio.run(discoverer(*folders).scan())


def move(old: Path, new: Path) -> None:
    old.rename(new)


def refusals(snapshot: Snapshot) -> dict[str, str]:
    return {name: fault.name for name, fault in snapshot.refused.items()}


def test_scripts_and_libraries_are_found_by_their_path_below_the_folder(scripts: Path) -> None:
    put(scripts, a="1", alarms__b="2", _lib__geo="3")
    (scripts / "c.py").write_text("4")
    assert scan(scripts) == Snapshot({"a.js": b"1", "alarms/b.js": b"2", "_lib/geo.js": b"3", "c.py": b"4"}, {})


def test_other_files_tests_packages_repositories_and_the_state_folder_are_not_looked_at(scripts: Path) -> None:
    put(scripts, **{"a": "1", "a.test": "x", "node_modules__p__i": "x", ".git__hooks__h": "x", ".trimtab__s": "x"})
    for name in ("notes.txt", "types.d.ts", "a.js~", ".a.js.swp", "4913"):
        (scripts / name).write_text("x")
    assert scan(scripts) == Snapshot({"a.js": b"1"}, {})


def test_names_beyond_ascii_are_found(scripts: Path) -> None:
    put(scripts, größe="1", 日本="2")
    assert set(scan(scripts).artifacts) == {"größe.js", "日本.js"}


def test_an_unchanged_file_is_the_very_same_object_and_a_new_time_stamp_is_no_change(scripts: Path) -> None:
    put(scripts, a="some text", b="1")

    async def run() -> None:
        found = discoverer(scripts)
        first = await found.scan()
        os.utime(scripts / "a.js", (1, 1))
        put(scripts, b="2")
        second = await found.scan()
        assert second.artifacts["a.js"] is first.artifacts["a.js"]
        assert second.artifacts["b.js"] == b"2"

    asyncio.run(run())


def test_bytes_of_the_same_size_and_the_same_forged_time_are_a_change(scripts: Path) -> None:
    async def run() -> None:
        found = discoverer(scripts)
        for i in range(30):
            put(scripts, a=f"{i:02}")
            os.utime(scripts / "a.js", (1, 1))
            assert (await found.scan()).artifacts == {"a.js": b"%02d" % i}

    asyncio.run(run())


# --- refusals ---


def test_a_file_beyond_the_limit_is_refused_and_one_at_the_limit_is_not(scripts: Path) -> None:
    put(scripts, big="x" * (MAX_SIZE + 1), fits="x" * MAX_SIZE)
    snapshot = scan(scripts)
    assert refusals(snapshot) == {"big.js": "FileTooLarge"}
    assert "got 1048577; split the file" in snapshot.refused["big.js"].message
    assert set(snapshot.artifacts) == {"fits.js"}


def test_a_file_that_is_not_utf8_is_refused_with_the_line(scripts: Path) -> None:
    (scripts / "latin.js").write_bytes("// ok\n// Größe\n".encode("latin-1"))
    fault = scan(scripts).refused["latin.js"]
    assert (fault.name, fault.file, fault.line) == ("NotUtf8", "latin.js", 2)
    assert "0xf6" in fault.message


def test_a_name_that_cannot_be_shown_is_refused(scripts: Path) -> None:
    (scripts / "a\nb.js").write_text("x")
    Path(os.fsdecode(os.fsencode(scripts) + b"/\xff.js")).write_text("x")
    assert refusals(scan(scripts)) == {"a\nb.js": "InvalidName", "\\udcff.js": "InvalidName"}


def test_a_pipe_is_refused_without_being_opened(scripts: Path) -> None:
    os.mkfifo(scripts / "pipe.js")
    assert refusals(scan(scripts)) == {"pipe.js": "NotAFile"}


def test_a_file_that_the_host_may_not_read_is_refused(plain_user: Path) -> None:
    put(plain_user, secret="x", a="1")
    (plain_user / "secret.js").chmod(0)
    snapshot = scan(plain_user)
    assert refusals(snapshot) == {"secret.js": "Unreadable"}
    assert set(snapshot.artifacts) == {"a.js"}


def test_a_folder_that_the_host_may_not_list_changes_nothing(plain_user: Path) -> None:
    put(plain_user, a="1", d__b="2")
    (plain_user / "d").chmod(0)
    with pytest.raises(OutsideError, match="nothing changes until it can"):
        scan(plain_user)


def test_a_name_in_two_folders_is_refused_with_both_places(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    put(one, a="1", b="1")
    put(two, a="2", c="2")
    snapshot = scan(one, two)
    assert snapshot.artifacts == {"b.js": b"1", "c.js": b"2"}
    assert refusals(snapshot) == {"a.js": "Conflict"}
    assert f"{one}/a.js and {two}/a.js" in snapshot.refused["a.js"].message


def test_more_files_than_the_limit_change_nothing(scripts: Path) -> None:
    put(scripts, a="1")
    for i in range(MAX_FILES):
        os.link(scripts / "a.js", scripts / f"{i}.js")
    with pytest.raises(OutsideError, match=f"at most {MAX_FILES} files"):
        scan(scripts)


# --- links ---


def test_a_link_into_any_of_the_folders_is_followed(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    put(one, a="1")
    put(two, _shared__b="2")
    (one / "b.js").symlink_to(two / "_shared" / "b.js")
    (one / "lib").symlink_to(two / "_shared")
    assert scan(one, two).artifacts == {"a.js": b"1", "b.js": b"2", "lib/b.js": b"2", "_shared/b.js": b"2"}


def test_a_link_that_leads_out_is_refused(scripts: Path, tmp_path: Path) -> None:
    put(tmp_path, secret="x", outside__x="x")
    put(scripts, **{".trimtab__token": "x"})
    (scripts / "a.js").symlink_to(tmp_path / "secret.js")
    (scripts / "out").symlink_to(tmp_path / "outside")
    (scripts / "state.js").symlink_to(scripts / ".trimtab" / "token.js")
    snapshot = scan(scripts)
    assert snapshot.artifacts == {}
    assert refusals(snapshot) == dict.fromkeys(("a.js", "out", "state.js"), "OutsideFolder")


def test_a_link_to_nowhere_and_circles_of_links_are_passed_over(scripts: Path) -> None:
    put(scripts, d__a="1")
    (scripts / "gone.js").symlink_to(scripts / "nowhere.js")
    (scripts / ".#a.js").symlink_to("user@machine.1234")
    (scripts / "self.js").symlink_to(scripts / "self.js")
    (scripts / "d" / "up").symlink_to(scripts)
    assert scan(scripts) == Snapshot({"d/a.js": b"1"}, {})


def test_a_folder_that_is_itself_a_link_is_followed_to_where_it_leads_now(tmp_path: Path) -> None:
    put(tmp_path, one__a="1", two__a="2")
    current = tmp_path / "current"
    current.symlink_to("one")

    async def run() -> None:
        found = discoverer(current)
        assert (await found.scan()).artifacts == {"a.js": b"1"}
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(current)
        assert (await found.scan()).artifacts == {"a.js": b"2"}

    asyncio.run(run())


def test_files_that_change_in_one_step_are_never_seen_in_a_mix(scripts: Path) -> None:
    releases = [scripts / f"..{number}" for number in range(60)]
    for number, release in enumerate(releases):
        put(release, **dict.fromkeys("abcdefgh", str(number)))
    for name in "abcdefgh":
        (scripts / f"{name}.js").symlink_to(f"..data/{name}.js")

    def roll_out() -> None:
        for release in releases:
            (scripts / "..next").symlink_to(release.name)
            (scripts / "..next").replace(scripts / "..data")
            time.sleep(0.02)

    async def run() -> list[Snapshot]:
        found = discoverer(scripts)
        rolling = asyncio.create_task(asyncio.to_thread(roll_out))
        snapshots = []
        while not rolling.done():
            snapshots.append(await found.scan())
        return snapshots

    assert all(len(set(snapshot.artifacts.values())) <= 1 for snapshot in asyncio.run(run()))


# --- half-written files ---


def test_a_file_open_for_writing_stays_what_it_was_and_a_new_one_is_not_there_yet(scripts: Path) -> None:
    put(scripts, a="old")

    async def run() -> None:
        found = discoverer(scripts)
        await found.scan()
        with (scripts / "a.js").open("w") as a, (scripts / "b.js").open("w") as b:
            a.write("half of")
            a.flush()
            b.flush()
            assert (await found.scan()) == Snapshot({"a.js": b"old"}, {})
        assert set((await found.scan()).artifacts) == {"a.js", "b.js"}

    asyncio.run(run())


def test_on_the_first_scan_a_file_open_for_writing_is_refused_instead_of_missing(scripts: Path) -> None:
    put(scripts, a="1")
    with (scripts / "a.js").open("a"):
        assert refusals(scan(scripts)) == {"a.js": "StillWritten"}
    assert scan(scripts).artifacts == {"a.js": b"1"}


ASKER = """
import os, pathlib, sys, time
from trimtab.plugins.folder.look import Sighting, Signature
from trimtab.plugins.folder.reading import is_written
path = sys.argv[1]
end = time.monotonic() + 1.5
while time.monotonic() < end:
    is_written(Sighting(path, Signature.of(os.stat(path))))
"""


def test_asking_whether_a_file_is_being_written_disturbs_neither_side(scripts: Path) -> None:
    """Without care the kernel would kill the one that asks when somebody opens the file at that moment."""
    put(scripts, a="1")
    with subprocess.Popen([sys.executable, "-c", ASKER, str(scripts / "a.js")]) as asker:
        longest = 0.0
        while asker.poll() is None:
            begin = time.monotonic()
            (scripts / "a.js").open("a").close()
            longest = max(longest, time.monotonic() - begin)
    assert asker.returncode == 0
    assert longest < 1


# --- trouble ---


def test_a_folder_that_disappears_is_an_outside_error_and_not_a_deletion(scripts: Path) -> None:
    put(scripts, a="1")

    async def run() -> None:
        found = discoverer(scripts)
        await found.scan()
        move(scripts, scripts.with_name("away"))
        with pytest.raises(OutsideError, match="nothing changes until it can") as caught:
            await found.scan()
        assert caught.value.retryable
        move(scripts.with_name("away"), scripts)
        assert (await found.scan()).artifacts == {"a.js": b"1"}

    asyncio.run(run())


def mount(path: Path) -> Callable[[], Any]:
    """Mount an empty file system there; returns what unmounts it. Skips the test where that is not allowed."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(path), b"tmpfs", 0, None) != 0:
        pytest.skip(f"mount: {errno.errorcode[ctypes.get_errno()]}")
    return lambda: libc.umount(os.fsencode(path))


def test_an_unmounted_folder_is_an_outside_error_although_its_empty_place_is_there(scripts: Path) -> None:
    unmount = mount(scripts)

    async def run() -> None:
        found = discoverer(scripts)
        try:
            put(scripts, a="1")
            await found.scan()
        finally:
            unmount()
        with pytest.raises(OutsideError, match="mount it again"):
            await found.scan()

    asyncio.run(run())


def test_files_of_a_folder_that_is_deleted_are_deleted(scripts: Path) -> None:
    put(scripts, a="1", d__b="2")

    async def run() -> None:
        found = discoverer(scripts)
        await found.scan()
        shutil.rmtree(scripts / "d")
        assert (await found.scan()).artifacts == {"a.js": b"1"}

    asyncio.run(run())
