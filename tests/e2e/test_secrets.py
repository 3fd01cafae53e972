"""A secret of the environment is shown nowhere, whatever scripts do with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.project import Project, eventually, running

SECRET = "correct-horse-battery"
LEAK = """
from trimtab import log, settings

def open():
    if {refuse}:
        raise ValueError("cannot connect with " + settings.get("password"))

def handle(event, ctx):
    log.warn("connecting with " + settings.get("password"), url="db://" + settings.get("password"))
    raise ValueError("connection lost: " + settings.get("password"))
"""


def test_secrets_in_faults_and_logs_are_masked_wherever_they_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", SECRET)
    project = Project(tmp_path, extra='[settings]\npassword = "${DB_PASSWORD}"')
    project.save("leak.py", LEAK.format(refuse=False))
    with running(project):
        project.send({"n": 1})
        eventually(lambda: project.status()["dead_letters"], "the event fails")
        project.save("leak.py", LEAK.format(refuse=True))
        eventually(lambda: project.script("leak.py").get("error"), "the change is refused")
        shown = [
            project.trimtab(*command.split()).stdout
            for command in ("status", "history leak.py --json", "dead-letters list --json", "dead-letters show 1")
        ]
        shown.append(project.log.read_text())
    for text in shown:
        assert "***" in text
        assert SECRET not in text
    for name in ("artifacts.db", "dead-letters.db"):
        assert SECRET.encode() not in (tmp_path / ".trimtab" / name).read_bytes()
