"""A name that two places have belongs to one of them; the other one's other names are not held up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.discovery.web_shelf import Shelf
from tests.e2e.project import Project, eventually, running

SCRIPT = "from trimtab import emit\ndef handle(event, ctx):\n    emit('out', '{place}')\n"


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with Shelf() as shelf:
        shelf.documents["/list.json"] = b'["a.py"]'
        shelf.documents["/a.py"] = SCRIPT.format(place="manifest").encode()
        yield shelf


def looks(shelf: Shelf) -> int:
    """How often the list was asked for."""
    return sum(asked.path == "/list.json" for asked in shelf.requests)


def project_with(folder: Path, shelf: Shelf, *names: str) -> Project:
    """A host that looks at the list all the time, under each of these names."""
    keys = f'type = "manifest"\nurl = "{shelf.url("/list.json")}"\ninterval = "50ms"\n'
    return Project(folder, lanes=1, extra="".join(f"[discoverers.{name}]\n{keys}" for name in names))


def test_a_name_of_another_place_is_refused_alone_and_stays_visible(tmp_path: Path, shelf: Shelf) -> None:
    with running(project_with(tmp_path, shelf, "central")) as project:
        project.save("a.py", SCRIPT.format(place="folder"))
        eventually(lambda: "NameTaken" in (project.script("a.py")["error"] or ""), "the folder's is refused")
        project.save("b.py", SCRIPT.format(place="folder"))
        eventually(lambda: project.script("b.py").get("state") == "active", "another file of the folder runs")
        before = looks(shelf)
        eventually(lambda: looks(shelf) > before + 3, "the list was looked at a few times more")
        assert "NameTaken" in project.script("a.py")["error"]
        assert project.script("a.py")["seq"] == 1


def test_a_name_that_its_place_gives_up_is_taken_over(tmp_path: Path, shelf: Shelf) -> None:
    with running(project_with(tmp_path, shelf, "central")) as project:
        project.save("a.py", SCRIPT.format(place="folder"))
        eventually(lambda: project.script("a.py")["error"], "the folder's is refused")
        shelf.documents["/list.json"] = b"[]"
        eventually(lambda: project.script("a.py").get("seq") == 2, "the folder's runs")
        assert project.script("a.py")["error"] is None


def test_two_places_that_have_a_name_for_good_are_told_of_once(tmp_path: Path, shelf: Shelf) -> None:
    with running(project_with(tmp_path, shelf, "one", "two")) as project:
        before = looks(shelf)
        eventually(lambda: looks(shelf) > before + 10, "both have looked a few times")
        assert len(project.history()["generations"]) <= 2
