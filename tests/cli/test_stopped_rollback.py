"""``trimtab rollback`` while no host runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command_line import document, stopped_host, trimtab
from trimtab.artifacts.store import ArtifactStore
from trimtab.control import endpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stopped_host(tmp_path)


def test_it_makes_the_version_before_the_active_one_and_restores_the_file(folder: Path) -> None:
    done = trimtab(folder, "rollback", "a.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "generation 4 (runs when the host starts): a.py changed\n"
    assert trimtab(folder, "show", "a.py").stdout == "one = 1\n"
    assert (folder / "scripts" / "a.py").read_text() == "one = 1\n"
    assert document(folder, "status")["scripts"][0]["state"] == "rolled-back"
    assert document(folder, "history")["generations"][0]["reason"] == "rollback"


def test_it_goes_to_a_named_version_or_a_generation(folder: Path) -> None:
    assert document(folder, "rollback", "a.py", "--to", "#1")["changes"] == {"a.py": "changed"}
    assert document(folder, "rollback", "--generation", "2")["generation"] == 5
    assert trimtab(folder, "show", "a.py").stdout == "two = 2\n"


def test_a_file_that_cannot_be_restored_is_held_back(folder: Path) -> None:
    script = folder / "scripts" / "a.py"
    script.unlink()
    script.mkdir()  # nobody, not even root, can write a file here
    (script / "README").write_text("")
    assert trimtab(folder, "rollback", "a.py").returncode == 0
    with ArtifactStore(folder / ".trimtab" / "artifacts.db") as store:
        assert "a.py" in store.holds()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a.ps"], "did you mean 'a.py'"),
        (["b.py"], "every version was refused"),
        (["a.py", "--to", "2"], "which runs"),
        (["--generation", "3"], "which was refused"),
        (["--generation", "99"], "does not exist"),
    ],
)
def test_what_cannot_be_rolled_back_ends_with_2_and_changes_nothing(
    folder: Path, arguments: list[str], expected: str
) -> None:
    done = trimtab(folder, "rollback", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert document(folder, "status")["generation"] == 2
    assert (folder / "scripts" / "a.py").read_text() == "three = \n"


def test_a_host_that_starts_or_stops_meanwhile_is_told_of(folder: Path) -> None:
    with endpoint.lock(folder / ".trimtab"):
        done = trimtab(folder, "rollback", "a.py")
    assert done.returncode == 1
    assert "does not listen now" in done.stderr
