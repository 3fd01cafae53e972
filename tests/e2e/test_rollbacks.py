"""Promise 5: rollback is one command, and it survives a restart."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.project import Numbers, Project, eventually, running

SOURCES = {
    "js": 'import {{ emit }} from "trimtab";\nexport function handle(event) {{ emit("out", ["{0}", event.n]); }}\n',
    "py": 'from trimtab import emit\ndef handle(event, ctx):\n    emit("out", ["{0}", event["n"]])\n',
}
languages = pytest.mark.parametrize("language", ["js", "py"])


def source(language: str, version: str) -> str:
    """A script that emits its version and the number of the event."""
    return SOURCES[language].format(version)


def newest(project: Project, numbers: Numbers) -> str:
    """The version that handles the next event."""
    numbers.send()
    version: str = eventually(
        lambda: next((v for v, n in project.emitted() if n == numbers.sent - 1), ""), "the event comes out"
    )
    return version


def takes(project: Project, name: str, version: str) -> Callable[[], bool]:
    """Whether this version of a script is the running one."""
    return lambda: project.script(name).get("version") == hashlib.sha256(version.encode()).hexdigest()[:12]


def change(project: Project, name: str, text: str) -> None:
    """Save a script and wait until it runs."""
    project.save(name, text)
    eventually(takes(project, name, text), f"{name} runs")


@contextmanager
def three_versions(project: Project, language: str) -> Iterator[Numbers]:
    """Run a host in which ``work`` has had three versions."""
    name = f"work.{language}"
    project.save(name, source(language, "v1"))
    with running(project):
        for version in ("v2", "v3"):
            change(project, name, source(language, version))
        yield Numbers(project)


@languages
@pytest.mark.parametrize(("to", "expected"), [(None, "v2"), ("1", "v1"), ("#2", "v2"), ("hash", "v1")])
def test_a_script_is_rolled_back_to_the_version_that_is_named(
    tmp_path: Path, language: str, to: str | None, expected: str
) -> None:
    project = Project(tmp_path)
    name = f"work.{language}"
    with three_versions(project, language) as numbers:
        assert newest(project, numbers) == "v3"
        if to == "hash":
            to = hashlib.sha256(source(language, "v1").encode()).hexdigest()[:8]
        project.trimtab("rollback", name, *(["--to", to] if to else []))
        assert newest(project, numbers) == expected
        assert (project.scripts / name).read_text() == source(language, expected)
        script = project.script(name)
        assert (script["state"], script["error"]) == ("rolled-back", None)
        assert (script["seq"], takes(project, name, source(language, expected))()) == (int(expected[1]), True)
        generation = project.history()["generations"][0]
        assert (generation["reason"], generation["outcome"]) == ("rollback", "committed")
        change(project, name, source(language, "v4"))
        assert newest(project, numbers) == "v4"
        assert project.script(name)["state"] == "active"
        numbers.all_out()
        assert len(project.emitted()) == numbers.sent


def test_a_rollback_of_a_generation_brings_everything_back_as_it_was(tmp_path: Path) -> None:
    project = Project(tmp_path)
    kept = {"a.js": source("js", "a1"), "b.py": source("py", "b1"), "_c.py": "x = 1\n"}
    for name, text in kept.items():
        project.save(name, text)
    with running(project):
        change(project, "a.js", source("js", "a2"))
        (project.scripts / "b.py").unlink()
        eventually(lambda: not project.script("b.py"), "the script is gone")
        change(project, "d.js", source("js", "d1"))
        project.trimtab("rollback", "--generation", "1")
        assert {path.name: path.read_text() for path in project.scripts.iterdir()} == kept
        numbers = Numbers(project)
        numbers.send()
        eventually(lambda: len(project.emitted()) >= 2, "the event comes out")
        assert sorted(version for version, _ in project.emitted()) == ["a1", "b1"]
        assert {script["name"]: script["state"] for script in project.status()["scripts"]} == {
            "a.js": "rolled-back",
            "b.py": "rolled-back",
        }


@languages
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_rollback_survives_a_restart(tmp_path: Path, language: str, how: signal.Signals) -> None:
    project = Project(tmp_path)
    name = f"work.{language}"
    with three_versions(project, language) as numbers:
        project.trimtab("rollback", name)
        assert newest(project, numbers) == "v2"
        project.stop(how)
        project.start()
        assert newest(project, numbers) == "v2"
        assert project.script(name)["state"] == "rolled-back"
        assert project.status()["generation"] == 4


@languages
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_bytes_that_cannot_be_replaced_are_held_back_until_they_change(
    tmp_path: Path, language: str, how: signal.Signals
) -> None:
    project = Project(tmp_path)
    mounted = ConfigMap(project, f"work.{language}")
    mounted.mount(source(language, "v1"))
    with running(project):
        mounted.mount(source(language, "bad"))
        eventually(takes(project, mounted.name, source(language, "bad")), "the bad version runs")
        project.trimtab("rollback", mounted.name)
        numbers = Numbers(project)
        assert newest(project, numbers) == "v1"
        assert mounted.path.read_text() == source(language, "bad")
        project.stop(how)
        project.start()
        project.save("other.js", "export function handle() {}\n")
        eventually(lambda: project.script("other.js"), "another script is taken")
        assert newest(project, numbers) == "v1"
        assert (project.script(mounted.name)["state"], project.script(mounted.name)["error"]) == ("rolled-back", None)
        mounted.mount(source(language, "v3"))
        eventually(takes(project, mounted.name, source(language, "v3")), "the file has changed and is taken")
        assert newest(project, numbers) == "v3"
        assert project.script(mounted.name)["state"] == "active"


class ConfigMap:
    """A script that is a link into a folder that is swapped, as Kubernetes mounts it: it cannot be written to."""

    def __init__(self, project: Project, name: str) -> None:
        self.name = name
        self.path = project.scripts / name
        self._folder = project.scripts
        self._count = 0

    def mount(self, text: str) -> None:
        """Swap the data."""
        self._count += 1
        data = self._folder / f"..data_{self._count}"
        data.mkdir()
        (data / self.name).write_text(text)
        (self._folder / "..tmp").symlink_to(data.name)
        (self._folder / "..tmp").rename(self._folder / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to(Path("..data") / self.name)


@languages
def test_a_rollback_on_a_stopped_host_is_what_the_next_start_runs(tmp_path: Path, language: str) -> None:
    project = Project(tmp_path)
    name = f"work.{language}"
    with three_versions(project, language) as numbers:
        assert newest(project, numbers) == "v3"
        assert project.stop() == 0
        project.trimtab("rollback", name, "--to", "1")
        assert (project.scripts / name).read_text() == source(language, "v1")
        assert project.script(name)["state"] == "rolled-back"
        project.start()
        assert newest(project, numbers) == "v1"
        assert project.script(name)["state"] == "rolled-back"


@pytest.mark.parametrize("state", ["running", "stopped"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("work.js", "--to", "9"), "#1 "),
        (("work.js", "--to", "abcdef12"), "#3 "),
        (("wrok.js",), "did you mean 'work.js'?"),
        (("--generation", "77"), "the last one is 3"),
        (("work.js", "--to", "3"), "which runs"),
    ],
)
def test_a_rollback_to_what_is_not_there_says_what_is(
    tmp_path: Path, state: str, arguments: tuple[str, ...], expected: str
) -> None:
    project = Project(tmp_path)
    with three_versions(project, "js"):
        if state == "stopped":
            assert project.stop() == 0
        done = project.trimtab("rollback", *arguments, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert expected in done.stderr
        assert (project.scripts / "work.js").read_text() == source("js", "v3")
        assert project.status()["generation"] == 3


@languages
def test_a_rollback_to_a_version_that_cannot_run_any_more_is_refused(tmp_path: Path, language: str) -> None:
    project = Project(tmp_path)
    name = f"work.{language}"
    broken = {
        "js": source(language, "v1") + 'import "./_lib.js";\n',
        "py": source(language, "v1") + "import _lib\n",
    }[language]
    library = f"_lib.{language}"
    project.save(library, "")
    project.save(name, broken)
    with running(project):
        change(project, name, source(language, "v2"))
        (project.scripts / library).unlink()
        eventually(lambda: project.status()["generation"] == 3, "the library is gone")
        done = project.trimtab("rollback", name, check=False)
        assert done.returncode == 1
        assert f"{name}:" in done.stderr
        assert newest(project, Numbers(project)) == "v2"
        assert (project.scripts / name).read_text() == source(language, "v2")
        assert project.history()["generations"][0]["outcome"] == "refused"
        change(project, name, source(language, "v3"))


def test_a_rollback_says_what_it_did(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with three_versions(project, "js"):
        document = json.loads(project.trimtab("rollback", "work.js", "--json").stdout)
        assert (document["generation"], document["changes"]) == (4, {"work.js": "changed"})
        assert len(project.logged("generation 4: work.js changed")) == 1
        assert [path.name for path in project.scripts.iterdir()] == ["work.js"]
