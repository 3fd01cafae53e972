"""Asynchronous handlers: many events in flight in one lane, in the order of each key, and none lost in any accident."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import PATIENCE, Project, eventually, running
from tests.http.http_servers import Reply, Site, Visit

CALLING = {
    "call.py": """
from trimtab import emit, handler, http, state
@handler(timeout="{timeout}")
async def handle(event, ctx):
    answer = await http("far").get(f"/{{event['n']}}")
    emit("out", [ctx.key, event["n"], answer.status, ctx.generation, state.incr("n")])
""",
    "call.js": """
import {{ emit, http, state }} from "trimtab";
export const timeout = "{timeout}";
export async function handle(event, ctx) {{
  const answer = await http("far").get(`/${{event.n}}`);
  emit("out", [ctx.key, event.n, answer.status, ctx.generation, state.incr("n")]);
}}
""",
}
LANGUAGES = sorted(CALLING)


class Held(Site):
    """A server that answers when it is told to."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self.opened = threading.Event()
        super().__init__(self._answer_when_told)

    def _answer_when_told(self, visit: Visit) -> Reply:
        self.waiting.add(visit.path)
        self.opened.wait(PATIENCE)
        self.waiting.discard(visit.path)
        return Reply()


@contextmanager
def calling(folder: Path, script: str, site: Site, *, timeout: str = "60s", extra: str = "") -> Iterator[Project]:
    """A host with one lane whose script asks the site about each event."""
    with site.serving() as url:
        resource = f'[resources.http.far]\nbase_url = "{url}"\ntimeout = "60s"\n{extra}'
        project = Project(folder, lanes=1, source='key = "key"\n[checkpoints]\ninterval = "100ms"', extra=resource)
        project.save(script, (CALLING | RETRYING)[script].format(timeout=timeout))
        with running(project):
            yield project


def numbered(*keys: str) -> list[dict[str, Any]]:
    return [{"key": key, "n": number} for number, key in enumerate(keys)]


def out(project: Project, count: int) -> list[Any]:
    return eventually(lambda: rows if len(rows := project.emitted()) >= count else None, f"{count} rows are out")


@pytest.mark.parametrize("script", LANGUAGES)
def test_events_of_other_keys_go_on_while_those_of_one_key_wait_for_each_other(tmp_path: Path, script: str) -> None:
    site = Held()
    with calling(tmp_path, script, site) as project:
        project.send(*numbered(*"aabacaad"))
        eventually(lambda: site.waiting == {"/0", "/2", "/4", "/7"}, "the first of each key is in flight")
        site.opened.set()
        rows = out(project, 8)
    assert [row[1] for row in rows if row[0] == "a"] == [0, 1, 3, 5, 6]
    assert {row[1] for row in rows} == set(range(8))


@pytest.mark.parametrize("script", LANGUAGES)
def test_a_commit_does_not_wait_for_what_is_in_flight(tmp_path: Path, script: str) -> None:
    site = Held()
    with calling(tmp_path, script, site) as project:
        project.send({"key": "a", "n": 0})
        eventually(lambda: site.waiting == {"/0"}, "an event is in flight")
        project.save("other.py", "from trimtab import emit\ndef handle(event, ctx):\n    emit('out', 'committed')\n")
        source = CALLING[script].format(timeout="60s")
        project.save(script, source + ("\n" if script.endswith(".js") else "\n# other\n"))
        eventually(lambda: project.status()["generation"] >= 2, "the change is committed")
        eventually(lambda: project.script(script)["seq"] == 2, "with both files")
        running_generation = project.status()["generation"]
        project.send({"key": "b", "n": 1})
        eventually(lambda: site.waiting == {"/0", "/1"}, "the next event is in flight too")
        site.opened.set()
        rows = [row for row in out(project, 3) if row != "committed"]
    assert {row[1]: row[3] for row in rows} == {0: 1, 1: running_generation}


@pytest.mark.parametrize("victim", ["lane", "host"])
@pytest.mark.parametrize("script", LANGUAGES)
def test_what_was_in_flight_when_its_process_was_killed_is_handled_again(
    tmp_path: Path, script: str, victim: str
) -> None:
    site = Held()
    with calling(tmp_path, script, site) as project:
        project.send(*numbered(*"abcabc"))
        eventually(lambda: site.waiting == {"/0", "/1", "/2"}, "events are in flight")
        if victim == "lane":
            os.kill(project.status()["lanes"][0]["pid"], signal.SIGKILL)
            eventually(lambda: project.status()["lanes"][0]["restarts"] == 1, "the lane is started again")
        else:
            assert project.process is not None
            project.process.kill()
            project.process.wait()
            project.start()
        site.opened.set()
        rows = out(project, 6)
        assert project.stop() == 0
        assert len(project.emitted()) == 6
    assert sorted((row[0], row[1], row[4]) for row in rows) == [
        (key, number, 1 + number // 3) for key in "abc" for number in ("abc".index(key), "abc".index(key) + 3)
    ]


@pytest.mark.parametrize("script", LANGUAGES)
def test_the_time_limit_covers_waiting_and_ends_that_event_alone(tmp_path: Path, script: str) -> None:
    site = Held()
    with calling(tmp_path, script, site, timeout="300ms") as project:
        project.send({"key": "a", "n": 0})
        letter = eventually(project.letters, "the event is a dead letter")[0]
        site.opened.set()
        project.send({"key": "a", "n": 1})
        assert [row[1:] for row in out(project, 1)] == [[1, 200, 1, 1]]
    assert letter["fault"]["name"] == "TimeLimitExceeded"
    assert json.loads(letter["payload"]) == {"key": "a", "n": 0}


RETRYING = {
    "again.py": """
from trimtab import emit, http, state
attempts, backoff = 4, "10ms"
def handle(event, ctx):
    state.incr("n")
    if http("far").get(f"/{{event['n']}}").status != 200:
        raise RuntimeError("not yet")
    emit("out", [ctx.key, event["n"], state.get("n")])
""",
    "again.js": """
import {{ emit, http, state }} from "trimtab";
export const attempts = 4, backoff = "10ms";
export function handle(event, ctx) {{
  state.incr("n");
  if (http("far").get(`/${{event.n}}`).status !== 200) throw new Error("not yet");
  emit("out", [ctx.key, event.n, state.get("n")]);
}}
""",
}


@pytest.mark.parametrize("script", sorted(RETRYING))
def test_an_event_is_tried_again_and_those_of_its_key_wait_for_it(tmp_path: Path, script: str) -> None:
    tries: Counter[str] = Counter()

    def refuse_at_first(visit: Visit) -> Reply:
        tries[visit.path] += 1
        refuses = tries[visit.path] <= {"/0": 2, "/2": 9}.get(visit.path, 0)
        return Reply(404 if refuses else 200)

    with calling(tmp_path, script, Site(refuse_at_first)) as project:
        project.send(*numbered(*"aabab"))
        rows = out(project, 4)
        (letter,) = eventually(project.letters, "one has failed for good")
        counted = eventually(lambda: found if (found := project.script(script))["failed"] else None, "it is counted")
    assert [row[1:] for row in rows if row[0] == "a"] == [[0, 1], [1, 2], [3, 3]]
    assert [row[1:] for row in rows if row[0] == "b"] == [[4, 1]]  # the failed event has left nothing in the state
    assert tries == {"/0": 3, "/1": 1, "/2": 4, "/3": 1, "/4": 1}
    assert (letter["event_id"], letter["tries"]) == (f"gps:{project.events.stat().st_ino:x}:{2 * 21}", 4)
    assert (counted["handled"], counted["failed"], counted["retried"]) == (4, 1, 5)


@pytest.mark.parametrize("script", LANGUAGES)
def test_a_circuit_breaker_opens_for_what_is_down_and_closes_by_itself(tmp_path: Path, script: str) -> None:
    site = Site()
    breaker = '[breaker]\nminimum = 3\npause = "100ms"\n'
    with calling(tmp_path, script, site, extra=breaker) as project:
        pass
    with running(project):  # now nobody answers at that address
        project.send(*numbered(*"abcdefghij"))
        eventually(lambda: len(project.letters()) == 10, "all have failed")
        assert project.status()["resources"]["http.far"]["breaker"] == "open"
        assert project.script(script)["breaker"] == "open"
        assert {letter["fault"]["name"] for letter in project.letters()} >= {"ConnectionError"}
        with site.serving():
            eventually(lambda: replayed(project), "what has failed is handled")
            assert project.status()["resources"]["http.far"]["breaker"] == "closed"
            assert project.script(script)["breaker"] == "closed"
        assert sorted(row[1] for row in project.emitted()) == list(range(10))


def replayed(project: Project) -> bool:
    project.trimtab("dead-letters", "replay", "--all", check=False)
    return not project.letters()
