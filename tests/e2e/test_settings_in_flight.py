"""``[settings]`` are artifacts: editing them is a new generation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tests.e2e.project import Numbers, Project, eventually, running

JAVASCRIPT = """
import { emit, log, settings } from "trimtab";
export function open() { log.info("opened"); }
export function handle(event) { emit("out", ["js", settings.get("limits.speed", "none"), event.n]); }
"""
PYTHON = """
from trimtab import emit, log, settings
def open():
    log.info("opened")
def handle(event, ctx):
    emit("out", ["py", settings.get("limits.speed", "none"), event["n"]])
"""


def project_with(folder: Path, settings: str) -> Project:
    """A script of each language that emits the setting ``limits.speed``."""
    project = Project(folder, lanes=1, extra=settings)
    project.save("work.js", JAVASCRIPT)
    project.save("work.py", PYTHON)
    return project


def edit(project: Project, old: str, new: str) -> None:
    """Edit the configuration file in place."""
    text = project.config.read_text()
    assert old in text
    project.config.write_text(text.replace(old, new))


def newest(project: Project, numbers: Numbers) -> dict[str, Any]:
    """The setting that the next event sees, by language."""
    numbers.send()
    rows = eventually(lambda: both(project, numbers.sent - 1), "both scripts handle the event")
    return {language: value for language, value, _ in rows}


def both(project: Project, number: int) -> list[Any]:
    """What both scripts have emitted for an event, once they have."""
    rows = [row for row in project.emitted() if row[2] == number]
    return rows if len(rows) == 2 else []


def test_edited_settings_are_seen_by_the_next_events_without_a_reload(tmp_path: Path) -> None:
    project = project_with(tmp_path, "[settings.limits]\nspeed = 100")
    with running(project):
        numbers = Numbers(project)
        assert newest(project, numbers) == {"js": 100, "py": 100}
        edit(project, "speed = 100", "speed = 80")
        numbers.send_until(lambda: [r for r in project.emitted() if r[1] == 80], "an event sees the new value")
        assert newest(project, numbers) == {"js": 80, "py": 80}
        eventually(lambda: len(project.emitted()) == 2 * numbers.sent, "every event came out twice")
        seen: dict[int, set[int]] = {}
        for _, value, n in project.emitted():
            seen.setdefault(n, set()).add(value)
        assert all(len(values) == 1 for values in seen.values()), "one event has seen two generations"
        assert len(project.logged("opened")) == 2, "scripts are not loaded anew"
        assert project.history()["generations"][0]["changes"].keys() == {"settings"}
        edit(project, "[settings.limits]\nspeed = 80", "")
        numbers.send_until(lambda: [r for r in project.emitted() if r[1] == "none"], "an event sees no value")


def test_an_invalid_configuration_is_a_refused_change(tmp_path: Path) -> None:
    project = project_with(tmp_path, "[settings.limits]\nspeed = 100")
    with running(project):
        numbers = Numbers(project)
        for number, bad, reason in (
            (2, "speed = = 80", "TOML"),
            (3, "speed = '${TRIMTAB_NO_SUCH}'", "TRIMTAB_NO_SUCH"),
        ):
            edit(project, "speed = 100", bad)
            refusal = f"generation {number} refused: settings: "
            (entry,) = numbers.send_until(partial(project.logged, refusal), "the change is refused")
            assert reason in entry["event"]
            assert newest(project, numbers) == {"js": 100, "py": 100}
            edit(project, bad, "speed = 100")
        edit(project, "speed = 100", "speed = 90")
        numbers.send_until(lambda: [r for r in project.emitted() if r[1] == 90], "a valid edit is taken")
        eventually(lambda: len(project.emitted()) == 2 * numbers.sent, "every event came out twice")
        generations = project.history("settings")["generations"]
        assert [generation["outcome"] for generation in generations] == ["committed", "refused", "refused", "committed"]
        assert project.stop() == 0


def test_settings_are_rolled_back_and_the_edit_in_the_file_is_held_back(tmp_path: Path) -> None:
    project = project_with(tmp_path, "[settings.limits]\nspeed = 100")
    with running(project):
        numbers = Numbers(project)
        edit(project, "speed = 100", "speed = 80")
        numbers.send_until(lambda: [r for r in project.emitted() if r[1] == 80], "the edit is taken")
        project.trimtab("rollback", "settings")
        assert newest(project, numbers) == {"js": 100, "py": 100}
        assert "speed = 80" in project.config.read_text(), "the file is the operator's"
        assert project.stop() == 0
        project.start()
        assert newest(project, numbers) == {"js": 100, "py": 100}
        edit(project, "speed = 80", "speed = 70")
        numbers.send_until(lambda: [r for r in project.emitted() if r[1] == 70], "the next edit is taken")


def test_other_parts_of_the_configuration_wait_for_the_next_start_and_the_log_says_so(tmp_path: Path) -> None:
    project = project_with(tmp_path, "[settings.limits]\nspeed = 100")
    with running(project):
        edit(project, "lanes = 1", "lanes = 2")
        (entry,) = eventually(lambda: project.logged("take effect at the next start"), "the log says so")
        assert entry["changed"] == ["lanes"]
        assert len(project.status()["lanes"]) == 1
