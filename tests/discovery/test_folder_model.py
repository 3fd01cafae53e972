"""Whatever happens in a folder, a scan answers its content."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from trimtab.api import DiscovererContext
from trimtab.plugins.folder.discoverer import FolderDiscoverer

folders = st.sampled_from(["", "d/", "d/e/", "_lib/", "node_modules/", "..old/"])
files = st.builds("{}{}".format, folders, st.sampled_from(["a.js", "b.py", "a.test.js", "notes.txt"]))
texts = st.sampled_from([b"", b"1", b"2", b"22"])


def is_artifact(name: str) -> bool:
    ignored = name.startswith(("node_modules/", "..old/")) or ".test." in name
    return name.endswith((".js", ".py")) and not ignored


class FolderMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp())
        self.scripts = self.base / "scripts"
        self.scripts.mkdir()
        context = DiscovererContext(self.base, (self.scripts,), self.base / "state", frozenset((".js", ".py")))
        self.found = FolderDiscoverer(context)
        self.content: dict[str, bytes] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.base)

    def path(self, name: str) -> Path:
        path = self.scripts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @rule(name=files, text=texts)
    def write(self, name: str, text: bytes) -> None:
        self.path(name).write_bytes(text)
        self.content[name] = text

    @rule(name=files, text=texts)
    def write_with_an_old_time(self, name: str, text: bytes) -> None:
        self.write(name, text)
        os.utime(self.path(name), (1, 1))

    @rule(name=files)
    def delete(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)
        self.content.pop(name, None)

    @rule(old=files, new=files)
    def rename(self, old: str, new: str) -> None:
        if old in self.content:
            self.path(old).replace(self.path(new))
            self.content[new] = self.content.pop(old)

    @rule(folder=st.sampled_from(["d", "d/e", "_lib", "node_modules"]))
    def delete_a_folder(self, folder: str) -> None:
        shutil.rmtree(self.scripts / folder, ignore_errors=True)
        self.content = {name: text for name, text in self.content.items() if not name.startswith(f"{folder}/")}

    @rule()
    def swap_two_folders(self) -> None:
        d, lib, old = (self.path(f"{name}/x").parent for name in ("d", "_lib", "swap"))
        d.rename(old)
        lib.rename(d)
        old.rename(lib)
        swapped = {"d": "_lib", "_lib": "d"}
        parts = {name: name.partition("/") for name in self.content}
        self.content = {
            f"{swapped.get(first, first)}{slash}{rest}": self.content[name]
            for name, (first, slash, rest) in parts.items()
        }

    @rule(name=files, text=st.none() | texts)
    def restore(self, name: str, text: bytes | None) -> None:
        assert asyncio.run(self.found.restore(name, text))
        if text is None:
            self.content.pop(name, None)
        else:
            self.content[name] = text

    @rule()
    def scan(self) -> None:
        snapshot = asyncio.run(self.found.scan())
        assert snapshot.artifacts == self.artifacts()
        assert snapshot.refused == {}

    def artifacts(self) -> Mapping[str, bytes]:
        return {name: text for name, text in self.content.items() if is_artifact(name)}


FolderMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestFolder = FolderMachine.TestCase
