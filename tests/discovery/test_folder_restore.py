"""Putting bytes back after a rollback."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from trimtab.api import DiscovererContext
from trimtab.plugins.folder.discoverer import FolderDiscoverer


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def restore(name: str, content: bytes | None, *folders: Path) -> bool:
    context = DiscovererContext(folders[0].parent, folders, folders[0].parent / "state", frozenset((".js",)))
    return asyncio.run(FolderDiscoverer(context).restore(name, content))


def test_the_file_holds_the_bytes_and_keeps_its_mode_and_nothing_else_stays_behind(scripts: Path) -> None:
    (scripts / "a.js").write_text("bad")
    (scripts / "a.js").chmod(0o640)
    assert restore("a.js", b"good", scripts)
    assert (scripts / "a.js").read_bytes() == b"good"
    assert (scripts / "a.js").stat().st_mode & 0o777 == 0o640
    assert names(scripts) == ["a.js"]


def test_somebody_who_has_the_file_open_still_reads_the_old_bytes_whole(scripts: Path) -> None:
    (scripts / "a.js").write_text("bad and long")
    with (scripts / "a.js").open() as file:
        assert restore("a.js", b"good", scripts)
        assert file.read() == "bad and long"


def test_a_deleted_file_comes_back_with_its_folder(scripts: Path) -> None:
    assert restore("alarms/a.js", b"good", scripts)
    assert (scripts / "alarms" / "a.js").read_bytes() == b"good"


def test_an_added_file_is_deleted(scripts: Path) -> None:
    (scripts / "a.js").write_text("bad")
    assert restore("a.js", None, scripts)
    assert restore("a.js", None, scripts)
    assert names(scripts) == []


def test_of_several_folders_the_one_that_has_the_file_gets_the_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    (two / "sub").mkdir(parents=True)
    (two / "a.js").write_text("bad")
    assert restore("a.js", b"good", one, two)
    assert restore("sub/b.js", b"new", one, two)
    assert names(one) == []
    assert (two / "a.js").read_bytes() == b"good"
    assert (two / "sub" / "b.js").read_bytes() == b"new"


def test_a_link_is_left_alone(scripts: Path) -> None:
    (scripts / "..v1").mkdir()
    (scripts / "..v1" / "a.js").write_text("bad")
    (scripts / "..data").symlink_to("..v1")
    (scripts / "a.js").symlink_to("..data/a.js")
    (scripts / "sub").symlink_to("..v1")
    for name in ("a.js", "sub/a.js"):
        assert not restore(name, b"good", scripts)
        assert not restore(name, None, scripts)
    assert (scripts / "a.js").read_bytes() == b"bad"


@pytest.mark.parametrize("name", ["../a.js", "/etc/a.js", "x/../../a.js", ""])
def test_a_name_that_leads_out_is_refused(scripts: Path, name: str) -> None:
    assert not restore(name, b"good", scripts)
    assert not restore(name, None, scripts)
    assert names(scripts.parent) == ["scripts"]


def test_a_link_to_a_folder_outside_is_not_followed(scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (scripts / "out").symlink_to(tmp_path / "outside")
    assert not restore("out/sub/a.js", b"good", scripts)
    assert names(tmp_path / "outside") == []


def test_a_folder_that_was_unmounted_is_not_made_anew(tmp_path: Path) -> None:
    assert not restore("a.js", b"good", tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_a_read_only_folder_is_left_alone(plain_user: Path) -> None:
    (plain_user / "a.js").write_text("bad")
    plain_user.chmod(0o555)
    assert not restore("a.js", b"good", plain_user)
    assert not restore("a.js", None, plain_user)
    assert (plain_user / "a.js").read_text() == "bad"


def test_a_folder_in_place_of_the_file_is_left_alone(scripts: Path) -> None:
    (scripts / "a.js").mkdir()
    assert not restore("a.js", b"good", scripts)
    assert (scripts / "a.js").is_dir()
