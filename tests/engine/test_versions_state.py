"""New versions of a script and the state of the old ones: kept, discarded, migrated."""

from __future__ import annotations

import pytest

from tests.engine.keyed_kit import Keyed, stored, values
from trimtab.engine.script import Script

COUNT_PY = """
from trimtab import emit, state, timer
MARK = {v}
MAYBEdef handle(event, ctx):
    emit("out", [{v}, state.incr("n")])
    if event.get("at"): timer.at(event["at"], name="t")
    if event.get("fail"): raise ValueError("no")
def on_timer(timer, ctx): emit("out", [{v}, "timer", state.get("n")])
"""
COUNT_JS = """
import {{ emit, state, timer }} from "trimtab";
const mark = {v};
export MAYBEfunction handle(event, ctx) {{
  emit("out", [{v}, state.incr("n")]);
  if (event.at) timer.at(event.at, null, {{ name: "t" }});
  if (event.fail) throw new Error("no");
}}
export function onTimer(timer, ctx) {{ emit("out", [{v}, "timer", state.get("n")]); }}
"""
COUNT = {"a.py": COUNT_PY, "a.js": COUNT_JS}
MIGRATE = {
    "a.py": """
def migrate(state, from_version):
    if state.get("n") == 13: raise ValueError("unlucky")
    state["n"] = state["n"] * 10
    state["from"] = from_version
""",
    "a.js": """
export function migrate(state, fromVersion) {
  if (state.n === 13) throw new Error("unlucky");
  return { n: state.n * 10, from: fromVersion };
}
""",
}
WAYS = [(name, maybe) for maybe in ("", "async ") for name in COUNT]

pytestmark = pytest.mark.parametrize(
    ("name", "maybe"), WAYS, ids=["python", "javascript", "async python", "async javascript"]
)


def counting(name: str, maybe: str, version: int, more: str = "") -> str:
    return COUNT[name].format(v=version).replace("MAYBE", maybe) + more


def discarding(name: str, maybe: str, version: int) -> str:
    """A version that starts anew, by a name that does not take that of what it imports."""
    text = counting(name, maybe, version)
    if name == "a.js":
        return text + 'const policy = "discard";\nexport { policy as state };\n'
    return (
        text.replace("import emit, state,", "import emit, state as kept,").replace("state.", "kept.")
        + 'state = "discard"\n'
    )


def test_a_new_version_keeps_the_state(keyed: Keyed, name: str, maybe: str) -> None:
    keyed.deploy_files({name: counting(name, maybe, 1)})
    assert keyed.out({"key": 1}, {"key": 1}) == [[1, 1], [1, 2]]
    keyed.deploy_files({name: counting(name, maybe, 2)})
    assert keyed.out({"key": 1}) == [[2, 3]]


def test_a_new_version_may_start_with_empty_state_and_another_script_keeps_its_own(
    keyed: Keyed, name: str, maybe: str
) -> None:
    keyed.deploy_files({name: counting(name, maybe, 1), f"b/{name}": counting(name, maybe, 7)})
    keyed.out({"key": 1, "at": 500})
    keyed.deploy_files({name: discarding(name, maybe, 2)})
    assert name not in stored(keyed.store)
    assert stored(keyed.mirror) == stored(keyed.store)
    assert keyed.out({"key": 1}) == [[2, 1], [7, 2]]
    assert keyed.out(watermark=1000) == [[7, "timer", 2]]


def test_the_same_version_again_discards_nothing(keyed: Keyed, name: str, maybe: str) -> None:
    text = discarding(name, maybe, 1)
    keyed.deploy_files({name: text})
    keyed.out({"key": 1})
    keyed.deploy_files({name: text})
    assert keyed.out({"key": 1}) == [[1, 2]]


def test_a_rollback_keeps_the_state_whatever_the_version_says(keyed: Keyed, name: str, maybe: str) -> None:
    old = discarding(name, maybe, 1)
    keyed.deploy_files({name: old})
    keyed.deploy_files({name: counting(name, maybe, 2)})
    keyed.out({"key": 1})
    keyed.deploy_files({name: old}, keeps_state=True)
    assert keyed.out({"key": 1}) == [[1, 2]]


def test_what_is_refused_discards_nothing(keyed: Keyed, name: str, maybe: str) -> None:
    keyed.deploy_files({name: counting(name, maybe, 1)})
    keyed.out({"key": 1})
    keyed.engine.prepare(keyed.plan({name: discarding(name, maybe, 2)}))
    keyed.engine.abort()
    assert keyed.out({"key": 1}) == [[1, 2]]


def test_timers_are_kept_with_the_state(keyed: Keyed, name: str, maybe: str) -> None:
    keyed.deploy_files({name: counting(name, maybe, 1)})
    keyed.out({"key": 1, "ts": 1, "at": 500})
    keyed.deploy_files({name: counting(name, maybe, 2)})
    assert keyed.out(watermark=500) == [[2, "timer", 1]]


def test_each_key_is_migrated_once_before_its_first_event_or_timer(keyed: Keyed, name: str, maybe: str) -> None:
    old = counting(name, maybe, 1)
    keyed.deploy_files({name: old})
    keyed.out(*[{"key": key, "ts": 1, "at": 500 if key == 3 else None} for key in (1, 2, 3)])
    keyed.deploy_files({name: counting(name, maybe, 2, MIGRATE[name])})
    assert stored(keyed.store)[name]["1"]["n"][0] == b"1", "not before"
    assert keyed.out({"key": 1}, {"key": 4}, {"key": 1}) == [[2, 11], [2, 1], [2, 12]]
    assert keyed.out(watermark=1000) == [[2, "timer", 10]]
    version = Script.of(name, old.encode()).version[:12]
    assert stored(keyed.store)[name]["1"]["from"][0] == f'"{version}"'.encode()
    assert stored(keyed.store)[name]["2"].keys() == {"n", "\0version"}, "nobody has come for it yet"


def test_a_migration_that_fails_fails_the_event_and_leaves_the_state_as_it_was(
    keyed: Keyed, name: str, maybe: str
) -> None:
    keyed.deploy_files({name: counting(name, maybe, 1)})
    keyed.out(*[{"key": 1}] * 13, {"key": 2})
    before = stored(keyed.store)[name]["1"]
    keyed.deploy_files({name: counting(name, maybe, 2, MIGRATE[name])})
    result = keyed.process({"key": 1}, {"key": 2}, {"key": 1})
    assert values(result) == [[2, 11]]
    assert [(failed.fault.message, failed.fault.file) for failed in result.failed] == [("unlucky", name)] * 2
    assert all(failed.fault.line is not None for failed in result.failed)
    assert stored(keyed.store)[name]["1"] == before
    keyed.deploy_files({name: counting(name, maybe, 3)})
    assert keyed.out({"key": 1}) == [[3, 14]]


def test_a_migration_counts_although_its_event_fails(keyed: Keyed, name: str, maybe: str) -> None:
    keyed.deploy_files({name: counting(name, maybe, 1)})
    keyed.out({"key": 1})
    keyed.deploy_files({name: counting(name, maybe, 2, MIGRATE[name])})
    assert len(keyed.process({"key": 1, "fail": True}).failed) == 1
    assert stored(keyed.store)[name]["1"]["n"][0] == b"10"
    assert keyed.out({"key": 1}) == [[2, 11]]


@pytest.mark.parametrize(
    ("python", "javascript", "message"),
    [
        ("return {'': 1}", 'return { "": 1 }', "migrate: state: expected a name"),
        (
            "return {'a': 1, 'n': 'x' * 300_000}",
            'return { a: 1, n: "x".repeat(300000) }',
            "expected at most 262144 bytes",
        ),
        ("return 5", "return 5", "migrate: expected"),
    ],
)
def test_what_a_migration_cannot_leave_fails_the_event_alone(
    keyed: Keyed, name: str, maybe: str, python: str, javascript: str, message: str
) -> None:
    keyed.deploy_files({name: counting(name, maybe, 1)})
    keyed.out({"key": 1})
    migrate = {
        "a.py": f"def migrate(state, v): {python}\n",
        "a.js": f"export function migrate(state, v) {{ {javascript} }}\n",
    }
    keyed.deploy_files({name: counting(name, maybe, 2, migrate[name])})
    (failed,) = keyed.process({"key": 1}).failed
    assert message in failed.fault.message
    assert stored(keyed.store)[name]["1"].keys() == {"n", "\0version"}


def test_state_moves_to_another_version_through_a_restart(keyed: Keyed, name: str, maybe: str) -> None:
    keyed.deploy_files({name: counting(name, maybe, 1)})
    rows = keyed.process({"key": 1}).changes
    for text, versions, expected in [
        (counting(name, maybe, 2), {}, [[2, 2]]),
        (counting(name, maybe, 2, MIGRATE[name]), {}, [[2, 11]]),
        (discarding(name, maybe, 3), {name: "0" * 64}, [[3, 1]]),
        (discarding(name, maybe, 3), {name: Script.of(name, discarding(name, maybe, 3).encode()).version}, [[3, 2]]),
    ]:
        again = Keyed(rows)
        faults, changes = again.engine.restore(again.plan({name: text}), versions=versions)
        assert faults == {}
        again.mirror.load(changes)
        assert again.out({"key": 1}) == expected
        again.close()
