"""Whatever the order of calls, the store answers like a plain dict of generations would, also after a restart."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trimtab.artifacts.records import Change, Kind, Version
from trimtab.artifacts.store import ArtifactStore
from trimtab.errors import Fault

names = st.sampled_from(["a.js", "b.py", "_lib.js", "ü/c.js"])
bytes_or_none = st.none() | st.sampled_from([b"", b"1", b"2", b"\xff\0"])
change_sets = st.dictionaries(names, bytes_or_none, min_size=1)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = ArtifactStore(self.folder / "artifacts.db")
        self.active: dict[str, bytes] = {}
        self.generations: dict[int, dict[str, bytes]] = {}
        self.refused: set[int] = set()
        self.ran: dict[str, list[int | None]] = {}
        self.staged: dict[str, list[bytes]] = {}
        self.held: dict[str, str | None] = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    def stage(self, contents: dict[str, bytes | None], fault: Fault | None) -> dict[str, Change]:
        changes = {}
        for name, content in contents.items():
            kind: Kind = "deleted" if content is None else "changed" if name in self.active else "added"
            seq = None
            if content is not None:
                seq = self.store.stage(name, content, "folder").seq
                versions = self.staged.setdefault(name, [])
                if versions[-1:] != [content]:
                    versions.append(content)
            changes[name] = Change(kind, seq, fault)
        return changes

    @rule(contents=change_sets)
    def commit(self, contents: dict[str, bytes | None]) -> None:
        changes = self.stage(contents, None)
        number = self.store.record_committed("change", changes, {})
        self.active = {name: content for name, content in (self.active | contents).items() if content is not None}
        self.generations[number] = self.active
        self.remember(changes)

    def remember(self, changes: dict[str, Change]) -> None:
        for name, change in changes.items():
            self.ran.setdefault(name, []).append(change.seq)

    @rule(contents=change_sets)
    def refuse(self, contents: dict[str, bytes | None]) -> None:
        self.refused.add(self.store.record_refused("change", self.stage(contents, Fault("TypeError", "x")), {}))

    @precondition(lambda self: self.generations)
    @rule(data=st.data())
    def roll_everything_back(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.generations)))
        target, running = self.store.generation_set(number), self.store.active()
        changes = {name: Change("deleted", None) for name in running.keys() - target.keys()}
        changes |= {name: Change("changed", each.seq) for name, each in target.items() if running.get(name) != each}
        self.active = self.generations[self.store.record_committed("rollback", changes, {})] = self.generations[number]
        self.remember(changes)

    @rule(name=names, content=bytes_or_none)
    def hold(self, name: str, content: bytes | None) -> None:
        digest = None if content is None else hashlib.sha256(content).hexdigest()
        self.store.hold(name, digest)
        self.held[name] = digest

    @rule(name=names)
    def release(self, name: str) -> None:
        self.store.release(name)
        self.held.pop(name, None)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = ArtifactStore(self.folder / "artifacts.db")

    @invariant()
    def every_generation_is_known(self) -> None:
        assert self.store.next_number() == len(self.generations) + len(self.refused) + 1
        assert self.store.latest_number() == max(self.generations, default=0)
        assert self.read(self.store.active()) == self.active
        for number, expected in self.generations.items():
            assert self.read(self.store.generation_set(number)) == expected

    @invariant()
    def every_version_is_known(self) -> None:
        for name, contents in self.staged.items():
            versions = self.store.versions(name)
            assert [self.store.content(each.hash) for each in versions] == contents
            assert [each.seq for each in versions] == list(range(1, len(contents) + 1))
            active = [self.store.content(each.hash) for each in versions if each.active]
            assert active == ([self.active[name]] if name in self.active else [])

    @invariant()
    def what_ran_before_is_known(self) -> None:
        for name, (*before, current) in self.ran.items():
            if current is not None or any(before):
                expected = next((seq for seq in reversed(before) if seq != current), None)
                previous = self.store.previous(name)
                assert (None if previous is None else previous.seq) == expected

    @invariant()
    def holds_are_known(self) -> None:
        assert self.store.holds() == self.held

    def read(self, versions: Mapping[str, Version]) -> dict[str, bytes]:
        return {name: self.store.content(each.hash) for name, each in versions.items()}


StoreMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestStore = StoreMachine.TestCase
