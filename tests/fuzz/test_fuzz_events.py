"""Any record is handled or becomes a dead letter, each exactly once, and the host lives on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.e2e.project import PATIENCE, Project, eventually, running
from tests.fuzz.effort import effort
from tests.fuzz.records import EDGES, RECORDS
from trimtab.api import CodecError
from trimtab.plugin_manager import Plugins
from trimtab.testing import ScriptRunner

PYTHON = """
from trimtab import emit, handler

@handler
def passes_on(event, ctx):
    emit("out", ["py", event, ctx.key])

@handler(where="n > 1 && ts =~ /a/ || string.contains(n, 'b') || n[0].id == ts")
def seldom(event, ctx):
    pass
"""
JAVASCRIPT = """
import { emit } from "trimtab";
export function handle(event, ctx) { emit("out", ["js", event, ctx.key, JSON.stringify(event).length > 0]); }
"""
SCRIPTS = 2

LINES = RECORDS.filter(bytes.strip)
"""Blank lines are no records."""

CODECS = Plugins.load().codecs()


@effort(150)
@given(RECORDS | st.binary(max_size=40), st.sampled_from(sorted(CODECS)))
@example(b"\x93" * 5000, "msgpack")
@example(b"\xdd\xff\xff\xff\xff", "msgpack")
@example(b"\xd9\x03\xed\xa0\x80", "msgpack")
@example(b"\x81\xc0\x01", "msgpack")
@example(b"\x81\x90\x01", "msgpack")
@example(b"\xcb\x7f\xf8\0\0\0\0\0\0", "msgpack")
@example(b"\xc7\x0c\xff" + b"\xff" * 12, "msgpack")
@example(b"\xc7\x01\x05\0", "msgpack")
def test_any_record_is_one_line_of_json_or_refused_by_its_codec(record: bytes, codec: str) -> None:
    try:
        text = CODECS[codec].to_json(record)
    except CodecError:
        return
    assert b"\n" not in text
    msgspec.json.decode(text)


@pytest.fixture(scope="module")
def runner() -> Iterator[ScriptRunner]:
    with ScriptRunner() as runner:
        runner.load(a__py=PYTHON, b__js=JAVASCRIPT)
        yield runner


@effort(120)
@given(st.lists(LINES, min_size=1, max_size=6))
@example(EDGES)
def test_any_record_is_handled_or_failed_by_each_script(runner: ScriptRunner, records: list[bytes]) -> None:
    handled = runner.handle(*map(msgspec.Raw, records))
    invalid = sum(fault.name == "CodecError" for fault in handled.faults)
    others = len(handled.faults) - invalid
    assert len(handled.emitted) + others == SCRIPTS * (len(records) - invalid)


# --- a host ---

SOURCES = """
key = "id"
timestamp = "ts"
[sources.hooks]
type = "http"
key = "n"
"""
SCRIPT = """
from trimtab import emit, handler

@handler
def counts(event, ctx):
    emit("out", ctx.id)
"""
SCRIPT_JS = "import { emit } from 'trimtab';\nexport const handle = (event, ctx) => { emit('out', ctx.id); };\n"


class Counted:
    """A running host, and how many records it got."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.files = self.posted = 0

    def append(self, records: list[bytes]) -> None:
        """Add lines to the file that the host reads."""
        with self.project.events.open("ab") as file:
            file.write(b"".join(record + b"\n" for record in records))
        self.files += len(records)

    def post(self, body: bytes, kind: str) -> None:
        """Send a body; whatever it is, it is answered."""
        answer = httpx.post(
            f"{self.project.url}/sources/hooks",
            content=body,
            headers={"Content-Type": kind},
            timeout=PATIENCE,
            trust_env=False,
        )
        assert answer.status_code in (202, 400, 429), answer.text
        self.posted += answer.json().get("accepted", 0)

    def settled(self) -> bool:
        """Whether every record was handled."""
        sources = self.project.status()["sources"]
        return (sources["gps"]["handled"], sources["hooks"]["handled"]) == (self.files, self.posted)

    def letters(self) -> list[dict[str, Any]]:
        """All dead letters, page by page."""
        found: list[dict[str, Any]] = []
        while page := self.project.ask(f"/api/dead-letters?limit=1000&after={found[-1]['id'] if found else 0}"):
            found += page
        return found

    def check(self) -> None:
        """Every record was emitted by both scripts, or is a dead letter, once."""
        eventually(self.settled, f"{self.files} and {self.posted} records are handled")
        status = self.project.status()
        assert all(lane["restarts"] == 0 for lane in status["lanes"])
        rejected = [letter for letter in self.letters() if letter["script"] is None]
        failed = [letter for letter in self.letters() if letter["script"] is not None]
        emitted = self.project.emitted()
        assert len(emitted) == len(set(emitted)) * 2 - len(failed)
        assert len(emitted) + len(failed) == 2 * (self.files + self.posted - len(rejected))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    project = Project(tmp_path_factory.mktemp("fuzzed"), lanes=2, source=SOURCES)
    project.save("a.py", SCRIPT)
    project.save("b.js", SCRIPT_JS)
    with running(project):
        yield Counted(project)


@effort(20)
@given(st.lists(LINES, min_size=1, max_size=20))
@example(EDGES)
def test_every_line_of_a_file_is_counted(host: Counted, records: list[bytes]) -> None:
    host.append(records)


@effort(40)
@given(
    RECORDS | st.lists(RECORDS, max_size=5).map(b"\n".join),
    st.sampled_from(["application/json", "application/x-ndjson", ""]),
)
@example(b"\n".join(EDGES), "application/x-ndjson")
@example(b"[" + b",".join(EDGES) + b"]", "application/json")
def test_every_body_of_a_request_is_counted(host: Counted, body: bytes, kind: str) -> None:
    host.post(body, kind)


def test_every_record_was_handled_or_is_a_dead_letter_and_the_host_lives_on(host: Counted) -> None:
    host.append([b"1", b'{"id":"a","ts":1}'])
    host.post(b"{}", "")
    host.check()
