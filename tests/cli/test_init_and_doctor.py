"""``trimtab init`` and ``trimtab doctor``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.command_line import document, project, trimtab
from tests.servers.programs import free_port

FILES = [
    ".gitignore",
    "scripts/jsconfig.json",
    "scripts/overspeed.js",
    "scripts/standstill.py",
    "scripts/trimtab.d.ts",
    "trimtab.toml",
]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_init_writes_a_folder_that_the_doctor_finds_healthy(tmp_path: Path) -> None:
    done = trimtab(tmp_path, "init", "new/place")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "new" / "place") == FILES
    checks = json.loads(trimtab(tmp_path / "new" / "place", "doctor", "--json").stdout)["checks"]
    assert {check["name"]: check["ok"] for check in checks}["configuration"]


def test_init_keeps_what_is_there_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "trimtab.toml").write_text("mine")
    done = trimtab(tmp_path, "init")
    assert done.returncode == 0
    assert "kept     trimtab.toml" in done.stdout
    assert (tmp_path / "trimtab.toml").read_text() == "mine"
    assert files(tmp_path) == FILES
    assert trimtab(tmp_path, "init").stdout.count("kept") == len(FILES)


def test_init_of_a_file_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/below"):
        done = trimtab(tmp_path, "init", folder)
        assert done.returncode == 2
        assert "file" in done.stderr


def test_doctor_finds_everything_in_order(tmp_path: Path) -> None:
    report = document(project(tmp_path), "doctor")
    assert report["ok"]
    assert all(check["ok"] for check in report["checks"])
    stdio = next(plugin for plugin in report["plugins"] if plugin["name"] == "stdio")
    assert stdio["distribution"] == "trimtab"
    assert stdio["adds"] == ["source stdin", "sink stdout"]
    assert not (tmp_path / ".trimtab").exists()


def test_doctor_lists_every_problem_of_the_configuration_and_ends_with_2(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "trimtab.toml").write_text('[host]\nlanes = 0\n[sources.a]\ntype = "nonsense"\n')
    done = trimtab(tmp_path, "doctor")
    assert done.returncode == 2
    assert "host.lanes" in done.stdout
    assert "sources.a.type" in done.stdout


def test_doctor_asks_resources_for_a_sign_of_life(tmp_path: Path) -> None:
    project(tmp_path)
    port = free_port()
    with (tmp_path / "trimtab.toml").open("a") as file:
        file.write('\n[resources.sql.here]\nurl = "sqlite:///here.db"\n')
        file.write(f'[resources.redis.gone]\nurl = "redis://:${{REDIS_SECRET}}@127.0.0.1:{port}"\n')
    done = trimtab(tmp_path, "doctor", "--json", env={"REDIS_SECRET": "hunter2hunter2"})
    assert done.returncode == 1
    checks = {check["name"]: (check["ok"], check["found"]) for check in json.loads(done.stdout)["checks"]}
    assert checks["resource sql.here"] == (True, "answers")
    ok, found = checks["resource redis.gone"]
    assert not ok
    assert "ConnectionError" in found
    assert str(port) in found
    assert "hunter2" not in done.stdout


def test_doctor_tells_of_a_state_folder_that_cannot_be_written(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / ".trimtab").write_text("a file")
    done = trimtab(tmp_path, "doctor")
    assert done.returncode == 1
    assert "FAILS" in done.stdout
    assert "NotADirectoryError: " in done.stdout


def test_the_examples_of_init_emit_what_their_comments_say(tmp_path: Path) -> None:
    trimtab(tmp_path, "init")
    event = {"vehicle_id": "v1", "ts": 5, "speed": 120}
    fast = trimtab(tmp_path, "try", "scripts/overspeed.js", "--events", "-", input=json.dumps(event))
    assert json.loads(fast.stdout)["value"] == {"alarm": "overspeed", "id": "v1", "speed": 120, "at": 5}
    event["speed"] = 0
    still = trimtab(tmp_path, "try", "scripts/standstill.py", "--events", "-", input=json.dumps(event))
    assert json.loads(still.stdout)["value"] == {"alarm": "standstill", "id": "v1", "at": 5}
