"""Rules in the scripts folders: files that end in ``.rule.json``, and no other JSON."""

from __future__ import annotations

import asyncio
from pathlib import Path

from trimtab.api import DiscovererContext, Snapshot
from trimtab.config import load
from trimtab.deploy.discoverers import find_discoverers
from trimtab.plugin_manager import Plugins
from trimtab.plugins.folder.discoverer import FolderDiscoverer

SUFFIXES = frozenset((".py", ".rule.json"))


def folder(tmp_path: Path) -> FolderDiscoverer:
    """A folder with rules, and with what only looks like some."""
    scripts = tmp_path / "scripts"
    for name in (
        "overheat.rule.json",
        "alarms/leak.rule.json",
        "work.py",
        "package.json",
        "rule.json",
        "overheat.rule.json~",
        "_draft.rule.json",
        ".swap.rule.json",
        "_old/overheat.rule.json",
        "alarms/_old/leak.rule.json",
        "overheat.test.rule.json",
        "node_modules/a/b.rule.json",
    ):
        path = scripts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return FolderDiscoverer(DiscovererContext(tmp_path, (scripts,), tmp_path / "state", SUFFIXES))


def test_rules_are_found_and_what_begins_with_an_underscore_is_none(tmp_path: Path) -> None:
    seen = asyncio.run(folder(tmp_path).scan())
    assert seen == Snapshot(dict.fromkeys(("overheat.rule.json", "alarms/leak.rule.json", "work.py"), b"{}"), {})


def test_a_saved_rule_is_noticed(tmp_path: Path) -> None:
    async def notice() -> Snapshot:
        discoverer = folder(tmp_path)
        await discoverer.scan()
        waiting = asyncio.create_task(discoverer.wait())
        await asyncio.sleep(0.1)
        (tmp_path / "scripts" / "_draft.rule.json").write_text("[1]")
        (tmp_path / "scripts" / "package.json").write_text("[1]")
        await asyncio.sleep(0.2)
        assert not waiting.done()
        (tmp_path / "scripts" / "overheat.rule.json").write_text("[2]")
        async with asyncio.timeout(30):
            await waiting
        return await discoverer.scan()

    assert asyncio.run(notice()).artifacts["overheat.rule.json"] == b"[2]"


def test_a_host_looks_for_rules_in_its_folders(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "a.rule.json").write_text("{}")
    (tmp_path / "trimtab.toml").touch()
    plugins = Plugins.load()
    found = {each.name: each for each in find_discoverers(load(tmp_path / "trimtab.toml", plugins), plugins)}
    assert set(asyncio.run(found["folder"].scan()).artifacts) == {"a.rule.json"}


def test_a_file_is_put_back_after_a_rollback(tmp_path: Path) -> None:
    async def restore() -> Snapshot:
        discoverer = folder(tmp_path)
        assert await discoverer.restore("overheat.rule.json", b"[3]")
        assert await discoverer.restore("alarms/leak.rule.json", None)
        return await discoverer.scan()

    seen = asyncio.run(restore()).artifacts
    assert {name for name in seen if name.endswith("json")} == {"overheat.rule.json"}
    assert seen["overheat.rule.json"] == b"[3]"
